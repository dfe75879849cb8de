/* Attention over blocks of rows: scores of one block stay in the caller's scratch, which fits the first-level cache. */
#include <string.h>

#include "simd/generic/multiply.h"
#include "simd/generic/softmax.h"

/* c[r] = a[r][0 .. k) * b, whole panels of floats or of bytes one after another. */
static void product(float *c, size_t c_stride, const float *a, size_t a_stride, size_t rows, const void *b,
                    enum element element, size_t k, size_t panels)
{
    if (element == BYTES)
        multiply(c, c_stride, a, a_stride, rows, b, k * VQR_LANES, BYTES, k, panels, NULL);
    else
        FN(gemm_f32)(c, c_stride, a, a_stride, rows, b, k * VQR_LANES, k, panels, NULL);
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
        product(scratch, stride, q + i * q_stride, q_stride, rows, k, FLOATS, qk_dim, vqr_panels(tokens));
        for (size_t r = 0; r < rows; r++)
            silu_row(scratch + r * stride, stride, bias ? bias + (i + r) * bias_stride : NULL, alpha, norm);
        product(o + i * o_stride, o_stride, scratch, stride, rows, v, FLOATS, tokens, vqr_panels(v_dim));
    }
}

/* Products of the block's later tokens are computed with the others, and dropped. */
void FN(hstu_causal_attention_f32)(float *o, size_t o_stride, const float *q, size_t q_stride, size_t first,
                                   size_t rows, const float *k, const float *v, size_t tokens, size_t qk_dim,
                                   size_t v_dim, const float *bias, size_t bias_stride, float alpha, float norm,
                                   float *scratch)
{
    const size_t end = first + rows, stride = vqr_padded(end);
    product(scratch, stride, q, q_stride, rows, k, FLOATS, qk_dim, vqr_panels(end));
    for (size_t r = 0; r < rows; r++) {
        float *s = scratch + r * stride;
        const size_t seen = first + r + 1;
        silu_row(s, vqr_padded(seen), bias ? bias + r * bias_stride : NULL, alpha, norm);
        memset(s + seen, 0, (stride - seen) * sizeof *s);
    }
    FN(gemm_f32)(o, o_stride, scratch, stride, rows, v, tokens * VQR_LANES, end, vqr_panels(v_dim), NULL);
}

/* Keys and values of either kind; a value of bytes is in steps of its v_scale. */
static void softmax_attention(float *o, size_t o_stride, const float *q, size_t q_stride, size_t rows, const void *k,
                              const void *v, enum element element, const float *v_scale, size_t tokens, size_t qk_dim,
                              size_t v_dim, const float *bias, float alpha, float *scratch)
{
    const size_t stride = vqr_padded(tokens);
    for (size_t i = 0; i < rows; i += VQR_ATTENTION_ROWS) {
        const size_t here = rows - i < VQR_ATTENTION_ROWS ? rows - i : VQR_ATTENTION_ROWS;
        float sum[VQR_ATTENTION_ROWS];
        product(scratch, stride, qk_dim ? q + i * q_stride : NULL, q_stride, here, k, element, qk_dim,
                vqr_panels(tokens));
        for (size_t r = 0; r < here; r++)
            sum[r] = softmax_row(scratch + r * stride, stride, tokens, bias, alpha, v_scale);
        product(o + i * o_stride, o_stride, scratch, stride, here, v, element, tokens, vqr_panels(v_dim));
        for (size_t r = 0; r < here; r++)
            divide_row(o + (i + r) * o_stride, v_dim, sum[r]);
    }
}

void FN(softmax_attention_f32)(float *o, size_t o_stride, const float *q, size_t q_stride, size_t rows, const float *k,
                               const float *v, size_t tokens, size_t qk_dim, size_t v_dim, const float *bias,
                               float alpha, float *scratch)
{
    softmax_attention(o, o_stride, q, q_stride, rows, k, v, FLOATS, NULL, tokens, qk_dim, v_dim, bias, alpha, scratch);
}

void FN(softmax_attention_i8)(float *o, size_t o_stride, const float *q, size_t q_stride, size_t rows, const int8_t *k,
                              const int8_t *v, const float *v_scale, size_t tokens, size_t qk_dim, size_t v_dim,
                              const float *bias, float alpha, float *scratch)
{
    softmax_attention(o, o_stride, q, q_stride, rows, k, v, BYTES, v_scale, tokens, qk_dim, v_dim, bias, alpha,
                      scratch);
}

static void softmax_weights_of(float *w, size_t w_stride, const float *q, size_t q_stride, size_t rows, const void *k,
                               enum element element, size_t tokens, size_t qk_dim, const float *bias, float alpha)
{
    product(w, w_stride, q, q_stride, rows, k, element, qk_dim, vqr_panels(tokens));
    for (size_t r = 0; r < rows; r++)
        softmax_weights(w + r * w_stride, tokens, bias, alpha);
}

void FN(softmax_weights_f32)(float *w, size_t w_stride, const float *q, size_t q_stride, size_t rows, const float *k,
                             size_t tokens, size_t qk_dim, const float *bias, float alpha)
{
    softmax_weights_of(w, w_stride, q, q_stride, rows, k, FLOATS, tokens, qk_dim, bias, alpha);
}

void FN(softmax_weights_i8)(float *w, size_t w_stride, const float *q, size_t q_stride, size_t rows, const int8_t *k,
                            size_t tokens, size_t qk_dim, const float *bias, float alpha)
{
    softmax_weights_of(w, w_stride, q, q_stride, rows, k, BYTES, tokens, qk_dim, bias, alpha);
}
