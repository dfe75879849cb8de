/* HSTU over the last events: which events take part, in what order, and what their times do. What such sequences share
 * with the other kinds is tested with these; that the scores are right in tests/python/test_spec_by_hand.py. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simd/simd.h"
#include "tests/hostile_run.h"
#include "tests/runtime_support.h"

enum { CANDIDATES = 7, EVENTS = 70, TIME = 3 };

/* One sequence of kind hstu and none other: form 0 attends by dot, 1 by a network, 2 not at all. */
static struct runtime_options only_hstu(size_t form)
{
    static const int kinds[] = {VQR_ATTENTION_DOT, VQR_ATTENTION_DIN, VQR_ATTENTION_NONE};
    struct runtime_options o = runtime_options_default();
    o.sequences = 0;
    o.hstu_sequences = 1;
    o.hstu_last.hstu.layers = 2;
    o.hstu_last.attention.kind = kinds[form];
    return o;
}

static int64_t *times_of(const struct values *events)
{
    return events->column_values[TIME];
}

/* In order of time, now and then two at once, one in eight without a time. */
static struct values *events_new(const struct world *w, uint64_t seed)
{
    struct values *events = values_new(w->model, VQR_EVENT, EVENTS, seed);
    int64_t time = 1700000000;
    for (size_t i = 0; i < EVENTS; i++)
        times_of(events)[i] = time += (int64_t)random_below(&seed, 4) * (int64_t)random_below(&seed, 5000);
    return events;
}

static float *scores_of(struct world *w, const struct values *events, size_t first, size_t count)
{
    struct vqr_column columns[VALUES_COLUMNS];
    const struct vqr_rows part = values_part(events, first, count, columns);
    encode(w, &part);
    return scores(w);
}

/* Scores of the world as it is must be `expected`, to the bit. */
static void assert_scores(struct world *w, const float *expected)
{
    float *found = scores(w);
    assert_same_scores(w, expected, found);
    free(found);
}

static void assert_other_scores(struct world *w, const float *expected)
{
    float *found = scores(w);
    assert_true(memcmp(expected, found, w->outputs * sizeof *found) != 0);
    free(found);
}

static void append_part(struct world *w, const struct values *events, size_t first, size_t count)
{
    struct vqr_column columns[VALUES_COLUMNS];
    const struct vqr_rows part = values_part(events, first, count, columns);
    append(w, &part);
}

/* ---- which events ---- */

/* The last 30 of 70, whatever came before, in any parts, on every ISA; and other scores for one event less. */
static void test_the_last_events_in_parts(void **state)
{
    (void)state;
    static const size_t sizes[] = {EVENTS, 48, 13, 1};
    for (size_t form = 0; form < 3; form++)
        for (size_t isa = 0; usable_isa(isa); isa++) {
            const struct runtime_options o = only_hstu(form);
            struct world w = world_new(&o, usable_isa(isa), CANDIDATES);
            struct values *events = events_new(&w, 3);
            float *expected = scores_of(&w, events, EVENTS - 30, 30);
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                vqr_state_reset(w.state);
                for (size_t first = 0; first < EVENTS; first += sizes[s]) {
                    const size_t left = EVENTS - first;
                    append_part(&w, events, first, left < sizes[s] ? left : sizes[s]);
                    if (s % 2)
                        assert_int_equal(vqr_refresh(w.session, w.state, NULL), VQR_OK);
                }
                assert_scores(&w, expected);
            }
            free(scores_of(&w, events, EVENTS - 29, 29));
            assert_other_scores(&w, expected);
            free(expected);
            values_free(events);
            world_free(&w);
        }
}

/* The same bits from every ISA for every number of events up to more than `last`: blocks of queries end anywhere. */
static void test_any_number_of_events(void **state)
{
    (void)state;
    for (size_t form = 0; form < 3; form++) {
        const struct runtime_options o = only_hstu(form);
        struct world w = world_new(&o, "ref", CANDIDATES);
        struct values *events = events_new(&w, 4);
        vqr_session *ref = w.session;
        float *before = scores_of(&w, events, 0, 0);
        for (size_t count = 1; count <= 32; count++) {
            float *expected = scores_of(&w, events, 0, count);
            assert_true(memcmp(before, expected, w.outputs * sizeof *before) != 0);
            for (size_t isa = 1; usable_isa(isa); isa++) {
                w.session = new_session(w.model, usable_isa(isa));
                float *found = scores_of(&w, events, 0, count);
                assert_same_scores(&w, expected, found);
                free(found);
                vqr_session_free(w.session);
            }
            w.session = ref;
            free(before);
            before = expected;
        }
        free(before);
        values_free(events);
        world_free(&w);
    }
}

/* An event that cannot be read takes back those of its call, also where the ring is full. */
static void test_a_refused_call_changes_nothing(void **state)
{
    (void)state;
    for (size_t count = 5; count <= EVENTS; count += EVENTS - 5) {
        const struct runtime_options o = only_hstu(0);
        struct world w = world_new(&o, NULL, CANDIDATES);
        struct values *events = events_new(&w, 5), *bad = events_new(&w, 6);
        free(scores_of(&w, events, 0, count));
        append_part(&w, events, 2, 1);
        float *expected = scores(&w);
        free(scores_of(&w, events, 0, count));
        ((double *)bad->column_values[2])[EVENTS - 2] = 1e9; /* a price out of range */
        bad->present[2][EVENTS - 2] = 1;
        assert_int_equal(vqr_append(w.session, w.state, &bad->rows, NULL, NULL), VQR_ERROR_RANGE);
        append_part(&w, events, 2, 1); /* so that the ring is looked at again */
        assert_scores(&w, expected);
        append_part(&w, bad, 0, EVENTS - 2);
        assert_other_scores(&w, expected);
        free(expected);
        values_free(bad);
        values_free(events);
        world_free(&w);
    }
}

/* Two events that change places, late in a history, change the scores. */
static void test_order_matters(void **state)
{
    (void)state;
    const struct runtime_options o = only_hstu(0);
    struct world w = world_new(&o, NULL, CANDIDATES);
    struct values *events = events_new(&w, 7);
    size_t order[EVENTS];
    for (size_t i = 0; i < EVENTS; i++)
        order[i] = i;
    order[EVENTS - 5] = EVENTS - 4;
    order[EVENTS - 4] = EVENTS - 5;
    float *expected = scores_of(&w, events, 0, EVENTS);
    struct values *swapped = values_ordered(events, order, EVENTS);
    encode(&w, &swapped->rows);
    assert_other_scores(&w, expected);
    free(expected);
    values_free(swapped);
    values_free(events);
    world_free(&w);
}

/* Leaves the head the interests alone, which are its last inputs. */
static void see_only_interests(struct runtime_file file, size_t width)
{
    const size_t others = (size_t)hostile_tensor(file, "head.0.weight").shape[0] - width;
    memset(hostile_floats(file, "head.0.weight"), 0, others * VQR_LANES * sizeof(float));
}

/* Without attention all candidates have the same interest, of one history more than of another; with it each has its
 * own. */
static void test_one_interest_for_all_candidates(void **state)
{
    (void)state;
    for (size_t form = 0; form < 3; form++) {
        struct runtime_options o = only_hstu(form);
        o.hidden_count = 0;
        o.outputs = 1;
        struct world w = world_new(&o, NULL, CANDIDATES);
        struct values *events = events_new(&w, 15);
        struct vqr_sequence_info info;
        assert_int_equal(vqr_sequence_info(w.model, 0, &info), VQR_OK);
        see_only_interests(w.file, info.interest_width);
        float *found = scores_of(&w, events, 0, EVENTS), *before = scores_of(&w, events, 0, EVENTS - 1);
        assert_true(memcmp(found, before, w.outputs * sizeof *found) != 0);
        size_t same = 0;
        for (size_t c = 0; c < CANDIDATES; c++)
            same += memcmp(found + c, found, sizeof *found) == 0;
        assert_true(form == 2 ? same == CANDIDATES : same < CANDIDATES);
        free(found);
        free(before);
        values_free(events);
        world_free(&w);
    }
}

/* ---- times ---- */

/* Only differences count, and of them the bucket: those of all times by 1,000, and of no more than a bucket holds,
 * leave the scores as they are. */
static void test_times_by_their_buckets(void **state)
{
    (void)state;
    const struct runtime_options o = only_hstu(0);
    struct world w = world_new(&o, NULL, CANDIDATES);
    struct values *events = events_new(&w, 8);
    memset(events->present[TIME], 1, EVENTS);
    for (size_t i = 0; i < EVENTS; i++)
        times_of(events)[i] = 1700000000 + 100000 * (int64_t)i;
    float *expected = scores_of(&w, events, 0, EVENTS);
    for (size_t i = 0; i < EVENTS; i++)
        times_of(events)[i] += 1000;
    encode(&w, &events->rows);
    assert_scores(&w, expected);
    times_of(events)[EVENTS - 3] += 1; /* 99,999 and 100,001 seconds: exp(0.301 * 38) is 92,700, * 39 125,300 */
    encode(&w, &events->rows);
    assert_scores(&w, expected);
    times_of(events)[EVENTS - 3] += 30000;
    encode(&w, &events->rows);
    assert_other_scores(&w, expected);
    free(expected);
    values_free(events);
    world_free(&w);
}

/* Scores of two events that are so many seconds apart. */
static float *scores_apart(struct world *w, const struct values *events, int64_t seconds)
{
    times_of(events)[0] = -5;
    times_of(events)[1] = seconds - 5;
    return scores_of(w, events, 0, 2);
}

/* The least seconds of a bucket are in it, one less is not. */
static void test_edges(void **state)
{
    (void)state;
    const struct runtime_options o = only_hstu(2);
    struct world w = world_new(&o, NULL, CANDIDATES);
    struct values *events = events_new(&w, 13);
    memset(events->present[TIME], 1, EVENTS);
    for (size_t bucket = 5; bucket <= o.hstu_last.buckets; bucket++) {
        const int64_t edge = (int64_t)exp(0.301 * (double)bucket) + 1; /* as the model's file has them */
        float *expected = scores_apart(&w, events, edge), *before = scores_apart(&w, events, edge - 1);
        assert_true(memcmp(expected, before, w.outputs * sizeof *before) != 0);
        free(scores_apart(&w, events, edge + 1)); /* from 5 seconds on buckets have two */
        assert_scores(&w, expected);
        free(expected);
        free(before);
    }
    values_free(events);
    world_free(&w);
}

enum { EDGES = 40 };

/* How many of the edges are at most dt. */
static size_t bucket_of(const uint64_t edges[EDGES], uint64_t dt)
{
    size_t bucket = 0;
    for (size_t b = 0; b < EDGES; b++)
        bucket += edges[b] <= dt;
    return bucket;
}

static struct world world_of_edges(const uint64_t edges[EDGES])
{
    struct runtime_options o = only_hstu(2);
    o.hstu_last.buckets = EDGES;
    o.hstu_last.edges = edges;
    return world_new(&o, NULL, CANDIDATES);
}

/* Scores of two events that are so many seconds apart, as many as 64 bits have. */
static float *scores_as_far_apart(struct world *w, const struct values *events, uint64_t seconds)
{
    times_of(events)[0] = INT64_MIN;
    times_of(events)[1] = (int64_t)((uint64_t)INT64_MIN + seconds);
    return scores_of(w, events, 0, 2);
}

/* Edges that lie in one power of two, that are all equal, or of both: every time has the bucket that counting gives, as
 * found where bucket b is b seconds. */
static void test_any_edges(void **state)
{
    (void)state;
    uint64_t count[EDGES], edges[4][EDGES];
    for (size_t b = 0; b < EDGES; b++) {
        count[b] = b + 1;
        edges[0][b] = (UINT64_C(1) << 40) + 3 * b;
        edges[1][b] = 1000;
        edges[2][b] = b < 20 ? 1 + b / 7 : b < 30 ? UINT64_MAX / 2 - 30 + b : UINT64_MAX - (b < 35);
        edges[3][b] = UINT64_C(1) << (b < 10 ? b : 24 + b);
    }
    struct world counts = world_of_edges(count);
    struct values *events = events_new(&counts, 14);
    memset(events->present[TIME], 1, EVENTS);
    for (size_t e = 0; e < 4; e++) {
        struct world w = world_of_edges(edges[e]);
        for (size_t i = 0; i < 3 * (EDGES + 1); i++) {
            const uint64_t edge = i < 3 * EDGES ? edges[e][i / 3] : 1, dt = edge + i % 3 - 1;
            float *found = scores_as_far_apart(&w, events, dt);
            float *expected = scores_as_far_apart(&counts, events, bucket_of(edges[e], dt));
            assert_same_scores(&w, expected, found);
            free(expected);
            free(found);
        }
        world_free(&w);
    }
    values_free(events);
    world_free(&counts);
}

/* As one at the latest time of the events that take part, which need not be the last's; none at all is all at once. */
static void test_events_without_time(void **state)
{
    (void)state;
    const struct runtime_options o = only_hstu(0);
    struct world w = world_new(&o, NULL, CANDIDATES);
    struct values *events = events_new(&w, 9);
    int64_t *times = times_of(events);
    memset(events->present[TIME], 1, EVENTS);
    times[3] = times[EVENTS - 1] + 5000000; /* not among the last 30 */
    const int64_t latest = times[EVENTS - 9] = times[EVENTS - 1] + 5000;
    times[EVENTS - 4] = latest;
    float *expected = scores_of(&w, events, 0, EVENTS);
    events->present[TIME][EVENTS - 4] = 0;
    times[EVENTS - 4] = 12345;
    encode(&w, &events->rows);
    assert_scores(&w, expected);
    free(expected);
    for (size_t i = 0; i < EVENTS; i++)
        times[i] = -77;
    expected = scores_of(&w, events, 0, EVENTS);
    memset(events->present[TIME], 0, EVENTS);
    encode(&w, &events->rows);
    assert_scores(&w, expected);
    events->columns[TIME] = (struct vqr_column){VQR_COLUMN_ABSENT, NULL, NULL};
    encode(&w, &events->rows);
    assert_scores(&w, expected);
    free(expected);
    values_free(events);
    world_free(&w);
}

/* As far apart as 64 bits allow, in any order: the same scores from every ISA, and as from times that fall into the
 * same buckets. */
static void test_times_far_apart(void **state)
{
    (void)state;
    static const int64_t far[] = {INT64_MIN, INT64_MAX, 0, INT64_MIN, -1, INT64_MAX, INT64_MAX, 1};
    struct runtime_options o = only_hstu(2);
    o.hstu_last.buckets = 3; /* from 3 seconds on it is the last */
    struct world w = world_new(&o, "ref", CANDIDATES);
    vqr_session *ref = w.session;
    struct values *events = events_new(&w, 10);
    int64_t *times = times_of(events);
    memset(events->present[TIME], 1, EVENTS);
    for (size_t i = 0; i < EVENTS; i++)
        times[i] = far[i % 8];
    float *expected = scores_of(&w, events, 0, EVENTS);
    for (size_t isa = 0; usable_isa(isa); isa++) {
        w.session = new_session(w.model, usable_isa(isa));
        for (size_t near = 0; near < 2; near++) {
            for (size_t i = 0; i < EVENTS; i++)
                times[i] = !near || (far[i % 8] >= -1 && far[i % 8] <= 1) ? far[i % 8] : far[i % 8] < 0 ? -1000 : 1000;
            encode(&w, &events->rows);
            assert_scores(&w, expected);
        }
        vqr_session_free(w.session);
    }
    w.session = ref;
    free(expected);
    values_free(events);
    world_free(&w);
}

/* ---- explain, overflow ---- */

static void test_explain(void **state)
{
    (void)state;
    for (size_t form = 0; form < 3; form++)
        for (size_t count = 0; count < EVENTS; count += 6) {
            const struct runtime_options o = only_hstu(form);
            struct world w = world_new(&o, NULL, CANDIDATES);
            struct values *events = events_new(&w, 11);
            struct vqr_sequence_info info;
            float weights[CANDIDATES * 30];
            const struct vqr_request request = request_of(&w);
            free(scores_of(&w, events, 0, count));
            assert_int_equal(vqr_sequence_info(w.model, 0, &info), VQR_OK);
            assert_int_equal(info.codebooks, 0);
            assert_int_equal(info.tokens, 30);
            assert_int_equal(vqr_explain(w.session, w.state, 0, &request, weights, NULL), VQR_OK);
            for (size_t c = 0; c < CANDIDATES; c++) {
                double sum = 0;
                for (size_t i = 0; i < 30; i++) {
                    sum += (double)weights[c * 30 + i];
                    assert_true(i + count >= 30 || weights[c * 30 + i] == 0);
                }
                assert_true(form == 1 || fabs(sum - (count > 0)) < 1e-5);
                assert_true(form != 2 || weights[c * 30 + 29] == (count > 0 ? 1.0f : 0.0f));
            }
            values_free(events);
            world_free(&w);
        }
}

static void test_overflow(void **state)
{
    (void)state;
    for (size_t form = 0; form < 3; form++) {
        struct runtime_options o = only_hstu(form);
        o.scale = 3e38f;
        struct world w = world_new(&o, NULL, CANDIDATES);
        struct values *events = events_new(&w, 12);
        struct vqr_error error;
        assert_refusal(VQR_ERROR_OVERFLOW, vqr_encode(w.session, w.state, &events->rows, NULL, &error), &error);
        assert_says(&error, "sequence \"all\": what HSTU makes of the last events is not finite");
        assert_int_equal(vqr_state_events(w.state), 0);
        values_free(events);
        world_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_events_in_parts),
        cmocka_unit_test(test_any_number_of_events),
        cmocka_unit_test(test_a_refused_call_changes_nothing),
        cmocka_unit_test(test_order_matters),
        cmocka_unit_test(test_one_interest_for_all_candidates),
        cmocka_unit_test(test_times_by_their_buckets),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_any_edges),
        cmocka_unit_test(test_events_without_time),
        cmocka_unit_test(test_times_far_apart),
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
