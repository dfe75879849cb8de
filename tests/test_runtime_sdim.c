/* Hashed events: codes, what a candidate meets, and what happens where a sign cannot be told. What such sequences share
 * with the other kinds is tested with these; that the scores are right in tests/python/test_spec_by_hand.py. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hostile_run.h"

enum { CANDIDATES = 7, EVENTS = 100, HASHES = 5, BUCKETS = 8 };

/* One sequence of kind sdim and none other. */
static struct runtime_options only_sdim(void)
{
    struct runtime_options o = runtime_options_default();
    o.sequences = 0;
    o.sdim_sequences = 1;
    o.hashes = HASHES;
    o.bits = 3;
    return o;
}

static void explain(const struct world *w, float *weights)
{
    const struct vqr_request request = request_of(w);
    assert_int_equal(vqr_explain(w->session, w->state, 0, &request, weights, NULL), VQR_OK);
}

/* In any order and parts, forth and, where a call fails, back: the same bits. */
static void test_parts_and_orders(void **state)
{
    (void)state;
    static const size_t sizes[] = {EVENTS, 48, 7, 1};
    const struct runtime_options o = only_sdim();
    for (size_t isa = 0; usable_isa(isa); isa++) {
        struct world w = world_new(&o, usable_isa(isa), CANDIDATES);
        struct values *events = values_new(w.model, VQR_EVENT, EVENTS, 3);
        size_t backwards[EVENTS];
        for (size_t i = 0; i < EVENTS; i++)
            backwards[i] = EVENTS - 1 - i;
        struct values *ordered = values_ordered(events, backwards, EVENTS);
        encode(&w, &events->rows);
        float *expected = scores(&w);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            vqr_state_reset(w.state);
            for (size_t first = 0; first < EVENTS; first += sizes[s]) {
                struct vqr_column columns[VALUES_COLUMNS];
                const size_t left = EVENTS - first;
                const struct vqr_rows part = values_part(ordered, first, left < sizes[s] ? left : sizes[s], columns);
                append(&w, &part);
            }
            float *found = scores(&w);
            assert_same_scores(&w, expected, found);
            free(found);
        }
        free(expected);
        struct vqr_column columns[VALUES_COLUMNS];
        const struct vqr_rows more = values_part(events, 3, 1, columns);
        append(&w, &more);
        expected = scores(&w);
        ((double *)ordered->column_values[2])[EVENTS - 1] = 1e9; /* a price out of range, after two blocks */
        ordered->present[2][EVENTS - 1] = 1;
        encode(&w, &events->rows);
        assert_int_equal(vqr_append(w.session, w.state, &ordered->rows, NULL, NULL), VQR_ERROR_RANGE);
        append(&w, &more); /* so that sums become interests again */
        float *found = scores(&w);
        assert_same_scores(&w, expected, found);
        free(found);
        free(expected);
        values_free(ordered);
        values_free(events);
        world_free(&w);
    }
}

/* 1/G of each hash whose bucket the candidate meets events in, and nothing of the others. */
static void test_explain(void **state)
{
    (void)state;
    static uint32_t codes[HASHES * EVENTS];
    float weights[CANDIDATES * HASHES * BUCKETS];
    const struct runtime_options o = only_sdim();
    struct world w = world_new(&o, NULL, CANDIDATES);
    struct vqr_sequence_info info;
    assert_int_equal(vqr_sequence_info(w.model, 0, &info), VQR_OK);
    assert_int_equal(info.codebooks, HASHES);
    assert_int_equal(info.tokens, BUCKETS);
    explain(&w, weights);
    for (size_t i = 0; i < CANDIDATES * HASHES * BUCKETS; i++)
        assert_true(weights[i] == 0);
    size_t met = 0, missed = 0;
    for (size_t count = 1; count <= EVENTS; count += 11) {
        struct values *events = values_new(w.model, VQR_EVENT, count, count);
        encode(&w, &events->rows);
        assert_int_equal(vqr_refresh(w.session, w.state, NULL), VQR_OK);
        assert_int_equal(vqr_assign(w.session, 0, &events->rows, codes, NULL), VQR_OK);
        explain(&w, weights);
        for (size_t i = 0; i < CANDIDATES * HASHES; i++) {
            bool held[BUCKETS] = {false};
            size_t found = 0;
            for (size_t e = 0; e < count; e++)
                held[codes[i % HASHES * count + e]] = true;
            for (size_t c = 0; c < BUCKETS; c++) {
                const float weight = weights[i * BUCKETS + c];
                assert_true(weight == 0 || (held[c] && weight == 1.0f / HASHES));
                found += weight != 0;
            }
            assert_true(found <= 1);
            met += found;
            missed += 1 - found;
        }
        values_free(events);
    }
    assert_true(met > 100 && missed > 10);
    world_free(&w);
}

/* The interest vector where the head gives it back: one event is its own direction, wherever it is met. */
static void test_one_event(void **state)
{
    (void)state;
    struct runtime_options o = only_sdim();
    o.hidden_count = 0;
    o.outputs = 1;
    struct runtime_file file = runtime_build(&o);
    struct vqr_header_tensor head = hostile_tensor(file, "head.0.weight");
    float *weight = hostile_floats(file, "head.0.weight"), *bias = hostile_floats(file, "head.0.bias");
    const size_t width = 9, in = (size_t)head.shape[0]; /* item 5, word 3, price 1; interests are the last inputs */
    memset(weight, 0, (size_t)head.length);
    bias[0] = 0;
    vqr_model *model = open_model(file);
    const float *table = hostile_floats(file, "tables.item.weight");
    int64_t item = 7;
    const struct vqr_column columns[] = {{VQR_COLUMN_INT64, &item, NULL}};
    const struct vqr_rows event = {columns, 1, 1};
    const struct vqr_request request = {.candidates = event};
    const float *word = hostile_floats(file, "tables.word.weight");
    double length = 0;
    for (size_t i = 0; i < 5; i++)
        length += (double)table[7 * 5 + i] * (double)table[7 * 5 + i];
    for (size_t i = 0; i < 3; i++)
        length += (double)word[i] * (double)word[i]; /* absent: row 0 */
    for (size_t column = 0; column < width; column++) {
        const double e = column < 5 ? (double)table[7 * 5 + column] : column < 8 ? (double)word[column - 5] : 0;
        weight[(in - width + column) * 16] = 1;
        for (size_t isa = 0; usable_isa(isa); isa++) {
            vqr_session *session = new_session(model, usable_isa(isa));
            vqr_state *user = new_state(model);
            float output = 0, weights[HASHES * BUCKETS], share = 0;
            assert_int_equal(vqr_encode(session, user, &event, NULL, NULL), VQR_OK);
            assert_int_equal(vqr_score(session, user, &request, &output, NULL, NULL), VQR_OK);
            assert_int_equal(vqr_explain(session, user, 0, &request, weights, NULL), VQR_OK);
            for (size_t i = 0; i < HASHES * BUCKETS; i++)
                share += weights[i];
            assert_true(fabs((double)output - 1 / (1 + exp(-(double)share * e / sqrt(length)))) < 1e-6);
            vqr_state_free(user);
            vqr_session_free(session);
        }
        weight[(in - width + column) * 16] = 0;
    }
    vqr_model_close(model);
    free(file.data);
}

/* A candidate whose hashes overflow has no signs: it is refused, and so is its explanation. */
static void test_candidates_that_overflow(void **state)
{
    (void)state;
    const struct runtime_options o = only_sdim();
    struct runtime_file file = runtime_build(&o);
    hostile_floats(file, "sequences.hashed.sdim.q.bias")[2] = 3e38f;
    for (size_t i = 0; i < 15; i++)
        hostile_floats(file, "sequences.hashed.sdim.hash")[2 * 16 + i] = i % 2 ? 3.0f : -3.0f;
    vqr_model *model = open_model(file);
    for (size_t isa = 0; usable_isa(isa); isa++) {
        vqr_session *session = new_session(model, usable_isa(isa));
        vqr_state *user = new_state(model);
        const struct vqr_request request = {.candidates = {NULL, 0, 1}};
        float outputs[2], weights[HASHES * BUCKETS];
        struct vqr_error error;
        assert_refusal(VQR_ERROR_OVERFLOW, vqr_score(session, user, &request, outputs, NULL, &error), &error);
        assert_refusal(VQR_ERROR_OVERFLOW, vqr_explain(session, user, 0, &request, weights, &error), &error);
        vqr_state_free(user);
        vqr_session_free(session);
    }
    vqr_model_close(model);
    free(file.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_and_orders),
        cmocka_unit_test(test_explain),
        cmocka_unit_test(test_one_event),
        cmocka_unit_test(test_candidates_that_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
