/* Builds small model files in memory for tests, right or wrong in one place at a time: change what
 * model_options_default returns, then model_build. C++ behind it (FlatBuffers' generated builder), for tests only. */
#ifndef VQR_TESTS_MODEL_BUILDER_H
#define VQR_TESTS_MODEL_BUILDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    MODEL_SEGMENTS = 4096, /* where the first segment of the default model starts */
    MODEL_TENSORS = 5,
    MODEL_RANK_MAX = 6,
};

/* What the schema requires, to be left out one by one. */
enum model_part {
    MODEL_NAME,
    MODEL_HEAD,
    MODEL_TENSOR_LIST,
    MODEL_TENSOR_NAME,
    MODEL_TENSOR_SHAPE,
    MODEL_TABLE_NAME,
    MODEL_FEATURE_NAME,
    MODEL_SEQUENCE_NAME,
    MODEL_SEQUENCE_KIND,
    MODEL_HSTU,
    MODEL_ATTENTION,
    MODEL_OUTPUTS,
    MODEL_REQUEST,
    MODEL_BITS,
    MODEL_FLOAT64,
    MODEL_PARTS,
    MODEL_ASSIGNMENTS = MODEL_PARTS, /* which the schema does not require */
};

struct model_text {
    const char *bytes; /* NULL: left out */
    size_t size;
};

/* Of a string literal, which may hold NULs. */
#ifdef __cplusplus
#define MODEL_TEXT(literal) (model_text{literal, sizeof(literal) - 1})
#else
#define MODEL_TEXT(literal) ((struct model_text){literal, sizeof(literal) - 1})
#endif

struct model_tensor {
    struct model_text name;
    uint8_t type, layout;
    size_t rank;
    uint64_t shape[MODEL_RANK_MAX];
    uint64_t offset, length;
    bool shape_off_by_4; /* the shape's elements at an address that is not a multiple of 8 */
};

struct model_options {
    uint32_t format_version;
    uint64_t file_length; /* 0: the true one */
    struct model_text name, producer, config;
    struct model_text table_name, feature_name[4], sequence_name, output_name, request;
    uint8_t ids, feature_kind, sequence_kind, empty, activation;
    uint8_t activate, alpha, bias, normalize, norm, output;
    struct model_tensor tensors[MODEL_TENSORS];
    size_t bits, float64; /* elements */
    bool float64_off_by_4;
    bool lists_empty;   /* every list that may be: there, with no elements */
    bool lists_absent;  /* every list that may be: not there */
    uint32_t leave_out; /* 1 << enum model_part, or 0 */
    /* How often the one table, output and golden request and the first tensor are listed, by repeated reference. */
    size_t table_times, output_times, golden_times, tensor_times;
};

struct model_options model_options_default(void);

struct model_file {
    uint8_t *data; /* aligned to 64, `size` bytes and none after: free() it */
    size_t size;
    size_t header; /* bytes of the header */
};

/* Header, then zeros up to the last segment's end. Aborts when memory runs out. */
struct model_file model_build(const struct model_options *options);

#ifdef __cplusplus
}
#endif
#endif
