#include "bench_stages.h"

#include <stdlib.h>
#include <string.h>

#include "bench_parts.h"
#include "options.h"
#include "runtime/session.h"

/* Where the parts of each stage begin and end. */
static const struct stage {
    const char *name;
    enum bench_part_number first, end;
} append = {"append", PART_GATHER_EVENTS, PART_MEANS}, refresh = {"refresh", PART_MEANS, PART_GATHER_CANDIDATES},
  score = {"score", PART_GATHER_CANDIDATES, PARTS};

static const char *const part_names[PARTS] = {
    [PART_GATHER_EVENTS] = "gather",
    [PART_ASSIGN] = "assign",
    [PART_ACCUMULATE] = "accumulate",
    [PART_MEANS] = "means",
    [PART_HSTU] = "HSTU",
    [PART_KEYS_VALUES] = "keys, values",
    [PART_GATHER_CANDIDATES] = "gather",
    [PART_ATTENTION] = "attention",
    [PART_HEAD] = "head",
};

struct stages {
    const vqr_model *model;
    const struct vqr_header *header;
    vqr_session *session;
    const struct bench_stages_plan *plan;
    struct bench_peaks peaks;
    struct bench_inputs inputs;
    struct bench_watch watch;
    vqr_state *state, *parted; /* encoded by the public functions, and in parts */
    uint32_t *z;               /* [codebooks, VQR_EVENT_BLOCK] of the sequence with the most */
    float *scores, *parted_scores;
    struct bench_samples whole, more; /* of public functions: append or score, refresh */
    struct bench_samples one, needed; /* one event more and refresh, and what this needs at least */
    struct bench_samples part[PARTS];
    struct vqr_error error;
};

/* ---- results ---- */

static struct bench_part describe(const struct stages *s, const struct stage *stage, size_t candidates)
{
    return (struct bench_part){.stage = stage->name,
                               .events = s->inputs.events.rows.rows,
                               .candidates = candidates,
                               .counted = true};
}

/* Reports the public function of a stage, then its parts, and forgets their samples. */
static void report_stage(struct stages *s, const struct stage *stage, size_t candidates, struct bench_samples *whole)
{
    struct bench_part all = describe(s, stage, candidates), parts[PARTS];
    const size_t rows = candidates != 0 ? candidates : all.events;
    all.part = "all";
    all.bound = "parts";
    all.time = bench_samples_sum_up(whole);
    for (enum bench_part_number i = stage->first; i < stage->end; i++) {
        struct bench_part *part = &parts[i];
        *part = describe(s, stage, candidates);
        part->part = part_names[i];
        part->time = bench_samples_sum_up(&s->part[i]);
        part->counted = bench_part_work(s->model, s->state, i, rows, &part->work);
        const struct bench_roof roof = bench_roof(&s->peaks, &part->work);
        part->roofline = 1e3 * roof.seconds;
        part->serial = 1e3 * roof.serial;
        part->bound = roof.bound[0] == 'b' ? roof.level->name : roof.bound;
        all.parts += part->time.median;
        all.roofline += part->roofline;
        all.serial += part->serial;
        all.counted = all.counted && part->counted;
        all.work.flops += part->work.flops;
        all.work.iops += part->work.iops;
        all.work.exps += part->work.exps;
        all.work.bytes += part->work.bytes;
        all.work.set = part->work.set > all.work.set ? part->work.set : all.work.set;
    }
    s->plan->report(&all, &s->peaks, s->plan->context);
    for (enum bench_part_number i = stage->first; i < stage->end; i++)
        s->plan->report(&parts[i], &s->peaks, s->plan->context);
}

/* What the watch has of a stage's parts becomes samples. */
static void take_parts(struct stages *s, const struct stage *stage)
{
    for (enum bench_part_number i = stage->first; i < stage->end; i++) {
        bench_samples_add(&s->part[i], s->watch.of[i]);
        s->watch.of[i] = 0.0;
    }
}

static void clear_watch(struct stages *s)
{
    memset(s->watch.of, 0, sizeof s->watch.of);
}

/* ---- encoding ---- */

static enum vqr_status encode_whole(struct stages *s)
{
    vqr_state_reset(s->state);
    const double start = bench_milliseconds();
    enum vqr_status status = vqr_append(s->session, s->state, &s->inputs.events.rows, NULL, &s->error);
    const double appended = bench_milliseconds();
    if (status == VQR_OK)
        status = vqr_refresh(s->session, s->state, &s->error);
    bench_samples_add(&s->whole, appended - start);
    bench_samples_add(&s->more, bench_milliseconds() - appended);
    return status;
}

static enum vqr_status encode_parts(struct stages *s)
{
    clear_watch(s);
    vqr_state_reset(s->parted);
    const enum vqr_status status =
        bench_parts_encode(s->session, s->parted, &s->inputs.events.rows, s->z, &s->watch, &s->error);
    take_parts(s, &append);
    take_parts(s, &refresh);
    return status;
}

/* One more event, the first one again, and the interests of all: by the public functions and then in parts, both right
 * after the same was done once, so that caches hold the same for both. */
static enum vqr_status encode_one(struct stages *s)
{
    struct vqr_rows event = s->inputs.events.rows;
    enum vqr_status status = VQR_OK;
    event.rows = event.rows != 0 ? 1 : 0;
    for (int i = 0; i < 2 && status == VQR_OK; i++) {
        const double start = bench_milliseconds();
        status = vqr_append(s->session, s->state, &event, NULL, &s->error);
        if (status == VQR_OK)
            status = vqr_refresh(s->session, s->state, &s->error);
        if (i == 1)
            bench_samples_add(&s->one, bench_milliseconds() - start);
    }
    clear_watch(s);
    if (status == VQR_OK)
        status = bench_parts_encode(s->session, s->parted, &event, s->z, &s->watch, &s->error);
    bench_samples_add(&s->needed, s->watch.of[PART_HSTU] + s->watch.of[PART_KEYS_VALUES]);
    return status;
}

static enum vqr_status measure_encode(struct stages *s)
{
    enum vqr_status status = VQR_OK;
    while (status == VQR_OK &&
           !bench_is_enough(s->whole.count, s->whole.total + s->more.total, s->plan->plan->seconds)) {
        status = encode_whole(s);
        if (status == VQR_OK)
            status = encode_parts(s);
        if (status == VQR_OK)
            status = encode_one(s);
    }
    if (status != VQR_OK)
        return status;
    report_stage(s, &append, 0, &s->whole);
    report_stage(s, &refresh, 0, &s->more);
    const struct bench_quartiles one = bench_samples_sum_up(&s->one);
    s->plan->report_one(s->inputs.events.rows.rows, &one, bench_samples_sum_up(&s->needed).median, s->plan->context);
    return VQR_OK;
}

/* ---- scoring ---- */

static enum vqr_status score_both(struct stages *s, const struct vqr_request *request)
{
    const double start = bench_milliseconds();
    const enum vqr_status status = vqr_score(s->session, s->state, request, s->scores, NULL, &s->error);
    bench_samples_add(&s->whole, bench_milliseconds() - start);
    if (status != VQR_OK)
        return status;
    clear_watch(s);
    return bench_parts_score(s->session, s->parted, request, s->parted_scores, &s->watch, &s->error);
}

static enum vqr_status measure_score(struct stages *s, size_t candidates)
{
    const struct vqr_request request = bench_inputs_request(&s->inputs, candidates);
    enum vqr_status status = VQR_OK;
    while (status == VQR_OK && !bench_is_enough(s->whole.count, s->whole.total, s->plan->plan->seconds)) {
        status = score_both(s, &request);
        take_parts(s, &score);
    }
    if (status == VQR_OK)
        report_stage(s, &score, candidates, &s->whole);
    return status;
}

/* ---- all ---- */

static void forget(struct stages *s)
{
    for (size_t i = 0; i < PARTS; i++)
        s->part[i].count = 0, s->part[i].total = 0.0;
    s->whole.count = s->more.count = 0;
    s->whole.total = s->more.total = 0.0;
}

/* Whether the parts make the same scores, bit for bit: only then it is the library that they measure. */
static bool check(struct stages *s)
{
    const struct vqr_request request = bench_inputs_request(&s->inputs, s->inputs.most);
    enum vqr_status status = encode_whole(s);
    if (status == VQR_OK)
        status = encode_parts(s);
    if (status == VQR_OK)
        status = score_both(s, &request);
    forget(s);
    if (status != VQR_OK)
        complain("%s", s->error.message);
    else if (memcmp(s->scores, s->parted_scores, s->inputs.most * vqr_model_outputs(s->model) * sizeof(float)) != 0)
        status = VQR_ERROR_ARGUMENT, complain("the parts of the stages give other scores than vqr_score; not timed");
    return status == VQR_OK;
}

static bool measure_events(struct stages *s, size_t events)
{
    if (!bench_inputs_draw_events(&s->inputs, s->header, events)) {
        complain("out of memory");
        return false;
    }
    if (!check(s))
        return false;
    enum vqr_status status = measure_encode(s);
    for (size_t i = 0; status == VQR_OK && i < s->plan->plan->candidates.count; i++)
        status = measure_score(s, s->plan->plan->candidates.of[i]);
    if (status != VQR_OK)
        complain("%s", s->error.message);
    return status == VQR_OK;
}

static bool init(struct stages *s)
{
    const size_t most = bench_most(&s->plan->plan->candidates), outputs = vqr_model_outputs(s->model);
    size_t codebooks = 1;
    for (size_t i = 0; i < s->model->sequence_count; i++)
        codebooks = s->model->sequence[i].codebooks > codebooks ? s->model->sequence[i].codebooks : codebooks;
    s->z = calloc(codebooks * VQR_EVENT_BLOCK, sizeof *s->z);
    s->scores = calloc(most * outputs + 1, sizeof *s->scores);
    s->parted_scores = calloc(most * outputs + 1, sizeof *s->parted_scores);
    bool taken = s->z && s->scores && s->parted_scores && bench_inputs_init(&s->inputs, s->header, most) &&
                 vqr_state_create(s->model, NULL, 0, &s->state, NULL) == VQR_OK &&
                 vqr_state_create(s->model, NULL, 0, &s->parted, NULL) == VQR_OK && bench_samples_take(&s->whole) &&
                 bench_samples_take(&s->more) && bench_samples_take(&s->one) && bench_samples_take(&s->needed);
    for (size_t i = 0; taken && i < PARTS; i++)
        taken = bench_samples_take(&s->part[i]);
    return taken && bench_peaks_measure(&s->peaks, vqr_session_isa(s->session), &s->session->k);
}

static void release(struct stages *s)
{
    for (size_t i = 0; i < PARTS; i++)
        bench_samples_free(&s->part[i]);
    bench_samples_free(&s->whole);
    bench_samples_free(&s->more);
    bench_samples_free(&s->one);
    bench_samples_free(&s->needed);
    vqr_state_free(s->state);
    vqr_state_free(s->parted);
    bench_inputs_free(&s->inputs);
    free(s->z);
    free(s->scores);
    free(s->parted_scores);
}

bool bench_stages_run(const vqr_model *model, const struct vqr_header *header, vqr_session *session,
                      const struct bench_stages_plan *plan)
{
    struct stages s = {.model = model, .header = header, .session = session, .plan = plan, .watch = bench_watch_make()};
    for (size_t i = 0; i < model->sequence_count; i++)
        if (model->sequence[i].kind != &vqr_dmqn) {
            complain("--stages: sequence \"%s\": expected kind dmqn, found another, whose stages have no parts to "
                     "time; leave --stages out",
                     model->sequence[i].name);
            return false;
        }
    bool measured = init(&s);
    if (!measured)
        complain("out of memory");
    else
        plan->begin(&s.peaks, plan->context);
    for (size_t i = 0; measured && i < plan->plan->events.count; i++)
        measured = measure_events(&s, plan->plan->events.of[i]);
    release(&s);
    return measured;
}
