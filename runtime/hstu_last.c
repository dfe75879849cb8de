/* The sequence of kind "hstu" (docs/model.md): HSTU over the last events of a history, in their order. A candidate
 * attends to what it makes of them, or takes what it makes of the last as it is. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/error.h"
#include "runtime/hstu.h"
#include "runtime/last_events.h"
#include "runtime/memory.h"
#include "runtime/model.h"
#include "runtime/target_attention.h"

enum { BUCKETS_MAX = 144 }; /* e^(0.301 b) stays below 2^63 seconds */

struct hstu_last {
    struct vqr_last_events events; /* first: last_events.h */
    float scale;                   /* of an event's embedding on its way in; 1: none */
    struct vqr_weights position;   /* [last, D] padded, or none */
    struct vqr_hstu hstu;          /* of one "codebook", number 0, as the attention */
    bool attends;                  /* else the last token's output is the interest vector */
    struct vqr_target_attention attention;
};

struct hstu_last_state {
    struct vqr_event_ring ring;     /* first */
    struct vqr_interests interests; /* with attention */
    float *y;                       /* [padded(D)] without: of the last token, once `tokens` are there */
    size_t tokens;                  /* that the last refresh was over */
};

struct hstu_last_scratch {
    struct vqr_event_rows staged, listed; /* first; of the call under way; the ring's in order, then HSTU's tokens */
    struct vqr_hstu_scratch hstu;
    struct vqr_target_scratch attention;
};

/* ---- opening ---- */

static enum vqr_status check(struct vqr_binder *binder, const struct vqr_header_sequence *header)
{
    enum vqr_status status =
        vqr_check_range(binder, header->name, "time_buckets", header->time_buckets, 0, BUCKETS_MAX);
    if (!status && header->scale != VQR_SCALE_ONE && header->scale != VQR_SCALE_SQRT)
        status = vqr_refuse_unknown(binder, header->scale, "sequence \"%s\": scale", header->name);
    return status;
}

static enum vqr_status bind_position(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                                     struct hstu_last *last)
{
    return vqr_bind_rows(binder, &last->position.data, header->last, last->events.width, "sequences.%s.position",
                         header->name);
}

static enum vqr_status bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                            struct vqr_sequence *sequence)
{
    struct hstu_last *last = sequence->self = vqr_allocate(1, sizeof *last, binder->error);
    if (!last)
        return VQR_ERROR_MEMORY;
    enum vqr_status status = vqr_last_events_bind(binder, header, &last->events);
    if (!status)
        status = check(binder, header);
    if (status)
        return status;
    const size_t width = last->events.width;
    last->events.timed = header->time_buckets > 0;
    last->scale = header->scale == VQR_SCALE_SQRT ? (float)sqrt((double)width) : 1.0f;
    last->attends = header->attention.kind != VQR_ATTENTION_NONE;
    last->hstu = (struct vqr_hstu){
        .width = width, .tokens = header->last, .codebooks = 1, .causal = true, .buckets = header->time_buckets};
    status = vqr_hstu_bind(binder, header, &last->hstu);
    if (!status && header->positions)
        status = bind_position(binder, header, last);
    if (!status && last->attends)
        status = vqr_target_bind(binder, header, 1, header->last, &last->attention);
    sequence->tokens = header->last;
    sequence->work = vqr_hstu_work(&last->hstu) + vqr_target_work(&last->attention);
    sequence->candidate_work = last->attention.candidate_work;
    sequence->interest_width = last->attends ? last->attention.out_width : width;
    return status;
}

static void unbind(struct vqr_sequence *sequence)
{
    struct hstu_last *last = sequence->self;
    if (last) {
        vqr_hstu_unbind(&last->hstu);
        vqr_target_unbind(&last->attention);
    }
    free(last);
    sequence->self = NULL;
}

/* ---- memory ---- */

static void *take_scratch(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct hstu_last *last = sequence->self;
    struct hstu_last_scratch counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    vqr_event_rows_take(&last->events, &s->staged, arena);
    vqr_event_rows_take(&last->events, &s->listed, arena);
    vqr_hstu_take_scratch(&last->hstu, &s->hstu, arena);
    if (last->attends)
        vqr_target_take_scratch(&last->attention, &s->attention, arena);
    return taken;
}

static void *take_state(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct hstu_last *last = sequence->self;
    struct hstu_last_state counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    vqr_event_rows_take(&last->events, &s->ring.rows, arena);
    if (last->attends)
        vqr_interests_take(&last->attention, &s->interests, arena);
    s->y = vqr_take(arena, last->attends ? 0 : vqr_padded(last->events.width), sizeof *s->y);
    return taken;
}

static void reset(const struct vqr_sequence *sequence, void *state)
{
    struct hstu_last_state *st = state;
    (void)sequence;
    st->ring.count = st->ring.next = st->interests.tokens = st->tokens = 0;
}

/* ---- events ---- */

/* Gives events without a time the latest time of all; where none has one, all have the same. */
static void complete_times(const struct vqr_event_rows *rows, size_t count)
{
    int64_t latest = INT64_MIN;
    for (size_t i = 0; i < count; i++)
        if (rows->has_time[i] && rows->time[i] > latest)
            latest = rows->time[i];
    for (size_t i = 0; i < count; i++)
        if (!rows->has_time[i])
            rows->time[i] = latest;
}

/* Events as HSTU takes them, in place: x[count, padded(D)]. */
static void enter(const struct hstu_last *last, const struct vqr_kernels *k, float *x, size_t count)
{
    const size_t width = last->events.width, stride = vqr_padded(width);
    for (size_t i = 0; i < count; i++) {
        for (size_t d = 0; last->scale != 1.0f && d < width; d++)
            x[i * stride + d] *= last->scale;
        if (last->position.data)
            k->add_f32(x + i * stride, x + i * stride, last->position.data + i * stride, width);
    }
}

static enum vqr_status refresh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                               void *state, struct vqr_error *error)
{
    const struct hstu_last *last = sequence->self;
    struct hstu_last_scratch *s = scratch;
    struct hstu_last_state *st = state;
    const size_t count = st->ring.count, width = last->events.width;
    float *x = s->listed.e;
    bool finite = true;
    st->tokens = st->interests.tokens = 0;
    if (count == 0)
        return VQR_OK;
    vqr_event_ring_list(&last->events, &st->ring, &s->listed);
    if (last->events.timed)
        complete_times(&s->listed, count);
    enter(last, k, x, count);
    vqr_hstu_run(&last->hstu, k, &s->hstu, 0, &(struct vqr_hstu_tokens){.count = count, .time = s->listed.time}, x);
    if (last->attends) {
        finite = vqr_interests_compute(&last->attention, k, &s->attention, 0, x, count, NULL, &st->interests);
    } else {
        memcpy(st->y, x + (count - 1) * vqr_padded(width), width * sizeof *st->y);
        finite = k->finite_f32(st->y, width);
    }
    st->tokens = finite ? count : 0;
    if (finite)
        return VQR_OK;
    st->interests.tokens = 0;
    return vqr_fail(error, VQR_ERROR_OVERFLOW,
                    "sequence \"%s\": what HSTU makes of the last events is not finite; the model's weights are too "
                    "large, or its eps is 0",
                    sequence->name);
}

/* ---- candidates ---- */

static void attend(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                   const struct vqr_candidates *c, float *out, size_t out_stride)
{
    const struct hstu_last *last = sequence->self;
    const struct hstu_last_state *st = state;
    struct hstu_last_scratch *s = scratch;
    const size_t bytes = last->events.width * sizeof *out;
    if (last->attends) {
        vqr_interests_ask(&last->attention, k, &s->attention, 0, c->t, c->stride, c->rows);
        vqr_interests_attend(&last->attention, k, &s->attention, 0, &st->interests, c->rows, out, out_stride);
    } else {
        for (size_t r = 0; r < c->rows; r++)
            if (st->tokens)
                memcpy(out + r * out_stride, st->y, bytes);
            else
                memset(out + r * out_stride, 0, bytes);
    }
}

/* weights[M]: the newest event's is the last, which without attention has all. */
static void weigh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                  const struct vqr_candidates *c, float *weights)
{
    const struct hstu_last *last = sequence->self;
    const struct hstu_last_state *st = state;
    struct hstu_last_scratch *s = scratch;
    const size_t all = last->events.last;
    memset(weights, 0, all * sizeof *weights);
    if (last->attends) {
        vqr_interests_ask(&last->attention, k, &s->attention, 0, c->t, 0, 1);
        vqr_interests_weigh(&last->attention, k, &s->attention, 0, &st->interests,
                            weights + all - st->interests.tokens);
    } else if (st->tokens) {
        weights[all - 1] = 1.0f;
    }
}

const struct vqr_sequence_ops vqr_hstu_last = {
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
