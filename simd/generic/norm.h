/* LayerNorm, row by row. */
#include <math.h>

/* Elements i ... i + 15 of a row of n, 0 past its end. */
static v16 row_load(const float *x, size_t i, size_t n)
{
    return i + VQR_LANES <= n ? v16_load(x + i) : v16_load_n(x + i, n - i);
}

static float row_mean(const float *x, size_t n)
{
    v16 sum = v16_set1(0.0f);
    for (size_t i = 0; i < n; i += VQR_LANES)
        sum = v16_add(sum, row_load(x, i, n));
    return v16_sum(sum) / (float)n;
}

static float row_variance(const float *x, size_t n, v16 mean)
{
    v16 sum = v16_set1(0.0f);
    for (size_t i = 0; i < n; i += VQR_LANES) {
        v16 d = v16_sub(row_load(x, i, n), mean);
        if (n - i < VQR_LANES)
            d = v16_keep(d, n - i, 0.0f);
        sum = v16_fma(d, d, sum);
    }
    return v16_sum(sum) / (float)n;
}

void FN(layer_norm_f32)(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows, size_t n, float eps,
                        const float *weight, const float *bias)
{
    for (size_t r = 0; r < rows; r++) {
        const float *in = x + r * x_stride;
        float *out = y + r * y_stride;
        const v16 mean = v16_set1(row_mean(in, n));
        const v16 inverse = v16_set1(1.0f / sqrtf(row_variance(in, n, mean) + eps));
        for (size_t i = 0; i < n; i += VQR_LANES) {
            v16 v = v16_mul(v16_sub(row_load(in, i, n), mean), inverse);
            if (weight)
                v = v16_fma(v, row_load(weight, i, n), row_load(bias, i, n));
            if (i + VQR_LANES <= n)
                v16_store(out + i, v);
            else
                v16_store_n(out + i, v, n - i);
        }
    }
}
