/* schema/reader.cc: what it reads from a right file, and files damaged in every way that can be enumerated. Damage may
 * leave a legal file; then every accessor must stay in bounds, which reader_walk checks and the sanitizers below it.
 * The messages of refusals are in test_reader_refusals.c. */
#define _POSIX_C_SOURCE 200809L /* posix_memalign */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "schema/reader.h"
#include "tests/model_builder.h"
#include "tests/reader_walk.h"

enum { MESSAGE_SIZE = 512 };

/* ---- a right file ---- */

static struct model_file build_default(void)
{
    struct model_options options = model_options_default();
    return model_build(&options);
}

static struct vqr_header opened(struct model_file file)
{
    struct vqr_header header;
    char message[MESSAGE_SIZE] = "";
    enum vqr_header_status status = vqr_header_open(&header, file.data, file.size, message, sizeof(message));
    assert_string_equal(message, "");
    assert_int_equal(status, VQR_HEADER_OK);
    (void)reader_walk(&header);
    return header;
}

static void test_reads_model_and_head(void **state)
{
    (void)state;
    struct model_file file = build_default();
    struct vqr_header header = opened(file);
    assert_ptr_equal(header.data, file.data);
    assert_int_equal(header.size, file.size);
    struct vqr_header_info info;
    vqr_header_info(&header, &info);
    assert_string_equal(info.name, "an example");
    assert_string_equal(info.producer, "model_builder");
    assert_string_equal(info.config, "{\n}");
    assert_int_equal(info.format_version, 1);
    assert_int_equal(info.header_bytes, file.header);
    assert_int_equal(info.tables, 1);
    assert_int_equal(info.sequences, 1);
    assert_int_equal(info.tensors, MODEL_TENSORS);
    assert_int_equal(info.goldens, 1);
    struct vqr_header_head head;
    vqr_header_head(&header, &head);
    assert_int_equal(head.hidden_count, 2);
    assert_int_equal(head.output_count, 1);
    assert_int_equal(head.activation, VQR_RELU);
    assert_int_equal(vqr_header_hidden(&header, 0), 8);
    assert_int_equal(vqr_header_hidden(&header, 1), 4);
    assert_string_equal(vqr_header_output(&header, 0), "click");
    struct vqr_header_golden golden;
    vqr_header_golden(&header, 0, &golden);
    assert_string_equal(golden.request, "{\"id\": 1}");
    assert_int_equal(golden.count, 2);
    assert_int_equal(golden.bits[1], 0x3f000001);
    assert_true(golden.float64[1] == 1.5);
    free(file.data);
}

static void test_reads_inputs(void **state)
{
    (void)state;
    struct model_file file = build_default();
    struct vqr_header header = opened(file);
    struct vqr_header_table table;
    vqr_header_table(&header, 0, &table);
    assert_string_equal(table.name, "item");
    assert_int_equal(table.rows, 5);
    assert_int_equal(table.dim, 3);
    assert_int_equal(table.ids, VQR_IDS_VOCABULARY);
    assert_int_equal(table.keys, 4);
    assert_int_equal(table.max_probe, 2);
    static const char *const names[4] = {"age", "place", "item", "candidate-item"};
    for (size_t group = 0; group < 4; group++) {
        struct vqr_header_feature feature;
        vqr_header_feature(&header, group, 0, &feature);
        assert_string_equal(feature.name, names[group]);
        assert_int_equal(feature.kind, VQR_KIND_ID);
        assert_int_equal(feature.width, 3 + group);
        assert_int_equal(feature.table, 0);
        assert_true(feature.mean == 0.5 && feature.std == 2);
        assert_int_equal(feature.exponent, 18);
    }
    free(file.data);
}

static void test_reads_sequence(void **state)
{
    (void)state;
    struct model_file file = build_default();
    struct vqr_header header = opened(file);
    struct vqr_header_sequence sequence;
    vqr_header_sequence(&header, 0, &sequence);
    assert_string_equal(sequence.name, "long");
    assert_int_equal(sequence.kind, VQR_SEQUENCE_DMQN);
    assert_int_equal(sequence.codebooks, 2);
    assert_int_equal(sequence.codewords, 20);
    assert_int_equal(sequence.empty, VQR_EMPTY_MASKED);
    const struct vqr_header_hstu *hstu = &sequence.hstu;
    assert_true(hstu->layers == 1 && hstu->heads == 2 && hstu->qk_dim == 3 && hstu->v_dim == 4);
    assert_true(hstu->pre_norm && !hstu->affine && hstu->residual && hstu->share);
    assert_int_equal(hstu->bias, VQR_BIAS_PER_HEAD);
    assert_int_equal(hstu->normalize_constant, 128);
    assert_true(hstu->eps == 0.25f);
    const struct vqr_header_attention *attention = &sequence.attention;
    assert_true(attention->heads == 5 && attention->dim == 6 && attention->out == 7);
    assert_true(attention->share && attention->count_bias);
    free(file.data);
}

static void test_reads_tensors(void **state)
{
    (void)state;
    struct model_options options = model_options_default();
    struct model_file file = model_build(&options);
    struct vqr_header header = opened(file);
    for (size_t i = 0; i < MODEL_TENSORS; i++) {
        struct vqr_header_tensor tensor;
        vqr_header_tensor(&header, i, &tensor);
        assert_string_equal(tensor.name, options.tensors[i].name.bytes);
        assert_int_equal(tensor.type, options.tensors[i].type);
        assert_int_equal(tensor.layout, options.tensors[i].layout);
        assert_int_equal(tensor.rank, options.tensors[i].rank);
        assert_memory_equal(tensor.shape, options.tensors[i].shape, tensor.rank * sizeof(uint64_t));
        assert_int_equal(tensor.offset, options.tensors[i].offset);
        assert_int_equal(tensor.length, options.tensors[i].length);
    }
    free(file.data);
}

static void test_reads_assignments(void **state)
{
    (void)state;
    struct model_options options = model_options_default();
    for (int list = 0; list < 2; list++) {
        options.lists_absent = !list;
        struct model_file file = model_build(&options);
        struct vqr_header header = opened(file);
        struct vqr_header_assignments stored;
        assert_true(vqr_header_assignments(&header, &stored));
        assert_int_equal(stored.key, -7);
        assert_int_equal(stored.determined, list ? 2 : 0);
        if (list)
            assert_true(vqr_header_determined(&header, 0) == 3 && vqr_header_determined(&header, 1) == UINT32_MAX);
        free(file.data);
    }
    options.leave_out = 1 << MODEL_ASSIGNMENTS;
    struct model_file file = model_build(&options);
    struct vqr_header header = opened(file);
    struct vqr_header_assignments stored = {.key = 5};
    assert_false(vqr_header_assignments(&header, &stored));
    assert_int_equal(stored.key, 5);
    free(file.data);
}

static void test_lists_may_be_empty_or_absent(void **state)
{
    (void)state;
    for (int absent = 0; absent < 2; absent++) {
        struct model_options options = model_options_default();
        options.lists_absent = absent;
        options.lists_empty = !absent;
        options.producer.bytes = options.config.bytes = NULL;
        struct model_file file = model_build(&options);
        struct vqr_header header = opened(file);
        struct vqr_header_info info;
        vqr_header_info(&header, &info);
        assert_string_equal(info.producer, "");
        assert_string_equal(info.config, "");
        assert_true(info.tables == 0 && info.sequences == 0 && info.tensors == 0 && info.goldens == 0);
        struct vqr_header_head head;
        vqr_header_head(&header, &head);
        assert_true(head.hidden_count == 0 && head.output_count == 0);
        free(file.data);
    }
}

/* The runtime refuses these, each by name: the reader hands them on as they are. */
static void test_unknown_values_are_handed_on(void **state)
{
    (void)state;
    struct model_options options = model_options_default();
    options.ids = options.feature_kind = options.empty = options.activation = 99;
    options.activate = options.alpha = options.bias = options.normalize = options.norm = options.output = 99;
    struct model_file file = model_build(&options);
    struct vqr_header header = opened(file);
    struct vqr_header_table table;
    struct vqr_header_feature feature;
    struct vqr_header_sequence sequence;
    struct vqr_header_head head;
    vqr_header_table(&header, 0, &table);
    vqr_header_feature(&header, 2, 0, &feature);
    vqr_header_sequence(&header, 0, &sequence);
    vqr_header_head(&header, &head);
    const struct vqr_header_hstu *hstu = &sequence.hstu;
    assert_true(table.ids == 99 && feature.kind == 99 && sequence.empty == 99 && head.activation == 99);
    assert_true(hstu->activate == 99 && hstu->alpha == 99 && hstu->bias == 99 && hstu->normalize == 99);
    assert_true(hstu->norm == 99 && hstu->output == 99);
    free(file.data);

    static const uint8_t kinds[] = {0, 4, 255};
    for (size_t i = 0; i < sizeof(kinds); i++) {
        options = model_options_default();
        options.sequence_kind = kinds[i];
        file = model_build(&options);
        header = opened(file);
        vqr_header_sequence(&header, 0, &sequence);
        assert_int_equal(sequence.kind, kinds[i]);
        assert_string_equal(sequence.name, "long");
        assert_true(sequence.codebooks == 0 && sequence.hstu.layers == 0 && sequence.attention.heads == 0);
        free(file.data);
    }
}

/* ---- the functions that take no file ---- */

static void test_layout_elements(void **state)
{
    (void)state;
    static const struct {
        enum vqr_layout layout;
        size_t rank;
        uint64_t shape[VQR_TENSOR_RANK_MAX];
        uint64_t expected;
    } cases[] = {
        {VQR_ROWS, 1, {7}, 7},
        {VQR_ROWS, 4, {2, 3, 4, 5}, 120},
        {VQR_ROWS, 2, {0, 4}, 0},
        {VQR_ROWS, 1, {UINT64_MAX}, UINT64_MAX},
        {VQR_ROWS, 2, {UINT64_MAX, 2}, 0},
        {VQR_PADDED_ROWS, 1, {1}, 16},
        {VQR_PADDED_ROWS, 1, {16}, 16},
        {VQR_PADDED_ROWS, 2, {3, 17}, 96},
        {VQR_PADDED_ROWS, 1, {UINT64_MAX - 15}, UINT64_MAX - 15},
        {VQR_PADDED_ROWS, 1, {UINT64_MAX - 14}, 0},
        {VQR_PANELS, 2, {5, 1}, 80},
        {VQR_PANELS, 3, {2, 5, 33}, 480},
        {VQR_PANELS, 3, {UINT64_C(1) << 30, UINT64_C(1) << 30, 16}, 0},
        {VQR_PANELS, 1, {16}, 0},
        {VQR_ROWS, 0, {0}, 0},
        {VQR_QUADS, 2, {5, 1}, 128},
        {VQR_QUADS, 3, {2, 4, 33}, 384},
        {VQR_QUADS, 2, {UINT64_MAX - 2, 16}, 0},
        {VQR_QUADS, 1, {16}, 0},
        {(enum vqr_layout)4, 1, {16}, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_true(vqr_layout_elements(cases[i].layout, cases[i].rank, cases[i].shape) == cases[i].expected);
    static const uint64_t five[5] = {1, 1, 1, 1, 1};
    assert_true(vqr_layout_elements(VQR_ROWS, 5, five) == 0);
}

static void test_names_of_enum_values(void **state)
{
    (void)state;
    assert_string_equal(vqr_tensor_type_name(VQR_TENSOR_F32), "F32");
    assert_string_equal(vqr_tensor_type_name(VQR_TENSOR_U32), "U32");
    assert_string_equal(vqr_tensor_type_name(VQR_TENSOR_I8), "I8");
    assert_string_equal(vqr_tensor_type_name(VQR_TENSOR_U16), "U16");
    assert_string_equal(vqr_tensor_type_name(5), "unknown");
    assert_string_equal(vqr_tensor_type_name(-1), "unknown");
    assert_string_equal(vqr_tensor_type_name(256), "unknown");
    assert_string_equal(vqr_layout_name(VQR_ROWS), "Rows");
    assert_string_equal(vqr_layout_name(VQR_PANELS), "Panels");
    assert_string_equal(vqr_layout_name(VQR_QUADS), "Quads");
    assert_string_equal(vqr_layout_name(4), "unknown");
    assert_string_equal(vqr_layout_name(-256), "unknown");
}

/* ---- damaged files ---- */

/* Small files of different forms; the one of empty lists ends with its header, so that a read past that is seen. */
enum { FORMS = 3 };

static struct model_file build_form(size_t form)
{
    struct model_options options = model_options_default();
    options.lists_empty = form == 1;
    options.output_times = options.table_times = form == 2 ? 3 : 1;
    options.tensors[0].name = form == 2 ? MODEL_TEXT("a") : options.tensors[0].name;
    return model_build(&options);
}

/* The first `size` bytes of a file in memory of their own, with nothing after them. */
static uint8_t *copy_of(const uint8_t *data, size_t size)
{
    void *copy = NULL;
    assert_int_equal(posix_memalign(&copy, VQR_SEGMENT_ALIGN, size), 0);
    memcpy(copy, data, size);
    return copy;
}

static void test_every_length(void **state)
{
    (void)state;
    for (size_t form = 0; form < FORMS; form++) {
        struct model_file file = build_form(form);
        for (size_t size = 1; size < file.size; size++) {
            uint8_t *copy = copy_of(file.data, size);
            assert_false(reader_open_any(copy, size));
            free(copy);
        }
        assert_true(reader_open_any(file.data, file.size));
        free(file.data);
    }
}

/* A size prefix that agrees with a cut header leaves it to the verifier. */
static void test_every_header_length(void **state)
{
    (void)state;
    struct model_file file = build_form(1);
    for (uint32_t size = 12; size < file.header; size++) {
        uint8_t *copy = copy_of(file.data, size);
        memcpy(copy, &(uint32_t){size - 4}, 4);
        assert_false(reader_open_any(copy, size));
        free(copy);
    }
    free(file.data);
}

static void test_every_bit(void **state)
{
    (void)state;
    for (size_t form = 0; form < FORMS; form++) {
        struct model_file file = build_form(form);
        size_t opened_count = 0;
        for (size_t bit = 0; bit < 8 * file.header; bit++) {
            file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            opened_count += reader_open_any(file.data, file.size);
            file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        assert_in_range(opened_count, 1, 8 * file.header - 1);
        free(file.data);
    }
}

/* Counts, offsets and halves of 64-bit values at their extremes. */
static void test_every_word(void **state)
{
    (void)state;
    static const uint32_t words[] = {0,          1,          2,          4,          0xffff,     0x10000,
                                     0x1fffffff, 0x20000000, 0x3fffffff, 0x40000000, 0x7fffffff, 0x80000000,
                                     0x80000001, 0xfffffff0, 0xfffffffc, 0xffffffff};
    for (size_t form = 0; form < FORMS; form++) {
        struct model_file file = build_form(form);
        for (size_t at = 0; at + 4 <= file.header; at += 2) {
            uint8_t right[4];
            memcpy(right, file.data + at, 4);
            for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
                memcpy(file.data + at, &words[i], 4);
                (void)reader_open_any(file.data, file.size);
            }
            memcpy(file.data + at, right, 4);
        }
        free(file.data);
    }
}

/* xorshift64: the same files every time. */
static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* Changes one place after the identifier: to a random byte, a nearby one or a copy of four bytes from elsewhere. */
static void damage(uint8_t *data, size_t header, uint64_t *random)
{
    size_t at = 12 + next_random(random) % (header - 12);
    switch (next_random(random) % 3) {
    case 0:
        data[at] = (uint8_t)next_random(random);
        break;
    case 1:
        data[at] = (uint8_t)(data[at] + next_random(random) % 17 - 8);
        break;
    default:
        memmove(data + at / 4 * 4, data + next_random(random) % (header / 4) * 4, 4);
        break;
    }
}

static void test_random_damage(void **state)
{
    (void)state;
    enum { FILES = 20000 };
    uint64_t random = UINT64_C(0x9e3779b97f4a7c15);
    size_t opened_count = 0;
    for (size_t form = 0; form < FORMS; form++) {
        struct model_file file = build_form(form);
        uint8_t *copy = copy_of(file.data, file.size);
        for (size_t i = 0; i < FILES / FORMS; i++) {
            memcpy(copy, file.data, file.header);
            for (size_t places = 1 + next_random(&random) % 8; places > 0; places--)
                damage(copy, file.header, &random);
            opened_count += reader_open_any(copy, file.size);
        }
        free(copy);
        free(file.data);
    }
    assert_in_range(opened_count, FILES / 100, FILES - FILES / 100); /* both ways out are taken often */
}

/* Bytes with nothing right in them but the frame. */
static void test_random_bytes(void **state)
{
    (void)state;
    enum { FILES = 2000, SIZE = 256 };
    uint64_t random = 1;
    uint8_t *data = copy_of((const uint8_t[SIZE]){0}, SIZE);
    for (size_t i = 0; i < FILES; i++) {
        for (size_t at = 0; at < SIZE; at++)
            data[at] = next_random(&random) % 4 == 0 ? (uint8_t)next_random(&random) : 0;
        memcpy(data, &(uint32_t){SIZE - 4}, 4);
        memcpy(data + 4, &(uint32_t){(uint32_t)(8 + next_random(&random) % 61 * 4)}, 4);
        memcpy(data + 8, "VQRM", 4);
        assert_false(reader_open_any(data, SIZE));
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads_model_and_head),
        cmocka_unit_test(test_reads_inputs),
        cmocka_unit_test(test_reads_sequence),
        cmocka_unit_test(test_reads_tensors),
        cmocka_unit_test(test_reads_assignments),
        cmocka_unit_test(test_lists_may_be_empty_or_absent),
        cmocka_unit_test(test_unknown_values_are_handed_on),
        cmocka_unit_test(test_layout_elements),
        cmocka_unit_test(test_names_of_enum_values),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_every_header_length),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_every_word),
        cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_random_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
