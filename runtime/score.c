/* Candidates -> scores, of one user or of many in one call.
 *
 * Candidates are scored in blocks. A block takes the candidates of as many users as fit it; what depends on the user
 * (attention, and the head's first layer, which starts from the user's own part) runs for each user's rows of it, the
 * other layers for all rows at once. Each row is a chain of its own, so a block's other rows never change its bits. */
#include <stdio.h>
#include <string.h>

#include "runtime/arena.h"
#include "runtime/error.h"
#include "runtime/gather.h"
#include "runtime/session.h"
#include "runtime/state.h"
#include "simd/cpu.h"

/* Consecutive rows of the block that belong to one user. */
struct part {
    struct vqr_job *job;
    size_t first, rows; /* candidates */
};

struct block {
    struct part part[VQR_CANDIDATE_BLOCK];
    size_t parts, rows;
};

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
                            s->model->inputs[group].width, &s->scratch, stats, error);
    return status;
}

static enum vqr_status check_job(const vqr_session *s, const struct vqr_job *job, struct vqr_error *error)
{
    const enum vqr_status status = vqr_check_pair(s, job->state, job, "job", error);
    if (status)
        return status;
    if (!job->outputs && job->request.candidates.rows != 0)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "outputs is NULL");
    if (job->state->stale)
        return vqr_fail(error, VQR_ERROR_STALE, "events were appended since the last vqr_refresh");
    return vqr_check_rows(s->model, VQR_CANDIDATE, &job->request.candidates, error);
}

/* What of a user's interests depends on the request's time. */
static void start_sequences(vqr_session *s, const vqr_state *state, const struct vqr_request *request)
{
    for (size_t i = 0; i < s->model->sequence_count; i++) {
        const struct vqr_sequence *sequence = &s->model->sequence[i];
        if (sequence->kind->start)
            sequence->kind->start(sequence, &s->k, s->sequence[i], state->sequence[i], request->time);
    }
}

/* What all candidates of a user share. */
static enum vqr_status start_job(vqr_session *s, struct vqr_job *job, struct vqr_error *error)
{
    const struct vqr_model *model = s->model;
    float *ux = s->head.ux;
    enum vqr_status status = gather_one(s, VQR_USER, &job->request.user, ux, &job->stats, error);
    if (!status)
        status =
            gather_one(s, VQR_CONTEXT, &job->request.context, ux + model->inputs[VQR_USER].width, &job->stats, error);
    if (!status) {
        start_sequences(s, job->state, &job->request);
        vqr_head_hoist(model, &s->k, &s->head);
    }
    return status;
}

/* The candidates gathered last, as a sequence takes them. */
static struct vqr_candidates candidates_of(const vqr_session *s, const struct vqr_sequence *sequence, size_t rows)
{
    const uint32_t *match = sequence->matches ? s->scratch.index + sequence->match_candidate * VQR_EVENT_BLOCK : NULL;
    return (struct vqr_candidates){.t = s->x, .stride = s->x_stride, .rows = rows, .match = match};
}

/* Candidates first ... first + rows of a job into the block, up to the head's first layer. */
static enum vqr_status add_part(vqr_session *s, struct block *block, struct vqr_job *job, size_t first, size_t rows,
                                struct vqr_error *error)
{
    const struct vqr_model *model = s->model;
    const enum vqr_status status = vqr_gather(model, &s->k, VQR_CANDIDATE, &job->request.candidates, first, rows, s->x,
                                              s->x_stride, &s->scratch, &job->stats, error);
    if (status)
        return status;
    float *interest = s->x + model->inputs[VQR_CANDIDATE].width;
    for (size_t i = 0; i < model->sequence_count; i++) {
        const struct vqr_sequence *sequence = &model->sequence[i];
        const struct vqr_candidates candidates = candidates_of(s, sequence, rows);
        sequence->kind->attend(sequence, &s->k, s->sequence[i], job->state->sequence[i], &candidates, interest,
                               s->x_stride);
        interest += sequence->interest_width;
    }
    vqr_head_first(model, &s->k, &s->head, s->x, s->x_stride, rows, block->rows);
    block->part[block->parts++] = (struct part){job, first, rows};
    block->rows += rows;
    return VQR_OK;
}

/* The same as far as the first candidate that is refused. Values are gathered feature by feature, and blocks begin
 * where other jobs end: by candidates, a job's fault is the same one in every call. */
static enum vqr_status add_candidates(vqr_session *s, struct block *block, struct vqr_job *job, size_t first,
                                      size_t rows, struct vqr_error *error)
{
    const struct vqr_stats counted = job->stats;
    enum vqr_status status = add_part(s, block, job, first, rows, error);
    if (!status)
        return VQR_OK;
    job->stats = counted;
    size_t sound = 0;
    while (sound < rows && !(status = vqr_gather(s->model, &s->k, VQR_CANDIDATE, &job->request.candidates,
                                                 first + sound, 1, s->x, s->x_stride, &s->scratch, NULL, error)))
        sound++;
    if (sound != 0)
        add_part(s, block, job, first, sound, NULL);
    return status;
}

/* Where a call's jobs lie, and what it has to say of the first that failed. */
struct call {
    struct vqr_job *jobs;
    size_t count;
    enum vqr_status failure; /* of that job; VQR_OK as long as there is none */
    struct vqr_error *error;
};

/* Where to write what is wrong with a job: only the first failure is told. */
static struct vqr_error *say(const struct call *call)
{
    return call->failure ? NULL : call->error;
}

/* Takes down that a job failed, whose message say() took, and puts the job's number before it. */
static void fail_job(struct call *call, struct vqr_job *job, enum vqr_status status)
{
    struct vqr_error *error = say(call);
    if (error && call->count > 1) {
        char text[VQR_ERROR_MESSAGE_SIZE];
        memcpy(text, error->message, sizeof text);
        snprintf(error->message, sizeof error->message, "job %zu: %.220s", (size_t)(job - call->jobs), text);
    }
    job->status = status;
    if (!call->failure)
        call->failure = status;
}

/* The rest of the head for the whole block, and the outputs of its jobs. */
static void finish_block(vqr_session *s, struct block *block, struct call *call)
{
    const struct vqr_model *model = s->model;
    if (block->rows == 0)
        return;
    const float *logits = vqr_head_logits(model, &s->k, &s->head, block->rows);
    for (size_t p = 0; p < block->parts; p++) {
        const struct part *part = &block->part[p];
        for (size_t r = 0; r < part->rows; r++, logits += s->head.stride) {
            const size_t candidate = part->first + r;
            if (part->job->status)
                continue;
            if (s->k.finite_f32(logits, model->outputs))
                s->k.sigmoid_f32(part->job->outputs + candidate * model->outputs, logits, model->outputs);
            else
                fail_job(call, part->job,
                         vqr_fail(say(call), VQR_ERROR_OVERFLOW,
                                  "candidate %zu: an output is not finite before the sigmoid; the model's weights or "
                                  "the values are too large",
                                  candidate));
        }
    }
    block->parts = block->rows = 0;
}

static void score(vqr_session *s, struct call *call)
{
    struct block block = {.parts = 0, .rows = 0};
    for (size_t i = 0; i < call->count; i++) {
        struct vqr_job *job = &call->jobs[i];
        job->stats = (struct vqr_stats){0, 0};
        job->status = VQR_OK;
        enum vqr_status status = check_job(s, job, say(call));
        if (!status)
            status = start_job(s, job, say(call));
        for (size_t first = 0; !status && !job->status && first < job->request.candidates.rows;) {
            const size_t left = job->request.candidates.rows - first, room = VQR_CANDIDATE_BLOCK - block.rows;
            const size_t rows = left < room ? left : room;
            status = add_candidates(s, &block, job, first, rows, say(call));
            first += rows;
            if (block.rows == VQR_CANDIDATE_BLOCK)
                finish_block(s, &block, call);
        }
        if (status) {
            finish_block(s, &block, call); /* what its candidates before this one, and jobs before it, come to */
            if (!job->status)
                fail_job(call, job, status);
        }
    }
    finish_block(s, &block, call);
}

enum vqr_status vqr_score_many(vqr_session *session, struct vqr_job *jobs, size_t count, struct vqr_error *error)
{
    if (!session || (!jobs && count != 0))
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "%s is NULL", session ? "jobs" : "session");
    const uint64_t host = vqr_fp_enter();
    struct call call = {jobs, count, VQR_OK, error};
    score(session, &call);
    vqr_fp_restore(host);
    return call.failure;
}

enum vqr_status vqr_score(vqr_session *session, const vqr_state *state, const struct vqr_request *request,
                          float *outputs, struct vqr_stats *stats, struct vqr_error *error)
{
    enum vqr_status status = vqr_check_pair(session, state, request, "request", error);
    if (status)
        return status;
    struct vqr_job job = {.state = state, .request = *request, .outputs = outputs};
    status = vqr_score_many(session, &job, 1, error);
    if (!status)
        vqr_stats_add(stats, &job.stats);
    return status;
}

/* ---- why ---- */

size_t vqr_sequence_count(const vqr_model *model)
{
    return model->sequence_count;
}

enum vqr_status vqr_sequence_info(const vqr_model *model, size_t i, struct vqr_sequence_info *info)
{
    if (!model || !info || i >= model->sequence_count)
        return VQR_ERROR_ARGUMENT;
    const struct vqr_sequence *sequence = &model->sequence[i];
    struct vqr_arena counting = {NULL, 0};
    sequence->kind->take_state(sequence, &counting);
    *info = (struct vqr_sequence_info){.name = sequence->name,
                                       .codebooks = sequence->codebooks,
                                       .tokens = sequence->tokens,
                                       .interest_width = sequence->interest_width,
                                       .state_bytes = counting.used,
                                       .candidate_work = (uint64_t)sequence->candidate_work};
    return VQR_OK;
}

static enum vqr_status explain(vqr_session *s, const vqr_state *state, size_t i, const struct vqr_request *request,
                               float *weights, struct vqr_error *error)
{
    const struct vqr_rows *candidates = &request->candidates;
    const struct vqr_sequence *sequence = &s->model->sequence[i];
    const size_t step = (sequence->codebooks ? sequence->codebooks : 1) * sequence->tokens;
    enum vqr_status status = vqr_check_rows(s->model, VQR_CANDIDATE, candidates, error);
    start_sequences(s, state, request);
    for (size_t c = 0; !status && c < candidates->rows; c++) {
        status =
            vqr_gather(s->model, &s->k, VQR_CANDIDATE, candidates, c, 1, s->x, s->x_stride, &s->scratch, NULL, error);
        if (status)
            break;
        const struct vqr_candidates one = candidates_of(s, sequence, 1);
        sequence->kind->weigh(sequence, &s->k, s->sequence[i], state->sequence[i], &one, weights + c * step);
        if (!s->k.finite_f32(weights + c * step, step))
            status = vqr_fail(error, VQR_ERROR_OVERFLOW,
                              "candidate %zu: a weight of sequence \"%s\" is not finite; the model's weights or the "
                              "values are too large",
                              c, sequence->name);
    }
    return status;
}

enum vqr_status vqr_explain(vqr_session *session, const vqr_state *state, size_t sequence,
                            const struct vqr_request *request, float *weights, struct vqr_error *error)
{
    enum vqr_status status = vqr_check_pair(session, state, request, "request", error);
    if (status)
        return status;
    if (sequence >= session->model->sequence_count)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "there is no sequence %zu, the model has %zu", sequence,
                        session->model->sequence_count);
    if (!weights && request->candidates.rows != 0)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "weights is NULL");
    if (state->stale)
        return vqr_fail(error, VQR_ERROR_STALE, "events were appended since the last vqr_refresh");
    const uint64_t host = vqr_fp_enter();
    status = explain(session, state, sequence, request, weights, error);
    vqr_fp_restore(host);
    return status;
}
