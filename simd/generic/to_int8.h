/* Rows to int8, for the kernel and for those that convert rows themselves. */
#ifndef VQR_TO_INT8_H
#define VQR_TO_INT8_H

#include <math.h>
#include <string.h>

/* n lanes of a row; past n they are 0. */
static inline v16 lanes_of(const float *x, size_t n)
{
    return n < VQR_LANES ? v16_load_n(x, n) : v16_load(x);
}

/* The largest magnitude of a row, NaN if it is not finite: 0 times what is not is NaN. */
static inline float largest_magnitude(const float *x, size_t n)
{
    const v16 zero = v16_set1(0.0f);
    v16 max = zero, finite = zero;
    for (size_t i = 0; i < n; i += VQR_LANES) {
        const v16 v = lanes_of(x + i, n - i);
        finite = v16_fma(v, zero, finite);
        max = v16_max(v16_abs(v), max);
    }
    return v16_within(finite, zero) ? v16_max_lane(max) : NAN;
}

/* x[0 .. n) * steps, rounded, and zeros up to a multiple of 4. */
static inline void row_in_steps(int8_t *q, const float *x, size_t n, v16 steps)
{
    size_t i = 0;
    for (; i + VQR_LANES <= n; i += VQR_LANES)
        v16i_store_int8(q + i, v16_round(v16_mul(v16_load(x + i), steps)));
    if (i < n) {
        int8_t last[VQR_LANES];
        v16i_store_int8(last, v16_round(v16_mul(v16_load_n(x + i, n - i), steps)));
        for (size_t j = 0; j < VQR_LANES && i + j < n; j += 4)
            memcpy(q + i + j, last + j, 4);
    }
}

static void rows_to_int8(int8_t *q, size_t q_stride, float *scale, const float *x, size_t x_stride, size_t rows,
                         size_t n)
{
    for (size_t r = 0; r < rows; r++, x += x_stride, q += q_stride) {
        const float max = largest_magnitude(x, n);
        if (max >= VQR_INT8_LEAST) {
            scale[r] = max / 127.0f;
            row_in_steps(q, x, n, v16_set1(127.0f / max));
        } else {
            scale[r] = max < VQR_INT8_LEAST ? 0.0f : NAN;
            memset(q, 0, (n + 3) / 4 * 4);
        }
    }
}

#endif
