/* A user's state: sums that do not depend on order or split, and failing calls that leave them as they were. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/runtime_support.h"

enum { CANDIDATES = 60 };

/* Emulated processors get the small cases. */
static size_t sized(size_t native, size_t emulated)
{
    return VQR_TESTS_EMULATED ? emulated : native;
}

/* Configurations that differ in what a state holds. */
static struct runtime_options configuration(size_t i)
{
    struct runtime_options o = runtime_options_default();
    o.seed = 20 + i;
    switch (i) {
    case 0:
        break;
    case 1: /* several sequences, empty clusters as tokens, counts in the scores */
        o.sequences = 2;
        o.empty = VQR_EMPTY_ZERO;
        o.attention.count_bias = true;
        o.attention.share = true;
        o.attention.out = 7;
        o.hstu.share = true;
        break;
    case 2: /* no HSTU, one cluster more than two panels */
        o.hstu.layers = 0;
        o.codewords = 33;
        o.codebooks = 3;
        o.outputs = 1;
        break;
    case 3: /* attention with quantised keys, alone and beside clusters; events do not fade */
        o.vql_sequences = 2;
        o.vql.out = 4;
        break;
    case 4:
        o.sequences = 0;
        o.vql_sequences = 1;
        break;
    default: /* every switch of HSTU the other way */
        o.hstu.pre_norm = o.hstu.residual = true;
        o.hstu.layers = 2;
        o.hstu.activate = VQR_ACTIVATE_U;
        o.hstu.alpha = VQR_ALPHA_RSQRT;
        o.hstu.bias = VQR_BIAS_PER_HEAD;
        o.hstu.normalize = VQR_NORMALIZE_ATTENDED;
        o.hstu.norm = VQR_NORM_GROUP;
        o.hstu.output = VQR_OUTPUT_CONCAT;
        o.activation = VQR_SILU;
    }
    return o;
}

enum { CONFIGURATIONS = 6 };

/* ---- exact sums ---- */

static void append_in_parts(struct world *w, const struct values *events, uint64_t seed, size_t most)
{
    struct vqr_column columns[VALUES_COLUMNS];
    for (size_t first = 0; first < events->rows.rows;) {
        size_t count = random_below(&seed, most + 1);
        if (count > events->rows.rows - first)
            count = events->rows.rows - first;
        const struct vqr_rows part = values_part(events, first, count, columns);
        append(w, &part);
        first += count;
    }
}

static struct values *shuffled(const struct values *events, uint64_t seed)
{
    const size_t n = events->rows.rows;
    size_t *order = calloc(n, sizeof *order);
    assert_non_null(order);
    for (size_t i = 0; i < n; i++) {
        const size_t j = random_below(&seed, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    struct values *result = values_ordered(events, order, n);
    free(order);
    return result;
}

static void test_any_split_and_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIGURATIONS; i++) {
        const struct runtime_options options = configuration(i);
        struct world w = world_new(&options, NULL, CANDIDATES);
        struct values *events = values_new(w.model, VQR_EVENT, sized(1000, 200), 7 + i);
        struct values *mixed = shuffled(events, 3);
        encode(&w, &events->rows);
        float *expected = scores(&w);

        const size_t most[] = {1, 7, 48, 49, 400};
        for (size_t m = 0; m < sizeof most / sizeof *most; m++)
            for (int order = 0; order < 2; order++) {
                vqr_state_reset(w.state);
                append_in_parts(&w, order ? mixed : events, m, most[m]);
                assert_int_equal(vqr_state_events(w.state), events->rows.rows);
                float *found = scores(&w);
                assert_same_scores(&w, expected, found);
                free(found);
            }
        free(expected);
        values_free(events);
        values_free(mixed);
        world_free(&w);
    }
}

/* Refreshing and scoring between appends changes nothing either. */
static void test_refresh_between_appends(void **state)
{
    (void)state;
    const struct runtime_options options = configuration(1);
    struct world w = world_new(&options, NULL, CANDIDATES);
    struct values *events = values_new(w.model, VQR_EVENT, 150, 5);
    encode(&w, &events->rows);
    float *expected = scores(&w);
    vqr_state_reset(w.state);
    for (size_t i = 0; i < 150; i += 50) {
        struct vqr_column columns[VALUES_COLUMNS];
        const struct vqr_rows part = values_part(events, i, 50, columns);
        append(&w, &part);
        free(scores(&w));
    }
    float *found = scores(&w);
    assert_same_scores(&w, expected, found);
    free(found);
    free(expected);
    values_free(events);
    world_free(&w);
}

/* vqr_assign shows the clusters whose means the state holds: events in other clusters give other scores, so here only
 * its range and its independence of the other events. */
static void test_assign(void **state)
{
    (void)state;
    const struct runtime_options options = configuration(2);
    struct world w = world_new(&options, NULL, 1);
    enum { EVENTS = 101 };
    struct values *events = values_new(w.model, VQR_EVENT, EVENTS, 5);
    assert_int_equal(vqr_sequence_codebooks(w.model, 0), 3);
    assert_int_equal(vqr_sequence_codebooks(w.model, 1), 0);
    assert_int_equal(vqr_sequence_codebooks(w.model, SIZE_MAX), 0);
    uint32_t all[3 * EVENTS], one[3];
    struct vqr_error error;
    assert_int_equal(vqr_assign(w.session, 0, &events->rows, all, &error), VQR_OK);
    for (size_t i = 0; i < EVENTS; i++) {
        struct vqr_column columns[VALUES_COLUMNS];
        const struct vqr_rows part = values_part(events, i, 1, columns);
        assert_int_equal(vqr_assign(w.session, 0, &part, one, &error), VQR_OK);
        for (size_t j = 0; j < 3; j++) {
            assert_in_range(one[j], 0, options.codewords - 1);
            assert_int_equal(one[j], all[j * EVENTS + i]);
        }
    }
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_assign(w.session, 1, &events->rows, all, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_assign(w.session, 0, &events->rows, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_assign(w.session, 0, NULL, all, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_assign(NULL, 0, &events->rows, all, &error), &error);
    values_free(events);
    world_free(&w);
}

/* ---- failing appends ---- */

/* What is wrong with one event, the status and what the message must name. */
struct damage {
    size_t column;
    double price;
    struct vqr_id id;
    enum vqr_status status;
    const char *says;
};

static void break_event(struct values *events, size_t row, const struct damage *damage)
{
    events->present[damage->column][row] = 1;
    if (damage->column == 2)
        ((double *)events->column_values[2])[row] = damage->price;
    else if (damage->column == 1)
        ((struct vqr_id *)events->column_values[1])[row] = damage->id;
    else
        ((int64_t *)events->column_values[0])[row] = damage->id.value;
}

/* Turns the item column into ids that may be strings. */
static void widen_items(struct values *events)
{
    struct vqr_id *ids = calloc(events->rows.rows, sizeof *ids);
    assert_non_null(ids);
    for (size_t row = 0; row < events->rows.rows; row++)
        ids[row].value = ((int64_t *)events->column_values[0])[row];
    free(events->column_values[0]);
    events->column_values[0] = ids;
    events->columns[0].values = ids;
    events->columns[0].type = VQR_COLUMN_ID;
    events->sizes[0] = sizeof *ids;
}

static void assert_append_refused(struct world *w, const struct values *events, const struct damage *damage,
                                  const char *number)
{
    struct vqr_error error;
    const uint64_t before = vqr_state_events(w->state);
    struct vqr_stats stats = {5, 6};
    assert_refusal(damage->status, vqr_append(w->session, w->state, &events->rows, &stats, &error), &error);
    assert_says(&error, damage->says);
    if (damage->status != VQR_ERROR_TABLE)
        assert_says(&error, number);
    assert_int_equal(vqr_append(w->session, w->state, &events->rows, NULL, NULL), damage->status);
    assert_int_equal(vqr_state_events(w->state), before);
    assert_true(stats.ids == 5 && stats.unknown_ids == 6);
}

/* The row of "item" that is not finite: the ids drawn by values_new do not reach it. */
enum { POISONED = 60 };

static struct world poisoned_world(uint32_t terms)
{
    struct runtime_options options = configuration(1);
    options.items = POISONED + 1;
    options.vql_sequences = 1;
    options.search.sim_hards = options.search.twins = 1;
    options.vql.terms = terms;
    struct world w = world_new(&options, NULL, CANDIDATES);
    struct vqr_header header;
    struct vqr_header_tensor tensor;
    char message[256];
    assert_int_equal(vqr_header_open(&header, w.file.data, w.file.size, message, sizeof message), VQR_HEADER_OK);
    vqr_header_tensor(&header, 0, &tensor);
    assert_string_equal(tensor.name, "tables.item.weight");
    float *weight = (float *)(void *)(w.file.data + tensor.offset);
    weight[POISONED * options.item_dim + 2] = NAN; /* the model reads rows when they are needed */
    return w;
}

/* With decay terms sums round: what was appended is not taken out again but put back. */
static void assert_failing_append_changes_nothing(uint32_t terms)
{
    static const struct damage damages[] = {
        {2, (double)NAN, {NULL, 0}, VQR_ERROR_RANGE, "price\": expected a finite number, found nan"},
        {2, (double)INFINITY, {NULL, 0}, VQR_ERROR_RANGE, "price"},
        {2, -(double)INFINITY, {NULL, 0}, VQR_ERROR_RANGE, "price"},
        {2, 4097.0 * 1.5 + 3, {NULL, 0}, VQR_ERROR_RANGE, "is 4097 for the value 6148.5, expected at most 4096 in"},
        {2, -4097.0 * 1.5 + 3, {NULL, 0}, VQR_ERROR_RANGE, "price"},
        {2, DBL_MAX, {NULL, 0}, VQR_ERROR_RANGE, "price"},
        {1, 0, {"shoe", -1}, VQR_ERROR_ARGUMENT, "word\": a string's length is -1"},
        {1, 0, {"", INT64_MIN}, VQR_ERROR_ARGUMENT, "word"},
        {0, 0, {NULL, POISONED}, VQR_ERROR_TABLE, "\"item\", row 60"},
    };
    const size_t total = sized(2000, 200), bad = total / 2;
    char number[32];
    snprintf(number, sizeof number, "event %zu,", bad);
    struct world w = poisoned_world(terms);
    struct values *history = values_new(w.model, VQR_EVENT, 77, 9);
    encode(&w, &history->rows);
    float *expected = scores(&w);
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        struct values *events = values_new(w.model, VQR_EVENT, total, 10 + i);
        break_event(events, bad, &damages[i]);
        assert_append_refused(&w, events, &damages[i], number);
        const struct vqr_request request = request_of(&w);
        float *found = calloc(w.outputs, sizeof *found);
        assert_non_null(found);
        struct vqr_error error; /* no refresh: a failed append leaves the interests up to date */
        assert_int_equal(vqr_score(w.session, w.state, &request, found, NULL, &error), VQR_OK);
        assert_same_scores(&w, expected, found);
        free(found);
        struct vqr_column columns[VALUES_COLUMNS]; /* forces the interests to be computed again from the sums */
        const struct vqr_rows part = values_part(history, 0, 20, columns);
        vqr_state *fresh = new_state(w.model);
        assert_int_equal(vqr_encode(w.session, fresh, &history->rows, NULL, NULL), VQR_OK);
        assert_int_equal(vqr_append(w.session, fresh, &part, NULL, NULL), VQR_OK);
        vqr_state *kept = w.state;
        w.state = fresh;
        float *longer = scores(&w);
        w.state = kept;
        append(&w, &part);
        found = scores(&w);
        assert_same_scores(&w, longer, found);
        free(found);
        free(longer);
        vqr_state_free(fresh);
        encode(&w, &history->rows);
        values_free(events);
    }
    free(expected);
    values_free(history);
    world_free(&w);
}

static void test_failing_append_changes_nothing(void **state)
{
    (void)state;
    assert_failing_append_changes_nothing(0);
    assert_failing_append_changes_nothing(2);
}

/* A string among the integers of a direct table. */
static void test_string_for_a_direct_id(void **state)
{
    (void)state;
    const struct runtime_options options = configuration(0);
    struct world w = world_new(&options, NULL, CANDIDATES);
    struct values *events = values_new(w.model, VQR_EVENT, 120, 4);
    encode(&w, &events->rows);
    float *expected = scores(&w);
    widen_items(events);
    encode(&w, &events->rows); /* the same ids in a column of either type */
    float *found = scores(&w);
    assert_same_scores(&w, expected, found);
    free(found);

    ((struct vqr_id *)events->column_values[0])[100] = (struct vqr_id){"5", 1};
    events->present[0][100] = 1;
    const struct damage damage = {.status = VQR_ERROR_TYPE, .says = "item"};
    assert_append_refused(&w, events, &damage, "event 100,");
    found = scores(&w);
    assert_same_scores(&w, expected, found);
    free(found);
    events->present[0][100] = 0; /* what is absent is not read */
    encode(&w, &events->rows);
    free(expected);
    values_free(events);
    world_free(&w);
}

/* A failing encode leaves a user with no events, who can be scored. */
static void test_failing_encode_empties(void **state)
{
    (void)state;
    const struct runtime_options options = configuration(0);
    struct world w = world_new(&options, NULL, CANDIDATES);
    float *nobody = scores(&w);
    struct values *events = values_new(w.model, VQR_EVENT, 120, 4);
    encode(&w, &events->rows);
    break_event(events, 119, &(struct damage){.column = 2, .price = (double)NAN});
    struct vqr_error error;
    assert_refusal(VQR_ERROR_RANGE, vqr_encode(w.session, w.state, &events->rows, NULL, &error), &error);
    assert_int_equal(vqr_state_events(w.state), 0);
    float *found = scores(&w);
    assert_same_scores(&w, nobody, found);
    free(found);
    free(nobody);
    values_free(events);
    world_free(&w);
}

/* The largest float that sums hold is taken, from both sides. */
static void test_float_limit(void **state)
{
    (void)state;
    struct runtime_options options = configuration(0);
    options.price_mean = 0;
    options.price_std = 1;
    struct world w = world_new(&options, NULL, 3);
    struct values *events = values_new(w.model, VQR_EVENT, 4, 4);
    const double good[] = {4096, -4096, 5e-324, -0.0}, bad[] = {nextafter(4096, 5000), nextafter(-4096, -5000)};
    for (size_t i = 0; i < 4; i++)
        break_event(events, i, &(struct damage){.column = 2, .price = good[i]});
    encode(&w, &events->rows);
    free(scores(&w));
    for (size_t i = 0; i < 2; i++) {
        struct vqr_error error;
        break_event(events, 3, &(struct damage){.column = 2, .price = bad[i]});
        assert_refusal(VQR_ERROR_RANGE, vqr_encode(w.session, w.state, &events->rows, NULL, &error), &error);
        assert_says(&error, "event 3,");
    }
    for (size_t i = 0; i < 3; i++) { /* no sums are made of candidates */
        w.candidates->present[1][i] = 1;
        ((double *)w.candidates->column_values[1])[i] = 1e6 * (double)i;
    }
    free(scores(&w));
    values_free(events);
    world_free(&w);
}

/* The same limit for the numbers of a vector, and no other values than finite ones, in events alone. */
static void test_vector_limit(void **state)
{
    (void)state;
    struct runtime_options options = configuration(0);
    options.image_dim = 2;
    struct world w = world_new(&options, NULL, 1);
    double image[] = {4096, -4096};
    struct vqr_column columns[5] = {0}, candidate[3] = {0};
    columns[4] = candidate[2] = (struct vqr_column){VQR_COLUMN_FLOAT64, image, NULL};
    const struct vqr_rows events = {columns, 5, 1};
    const struct vqr_request request = {.candidates = {candidate, 3, 1}};
    struct vqr_error error;
    float outputs[2];
    assert_int_equal(vqr_encode(w.session, w.state, &events, NULL, &error), VQR_OK);
    const double bad[] = {nextafter(4096, 5000), nextafter(-4096, -5000), (double)NAN, (double)INFINITY};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        image[1] = bad[i];
        assert_refusal(VQR_ERROR_RANGE, vqr_append(w.session, w.state, &events, NULL, &error), &error);
        assert_says(&error, "event 0, feature \"image\"");
        const enum vqr_status status = vqr_score(w.session, w.state, &request, outputs, NULL, &error);
        assert_int_equal(status, isfinite(bad[i]) ? VQR_OK : VQR_ERROR_RANGE);
    }
    world_free(&w);
}

/* ---- columns that cannot be right ---- */

static void test_wrong_columns(void **state)
{
    (void)state;
    const struct runtime_options options = configuration(0);
    struct world w = world_new(&options, NULL, 3);
    struct values *events = values_new(w.model, VQR_EVENT, 5, 4);
    struct vqr_error error;
    static const enum vqr_column_type wrong[VALUES_COLUMNS] = {VQR_COLUMN_FLOAT64, VQR_COLUMN_FLOAT64, VQR_COLUMN_INT64,
                                                               VQR_COLUMN_ID};
    for (size_t i = 0; i < VALUES_COLUMNS; i++) {
        const struct vqr_column right = events->columns[i];
        struct vqr_feature feature;
        assert_int_equal(vqr_feature_info(w.model, VQR_EVENT, i, &feature), VQR_OK);
        events->columns[i].type = wrong[i];
        assert_refusal(VQR_ERROR_TYPE, vqr_append(w.session, w.state, &events->rows, NULL, &error), &error);
        assert_says(&error, feature.name);
        events->columns[i].type = (enum vqr_column_type)77;
        assert_refusal(VQR_ERROR_TYPE, vqr_append(w.session, w.state, &events->rows, NULL, &error), &error);
        events->columns[i].type = (enum vqr_column_type) - 1;
        assert_refusal(VQR_ERROR_TYPE, vqr_append(w.session, w.state, &events->rows, NULL, &error), &error);
        events->columns[i] = right;
        events->columns[i].values = NULL;
        assert_refusal(VQR_ERROR_ARGUMENT, vqr_append(w.session, w.state, &events->rows, NULL, &error), &error);
        assert_says(&error, feature.name);
        events->columns[i] = right;
    }
    struct vqr_rows rows = events->rows;
    for (rows.column_count = vqr_feature_count(w.model, VQR_EVENT) + 1; rows.column_count < 9; rows.column_count++)
        assert_refusal(VQR_ERROR_ARGUMENT, vqr_append(w.session, w.state, &rows, NULL, &error), &error);
    rows = events->rows;
    rows.columns = NULL;
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_append(w.session, w.state, &rows, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_append(w.session, w.state, NULL, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_append(w.session, NULL, &events->rows, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_append(NULL, w.state, &events->rows, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_refresh(NULL, w.state, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_refresh(w.session, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_encode(w.session, w.state, NULL, NULL, &error), &error);
    assert_int_equal(vqr_state_events(w.state), 0);
    values_free(events);
    world_free(&w);
}

static void test_state_of_another_model(void **state)
{
    (void)state;
    const struct runtime_options options = configuration(0);
    struct world a = world_new(&options, NULL, 3), b = world_new(&options, NULL, 3);
    struct values *events = values_new(a.model, VQR_EVENT, 5, 4);
    const struct vqr_request request = request_of(&a);
    struct vqr_error error;
    float outputs[6];
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_append(a.session, b.state, &events->rows, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_encode(a.session, b.state, &events->rows, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_refresh(a.session, b.state, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_score(a.session, b.state, &request, outputs, NULL, &error), &error);
    values_free(events);
    world_free(&a);
    world_free(&b);
}

/* ---- stale, reset, limit ---- */

static void test_stale(void **state)
{
    (void)state;
    const struct runtime_options options = configuration(0);
    struct world w = world_new(&options, NULL, 3);
    struct values *events = values_new(w.model, VQR_EVENT, 5, 4);
    const struct vqr_request request = request_of(&w);
    struct vqr_error error;
    float outputs[6];
    assert_int_equal(vqr_score(w.session, w.state, &request, outputs, NULL, &error), VQR_OK);
    append(&w, &events->rows);
    assert_refusal(VQR_ERROR_STALE, vqr_score(w.session, w.state, &request, outputs, NULL, &error), &error);
    assert_int_equal(vqr_refresh(w.session, w.state, &error), VQR_OK);
    assert_int_equal(vqr_score(w.session, w.state, &request, outputs, NULL, &error), VQR_OK);
    const struct vqr_rows none = {events->columns, VALUES_COLUMNS, 0};
    append(&w, &none); /* no events, nothing to refresh */
    assert_int_equal(vqr_score(w.session, w.state, &request, outputs, NULL, &error), VQR_OK);
    append(&w, &events->rows);
    append(&w, &none);
    assert_int_equal(vqr_score(w.session, w.state, &request, outputs, NULL, &error), VQR_ERROR_STALE);
    vqr_state_reset(w.state);
    assert_int_equal(vqr_state_events(w.state), 0);
    assert_int_equal(vqr_score(w.session, w.state, &request, outputs, NULL, &error), VQR_OK);
    values_free(events);
    world_free(&w);
}

static void test_reset_is_a_new_state(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIGURATIONS; i++) {
        const struct runtime_options options = configuration(i);
        struct world w = world_new(&options, NULL, CANDIDATES);
        float *expected = scores(&w);
        struct values *events = values_new(w.model, VQR_EVENT, 90, 4);
        encode(&w, &events->rows);
        vqr_state_reset(w.state);
        float *found = scores(&w);
        assert_same_scores(&w, expected, found);
        free(found);
        const struct vqr_rows none = {NULL, 0, 0};
        encode(&w, &none);
        found = scores(&w);
        assert_same_scores(&w, expected, found);
        free(found);
        free(expected);
        values_free(events);
        world_free(&w);
    }
}

/* 2^24 events and not one more, however they come. A model of one codeword keeps this quick. */
static void test_limit_of_events(void **state)
{
    (void)state;
    if (VQR_TESTS_EMULATED || VQR_TESTS_SANITIZED) {
        print_message("2^24 events take too long here\n");
        skip();
    }
    struct runtime_options options = configuration(0);
    options.item_dim = options.word_dim = 1;
    options.codebooks = options.codewords = 1;
    options.attention.count_bias = true;
    struct world w = world_new(&options, NULL, 3);
    const uint64_t limit = (uint64_t)1 << 24;
    struct vqr_error error;
    const struct vqr_rows most = {NULL, 0, limit - 1}, one = {NULL, 0, 1}, two = {NULL, 0, 2};
    const struct vqr_rows all = {NULL, 0, SIZE_MAX};
    append(&w, &most);
    assert_refusal(VQR_ERROR_LIMIT, vqr_append(w.session, w.state, &two, NULL, &error), &error);
    assert_refusal(VQR_ERROR_LIMIT, vqr_append(w.session, w.state, &all, NULL, &error), &error);
    assert_int_equal(vqr_state_events(w.state), limit - 1);
    append(&w, &one);
    assert_refusal(VQR_ERROR_LIMIT, vqr_append(w.session, w.state, &one, NULL, &error), &error);
    assert_refusal(VQR_ERROR_LIMIT, vqr_append(w.session, w.state, &most, NULL, &error), &error);
    assert_int_equal(vqr_state_events(w.state), limit);
    free(scores(&w));
    const struct vqr_rows over = {NULL, 0, limit + 1};
    assert_refusal(VQR_ERROR_LIMIT, vqr_encode(w.session, w.state, &over, NULL, &error), &error);
    assert_int_equal(vqr_state_events(w.state), 0);
    world_free(&w);
}

/* Row 0 where everything is absent, however that is said. */
static void test_absent_events(void **state)
{
    (void)state;
    const struct runtime_options options = configuration(0);
    struct world w = world_new(&options, NULL, CANDIDATES);
    enum { EVENTS = 50 };
    struct values *events = values_new(w.model, VQR_EVENT, EVENTS, 4);
    const struct vqr_rows nothing = {NULL, 0, EVENTS};
    encode(&w, &nothing);
    float *expected = scores(&w);
    for (size_t i = 0; i < VALUES_COLUMNS; i++)
        memset(events->present[i], 0, EVENTS);
    for (int form = 0; form < 2; form++) {
        encode(&w, &events->rows);
        float *found = scores(&w);
        assert_same_scores(&w, expected, found);
        free(found);
        for (size_t i = 0; i < VALUES_COLUMNS; i++)
            events->columns[i] = (struct vqr_column){VQR_COLUMN_ABSENT, NULL, NULL};
    }
    free(expected);
    values_free(events);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_split_and_order),
        cmocka_unit_test(test_refresh_between_appends),
        cmocka_unit_test(test_assign),
        cmocka_unit_test(test_failing_append_changes_nothing),
        cmocka_unit_test(test_string_for_a_direct_id),
        cmocka_unit_test(test_failing_encode_empties),
        cmocka_unit_test(test_float_limit),
        cmocka_unit_test(test_vector_limit),
        cmocka_unit_test(test_wrong_columns),
        cmocka_unit_test(test_state_of_another_model),
        cmocka_unit_test(test_stale),
        cmocka_unit_test(test_reset_is_a_new_state),
        cmocka_unit_test(test_limit_of_events),
        cmocka_unit_test(test_absent_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
