/* Bytes -> a small model, a history and candidates; what the library promises about them:
 *
 *   every instruction set gives the same status, message, bits and statistics, and scores with a state of another
 *   a history in two calls, or backwards where no sequence is of last events, is the same user, unless events fade
 *   many users in a call are the same as one by one; a candidate's score does not depend on the others */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/draw_model.h"
#include "tests/fuzz/rows.h"

/* Mostly a few rows, which are quick; sometimes more than a block of them. */
enum { ROWS_FEW = 7, ROWS_MAX = 56 };

struct world {
    struct runtime_file file;
    vqr_model *model;
    struct fuzz_rows user, context, events, candidates;
    struct vqr_request request;
    size_t count; /* outputs of all candidates */
    int ordered;  /* some sequence is of last events */
    int fading;   /* or has decayed sums, which round: only the same calls give the same bits */
    int64_t now;  /* the request's time, if it has one */
};

/* What a call did: its status, and where that is VQR_OK its results. */
struct outcome {
    enum vqr_status status;
    struct vqr_error error;
    struct vqr_stats stats;
    float *outputs;
    size_t count;
};

/* ---- worlds ---- */

static size_t draw_rows(struct fuzz_input *input)
{
    const uint8_t byte = fuzz_byte(input);
    return byte < 0xc0 ? byte % (ROWS_FEW + 1) : byte - 0xc0u < ROWS_MAX ? byte - 0xc0u : ROWS_MAX;
}

/* Filled in place: the request points to its time. */
static void world_init(struct world *world, struct fuzz_input *input)
{
    static const int64_t times[] = {INT64_MIN, -1000, 0, 20, 1000, INT64_MAX};
    struct world w = {0};
    struct vqr_error error;
    const struct runtime_options options = fuzz_draw_model(input);
    w.file = runtime_build(&options);
    if (vqr_model_open_memory(w.file.data, w.file.size, &w.model, &error) || vqr_model_verify(w.model, &error))
        fuzz_fail("the model does not open: %s", error.message);
    const size_t events = draw_rows(input), candidates = draw_rows(input);
    w.ordered = options.short_sequences + options.search.sim_hards + options.search.twins + options.hstu_sequences > 0;
    w.fading = options.vql_sequences > 0 && options.vql.terms > 0;
    w.events = fuzz_rows_new(w.model, VQR_EVENT, events, input);
    w.candidates = fuzz_rows_new(w.model, VQR_CANDIDATE, candidates, input);
    w.user = fuzz_rows_new(w.model, VQR_USER, fuzz_below(input, 2), input);
    w.context = fuzz_rows_new(w.model, VQR_CONTEXT, fuzz_below(input, 2), input);
    w.request = (struct vqr_request){.user = w.user.rows, .context = w.context.rows, .candidates = w.candidates.rows};
    w.count = candidates * vqr_model_outputs(w.model);
    const size_t time = fuzz_below(input, sizeof times / sizeof *times + 1);
    *world = w;
    if (time < sizeof times / sizeof *times) {
        world->now = times[time];
        world->request.time = &world->now;
    }
}

static void world_free(struct world *w)
{
    fuzz_rows_free(&w->user);
    fuzz_rows_free(&w->context);
    fuzz_rows_free(&w->events);
    fuzz_rows_free(&w->candidates);
    vqr_model_close(w->model);
    free(w->file.data);
}

static vqr_session *new_session(const struct world *w, const char *isa)
{
    vqr_session *session = NULL;
    struct vqr_error error;
    if (vqr_session_create(w->model, &(struct vqr_session_options){.isa = isa}, &session, &error))
        fuzz_fail("no session: %s", error.message);
    return session;
}

static vqr_state *new_state(const struct world *w)
{
    vqr_state *state = NULL;
    struct vqr_error error;
    if (vqr_state_create(w->model, NULL, 0, &state, &error))
        fuzz_fail("no state: %s", error.message);
    return state;
}

/* ---- outcomes ---- */

static struct outcome outcome_new(size_t count)
{
    return (struct outcome){.outputs = fuzz_allocate(count, sizeof(float)), .count = count};
}

static void check_same(const struct outcome *a, const struct outcome *b, const char *what)
{
    if (a->status != b->status)
        fuzz_fail("%s: status %s and %s", what, vqr_status_name(a->status), vqr_status_name(b->status));
    if (a->status && strcmp(a->error.message, b->error.message) != 0)
        fuzz_fail("%s: \"%s\" and \"%s\"", what, a->error.message, b->error.message);
    if (a->status == VQR_OK && memcmp(&a->stats, &b->stats, sizeof a->stats) != 0)
        fuzz_fail("%s: the statistics differ", what);
    for (size_t i = 0; a->status == VQR_OK && i < a->count; i++)
        if (memcmp(&a->outputs[i], &b->outputs[i], sizeof(float)) != 0)
            fuzz_fail("%s: number %zu is %a and %a", what, i, (double)a->outputs[i], (double)b->outputs[i]);
}

static struct outcome score(const struct world *w, vqr_session *session, const vqr_state *state)
{
    struct outcome o = outcome_new(w->count);
    o.status = vqr_score(session, state, &w->request, o.outputs, &o.stats, &o.error);
    for (size_t i = 0; !o.status && i < o.count; i++)
        if (!(o.outputs[i] >= 0.0f && o.outputs[i] <= 1.0f))
            fuzz_fail("output %zu is %g", i, (double)o.outputs[i]);
    return o;
}

/* Encodes all at once, and scores if that worked; else the outcome is the encoding's. */
static struct outcome run(const struct world *w, vqr_session *session, vqr_state *state)
{
    struct outcome encoded = {0};
    encoded.status = vqr_encode(session, state, &w->events.rows, &encoded.stats, &encoded.error);
    if (vqr_state_events(state) != (encoded.status ? 0 : w->events.rows.rows))
        fuzz_fail("%llu events in the state", (unsigned long long)vqr_state_events(state));
    return encoded.status ? encoded : score(w, session, state);
}

/* ---- promises ---- */

static void check_isa(const struct world *w, const char *isa, const vqr_state *reference,
                      const struct outcome *expected)
{
    vqr_session *session = new_session(w, isa);
    vqr_state *state = new_state(w);
    struct outcome o = run(w, session, state);
    check_same(expected, &o, isa);
    if (!o.status) { /* a state of the reference, scored here */
        struct outcome crossed = score(w, session, reference);
        check_same(expected, &crossed, "another's state");
        free(crossed.outputs);
    }
    free(o.outputs);
    vqr_state_free(state);
    vqr_session_free(session);
}

static struct outcome explain(const struct world *w, const char *isa, const vqr_state *state, size_t sequence)
{
    struct vqr_sequence_info info;
    vqr_session *session = new_session(w, isa);
    if (vqr_sequence_info(w->model, sequence, &info))
        fuzz_fail("no sequence %zu", sequence);
    struct outcome o = outcome_new(w->candidates.rows.rows * (info.codebooks ? info.codebooks : 1) * info.tokens);
    const struct vqr_request request = {.candidates = w->candidates.rows, .time = w->request.time};
    o.status = vqr_explain(session, state, sequence, &request, o.outputs, &o.error);
    vqr_session_free(session);
    return o;
}

static struct outcome assign(const struct world *w, const char *isa, size_t sequence)
{
    vqr_session *session = new_session(w, isa);
    struct outcome o = outcome_new(vqr_sequence_codebooks(w->model, sequence) * w->events.rows.rows);
    uint32_t *clusters = fuzz_allocate(o.count, sizeof *clusters);
    struct vqr_sequence_info info;
    vqr_sequence_info(w->model, sequence, &info);
    o.status = vqr_assign(session, sequence, &w->events.rows, clusters, &o.error);
    for (size_t i = 0; !o.status && i < o.count; i++) {
        if (clusters[i] >= info.tokens)
            fuzz_fail("cluster %u of %zu", clusters[i], info.tokens);
        o.outputs[i] = (float)clusters[i];
    }
    free(clusters);
    vqr_session_free(session);
    return o;
}

static void check_sequences(const struct world *w, const char *isa, const vqr_state *state, int encoded)
{
    for (size_t i = 0; i < vqr_sequence_count(w->model); i++) {
        struct outcome a = explain(w, "ref", state, i), b = explain(w, isa, state, i);
        if (encoded)
            check_same(&a, &b, "weights");
        free(a.outputs);
        free(b.outputs);
        if (vqr_sequence_codebooks(w->model, i) == 0)
            continue;
        a = assign(w, "ref", i);
        b = assign(w, isa, i);
        check_same(&a, &b, "clusters");
        free(a.outputs);
        free(b.outputs);
    }
}

/* The events order[0 .. first), then the rest. */
static void check_parts(const struct world *w, vqr_session *session, const size_t *order, size_t first,
                        const struct outcome *expected, const char *what)
{
    const size_t count = w->events.rows.rows;
    struct fuzz_rows parts[2] = {fuzz_rows_ordered(&w->events, order, first),
                                 fuzz_rows_ordered(&w->events, order + first, count - first)};
    vqr_state *state = new_state(w);
    enum vqr_status status = VQR_OK;
    for (size_t i = 0; !status && i < 2; i++)
        status = vqr_append(session, state, &parts[i].rows, NULL, NULL);
    status = status ? status : vqr_refresh(session, state, NULL);
    struct outcome o = {.status = status};
    if (!status)
        o = score(w, session, state);
    if ((expected->status == VQR_OK) != (o.status == VQR_OK))
        fuzz_fail("%s: status %s, at once %s", what, vqr_status_name(o.status), vqr_status_name(expected->status));
    if (!o.status)
        check_same(expected, &o, what);
    free(o.outputs);
    vqr_state_free(state);
    fuzz_rows_free(&parts[0]);
    fuzz_rows_free(&parts[1]);
}

static void check_histories(const struct world *w, vqr_session *session, size_t cut, const struct outcome *expected)
{
    const size_t count = w->events.rows.rows;
    size_t order[ROWS_MAX];
    for (size_t i = 0; i < count; i++)
        order[i] = i;
    check_parts(w, session, order, w->fading ? count : cut % (count + 1), expected, "in two parts");
    for (size_t i = 0; i < count; i++)
        order[i] = count - 1 - i;
    if (!w->ordered && !w->fading)
        check_parts(w, session, order, count, expected, "backwards");
}

/* Jobs of one candidate each, and one user without events among them. */
static void check_many(const struct world *w, vqr_session *session, const vqr_state *state,
                       const struct outcome *expected)
{
    const size_t count = w->candidates.rows.rows, outputs = vqr_model_outputs(w->model);
    struct fuzz_rows candidates[ROWS_MAX];
    struct vqr_job jobs[ROWS_MAX + 1];
    vqr_state *nobody = new_state(w);
    struct outcome o = outcome_new(w->count), empty = score(w, session, nobody), alone = outcome_new(w->count);
    for (size_t i = 0; i < count; i++) {
        candidates[i] = fuzz_rows_ordered(&w->candidates, &i, 1);
        jobs[i] = (struct vqr_job){.state = state, .request = w->request, .outputs = o.outputs + i * outputs};
        jobs[i].request.candidates = candidates[i].rows;
    }
    jobs[count] = (struct vqr_job){.state = nobody, .request = w->request, .outputs = alone.outputs};
    const enum vqr_status status = vqr_score_many(session, jobs, count + 1, &o.error);
    enum vqr_status first = VQR_OK;
    for (size_t i = 0; i <= count; i++)
        first = first ? first : jobs[i].status;
    if ((status == VQR_OK) != (first == VQR_OK))
        fuzz_fail("many users: status %s, a job's %s", vqr_status_name(status), vqr_status_name(first));
    if (expected->status == VQR_OK)
        for (size_t i = 0; i < count; i++)
            if (jobs[i].status ||
                memcmp(jobs[i].outputs, expected->outputs + i * outputs, outputs * sizeof(float)) != 0)
                fuzz_fail("candidate %zu alone, among many users: another score", i);
    alone.status = jobs[count].status;
    /* With two things wrong, which is named depends on how the calls' blocks of candidates fall. */
    if ((alone.status == VQR_OK) != (empty.status == VQR_OK))
        fuzz_fail("a user without events: status %s, among many %s", vqr_status_name(empty.status),
                  vqr_status_name(alone.status));
    if (!alone.status) {
        alone.stats = jobs[count].stats;
        check_same(&empty, &alone, "a user without events, among many");
    }
    for (size_t i = 0; i < count; i++)
        fuzz_rows_free(&candidates[i]);
    free(o.outputs);
    free(empty.outputs);
    free(alone.outputs);
    vqr_state_free(nobody);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    const size_t cut = fuzz_byte(&input);
    struct world w;
    world_init(&w, &input);
    vqr_session *session = new_session(&w, "ref");
    vqr_state *state = new_state(&w);
    struct outcome expected = run(&w, session, state);
    const int encoded = expected.outputs != NULL;
    int usable;
    const char *isa;
    for (size_t i = 0; (isa = vqr_isa_name(i, &usable)) != NULL; i++) {
        if (!usable || strcmp(isa, "ref") == 0)
            continue;
        check_isa(&w, isa, state, &expected);
        check_sequences(&w, isa, state, encoded);
    }
    vqr_session *best = new_session(&w, NULL);
    check_histories(&w, best, cut, &expected);
    if (encoded)
        check_many(&w, best, state, &expected);
    free(expected.outputs);
    vqr_session_free(best);
    vqr_state_free(state);
    vqr_session_free(session);
    world_free(&w);
    return 0;
}
