/* Target attention of kind "dot": keys and values of the tokens, and the candidates' queries against them. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/dot_int8.h"
#include "runtime/model.h"
#include "runtime/target_attention.h"

static enum vqr_status bind(struct vqr_binder *binder, const struct vqr_header_sequence *header, size_t stack,
                            struct vqr_target_attention *attention)
{
    struct vqr_dot_attention *a = &attention->dot;
    const struct vqr_header_attention *c = &attention->config;
    const struct {
        const char *part;
        struct vqr_linear *linear;
        size_t in;
    } linears[] = {
        {"q", &a->q, attention->candidate_width},
        {"k", &a->k, attention->width},
        {"v", &a->v, attention->width},
    };
    char name[VQR_NAME_SIZE];
    enum vqr_status status = vqr_check_range(binder, header->name, "attention heads", c->heads, 1, VQR_COUNT_MAX);
    if (!status)
        status = vqr_check_range(binder, header->name, "attention dim", c->dim, 1, VQR_COUNT_MAX);
    if (!status)
        status = vqr_check_range(binder, header->name, "attention out", c->out, 0, VQR_COUNT_MAX);
    if (!status && (c->state < VQR_KEPT_F32 || c->state > VQR_KEPT_INT8))
        status = vqr_refuse_unknown(binder, c->state, "sequence \"%s\": attention state", header->name);
    a->int8 = c->state == VQR_KEPT_INT8;
    a->width = (size_t)c->heads * c->dim;
    a->alpha = (float)(1.0 / sqrt((double)c->dim));
    attention->out_width = c->out ? c->out : a->width;
    attention->work = 2.0 * (double)a->width * (double)attention->width; /* keys and values */
    attention->candidate_work = (double)a->width * ((double)attention->candidate_width + (double)c->out) +
                                (double)attention->tokens * (double)c->heads * (2.0 * (double)c->dim + 16.0);
    for (size_t i = 0; !status && i < sizeof linears / sizeof *linears; i++) {
        snprintf(name, sizeof name, "sequences.%s.attention.%s", header->name, linears[i].part);
        status = vqr_bind_linear(binder, linears[i].linear, stack, linears[i].in, a->width, name);
    }
    if (!status && c->out) {
        snprintf(name, sizeof name, "sequences.%s.attention.out", header->name);
        status = vqr_bind_linear(binder, &a->out, stack, a->width, c->out, name);
    }
    return status || !a->int8 ? status : vqr_dot_int8_bind(binder, header->name, attention);
}

static void take_scratch(const struct vqr_target_attention *attention, struct vqr_target_scratch *scratch,
                         struct vqr_arena *arena)
{
    const struct vqr_dot_attention *a = &attention->dot;
    const size_t tokens = attention->tokens, stride = vqr_padded(a->width);
    scratch->q_stride = stride;
    scratch->q = vqr_take(arena, vqr_times(VQR_CANDIDATE_BLOCK, stride), sizeof(float));
    scratch->kv = vqr_take(arena, vqr_times(tokens, stride), sizeof(float));
    scratch->count = vqr_take(arena, vqr_padded(tokens), sizeof(float));
    scratch->o = vqr_take(arena, vqr_times(VQR_CANDIDATE_BLOCK, stride + VQR_LANES), sizeof(float));
    const struct vqr_linear *const layers[] = {&a->q, &a->k, &a->v, &a->out};
    struct vqr_int8_needs needs = {0, 0, 0};
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        vqr_int8_need(&needs, &layers[i]->int8);
    vqr_int8_rows_take(&needs, &scratch->int8, arena);
    if (a->int8)
        vqr_dot_int8_take_scratch(attention, scratch, arena);
}

static void take_interests(const struct vqr_target_attention *attention, struct vqr_interests *interests,
                           struct vqr_arena *arena)
{
    const struct vqr_header_attention *c = &attention->config;
    const size_t w = attention->tokens;
    if (attention->dot.int8) {
        vqr_dot_int8_take_interests(attention, interests, arena);
    } else {
        interests->k = vqr_take(arena, vqr_times(c->heads, vqr_times(vqr_padded(w), c->dim)), sizeof(float));
        interests->v = vqr_take(arena, vqr_times(c->heads, vqr_times(w, vqr_padded(c->dim))), sizeof(float));
    }
    interests->log_counts = vqr_take(arena, c->count_bias ? vqr_padded(w) : 0, sizeof(float));
}

static void take_rows(const struct vqr_target_attention *attention, size_t tokens, struct vqr_token_rows *rows,
                      struct vqr_arena *arena)
{
    const size_t size = vqr_times(tokens, vqr_padded(attention->dot.width));
    rows->k = vqr_take(arena, size, sizeof *rows->k);
    rows->v = vqr_take(arena, size, sizeof *rows->v);
}

/* Keys or values of the tokens x as rows. Returns 0 if one is not finite. */
static int project_rows(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                        const struct vqr_linear *linear, struct vqr_int8_rows *scratch, size_t codebook, const float *x,
                        size_t tokens, float *rows)
{
    const size_t stride = vqr_padded(attention->dot.width);
    vqr_linear_run(linear, k, scratch, codebook, rows, stride, x, vqr_padded(attention->width), tokens);
    return k->finite_f32(rows, tokens * stride);
}

static int project(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                   struct vqr_target_scratch *scratch, const float *x, size_t tokens, const struct vqr_token_rows *rows)
{
    return project_rows(attention, k, &attention->dot.k, &scratch->int8, 0, x, tokens, rows->k) &&
           project_rows(attention, k, &attention->dot.v, &scratch->int8, 0, x, tokens, rows->v);
}

/* Rows of keys and of values, as many as there are tokens, head by head. */
static void pack_keys(const struct vqr_target_attention *attention, const struct vqr_kernels *k, const float *rows,
                      struct vqr_interests *interests)
{
    const size_t dim = attention->config.dim, tokens = interests->tokens;
    for (size_t h = 0; h < attention->config.heads; h++)
        k->pack_transposed_f32(interests->k + h * vqr_padded(tokens) * dim, rows + h * dim,
                               vqr_padded(attention->dot.width), dim, tokens);
}

static void pack_values(const struct vqr_target_attention *attention, const struct vqr_kernels *k, const float *rows,
                        struct vqr_interests *interests)
{
    const size_t dim = attention->config.dim, tokens = interests->tokens;
    for (size_t h = 0; h < attention->config.heads; h++)
        k->pack_f32(interests->v + h * tokens * vqr_padded(dim), rows + h * dim, vqr_padded(attention->dot.width),
                    tokens, dim);
}

static void pack(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                 const struct vqr_token_rows *rows, size_t first, struct vqr_interests *interests)
{
    const size_t from = first * vqr_padded(attention->dot.width);
    pack_keys(attention, k, rows->k + from, interests);
    pack_values(attention, k, rows->v + from, interests);
}

static void log_counts(const struct vqr_kernels *k, struct vqr_target_scratch *s, const uint32_t *counts, size_t tokens,
                       float *out)
{
    memset(out, 0, vqr_padded(tokens) * sizeof *out);
    for (size_t t = 0; t < tokens; t++)
        s->count[t] = (float)(counts[t] > 1 ? counts[t] : 1); /* exact: at most 2^24 */
    k->log_f32(out, s->count, tokens);
}

static int compute(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                   struct vqr_target_scratch *scratch, size_t codebook, const float *x, const uint32_t *counts,
                   struct vqr_interests *interests)
{
    const struct vqr_dot_attention *a = &attention->dot;
    const size_t tokens = interests->tokens;
    if (!project_rows(attention, k, &a->k, &scratch->int8, codebook, x, tokens, scratch->kv))
        return 0;
    if (a->int8)
        vqr_dot_int8_keep_keys(attention, k, scratch, interests);
    else
        pack_keys(attention, k, scratch->kv, interests);
    if (!project_rows(attention, k, &a->v, &scratch->int8, codebook, x, tokens, scratch->kv))
        return 0;
    if (a->int8)
        vqr_dot_int8_keep_values(attention, k, scratch, interests);
    else
        pack_values(attention, k, scratch->kv, interests);
    if (attention->config.count_bias)
        log_counts(k, scratch, counts, tokens, interests->log_counts);
    return 1;
}

static void ask(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                struct vqr_target_scratch *scratch, size_t codebook, const float *t, size_t t_stride, size_t rows)
{
    vqr_linear_run(&attention->dot.q, k, &scratch->int8, codebook, scratch->q, scratch->q_stride, t, t_stride, rows);
}

float *vqr_dot_heads(const struct vqr_target_attention *attention, const struct vqr_target_scratch *scratch, float *out,
                     size_t *stride)
{
    if (!attention->config.out)
        return out;
    *stride = scratch->q_stride + VQR_LANES;
    return scratch->o;
}

void vqr_dot_output(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                    struct vqr_target_scratch *scratch, size_t codebook, size_t rows, float *out, size_t out_stride)
{
    if (attention->config.out)
        vqr_linear_run(&attention->dot.out, k, &scratch->int8, codebook, out, out_stride, scratch->o,
                       scratch->q_stride + VQR_LANES, rows);
}

static void attend(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                   struct vqr_target_scratch *scratch, size_t codebook, const struct vqr_interests *interests,
                   size_t rows, float *out, size_t out_stride)
{
    const struct vqr_dot_attention *a = &attention->dot;
    const struct vqr_header_attention *c = &attention->config;
    const size_t dim = c->dim, tokens = interests->tokens;
    size_t o_stride = out_stride;
    float *o = vqr_dot_heads(attention, scratch, out, &o_stride);
    for (size_t h = 0; a->int8 && h < c->heads; h++)
        vqr_dot_int8_attend(attention, k, scratch, interests, h, rows, o + h * dim, o_stride);
    if (!a->int8)
        k->softmax_attention_f32(o, o_stride, scratch->q, scratch->q_stride, rows, c->heads, interests->k,
                                 vqr_padded(tokens) * dim, interests->v, tokens * vqr_padded(dim), tokens, dim, dim,
                                 c->count_bias ? interests->log_counts : NULL, a->alpha, scratch->scores);
    vqr_dot_output(attention, k, scratch, codebook, rows, out, out_stride);
}

static void weigh(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                  struct vqr_target_scratch *scratch, size_t codebook, const struct vqr_interests *interests,
                  float *weights)
{
    (void)codebook;
    const struct vqr_header_attention *c = &attention->config;
    const size_t dim = c->dim, tokens = interests->tokens;
    memset(weights, 0, tokens * sizeof *weights);
    for (size_t h = 0; h < c->heads; h++) {
        if (attention->dot.int8)
            vqr_dot_int8_weigh(attention, k, scratch, interests, h);
        else
            k->softmax_weights_f32(scratch->scores, vqr_padded(tokens), scratch->q + h * dim, scratch->q_stride, 1,
                                   interests->k + h * vqr_padded(tokens) * dim, tokens, dim,
                                   c->count_bias ? interests->log_counts : NULL, attention->dot.alpha);
        k->add_f32(weights, weights, scratch->scores, tokens);
    }
    for (size_t i = 0; i < tokens; i++)
        weights[i] /= (float)c->heads;
}

const struct vqr_attention_ops vqr_dot_attention_ops = {
    .bind = bind,
    .take_scratch = take_scratch,
    .take_interests = take_interests,
    .compute = compute,
    .take_rows = take_rows,
    .project = project,
    .pack = pack,
    .ask = ask,
    .attend = attend,
    .weigh = weigh,
};
