/* Target attention of kind "dot" (docs/model.md section 2): keys and values of the clusters, computed once per user
 * state, and the candidates' queries against them. */
#include <string.h>

#include "runtime/dmqn.h"

void vqr_interests_take(const struct vqr_dmqn *dmqn, struct vqr_interests *interests, struct vqr_arena *arena)
{
    const struct vqr_header_attention *c = &dmqn->attention.config;
    const size_t w = dmqn->codewords;
    interests->k = vqr_take(arena, vqr_times(c->heads, vqr_times(vqr_padded(w), c->dim)), sizeof(float));
    interests->v = vqr_take(arena, vqr_times(c->heads, vqr_times(w, vqr_padded(c->dim))), sizeof(float));
    interests->log_counts = vqr_take(arena, c->count_bias ? vqr_padded(w) : 0, sizeof(float));
}

/* Projects the tokens x and packs each head for its kernel. Returns 0 if a value is not finite. */
static int project(const struct vqr_dmqn *dmqn, const struct vqr_kernels *k, struct vqr_dmqn_scratch *s,
                   const float *weight, const float *bias, size_t tokens)
{
    const size_t n = dmqn->attention.width;
    k->gemm_f32(s->kv, s->kv_stride, s->x, vqr_padded(dmqn->width), tokens, weight, dmqn->width * VQR_LANES,
                dmqn->width, vqr_panels(n), bias);
    return k->finite_f32(s->kv, tokens * s->kv_stride);
}

static void log_counts(const struct vqr_kernels *k, struct vqr_dmqn_scratch *s, const uint32_t *counts, size_t tokens,
                       float *out)
{
    memset(out, 0, vqr_padded(tokens) * sizeof *out);
    for (size_t t = 0; t < tokens; t++) {
        const uint32_t n = counts[s->tokens[t]];
        s->count[t] = (float)(n > 1 ? n : 1); /* exact: at most 2^24 */
    }
    k->log_f32(out, s->count, tokens);
}

int vqr_interests_compute(const struct vqr_dmqn *dmqn, const struct vqr_kernels *k, struct vqr_dmqn_scratch *scratch,
                          size_t codebook, const uint32_t *counts, size_t tokens, struct vqr_interests *interests)
{
    const struct vqr_dot_attention *a = &dmqn->attention;
    const size_t dim = a->config.dim;
    interests->tokens = tokens;
    if (!project(dmqn, k, scratch, vqr_weights_of(a->k, codebook), vqr_weights_of(a->k_bias, codebook), tokens))
        return 0;
    for (size_t h = 0; h < a->config.heads; h++)
        k->pack_transposed_f32(interests->k + h * vqr_padded(tokens) * dim, scratch->kv + h * dim, scratch->kv_stride,
                               dim, tokens);
    if (!project(dmqn, k, scratch, vqr_weights_of(a->v, codebook), vqr_weights_of(a->v_bias, codebook), tokens))
        return 0;
    for (size_t h = 0; h < a->config.heads; h++)
        k->pack_f32(interests->v + h * tokens * vqr_padded(dim), scratch->kv + h * dim, scratch->kv_stride, tokens,
                    dim);
    if (a->config.count_bias)
        log_counts(k, scratch, counts, tokens, interests->log_counts);
    return 1;
}

void vqr_interests_attend(const struct vqr_dmqn *dmqn, const struct vqr_kernels *k, struct vqr_dmqn_scratch *scratch,
                          size_t codebook, const struct vqr_interests *interests, const float *t, size_t t_stride,
                          size_t rows, float *out, size_t out_stride)
{
    const struct vqr_dot_attention *a = &dmqn->attention;
    const size_t dim = a->config.dim, tokens = interests->tokens;
    if (tokens == 0) {
        for (size_t r = 0; r < rows; r++)
            memset(out + r * out_stride, 0, dmqn->out_width * sizeof *out);
        return;
    }
    k->gemm_f32(scratch->q, scratch->q_stride, t, t_stride, rows, vqr_weights_of(a->q, codebook),
                dmqn->candidate_width * VQR_LANES, dmqn->candidate_width, vqr_panels(a->width),
                vqr_weights_of(a->q_bias, codebook));
    float *o = a->config.out ? scratch->o : out;
    const size_t o_stride = a->config.out ? scratch->q_stride + VQR_LANES : out_stride;
    for (size_t h = 0; h < a->config.heads; h++)
        k->softmax_attention_f32(o + h * dim, o_stride, scratch->q + h * dim, scratch->q_stride, rows,
                                 interests->k + h * vqr_padded(tokens) * dim,
                                 interests->v + h * tokens * vqr_padded(dim), tokens, dim, dim,
                                 a->config.count_bias ? interests->log_counts : NULL, a->alpha, scratch->scores);
    if (a->config.out)
        k->gemm_f32(out, out_stride, o, o_stride, rows, vqr_weights_of(a->out, codebook), a->width * VQR_LANES,
                    a->width, vqr_panels(a->config.out), vqr_weights_of(a->out_bias, codebook));
}
