/* VQL sequences whose events fade: what decayed sums promise, and times that no clock shows. What such sequences share
 * with the other kinds is tested with these. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/state.h"
#include "runtime/vql.h"
#include "tests/runtime_support.h"

enum { CANDIDATES = 20, EVENTS = 200, TIME = 3 };

/* One sequence of kind vql and none other. */
static struct runtime_options fading(uint32_t terms)
{
    struct runtime_options o = runtime_options_default();
    o.sequences = 0;
    o.vql_sequences = 1;
    o.vql.terms = terms;
    o.vql.codewords[0] = 5;
    o.vql.codewords[1] = 33;
    o.vql.v_dim = 3;
    return o;
}

static int64_t *times_of(const struct values *events)
{
    return events->column_values[TIME];
}

/* Events within 2,000 seconds, one in eight without a time. */
static struct values *events_new(const struct world *w, uint64_t seed)
{
    struct values *events = values_new(w->model, VQR_EVENT, EVENTS, seed);
    for (size_t i = 0; i < EVENTS; i++)
        times_of(events)[i] = 1700000000 + (int64_t)random_below(&seed, 2000);
    return events;
}

/* The world's request at a time of its own, or with NULL at none. */
static float *scores_at(struct world *w, const int64_t *now)
{
    float *outputs = calloc(w->outputs, sizeof *outputs);
    struct vqr_request request = request_of(w);
    struct vqr_error error;
    assert_non_null(outputs);
    request.time = now;
    assert_int_equal(vqr_refresh(w->session, w->state, &error), VQR_OK);
    assert_int_equal(vqr_score(w->session, w->state, &request, outputs, NULL, &error), VQR_OK);
    for (size_t i = 0; i < w->outputs; i++)
        assert_true(outputs[i] >= 0.0f && outputs[i] <= 1.0f);
    return outputs;
}

/* ---- decayed sums against exact ones ---- */

static const struct vqr_vql *vql_of(const struct world *w)
{
    return w->model->sequence[0].self;
}

static const struct vqr_vql_state *sums_of(const vqr_state *state)
{
    return state->sequence[0];
}

/* Sums that long double holds, and the sums of magnitudes, laid out as the state's. */
struct exact {
    long double *sum, *magnitude; /* [terms][W][H][dv] of each group */
    long double *weight;          /* [terms][W][H] */
    size_t sums;
};

static struct exact exact_new(const struct vqr_vql *vql)
{
    struct exact e = {.sums = 0};
    for (size_t g = 0; g < vql->groups; g++)
        e.sums += vql->terms * vql->group[g].codewords * vql->group[g].heads * vql->v_dim;
    e.sum = calloc(e.sums, sizeof *e.sum);
    e.magnitude = calloc(e.sums, sizeof *e.magnitude);
    e.weight = calloc(e.sums, sizeof *e.weight);
    assert_true(e.sum && e.magnitude && e.weight);
    return e;
}

static void exact_free(struct exact *e)
{
    free(e->sum);
    free(e->magnitude);
    free(e->weight);
}

/* Adds an event that is `ago` seconds old. `alone` holds it alone, which is new: its sums are its values, its weights
 * 1 in its clusters. */
static void exact_add(struct exact *e, const struct vqr_vql *vql, const struct vqr_vql_state *alone, long double ago)
{
    for (size_t g = 0, at = 0; g < vql->groups; g++) {
        const struct vqr_vql_group *group = &vql->group[g];
        for (size_t r = 0; r < vql->terms; r++)
            for (size_t place = 0; place < group->codewords * group->heads; place++, at++) {
                const long double lambda = (long double)group->decay[r * group->heads + place % group->heads];
                const long double psi = expl(-lambda * ago);
                e->weight[at] += psi * (long double)alone->weights[at];
                for (size_t i = 0; i < vql->v_dim; i++) {
                    const long double v = (long double)alone->decayed[at * vql->v_dim + i];
                    e->sum[at * vql->v_dim + i] += psi * v;
                    e->magnitude[at * vql->v_dim + i] += psi * fabsl(v);
                }
            }
    }
}

static struct exact exact_sums(const struct world *w, const struct values *events)
{
    const struct vqr_vql *vql = vql_of(w);
    struct exact e = exact_new(vql);
    vqr_state *alone = new_state(w->model);
    int64_t last = INT64_MIN;
    for (size_t i = 0; i < EVENTS; i++)
        last = events->present[TIME][i] && times_of(events)[i] > last ? times_of(events)[i] : last;
    for (size_t i = 0; i < EVENTS; i++) {
        struct vqr_column columns[VALUES_COLUMNS];
        const struct vqr_rows one = values_part(events, i, 1, columns);
        if (!events->present[TIME][i])
            continue; /* counted among the exact sums */
        assert_int_equal(vqr_encode(w->session, alone, &one, NULL, NULL), VQR_OK);
        exact_add(&e, vql, sums_of(alone), (long double)(last - times_of(events)[i]));
    }
    vqr_state_free(alone);
    return e;
}

/* The bound on what rounding does to decayed sums, in units of 2^-53 of the sum of magnitudes. An event's factor is a
 * product of at most calls + 1 exponentials whose exponents sum up to lambda T. An exponent's rounding moves its
 * exponential by the exponent times 2^-53, SLEEF errs by one unit in the last place, 2^-52 at most, and the product
 * with the next by 2^-53: lambda T + 3 (calls + 1) in all. Each addition rounds once: one more for every event. 1 % is
 * for the products of these. */
static long double rounding(const struct vqr_vql *vql, size_t steps)
{
    long double fastest = 0;
    for (size_t g = 0; g < vql->groups; g++)
        for (size_t i = 0; i < vql->terms * vql->group[g].heads; i++)
            fastest = fmaxl(fastest, (long double)vql->group[g].decay[i]);
    return 1.01L * (fastest * 2000 + 3 * ((long double)steps + 1) + EVENTS) * 0x1p-53L;
}

static void assert_close(const struct world *w, const struct exact *e, size_t steps)
{
    const struct vqr_vql *vql = vql_of(w);
    const struct vqr_vql_state *state = sums_of(w->state);
    const long double bound = rounding(vql, steps);
    for (size_t i = 0; i < e->sums; i++)
        if (!(fabsl((long double)state->decayed[i] - e->sum[i]) <= bound * e->magnitude[i]))
            fail_msg("sum %zu is %a, exactly %La", i, state->decayed[i], e->sum[i]);
    for (size_t i = 0; i < e->sums / vql->v_dim; i++)
        if (!(fabsl((long double)state->weights[i] - e->weight[i]) <= bound * e->weight[i]))
            fail_msg("weight %zu is %a, exactly %La", i, state->weights[i], e->weight[i]);
}

/* Blocks of at most 48 events move the sums on, one after another, in any order of the events. */
static void test_sums_in_parts(void **state)
{
    (void)state;
    static const size_t sizes[] = {EVENTS, 48, 7, 1};
    const struct runtime_options options = fading(2);
    struct world w = world_new(&options, NULL, CANDIDATES);
    struct values *events = events_new(&w, 5);
    struct exact e = exact_sums(&w, events);
    float *expected = NULL;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int order = 0; order < 2; order++) {
            size_t steps = 0, backwards[EVENTS];
            for (size_t i = 0; i < EVENTS; i++)
                backwards[i] = EVENTS - 1 - i;
            struct values *ordered = order ? values_ordered(events, backwards, EVENTS) : NULL;
            vqr_state_reset(w.state);
            for (size_t first = 0; first < EVENTS; first += sizes[s]) {
                struct vqr_column columns[VALUES_COLUMNS];
                const size_t left = EVENTS - first, count = left < sizes[s] ? left : sizes[s];
                const struct vqr_rows part = values_part(order ? ordered : events, first, count, columns);
                append(&w, &part);
                steps += (count + VQR_EVENT_BLOCK - 1) / VQR_EVENT_BLOCK;
            }
            assert_close(&w, &e, steps);
            float *found = scores(&w); /* sums this close differ by a unit as fp32, scores by a few */
            expected = expected ? expected : found;
            for (size_t i = 0; i < w.outputs; i++)
                assert_true(fabsf(found[i] - expected[i]) <= 0x1p-20f);
            if (found != expected)
                free(found);
            values_free(ordered);
        }
    free(expected);
    exact_free(&e);
    values_free(events);
    world_free(&w);
}

/* Events without a time count as the latest one, whatever comes after them: their sums are exact. */
static void test_events_without_time(void **state)
{
    (void)state;
    const struct runtime_options options = fading(2);
    struct world w = world_new(&options, NULL, CANDIDATES);
    struct values *events = events_new(&w, 6);
    const int64_t now = 1800000000;
    memset(events->present[TIME], 0, EVENTS);
    encode(&w, &events->rows);
    float *expected = scores(&w);
    float *later = scores_at(&w, &now); /* after no event */
    assert_same_scores(&w, expected, later);
    free(later);
    vqr_state_reset(w.state);
    for (size_t i = EVENTS; i > 0; i--) {
        struct vqr_column columns[VALUES_COLUMNS];
        const struct vqr_rows part = values_part(events, i - 1, 1, columns);
        append(&w, &part);
    }
    float *found = scores(&w);
    assert_same_scores(&w, expected, found);
    free(found);
    events->columns[TIME] = (struct vqr_column){VQR_COLUMN_ABSENT, NULL, NULL};
    encode(&w, &events->rows);
    found = scores(&w);
    assert_same_scores(&w, expected, found);
    free(found);
    free(expected);
    values_free(events);
    world_free(&w);
}

/* One event without a time among others is as one at the latest time. */
static void test_an_event_without_time_is_new(void **state)
{
    (void)state;
    const struct runtime_options options = fading(2);
    struct world w = world_new(&options, NULL, CANDIDATES);
    struct values *events = events_new(&w, 8);
    int64_t *times = times_of(events), last = 1700000000;
    memset(events->present[TIME], 1, EVENTS);
    for (size_t i = 0; i < EVENTS; i++)
        last = times[i] > last ? times[i] : last;
    times[17] = last;
    encode(&w, &events->rows);
    float *expected = scores(&w);
    events->present[TIME][17] = 0;
    encode(&w, &events->rows);
    float *found = scores(&w); /* its values are rounded to the steps of exact sums */
    times[17] = 1700000000;
    events->present[TIME][17] = 1;
    encode(&w, &events->rows);
    float *old = scores(&w);
    float difference = 0, other = 0;
    for (size_t i = 0; i < w.outputs; i++) {
        difference = fmaxf(difference, fabsf(found[i] - expected[i]));
        other = fmaxf(other, fabsf(old[i] - expected[i]));
    }
    assert_true(difference <= 1e-5f && other > 1e-3f);
    free(old);
    free(found);
    free(expected);
    values_free(events);
    world_free(&w);
}

/* ---- times ---- */

/* As far apart as 64 bits allow, with decays from none to the largest: every ISA gives the same finite scores. */
static void test_times_far_apart(void **state)
{
    (void)state;
    static const int64_t times[] = {0, INT64_MIN, 1700000000, INT64_MAX, -1, INT64_MIN + 1, INT64_MAX - 1};
    static const float decays[] = {0.0f, 1e-19f, 0.1f, 3e38f};
    const size_t count = sizeof times / sizeof *times;
    for (size_t d = 0; d < sizeof decays / sizeof *decays; d++) {
        struct runtime_options options = fading(3);
        options.vql.decay = decays[d];
        for (size_t rotate = 0; rotate < count; rotate++) {
            struct world w = world_new(&options, "ref", CANDIDATES);
            struct values *events = events_new(&w, 7);
            for (size_t i = 0; i < EVENTS; i++)
                times_of(events)[i] = times[(i / 30 + rotate) % count];
            for (size_t now = 0; now <= count; now++) {
                const int64_t *at = now < count ? &times[now] : NULL;
                vqr_session *ref = w.session;
                encode(&w, &events->rows);
                float *expected = scores_at(&w, at);
                for (size_t isa = 1; usable_isa(isa); isa++) {
                    w.session = new_session(w.model, usable_isa(isa));
                    encode(&w, &events->rows);
                    float *found = scores_at(&w, at);
                    assert_same_scores(&w, expected, found);
                    free(found);
                    vqr_session_free(w.session);
                }
                w.session = ref;
                free(expected);
            }
            values_free(events);
            world_free(&w);
        }
    }
}

/* A time before the latest event is that event's; ten years after it differ with two terms, and with one, which fades
 * all events alike, do not, however late. */
static void test_request_times(void **state)
{
    (void)state;
    for (uint32_t terms = 1; terms <= 2; terms++) {
        struct runtime_options options = fading(terms);
        options.vql.decay = 1e-8f;
        struct world w = world_new(&options, NULL, CANDIDATES);
        struct values *events = events_new(&w, 5);
        for (size_t i = 0; i < EVENTS; i++)
            times_of(events)[i] = 1400000000 + 1500000 * (int64_t)i;
        events->present[TIME][EVENTS - 1] = 1;
        const int64_t last = times_of(events)[EVENTS - 1], before = last - 5, years = last + 315576000;
        const int64_t latest = INT64_MAX;
        encode(&w, &events->rows);
        float *expected = scores(&w), *at = scores_at(&w, &last), *earlier = scores_at(&w, &before);
        float *later = scores_at(&w, &years), *end = scores_at(&w, &latest);
        assert_same_scores(&w, expected, at);
        assert_same_scores(&w, expected, earlier);
        assert_int_equal(memcmp(expected, later, w.outputs * sizeof *later) == 0, terms == 1);
        assert_int_equal(memcmp(expected, end, w.outputs * sizeof *end) == 0, terms == 1);
        free(expected);
        free(at);
        free(earlier);
        free(later);
        free(end);
        values_free(events);
        world_free(&w);
    }
}

/* Each job of a call has a time of its own, and each explanation. */
static void test_times_of_many(void **state)
{
    (void)state;
    static const int64_t times[] = {1700002000, 1700002500, 1700002001};
    enum { JOBS = 4 };
    const struct runtime_options options = fading(2);
    struct world w = world_new(&options, NULL, CANDIDATES);
    struct values *events = events_new(&w, 5);
    struct vqr_job jobs[JOBS];
    float *outputs = calloc(JOBS * w.outputs, sizeof *outputs), last = 0;
    assert_non_null(outputs);
    encode(&w, &events->rows);
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = (struct vqr_job){.state = w.state, .request = request_of(&w), .outputs = outputs + i * w.outputs};
        jobs[i].request.time = i < JOBS - 1 ? &times[i] : NULL;
    }
    assert_int_equal(vqr_score_many(w.session, jobs, JOBS, NULL), VQR_OK);
    for (size_t i = 0; i < JOBS; i++) {
        float *alone = scores_at(&w, jobs[i].request.time), weights[2 * 33 * CANDIDATES];
        assert_same_scores(&w, alone, jobs[i].outputs);
        assert_true(i == 0 || alone[0] != last);
        last = alone[0];
        free(alone);
        assert_int_equal(vqr_explain(w.session, w.state, 0, &jobs[i].request, weights, NULL), VQR_OK);
        for (size_t j = 0; j < 2 * CANDIDATES; j++) { /* 5 codewords and 33 */
            double sum = 0;
            for (size_t c = 0; c < 33; c++) {
                assert_true(weights[j * 33 + c] >= 0 && (j % 2 == 1 || c < 5 || weights[j * 33 + c] == 0));
                sum += (double)weights[j * 33 + c];
            }
            assert_true(fabs(sum - 1) < 1e-5);
        }
    }
    free(outputs);
    values_free(events);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_in_parts),
        cmocka_unit_test(test_events_without_time),
        cmocka_unit_test(test_an_event_without_time_is_new),
        cmocka_unit_test(test_times_far_apart),
        cmocka_unit_test(test_request_times),
        cmocka_unit_test(test_times_of_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
