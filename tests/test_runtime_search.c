/* Sequences that search the last events, against the kind that attends to the last events it is given: over a history
 * of those alone that a candidate finds or chooses, it must give the same bits. What a head chooses is checked apart.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "simd/simd.h"
#include "tests/hostile_run.h"
#include "tests/runtime_support.h"

enum { CANDIDATES = 60, EVENTS = 150, LAST = 60, TOP = 4, ITEM = 0 }; /* candidates: more than a block, 48 */

static const size_t lengths[] = {0, 1, TOP, LAST - 1, LAST, LAST + 1, EVENTS};
enum { LENGTHS = sizeof lengths / sizeof *lengths };

/* One sequence of kind sim_hard, with attention number i. */
static struct runtime_options sim_hard(size_t i)
{
    struct runtime_options o = runtime_options_default();
    o.sequences = 0;
    o.items = 600;
    o.search.sim_hards = 1;
    o.search.last = LAST;
    o.search.top = TOP;
    o.search.attention.out = i == 1 ? 7 : 0;
    if (i >= 2)
        o.search.attention = (struct vqr_header_attention){.kind = VQR_ATTENTION_DIN,
                                                           .hidden_count = 1,
                                                           .activation = VQR_SILU,
                                                           .softmax = i == 3};
    o.search.hidden[0] = 5;
    return o;
}

static struct runtime_options twin(uint32_t heads, uint32_t top)
{
    struct runtime_options o = runtime_options_default();
    o.sequences = 0;
    o.search.twins = 1;
    o.search.last = LAST;
    o.search.top = top;
    o.search.twin.heads = heads;
    o.search.twin.dim = 19;
    o.search.twin.out = heads == 1 ? 0 : 5;
    return o;
}

/* The same weights under kind din. */
static struct runtime_options plain(struct runtime_options o)
{
    o.short_sequences = 1;
    o.last = o.search.last;
    o.short_attention = o.search.twins ? o.search.twin : o.search.attention;
    memcpy(o.short_hidden, o.search.hidden, sizeof o.short_hidden);
    o.search.sim_hards = o.search.twins = 0;
    return o;
}

/* Few items, so that candidates find several events; one of them is the unknown one, as negative ids are. The others'
 * rows share bytes, and their low bytes are in another order than they. */
static void few_items(struct values *values)
{
    static const int64_t few[] = {0, 513, 258, 3, 259, 514};
    int64_t *items = values->column_values[ITEM];
    for (size_t i = 0; i < values->rows.rows; i++)
        items[i] = items[i] < 0 ? items[i] : few[items[i] % 6];
}

static struct world searching(const struct runtime_options *options, const char *isa)
{
    struct world w = world_new(options, isa, CANDIDATES);
    few_items(w.candidates);
    return w;
}

static struct values *events_new(const struct world *w)
{
    struct values *events = values_new(w->model, VQR_EVENT, EVENTS, 3);
    few_items(events);
    return events;
}

static int64_t item_of(const struct values *values, size_t i)
{
    const int64_t item = ((const int64_t *)values->column_values[ITEM])[i];
    return values->present[ITEM][i] && item > 0 ? item : 0;
}

/* Of `length` events those that candidate c finds, oldest first; returns how many. */
static size_t found_by(const struct values *events, size_t length, const struct values *candidates, size_t c,
                       size_t found[TOP])
{
    size_t from = length < LAST ? 0 : length - LAST, count = 0, at = 0;
    for (size_t i = from; i < length; i++)
        count += item_of(candidates, c) != 0 && item_of(events, i) == item_of(candidates, c);
    for (size_t i = from; i < length; i++)
        if (item_of(candidates, c) != 0 && item_of(events, i) == item_of(candidates, c) && count-- <= TOP)
            found[at++] = i;
    return at;
}

static float *weights_of(const struct world *w, size_t last)
{
    float *weights = calloc(CANDIDATES * last, sizeof *weights);
    const struct vqr_request request = {.candidates = w->candidates->rows};
    assert_non_null(weights);
    assert_int_equal(vqr_explain(w->session, w->state, 0, &request, weights, NULL), VQR_OK);
    return weights;
}

static void encode_first(struct world *w, const struct values *events, size_t length)
{
    struct vqr_column columns[VALUES_COLUMNS];
    const struct vqr_rows part = values_part(events, 0, length, columns);
    encode(w, &part);
}

/* Candidate c has the outputs and weights that `other` gives it over these events of the `length` alone. */
static void assert_same_as(const struct world *w, const float *outputs, const float *weights, struct world *other,
                           const struct values *events, size_t length, const size_t *chosen, size_t count, size_t c)
{
    const size_t each = w->outputs / CANDIDATES;
    struct values *alone = values_ordered(events, chosen, count);
    encode(other, &alone->rows);
    float *expected = scores(other), *shares = weights_of(other, LAST);
    assert_memory_equal(outputs + c * each, expected + c * each, each * sizeof *outputs);
    for (size_t i = length < LAST ? 0 : length - LAST, at = 0; i < length; i++) {
        const bool taken = at < count && chosen[at] == i;
        const float share = taken ? shares[c * LAST + LAST - count + at] : 0.0f;
        assert_true(weights[c * LAST + LAST - length + i] == share);
        at += taken;
    }
    for (size_t i = 0; i + length < LAST; i++)
        assert_true(weights[c * LAST + i] == 0.0f);
    free(expected);
    free(shares);
    values_free(alone);
}

static void test_sim_hard_attends_to_what_is_found(void **state)
{
    (void)state;
    for (size_t variant = 0; variant < 4; variant++) {
        const struct runtime_options o = sim_hard(variant), p = plain(o);
        struct world w = searching(&o, NULL), other = searching(&p, NULL);
        struct values *events = events_new(&w);
        size_t found[TOP], most = 0;
        for (size_t l = 0; l < LENGTHS; l++) {
            encode_first(&w, events, lengths[l]);
            float *outputs = scores(&w), *weights = weights_of(&w, LAST);
            for (size_t c = 0; c < CANDIDATES; c++) {
                const size_t count = found_by(events, lengths[l], w.candidates, c, found);
                assert_same_as(&w, outputs, weights, &other, events, lengths[l], found, count, c);
                most = count > most ? count : most;
            }
            free(outputs);
            free(weights);
        }
        assert_int_equal(most, TOP);
        values_free(events);
        world_free(&w);
        world_free(&other);
    }
}

/* The events that have a weight; where all are attended to, the others must have smaller ones, or equal ones after a
 * chosen event. */
static size_t chosen_by(const float *weights, const float *all, size_t length, size_t chosen[TOP])
{
    size_t count = 0;
    const size_t from = length < LAST ? 0 : length - LAST;
    for (size_t i = from; i < length; i++)
        if (weights[LAST - length + i] > 0.0f) {
            assert_true(count < TOP);
            chosen[count++] = i;
        }
    assert_int_equal(count, length - from < TOP ? length - from : TOP);
    for (size_t i = from; i < length; i++)
        for (size_t j = 0; weights[LAST - length + i] == 0.0f && j < count; j++)
            assert_true(all[LAST - length + i] < all[LAST - length + chosen[j]] ||
                        (all[LAST - length + i] == all[LAST - length + chosen[j]] && i > chosen[j]));
    return count;
}

/* Of events three of a kind, so that of some kind but one is chosen. */
static void test_twin_attends_to_what_scores_highest(void **state)
{
    (void)state;
    const struct runtime_options o = twin(1, TOP), p = plain(o);
    struct world w = searching(&o, NULL), other = searching(&p, NULL);
    size_t order[EVENTS];
    for (size_t i = 0; i < EVENTS; i++)
        order[i] = i / 3 * 3;
    struct values *drawn = events_new(&w), *events = values_ordered(drawn, order, EVENTS);
    for (size_t l = 1; l < LENGTHS; l++) {
        encode_first(&other, events, lengths[l]);
        float *all = weights_of(&other, LAST);
        encode_first(&w, events, lengths[l]);
        float *outputs = scores(&w), *weights = weights_of(&w, LAST);
        for (size_t c = 0; c < CANDIDATES; c++) {
            size_t chosen[TOP];
            const size_t count = chosen_by(weights + c * LAST, all + c * LAST, lengths[l], chosen);
            assert_same_as(&w, outputs, weights, &other, events, lengths[l], chosen, count, c);
        }
        free(all);
        free(outputs);
        free(weights);
    }
    values_free(drawn);
    values_free(events);
    world_free(&w);
    world_free(&other);
}

/* Heads that may keep all events are attention over the last events. */
static void test_twin_that_chooses_nothing_is_attention(void **state)
{
    (void)state;
    const struct runtime_options o = twin(3, LAST), p = plain(o);
    struct world w = searching(&o, NULL), other = searching(&p, NULL);
    struct values *events = events_new(&w);
    for (size_t l = 0; l < LENGTHS; l++) {
        encode_first(&w, events, lengths[l]);
        encode_first(&other, events, lengths[l]);
        float *outputs = scores(&w), *expected = scores(&other);
        float *weights = weights_of(&w, LAST), *shares = weights_of(&other, LAST);
        assert_same_scores(&w, expected, outputs);
        assert_memory_equal(weights, shares, CANDIDATES * LAST * sizeof *weights);
        free(outputs);
        free(expected);
        free(weights);
        free(shares);
    }
    values_free(events);
    world_free(&w);
    world_free(&other);
}

/* Of equal events the earliest of the last ones. */
static void test_twin_takes_the_earliest_of_equals(void **state)
{
    (void)state;
    const struct runtime_options o = twin(2, TOP);
    struct world w = searching(&o, NULL);
    struct values *one = values_new(w.model, VQR_EVENT, 1, 5);
    const size_t order[LAST + 5] = {0};
    struct values *events = values_ordered(one, order, LAST + 5);
    encode(&w, &events->rows);
    float *weights = weights_of(&w, LAST);
    for (size_t c = 0; c < CANDIDATES; c++)
        for (size_t i = 0; i < LAST; i++)
            assert_true(weights[c * LAST + i] == (i < TOP ? 1.0f / TOP : 0.0f));
    free(weights);
    values_free(one);
    values_free(events);
    world_free(&w);
}

/* Histories split over calls, on every ISA, give the bits of one call, and a state that was used starts anew. */
static void test_appended_in_parts(void **state)
{
    (void)state;
    for (size_t kind = 0; kind < 2; kind++) {
        const struct runtime_options o = kind ? twin(2, TOP) : sim_hard(0);
        struct world w = searching(&o, NULL);
        struct values *events = events_new(&w);
        encode(&w, &events->rows);
        float *expected = scores(&w), *weights = weights_of(&w, LAST);
        for (size_t i = 0; usable_isa(i); i++) {
            struct world other = searching(&o, usable_isa(i));
            for (size_t step = 1; step <= EVENTS; step = step * 3 + 4) {
                vqr_state_reset(other.state);
                for (size_t first = 0; first < EVENTS; first += step) {
                    struct vqr_column columns[VALUES_COLUMNS];
                    const size_t left = EVENTS - first;
                    const struct vqr_rows part = values_part(events, first, left < step ? left : step, columns);
                    append(&other, &part);
                    if (first % 2)
                        free(scores(&other));
                }
                float *found = scores(&other);
                assert_same_scores(&w, expected, found);
                free(found);
                found = weights_of(&other, LAST);
                assert_memory_equal(weights, found, CANDIDATES * LAST * sizeof *weights);
                free(found);
            }
            world_free(&other);
        }
        free(expected);
        free(weights);
        values_free(events);
        world_free(&w);
    }
}

/* Scores that overflow are chosen, and refused; not the keys and queries, which are finite. */
static void test_scores_that_overflow(void **state)
{
    (void)state;
    static const char *const names[] = {"sequences.far.attention.q.weight", "sequences.far.attention.k.weight"};
    const struct runtime_options o = twin(1, 1);
    for (size_t isa = 0; usable_isa(isa); isa++) {
        struct world w = searching(&o, usable_isa(isa));
        struct values *events = events_new(&w);
        const struct vqr_request request = request_of(&w);
        float *outputs = calloc(w.outputs, sizeof *outputs);
        struct vqr_error error;
        assert_non_null(outputs);
        for (size_t i = 0; i < 2; i++)
            for (size_t j = 0; j < hostile_tensor(w.file, names[i]).length / sizeof(float); j++)
                hostile_floats(w.file, names[i])[j] *= 1e20f;
        assert_int_equal(vqr_score(w.session, w.state, &request, outputs, NULL, NULL), VQR_OK);
        encode(&w, &events->rows);
        assert_refusal(VQR_ERROR_OVERFLOW, vqr_score(w.session, w.state, &request, outputs, NULL, &error), &error);
        free(outputs);
        values_free(events);
        world_free(&w);
    }
}

/* Makes the score of every event that has a price minus infinity. */
static void overflow_with_price(struct runtime_file file)
{
    enum { WIDTH = 9, CANDIDATE_WIDTH = 6, PRICE = 8 }; /* item 5, word 3, price 1 */
    float *q = hostile_floats(file, "sequences.far.attention.q.weight");
    float *k = hostile_floats(file, "sequences.far.attention.k.weight");
    for (size_t i = 0; i < CANDIDATE_WIDTH; i++)
        q[i * VQR_LANES] = 0.0f;
    for (size_t i = 0; i < WIDTH; i++)
        k[i * VQR_LANES] = i == PRICE ? -1e20f : 0.0f;
    hostile_floats(file, "sequences.far.attention.q.bias")[0] = 1e20f;
    hostile_floats(file, "sequences.far.attention.k.bias")[0] = 0.0f;
}

/* Events of scores that are minus infinity have no weight, chosen or not; the others share it. */
static void test_scores_that_overflow_downwards(void **state)
{
    (void)state;
    const struct runtime_options o = twin(1, TOP);
    for (size_t isa = 0; usable_isa(isa); isa++) {
        struct world w = searching(&o, usable_isa(isa));
        struct values *events = events_new(&w);
        overflow_with_price(w.file);
        for (size_t i = 0; i < EVENTS; i++) {
            ((double *)events->column_values[2])[i] = 1000.0;
            events->present[2][i] = i % 3 != 0;
        }
        for (size_t length = TOP + 1; length < LAST; length += LAST - TOP - 2) { /* 2 without a price, then more */
            encode_first(&w, events, length);
            free(scores(&w));
            float *weights = weights_of(&w, LAST);
            for (size_t c = 0; c < CANDIDATES; c++) {
                float sum = 0.0f;
                for (size_t i = 0; i < length; i++) {
                    const float weight = weights[c * LAST + LAST - length + i];
                    assert_true(i % 3 == 0 || weight == 0.0f);
                    sum += weight;
                }
                assert_true(fabsf(sum - 1.0f) < 1e-5f);
            }
            free(weights);
        }
        values_free(events);
        world_free(&w);
    }
}

/* ---- configurations that do not fit ---- */

CHANGE(search_last_none, o->search.last = 0)
CHANGE(search_last_most, o->search.last = (1 << 20) + 1)
CHANGE(search_top_none, o->search.top = 0)
CHANGE(search_top_more, o->search.top = o->search.last + 1)
CHANGE(search_top_most, o->search.top = UINT32_MAX)
CHANGE(search_share, o->search.attention.share = true)
CHANGE(search_count_bias, o->search.attention.count_bias = true)
CHANGE(search_heads, o->search.attention.heads++)
CHANGE(search_twin_last, (o->search.sim_hards = 0, o->search.last = 0))
CHANGE(search_twin_top, (o->search.sim_hards = 0, o->search.top = 0))
CHANGE(search_twin_share, o->search.twin.share = true)
CHANGE(search_twin_count_bias, o->search.twin.count_bias = true)
CHANGE(search_twin_dim, o->search.twin.dim++)
CHANGE(search_twin_out, o->search.twin.out = 2)
CHANGE(search_event_ids, o->search.event = 4)
CHANGE(search_event_far, o->search.event = 5)
CHANGE(search_event_farthest, o->search.event = UINT32_MAX)
CHANGE(search_event_float, o->search.event = 2)
CHANGE(search_event_time, o->search.event = 3)
CHANGE(search_event_other, o->search.event = 1)
CHANGE(search_candidate_ids, o->search.candidate = 2)
CHANGE(search_candidate_far, o->search.candidate = 3)
CHANGE(search_candidate_float, o->search.candidate = 1)

static const struct change search_changes[] = {
    {"sequence \"same\": last is 0, expected 1 to 1048576", search_last_none},
    {"last is 1048577", search_last_most},
    {"sequence \"same\": top is 0, expected 1 to 9", search_top_none},
    {"top is 10, expected 1 to 9", search_top_more},
    {"top is 4294967295", search_top_most},
    {"share or count_bias", search_share},
    {"share or count_bias", search_count_bias},
    {"sequences.same.attention.q", search_heads},
    {"sequence \"far\": last is 0", search_twin_last},
    {"sequence \"far\": top is 0", search_twin_top},
    {"\"far\": its attention says share or count_bias", search_twin_share},
    {"\"far\": its attention says share or count_bias", search_twin_count_bias},
    {"sequences.far.attention.q", search_twin_dim},
    {"sequences.far.attention.out", search_twin_out},
    {"sequence \"same\": matches event feature 5, expected 0 to 4", search_event_far},
    {"matches event feature 4294967295", search_event_farthest},
    {"matches event feature \"price\", expected one of kind id", search_event_float},
    {"matches event feature \"time\", expected one of kind id", search_event_time},
    {"matches event feature \"tags\", expected one of kind id", search_event_ids},
    {"matches candidate feature \"tags\", expected one of kind id", search_candidate_ids},
    {"\"word\" of table \"word\" with candidate feature \"item\" of table \"item\", expected one table",
     search_event_other},
    {"matches candidate feature 3, expected 0 to 2", search_candidate_far},
    {"matches candidate feature \"price\", expected one of kind id", search_candidate_float},
};

static void test_search_configuration_unlike_tensors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof search_changes / sizeof *search_changes; i++) {
        struct runtime_options tensors = runtime_options_default();
        tensors.sequences = 0;
        tensors.search.sim_hards = tensors.search.twins = 1;
        tensors.tags = true;
        struct runtime_options says = tensors;
        search_changes[i].apply(&says);
        assert_refused(&tensors, &says, search_changes[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_hard_attends_to_what_is_found),
        cmocka_unit_test(test_twin_attends_to_what_scores_highest),
        cmocka_unit_test(test_twin_that_chooses_nothing_is_attention),
        cmocka_unit_test(test_twin_takes_the_earliest_of_equals),
        cmocka_unit_test(test_appended_in_parts),
        cmocka_unit_test(test_scores_that_overflow),
        cmocka_unit_test(test_scores_that_overflow_downwards),
        cmocka_unit_test(test_search_configuration_unlike_tensors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
