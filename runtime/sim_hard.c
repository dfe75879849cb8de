/* SIM's hard search (docs/model.md, arXiv 2006.05639): target attention over those of the last events that have the
 * candidate's row of one table.
 *
 * A refresh sorts the events by that row, so what a candidate finds lies side by side: keys and values are computed
 * once, as rows, and a candidate packs a stretch of them. */
#include <stdlib.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/error.h"
#include "runtime/last_events.h"
#include "runtime/memory.h"
#include "runtime/model.h"
#include "runtime/target_attention.h"

struct sim_hard {
    struct vqr_last_events events; /* first: last_events.h */
    size_t top;
    struct vqr_target_attention attention; /* of at most `top` tokens */
};

struct sim_hard_state {
    struct vqr_event_ring ring; /* first */
    struct vqr_token_rows rows; /* [M] of the events that can be found, by match row */
    size_t count;               /* how many can */
    uint32_t *match;            /* [M] their match rows, ascending */
    uint32_t *place;            /* [M] their numbers, the oldest event's being 0 */
    size_t held;                /* events in the ring at the last refresh */
};

struct sim_hard_scratch {
    struct vqr_event_rows staged, listed; /* first; of the call under way; the ring's, by match row */
    uint32_t *order;                      /* [2 M] */
    struct vqr_target_scratch attention;
    struct vqr_interests found; /* the events of one candidate */
};

/* One of the two features that are compared. */
static enum vqr_status check_match(struct vqr_binder *binder, const char *name, enum vqr_group group, uint32_t feature)
{
    const struct vqr_inputs *inputs = &binder->model->inputs[group];
    if (feature >= inputs->count)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "sequence \"%s\": matches %s feature %u, expected 0 to %zu",
                        name, vqr_group_names[group], feature, inputs->count - 1);
    if (inputs->input[feature].kind != VQR_FEATURE_ID)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                        "sequence \"%s\": matches %s feature \"%s\", expected one of kind id", name,
                        vqr_group_names[group], inputs->input[feature].name);
    return VQR_OK;
}

static enum vqr_status bind_match(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                                  struct vqr_sequence *sequence)
{
    const struct vqr_inputs *inputs = binder->model->inputs;
    enum vqr_status status = check_match(binder, header->name, VQR_EVENT, header->match_event);
    if (!status)
        status = check_match(binder, header->name, VQR_CANDIDATE, header->match_candidate);
    if (status)
        return status;
    const struct vqr_input *event = &inputs[VQR_EVENT].input[header->match_event];
    const struct vqr_input *candidate = &inputs[VQR_CANDIDATE].input[header->match_candidate];
    if (event->table != candidate->table)
        return vqr_fail(
            binder->error, VQR_ERROR_FORMAT,
            "sequence \"%s\": matches event feature \"%s\" of table \"%s\" with candidate feature \"%s\" of "
            "table \"%s\", expected one table",
            header->name, event->name, event->table->name, candidate->name, candidate->table->name);
    sequence->matches = true;
    sequence->match_event = header->match_event;
    sequence->match_candidate = header->match_candidate;
    return VQR_OK;
}

static enum vqr_status bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                            struct vqr_sequence *sequence)
{
    struct sim_hard *sim = sequence->self = vqr_allocate(1, sizeof *sim, binder->error);
    if (!sim)
        return VQR_ERROR_MEMORY;
    enum vqr_status status = vqr_last_events_bind(binder, header, &sim->events);
    if (!status)
        status = vqr_check_range(binder, header->name, "top", header->top, 1, header->last);
    if (!status)
        status = bind_match(binder, header, sequence);
    if (status)
        return status;
    sim->events.matched = true;
    sim->top = header->top;
    status = vqr_target_bind(binder, header, 1, sim->top, &sim->attention);
    if (!status)
        status = vqr_refuse_int8_state(binder, header->name, &sim->attention);
    sequence->tokens = header->last;
    sequence->work = (double)header->last * sim->attention.work;
    /* A number that is packed counts as a multiply-add. */
    sequence->candidate_work =
        sim->attention.candidate_work +
        2.0 * (double)sim->top *
            (double)(header->attention.kind == VQR_ATTENTION_DOT ? sim->attention.dot.width : sim->attention.width);
    sequence->interest_width = sim->attention.out_width;
    return status;
}

static void unbind(struct vqr_sequence *sequence)
{
    struct sim_hard *sim = sequence->self;
    if (sim)
        vqr_target_unbind(&sim->attention);
    free(sim);
    sequence->self = NULL;
}

static void *take_scratch(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct sim_hard *sim = sequence->self;
    struct sim_hard_scratch counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    vqr_event_rows_take(&sim->events, &s->staged, arena);
    vqr_event_rows_take(&sim->events, &s->listed, arena);
    s->order = vqr_take(arena, 2 * sim->events.last, sizeof *s->order);
    vqr_target_take_scratch(&sim->attention, &s->attention, arena);
    vqr_interests_take(&sim->attention, &s->found, arena);
    return taken;
}

static void *take_state(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct sim_hard *sim = sequence->self;
    const size_t last = sim->events.last;
    struct sim_hard_state counting, *taken = vqr_take(arena, 1, sizeof *taken), *st = taken ? taken : &counting;
    vqr_event_rows_take(&sim->events, &st->ring.rows, arena);
    vqr_token_rows_take(&sim->attention, last, &st->rows, arena);
    st->match = vqr_take(arena, last, sizeof *st->match);
    st->place = vqr_take(arena, last, sizeof *st->place);
    return taken;
}

static void reset(const struct vqr_sequence *sequence, void *state)
{
    struct sim_hard_state *st = state;
    (void)sequence;
    st->ring.count = st->ring.next = st->count = st->held = 0;
}

static enum vqr_status refresh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                               void *state, struct vqr_error *error)
{
    const struct sim_hard *sim = sequence->self;
    struct sim_hard_scratch *s = scratch;
    struct sim_hard_state *st = state;
    st->held = st->ring.count;
    st->count = vqr_event_ring_group(&sim->events, &st->ring, sim->top, s->order, &s->listed, st->place);
    memcpy(st->match, s->listed.match, st->count * sizeof *st->match);
    if (vqr_token_rows_project(&sim->attention, k, &s->attention, s->listed.e, st->count, &st->rows))
        return VQR_OK;
    st->count = 0;
    return vqr_refuse_last_events(sequence->name, error);
}

/* The first of the events that can be found whose match row is not below `row`. */
static size_t first_of(const struct sim_hard_state *st, uint32_t row)
{
    size_t low = 0, high = st->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (st->match[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Packs the events of `row` into s->found; returns the first of them. Row 0 finds none, as none of it are kept. */
static size_t find(const struct sim_hard *sim, const struct vqr_kernels *k, struct sim_hard_scratch *s,
                   const struct sim_hard_state *st, uint32_t row)
{
    const size_t first = first_of(st, row);
    size_t end = first;
    while (end < st->count && st->match[end] == row)
        end++;
    vqr_interests_pack(&sim->attention, k, &st->rows, first, end - first, &s->found);
    return first;
}

static void attend(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                   const struct vqr_candidates *c, float *out, size_t out_stride)
{
    const struct sim_hard *sim = sequence->self;
    struct sim_hard_scratch *s = scratch;
    size_t end;
    for (size_t r = 0; r < c->rows; r = end) { /* candidates that find the same events share what is packed */
        for (end = r + 1; end < c->rows && c->match[end] == c->match[r];)
            end++;
        find(sim, k, s, state, c->match[r]);
        if (s->found.tokens != 0)
            vqr_interests_ask(&sim->attention, k, &s->attention, 0, c->t + r * c->stride, c->stride, end - r);
        vqr_interests_attend(&sim->attention, k, &s->attention, 0, &s->found, end - r, out + r * out_stride,
                             out_stride);
    }
}

/* weights[M]: the newest event's is the last. */
static void weigh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                  const struct vqr_candidates *c, float *weights)
{
    const struct sim_hard *sim = sequence->self;
    const struct sim_hard_state *st = state;
    struct sim_hard_scratch *s = scratch;
    const size_t first = find(sim, k, s, st, c->match[0]), count = s->found.tokens, last = sim->events.last;
    memset(weights, 0, last * sizeof *weights);
    vqr_interests_ask(&sim->attention, k, &s->attention, 0, c->t, 0, 1);
    vqr_interests_weigh(&sim->attention, k, &s->attention, 0, &s->found, weights);
    for (size_t i = count; i-- > 0;) { /* from the end: an event's place is never before its number here */
        const float weight = weights[i];
        weights[i] = 0.0f;
        weights[last - st->held + st->place[first + i]] = weight;
    }
}

const struct vqr_sequence_ops vqr_sim_hard = {
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
