/* HSTU over one codebook's clusters, or over the last events (arXiv 2402.17152 eq 1-3; DMQN eq 11-13). The numbers in
 * comments are the steps of docs/numerics.md, "HSTU block". */
#include <string.h>

#include "runtime/hstu.h"

/* Rows of scratch for biases. */
static size_t bias_rows(const struct vqr_hstu *hstu)
{
    if (hstu->causal)
        return hstu->config.bias != VQR_BIAS_NONE || hstu->buckets ? VQR_ATTENTION_ROWS : 0;
    return hstu->config.bias != VQR_BIAS_NONE ? hstu->tokens : 0;
}

void vqr_hstu_take_scratch(const struct vqr_hstu *hstu, struct vqr_hstu_scratch *scratch, struct vqr_arena *arena)
{
    const struct vqr_header_hstu *c = &hstu->config;
    const size_t w = hstu->tokens, heads = hstu->causal ? c->heads : 1;
    if (c->layers == 0)
        return;
    scratch->x_stride = vqr_padded(hstu->width);
    scratch->uvqk_stride = vqr_padded(hstu->uvqk_width);
    /* A head's output is written in whole panels, so the last one reaches past v_width. */
    scratch->o_stride = vqr_padded(hstu->v_width) + VQR_LANES;
    scratch->z_stride = vqr_padded(hstu->z_width);
    scratch->bias_stride = vqr_padded(w);
    scratch->normed = vqr_take(arena, vqr_times(w, scratch->x_stride), sizeof(float));
    scratch->uvqk = vqr_take(arena, vqr_times(w, scratch->uvqk_stride), sizeof(float));
    scratch->k = vqr_take(arena, vqr_times(heads, vqr_times(vqr_padded(w), c->qk_dim)), sizeof(float));
    scratch->v = vqr_take(arena, vqr_times(heads, vqr_times(w, vqr_padded(c->v_dim))), sizeof(float));
    scratch->bias = vqr_take(arena, vqr_times(bias_rows(hstu), scratch->bias_stride), sizeof(float));
    scratch->o = vqr_take(arena, vqr_times(w, scratch->o_stride), sizeof(float));
    scratch->z = vqr_take(arena, vqr_times(w, scratch->z_stride), sizeof(float));
    scratch->scores = vqr_take(arena, vqr_times(VQR_ATTENTION_ROWS, vqr_padded(w)), sizeof(float));
    struct vqr_int8_needs needs = {0, 0, 0};
    for (size_t i = 0; i < c->layers; i++) {
        vqr_int8_need(&needs, &hstu->layer[i].f1.int8);
        vqr_int8_need(&needs, &hstu->layer[i].f2.int8);
    }
    vqr_int8_rows_take(&needs, &scratch->int8, arena);
}

/* The factor on SiLU(scores), step 4. */
static float score_norm(const struct vqr_hstu *hstu, size_t tokens)
{
    switch (hstu->config.normalize) {
    case VQR_NORMALIZE_TOKENS:
        return (float)(1.0 / (double)hstu->tokens);
    case VQR_NORMALIZE_ATTENDED:
        return (float)(1.0 / (double)tokens);
    case VQR_NORMALIZE_CONSTANT:
        return (float)(1.0 / (double)hstu->config.normalize_constant);
    default:
        return 1.0f;
    }
}

/* The rows and columns of one head's bias [W, W] that belong to tokens; in place when all clusters are tokens. */
static const float *token_bias(const struct vqr_hstu *hstu, struct vqr_hstu_scratch *scratch, const float *bias,
                               const uint32_t *token, size_t tokens)
{
    const size_t stride = scratch->bias_stride;
    if (tokens == hstu->tokens)
        return bias;
    for (size_t i = 0; i < tokens; i++) {
        const float *from = bias + token[i] * stride;
        float *to = scratch->bias + i * stride;
        for (size_t j = 0; j < tokens; j++)
            to[j] = from[token[j]];
        memset(to + tokens, 0, (vqr_padded(tokens) - tokens) * sizeof *to);
    }
    return scratch->bias;
}

/* Steps 3-5: scratch->o from scratch->uvqk, head by head. Heads are written in order, since each may spill zeros over
 * the start of the next. */
static void attend_clusters(const struct vqr_hstu *hstu, const struct vqr_hstu_layer *layer,
                            const struct vqr_kernels *k, struct vqr_hstu_scratch *s, size_t codebook,
                            const uint32_t *token, size_t tokens, float norm)
{
    const struct vqr_header_hstu *c = &hstu->config;
    const float *v_columns = s->uvqk + hstu->v_width, *q_columns = v_columns + hstu->v_width;
    const float *k_columns = q_columns + (size_t)c->heads * c->qk_dim;
    const float *head_bias = vqr_weights_of(layer->bias, codebook), *bias = NULL;
    for (size_t h = 0; h < c->heads; h++) {
        if (head_bias && (h == 0 || c->bias == VQR_BIAS_PER_HEAD))
            bias = token_bias(hstu, s, head_bias + h * hstu->tokens * s->bias_stride, token, tokens);
        k->pack_transposed_f32(s->k, k_columns + h * c->qk_dim, s->uvqk_stride, c->qk_dim, tokens);
        k->pack_f32(s->v, v_columns + h * c->v_dim, s->uvqk_stride, tokens, c->v_dim);
        k->hstu_attention_f32(s->o + h * c->v_dim, s->o_stride, q_columns + h * c->qk_dim, s->uvqk_stride, s->k, s->v,
                              tokens, c->qk_dim, c->v_dim, bias, s->bias_stride, hstu->alpha, norm, s->scores);
    }
}

/* Steps 6-7 for one token: normalises o[v_width] in place and writes z[z_width]; u[v_width] is the gate. */
static void gate(const struct vqr_hstu *hstu, const struct vqr_hstu_layer *layer, const struct vqr_kernels *k,
                 size_t codebook, const float *u, float *o, float *z)
{
    const struct vqr_header_hstu *c = &hstu->config;
    const size_t n = hstu->v_width, group = c->norm == VQR_NORM_GROUP ? c->v_dim : n;
    const float *weight = vqr_weights_of(layer->norm_weight, codebook);
    const float *bias = vqr_weights_of(layer->norm_bias, codebook);
    if (c->output == VQR_OUTPUT_CONCAT_RAW)
        memcpy(z + n, o, n * sizeof *z);
    for (size_t i = 0; i < n; i += group)
        k->layer_norm_f32(o + i, group, o + i, group, 1, group, c->eps, weight ? weight + i : NULL,
                          bias ? bias + i : NULL);
    if (c->output == VQR_OUTPUT_GATED) {
        k->mul_f32(z, u, o, n);
        return;
    }
    memcpy(z, u, n * sizeof *z);
    if (c->output == VQR_OUTPUT_CONCAT)
        memcpy(z + n, o, n * sizeof *z);
    k->mul_f32(z + 2 * n, u, o, n);
}

static void run_layer(const struct vqr_hstu *hstu, const struct vqr_hstu_layer *layer, const struct vqr_kernels *k,
                      struct vqr_hstu_scratch *s, size_t codebook, const struct vqr_hstu_tokens *run, float *x)
{
    const struct vqr_header_hstu *c = &hstu->config;
    const size_t tokens = run->count;
    const float norm = score_norm(hstu, tokens), *in = x;
    if (c->pre_norm) { /* 1 */
        k->layer_norm_f32(s->normed, s->x_stride, x, s->x_stride, tokens, hstu->width, c->eps,
                          vqr_weights_of(layer->pre_norm_weight, codebook),
                          vqr_weights_of(layer->pre_norm_bias, codebook));
        in = s->normed;
    }
    vqr_linear_run(&layer->f1, k, &s->int8, codebook, s->uvqk, s->uvqk_stride, in, s->x_stride, tokens); /* 2 */
    const size_t activated = c->activate == VQR_ACTIVATE_ALL ? hstu->uvqk_width : hstu->v_width;
    for (size_t i = 0; i < tokens; i++)
        k->silu_f32(s->uvqk + i * s->uvqk_stride, s->uvqk + i * s->uvqk_stride, activated);
    if (hstu->causal)
        vqr_hstu_attend_causal(hstu, layer, k, s, run, norm);
    else
        attend_clusters(hstu, layer, k, s, codebook, run->cluster, tokens, norm);
    for (size_t i = 0; i < tokens; i++)
        gate(hstu, layer, k, codebook, s->uvqk + i * s->uvqk_stride, s->o + i * s->o_stride, s->z + i * s->z_stride);
    float *y = c->residual ? s->normed : x; /* 8: the normed copy is free again, x is still needed for the residual */
    vqr_linear_run(&layer->f2, k, &s->int8, codebook, y, s->x_stride, s->z, s->z_stride, tokens);
    if (c->residual)
        for (size_t i = 0; i < tokens; i++)
            k->add_f32(x + i * s->x_stride, y + i * s->x_stride, x + i * s->x_stride, hstu->width);
}

void vqr_hstu_run(const struct vqr_hstu *hstu, const struct vqr_kernels *k, struct vqr_hstu_scratch *scratch,
                  size_t codebook, const struct vqr_hstu_tokens *tokens, float *x)
{
    for (size_t i = 0; i < hstu->config.layers; i++)
        run_layer(hstu, &hstu->layer[i], k, scratch, codebook, tokens, x);
}
