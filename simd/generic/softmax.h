/* The softmax of rows of scores, wherever these come from. */
#ifndef VQR_SOFTMAX_H
#define VQR_SOFTMAX_H

#include <math.h>

#include "simd/generic/tile.h"

/* Rows that are worked on together: their sums and maxima are chains that wait for each other within a row only. */
enum { SOFTMAX_ROWS = 4 };

/* exp(s - max s) in place over R rows of `stride` floats one after another, the first `tokens` of each being scores,
 * each then times its scale (NULL: 1); sum[R] are the rows' sums without scales.
 */
VQR_INLINE void softmax_tile(const size_t R, float *s, size_t stride, size_t tokens, const float *bias, float alpha,
                             const float *scale, float *sum)
{
    const v16 a = v16_set1(alpha);
    v16 top[SOFTMAX_ROWS], total[SOFTMAX_ROWS];
    VQR_UNROLL
    for (size_t r = 0; r < R; r++)
        top[r] = v16_set1(-INFINITY);
    for (size_t j = 0; j < stride; j += VQR_LANES) {
        const v16 start = bias ? v16_load(bias + j) : v16_set1(0.0f);
        VQR_UNROLL
        for (size_t r = 0; r < R; r++) {
            v16 x = v16_fma(a, v16_load(s + r * stride + j), start);
            if (tokens - j < VQR_LANES)
                x = v16_keep(x, tokens - j, -INFINITY);
            v16_store(s + r * stride + j, x);
            top[r] = v16_max(x, top[r]);
        }
    }
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        top[r] = v16_set1(v16_max_lane(top[r]));
        total[r] = v16_set1(0.0f);
    }
    for (size_t j = 0; j < stride; j += VQR_LANES) {
        VQR_UNROLL
        for (size_t r = 0; r < R; r++) {
            const v16 e = v16_exp(v16_sub(v16_load(s + r * stride + j), top[r])); /* 0 past the tokens */
            v16_store(s + r * stride + j, scale ? v16_mul(e, v16_load(scale + j)) : e);
            total[r] = v16_add(total[r], e);
        }
    }
    VQR_UNROLL
    for (size_t r = 0; r < R; r++)
        sum[r] = v16_sum(total[r]);
}

/* The same for any number of rows. */
static void softmax_rows(float *s, size_t rows, size_t stride, size_t tokens, const float *bias, float alpha,
                         const float *scale, float *sum)
{
    size_t r = 0;
    for (; r + SOFTMAX_ROWS <= rows; r += SOFTMAX_ROWS)
        softmax_tile(SOFTMAX_ROWS, s + r * stride, stride, tokens, bias, alpha, scale, sum + r);
    for (; r < rows; r++)
        softmax_tile(1, s + r * stride, stride, tokens, bias, alpha, scale, sum + r);
}

/* x[0 .. n padded) / by. */
static inline void divide_row(float *x, size_t n, float by)
{
    for (size_t i = 0; i < n; i += VQR_LANES)
        v16_store(x + i, v16_div(v16_load(x + i), v16_set1(by)));
}

/* The softmax of one padded row in place, 0 past the tokens. */
static inline void softmax_weights(float *row, size_t tokens, const float *bias, float alpha)
{
    float total;
    softmax_tile(1, row, vqr_padded(tokens), tokens, bias, alpha, NULL, &total);
    const v16 sum = v16_set1(total);
    for (size_t j = 0; j < tokens; j += VQR_LANES) {
        const v16 weights = v16_div(v16_load(row + j), sum);
        /* Past the tokens 0 / sum, which is NaN where the sum is. */
        v16_store(row + j, tokens - j < VQR_LANES ? v16_keep(weights, tokens - j, 0.0f) : weights);
    }
}

#endif
