#include <math.h>

#include "simd/ref/ref.h"

/* alpha * q.k_j + bias: the chain over the head's width, then one fused multiply-add. */
static float attention_score(const float *q, const float *k, size_t j, size_t qk_dim, float alpha, float bias)
{
    float dot = 0.0f;
    for (size_t i = 0; i < qk_dim; i++)
        dot = fmaf(q[i], k[(j / VQR_LANES * qk_dim + i) * VQR_LANES + j % VQR_LANES], dot);
    return fmaf(alpha, dot, bias);
}

/* o[0 .. v_dim padded) = sum over tokens of a[j] * v[j], tokens ascending, from 0. */
static void weighted_sum(float *o, const float *a, const float *v, size_t tokens, size_t v_dim)
{
    FN(gemm_f32)(o, 0, a, 0, 1, v, tokens * VQR_LANES, tokens, vqr_panels(v_dim), NULL);
}

static float silu_score(const float *q, const float *k, size_t j, size_t qk_dim, float alpha, float bias, float norm)
{
    const float s = attention_score(q, k, j, qk_dim, alpha, bias);
    return s / (1.0f + vqr_ref_exp(-s)) * norm;
}

void FN(hstu_attention_f32)(float *o, size_t o_stride, const float *q, size_t q_stride, const float *k, const float *v,
                            size_t tokens, size_t qk_dim, size_t v_dim, const float *bias, size_t bias_stride,
                            float alpha, float norm, float *scratch)
{
    for (size_t i = 0; i < tokens; i++) {
        for (size_t j = 0; j < tokens; j++) {
            const float b = bias ? bias[i * bias_stride + j] : 0.0f;
            scratch[j] = silu_score(q + i * q_stride, k, j, qk_dim, alpha, b, norm);
        }
        weighted_sum(o + i * o_stride, scratch, v, tokens, v_dim);
    }
}

void FN(hstu_causal_attention_f32)(float *o, size_t o_stride, const float *q, size_t q_stride, size_t first,
                                   size_t rows, const float *k, const float *v, size_t tokens, size_t qk_dim,
                                   size_t v_dim, const float *bias, size_t bias_stride, float alpha, float norm,
                                   float *scratch)
{
    const size_t end = first + rows;
    for (size_t r = 0; r < rows; r++) {
        for (size_t j = 0; j < end; j++) {
            const float b = bias ? bias[r * bias_stride + j] : 0.0f;
            scratch[j] = j <= first + r ? silu_score(q + r * q_stride, k, j, qk_dim, alpha, b, norm) : 0.0f;
        }
        /* The block's later tokens are in the chain with weight 0: that can turn a -0 into 0. */
        FN(gemm_f32)(o + r * o_stride, 0, scratch, 0, 1, v, tokens * VQR_LANES, end, vqr_panels(v_dim), NULL);
    }
}

/* The largest of x[0 .. n) by lanes and tree, each step a > b ? a : b with the newcomer as a. */
static float row_max(const float *x, size_t n)
{
    float lane[VQR_LANES];
    for (size_t j = 0; j < VQR_LANES; j++)
        lane[j] = -INFINITY;
    for (size_t i = 0; i < n; i++)
        lane[i % VQR_LANES] = x[i] > lane[i % VQR_LANES] ? x[i] : lane[i % VQR_LANES];
    for (size_t half = VQR_LANES / 2; half >= 1; half /= 2)
        for (size_t j = 0; j < half; j++)
            lane[j] = lane[j + half] > lane[j] ? lane[j + half] : lane[j];
    return lane[0];
}

/* s[j] = exp(s[j] - max s) for all tokens; returns their sum. */
static float exponentials(float *s, size_t tokens)
{
    const float max = row_max(s, tokens);
    for (size_t j = 0; j < tokens; j++)
        s[j] = vqr_ref_exp(s[j] - max);
    return vqr_ref_row_sum(s, tokens);
}

/* The exponentials of the scores of one query and all tokens; returns their sum. */
static float softmax_row(float *s, const float *q, const float *k, size_t tokens, size_t qk_dim, const float *bias,
                         float alpha)
{
    for (size_t j = 0; j < tokens; j++)
        s[j] = attention_score(q, k, j, qk_dim, alpha, bias ? bias[j] : 0.0f);
    return exponentials(s, tokens);
}

static float softmax_row_i8(float *s, const float *q, const int8_t *k, size_t tokens, size_t qk_dim, const float *bias,
                            float alpha)
{
    for (size_t j = 0; j < tokens; j++) {
        const int8_t *key = k + j / VQR_LANES * qk_dim * VQR_LANES + j % VQR_LANES;
        float dot = 0.0f;
        for (size_t i = 0; i < qk_dim; i++)
            dot = fmaf(q[i], (float)key[i * VQR_LANES], dot);
        s[j] = fmaf(alpha, dot, bias ? bias[j] : 0.0f);
    }
    return exponentials(s, tokens);
}

void FN(softmax_attention_f32)(float *o, size_t o_stride, const float *q, size_t q_stride, size_t rows, size_t heads,
                               const float *k, size_t k_step, const float *v, size_t v_step, size_t tokens,
                               size_t qk_dim, size_t v_dim, const float *bias, float alpha, float *scratch)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t h = 0; h < heads; h++) {
            const float *query = qk_dim ? q + i * q_stride + h * qk_dim : NULL;
            float *out = o + i * o_stride + h * v_dim;
            const float sum = softmax_row(scratch, query, qk_dim ? k + h * k_step : NULL, tokens, qk_dim, bias, alpha);
            weighted_sum(out, scratch, v + h * v_step, tokens, v_dim);
            for (size_t d = 0; d < vqr_padded(v_dim); d++)
                out[d] /= sum;
        }
}

void FN(softmax_weights_f32)(float *w, size_t w_stride, const float *q, size_t q_stride, size_t rows, const float *k,
                             size_t tokens, size_t qk_dim, const float *bias, float alpha)
{
    for (size_t i = 0; i < rows; i++) {
        const float *query = qk_dim ? q + i * q_stride : NULL;
        float *row = w + i * w_stride;
        const float sum = softmax_row(row, query, k, tokens, qk_dim, bias, alpha);
        for (size_t j = 0; j < vqr_padded(tokens); j++)
            row[j] = j < tokens ? row[j] / sum : 0.0f;
    }
}

void FN(softmax_attention_i8)(float *o, size_t o_stride, const float *q, size_t q_stride, size_t rows, const int8_t *k,
                              const int8_t *v, const float *v_scale, size_t tokens, size_t qk_dim, size_t v_dim,
                              const float *bias, float alpha, float *scratch)
{
    for (size_t r = 0; r < rows; r++) {
        const float sum = softmax_row_i8(scratch, q + r * q_stride, k, tokens, qk_dim, bias, alpha);
        for (size_t d = 0; d < vqr_padded(v_dim); d++) {
            const int8_t *column = v + d / VQR_LANES * tokens * VQR_LANES + d % VQR_LANES;
            float x = 0.0f;
            for (size_t j = 0; j < tokens; j++)
                x = fmaf(scratch[j] * v_scale[j], (float)column[j * VQR_LANES], x);
            o[r * o_stride + d] = x / sum;
        }
    }
}

void FN(softmax_weights_i8)(float *w, size_t w_stride, const float *q, size_t q_stride, size_t rows, const int8_t *k,
                            size_t tokens, size_t qk_dim, const float *bias, float alpha)
{
    for (size_t r = 0; r < rows; r++) {
        float *row = w + r * w_stride;
        const float sum = softmax_row_i8(row, q + r * q_stride, k, tokens, qk_dim, bias, alpha);
        for (size_t j = 0; j < vqr_padded(tokens); j++)
            row[j] = j < tokens ? row[j] / sum : 0.0f;
    }
}
