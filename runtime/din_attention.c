/* Target attention of kind "din" (arXiv 1706.06978): a network weighs each token for each candidate.
 *
 * Its first layer W [t', y, t' - y, t' * y] + b is linear in y once t' is known:
 *
 *     (Wt + Wd) t' + b  +  y (Wy - Wd + t' * Wp)
 *
 * so a candidate makes one matrix M of the bracket, D x first, and all tokens go through it as one product started
 * from the rest. What depends on a token alone, y (Wy - Wd), costs nothing of its own that way: M has the same shape
 * with it and without. */
#include <stdio.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/memory.h"
#include "runtime/model.h"
#include "runtime/target_attention.h"

static enum vqr_status bind_first(struct vqr_binder *binder, size_t stack, struct vqr_target_attention *attention,
                                  const char *name)
{
    struct vqr_din_attention *a = &attention->din;
    struct vqr_linear *first = &a->layer[0];
    const struct {
        const char *part;
        struct vqr_weights *weight;
    } parts[] = {{"target", &a->target}, {"event", &a->event}, {"product", &a->product}};
    char text[VQR_NAME_SIZE + 32];
    enum vqr_status status = VQR_OK;
    for (size_t i = 0; !status && i < sizeof parts / sizeof *parts; i++) {
        snprintf(text, sizeof text, "%s.0.%s", name, parts[i].part);
        status = vqr_bind_matrix(binder, parts[i].weight, stack, attention->width, first->out, text);
    }
    snprintf(text, sizeof text, "%s.0.bias", name);
    return status ? status : vqr_bind_row(binder, &first->bias, stack, first->out, text);
}

static enum vqr_status bind_mlp(struct vqr_binder *binder, const struct vqr_header_sequence *header, size_t stack,
                                struct vqr_target_attention *attention)
{
    struct vqr_din_attention *a = &attention->din;
    const struct vqr_header_attention *c = &attention->config;
    char mlp[VQR_NAME_SIZE], name[VQR_NAME_SIZE + 32], where[VQR_NAME_SIZE];
    snprintf(mlp, sizeof mlp, "sequences.%s.attention.mlp", header->name);
    snprintf(where, sizeof where, "sequence \"%s\": attention", header->name);
    enum vqr_status status = vqr_check_activation(binder, c->activation, where);
    for (size_t i = 0, in = 4 * attention->width; !status && i < a->layers; i++) {
        struct vqr_linear *layer = &a->layer[i];
        layer->in = in;
        layer->out = i < c->hidden_count ? vqr_header_attention_hidden(&binder->model->header, header->index, i) : 1;
        status =
            vqr_check_range(binder, header->name, "attention hidden width", (uint32_t)layer->out, 1, VQR_COUNT_MAX);
        snprintf(name, sizeof name, "%s.%zu", mlp, i);
        if (!status)
            status = i == 0 ? bind_first(binder, stack, attention, mlp)
                            : vqr_bind_linear(binder, layer, stack, in, layer->out, name);
        if (!status && i < c->hidden_count)
            status = vqr_bind_activation(binder, &a->activation[i], c->activation, stack, layer->out, name);
        a->widest = layer->out > a->widest ? layer->out : a->widest;
        in = layer->out;
    }
    return status;
}

/* The query and the first layer's weights, then the network over every token. Its layers are a few numbers in a file,
 * the tokens one more: only their product tells what a candidate costs. */
static double candidate_work(const struct vqr_target_attention *attention)
{
    const struct vqr_din_attention *a = &attention->din;
    const double d = (double)attention->width, first = (double)a->layer[0].out;
    double token = d * first + d; /* the first layer, and the token's part of the interests */
    for (size_t i = 1; i < a->layers; i++)
        token += (double)a->layer[i].in * ((double)a->layer[i].out + 16.0);
    return d * (double)attention->candidate_width + 2.0 * d * first + (double)attention->tokens * (token + 16.0);
}

static enum vqr_status bind(struct vqr_binder *binder, const struct vqr_header_sequence *header, size_t stack,
                            struct vqr_target_attention *attention)
{
    struct vqr_din_attention *a = &attention->din;
    const struct vqr_header_attention *c = &attention->config;
    char name[VQR_NAME_SIZE];
    if (c->hidden_count >= VQR_LAYERS_MAX)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                        "sequence \"%s\": %zu hidden layers of its attention, expected fewer than %d", header->name,
                        c->hidden_count, VQR_LAYERS_MAX);
    a->layers = c->hidden_count + 1;
    a->layer = vqr_allocate(a->layers, sizeof *a->layer, binder->error);
    a->activation = vqr_allocate(a->layers, sizeof *a->activation, binder->error);
    if (!a->layer || !a->activation)
        return VQR_ERROR_MEMORY;
    attention->out_width = attention->width;
    attention->work = (double)attention->width; /* a copy */
    snprintf(name, sizeof name, "sequences.%s.attention.q", header->name);
    enum vqr_status status = vqr_bind_linear(binder, &a->q, stack, attention->candidate_width, attention->width, name);
    if (!status)
        status = bind_mlp(binder, header, stack, attention);
    if (!status)
        attention->candidate_work = candidate_work(attention);
    return status;
}

static void take_scratch(const struct vqr_target_attention *attention, struct vqr_target_scratch *scratch,
                         struct vqr_arena *arena)
{
    const struct vqr_din_attention *a = &attention->din;
    const size_t tokens = attention->tokens, first = a->layer[0].out;
    scratch->q_stride = vqr_padded(attention->width);
    scratch->c_stride = vqr_padded(first);
    scratch->mlp_stride = vqr_padded(a->widest);
    scratch->q = vqr_take(arena, vqr_times(VQR_CANDIDATE_BLOCK, scratch->q_stride), sizeof(float));
    scratch->c = vqr_take(arena, vqr_times(VQR_CANDIDATE_BLOCK, scratch->c_stride), sizeof(float));
    scratch->m = vqr_take(arena, vqr_times(attention->width, scratch->c_stride), sizeof(float));
    scratch->a = vqr_take(arena, vqr_times(tokens, scratch->mlp_stride), sizeof(float));
    scratch->b = vqr_take(arena, vqr_times(tokens, scratch->mlp_stride), sizeof(float));
    scratch->logits = vqr_take(arena, vqr_padded(tokens), sizeof(float));
    struct vqr_int8_needs needs = {0, 0, 0};
    vqr_int8_need(&needs, &a->q.int8);
    for (size_t i = 1; i < a->layers; i++)
        vqr_int8_need(&needs, &a->layer[i].int8);
    vqr_int8_rows_take(&needs, &scratch->int8, arena);
}

static void take_interests(const struct vqr_target_attention *attention, struct vqr_interests *interests,
                           struct vqr_arena *arena)
{
    const size_t size = vqr_times(attention->tokens, vqr_padded(attention->width));
    interests->y = vqr_take(arena, size, sizeof(float));
    interests->v = vqr_take(arena, size, sizeof(float));
}

static void take_rows(const struct vqr_target_attention *attention, size_t tokens, struct vqr_token_rows *rows,
                      struct vqr_arena *arena)
{
    rows->y = vqr_take(arena, vqr_times(tokens, vqr_padded(attention->width)), sizeof *rows->y);
}

/* The tokens as they are. Returns 0 if one is not finite. */
static int copy_tokens(const struct vqr_target_attention *attention, const struct vqr_kernels *k, const float *x,
                       size_t tokens, float *y)
{
    const size_t d = attention->width, stride = vqr_padded(d);
    for (size_t i = 0; i < tokens; i++) {
        memcpy(y + i * stride, x + i * stride, d * sizeof *x);
        if (!k->finite_f32(y + i * stride, d))
            return 0;
    }
    return 1;
}

static int project(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                   struct vqr_target_scratch *scratch, const float *x, size_t tokens, const struct vqr_token_rows *rows)
{
    (void)scratch;
    return copy_tokens(attention, k, x, tokens, rows->y);
}

static void pack(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                 const struct vqr_token_rows *rows, size_t first, struct vqr_interests *interests)
{
    const size_t d = attention->width, stride = vqr_padded(d), tokens = interests->tokens;
    const float *y = rows->y + first * stride;
    for (size_t i = 0; i < tokens; i++)
        memcpy(interests->y + i * stride, y + i * stride, d * sizeof *y);
    k->pack_f32(interests->v, interests->y, stride, tokens, d);
}

static int compute(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                   struct vqr_target_scratch *scratch, size_t codebook, const float *x, const uint32_t *counts,
                   struct vqr_interests *interests)
{
    (void)scratch, (void)codebook, (void)counts;
    const size_t tokens = interests->tokens;
    if (!copy_tokens(attention, k, x, tokens, interests->y))
        return 0;
    k->pack_f32(interests->v, interests->y, vqr_padded(attention->width), tokens, attention->width);
    return 1;
}

/* t' and the first layer's chains over it, for a block of candidates. */
static void ask(const struct vqr_target_attention *attention, const struct vqr_kernels *k, struct vqr_target_scratch *s,
                size_t codebook, const float *t, size_t t_stride, size_t rows)
{
    const struct vqr_din_attention *a = &attention->din;
    const size_t d = attention->width;
    vqr_linear_run(&a->q, k, &s->int8, codebook, s->q, s->q_stride, t, t_stride, rows);
    k->gemm_f32(s->c, s->c_stride, s->q, s->q_stride, rows, vqr_weights_of(a->target, codebook), d * VQR_LANES, d,
                vqr_panels(a->layer[0].out), vqr_weights_of(a->layer[0].bias, codebook));
}

/* a_k of all tokens for the candidate of row r: s->logits[padded(tokens)]. */
static void weigh_tokens(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                         struct vqr_target_scratch *s, size_t codebook, const struct vqr_interests *interests, size_t r)
{
    const struct vqr_din_attention *a = &attention->din;
    const size_t d = attention->width, tokens = interests->tokens, stride = s->mlp_stride;
    float *x = s->a, *next = s->b;
    k->madd_panels_f32(s->m, s->q + r * s->q_stride, vqr_weights_of(a->product, codebook),
                       vqr_weights_of(a->event, codebook), d, vqr_panels(a->layer[0].out));
    k->gemm_f32(x, stride, interests->y, vqr_padded(d), tokens, s->m, d * VQR_LANES, d, vqr_panels(a->layer[0].out),
                s->c + r * s->c_stride);
    for (size_t i = 1; i < a->layers; i++) {
        const struct vqr_linear *layer = &a->layer[i];
        vqr_activate(&a->activation[i - 1], k, codebook, x, stride, tokens, layer->in);
        vqr_linear_run(layer, k, &s->int8, codebook, next, stride, x, stride, tokens);
        float *const swap = x;
        x = next;
        next = swap;
    }
    memset(s->logits, 0, vqr_padded(tokens) * sizeof *s->logits);
    for (size_t i = 0; i < tokens; i++)
        s->logits[i] = x[i * stride];
}

static void attend(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                   struct vqr_target_scratch *scratch, size_t codebook, const struct vqr_interests *interests,
                   size_t rows, float *out, size_t out_stride)
{
    const size_t d = attention->width, tokens = interests->tokens;
    for (size_t r = 0; r < rows; r++) {
        weigh_tokens(attention, k, scratch, codebook, interests, r);
        if (attention->config.softmax) /* keys of width 0, wherever they are: the scores are the bias alone */
            k->softmax_attention_f32(out + r * out_stride, out_stride, scratch->q, 0, 1, 1, interests->v, 0,
                                     interests->v, 0, tokens, 0, d, scratch->logits, 1.0f, scratch->scores);
        else
            k->gemm_f32(out + r * out_stride, out_stride, scratch->logits, 0, 1, interests->v, tokens * VQR_LANES,
                        tokens, vqr_panels(d), NULL);
    }
}

static void weigh(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                  struct vqr_target_scratch *scratch, size_t codebook, const struct vqr_interests *interests,
                  float *weights)
{
    const size_t tokens = interests->tokens;
    weigh_tokens(attention, k, scratch, codebook, interests, 0);
    const float *a = scratch->logits;
    if (attention->config.softmax) {
        k->softmax_weights_f32(scratch->scores, vqr_padded(tokens), scratch->q, 0, 1, interests->v, tokens, 0,
                               scratch->logits, 1.0f);
        a = scratch->scores;
    }
    memcpy(weights, a, tokens * sizeof *weights);
}

const struct vqr_attention_ops vqr_din_attention_ops = {
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
