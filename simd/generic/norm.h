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

/* Doubles have no vector of their own: plain C over 16 lanes, which the compiler vectorizes for this ISA. */
static double row_length(const float *x, size_t n)
{
    double lane[VQR_LANES] = {0};
    size_t i = 0;
    for (; i + VQR_LANES <= n; i += VQR_LANES)
        for (size_t j = 0; j < VQR_LANES; j++)
            lane[j] += (double)x[i + j] * (double)x[i + j];
    for (size_t j = 0; i + j < n; j++)
        lane[j] += (double)x[i + j] * (double)x[i + j];
    for (size_t half = VQR_LANES / 2; half >= 1; half /= 2)
        for (size_t j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return sqrt(lane[0]);
}

void FN(unit_rows_f32)(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++) {
        const double length = row_length(x + r * x_stride, n);
        for (size_t i = 0; i < n; i++)
            y[r * y_stride + i] = length == 0.0 ? 0.0f : (float)((double)x[r * x_stride + i] / length);
    }
}
