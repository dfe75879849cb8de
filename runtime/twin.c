/* TWIN (docs/model.md, arXiv 2302.02352): each head of a candidate attends to those of the last events that score
 * highest in it. Keys and values of all are packed once per history; a candidate scores all of them, and of those that
 * it chooses takes the values. */
#include <stdlib.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/last_events.h"
#include "runtime/memory.h"
#include "runtime/model.h"
#include "runtime/target_attention.h"

struct twin {
    struct vqr_last_events events; /* first: last_events.h */
    size_t top;
    struct vqr_target_attention attention; /* of kind dot */
};

struct twin_state {
    struct vqr_event_ring ring; /* first */
    struct vqr_interests interests;
};

struct twin_scratch {
    struct vqr_event_rows staged, listed; /* first; of the call under way; the ring's, oldest first */
    struct vqr_target_scratch attention;  /* its scores: [VQR_ATTENTION_ROWS, padded(M)] */
    float *kept;                          /* [padded(M)] scores while choosing */
    uint32_t *places;                     /* [padded(M)] and whose they are */
    uint32_t *chosen;                     /* [top] one head's events, oldest first, for one candidate */
    float *logits;                        /* [padded(top)] their scores */
    float *v;                             /* panels of [top, dim] their values */
    float *weights;                       /* [VQR_ATTENTION_ROWS, padded(top)] */
};

/* A score that is compared while choosing counts as 16, like an exponential. */
static double candidate_work(const struct twin *twin)
{
    const struct vqr_header_attention *c = &twin->attention.config;
    const double dim = (double)c->dim, heads = (double)c->heads;
    return heads * dim * ((double)twin->attention.candidate_width + (double)c->out) +
           heads * ((double)twin->events.last * (dim + 16.0) + (double)twin->top * (2.0 * dim + 16.0));
}

static enum vqr_status bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                            struct vqr_sequence *sequence)
{
    struct twin *twin = sequence->self = vqr_allocate(1, sizeof *twin, binder->error);
    if (!twin)
        return VQR_ERROR_MEMORY;
    enum vqr_status status = vqr_last_events_bind(binder, header, &twin->events);
    if (!status)
        status = vqr_check_range(binder, header->name, "top", header->top, 1, header->last);
    if (status)
        return status;
    twin->top = header->top;
    status = vqr_target_bind(binder, header, 1, header->last, &twin->attention);
    if (!status)
        status = vqr_refuse_int8_state(binder, header->name, &twin->attention);
    sequence->tokens = header->last;
    sequence->work = vqr_target_work(&twin->attention);
    sequence->candidate_work = candidate_work(twin);
    sequence->interest_width = twin->attention.out_width;
    return status;
}

static void unbind(struct vqr_sequence *sequence)
{
    struct twin *twin = sequence->self;
    if (twin)
        vqr_target_unbind(&twin->attention);
    free(twin);
    sequence->self = NULL;
}

static void *take_scratch(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct twin *twin = sequence->self;
    const size_t top = twin->top;
    struct twin_scratch counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    vqr_event_rows_take(&twin->events, &s->staged, arena);
    vqr_event_rows_take(&twin->events, &s->listed, arena);
    vqr_target_take_scratch(&twin->attention, &s->attention, arena);
    s->kept = vqr_take(arena, vqr_padded(twin->events.last), sizeof *s->kept);
    s->places = vqr_take(arena, vqr_padded(twin->events.last), sizeof *s->places);
    s->chosen = vqr_take(arena, top, sizeof *s->chosen);
    s->logits = vqr_take(arena, vqr_padded(top), sizeof *s->logits);
    s->v = vqr_take(arena, vqr_times(top, vqr_padded(twin->attention.config.dim)), sizeof *s->v);
    s->weights = vqr_take(arena, vqr_times(VQR_ATTENTION_ROWS, vqr_padded(top)), sizeof *s->weights);
    return taken;
}

static void *take_state(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct twin *twin = sequence->self;
    struct twin_state counting, *taken = vqr_take(arena, 1, sizeof *taken), *st = taken ? taken : &counting;
    vqr_event_rows_take(&twin->events, &st->ring.rows, arena);
    vqr_interests_take(&twin->attention, &st->interests, arena);
    return taken;
}

static void reset(const struct vqr_sequence *sequence, void *state)
{
    struct twin_state *st = state;
    (void)sequence;
    st->ring.count = st->ring.next = st->interests.tokens = 0;
}

static enum vqr_status refresh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                               void *state, struct vqr_error *error)
{
    const struct twin *twin = sequence->self;
    struct twin_scratch *s = scratch;
    struct twin_state *st = state;
    vqr_event_ring_list(&twin->events, &st->ring, &s->listed);
    if (vqr_interests_compute(&twin->attention, k, &s->attention, 0, s->listed.e, st->ring.count, NULL, &st->interests))
        return VQR_OK;
    st->interests.tokens = 0;
    return vqr_refuse_last_events(sequence->name, error);
}

/* q . k of all events in head h, for the `rows` queries from `first` on: s->attention.scores. */
static void score_events(const struct twin *twin, const struct vqr_kernels *k, struct twin_scratch *s,
                         const struct vqr_interests *interests, size_t h, size_t first, size_t rows)
{
    const size_t dim = twin->attention.config.dim, stride = vqr_padded(interests->tokens);
    k->gemm_f32(s->attention.scores, stride, s->attention.q + first * s->attention.q_stride + h * dim,
                s->attention.q_stride, rows, interests->k + h * stride * dim, dim * VQR_LANES, dim,
                vqr_panels(interests->tokens), NULL);
}

/* The events that row r of the scores chooses, and their scores; returns how many. Choosing comes first, then the
 * factor alpha, which is above 0.
 *
 * Overflow: chains of fma over finite numbers may end in an infinity, never in NaN. A positive one is always chosen,
 * and what comes of it is not finite and refused; a negative one has no weight, chosen or not, as in attention to all.
 * Queries that are not finite leave no score that is. */
static size_t choose(const struct twin *twin, const struct vqr_kernels *k, struct twin_scratch *s, size_t tokens,
                     size_t r)
{
    const float *scores = s->attention.scores + r * vqr_padded(tokens);
    const size_t count = tokens < twin->top ? tokens : twin->top;
    k->top_f32(s->chosen, scores, tokens, twin->top, s->kept, s->places);
    memset(s->logits, 0, vqr_padded(count) * sizeof *s->logits);
    for (size_t i = 0; i < count; i++)
        s->logits[i] = twin->attention.dot.alpha * scores[s->chosen[i]];
    return count;
}

/* Head h's values of the chosen events, one panel after another. */
static void gather_values(const struct twin *twin, struct twin_scratch *s, const struct vqr_interests *interests,
                          size_t h, size_t count)
{
    const size_t dim = twin->attention.config.dim, tokens = interests->tokens;
    const float *v = interests->v + h * tokens * vqr_padded(dim);
    float *to = s->v;
    for (size_t p = 0; p < vqr_panels(dim); p++, v += tokens * VQR_LANES)
        for (size_t i = 0; i < count; i++, to += VQR_LANES)
            memcpy(to, v + s->chosen[i] * (size_t)VQR_LANES, VQR_LANES * sizeof *to);
}

static void attend(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                   const struct vqr_candidates *c, float *out, size_t out_stride)
{
    const struct twin *twin = sequence->self;
    const struct vqr_interests *interests = &((const struct twin_state *)state)->interests;
    struct twin_scratch *s = scratch;
    const size_t dim = twin->attention.config.dim, tokens = interests->tokens;
    if (tokens == 0) {
        for (size_t r = 0; r < c->rows; r++)
            memset(out + r * out_stride, 0, sequence->interest_width * sizeof *out);
        return;
    }
    size_t o_stride = out_stride;
    float *o = vqr_dot_heads(&twin->attention, &s->attention, out, &o_stride);
    vqr_interests_ask(&twin->attention, k, &s->attention, 0, c->t, c->stride, c->rows);
    for (size_t h = 0; h < twin->attention.config.heads; h++)
        for (size_t r = 0; r < c->rows; r++) {
            const size_t row = r % VQR_ATTENTION_ROWS, left = c->rows - r;
            if (row == 0)
                score_events(twin, k, s, interests, h, r, left < VQR_ATTENTION_ROWS ? left : VQR_ATTENTION_ROWS);
            const size_t count = choose(twin, k, s, tokens, row);
            gather_values(twin, s, interests, h, count);
            k->softmax_attention_f32(o + r * o_stride + h * dim, o_stride, NULL, 0, 1, 1, NULL, 0, s->v, 0, count, 0,
                                     dim, s->logits, 1.0f, s->weights);
        }
    vqr_dot_output(&twin->attention, k, &s->attention, 0, c->rows, out, out_stride);
}

/* weights[M]: the newest event's is the last; the mean over heads, of which each may choose other events. */
static void weigh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                  const struct vqr_candidates *c, float *weights)
{
    const struct twin *twin = sequence->self;
    const struct vqr_interests *interests = &((const struct twin_state *)state)->interests;
    struct twin_scratch *s = scratch;
    const size_t heads = twin->attention.config.heads, last = twin->events.last, none = last - interests->tokens;
    memset(weights, 0, last * sizeof *weights);
    if (interests->tokens == 0)
        return;
    vqr_interests_ask(&twin->attention, k, &s->attention, 0, c->t, 0, 1);
    for (size_t h = 0; h < heads; h++) {
        score_events(twin, k, s, interests, h, 0, 1);
        const size_t count = choose(twin, k, s, interests->tokens, 0);
        k->softmax_weights_f32(s->weights, vqr_padded(count), NULL, 0, 1, NULL, count, 0, s->logits, 1.0f);
        for (size_t i = 0; i < count; i++)
            weights[none + s->chosen[i]] += s->weights[i];
    }
    for (size_t i = 0; i < last; i++)
        weights[i] /= (float)heads;
}

const struct vqr_sequence_ops vqr_twin = {
    .bind = bind,
    .unbind = unbind,
    .take_scratch = take_scratch,
    .take_state = take_state,
    .reset = reset,
    .append = vqr_last_events_append,
    .commit = vqr_last_events_commit,
    .refresh = refresh,
    .attend = attend,
    .weigh = weigh,
};
