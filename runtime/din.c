/* The sequence of last events (docs/model.md): target attention over the last M events themselves, as they are and in
 * the order of the history. Short beside the long history that DMQN compresses. */
#include <stdlib.h>
#include <string.h>

#include "runtime/error.h"
#include "runtime/last_events.h"
#include "runtime/memory.h"
#include "runtime/target_attention.h"

struct din {
    struct vqr_last_events events;         /* first: last_events.h */
    struct vqr_target_attention attention; /* of one "codebook", number 0 */
};

struct din_state {
    struct vqr_event_ring ring; /* first */
    struct vqr_interests interests;
};

struct din_scratch {
    struct vqr_event_rows staged, listed; /* first; of the call under way; the ring's, oldest first */
    struct vqr_target_scratch attention;
};

static enum vqr_status bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                            struct vqr_sequence *sequence)
{
    struct din *din = sequence->self = vqr_allocate(1, sizeof *din, binder->error);
    if (!din)
        return VQR_ERROR_MEMORY;
    enum vqr_status status = vqr_last_events_bind(binder, header, &din->events);
    if (status)
        return status;
    status = vqr_target_bind(binder, header, 1, header->last, &din->attention);
    sequence->tokens = header->last;
    sequence->work = vqr_target_work(&din->attention);
    sequence->candidate_work = din->attention.candidate_work;
    sequence->interest_width = din->attention.out_width;
    return status;
}

static void unbind(struct vqr_sequence *sequence)
{
    struct din *din = sequence->self;
    if (din)
        vqr_target_unbind(&din->attention);
    free(din);
    sequence->self = NULL;
}

static void *take_scratch(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct din *din = sequence->self;
    struct din_scratch counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    vqr_event_rows_take(&din->events, &s->staged, arena);
    vqr_event_rows_take(&din->events, &s->listed, arena);
    vqr_target_take_scratch(&din->attention, &s->attention, arena);
    return taken;
}

static void *take_state(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct din *din = sequence->self;
    struct din_state counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    vqr_event_rows_take(&din->events, &s->ring.rows, arena);
    vqr_interests_take(&din->attention, &s->interests, arena);
    return taken;
}

static void reset(const struct vqr_sequence *sequence, void *state)
{
    struct din_state *st = state;
    (void)sequence;
    st->ring.count = st->ring.next = st->interests.tokens = 0;
}

static enum vqr_status refresh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                               void *state, struct vqr_error *error)
{
    const struct din *din = sequence->self;
    struct din_scratch *s = scratch;
    struct din_state *st = state;
    vqr_event_ring_list(&din->events, &st->ring, &s->listed);
    if (vqr_interests_compute(&din->attention, k, &s->attention, 0, s->listed.e, st->ring.count, NULL, &st->interests))
        return VQR_OK;
    st->interests.tokens = 0;
    return vqr_refuse_last_events(sequence->name, error);
}

static void attend(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                   const struct vqr_candidates *c, float *out, size_t out_stride)
{
    const struct din *din = sequence->self;
    const struct din_state *st = state;
    struct din_scratch *s = scratch;
    vqr_interests_ask(&din->attention, k, &s->attention, 0, c->t, c->stride, c->rows);
    vqr_interests_attend(&din->attention, k, &s->attention, 0, &st->interests, c->rows, out, out_stride);
}

/* weights[M]: the newest event's is the last. */
static void weigh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                  const struct vqr_candidates *c, float *weights)
{
    const struct din *din = sequence->self;
    const struct din_state *st = state;
    struct din_scratch *s = scratch;
    const size_t none = din->events.last - st->interests.tokens;
    memset(weights, 0, none * sizeof *weights);
    vqr_interests_ask(&din->attention, k, &s->attention, 0, c->t, 0, 1);
    vqr_interests_weigh(&din->attention, k, &s->attention, 0, &st->interests, weights + none);
}

const struct vqr_sequence_ops vqr_din = {
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
