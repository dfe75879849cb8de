/* schema/reader.cc: the message of every refusal. */
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

enum { MESSAGE_SIZE = 512, HEADER_MAX = 64 << 20 };

/* Expects the whole message, or its beginning where `expected` ends in "...". */
static void check_message(const char *message, const char *expected)
{
    size_t length = strlen(expected);
    if (length > 3 && strcmp(expected + length - 3, "...") == 0) {
        char start[MESSAGE_SIZE];
        (void)snprintf(start, sizeof(start), "%.*s", (int)(length - 3), message);
        assert_int_equal(strlen(start), length - 3);
        assert_memory_equal(start, expected, length - 3);
    } else {
        assert_string_equal(message, expected);
    }
}

static void refused_bytes(enum vqr_header_status expected_status, const void *data, size_t size, const char *expected)
{
    struct vqr_header header;
    char message[MESSAGE_SIZE] = "";
    assert_int_equal(vqr_header_open(&header, data, size, message, sizeof(message)), expected_status);
    check_message(message, expected);
    assert_null(header.root);
}

static void refused_as(enum vqr_header_status status, const struct model_options *options, const char *expected)
{
    struct model_file file = model_build(options);
    refused_bytes(status, file.data, file.size, expected);
    free(file.data);
}

static void refused(const struct model_options *options, const char *expected)
{
    refused_as(VQR_HEADER_DAMAGED, options, expected);
}

static void accepted(const struct model_options *options)
{
    struct model_file file = model_build(options);
    assert_true(reader_open_any(file.data, file.size));
    free(file.data);
}

/* ---- the frame ---- */

static void test_refuses_by_frame(void **state)
{
    (void)state;
    const struct model_options options = model_options_default();
    struct model_file file = model_build(&options);
    refused_bytes(VQR_HEADER_DAMAGED, NULL, 0, "0 bytes, too short for a model file");
    refused_bytes(VQR_HEADER_DAMAGED, file.data, 11, "11 bytes, too short for a model file");
    const char *unaligned = "the caller's bytes start at an address that is not a multiple of 64";
    refused_bytes(VQR_HEADER_DAMAGED, NULL, 12, unaligned);
    refused_bytes(VQR_HEADER_DAMAGED, file.data + 8, file.size - 8, unaligned);

    uint8_t prefix[4];
    memcpy(prefix, file.data, sizeof(prefix));
    uint32_t wrong[] = {0, 7, HEADER_MAX - 3, UINT32_MAX, HEADER_MAX - 4, (uint32_t)file.size - 3};
    static const char *const messages[] = {
        "damaged: the header says it takes 4 bytes, expected 12 to 67108864",
        "damaged: the header says it takes 11 bytes, expected 12 to 67108864",
        "damaged: the header says it takes 67108865 bytes, expected 12 to 67108864",
        "damaged: the header says it takes 4294967299 bytes, expected 12 to 67108864",
        "truncated: 5248 bytes, the header alone takes 67108864",
        "truncated: 5248 bytes, the header alone takes 5249",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        memcpy(file.data, &wrong[i], sizeof(wrong[i]));
        refused_bytes(VQR_HEADER_DAMAGED, file.data, file.size, messages[i]);
    }
    memcpy(file.data, prefix, sizeof(prefix));

    memcpy(file.data + 8, "\x89P\"\n", 4);
    refused_bytes(VQR_HEADER_DAMAGED, file.data, file.size,
                  "not a model file: identifier \"\\x89P\\x22\\x0a\", expected \"VQRM\"");
    memset(file.data, 0, file.size);
    refused_bytes(VQR_HEADER_DAMAGED, file.data, file.size,
                  "not a model file: identifier \"\\x00\\x00\\x00\\x00\", expected \"VQRM\"");
    free(file.data);
}

static void test_refuses_missing_parts(void **state)
{
    (void)state;
    for (uint32_t part = 0; part < MODEL_PARTS; part++) {
        struct model_options options = model_options_default();
        if (part == MODEL_ATTENTION)
            continue; /* one of two kinds, whose absence the reader reports and the runtime refuses */
        options.leave_out = UINT32_C(1) << part;
        struct model_file file = model_build(&options);
        char expected[MESSAGE_SIZE];
        (void)snprintf(expected, sizeof(expected), "damaged: the header of %zu bytes is not a well-formed FlatBuffer",
                       file.header);
        refused_bytes(VQR_HEADER_DAMAGED, file.data, file.size, expected);
        free(file.data);
    }
}

static void test_refuses_by_version(void **state)
{
    (void)state;
    struct model_options options = model_options_default();
    options.format_version = 0;
    refused(&options, "damaged: format version 0, expected 1 to 6");
    /* A newer file may hold anything that this schema doesn't know: the version must be what is named. */
    options.format_version = VQR_FORMAT_VERSION + 1;
    options.file_length = 1;
    options.sequence_kind = options.activation = options.tensors[0].type = options.tensors[1].layout = 9;
    options.tensors[2].rank = 6;
    options.table_name = MODEL_TEXT("a name with spaces");
    refused_as(VQR_HEADER_NEWER, &options, "format version 7, this vqrank reads up to 6: update vqrank");
    options.format_version = UINT32_MAX;
    refused_as(VQR_HEADER_NEWER, &options, "format version 4294967295, this vqrank reads up to 6: update vqrank");
}

static void test_refuses_by_file_length(void **state)
{
    (void)state;
    struct model_options options = model_options_default();
    options.file_length = 5249;
    refused(&options, "truncated: 5248 bytes, the header says 5249");
    options.file_length = UINT64_MAX;
    refused(&options, "truncated: 5248 bytes, the header says 18446744073709551615");
    options.file_length = 5184;
    refused(&options, "64 bytes after the end: 5248 bytes, the header says 5184");
}

/* ---- strings and lists ---- */

#define NAME_RULE ", expected 1 to 200 printable ASCII characters without spaces"

static void test_refuses_by_name(void **state)
{
    (void)state;
    struct model_options options = model_options_default();
    options.table_name = MODEL_TEXT("");
    refused(&options, "table 0: name \"\"" NAME_RULE);
    options = model_options_default();
    options.feature_name[0] = MODEL_TEXT("two words");
    refused(&options, "user feature 0: name \"two words\"" NAME_RULE);
    options = model_options_default();
    options.feature_name[1] = MODEL_TEXT("caf\xc3\xa9");
    refused(&options, "context feature 0: name \"caf\\xc3\\xa9\"" NAME_RULE);
    options = model_options_default();
    options.feature_name[2] = MODEL_TEXT("\x7f");
    refused(&options, "event feature 0: name \"\\x7f\"" NAME_RULE);
    options = model_options_default();
    options.feature_name[3] = MODEL_TEXT("item\0");
    refused(&options, "candidate feature 0: name \"item\\x00\"" NAME_RULE);
    options = model_options_default();
    options.sequence_name = MODEL_TEXT("long\n");
    refused(&options, "sequence 0: name \"long\\x0a\"" NAME_RULE);
    options = model_options_default();
    options.output_name = MODEL_TEXT("\"quoted\"\\ ");
    refused(&options, "output 0: name \"\\x22quoted\\x22\\x5c \"" NAME_RULE);
    options = model_options_default();
    options.tensors[4].name = MODEL_TEXT("head\0.0.bias");
    refused(&options, "tensor 4: name \"head\\x00.0.bias\"" NAME_RULE);

    char letters[201];
    memset(letters, 'n', sizeof(letters));
    options = model_options_default();
    options.tensors[1].name = (struct model_text){letters, 201};
    refused(&options, "tensor 1: name \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn...\"" NAME_RULE);
    options.tensors[1].name.size = 200;
    accepted(&options);
}

static void test_refuses_by_text(void **state)
{
    (void)state;
    struct model_options options = model_options_default();
    options.name = MODEL_TEXT("two\nlines");
    refused(&options, "model name: control character 0x0a at byte 3");
    options.name = MODEL_TEXT("nul\0");
    refused(&options, "model name: control character 0x00 at byte 3");
    options = model_options_default();
    options.producer = MODEL_TEXT("\x1b[31m");
    refused(&options, "producer: control character 0x1b at byte 0");
    options.producer = MODEL_TEXT("rub\x7f");
    refused(&options, "producer: control character 0x7f at byte 3");
    static char long_text[1001];
    memset(long_text, ' ', sizeof(long_text));
    options = model_options_default();
    options.name = (struct model_text){long_text, sizeof(long_text)};
    refused(&options, "model name: 1001 bytes, expected at most 1000");
    options = model_options_default();
    options.config = MODEL_TEXT("{}\0{}");
    refused(&options, "config: a NUL inside its 5 bytes");
    options = model_options_default();
    options.request = MODEL_TEXT("\0");
    refused(&options, "golden request: a NUL inside its 1 bytes");
    options = model_options_default();
    options.name = MODEL_TEXT("Modell f\xc3\xbcr \xe6\x97\xa5\xe6\x9c\xac");
    accepted(&options);
}

static void test_refuses_by_count(void **state)
{
    (void)state;
    struct model_options options = model_options_default();
    options.tensor_times = VQR_TENSORS_MAX;
    refused(&options, "16388 tensors, expected at most 16384");
    options = model_options_default();
    options.output_times = 4097;
    refused(&options, "4097 outputs, expected at most 4096");
    options = model_options_default();
    options.golden_times = 65;
    refused(&options, "65 golden requests, expected at most 64");
    options = model_options_default();
    options.table_times = 1 << 17;
    refused(&options, "damaged: the header of ...");
}

static void test_refuses_by_golden(void **state)
{
    (void)state;
    struct model_options options = model_options_default();
    options.float64 = 3;
    refused(&options, "golden request 0: 2 bits and 3 float64, expected as many");
    options = model_options_default();
    options.float64_off_by_4 = true;
    refused(&options, "golden request 0: damaged: its outputs are not aligned");
    options.bits = options.float64 = 0; /* then there is nothing to align */
    accepted(&options);
}

/* ---- tensors ---- */

static void refused_tensor(size_t i, struct model_tensor tensor, const char *expected)
{
    struct model_options options = model_options_default();
    tensor.name = options.tensors[i].name;
    options.tensors[i] = tensor;
    refused(&options, expected);
}

static void test_refuses_by_tensor_form(void **state)
{
    (void)state;
    const struct model_options right = model_options_default();
    struct model_tensor tensor = right.tensors[3];
    tensor.type = 5;
    refused_tensor(3, tensor, "tensor 3 \"long.fold\": unknown type 5");
    tensor = right.tensors[3];
    tensor.layout = VQR_QUADS;
    refused_tensor(3, tensor, "tensor 3 \"long.fold\": type F32, expected I8 for Quads");
    tensor.type = VQR_TENSOR_I8; /* [2, 3, 20]: 3 inputs are padded to 4, 20 outputs to 32 */
    refused_tensor(3, tensor, "tensor 3 \"long.fold\": 768 bytes, expected 256 for I8 Quads [2, 3, 20]");
    tensor = right.tensors[3];
    tensor.layout = 255;
    refused_tensor(3, tensor, "tensor 3 \"long.fold\": unknown layout 255");
    tensor = right.tensors[3];
    tensor.rank = 1;
    refused_tensor(3, tensor, "tensor 3 \"long.fold\": rank 1, expected 2 to 4 for Panels");
    tensor.rank = 5;
    refused_tensor(3, tensor, "tensor 3 \"long.fold\": rank 5, expected 2 to 4 for Panels");
    tensor.rank = 0;
    tensor.layout = VQR_PADDED_ROWS;
    refused_tensor(3, tensor, "tensor 3 \"long.fold\": rank 0, expected 1 to 4 for PaddedRows");
    tensor.layout = VQR_ROWS;
    refused_tensor(3, tensor, "tensor 3 \"long.fold\": rank 0, expected 1 to 4 for Rows");
    tensor = right.tensors[3];
    tensor.shape_off_by_4 = true;
    refused_tensor(3, tensor, "tensor 3 \"long.fold\": damaged: its shape is not aligned to 8 bytes");
    tensor = right.tensors[3];
    tensor.shape[0] = 0;
    refused_tensor(3, tensor, "tensor 3 \"long.fold\": dimension 0 of [0, 3, 20] is 0, expected at least 1 for Panels");
    tensor = right.tensors[4];
    tensor.shape[1] = 0;
    refused_tensor(4, tensor,
                   "tensor 4 \"head.0.bias\": dimension 1 of [2, 0] is 0, expected at least 1 for PaddedRows");
    tensor = right.tensors[1];
    tensor.shape[1] = 0;
    refused_tensor(1, tensor,
                   "tensor 1 \"tables.item.keys\": dimension 1 of [4, 0] is 0, expected at least 1 for Rows");
}

static void test_refuses_by_tensor_length(void **state)
{
    (void)state;
    const struct model_options right = model_options_default();
    struct model_tensor tensor = right.tensors[0];
    tensor.length = 64;
    refused_tensor(0, tensor, "tensor 0 \"tables.item.weight\": 64 bytes, expected 60 for F32 Rows [5, 3]");
    tensor.length = 0;
    refused_tensor(0, tensor, "tensor 0 \"tables.item.weight\": 0 bytes, expected 60 for F32 Rows [5, 3]");
    tensor = right.tensors[2];
    tensor.length = 1;
    refused_tensor(2, tensor, "tensor 2 \"tables.item.text\": 1 bytes, expected 0 for U8 Rows [0]");
    tensor = right.tensors[3];
    tensor.type = VQR_TENSOR_U16;
    refused_tensor(3, tensor, "tensor 3 \"long.fold\": 768 bytes, expected 384 for U16 Panels [2, 3, 20]");
    tensor = right.tensors[3];
    tensor.length = 2 * 3 * 20 * 4;
    refused_tensor(3, tensor, "tensor 3 \"long.fold\": 480 bytes, expected 768 for F32 Panels [2, 3, 20]");
    tensor = right.tensors[4];
    tensor.length = 2 * 20 * 4;
    refused_tensor(4, tensor, "tensor 4 \"head.0.bias\": 160 bytes, expected 256 for F32 PaddedRows [2, 20]");

    /* Products and paddings that wrap around, the last to what the length says. */
    tensor = right.tensors[1];
    tensor.shape[0] = tensor.shape[1] = UINT64_C(1) << 32;
    refused_tensor(1, tensor, "tensor 1 \"tables.item.keys\": shape [4294967296, 4294967296] is too large");
    tensor.shape[0] = 0;
    tensor.shape[1] = UINT64_C(1) << 62;
    tensor.length = 0;
    refused_tensor(1, tensor, "tensor 1 \"tables.item.keys\": shape [0, 4611686018427387904] is too large");
    tensor = right.tensors[4];
    tensor.shape[1] = UINT64_MAX;
    refused_tensor(4, tensor, "tensor 4 \"head.0.bias\": shape [2, 18446744073709551615] is too large");
    tensor = right.tensors[1];
    tensor.shape[0] = (UINT64_C(1) << 60) + 4;
    refused_tensor(1, tensor, "tensor 1 \"tables.item.keys\": shape [1152921504606846980, 4] is too large");
    tensor = right.tensors[4];
    tensor.rank = 4;
    tensor.shape[0] = tensor.shape[1] = tensor.shape[2] = tensor.shape[3] = UINT64_MAX;
    refused_tensor(4, tensor,
                   "tensor 4 \"head.0.bias\": shape [18446744073709551615, 18446744073709551615, "
                   "18446744073709551615, 18446744073709551615] is too large");
}

static void test_refuses_by_tensor_place(void **state)
{
    (void)state;
    const struct model_options right = model_options_default();
    struct model_tensor tensor = right.tensors[1];
    tensor.offset = 4164;
    refused_tensor(1, tensor, "tensor 1 \"tables.item.keys\": starts at byte 4164, expected a multiple of 64");
    tensor.offset = 0;
    refused_tensor(1, tensor, "tensor 1 \"tables.item.keys\": starts at byte 0, inside the header of ...");
    tensor.offset = 64;
    refused_tensor(1, tensor, "tensor 1 \"tables.item.keys\": starts at byte 64, inside the header of ...");
    tensor.offset = MODEL_SEGMENTS; /* overlaps the one before */
    refused_tensor(1, tensor, "tensor 1 \"tables.item.keys\": starts at byte 4096, the one before ends at 4156");
    tensor.offset = MODEL_SEGMENTS + 128; /* the one after next starts there */
    refused_tensor(1, tensor, "tensor 2 \"tables.item.text\": starts at byte 4224, the one before ends at 4288");
    struct model_options options = right; /* unsorted, apart */
    options.tensors[3] = right.tensors[4];
    options.tensors[4] = right.tensors[3];
    refused(&options, "tensor 4 \"long.fold\": starts at byte 4224, the one before ends at 5248");

    tensor = right.tensors[4];
    tensor.offset = 5056;
    refused_tensor(4, tensor, "tensor 4 \"head.0.bias\": 256 bytes at byte 5056, the file has 5248");
    tensor.offset = UINT64_C(1) << 63;
    refused_tensor(4, tensor, "tensor 4 \"head.0.bias\": 256 bytes at byte 9223372036854775808, the file has 5248");
    tensor.offset = UINT64_MAX - 63; /* offset + length wraps around */
    refused_tensor(4, tensor, "tensor 4 \"head.0.bias\": 256 bytes at byte 18446744073709551552, the file has 5248");
    tensor = right.tensors[4];
    tensor.shape[0] = UINT64_C(1) << 54;
    tensor.length = UINT64_C(1) << 61;
    refused_tensor(4, tensor, "tensor 4 \"head.0.bias\": 2305843009213693952 bytes at byte 4992, the file has 5248");
}

/* ---- the buffer ---- */

static void test_message_fits_its_buffer(void **state)
{
    (void)state;
    struct vqr_header header;
    assert_int_equal(vqr_header_open(&header, NULL, 0, NULL, 0), VQR_HEADER_DAMAGED);
    char message[8] = "1234567";
    assert_int_equal(vqr_header_open(&header, NULL, 0, message, 0), VQR_HEADER_DAMAGED);
    assert_string_equal(message, "1234567");
    assert_int_equal(vqr_header_open(&header, NULL, 0, message, 1), VQR_HEADER_DAMAGED);
    assert_string_equal(message, "");
    assert_int_equal(vqr_header_open(&header, NULL, 0, message, sizeof(message)), VQR_HEADER_DAMAGED);
    assert_string_equal(message, "0 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_by_frame),        cmocka_unit_test(test_refuses_missing_parts),
        cmocka_unit_test(test_refuses_by_version),      cmocka_unit_test(test_refuses_by_file_length),
        cmocka_unit_test(test_refuses_by_name),         cmocka_unit_test(test_refuses_by_text),
        cmocka_unit_test(test_refuses_by_count),        cmocka_unit_test(test_refuses_by_golden),
        cmocka_unit_test(test_refuses_by_tensor_form),  cmocka_unit_test(test_refuses_by_tensor_length),
        cmocka_unit_test(test_refuses_by_tensor_place), cmocka_unit_test(test_message_fits_its_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
