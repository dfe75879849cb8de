/* int8 in a model file: what is refused, that exact codewords are fp32's, and what a damaged table does. That every
 * instruction set gives the same bits is tested with the other models (random_options), that the scores are right in
 * tests/python. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/codebook.h"
#include "tests/hostile_run.h"

enum { CANDIDATES = 5, EVENTS = 90 };

static struct runtime_options all_int8(void)
{
    struct runtime_options o = runtime_options_default();
    o.int8 = (struct runtime_int8){.tables = true, .weights = true, .scores = VQR_SCORES_INT8, .kept = 2, .fine = 3};
    o.attention.state = o.short_attention.state = o.hstu_last.attention.state = VQR_KEPT_INT8;
    o.attention.out = 7;
    o.short_sequences = o.vql_sequences = o.hstu_sequences = 1;
    o.vql.out = 6;
    return o;
}

/* ---- opening ---- */

CHANGE(scores_unknown, o->int8.scores = 3)
CHANGE(scores_most, o->int8.scores = 255)
CHANGE(scores_fp32, o->int8.scores = VQR_SCORES_F32)
CHANGE(scores_exact, o->int8.scores = VQR_SCORES_INT8_EXACT)
CHANGE(state_unknown, o->attention.state = 2)
CHANGE(state_most, o->short_attention.state = 255)

static void test_configuration_unlike_tensors(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"sequence \"long\": scores is 3", scores_unknown},
        {"sequence \"long\": scores is 255", scores_most},
        {"tensor \"sequences.long.fold\": expected F32 in layout Panels, found I8 in layout Quads", scores_fp32},
        {"tensor \"sequences.long.fold\": expected F32 in layout Panels, found I8 in layout Quads", scores_exact},
        {"sequence \"long\": attention state is 2", state_unknown},
        {"sequence \"short\": attention state is 255", state_most},
    };
    const struct runtime_options tensors = all_int8();
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct runtime_options says = tensors;
        changes[i].apply(&says);
        assert_refused(&tensors, &says, changes[i].says);
    }
    struct runtime_options fp32 = runtime_options_default(), says = fp32;
    says.int8.scores = VQR_SCORES_INT8;
    assert_refused(&fp32, &says, "tensor \"sequences.long.fold\": expected I8 in layout Quads, found F32");
}

/* Whose candidates choose among the events keep them in fp32. */
static void test_state_of_search(void **state)
{
    (void)state;
    static const char *const names[] = {"same", "far"};
    for (size_t i = 0; i < 2; i++) {
        struct runtime_options o = runtime_options_default();
        o.search.sim_hards = i == 0;
        o.search.twins = i == 1;
        o.search.attention.state = o.search.twin.state = VQR_KEPT_INT8;
        char says[80];
        snprintf(says, sizeof says, "sequence \"%s\": a state in int8, expected fp32", names[i]);
        assert_refused(&o, &o, says);
    }
}

static void assert_open_refused(struct runtime_file file, const char *says)
{
    vqr_model *model = NULL;
    struct vqr_error error;
    const enum vqr_status status = vqr_model_open_memory(file.data, file.size, &model, &error);
    assert_refusal(VQR_ERROR_FORMAT, status, &error);
    assert_says(&error, says);
}

/* Byte `at` of a tensor as `value`, in a file that is otherwise right. */
static void assert_byte_refused(const char *tensor, size_t at, int8_t value, const char *says)
{
    const struct runtime_options o = all_int8();
    struct runtime_file file = runtime_build(&o);
    const struct vqr_header_tensor found = hostile_tensor(file, tensor);
    assert_true(at < found.length);
    file.data[found.offset + at] = (uint8_t)value;
    assert_open_refused(file, says);
    free(file.data);
}

static void assert_float_refused(const char *tensor, size_t at, float value, const char *says)
{
    const struct runtime_options o = all_int8();
    struct runtime_file file = runtime_build(&o);
    hostile_floats(file, tensor)[at] = value;
    assert_open_refused(file, says);
    free(file.data);
}

static void assert_word_refused(const char *tensor, size_t at, uint32_t value, const char *says)
{
    const struct runtime_options o = all_int8();
    struct runtime_file file = runtime_build(&o);
    hostile_words(file, tensor)[at] = value;
    assert_open_refused(file, says);
    free(file.data);
}

/* Events are 9 wide: in quads of 3 fours of inputs, of which 3 inputs are padding, and 20 codewords of 32. */
static void test_refuses_by_values(void **state)
{
    (void)state;
    assert_byte_refused("sequences.long.fold", 7, INT8_MIN, "byte 7 of 768 is -128, expected -127 to 127");
    assert_byte_refused("head.0.weight", 0, INT8_MIN, "tensor \"head.0.weight\": byte 0");
    assert_byte_refused("sequences.long.fold", 2 * 64 + 1, 1, "padding to 4 inputs and 16 outputs");
    assert_byte_refused("sequences.long.fold", 3 * 64 + 4 * 4, 1, "padding to 4 inputs and 16 outputs");
    assert_byte_refused("sequences.long.fold", 2 * 3 * 64 + 2 * 64 + 3, -1, "padding to 4 inputs and 16 outputs");
    assert_float_refused("sequences.long.fold.scale", 19, -0x1p-20f, "value 19 is -9.53674e-07, expected 0 or more");
    assert_float_refused("sequences.long.fold.scale", 32 + 3, -1.0f, "value 35 is -1, expected 0 or more");
    assert_float_refused("sequences.long.fold.scale", 0, NAN, "expected a finite number");
    assert_float_refused("sequences.long.attention.k.scale", 3, -1.0f, "expected 0 or more");
    assert_float_refused("head.1.scale", 1, INFINITY, "expected a finite number");
    assert_float_refused("sequences.keys.vql.groups.1.fold.scale", 5, -1.0f, "expected 0 or more");
    assert_word_refused("head.1.kept", 1, 0, "number 1 is 0, expected columns that ascend, below 18");
    assert_word_refused("sequences.long.fold.kept", 1, 9, "number 1 is 9, expected columns that ascend, below 9");
    assert_word_refused("sequences.long.fold.kept", 0, UINT32_MAX, "number 0 is 4294967295, expected columns");
    assert_word_refused("sequences.short.attention.k.fine", 2, 12,
                        "number 2 is 12, expected columns that ascend, below 12");
    assert_word_refused("sequences.all.attention.k.fine", 1, 0,
                        "number 1 is 0, expected columns that ascend, below 12");
    assert_word_refused("sequences.keys.vql.groups.1.fold.kept", 0, 1,
                        "group 1 keeps other columns in fp32 than group 0");
    assert_float_refused("sequences.all.hstu.0.f2.kept.weight", 0, NAN, "expected a finite number");
    assert_float_refused("head.0.scale", 18, 1.0f, "padding to 16 holds values other than 0");
    const struct runtime_options o = all_int8();
    hostile_run_good(runtime_build(&o));
}

/* What one group keeps and the other does not. */
static void test_groups_keep_the_same(void **state)
{
    (void)state;
    static const char *const kept[] = {"sequences.keys.vql.groups.0.fold.kept",
                                       "sequences.keys.vql.groups.1.fold.kept"};
    for (size_t g = 0; g < 2; g++) {
        struct runtime_options o = all_int8();
        o.without_tensor = kept[g];
        assert_refused(&o, &o, "group 1 keeps other columns in fp32 than group 0");
    }
}

/* Sums of more products than an int32 holds. */
static void test_refuses_wide_rows(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    o.int8.weights = true;
    o.hidden[0] = (1 << 17) + 1;
    o.hidden_count = 1;
    assert_refused(&o, &o, "tensor \"head.1.weight\": 131073 inputs, expected at most 131072 in int8");
}

/* ---- tables ---- */

/* A damaged row is found by vqr_model_verify, and when an event or candidate needs it. */
static void assert_row_refused(int8_t element, float scale, const char *verified)
{
    const struct runtime_options o = all_int8();
    struct runtime_file file = runtime_build(&o);
    const struct vqr_header_tensor rows = hostile_tensor(file, "tables.item.weight");
    const size_t row = 17;
    file.data[rows.offset + row * o.item_dim + 2] = (uint8_t)element;
    hostile_floats(file, "tables.item.scale")[row] = scale;
    vqr_model *model = open_model(file);
    struct vqr_error error;
    assert_refusal(VQR_ERROR_TABLE, vqr_model_verify(model, &error), &error);
    assert_says(&error, verified);
    vqr_session *session = new_session(model, NULL);
    vqr_state *user = new_state(model);
    const int64_t good = 16, bad = 17;
    struct vqr_column column = {.type = VQR_COLUMN_INT64, .values = &good};
    const struct vqr_rows events = {.columns = &column, .column_count = 1, .rows = 1};
    assert_int_equal(vqr_encode(session, user, &events, NULL, &error), VQR_OK);
    column.values = &bad;
    assert_refusal(VQR_ERROR_TABLE, vqr_encode(session, user, &events, NULL, &error), &error);
    assert_says(&error, "row 17");
    vqr_state_free(user);
    vqr_session_free(session);
    vqr_model_close(model);
    free(file.data);
}

static void test_damaged_rows(void **state)
{
    (void)state;
    assert_row_refused(INT8_MIN, 0x1p-9f, "table \"item\", row 17, column 2: -128, expected -127 to 127");
    assert_row_refused(3, NAN, "table \"item\", row 17: its scale is nan");
    assert_row_refused(3, -1.0f, "table \"item\", row 17: its scale is -1");
    assert_row_refused(3, INFINITY, "table \"item\", row 17: its scale is inf");
    assert_row_refused(100, 0.5f, "expected at most 1 in magnitude");
}

/* A row of a list: |100 * 3| is past 2^(30 - 22), the most that lists of this exponent may hold. */
static void test_damaged_row_of_a_list(void **state)
{
    (void)state;
    struct runtime_options o = all_int8();
    o.tags = true;
    struct runtime_file file = runtime_build(&o);
    file.data[hostile_tensor(file, "tables.item.weight").offset + 17 * o.item_dim] = 100;
    hostile_floats(file, "tables.item.scale")[17] = 3.0f;
    vqr_model *model = open_model(file);
    vqr_session *session = new_session(model, NULL);
    vqr_state *user = new_state(model);
    struct vqr_error error;
    const int64_t ids[] = {16, 17};
    const uint64_t offsets[] = {0, 2};
    const struct vqr_lists lists = {VQR_COLUMN_INT64, ids, offsets};
    struct vqr_column columns[5] = {{0}};
    columns[4] = (struct vqr_column){.type = VQR_COLUMN_LISTS, .values = &lists};
    const struct vqr_rows events = {.columns = columns, .column_count = 5, .rows = 1};
    assert_refusal(VQR_ERROR_TABLE, vqr_encode(session, user, &events, NULL, &error), &error);
    assert_says(&error, "table \"item\", row 17");
    vqr_state_free(user);
    vqr_session_free(session);
    vqr_model_close(model);
    free(file.data);
}

/* Of a table that no event reads, where any finite number is taken. */
static void test_overflowing_rows(void **state)
{
    (void)state;
    struct runtime_options o = all_int8();
    o.event_tables[0] = 1;
    o.item_dim = o.word_dim;
    struct runtime_file file = runtime_build(&o);
    file.data[hostile_tensor(file, "tables.item.weight").offset + 17 * o.item_dim + 2] = 127;
    hostile_floats(file, "tables.item.scale")[17] = 0x1p122f;
    vqr_model *model = open_model(file);
    struct vqr_error error;
    assert_refusal(VQR_ERROR_TABLE, vqr_model_verify(model, &error), &error);
    assert_says(&error, "table \"item\", row 17, column 2: inf, expected at most 3.40282e+38 in magnitude");
    vqr_model_close(model);
    free(file.data);
}

/* ---- exact codewords ---- */

/* Clusters of all sequences that have some, one after another; the caller frees. */
static uint32_t *clusters(const struct world *w, const struct values *events, size_t *count)
{
    uint32_t *found = NULL;
    *count = 0;
    for (size_t i = 0; i < vqr_sequence_count(w->model); i++) {
        const size_t n = vqr_sequence_codebooks(w->model, i) * EVENTS;
        if (n == 0)
            continue;
        found = realloc(found, (*count + n) * sizeof *found);
        assert_non_null(found);
        assert_int_equal(vqr_assign(w->session, i, &events->rows, found + *count, NULL), VQR_OK);
        *count += n;
    }
    return found;
}

/* Whatever the weights' magnitude, the codewords and with them all scores are those of the fp32 file. */
static void test_exact_is_fp32(void **state)
{
    (void)state;
    static const float scales[] = {0.5f, 0x1p-45f, 0x1p-20f, 1e9f, 1e16f};
    for (uint64_t i = 0; i < 30; i++) {
        struct runtime_options o = random_options(900 + i);
        o.scale = scales[i % 5];
        o.vql_sequences = 1;
        if (i % 3) { /* else too small to be screened; and with fewer items their scores would be looked up */
            o.item_dim = 64;
            o.items = 9000;
            o.codewords = 128 + (uint32_t)i;
            o.vql.codewords[0] = 200;
        }
        o.int8.scores = VQR_SCORES_F32;
        for (size_t isa = 0; usable_isa(isa); isa++) {
            struct world fp32 = world_new(&o, usable_isa(isa), CANDIDATES);
            o.int8.scores = VQR_SCORES_INT8_EXACT;
            struct world exact = world_new(&o, usable_isa(isa), CANDIDATES);
            o.int8.scores = VQR_SCORES_F32;
            struct values *events = values_new(fp32.model, VQR_EVENT, EVENTS, i);
            size_t count, same;
            uint32_t *expected = clusters(&fp32, events, &count), *found = clusters(&exact, events, &same);
            assert_int_equal(count, same);
            assert_memory_equal(found, expected, count * sizeof *found);
            free(expected);
            free(found);
            values_free(events);
            world_free(&exact);
            world_free(&fp32);
        }
    }
}

/* |g - scale q| and |g| of codeword w in long double, and whether its largest magnitude is one that is screened. */
static int norms(const struct vqr_codebook *c, const struct vqr_screen *screen, size_t w, long double *error,
                 long double *norm)
{
    const size_t p = w / VQR_LANES, l = w % VQR_LANES, quads = (c->width + 3) / 4;
    long double most = 0;
    *error = *norm = 0;
    for (size_t i = 0; i < c->width; i++) {
        const long double g = (long double)c->fold.data[(p * c->width + i) * VQR_LANES + l];
        const int8_t q = screen->b[(p * quads + i / 4) * 4 * VQR_LANES + 4 * l + i % 4];
        assert_true(q != INT8_MIN);
        const long double off = g - (long double)screen->scale[w] * q;
        *error += off * off;
        *norm += g * g;
        most = fabsl(g) > most ? fabsl(g) : most;
    }
    *error = sqrtl(*error);
    *norm = sqrtl(*norm);
    return most == 0 || (most >= 0x1p-40L && most <= 0x1p50L);
}

/* What is measured bounds what it says, and not by much. */
static void test_measured_bounds(void **state)
{
    (void)state;
    /* By panel; of the last one codeword is too small and one too large to be screened, of the third one is zeros. */
    static const float scales[] = {1.0f, 0x1p-39f, 0x1p49f, 1.0f};
    enum { WIDTH = 37, CODEWORDS = 53, PANELS = 4 };
    static float fold[PANELS * WIDTH * VQR_LANES], offset[PANELS * VQR_LANES];
    uint64_t random = 5;
    struct vqr_codebook c = {.count = 1, .codewords = CODEWORDS, .width = WIDTH, .features = 3, .offset = offset};
    c.fold.data = fold;
    for (size_t i = 0; i < PANELS * VQR_LANES; i++) {
        const float scale = i == 40 ? 0.0f : i == 50 ? 0x1p-60f : i == 52 ? 0x1p60f : scales[i / VQR_LANES];
        offset[i] = i < CODEWORDS ? ldexpf((float)random_below(&random, 1000) - 500.0f, -8) : 0.0f;
        for (size_t d = 0; d < WIDTH; d++)
            fold[(i / VQR_LANES * WIDTH + d) * VQR_LANES + i % VQR_LANES] =
                i < CODEWORDS ? ((float)random_below(&random, 20001) - 10000.0f) / 7777.0f * scale : 0.0f;
    }
    assert_int_equal(vqr_codebook_measure(&c, NULL), VQR_OK);
    const struct vqr_screen *screen = &c.screen[0];
    assert_true(screen->rounding >= (float)(WIDTH + 3 + 8) * 0x1p-24f);
    for (size_t p = 0; p < PANELS; p++) {
        long double error = 0, norm = 0, shift = 0;
        int screened = 1;
        for (size_t w = p * VQR_LANES; w < CODEWORDS && w < (p + 1) * VQR_LANES; w++) {
            long double e, n;
            if (norms(&c, screen, w, &e, &n)) {
                error = e > error ? e : error;
                norm = n > norm ? n : norm;
            } else {
                screened = 0;
            }
            shift = fabsl((long double)offset[w]) > shift ? fabsl((long double)offset[w]) : shift;
        }
        assert_true((long double)screen->norm[p] >= norm && (long double)screen->norm[p] <= norm * 1.001L);
        assert_true((long double)screen->shift[p] == shift);
        if (screened)
            assert_true((long double)screen->error[p] >= error && (long double)screen->error[p] <= error * 1.001L);
        else
            assert_true(isinf(screen->error[p]));
    }
    vqr_codebook_unbind(&c);
}

/* ---- memory ---- */

/* Keys and values take a quarter, and a step for each token and head. */
static void test_state_is_smaller(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    o.attention.dim = 16;
    size_t bytes[2];
    for (int i = 0; i < 2; i++) {
        struct vqr_sequence_info info;
        o.attention.state = i;
        struct world w = world_new(&o, NULL, 1);
        assert_int_equal(vqr_sequence_info(w.model, 0, &info), VQR_OK);
        bytes[i] = info.state_bytes;
        world_free(&w);
    }
    const size_t codebooks = 2, heads = 2, keys = 32 * 16, values = 20 * 16, steps = (16 + 32) * sizeof(float);
    assert_int_equal(bytes[0] - bytes[1], codebooks * heads * ((keys + values) * (sizeof(float) - 1) - steps));
}

/* Of each key that is kept twice a byte a token, padded, and a step; and a candidate multiplies it once more. */
static void test_fine_keys_cost(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    struct vqr_sequence_info info[2];
    o.attention.state = VQR_KEPT_INT8;
    o.attention.dim = 64; /* the steps of all keys take whole lines of memory: 128, and 128 + 16 */
    for (uint32_t i = 0; i < 2; i++) {
        o.int8.fine = i * 16;
        struct world w = world_new(&o, NULL, 1);
        assert_int_equal(vqr_sequence_info(w.model, 0, &info[i]), VQR_OK);
        world_free(&w);
    }
    const size_t codebooks = 2, columns = 16, tokens = 20;
    assert_int_equal(info[1].state_bytes - info[0].state_bytes, codebooks * columns * (32 + sizeof(float)));
    assert_true(info[1].candidate_work - info[0].candidate_work == codebooks * columns * tokens);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configuration_unlike_tensors),
        cmocka_unit_test(test_state_of_search),
        cmocka_unit_test(test_refuses_by_values),
        cmocka_unit_test(test_groups_keep_the_same),
        cmocka_unit_test(test_refuses_wide_rows),
        cmocka_unit_test(test_damaged_rows),
        cmocka_unit_test(test_damaged_row_of_a_list),
        cmocka_unit_test(test_overflowing_rows),
        cmocka_unit_test(test_exact_is_fp32),
        cmocka_unit_test(test_measured_bounds),
        cmocka_unit_test(test_state_is_smaller),
        cmocka_unit_test(test_fine_keys_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
