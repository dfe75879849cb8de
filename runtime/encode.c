/* Events -> sums -> interests. */
#include "runtime/encode.h"

#include "runtime/error.h"
#include "runtime/gather.h"
#include "runtime/session.h"
#include "runtime/state.h"
#include "simd/cpu.h"

/* The column of the events' times, from event `first` on. */
static void find_times(const struct vqr_model *model, const struct vqr_rows *events, size_t first,
                       struct vqr_event_block *block)
{
    const struct vqr_inputs *inputs = &model->inputs[VQR_EVENT];
    for (size_t i = 0; i < inputs->count && i < events->column_count; i++) {
        const struct vqr_column *column = &events->columns[i];
        if (inputs->input[i].kind != VQR_FEATURE_TIME || column->type == VQR_COLUMN_ABSENT)
            continue;
        block->time = (const int64_t *)column->values + first;
        block->has_time = column->present ? column->present + first : NULL;
    }
}

enum vqr_status vqr_load_events(vqr_session *s, const struct vqr_rows *events, size_t first, size_t count,
                                struct vqr_stats *stats, struct vqr_event_block *block, struct vqr_error *error)
{
    const struct vqr_model *model = s->model;
    const enum vqr_status status =
        vqr_gather(model, &s->k, VQR_EVENT, events, first, count, s->e, s->e_stride, &s->scratch, stats, error);
    if (status)
        return status;
    *block = (struct vqr_event_block){.e = s->e,
                                      .scale = model->event_columns.scale,
                                      .stride = s->e_stride,
                                      .row = s->scratch.index,
                                      .rows = count,
                                      .first = first,
                                      .total = events->rows,
                                      .sign = 1};
    find_times(model, events, first, block);
    if (!model->assignments)
        return VQR_OK;
    block->missing = s->stored.missing;
    block->missing_e = s->stored.missing_e;
    block->missing_row = s->stored.missing_row;
    const enum vqr_status stored =
        vqr_assignments_load(model, s->scratch.index, s->e, s->e_stride, first, count, &s->stored, error);
    block->missing_rows = s->stored.missing_rows;
    return stored;
}

static size_t block_rows(size_t first, size_t end)
{
    return end - first < VQR_EVENT_BLOCK ? end - first : VQR_EVENT_BLOCK;
}

/* Adds (sign 1) or takes out (sign -1) events 0 ... end. *done counts the events of whole blocks that went in. */
static enum vqr_status accumulate(vqr_session *s, vqr_state *state, const struct vqr_rows *events, size_t end,
                                  int32_t sign, struct vqr_stats *stats, size_t *done, struct vqr_error *error)
{
    const struct vqr_model *model = s->model;
    for (size_t first = 0; first < end; first += VQR_EVENT_BLOCK) {
        struct vqr_event_block block;
        const enum vqr_status status = vqr_load_events(s, events, first, block_rows(first, end), stats, &block, error);
        if (status)
            return status;
        block.sign = sign;
        for (size_t i = 0; i < model->sequence_count; i++) {
            const struct vqr_sequence *sequence = &model->sequence[i];
            block.match = sequence->matches ? block.row + sequence->match_event * VQR_EVENT_BLOCK : NULL;
            block.stored = vqr_assignments_of(model, i, &s->stored);
            sequence->kind->append(sequence, &s->k, s->sequence[i], state->sequence[i], &block);
        }
        *done = first + block.rows;
    }
    return VQR_OK;
}

static enum vqr_status append(vqr_session *s, vqr_state *state, const struct vqr_rows *events, struct vqr_stats *stats,
                              struct vqr_error *error)
{
    enum vqr_status status = vqr_check_rows(s->model, VQR_EVENT, events, error);
    if (status)
        return status;
    if (events->rows > VQR_EVENTS_MAX - state->events)
        return vqr_fail(error, VQR_ERROR_LIMIT, "a state holds at most 2^24 events: %llu are in it, %zu more came",
                        (unsigned long long)state->events, events->rows);
    size_t done = 0;
    struct vqr_stats counted = {0, 0};
    for (size_t i = 0; i < s->model->sequence_count; i++)
        if (s->model->sequence[i].kind->begin)
            s->model->sequence[i].kind->begin(&s->model->sequence[i], s->sequence[i], state->sequence[i]);
    status = accumulate(s, state, events, events->rows, 1, &counted, &done, error);
    if (status) {
        /* Sums are exact integers, so taking the blocks that went in back out restores every bit. */
        size_t undone = 0;
        accumulate(s, state, events, done, -1, NULL, &undone, NULL);
        for (size_t i = 0; i < s->model->sequence_count; i++)
            if (s->model->sequence[i].kind->undo)
                s->model->sequence[i].kind->undo(&s->model->sequence[i], s->sequence[i], state->sequence[i]);
        return status;
    }
    for (size_t i = 0; i < s->model->sequence_count; i++) {
        const struct vqr_sequence *sequence = &s->model->sequence[i];
        if (sequence->kind->commit)
            sequence->kind->commit(sequence, s->sequence[i], state->sequence[i], events->rows);
    }
    vqr_stats_add(stats, &counted);
    state->events += events->rows;
    state->stale |= events->rows != 0;
    return VQR_OK;
}

static enum vqr_status refresh(vqr_session *s, vqr_state *state, struct vqr_error *error)
{
    const struct vqr_model *model = s->model;
    for (size_t i = 0; state->stale && i < model->sequence_count; i++) {
        const enum vqr_status status =
            model->sequence[i].kind->refresh(&model->sequence[i], &s->k, s->sequence[i], state->sequence[i], error);
        if (status)
            return status;
    }
    state->stale = 0;
    return VQR_OK;
}

enum vqr_status vqr_append(vqr_session *session, vqr_state *state, const struct vqr_rows *events,
                           struct vqr_stats *stats, struct vqr_error *error)
{
    enum vqr_status status = vqr_check_pair(session, state, events, "events", error);
    if (status)
        return status;
    const uint64_t host = vqr_fp_enter();
    status = append(session, state, events, stats, error);
    vqr_fp_restore(host);
    return status;
}

enum vqr_status vqr_refresh(vqr_session *session, vqr_state *state, struct vqr_error *error)
{
    enum vqr_status status = vqr_check_pair(session, state, session, "session", error);
    if (status)
        return status;
    const uint64_t host = vqr_fp_enter();
    status = refresh(session, state, error);
    vqr_fp_restore(host);
    return status;
}

enum vqr_status vqr_encode(vqr_session *session, vqr_state *state, const struct vqr_rows *events,
                           struct vqr_stats *stats, struct vqr_error *error)
{
    enum vqr_status status = vqr_check_pair(session, state, events, "events", error);
    if (status)
        return status;
    const uint64_t host = vqr_fp_enter();
    vqr_state_reset(state);
    status = append(session, state, events, stats, error);
    if (!status)
        status = refresh(session, state, error);
    if (status)
        vqr_state_reset(state);
    vqr_fp_restore(host);
    return status;
}

size_t vqr_sequence_codebooks(const vqr_model *model, size_t sequence)
{
    return sequence < model->sequence_count ? model->sequence[sequence].codebooks : 0;
}

enum vqr_status vqr_assign(vqr_session *session, size_t sequence, const struct vqr_rows *events, uint32_t *clusters,
                           struct vqr_error *error)
{
    if (!session || !events || !clusters)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "%s is NULL",
                        !session  ? "session"
                        : !events ? "events"
                                  : "clusters");
    if (sequence >= session->model->sequence_count)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "there is no sequence %zu, the model has %zu", sequence,
                        session->model->sequence_count);
    if (vqr_sequence_codebooks(session->model, sequence) == 0)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "sequence %zu, \"%s\", has no codebooks", sequence,
                        session->model->sequence[sequence].name);
    const struct vqr_sequence *q = &session->model->sequence[sequence];
    const uint64_t host = vqr_fp_enter();
    enum vqr_status status = vqr_check_rows(session->model, VQR_EVENT, events, error);
    for (size_t first = 0; !status && first < events->rows; first += VQR_EVENT_BLOCK) {
        struct vqr_event_block block;
        status = vqr_load_events(session, events, first, block_rows(first, events->rows), NULL, &block, error);
        block.stored = status ? NULL : vqr_assignments_of(session->model, sequence, &session->stored);
        if (!status)
            q->kind->assign(q, &session->k, session->sequence[sequence], &block, clusters + first, events->rows);
    }
    vqr_fp_restore(host);
    return status;
}
