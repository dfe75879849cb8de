/* Candidates -> scores. */
#include "runtime/error.h"
#include "runtime/gather.h"
#include "runtime/session.h"
#include "runtime/state.h"
#include "simd/cpu.h"

/* A group of at most one row; none means that everything is absent. */
static enum vqr_status gather_one(vqr_session *s, enum vqr_group group, const struct vqr_rows *rows, float *dst,
                                  struct vqr_stats *stats, struct vqr_error *error)
{
    static const struct vqr_rows absent = {NULL, 0, 1};
    if (rows->rows > 1)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "%s: expected one row or none, found %zu", vqr_group_names[group],
                        rows->rows);
    enum vqr_status status = vqr_check_rows(s->model, group, rows, error);
    if (!status)
        status = vqr_gather(s->model, &s->k, group, rows->rows ? rows : &absent, 0, 1, dst,
                            s->model->inputs[group].width, s->index, stats, error);
    return status;
}

static enum vqr_status score_block(vqr_session *s, const vqr_state *state, const struct vqr_rows *candidates,
                                   size_t first, size_t rows, float *outputs, struct vqr_stats *stats,
                                   struct vqr_error *error)
{
    const struct vqr_model *model = s->model;
    const enum vqr_status status =
        vqr_gather(model, &s->k, VQR_CANDIDATE, candidates, first, rows, s->x, s->x_stride, s->index, stats, error);
    if (status)
        return status;
    float *interest = s->x + model->inputs[VQR_CANDIDATE].width;
    for (size_t i = 0; i < model->sequence_count; i++) {
        const struct vqr_sequence *sequence = &model->sequence[i];
        sequence->kind->attend(sequence, &s->k, s->sequence[i], state->sequence[i], s->x, s->x_stride, rows, interest,
                               s->x_stride);
        interest += sequence->interest_width;
    }
    const size_t bad = vqr_head_run(model, &s->k, &s->head, s->x, s->x_stride, rows, outputs);
    if (bad < rows)
        return vqr_fail(error, VQR_ERROR_OVERFLOW,
                        "candidate %zu: an output is not finite before the sigmoid; the model's weights or the values "
                        "are too large",
                        first + bad);
    return VQR_OK;
}

static enum vqr_status score(vqr_session *s, const vqr_state *state, const struct vqr_request *request, float *outputs,
                             struct vqr_stats *stats, struct vqr_error *error)
{
    const struct vqr_model *model = s->model;
    const struct vqr_rows *candidates = &request->candidates;
    enum vqr_status status = gather_one(s, VQR_USER, &request->user, s->head.ux, stats, error);
    if (!status)
        status =
            gather_one(s, VQR_CONTEXT, &request->context, s->head.ux + model->inputs[VQR_USER].width, stats, error);
    if (!status)
        status = vqr_check_rows(model, VQR_CANDIDATE, candidates, error);
    if (status)
        return status;
    vqr_head_hoist(model, &s->k, &s->head);
    for (size_t first = 0; !status && first < candidates->rows; first += VQR_CANDIDATE_BLOCK) {
        const size_t left = candidates->rows - first;
        status = score_block(s, state, candidates, first, left < VQR_CANDIDATE_BLOCK ? left : VQR_CANDIDATE_BLOCK,
                             outputs + first * model->outputs, stats, error);
    }
    return status;
}

enum vqr_status vqr_score(vqr_session *session, const vqr_state *state, const struct vqr_request *request,
                          float *outputs, struct vqr_stats *stats, struct vqr_error *error)
{
    enum vqr_status status = vqr_check_pair(session, state, request, error);
    if (status)
        return status;
    if (!outputs && request->candidates.rows != 0)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "outputs is NULL");
    if (state->stale)
        return vqr_fail(error, VQR_ERROR_STALE, "events were appended since the last vqr_refresh");
    struct vqr_stats counted = {0, 0};
    const uint64_t host = vqr_fp_enter();
    status = score(session, state, request, outputs, &counted, error);
    vqr_fp_restore(host);
    if (!status)
        vqr_stats_add(stats, &counted);
    return status;
}
