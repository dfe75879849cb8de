/* int8 without products: rows and columns to int8, and packing. */
#include <string.h>

#include "simd/generic/to_int8.h"

void FN(to_int8_f32)(int8_t *q, size_t q_stride, float *scale, const float *x, size_t x_stride, size_t rows, size_t n)
{
    rows_to_int8(q, q_stride, scale, x, x_stride, rows, n);
}

/* What is taken off columns, and how many steps a unit is. */
struct column_steps {
    v16 middle, steps;
};

/* Of n tokens' numbers in up to 16 columns; lanes past these are 0. The largest distance from the middle is that of the
 * largest or of the smallest number, as differences round monotonically. */
static inline struct column_steps measure_columns(float *scale, const float *src, size_t src_stride, size_t n,
                                                  size_t columns)
{
    const v16 zero = v16_set1(0.0f), half = v16_set1(0.5f), least = v16_set1(VQR_INT8_LEAST);
    v16 top = lanes_of(src, columns), below = v16_neg(top), finite = v16_fma(top, zero, zero);
    for (size_t t = 1; t < n; t++) {
        const v16 x = lanes_of(src + t * src_stride, columns);
        finite = v16_fma(x, zero, finite);
        top = v16_max(x, top);
        below = v16_max(v16_neg(x), below);
    }
    struct column_steps c = {.middle = v16_sub(v16_mul(half, top), v16_mul(half, below))};
    const v16 distance = v16_max(v16_abs(v16_sub(top, c.middle)), v16_abs(v16_add(below, c.middle)));
    const v16 max = v16_add(distance, finite); /* NaN where a column is not finite */
    v16 scales = v16_div(max, v16_set1(127.0f)), over = max;
    v16_take_greater(&over, &scales, least, zero);
    c.steps = v16_div(v16_set1(127.0f), max), over = max;
    v16_take_greater(&over, &c.steps, least, zero);
    if (columns < VQR_LANES)
        v16_store_n(scale, scales, columns);
    else
        v16_store(scale, scales);
    return c;
}

/* x[16][16], transposed: four times the first half and the second in turn. */
static inline void transpose_int8(int8_t *x)
{
    int8_t y[16 * 16];
    for (size_t round = 0; round < 2; round++) {
        for (size_t i = 0; i < 8; i++)
            zip_int8(y + 32 * i, x + 16 * i, x + 16 * (i + 8));
        for (size_t i = 0; i < 8; i++)
            zip_int8(x + 32 * i, y + 16 * i, y + 16 * (i + 8));
    }
}

/* Up to 16 columns of up to 16 tokens in steps, columns as rows of dst. */
static inline void columns_in_steps(int8_t *dst, const float *src, size_t src_stride, size_t tokens, size_t columns,
                                    const struct column_steps *c)
{
    int8_t x[16 * 16];
    for (size_t t = 0; t < tokens; t++) {
        const v16 distance = v16_sub(lanes_of(src + t * src_stride, columns), c->middle);
        v16i_store_int8(x + 16 * t, v16_round(v16_mul(distance, c->steps)));
    }
    memset(x + 16 * tokens, 0, sizeof x - 16 * tokens);
    transpose_int8(x);
    memcpy(dst, x, 16 * columns);
}

void FN(columns_to_int8_f32)(int8_t *dst, float *scale, const float *src, size_t src_stride, size_t n, size_t k)
{
    for (size_t i = 0; i < k; i += VQR_LANES) {
        const size_t columns = k - i < VQR_LANES ? k - i : VQR_LANES;
        const struct column_steps c = measure_columns(scale + i, src + i, src_stride, n, columns);
        for (size_t t = 0; t < n; t += VQR_LANES)
            columns_in_steps(dst + (t / VQR_LANES * k + i) * VQR_LANES, src + t * src_stride + i, src_stride,
                             n - t < VQR_LANES ? n - t : VQR_LANES, columns, &c);
    }
    for (size_t i = 0; i < k; i++)
        for (size_t p = 0; isnan(scale[i]) && p < vqr_panels(n); p++)
            memset(dst + (p * k + i) * VQR_LANES, 0, VQR_LANES);
}

void FN(pack_panels_i8)(int8_t *dst, const int8_t *src, size_t src_stride, size_t k, size_t n)
{
    size_t j = 0;
    for (; j + VQR_LANES <= n; j += VQR_LANES)
        for (size_t i = 0; i < k; i++, dst += VQR_LANES)
            memcpy(dst, src + i * src_stride + j, VQR_LANES);
    if (j < n)
        for (size_t i = 0; i < k; i++, dst += VQR_LANES) {
            memset(dst, 0, VQR_LANES);
            memcpy(dst, src + i * src_stride + j, n - j);
        }
}
