/* Softmax attention to keys and values of int8: scores are products of int8, values are converted as they are read. */
#include "simd/generic/multiply.h"
#include "simd/generic/softmax.h"

/* scores[r][j] = q[r].k[j] in steps of both, for all tokens. */
static void dot_products_i8(float *scores, size_t stride, const int8_t *q, size_t q_stride, const float *q_scale,
                            size_t rows, const int8_t *k, const float *k_scale, size_t tokens, size_t qk_dim)
{
    FN(gemm_i8)(scores, stride, q, q_stride, q_scale, rows, k, k_scale, (qk_dim + 3) / 4, vqr_panels(tokens), NULL, 0);
}

void FN(softmax_attention_i8)(float *o, size_t o_stride, const int8_t *q, size_t q_stride, const float *q_scale,
                              size_t rows, const int8_t *k, const float *k_scale, const int8_t *v, const float *v_scale,
                              size_t tokens, size_t qk_dim, size_t v_dim, const float *bias, float alpha,
                              float *scratch)
{
    const size_t stride = vqr_padded(tokens);
    for (size_t i = 0; i < rows; i += VQR_ATTENTION_ROWS) {
        const size_t here = rows - i < VQR_ATTENTION_ROWS ? rows - i : VQR_ATTENTION_ROWS;
        float sum[VQR_ATTENTION_ROWS];
        dot_products_i8(scratch, stride, q + i * q_stride, q_stride, q_scale + i, here, k, k_scale, tokens, qk_dim);
        for (size_t r = 0; r < here; r++)
            sum[r] = softmax_row(scratch + r * stride, stride, tokens, bias, alpha, v_scale);
        multiply(o + i * o_stride, o_stride, scratch, stride, here, v, tokens * VQR_LANES, BYTES, tokens,
                 vqr_panels(v_dim), NULL);
        for (size_t r = 0; r < here; r++)
            divide_row(o + (i + r) * o_stride, v_dim, sum[r]);
    }
}

void FN(softmax_weights_i8)(float *w, size_t w_stride, const int8_t *q, size_t q_stride, const float *q_scale,
                            size_t rows, const int8_t *k, const float *k_scale, size_t tokens, size_t qk_dim,
                            const float *bias, float alpha)
{
    dot_products_i8(w, w_stride, q, q_stride, q_scale, rows, k, k_scale, tokens, qk_dim);
    for (size_t r = 0; r < rows; r++)
        softmax_weights(w + r * w_stride, tokens, bias, alpha);
}
