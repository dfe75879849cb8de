#include "bench.h"

#include <stdlib.h>

#include "bench_inputs.h"
#include "options.h"

/* What one model's measurements share. */
struct bench {
    const struct vqr_header *header;
    vqr_session *session;
    vqr_state *state;
    const struct bench_plan *plan;
    void (*report)(const struct bench_result *result, void *context);
    void *context;
    struct bench_inputs inputs;
    size_t outputs;
    float *scores;
    struct bench_samples append, refresh, score;
};

/* Reports the samples and forgets them. */
static void report(struct bench *bench, const char *stage, size_t candidates, struct bench_samples *samples)
{
    const struct bench_result result = {.stage = stage,
                                        .events = bench->inputs.events.rows.rows,
                                        .candidates = candidates,
                                        .time = bench_samples_sum_up(samples)};
    bench->report(&result, bench->context);
}

/* One encoding from nothing; `keep` false: only to warm up. */
static enum vqr_status encode_once(struct bench *bench, bool keep, struct vqr_error *error)
{
    vqr_state_reset(bench->state);
    const double start = bench_milliseconds();
    enum vqr_status status = vqr_append(bench->session, bench->state, &bench->inputs.events.rows, NULL, error);
    const double appended = bench_milliseconds();
    if (status == VQR_OK)
        status = vqr_refresh(bench->session, bench->state, error);
    const double refreshed = bench_milliseconds();
    if (status == VQR_OK && keep) {
        bench_samples_add(&bench->append, appended - start);
        bench_samples_add(&bench->refresh, refreshed - appended);
    }
    return status;
}

static bool bench_encode(struct bench *bench)
{
    struct vqr_error error;
    enum vqr_status status = encode_once(bench, false, &error);
    while (status == VQR_OK &&
           !bench_is_enough(bench->append.count, bench->append.total + bench->refresh.total, bench->plan->seconds))
        status = encode_once(bench, true, &error);
    if (status != VQR_OK) {
        complain("%s", error.message);
        return false;
    }
    report(bench, "append", 0, &bench->append);
    report(bench, "refresh", 0, &bench->refresh);
    return true;
}

static bool bench_score(struct bench *bench, size_t candidates)
{
    struct vqr_error error;
    const struct vqr_request request = bench_inputs_request(&bench->inputs, candidates);
    enum vqr_status status = vqr_score(bench->session, bench->state, &request, bench->scores, NULL, &error);
    while (status == VQR_OK && !bench_is_enough(bench->score.count, bench->score.total, bench->plan->seconds)) {
        const double start = bench_milliseconds();
        status = vqr_score(bench->session, bench->state, &request, bench->scores, NULL, &error);
        bench_samples_add(&bench->score, bench_milliseconds() - start);
    }
    if (status != VQR_OK) {
        complain("%s", error.message);
        return false;
    }
    report(bench, "score", candidates, &bench->score);
    return true;
}

static bool bench_events(struct bench *bench, size_t events)
{
    if (!bench_inputs_draw_events(&bench->inputs, bench->header, events)) {
        complain("out of memory");
        return false;
    }
    bool measured = bench_encode(bench);
    for (size_t i = 0; measured && i < bench->plan->candidates.count; i++)
        measured = bench_score(bench, bench->plan->candidates.of[i]);
    return measured;
}

size_t bench_most(const struct bench_sizes *sizes)
{
    size_t most = 0;
    for (size_t i = 0; i < sizes->count; i++)
        most = sizes->of[i] > most ? sizes->of[i] : most;
    return most;
}

/* Everything but the events. */
static bool init(struct bench *bench)
{
    const size_t most = bench_most(&bench->plan->candidates);
    bench->scores = calloc(most * bench->outputs + 1, sizeof *bench->scores);
    return bench->scores != NULL && bench_samples_take(&bench->append) && bench_samples_take(&bench->refresh) &&
           bench_samples_take(&bench->score) && bench_inputs_init(&bench->inputs, bench->header, most);
}

bool bench_run(const vqr_model *model, const struct vqr_header *header, vqr_session *session,
               const struct bench_plan *plan, void (*report_result)(const struct bench_result *result, void *context),
               void *context)
{
    struct bench bench = {.header = header,
                          .session = session,
                          .plan = plan,
                          .report = report_result,
                          .context = context,
                          .outputs = vqr_model_outputs(model)};
    bool measured = vqr_state_create(model, NULL, 0, &bench.state, NULL) == VQR_OK && init(&bench);
    if (!measured)
        complain("out of memory");
    for (size_t i = 0; measured && i < plan->events.count; i++)
        measured = bench_events(&bench, plan->events.of[i]);
    bench_inputs_free(&bench.inputs);
    free(bench.scores);
    bench_samples_free(&bench.append);
    bench_samples_free(&bench.refresh);
    bench_samples_free(&bench.score);
    vqr_state_free(bench.state);
    return measured;
}
