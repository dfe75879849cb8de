/* Codewords stored per item: they are used, they change no bit, and what is wrong with them is refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hostile_run.h"

enum { CANDIDATES = 5, EVENTS = 150, ITEM = 0, WORD = 1 };

/* Sequences of both kinds that codewords are stored of, and of others beside them. */
static struct runtime_options all_kinds(void)
{
    struct runtime_options o = runtime_options_default();
    o.ids_only = o.assignments.stored = true;
    o.sequences = 2;
    o.vql_sequences = o.sdim_sequences = o.hstu_sequences = o.short_sequences = 1;
    return o;
}

static struct runtime_options without(struct runtime_options o)
{
    o.assignments.stored = false;
    return o;
}

/* ---- what the library computes, put where it is stored ---- */

/* The rows of words that row `item` determines, or NULL where every word goes with every item. */
static const uint32_t *determined(const struct runtime_options *o, struct runtime_file file, size_t item)
{
    return o->assignments.determined_count ? hostile_words(file, "assignments.determined") + item : NULL;
}

static void put_word(struct values *events, size_t event, uint32_t row)
{
    size_t count;
    const struct vqr_id *words = runtime_words(&count);
    events->present[WORD][event] = row != 0 && row <= count;
    if (events->present[WORD][event])
        ((struct vqr_id *)events->column_values[WORD])[event] = words[row - 1];
}

/* An event of each combination, in the order of their numbers. */
static struct values *combinations(const struct runtime_options *o, const vqr_model *model, struct runtime_file file)
{
    size_t words;
    runtime_words(&words);
    const size_t each = o->assignments.determined_count ? 1 : words + 1, count = (size_t)o->items * each;
    struct values *events = values_new(model, VQR_EVENT, count, 1);
    for (size_t i = 0; i < count; i++) {
        const uint32_t *word = determined(o, file, i / each);
        ((int64_t *)events->column_values[ITEM])[i] = (int64_t)(i / each);
        events->present[ITEM][i] = 1;
        put_word(events, i, word ? *word : (uint32_t)(i % each));
    }
    return events;
}

/* Of sequence i, which is called that. */
static void store(const struct runtime_options *o, struct runtime_file file, const char *name, size_t i)
{
    const struct runtime_options plain = without(*o);
    struct world w = world_new(&plain, NULL, 1);
    struct values *events = combinations(o, w.model, file);
    const size_t codebooks = vqr_sequence_codebooks(w.model, i), count = events->rows.rows;
    uint32_t *z = calloc(codebooks * count, sizeof *z);
    struct vqr_error error;
    assert_int_equal(vqr_assign(w.session, i, &events->rows, z, &error), VQR_OK);
    char tensor[64];
    snprintf(tensor, sizeof tensor, "sequences.%s.assignments", name);
    const struct vqr_header_tensor stored = hostile_tensor(file, tensor);
    assert_int_equal(stored.length, codebooks * count * (stored.type == VQR_TENSOR_U16 ? 2 : 1));
    for (size_t at = 0; at < codebooks * count; at++) {
        const uint32_t codeword = z[at % codebooks * count + at / codebooks];
        if (stored.type == VQR_TENSOR_U16)
            ((uint16_t *)(void *)(file.data + stored.offset))[at] = (uint16_t)codeword;
        else
            file.data[stored.offset + at] = (uint8_t)codeword;
    }
    free(z);
    values_free(events);
    world_free(&w);
}

static void store_all(const struct runtime_options *o, struct runtime_file file)
{
    store(o, file, "long", 0);
    store(o, file, "long1", 1);
    store(o, file, "keys", 2);
}

/* Random events, of which about half have the word of their item. */
static struct values *history(const struct runtime_options *o, const vqr_model *model, struct runtime_file file,
                              uint64_t seed)
{
    struct values *events = values_new(model, VQR_EVENT, EVENTS, seed);
    for (size_t i = 0; i < EVENTS; i++) {
        const int64_t item = events->present[ITEM][i] ? ((int64_t *)events->column_values[ITEM])[i] : 0;
        const size_t row = item < 0 || (uint64_t)item >= o->items ? 0 : (size_t)item;
        const uint32_t *word = determined(o, file, row);
        if (word && random_below(&seed, 2))
            put_word(events, i, *word);
    }
    return events;
}

/* ---- what is stored changes nothing ---- */

static void assert_same_codewords(struct world *a, struct world *b, const struct vqr_rows *events)
{
    static uint32_t x[64 * EVENTS], y[64 * EVENTS];
    struct vqr_error error;
    for (size_t i = 0; i < 4; i++) {
        const size_t count = vqr_sequence_codebooks(a->model, i) * events->rows;
        assert_in_range(count, 1, sizeof x / sizeof *x);
        assert_int_equal(vqr_assign(a->session, i, events, x, &error), VQR_OK);
        assert_int_equal(vqr_assign(b->session, i, events, y, &error), VQR_OK);
        assert_memory_equal(x, y, count * sizeof *x);
    }
}

static void assert_no_difference(const struct runtime_options *o, const char *isa)
{
    const struct runtime_options plain = without(*o);
    struct world computed = world_new(&plain, isa, CANDIDATES), stored = world_new(o, isa, CANDIDATES);
    struct vqr_error error;
    store_all(o, stored.file);
    assert_int_equal(vqr_model_verify(stored.model, &error), VQR_OK);
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct values *events = history(o, computed.model, stored.file, seed);
        assert_same_codewords(&computed, &stored, &events->rows);
        encode(&computed, &events->rows);
        encode(&stored, &events->rows);
        float *x = scores(&computed), *y = scores(&stored);
        assert_same_scores(&computed, x, y);
        free(x);
        free(y);
        values_free(events);
    }
    world_free(&computed);
    world_free(&stored);
}

static void test_no_bit_depends_on_what_is_stored(void **state)
{
    (void)state;
    const char *isa;
    for (size_t i = 0; (isa = usable_isa(i)) != NULL; i++)
        for (uint8_t form = 0; form < 12; form++) {
            struct runtime_options o = all_kinds();
            o.int8.scores = form % 3; /* fp32, int8, exact */
            o.int8.kept = 2;
            o.int8.tables = form / 3 % 2;
            o.assignments.determined_count = form / 6;
            o.assignments.key = form / 6 ? 0 : -1;
            o.codewords = form % 2 ? 300 : 20; /* more than a byte holds */
            o.seed = 10 + form;
            assert_no_difference(&o, isa);
        }
}

/* ---- it is used, for the events that it is for ---- */

/* The codeword of one event in codebook 0 of sequence "long". */
static uint32_t codeword(struct world *w, int64_t item, uint32_t word)
{
    struct values *event = values_new(w->model, VQR_EVENT, 1, 1);
    uint32_t z[2];
    struct vqr_error error;
    ((int64_t *)event->column_values[ITEM])[0] = item;
    event->present[ITEM][0] = 1;
    put_word(event, 0, word);
    assert_int_equal(vqr_assign(w->session, 0, &event->rows, z, &error), VQR_OK);
    values_free(event);
    return z[0];
}

static void test_stored_codewords_are_used(void **state)
{
    (void)state;
    const struct runtime_options o = all_kinds(), plain = without(o);
    struct world computed = world_new(&plain, NULL, 1), stored = world_new(&o, NULL, 1);
    store_all(&o, stored.file);
    uint8_t *z = stored.file.data + hostile_tensor(stored.file, "sequences.long.assignments").offset;
    for (size_t i = 0; i < o.items * o.codebooks; i++)
        z[i] = (uint8_t)((z[i] + 1) % o.codewords); /* wrong everywhere */
    for (int64_t item = 0; item < (int64_t)o.items; item++) {
        const uint32_t word = *determined(&o, stored.file, (size_t)item);
        for (uint32_t other = 0; other < 16; other++) {
            const uint32_t right = codeword(&computed, item, other);
            assert_int_equal(codeword(&stored, item, other), other == word ? (right + 1) % o.codewords : right);
        }
    }
    world_free(&computed);
    world_free(&stored);
}

/* ---- what is refused ---- */

CHANGE(key_none, o->assignments.key = -1)
CHANGE(key_least, o->assignments.key = INT32_MIN)
CHANGE(key_time, o->assignments.key = 2)
CHANGE(key_past, o->assignments.key = 3)
CHANGE(key_itself, o->assignments.key = 1)
CHANGE(determined_itself, o->assignments.determined[0] = 0)
CHANGE(determined_time, o->assignments.determined[0] = 2)
CHANGE(determined_past, o->assignments.determined[0] = UINT32_MAX)
CHANGE(determined_twice, o->assignments.determined[1] = 1; o->assignments.determined_count = 2)
CHANGE(determined_none, o->assignments.determined_count = 0)
CHANGE(determined_none_without_key, o->assignments.determined_count = 0; o->assignments.key = -1)
CHANGE(not_stored, o->assignments.stored = false)

static void test_configuration_unlike_tensors(void **state)
{
    (void)state;
    static const struct change changes[] = {
        {"assignments: feature -1 determines 1 others", key_none},
        {"assignments: feature -2147483648 determines 1", key_least},
        {"assignments: feature 2 determines 1", key_time},
        {"assignments: feature 3 determines 1", key_past},
        {"determined feature 0 is 1, expected ids of events in ascending order, without the key", key_itself},
        {"determined feature 0 is 0", determined_itself},
        {"determined feature 0 is 2", determined_time},
        {"determined feature 0 is 4294967295", determined_past},
        {"determined feature 1 is 1", determined_twice},
        {"assignments: feature 0 determines 0 others", determined_none},
        {"tensor \"sequences.long.assignments\": expected shape [640, 2], found [40, 2]", determined_none_without_key},
        {"tensors, its configuration reads", not_stored},
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct runtime_options says = all_kinds();
        changes[i].apply(&says);
        const struct runtime_options tensors = all_kinds();
        assert_refused(&tensors, &says, changes[i].says);
    }
}

/* Features that are no ids, parts that are missing, more combinations and codewords than have numbers. */
static void test_models_that_do_not_fit(void **state)
{
    (void)state;
    struct runtime_options o = all_kinds(), says;
    o.tags = true;
    assert_refused(&o, &o, "assignments: event feature \"tags\" is not an id");
    o = all_kinds();
    o.without_tensor = "sequences.keys.assignments";
    assert_refused(&o, &o, "tensor \"sequences.keys.assignments\" is missing");
    o.without_tensor = "assignments.determined";
    assert_refused(&o, &o, "tensor \"assignments.determined\" is missing");
    o = all_kinds();
    o.items = o.spare_rows = 70000;
    o.item_ids = o.word_ids = VQR_IDS_HASH;
    says = o;
    says.assignments.determined_count = 0;
    says.assignments.key = -1;
    assert_refused(&o, &says, "assignments: more than 2^32 - 1 combinations");
    o = all_kinds();
    o.sequences = 1;
    o.hstu.layers = 0;
    o.codewords = 65537;
    assert_refused(&o, &o, "sequence \"long\" has a codebook of 65537 codewords, expected at most 65536");
}

static void assert_unverified(vqr_model *model, const char *says)
{
    struct vqr_error error;
    assert_refusal(VQR_ERROR_TABLE, vqr_model_verify(model, &error), &error);
    assert_says(&error, says);
}

/* A codeword that there is not: only events that it is stored for are refused, and leave the state as it was. */
static void test_damaged_codewords(void **state)
{
    (void)state;
    const struct runtime_options o = all_kinds();
    struct world w = world_new(&o, NULL, CANDIDATES);
    store_all(&o, w.file);
    struct values *events = history(&o, w.model, w.file, 5);
    int64_t *items = events->column_values[ITEM];
    for (size_t i = 0; i < EVENTS; i++)
        items[i] = items[i] == 9 ? 10 : items[i];
    items[100] = 9;
    events->present[ITEM][100] = 1;
    put_word(events, 100, *determined(&o, w.file, 9));
    struct vqr_column columns[VALUES_COLUMNS];
    const struct vqr_rows sound = values_part(events, 0, 100, columns);
    encode(&w, &sound);
    float *before = scores(&w);

    w.file.data[hostile_tensor(w.file, "sequences.long1.assignments").offset + 9 * o.codebooks + 1] = 20;
    assert_unverified(w.model, "sequence \"long1\": combination 9 has codeword 20 stored in codebook 1");
    struct vqr_error error;
    assert_refusal(VQR_ERROR_TABLE, vqr_append(w.session, w.state, &events->rows, NULL, &error), &error);
    assert_says(&error, "event 100: sequence \"long1\", codebook 1: codeword 20 is stored, expected less than 20");
    float *after = scores(&w);
    assert_same_scores(&w, before, after);
    free(after);
    put_word(events, 100, (*determined(&o, w.file, 9) + 1) % 16); /* not the event that it is stored for */
    append(&w, &events->rows);
    values_free(events);
    free(before);
    world_free(&w);
}

/* A row that the determined feature does not have is no event's; a mark in one column of two is none. */
static void test_damaged_rows(void **state)
{
    (void)state;
    const struct runtime_options o = all_kinds();
    struct world w = world_new(&o, NULL, 1);
    uint32_t *rows = hostile_words(w.file, "assignments.determined");
    const uint32_t right = rows[9], z = codeword(&w, 9, right);
    struct vqr_error error;
    assert_int_equal(vqr_model_verify(w.model, &error), VQR_OK);
    rows[9] = 16;
    assert_unverified(w.model, "row 9 of event feature \"item\" determines row 16 of \"word\", expected less than 16");
    const struct runtime_options plain = without(o);
    struct world computed = world_new(&plain, NULL, 1);
    assert_int_equal(z, 0); /* as stored */
    assert_int_equal(codeword(&w, 9, right), codeword(&computed, 9, right));
    rows[9] = UINT32_MAX;
    assert_int_equal(vqr_model_verify(w.model, &error), VQR_OK);
    assert_int_equal(codeword(&w, 9, right), codeword(&computed, 9, right));
    world_free(&computed);
    world_free(&w);
}

/* Whatever bytes are stored, nothing outside the state is written. */
static void test_any_bytes(void **state)
{
    (void)state;
    static const char *const tensors[] = {"assignments.determined", "sequences.long.assignments",
                                          "sequences.keys.assignments"};
    uint64_t random = 3;
    for (int form = 0; form < 4; form++) {
        struct runtime_options o = all_kinds();
        o.codewords = form % 2 ? 300 : 20;
        o.assignments.determined_count = form / 2;
        o.assignments.key = form / 2 ? 0 : -1;
        hostile_run_good(runtime_build(&o));
        for (int i = 0; i < 20; i++) {
            struct runtime_file file = runtime_build(&o);
            for (size_t t = o.assignments.determined_count ? 0 : 1; t < 3; t++) {
                const struct vqr_header_tensor tensor = hostile_tensor(file, tensors[t]);
                for (size_t at = 0; at < tensor.length; at++)
                    if (random_below(&random, 3) == 0)
                        file.data[tensor.offset + at] = (uint8_t)random_next(&random);
            }
            assert_true(hostile_run(file.data, file.size));
            free(file.data);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_bit_depends_on_what_is_stored),
        cmocka_unit_test(test_stored_codewords_are_used),
        cmocka_unit_test(test_configuration_unlike_tensors),
        cmocka_unit_test(test_models_that_do_not_fit),
        cmocka_unit_test(test_damaged_codewords),
        cmocka_unit_test(test_damaged_rows),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
