#include "bench_parts.h"

#include "bench_samples.h"
#include "runtime/assignments.h"
#include "runtime/dmqn.h"
#include "runtime/encode.h"
#include "runtime/gather.h"
#include "runtime/session.h"
#include "runtime/state.h"

struct bench_watch bench_watch_make(void)
{
    enum { READINGS = 1000 };
    struct bench_watch watch = {.cost = 1.0};
    double last = bench_milliseconds();
    for (int i = 0; i < READINGS; i++) {
        const double now = bench_milliseconds();
        watch.cost = now - last < watch.cost ? now - last : watch.cost;
        last = now;
    }
    return watch;
}

static void start(struct bench_watch *watch)
{
    watch->last = bench_milliseconds();
}

static void lap(struct bench_watch *watch, enum bench_part_number part)
{
    const double now = bench_milliseconds(), taken = now - watch->last - watch->cost;
    watch->of[part] += taken > 0.0 ? taken : 0.0;
    watch->last = now;
}

/* ---- append ---- */

static size_t block_rows(size_t first, size_t end, size_t most)
{
    return end - first < most ? end - first : most;
}

static void add_block(vqr_session *s, vqr_state *state, struct vqr_event_block *block, uint32_t *z,
                      struct bench_watch *watch)
{
    for (size_t i = 0; i < s->model->sequence_count; i++) {
        const struct vqr_dmqn *dmqn = s->model->sequence[i].self;
        const struct vqr_dmqn_state *st = state->sequence[i];
        block->stored = vqr_assignments_of(s->model, i, &s->stored);
        s->model->sequence[i].kind->assign(&s->model->sequence[i], &s->k, s->sequence[i], block, z, VQR_EVENT_BLOCK);
        lap(watch, PART_ASSIGN);
        s->k.accumulate_f32(st->sums, st->counts, dmqn->codebooks, dmqn->codewords, block->e, block->stride,
                            block->rows, dmqn->width, block->scale, z, VQR_EVENT_BLOCK, block->sign);
        lap(watch, PART_ACCUMULATE);
    }
}

static enum vqr_status append(vqr_session *s, vqr_state *state, const struct vqr_rows *events, uint32_t *z,
                              struct bench_watch *watch, struct vqr_error *error)
{
    struct vqr_stats counted = {0, 0};
    enum vqr_status status = vqr_check_rows(s->model, VQR_EVENT, events, error);
    start(watch);
    for (size_t first = 0; !status && first < events->rows; first += VQR_EVENT_BLOCK) {
        struct vqr_event_block block;
        status = vqr_load_events(s, events, first, block_rows(first, events->rows, VQR_EVENT_BLOCK), &counted, &block,
                                 error);
        lap(watch, PART_GATHER_EVENTS);
        if (!status)
            add_block(s, state, &block, z, watch);
    }
    state->events += events->rows;
    return status;
}

/* ---- refresh ---- */

/* False if a value is not finite. */
static bool refresh_codebook(const struct vqr_dmqn *dmqn, const struct vqr_kernels *k, struct vqr_dmqn_scratch *s,
                             struct vqr_dmqn_state *st, size_t j, struct bench_watch *watch)
{
    const size_t w = dmqn->codewords;
    const uint32_t *counts = st->counts + j * w;
    const size_t tokens = vqr_dmqn_list_tokens(dmqn, counts, s->tokens);
    st->interests[j].tokens = 0;
    if (tokens == 0)
        return true;
    k->cluster_mean_f32(s->x, vqr_padded(dmqn->width), st->sums + j * w * dmqn->width, counts, s->tokens, tokens,
                        dmqn->width, dmqn->unit);
    lap(watch, PART_MEANS);
    vqr_hstu_run(&dmqn->hstu, k, &s->hstu, j, &(struct vqr_hstu_tokens){.count = tokens, .cluster = s->tokens}, s->x);
    lap(watch, PART_HSTU);
    for (size_t t = 0; t < tokens; t++)
        s->counts[t] = counts[s->tokens[t]];
    const bool finite =
        vqr_interests_compute(&dmqn->attention, k, &s->attention, j, s->x, tokens, s->counts, &st->interests[j]);
    lap(watch, PART_KEYS_VALUES);
    return finite;
}

enum vqr_status bench_parts_encode(vqr_session *s, vqr_state *state, const struct vqr_rows *events, uint32_t *z,
                                   struct bench_watch *watch, struct vqr_error *error)
{
    const enum vqr_status status = append(s, state, events, z, watch, error);
    if (status)
        return status;
    start(watch);
    for (size_t i = 0; i < s->model->sequence_count; i++) {
        const struct vqr_dmqn *dmqn = s->model->sequence[i].self;
        for (size_t j = 0; j < dmqn->codebooks; j++)
            if (!refresh_codebook(dmqn, &s->k, s->sequence[i], state->sequence[i], j, watch))
                return vqr_fail(error, VQR_ERROR_OVERFLOW, "sequence \"%s\": interests are not finite",
                                s->model->sequence[i].name);
    }
    state->stale = 0;
    return VQR_OK;
}

/* ---- score ---- */

static void attend(vqr_session *s, const vqr_state *state, size_t rows)
{
    float *interest = s->x + s->model->inputs[VQR_CANDIDATE].width;
    const struct vqr_candidates candidates = {.t = s->x, .stride = s->x_stride, .rows = rows};
    for (size_t i = 0; i < s->model->sequence_count; i++) {
        const struct vqr_sequence *sequence = &s->model->sequence[i];
        sequence->kind->attend(sequence, &s->k, s->sequence[i], state->sequence[i], &candidates, interest, s->x_stride);
        interest += sequence->interest_width;
    }
}

/* The head of one block. */
static enum vqr_status finish(vqr_session *s, size_t rows, float *outputs, struct vqr_error *error)
{
    const size_t width = s->model->outputs;
    vqr_head_first(s->model, &s->k, &s->head, s->x, s->x_stride, rows, 0);
    const float *logits = vqr_head_logits(s->model, &s->k, &s->head, rows);
    for (size_t r = 0; r < rows; r++, logits += s->head.stride) {
        if (!s->k.finite_f32(logits, width))
            return vqr_fail(error, VQR_ERROR_OVERFLOW, "an output is not finite before the sigmoid");
        s->k.sigmoid_f32(outputs + r * width, logits, width);
    }
    return VQR_OK;
}

enum vqr_status bench_parts_score(vqr_session *s, const vqr_state *state, const struct vqr_request *request,
                                  float *outputs, struct bench_watch *watch, struct vqr_error *error)
{
    const struct vqr_model *model = s->model;
    const size_t user = model->inputs[VQR_USER].width, count = request->candidates.rows;
    struct vqr_stats counted = {0, 0};
    start(watch);
    enum vqr_status status =
        vqr_gather(model, &s->k, VQR_USER, &request->user, 0, 1, s->head.ux, user, &s->scratch, &counted, error);
    if (!status)
        status = vqr_gather(model, &s->k, VQR_CONTEXT, &request->context, 0, 1, s->head.ux + user,
                            model->inputs[VQR_CONTEXT].width, &s->scratch, &counted, error);
    lap(watch, PART_GATHER_CANDIDATES);
    if (status)
        return status;
    vqr_head_hoist(model, &s->k, &s->head);
    lap(watch, PART_HEAD);
    for (size_t first = 0; !status && first < count; first += VQR_CANDIDATE_BLOCK) {
        const size_t rows = block_rows(first, count, VQR_CANDIDATE_BLOCK);
        status = vqr_gather(model, &s->k, VQR_CANDIDATE, &request->candidates, first, rows, s->x, s->x_stride,
                            &s->scratch, &counted, error);
        lap(watch, PART_GATHER_CANDIDATES);
        if (status)
            break;
        attend(s, state, rows);
        lap(watch, PART_ATTENTION);
        status = finish(s, rows, outputs + first * model->outputs, error);
        lap(watch, PART_HEAD);
    }
    return status;
}
