/* Damaged files: bytes changed one by one and many at once, directories of tensors rearranged, values that are no
 * numbers, vocabularies that lead astray, weights that overflow. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hostile_run.h"

/* ---- bytes ---- */

enum { FORMS = 7 };

static struct runtime_file build_form(size_t form)
{
    struct runtime_options o = runtime_options_default();
    o.codewords = 5;
    o.items = 41;
    if (form == 1) {
        o.sequences = 2;
        o.hstu.layers = 2;
        o.hstu.pre_norm = o.hstu.residual = o.hstu.share = true;
        o.hstu.bias = VQR_BIAS_PER_HEAD;
        o.hstu.output = VQR_OUTPUT_CONCAT_RAW;
        o.attention.share = o.attention.count_bias = true;
        o.attention.out = 3;
    } else if (form == 2) {
        o.hstu.layers = 0;
        o.empty = VQR_EMPTY_ZERO;
        o.hidden_count = 0;
        o.activation = VQR_SILU;
    } else if (form == 3) {
        o.sequences = 0;
        o.vql_sequences = 1;
        o.vql.terms = 2;
        o.vql.out = 3;
    } else if (form == 4) {
        o.sequences = 0;
        o.sdim_sequences = 1;
    } else if (form == 5) {
        o.sequences = 0;
        o.hstu_sequences = 1;
        o.hstu_last.last = 4; /* ROWS are more */
    } else if (form == 6) {
        o.sequences = 0;
        o.search.sim_hards = o.search.twins = 1;
        o.search.twin.out = 3;
        o.hidden_count = 0;
    }
    return runtime_build(&o);
}

/* How many of a loop's many cases to try here. */
static size_t step(void)
{
    return VQR_TESTS_EMULATED ? 23 : VQR_TESTS_SANITIZED ? 5 : 1;
}

static void test_forms_are_good(void **state)
{
    (void)state;
    for (size_t form = 0; form < FORMS; form++)
        hostile_run_good(build_form(form));
}

static void test_every_header_byte(void **state)
{
    (void)state;
    for (size_t form = 0; form < FORMS; form++) {
        struct runtime_file file = build_form(form);
        size_t opened = 0, tried = 0;
        for (size_t at = form % step(); at < file.header; at += step()) {
            const uint8_t right = file.data[at];
            for (size_t i = 0; i < 10; i++) {
                file.data[at] = (uint8_t)(i == 8 ? 0 : i == 9 ? 0xff : right ^ 1u << i);
                opened += (size_t)hostile_run(file.data, file.size);
                tried++;
            }
            file.data[at] = right;
        }
        print_message("form %zu: %zu of %zu files opened\n", form, opened, tried);
        assert_in_range(opened, 1, tried - 1);
        free(file.data);
    }
}

static void damage(struct runtime_file file, size_t end, uint64_t *random)
{
    static const uint32_t words[] = {0,          1,          0xffffffff, 0x7fffffff, 0x80000000, 0x7f800000,
                                     0xff800000, 0x7fc00000, 0x7f7fffff, 64,         0x10000};
    const size_t at = random_below(random, end);
    switch (random_below(random, 5)) {
    case 0:
        file.data[at] = (uint8_t)random_next(random);
        break;
    case 1:
        file.data[at] = (uint8_t)(file.data[at] + random_below(random, 17) - 8);
        break;
    case 2: /* a word copied from elsewhere */
        memmove(file.data + at / 4 * 4, file.data + random_below(random, end / 4) * 4, 4);
        break;
    case 3:
        memcpy(file.data + at / 4 * 4, &words[random_below(random, sizeof words / sizeof *words)], 4);
        break;
    default: /* a run of anything */
        for (size_t i = 0, n = 1 + random_below(random, 16); i < n && at + i < end; i++)
            file.data[at + i] = (uint8_t)random_next(random);
    }
}

static void test_random_damage(void **state)
{
    (void)state;
    const size_t files = 30000 / step();
    uint64_t random = 12345;
    size_t opened = 0;
    for (size_t form = 0; form < FORMS; form++) {
        struct runtime_file file = build_form(form), copy = hostile_copy(file);
        for (size_t i = 0; i < files / FORMS; i++) {
            memcpy(copy.data, file.data, file.size);
            const size_t end = random_below(&random, 2) ? file.header / 4 * 4 : file.size / 4 * 4;
            for (size_t places = 1 + random_below(&random, 6); places > 0; places--)
                damage(copy, end, &random);
            opened += (size_t)hostile_run(copy.data, copy.size);
        }
        free(copy.data);
        free(file.data);
    }
    print_message("%zu of %zu files opened\n", opened, files);
    assert_in_range(opened, 1, files - 1);
}

/* ---- values of tensors ---- */

static void assert_file_refused(struct runtime_file file, const char *says)
{
    struct vqr_error error;
    vqr_model *model = NULL;
    assert_refusal(VQR_ERROR_FORMAT, vqr_model_open_memory(file.data, file.size, &model, &error), &error);
    assert_says(&error, says);
    assert_null(model);
}

/* Whether float i of a tensor is padding. */
static int is_padding(const struct vqr_header_tensor *t, size_t i)
{
    const size_t n = (size_t)t->shape[t->rank - 1], padded = (n + 15) / 16 * 16;
    if (t->layout == VQR_PADDED_ROWS)
        return i % padded >= n;
    if (t->layout == VQR_ROWS)
        return 0;
    const size_t in = (size_t)t->shape[t->rank - 2];
    return i / (16 * in) % (padded / 16) * 16 + i % 16 >= n;
}

static void check_tensor_values(struct runtime_file file, const struct vqr_header_tensor *t)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    float *x = (float *)(void *)(file.data + t->offset);
    const size_t count = (size_t)t->length / sizeof *x;
    for (size_t i = 0; i < count; i += i % 16 == 15 || VQR_TESTS_EMULATED ? step() : 1) {
        const float right = x[i];
        x[i] = is_padding(t, i) ? 0x1p-149f : bad[i % 3];
        assert_file_refused(file, t->name);
        x[i] = right;
    }
}

static void test_every_small_tensor(void **state)
{
    (void)state;
    for (size_t form = 0; form < FORMS; form++) {
        struct runtime_file file = build_form(form);
        struct vqr_header header;
        struct vqr_header_info info;
        char message[256];
        assert_int_equal(vqr_header_open(&header, file.data, file.size, message, sizeof message), VQR_HEADER_OK);
        vqr_header_info(&header, &info);
        size_t checked = 0;
        for (size_t i = 0; i < info.tensors; i++) {
            struct vqr_header_tensor tensor;
            vqr_header_tensor(&header, i, &tensor);
            if (tensor.type == VQR_TENSOR_F32 && strncmp(tensor.name, "tables.", 7) != 0) {
                check_tensor_values(file, &tensor);
                checked++;
            }
        }
        assert_true(checked > 6);
        assert_int_equal(hostile_run(file.data, file.size), 1); /* all is as it was */
        free(file.data);
    }
}

static void test_decay_and_mix(void **state)
{
    (void)state;
    static const struct {
        const char *tensor;
        float value;
        const char *says; /* NULL: taken */
    } cases[] = {{"decay", -0x1p-149f, "head 0, term 1: decay is -1.4013e-45"},
                 {"decay", 0.0f, NULL},
                 {"decay", 3e38f, NULL},
                 {"mix", 0.0f, "head 0, term 1: decay is"},
                 {"mix", -1.0f, "and mix -1, expected at least 0 and more than 0"},
                 {"mix", 0x1p-149f, NULL},
                 {"mix", 3e38f, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct runtime_file file = build_form(3);
        char name[64];
        snprintf(name, sizeof name, "sequences.keys.vql.%s", cases[i].tensor);
        hostile_floats(file, name)[1] = cases[i].value;
        if (cases[i].says) {
            assert_file_refused(file, cases[i].says);
            free(file.data);
        } else {
            hostile_run_good(file);
        }
    }
}

/* ---- embedding tables ---- */

enum { BAD_ROW = 17, BAD_COLUMN = 4 };

static void score_item(struct world *w, int64_t item, enum vqr_status expected)
{
    const struct vqr_column columns[2] = {{VQR_COLUMN_INT64, &item, NULL}, {VQR_COLUMN_ABSENT, NULL, NULL}};
    const struct vqr_request request = {.candidates = {columns, 2, 1}};
    struct vqr_error error;
    float outputs[2];
    const enum vqr_status status = vqr_score(w->session, w->state, &request, outputs, NULL, &error);
    if (!expected) {
        assert_int_equal(status, VQR_OK);
        return;
    }
    assert_refusal(expected, status, &error);
    assert_says(&error, "table \"item\", row 17");
}

static void encode_item(struct world *w, int64_t item, enum vqr_status expected)
{
    const struct vqr_column columns[4] = {{VQR_COLUMN_INT64, &item, NULL}};
    const struct vqr_rows events = {columns, 4, 1};
    struct vqr_error error;
    const enum vqr_status status = vqr_encode(w->session, w->state, &events, NULL, &error);
    assert_int_equal(status, expected);
    if (expected) {
        assert_refusal(expected, status, &error);
        assert_says(&error, "table \"item\", row 17");
        assert_int_equal(vqr_state_events(w->state), 0);
    }
}

/* A row that is no number refuses the requests that need it, on every ISA; one that is too large only in events. */
static void test_bad_table_row(void **state)
{
    (void)state;
    static const float values[] = {NAN, INFINITY, -INFINITY, 1.5f, -1.5f, 3e38f};
    struct runtime_options options = runtime_options_default();
    for (size_t v = 0; v < sizeof values / sizeof *values; v++)
        for (options.item_dim = BAD_COLUMN + 1; options.item_dim < 60; options.item_dim += 16)
            for (size_t isa = 0; usable_isa(isa); isa++) {
                struct world w = world_new(&options, usable_isa(isa), 1);
                hostile_floats(w.file, "tables.item.weight")[BAD_ROW * options.item_dim + options.item_dim - 1] =
                    values[v];
                const int finite = isfinite(values[v]) != 0;
                encode_item(&w, BAD_ROW, VQR_ERROR_TABLE);
                encode_item(&w, BAD_ROW - 1, VQR_OK);
                score_item(&w, BAD_ROW - 1, VQR_OK);
                score_item(&w, BAD_ROW + 1, VQR_OK);
                score_item(&w, -5, VQR_OK);
                if (!finite || fabsf(values[v]) < 2)
                    score_item(&w, BAD_ROW, finite ? VQR_OK : VQR_ERROR_TABLE);
                struct vqr_error error;
                assert_refusal(VQR_ERROR_TABLE, vqr_model_verify(w.model, &error), &error);
                assert_says(&error, "table \"item\", row 17");
                world_free(&w);
            }
}

/* The unknown row stands in for everything absent, so then nothing works, but with a reason. */
static void test_bad_unknown_row(void **state)
{
    (void)state;
    const struct runtime_options options = runtime_options_default();
    struct world w = world_new(&options, NULL, 2);
    hostile_floats(w.file, "tables.item.weight")[2] = NAN;
    const struct vqr_rows nothing = {NULL, 0, 3};
    const struct vqr_request request = {.candidates = {NULL, 0, 3}};
    struct vqr_error error;
    float outputs[6];
    assert_refusal(VQR_ERROR_TABLE, vqr_encode(w.session, w.state, &nothing, NULL, &error), &error);
    assert_says(&error, "item");
    assert_refusal(VQR_ERROR_TABLE, vqr_score(w.session, w.state, &request, outputs, NULL, &error), &error);
    assert_says(&error, "item");
    assert_refusal(VQR_ERROR_TABLE, vqr_model_verify(w.model, &error), &error);
    assert_says(&error, "row 0");
    assert_int_equal(hostile_run(w.file.data, w.file.size), 1);
    world_free(&w);
}

/* ---- vocabularies ---- */

/* The file still opens and runs; verifying says which table is damaged. */
static void check_vocabulary(struct runtime_file file)
{
    struct vqr_error error;
    vqr_model *model = open_model(file);
    assert_refusal(VQR_ERROR_FORMAT, vqr_model_verify(model, &error), &error);
    assert_says(&error, "word");
    vqr_model_close(model);
    assert_int_equal(hostile_run(file.data, file.size), 1);
}

static void with_vocabulary_damage(const char *tensor, size_t element, uint32_t value)
{
    struct runtime_options options = runtime_options_default();
    for (int int8 = 0; int8 < 2; int8++) {
        options.int8.tables = int8;
        struct runtime_file file = runtime_build(&options);
        hostile_words(file, tensor)[element] = value;
        check_vocabulary(file);
        free(file.data);
    }
}

static void test_vocabulary_damage(void **state)
{
    (void)state;
    const char *const keys = "tables.word.keys";
    with_vocabulary_damage(keys, 4 * 1 + 0, 0xffffffff); /* "shoe": its text begins far outside */
    with_vocabulary_damage(keys, 4 * 1 + 1, 0xffffffff);
    with_vocabulary_damage(keys, 4 * 1 + 1, 0x80000000);
    with_vocabulary_damage(keys, 4 * 1 + 2, 0xffffffff); /* its length runs outside */
    with_vocabulary_damage(keys, 4 * 1 + 2, 5);
    with_vocabulary_damage(keys, 4 * 1 + 3, 2); /* neither an integer nor a string */
    with_vocabulary_damage(keys, 4 * 1 + 3, 0); /* a string becomes an integer */
    with_vocabulary_damage(keys, 4 * 0 + 3, 1); /* and the other way: -7 as a place */
    const struct runtime_options options = runtime_options_default();
    struct runtime_file file = runtime_build(&options);
    uint32_t *slots = hostile_words(file, "tables.word.slots");
    static const uint32_t rows[] = {0, 1, 16, 17, 0x7fffffff, 0x80000000, 0xffffffff};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct runtime_file copy = hostile_copy(file); /* every slot the same: empty, full, or past the keys */
        uint32_t *damaged = hostile_words(copy, "tables.word.slots");
        for (size_t i = 0; i < options.slots; i++)
            damaged[i] = rows[r];
        check_vocabulary(copy);
        free(copy.data);
    }
    for (size_t i = 0; i < options.slots; i++) {
        const uint32_t right = slots[i];
        if (right == 0)
            continue;
        slots[i] = right % 15 + 1; /* another key's row */
        check_vocabulary(file);
        slots[i] = right;
    }
    free(file.data);
}

/* Every slot leads to key 1, which is damaged to `key`; then no id may be found, `id` least of all. */
static void assert_not_found(const uint32_t key[4], uint32_t row, struct vqr_id id)
{
    struct runtime_options options = runtime_options_default();
    struct world w = world_new(&options, NULL, 0);
    uint32_t *slots = hostile_words(w.file, "tables.word.slots");
    memcpy(hostile_words(w.file, "tables.word.keys") + 4, key, 4 * sizeof *key);
    for (size_t i = 0; i < options.slots; i++)
        slots[i] = row;
    const struct vqr_column columns[2] = {{VQR_COLUMN_ABSENT, NULL, NULL}, {VQR_COLUMN_ID, &id, NULL}};
    const struct vqr_request request = {.user = {columns, 2, 1}};
    struct vqr_stats stats = {0, 0};
    assert_int_equal(vqr_score(w.session, w.state, &request, NULL, &stats, NULL), VQR_OK);
    assert_int_equal(stats.unknown_ids, 1);
    world_free(&w);
}

/* Keys that match what lies beyond the text, a string's place taken for an integer, and a row past the keys. */
static void test_vocabulary_bounds(void **state)
{
    (void)state;
    const struct runtime_options options = runtime_options_default();
    struct runtime_file file = runtime_build(&options);
    const uint32_t text = (uint32_t)hostile_tensor(file, "tables.word.text").length;
    const uint32_t after =
        (uint32_t)(hostile_tensor(file, "tables.word.slots").offset - hostile_tensor(file, "tables.word.text").offset);
    assert_true(after >= text + 4); /* zeros between the segments */
    free(file.data);
    assert_not_found((const uint32_t[4]){text, 0, 4, 1}, 2, (struct vqr_id){"\0\0\0\0", 4});
    assert_not_found((const uint32_t[4]){text - 1, 0, 2, 1}, 2, (struct vqr_id){"n\0", 2});
    assert_not_found((const uint32_t[4]){77, 0, 0, 1}, 2, (struct vqr_id){NULL, 77});
    assert_not_found((const uint32_t[4]){0, 0, 0, 0}, 2, (struct vqr_id){"", 0});
    /* after the 15 keys come zeros, which read as the integer 0 */
    assert_not_found((const uint32_t[4]){1, 0, 0, 0}, 16, (struct vqr_id){NULL, 0});
}

/* The longest probe that a file may state; no slot empty; a probe shorter than the true one. */
static void test_vocabulary_probes(void **state)
{
    (void)state;
    struct runtime_options options = runtime_options_default();
    options.slots = 32;
    options.max_probe = 31;
    struct runtime_file file = runtime_build(&options);
    uint32_t *slots = hostile_words(file, "tables.word.slots");
    for (size_t i = 0; i < 32; i++)
        slots[i] = slots[i] ? slots[i] : 15;
    struct vqr_error error;
    vqr_model *model = open_model(file);
    assert_int_equal(vqr_model_verify(model, &error), VQR_OK); /* full, but every key is where it should be */
    vqr_model_close(model);
    const uint32_t last = slots[31];
    slots[31] = 99; /* a row that the vocabulary does not have */
    model = open_model(file);
    assert_refusal(VQR_ERROR_FORMAT, vqr_model_verify(model, &error), &error);
    vqr_model_close(model);
    slots[31] = last;
    assert_int_equal(hostile_run(file.data, file.size), 1);
    free(file.data);

    options.max_probe = 0;
    file = runtime_build(&options);
    check_vocabulary(file);
    free(file.data);
    static const uint32_t too_far[] = {32, 33, 0x7fffffff, 0xfffffffe};
    for (size_t i = 0; i < sizeof too_far / sizeof *too_far; i++) {
        options.max_probe = too_far[i];
        file = runtime_build(&options);
        assert_file_refused(file, "word");
        free(file.data);
    }
    options.max_probe = 4097; /* more than any honest table needs, whatever the slots */
    options.slots = 8192;
    file = runtime_build(&options);
    assert_file_refused(file, "word");
    free(file.data);
    options.max_probe = 0;
    options.slots = 16; /* fewer than twice the keys */
    file = runtime_build(&options);
    assert_file_refused(file, "word");
    free(file.data);
}

/* ---- overflow ---- */

/* Finite weights, all of them huge: a refusal, never an output that is no number. */
static void test_overflow(void **state)
{
    (void)state;
    static const float scales[] = {1e10f, 1e19f, 1e30f, 3e38f};
    size_t overflows = 0, cases = 0;
    for (size_t layers = 0; layers < 2; layers++)
        for (size_t s = 0; s < sizeof scales / sizeof *scales; s++)
            for (int silu = 0; silu < 2; silu++) {
                struct runtime_options options = runtime_options_default();
                options.scale = scales[s];
                options.hstu.layers = (uint32_t)layers;
                options.activation = silu ? VQR_SILU : VQR_RELU;
                struct world w = world_new(&options, NULL, 50);
                struct values *events = values_new(w.model, VQR_EVENT, 100, 3);
                const struct vqr_request request = request_of(&w);
                struct vqr_error error;
                float outputs[100];
                enum vqr_status status = vqr_encode(w.session, w.state, &events->rows, NULL, &error);
                assert_int_equal(vqr_state_events(w.state), status ? 0 : 100);
                if (scales[s] > 1e38f) /* keys and values are infinite already */
                    assert_int_equal(status, VQR_ERROR_OVERFLOW);
                if (!status)
                    status = vqr_score(w.session, w.state, &request, outputs, NULL, &error);
                if (status)
                    assert_refusal(VQR_ERROR_OVERFLOW, status, &error);
                overflows += status != VQR_OK;
                cases++;
                vqr_state_reset(w.state); /* the session works on */
                assert_int_equal(hostile_run(w.file.data, w.file.size), 1);
                values_free(events);
                world_free(&w);
            }
    assert_in_range(overflows, cases / 2, cases);
}

/* ---- lists and vectors that cannot be right ---- */

/* What appending two events says, of which the second has `column` as feature number `feature`. */
static void assert_column_refused(struct world *w, size_t feature, const struct vqr_column *column,
                                  enum vqr_status status, const char *says)
{
    struct vqr_column columns[RUNTIME_EVENTS_MAX] = {{VQR_COLUMN_ABSENT, NULL, NULL}};
    columns[feature] = *column;
    const struct vqr_rows events = {columns, RUNTIME_EVENTS_MAX, 2};
    struct vqr_error error;
    assert_refusal(status, vqr_append(w->session, w->state, &events, NULL, &error), &error);
    assert_says(&error, says);
}

static void assert_lists_refused(struct world *w, struct vqr_lists lists, enum vqr_status status, const char *says)
{
    const struct vqr_column column = {VQR_COLUMN_LISTS, &lists, NULL};
    assert_column_refused(w, 4, &column, status, says);
}

static void test_lists_and_vectors(void **state)
{
    (void)state;
    enum { LONG = 5000, WIDTH = 3 };
    static int64_t ids[LONG];
    struct runtime_options options = runtime_options_default();
    options.tags = true;
    options.image_dim = WIDTH;
    struct world w = world_new(&options, NULL, 1);
    for (size_t i = 0; i < LONG; i++)
        ids[i] = 1;
    const uint64_t back[] = {0, 7, 3}, forward[] = {0, 2, LONG};
    assert_lists_refused(&w, (struct vqr_lists){VQR_COLUMN_INT64, ids, NULL}, VQR_ERROR_ARGUMENT, "offsets is NULL");
    assert_lists_refused(&w, (struct vqr_lists){VQR_COLUMN_FLOAT64, ids, forward}, VQR_ERROR_ARGUMENT,
                         "expected lists of int64 or id, found float64");
    assert_lists_refused(&w, (struct vqr_lists){VQR_COLUMN_INT64, ids, back}, VQR_ERROR_ARGUMENT,
                         "event 1, feature \"tags\": its list starts at id 7 and ends at 3");
    assert_lists_refused(&w, (struct vqr_lists){VQR_COLUMN_INT64, NULL, forward}, VQR_ERROR_ARGUMENT,
                         "event 0, feature \"tags\": its list has 2 ids, but values is NULL");
    assert_lists_refused(&w, (struct vqr_lists){VQR_COLUMN_INT64, ids, forward}, VQR_ERROR_RANGE,
                         "event 1, feature \"tags\": the sum of its 4998 ids' rows is ");
    const float image[2 * WIDTH] = {0, 0, 0, 1, -4097, 1};
    const struct vqr_column vectors = {VQR_COLUMN_FLOAT32, image, NULL};
    assert_column_refused(&w, 5, &vectors, VQR_ERROR_RANGE,
                          "event 1, feature \"image\": number 1 of 3 is -4097, expected a finite one of at most 4096");
    assert_int_equal(vqr_state_events(w.state), 0);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms_are_good),    cmocka_unit_test(test_every_header_byte),
        cmocka_unit_test(test_random_damage),     cmocka_unit_test(test_every_small_tensor),
        cmocka_unit_test(test_decay_and_mix),     cmocka_unit_test(test_bad_table_row),
        cmocka_unit_test(test_bad_unknown_row),   cmocka_unit_test(test_vocabulary_damage),
        cmocka_unit_test(test_vocabulary_bounds), cmocka_unit_test(test_vocabulary_probes),
        cmocka_unit_test(test_overflow),          cmocka_unit_test(test_lists_and_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
