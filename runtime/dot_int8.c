#include "runtime/dot_int8.h"

#include <string.h>

/* Bytes of a head's keys and of its values of `tokens` tokens. */
static size_t keys_size(const struct vqr_target_attention *attention, size_t tokens)
{
    return vqr_times(attention->config.dim, vqr_padded(tokens));
}

static size_t values_size(const struct vqr_target_attention *attention, size_t tokens)
{
    return vqr_times(tokens, vqr_padded(attention->config.dim));
}

static size_t row_size(const struct vqr_target_attention *attention)
{
    return ((size_t)attention->config.dim + 3) / 4 * 4;
}

void vqr_dot_int8_take_scratch(const struct vqr_target_attention *attention, struct vqr_target_scratch *scratch,
                               struct vqr_arena *arena)
{
    scratch->row8 = vqr_take(arena, vqr_times(attention->tokens, row_size(attention)), sizeof *scratch->row8);
}

void vqr_dot_int8_take_interests(const struct vqr_target_attention *attention, struct vqr_interests *interests,
                                 struct vqr_arena *arena)
{
    const size_t heads = attention->config.heads, w = attention->tokens;
    interests->k8 = vqr_take(arena, vqr_times(heads, keys_size(attention, w)), sizeof *interests->k8);
    interests->v8 = vqr_take(arena, vqr_times(heads, values_size(attention, w)), sizeof *interests->v8);
    interests->k_scale = vqr_take(arena, attention->dot.width, sizeof(float));
    interests->v_scale = vqr_take(arena, vqr_times(heads, vqr_padded(w)), sizeof(float));
}

void vqr_dot_int8_keep_keys(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                            struct vqr_target_scratch *scratch, struct vqr_interests *interests)
{
    const size_t dim = attention->config.dim, tokens = interests->tokens;
    for (size_t h = 0; h < attention->config.heads; h++)
        k->columns_to_int8_f32(interests->k8 + h * keys_size(attention, tokens), interests->k_scale + h * dim,
                               scratch->kv + h * dim, scratch->q_stride, tokens, dim);
}

void vqr_dot_int8_keep_values(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                              struct vqr_target_scratch *scratch, struct vqr_interests *interests)
{
    const size_t dim = attention->config.dim, tokens = interests->tokens;
    for (size_t h = 0; h < attention->config.heads; h++) {
        float *scale = interests->v_scale + h * vqr_padded(tokens);
        k->to_int8_f32(scratch->row8, row_size(attention), scale, scratch->kv + h * dim, scratch->q_stride, tokens,
                       dim);
        memset(scale + tokens, 0, (vqr_padded(tokens) - tokens) * sizeof *scale);
        k->pack_panels_i8(interests->v8 + h * values_size(attention, tokens), scratch->row8, row_size(attention),
                          tokens, dim);
    }
}

void vqr_dot_int8_queries(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                          struct vqr_target_scratch *scratch, const struct vqr_interests *interests, size_t rows)
{
    for (size_t r = 0; r < rows; r++) {
        float *q = scratch->q + r * scratch->q_stride;
        k->mul_f32(q, q, interests->k_scale, attention->dot.width);
    }
}

void vqr_dot_int8_attend(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                         struct vqr_target_scratch *scratch, const struct vqr_interests *interests, size_t h,
                         size_t rows, float *o, size_t o_stride)
{
    const size_t dim = attention->config.dim, tokens = interests->tokens;
    k->softmax_attention_i8(o, o_stride, scratch->q + h * dim, scratch->q_stride, rows,
                            interests->k8 + h * keys_size(attention, tokens),
                            interests->v8 + h * values_size(attention, tokens),
                            interests->v_scale + h * vqr_padded(tokens), tokens, dim, dim,
                            attention->config.count_bias ? interests->log_counts : NULL, attention->dot.alpha,
                            scratch->scores);
}

void vqr_dot_int8_weigh(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                        struct vqr_target_scratch *scratch, const struct vqr_interests *interests, size_t h)
{
    const size_t dim = attention->config.dim, tokens = interests->tokens;
    k->softmax_weights_i8(scratch->scores, vqr_padded(tokens), scratch->q + h * dim, scratch->q_stride, 1,
                          interests->k8 + h * keys_size(attention, tokens), tokens, dim,
                          attention->config.count_bias ? interests->log_counts : NULL, attention->dot.alpha);
}
