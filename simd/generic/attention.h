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

/* A block of at most VQR_ATTENTION_ROWS queries; keys and values of either kind, a value of bytes in steps of its
 * v_scale. */
static void softmax_block(float *o, size_t o_stride, const float *q, size_t q_stride, size_t rows, const void *k,
                          const void *v, enum element element, const float *v_scale, size_t tokens, size_t qk_dim,
                          size_t v_dim, const float *bias, float alpha, float *scratch)
{
    const size_t stride = vqr_padded(tokens);
    float sum[VQR_ATTENTION_ROWS];
    product(scratch, stride, q, q_stride, rows, k, element, qk_dim, vqr_panels(tokens));
    softmax_rows(scratch, rows, stride, tokens, bias, alpha, v_scale, sum);
    product(o, o_stride, scratch, stride, rows, v, element, tokens, vqr_panels(v_dim));
    for (size_t r = 0; r < rows; r++)
        divide_row(o + r * o_stride, v_dim, sum[r]);
}

/* One head's queries, block by block; returns where it stopped: before fewer than `least` queries were left. */
static size_t softmax_blocks(float *o, size_t o_stride, const float *q, size_t q_stride, size_t rows, size_t least,
                             const void *k, const void *v, enum element element, const float *v_scale, size_t tokens,
                             size_t qk_dim, size_t v_dim, const float *bias, float alpha, float *scratch)
{
    size_t i = 0;
    while (rows - i >= least && i < rows) {
        const size_t here = rows - i < VQR_ATTENTION_ROWS ? rows - i : VQR_ATTENTION_ROWS;
        softmax_block(o + i * o_stride, o_stride, qk_dim ? q + i * q_stride : NULL, q_stride, here, k, v, element,
                      v_scale, tokens, qk_dim, v_dim, bias, alpha, scratch);
        i += here;
    }
    return i;
}

/* The weighted values of HEADS_AT_ONCE heads, one panel of each: four chains instead of one that waits for itself. */
enum { HEADS_AT_ONCE = SOFTMAX_ROWS };
_Static_assert((int)HEADS_AT_ONCE <= (int)VQR_ATTENTION_ROWS, "the scratch holds a row of scores for each");

static void heads_product(v16 *acc, const float *weights, size_t stride, const float *v, size_t v_step, size_t tokens)
{
    VQR_UNROLL
    for (size_t h = 0; h < HEADS_AT_ONCE; h++)
        acc[h] = v16_set1(0.0f);
    for (size_t j = 0; j < tokens; j++) {
        VQR_UNROLL
        for (size_t h = 0; h < HEADS_AT_ONCE; h++)
            acc[h] = v16_fma(v16_set1(weights[h * stride + j]), v16_load(v + h * v_step + j * VQR_LANES), acc[h]);
    }
}

/* One query to HEADS_AT_ONCE heads. Heads are written in order, as each may spill zeros over the start of the next. */
static void softmax_heads(float *o, const float *q, const float *k, size_t k_step, const float *v, size_t v_step,
                          size_t tokens, size_t qk_dim, size_t v_dim, const float *bias, float alpha, float *scratch)
{
    const size_t stride = vqr_padded(tokens), panels = vqr_panels(v_dim);
    float sum[HEADS_AT_ONCE];
    for (size_t h = 0; h < HEADS_AT_ONCE; h++)
        product(scratch + h * stride, stride, qk_dim ? q + h * qk_dim : NULL, 0, 1, qk_dim ? k + h * k_step : NULL,
                FLOATS, qk_dim, vqr_panels(tokens));
    softmax_rows(scratch, HEADS_AT_ONCE, stride, tokens, bias, alpha, NULL, sum);
    if (panels == 1) {
        v16 acc[HEADS_AT_ONCE];
        heads_product(acc, scratch, stride, v, v_step, tokens);
        VQR_UNROLL
        for (size_t h = 0; h < HEADS_AT_ONCE; h++)
            v16_store(o + h * v_dim, v16_div(acc[h], v16_set1(sum[h])));
        return;
    }
    for (size_t h = 0; h < HEADS_AT_ONCE; h++) {
        product(o + h * v_dim, 0, scratch + h * stride, stride, 1, v + h * v_step, FLOATS, tokens, panels);
        divide_row(o + h * v_dim, v_dim, sum[h]);
    }
}

/* Below this many queries, heads side by side are faster than queries side by side. */
enum { ROWS_MIN = 4 };

void FN(softmax_attention_f32)(float *o, size_t o_stride, const float *q, size_t q_stride, size_t rows, size_t heads,
                               const float *k, size_t k_step, const float *v, size_t v_step, size_t tokens,
                               size_t qk_dim, size_t v_dim, const float *bias, float alpha, float *scratch)
{
    const size_t together = heads / HEADS_AT_ONCE * HEADS_AT_ONCE;
    size_t done = 0;
    for (size_t h = 0; h < together; h++)
        done = softmax_blocks(o + h * v_dim, o_stride, qk_dim ? q + h * qk_dim : NULL, q_stride, rows, ROWS_MIN,
                              qk_dim ? k + h * k_step : NULL, v + h * v_step, FLOATS, NULL, tokens, qk_dim, v_dim, bias,
                              alpha, scratch);
    for (size_t i = done; i < rows; i++)
        for (size_t h = 0; h < together; h += HEADS_AT_ONCE)
            softmax_heads(o + i * o_stride + h * v_dim, qk_dim ? q + i * q_stride + h * qk_dim : NULL,
                          qk_dim ? k + h * k_step : NULL, k_step, v + h * v_step, v_step, tokens, qk_dim, v_dim, bias,
                          alpha, scratch);
    for (size_t h = together; h < heads; h++)
        softmax_blocks(o + h * v_dim, o_stride, qk_dim ? q + h * qk_dim : NULL, q_stride, rows, 1,
                       qk_dim ? k + h * k_step : NULL, v + h * v_step, FLOATS, NULL, tokens, qk_dim, v_dim, bias, alpha,
                       scratch);
}

void FN(softmax_attention_i8)(float *o, size_t o_stride, const float *q, size_t q_stride, size_t rows, const int8_t *k,
                              const int8_t *v, const float *v_scale, size_t tokens, size_t qk_dim, size_t v_dim,
                              const float *bias, float alpha, float *scratch)
{
    softmax_blocks(o, o_stride, q, q_stride, rows, 1, k, v, BYTES, v_scale, tokens, qk_dim, v_dim, bias, alpha,
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
