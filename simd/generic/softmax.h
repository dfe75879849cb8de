/* The softmax of rows of scores, wherever these come from. */
#ifndef VQR_SOFTMAX_H
#define VQR_SOFTMAX_H

#include <math.h>

/* exp(s - max s) in place over one row of `stride` floats, its first `tokens` being scores, each then times its
 * scale (NULL: 1); returns their sum without scales. */
static inline float softmax_row(float *s, size_t stride, size_t tokens, const float *bias, float alpha,
                                const float *scale)
{
    const v16 a = v16_set1(alpha);
    v16 top = v16_set1(-INFINITY);
    for (size_t j = 0; j < stride; j += VQR_LANES) {
        v16 x = v16_fma(a, v16_load(s + j), bias ? v16_load(bias + j) : v16_set1(0.0f));
        if (tokens - j < VQR_LANES)
            x = v16_keep(x, tokens - j, -INFINITY);
        v16_store(s + j, x);
        top = v16_max(x, top);
    }
    const v16 max = v16_set1(v16_max_lane(top));
    v16 sum = v16_set1(0.0f);
    for (size_t j = 0; j < stride; j += VQR_LANES) {
        const v16 e = v16_exp(v16_sub(v16_load(s + j), max)); /* exp(-infinity) = 0 past the tokens */
        v16_store(s + j, scale ? v16_mul(e, v16_load(scale + j)) : e);
        sum = v16_add(sum, e);
    }
    return v16_sum(sum);
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
    const v16 sum = v16_set1(softmax_row(row, vqr_padded(tokens), tokens, bias, alpha, NULL));
    for (size_t j = 0; j < tokens; j += VQR_LANES) {
        const v16 weights = v16_div(v16_load(row + j), sum);
        /* Past the tokens 0 / sum, which is NaN where the sum is. */
        v16_store(row + j, tokens - j < VQR_LANES ? v16_keep(weights, tokens - j, 0.0f) : weights);
    }
}

#endif
