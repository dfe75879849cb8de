/* Quantizers and semantic ids: codes made offline, the same inside scoring, files that do not fit. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hostile_run.h"

enum { ITEMS = 700, DIM = 3, LEVELS = 2 }; /* more items than a block of events or of candidates has */

static struct runtime_options content_options(uint8_t kind, uint8_t combine)
{
    struct runtime_options o = runtime_options_default();
    o.format_version = 3;
    o.content.levels = LEVELS;
    o.content.dim = DIM;
    o.content.kind = kind;
    o.content.combine = combine;
    o.content.exponent = combine == VQR_COMBINE_SUM ? 29 : 30;
    return o;
}

static void fill(float *x, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((double)random_below(&seed, 200001) * 1e-5 - 1.0);
}

/* ---- vqr_quantize ---- */

static void test_codes_on_every_isa(void **state)
{
    (void)state;
    float x[ITEMS * DIM];
    uint32_t want[ITEMS * LEVELS], got[ITEMS * LEVELS];
    fill(x, ITEMS * DIM, 7);
    for (uint8_t kind = VQR_RQ_GMM; kind <= VQR_RQ_KMEANS; kind++) {
        const struct runtime_options o = content_options(kind, VQR_COMBINE_CONCAT);
        struct runtime_file file = runtime_build(&o);
        vqr_model *model = open_model(file);
        uint32_t seen = 0;
        for (size_t i = 0; usable_isa(i); i++) {
            vqr_session *session = new_session(model, usable_isa(i));
            memset(got, 0xff, sizeof got);
            assert_int_equal(vqr_quantize(session, 0, x, ITEMS, i == 0 ? want : got, NULL), VQR_OK);
            if (i > 0)
                assert_memory_equal(want, got, sizeof got);
            uint32_t one[LEVELS]; /* a vector alone, and the last of a call */
            assert_int_equal(vqr_quantize(session, 0, x + (ITEMS - 1) * DIM, 1, one, NULL), VQR_OK);
            assert_memory_equal(one, want + (ITEMS - 1) * LEVELS, sizeof one);
            vqr_session_free(session);
        }
        for (size_t i = 0; i < ITEMS * LEVELS; i++) {
            assert_in_range(want[i], 0, 16);
            seen |= 1u << want[i];
        }
        assert_true((seen & (seen - 1)) != 0); /* more than one code */
        vqr_model_close(model);
        free(file.data);
    }
}

static void test_info(void **state)
{
    (void)state;
    const struct runtime_options o = content_options(VQR_RQ_GMM, VQR_COMBINE_CONCAT), plain = runtime_options_default();
    struct runtime_file file = runtime_build(&o), other = runtime_build(&plain);
    vqr_model *model = open_model(file), *without = open_model(other);
    struct vqr_quantizer_info info;
    struct vqr_feature feature;
    assert_int_equal(vqr_quantizer_count(model), 1);
    assert_int_equal(vqr_quantizer_count(without), 0);
    assert_int_equal(vqr_quantizer_info(model, 0, &info), VQR_OK);
    assert_string_equal(info.name, "content");
    assert_int_equal(info.levels, LEVELS);
    assert_int_equal(info.codes, 17);
    assert_int_equal(info.dim, DIM);
    assert_int_equal(vqr_quantizer_info(model, 1, &info), VQR_ERROR_ARGUMENT);
    assert_int_equal(vqr_quantizer_info(without, 0, &info), VQR_ERROR_ARGUMENT);
    assert_int_equal(vqr_feature_info(model, VQR_CONTEXT, 1, &feature), VQR_OK);
    assert_int_equal(feature.kind, VQR_FEATURE_SEMANTIC_ID);
    assert_int_equal(feature.width, LEVELS * 5);
    assert_int_equal(feature.numbers, DIM);
    vqr_model_close(model);
    vqr_model_close(without);
    free(file.data);
    free(other.data);
}

static void test_refusals(void **state)
{
    (void)state;
    const struct runtime_options o = content_options(VQR_RQ_GMM, VQR_COMBINE_CONCAT);
    struct runtime_file file = runtime_build(&o);
    vqr_model *model = open_model(file);
    vqr_session *session = new_session(model, NULL);
    struct vqr_error error;
    float x[ITEMS * DIM];
    uint32_t codes[ITEMS * LEVELS];
    fill(x, ITEMS * DIM, 9);
    assert_int_equal(vqr_quantize(session, 0, NULL, 0, NULL, &error), VQR_OK);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_quantize(NULL, 0, x, 1, codes, &error), &error);
    assert_says(&error, "session is NULL");
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_quantize(session, 0, NULL, 1, codes, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_quantize(session, 0, x, 1, NULL, &error), &error);
    assert_says(&error, "codes is NULL");
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_quantize(session, 1, x, 1, codes, &error), &error);
    assert_says(&error, "there is no quantizer 1, the model has 1");
    x[600 * DIM + 2] = NAN;
    assert_refusal(VQR_ERROR_RANGE, vqr_quantize(session, 0, x, ITEMS, codes, &error), &error);
    assert_says(&error, "vector 600: number 2 of 3 is nan");
    x[600 * DIM + 2] = 3e38f;
    assert_refusal(VQR_ERROR_OVERFLOW, vqr_quantize(session, 0, x, ITEMS, codes, &error), &error);
    assert_says(&error, "vector 600: at level 0");
    vqr_session_free(session);
    vqr_model_close(model);
    free(file.data);
}

/* ---- features ---- */

/* A column for each feature: item, absent, ..., content. */
static struct vqr_rows rows_of(const vqr_model *model, enum vqr_group group, struct vqr_column *columns,
                               const int64_t *items, struct vqr_column content, size_t rows)
{
    const size_t count = vqr_feature_count(model, group);
    for (size_t i = 0; i < count; i++)
        columns[i] = (struct vqr_column){VQR_COLUMN_ABSENT, NULL, NULL};
    columns[0] = (struct vqr_column){VQR_COLUMN_INT64, items, NULL};
    columns[count - 1] = content;
    return (struct vqr_rows){.columns = columns, .column_count = count, .rows = rows};
}

/* Floats or doubles, all rows in one call or one by one, with some values absent: the same bits. */
static void check_scores(uint8_t kind, uint8_t combine)
{
    const struct runtime_options o = content_options(kind, combine);
    struct world w = world_new(&o, NULL, 0);
    float x[ITEMS * DIM], want[ITEMS * 2], got[ITEMS * 2];
    double doubles[ITEMS * DIM];
    uint8_t present[ITEMS];
    int64_t items[ITEMS];
    struct vqr_column columns[VALUES_COLUMNS + 4], candidate[4], context[2];
    fill(x, ITEMS * DIM, 3);
    for (size_t i = 0; i < ITEMS; i++) {
        present[i] = i % 5 != 3;
        items[i] = (int64_t)(i % 41);
        if (!present[i]) /* nothing may read it */
            x[i * DIM] = NAN;
    }
    for (size_t i = 0; i < ITEMS * DIM; i++)
        doubles[i] = (double)x[i];
    const struct vqr_column floats = {VQR_COLUMN_FLOAT32, x, present}, wide = {VQR_COLUMN_FLOAT64, doubles, present};
    struct vqr_rows events = rows_of(w.model, VQR_EVENT, columns, items, floats, ITEMS);
    struct vqr_request request = {.candidates = rows_of(w.model, VQR_CANDIDATE, candidate, items, floats, ITEMS),
                                  .context = rows_of(w.model, VQR_CONTEXT, context, items, floats, 1)};
    encode(&w, &events);
    assert_int_equal(vqr_score(w.session, w.state, &request, want, NULL, NULL), VQR_OK);

    events = rows_of(w.model, VQR_EVENT, columns, items, wide, ITEMS);
    request.candidates = rows_of(w.model, VQR_CANDIDATE, candidate, items, wide, ITEMS);
    vqr_state_reset(w.state);
    struct vqr_column part[VALUES_COLUMNS + 4];
    for (size_t first = 0; first < ITEMS; first += 233) {
        const size_t rows = ITEMS - first < 233 ? ITEMS - first : 233;
        const struct vqr_column rest = {VQR_COLUMN_FLOAT64, doubles + first * DIM, present + first};
        const struct vqr_rows some = rows_of(w.model, VQR_EVENT, part, items + first, rest, rows);
        append(&w, &some);
    }
    assert_int_equal(vqr_refresh(w.session, w.state, NULL), VQR_OK);
    assert_int_equal(vqr_score(w.session, w.state, &request, got, NULL, NULL), VQR_OK);
    assert_memory_equal(want, got, sizeof got);

    for (size_t i = 0; i < ITEMS; i += 13) {
        const struct vqr_column one = {VQR_COLUMN_FLOAT32, x + i * DIM, present + i};
        request.candidates = rows_of(w.model, VQR_CANDIDATE, candidate, items + i, one, 1);
        assert_int_equal(vqr_score(w.session, w.state, &request, got, NULL, NULL), VQR_OK);
        assert_memory_equal(want + 2 * i, got, 2 * sizeof *got);
    }
    size_t differ = 0; /* candidates of one item by their content */
    for (size_t i = 41; i < ITEMS; i++)
        differ += want[2 * i] != want[2 * (i - 41)];
    assert_true(differ > ITEMS / 4);
    world_free(&w);
}

static void test_scores_concat(void **state)
{
    (void)state;
    check_scores(VQR_RQ_GMM, VQR_COMBINE_CONCAT);
}

static void test_scores_sum(void **state)
{
    (void)state;
    check_scores(VQR_RQ_KMEANS, VQR_COMBINE_SUM);
}

/* ---- files ---- */

CHANGE(kind_other, o->content.kind = VQR_RQ_KMEANS)
CHANGE(kind_unknown, o->content.kind = 2)
CHANGE(levels_fewer, (o->content.claimed = 1, o->content.listed = 1))
CHANGE(levels_most, o->content.claimed = 65)
CHANGE(codes_none, o->content.codes = 0)
CHANGE(codes_fewer, o->content.codes--)
CHANGE(codes_most, o->content.codes = UINT32_MAX)
CHANGE(dim_none, o->content.dim = 0)
CHANGE(dim_more, o->content.dim++)
CHANGE(dim_most, o->content.dim = UINT32_MAX)
CHANGE(same_name, o->content.same_name = true)
CHANGE(combine_unknown, o->content.combine = 2)
CHANGE(quantizer_none, o->content.quantizer = -1)
CHANGE(quantizer_far, o->content.quantizer = 1)
CHANGE(quantizer_lowest, o->content.quantizer = INT32_MIN)
CHANGE(table_lowest, o->content.table = INT32_MIN)
CHANGE(table_far, o->content.table = 4)
CHANGE(table_vocabulary, o->content.table = 1)
CHANGE(listed_fewer, o->content.listed = 1)
CHANGE(listed_none, o->content.listed = 0)
CHANGE(listed_more, o->content.listed = 3)
CHANGE(width_less, o->content.width = 9)
CHANGE(width_none, o->content.width = 0)
CHANGE(width_most, o->content.width = UINT32_MAX - 1)
CHANGE(exponents_none, o->content.exponents = 0)
CHANGE(exponents_more, o->content.exponents = 3)
CHANGE(exponent_high, o->content.exponent = 121)
CHANGE(exponent_lowest, o->content.exponent = INT32_MIN)

static const struct change changes[] = {
    {"tensors, its configuration reads", kind_other},
    {"kind is 2", kind_unknown},
    {"mean", levels_fewer},
    {"levels is 65, expected 1 to 64", levels_most},
    {"codes is 0", codes_none},
    {"mean", codes_fewer},
    {"codes is 4294967295", codes_most},
    {"dim is 0", dim_none},
    {"mean", dim_more},
    {"dim is 4294967295", dim_most},
    {"name is used twice", same_name},
    {"combine is 2", combine_unknown},
    {"quantizer is not in the file", quantizer_none},
    {"quantizer is not in the file", quantizer_far},
    {"quantizer is not in the file", quantizer_lowest},
    {"table of its level 1 is not in the file", table_lowest},
    {"table of its level 1 is not in the file", table_far},
    {"level 1 reads table \"word\"", table_vocabulary},
    {"tables for 1 levels, its quantizer has 2", listed_fewer},
    {"tables for 0 levels", listed_none},
    {"tables for 3 levels", listed_more},
    {"its width is 9, its tables have 10", width_less},
    {"its width is 0", width_none},
    {"its width is 4294967294", width_most},
    {"not as many exponents", exponents_none},
    {"not as many exponents", exponents_more},
    {"exponent", exponent_high},
    {"exponent", exponent_lowest},
};

static void test_configuration_unlike_tensors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const struct runtime_options tensors = content_options(VQR_RQ_GMM, VQR_COMBINE_CONCAT);
        struct runtime_options says = tensors;
        changes[i].apply(&says);
        assert_refused(&tensors, &says, changes[i].says);
    }
    struct runtime_options options = content_options(VQR_RQ_GMM, VQR_COMBINE_CONCAT);
    options.content.rows = 17;
    assert_refused(&options, &options, "expected one with direct ids and at least 18 rows");
    options = content_options(VQR_RQ_GMM, VQR_COMBINE_CONCAT);
    options.content.ids = VQR_IDS_HASH;
    assert_refused(&options, &options, "expected one with direct ids");
    options = content_options(VQR_RQ_GMM, VQR_COMBINE_SUM);
    struct runtime_options says = options;
    says.content.table = 1;
    says.content.codes = options.content.codes = 10;
    says.word_ids = options.word_ids = VQR_IDS_DIRECT; /* 16 rows of 3 where the others have 5 columns */
    assert_refused(&options, &says, "it sums rows of dim 3, but its width is 5");
}

static void test_values_of_tensors(void **state)
{
    (void)state;
    static const float bad[] = {0.0f, -1.0f, NAN, INFINITY};
    const struct runtime_options o = content_options(VQR_RQ_GMM, VQR_COMBINE_CONCAT);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct vqr_error error;
        vqr_model *model = NULL;
        struct runtime_file file = runtime_build(&o);
        /* level 1, component 16, number 2: the second panel's first lane */
        hostile_floats(file, "quantizers.content.inverse_variance")[(1 * 2 + 1) * DIM * 16 + 2 * 16] = bad[i];
        assert_refusal(VQR_ERROR_FORMAT, vqr_model_open_memory(file.data, file.size, &model, &error), &error);
        assert_says(&error, i < 2 ? "level 1, component 16" : "expected a finite number");
        free(file.data);
    }
}

/* A row of a level's table that its exponent does not allow is found by reading all, and refused by who needs it. */
static void test_rows_out_of_range(void **state)
{
    (void)state;
    for (uint8_t combine = VQR_COMBINE_CONCAT; combine <= VQR_COMBINE_SUM; combine++) {
        const struct runtime_options o = content_options(VQR_RQ_GMM, combine);
        struct vqr_error error;
        struct world w = world_new(&o, NULL, 0);
        struct vqr_column columns[VALUES_COLUMNS + 4];
        const int64_t item = 1;
        hostile_floats(w.file, "tables.c1.weight")[2] = 2.5f; /* row 0 */
        assert_refusal(VQR_ERROR_TABLE, vqr_model_verify(w.model, &error), &error);
        assert_says(&error, "table \"c1\", row 0, column 2");
        const struct vqr_column absent = {VQR_COLUMN_ABSENT, NULL, NULL};
        const struct vqr_rows events = rows_of(w.model, VQR_EVENT, columns, &item, absent, 1);
        assert_refusal(VQR_ERROR_TABLE, vqr_encode(w.session, w.state, &events, NULL, &error), &error);
        assert_says(&error, "event 0, feature \"content\": table \"c1\", row 0");
        world_free(&w);
    }
}

/* Rows within the limit whose sum is not: the exponent of a sum is a promise of the file's, which is checked. */
static void test_sum_out_of_range(void **state)
{
    (void)state;
    const struct runtime_options o = content_options(VQR_RQ_GMM, VQR_COMBINE_SUM);
    struct vqr_error error;
    struct world w = world_new(&o, NULL, 0);
    struct vqr_column columns[VALUES_COLUMNS + 4];
    const int64_t item = 1;
    hostile_floats(w.file, "tables.c0.weight")[3] = 1.5f;
    hostile_floats(w.file, "tables.c1.weight")[3] = 1.0f;
    const struct vqr_column absent = {VQR_COLUMN_ABSENT, NULL, NULL};
    const struct vqr_rows events = rows_of(w.model, VQR_EVENT, columns, &item, absent, 1);
    assert_refusal(VQR_ERROR_RANGE, vqr_encode(w.session, w.state, &events, NULL, &error), &error);
    assert_says(&error, "the sum of its 2 levels' rows is 2.5 in column 3, expected at most 2");
    hostile_floats(w.file, "tables.c1.weight")[3] = 0.5f;
    assert_int_equal(vqr_encode(w.session, w.state, &events, NULL, &error), VQR_OK);
    world_free(&w);
}

static void test_every_header_byte(void **state)
{
    (void)state;
    const size_t step = VQR_TESTS_EMULATED ? 46 : VQR_TESTS_SANITIZED ? 10 : 2;
    struct runtime_options o = content_options(VQR_RQ_GMM, VQR_COMBINE_SUM);
    o.codewords = 5;
    struct runtime_file file = runtime_build(&o);
    size_t opened = 0, tried = 0;
    for (size_t at = 0; at < file.header; at += step) {
        const uint8_t right = file.data[at];
        for (size_t i = 0; i < 10; i++, tried++) {
            file.data[at] = (uint8_t)(i == 8 ? 0 : i == 9 ? 0xff : right ^ 1u << i);
            opened += (size_t)hostile_run(file.data, file.size);
        }
        file.data[at] = right;
    }
    assert_in_range(opened, 1, tried - 1);
    free(file.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_codes_on_every_isa), cmocka_unit_test(test_info),
        cmocka_unit_test(test_refusals),           cmocka_unit_test(test_scores_concat),
        cmocka_unit_test(test_scores_sum),         cmocka_unit_test(test_configuration_unlike_tensors),
        cmocka_unit_test(test_values_of_tensors),  cmocka_unit_test(test_rows_out_of_range),
        cmocka_unit_test(test_sum_out_of_range),   cmocka_unit_test(test_every_header_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
