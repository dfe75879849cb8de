/* Attention over blocks of rows: scores of one block stay in the caller's scratch, which fits the first-level cache. */
#include <string.h>

#include "simd/generic/softmax.h"

/* scores[r][j] = q[r].k[j] for a block of rows and all tokens, rows of `stride`. */
static void dot_products(float *scores, size_t stride, const float *q, size_t q_stride, size_t rows, const float *k,
                         size_t tokens, size_t qk_dim)
{
    FN(gemm_f32)(scores, stride, q, q_stride, rows, k, qk_dim * VQR_LANES, qk_dim, vqr_panels(tokens), NULL);
}

/* o[r] = sum over tokens of weights[r][j] * v[j]. */
static void weighted_sums(float *o, size_t o_stride, const float *weights, size_t stride, size_t rows, const float *v,
                          size_t tokens, size_t v_dim)
{
    FN(gemm_f32)(o, o_stride, weights, stride, rows, v, tokens * VQR_LANES, tokens, vqr_panels(v_dim), NULL);
}

/* SiLU(alpha * s + bias) * norm in place over n products, a whole number of vectors. */
static void silu_row(float *s, size_t n, const float *bias, float alpha, float norm)
{
    const v16 a = v16_set1(alpha), c = v16_set1(norm), one = v16_set1(1.0f), zero = v16_set1(0.0f);
    for (size_t j = 0; j < n; j += VQR_LANES) {
        const v16 x = v16_fma(a, v16_load(s + j), bias ? v16_load(bias + j) : zero);
        const v16 silu = v16_div(x, v16_add(one, v16_exp(v16_neg(x))));
        v16_store(s + j, v16_mul(silu, c));
    }
}

void FN(hstu_attention_f32)(float *o, size_t o_stride, const float *q, size_t q_stride, const float *k, const float *v,
                            size_t tokens, size_t qk_dim, size_t v_dim, const float *bias, size_t bias_stride,
                            float alpha, float norm, float *scratch)
{
    const size_t stride = vqr_padded(tokens);
    for (size_t i = 0; i < tokens; i += VQR_ATTENTION_ROWS) {
        const size_t rows = tokens - i < VQR_ATTENTION_ROWS ? tokens - i : VQR_ATTENTION_ROWS;
        dot_products(scratch, stride, q + i * q_stride, q_stride, rows, k, tokens, qk_dim);
        for (size_t r = 0; r < rows; r++)
            silu_row(scratch + r * stride, stride, bias ? bias + (i + r) * bias_stride : NULL, alpha, norm);
        weighted_sums(o + i * o_stride, o_stride, scratch, stride, rows, v, tokens, v_dim);
    }
}

/* Products of the block's later tokens are computed with the others, and dropped. */
void FN(hstu_causal_attention_f32)(float *o, size_t o_stride, const float *q, size_t q_stride, size_t first,
                                   size_t rows, const float *k, const float *v, size_t tokens, size_t qk_dim,
                                   size_t v_dim, const float *bias, size_t bias_stride, float alpha, float norm,
                                   float *scratch)
{
    const size_t end = first + rows, stride = vqr_padded(end);
    dot_products(scratch, stride, q, q_stride, rows, k, end, qk_dim);
    for (size_t r = 0; r < rows; r++) {
        float *s = scratch + r * stride;
        const size_t seen = first + r + 1;
        silu_row(s, vqr_padded(seen), bias ? bias + r * bias_stride : NULL, alpha, norm);
        memset(s + seen, 0, (stride - seen) * sizeof *s);
    }
    FN(gemm_f32)(o, o_stride, scratch, stride, rows, v, tokens * VQR_LANES, end, vqr_panels(v_dim), NULL);
}

void FN(softmax_attention_f32)(float *o, size_t o_stride, const float *q, size_t q_stride, size_t rows, const float *k,
                               const float *v, size_t tokens, size_t qk_dim, size_t v_dim, const float *bias,
                               float alpha, float *scratch)
{
    const size_t stride = vqr_padded(tokens);
    for (size_t i = 0; i < rows; i += VQR_ATTENTION_ROWS) {
        const size_t here = rows - i < VQR_ATTENTION_ROWS ? rows - i : VQR_ATTENTION_ROWS;
        float sum[VQR_ATTENTION_ROWS];
        dot_products(scratch, stride, qk_dim ? q + i * q_stride : NULL, q_stride, here, k, tokens, qk_dim);
        for (size_t r = 0; r < here; r++)
            sum[r] = softmax_row(scratch + r * stride, stride, tokens, bias, alpha, NULL);
        weighted_sums(o + i * o_stride, o_stride, scratch, stride, here, v, tokens, v_dim);
        for (size_t r = 0; r < here; r++)
            divide_row(o + (i + r) * o_stride, v_dim, sum[r]);
    }
}

void FN(softmax_weights_f32)(float *w, size_t w_stride, const float *q, size_t q_stride, size_t rows, const float *k,
                             size_t tokens, size_t qk_dim, const float *bias, float alpha)
{
    dot_products(w, w_stride, q, q_stride, rows, k, tokens, qk_dim);
    for (size_t r = 0; r < rows; r++)
        softmax_weights(w + r * w_stride, tokens, bias, alpha);
}
