/* The header of a model file as plain C values: a C face on FlatBuffers' generated reader and verifier.
 *
 * vqr_header_open proves that every access below stays inside the header, that every segment lies inside the file,
 * aligned and apart from the others, and that its length is what type, layout and shape ask for. What the values mean
 * together (that shapes fit the configuration, that numbers are finite) is checked in runtime/.
 *
 * Strings are NUL-terminated and live as long as the bytes. No function allocates. */
#ifndef VQR_SCHEMA_READER_H
#define VQR_SCHEMA_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    VQR_FORMAT_VERSION = 6, /* the newest that this reader knows */
    VQR_SEGMENT_ALIGN = 64,
    VQR_TENSOR_RANK_MAX = 4,
    VQR_TENSORS_MAX = 16384, /* keeps binding by name bounded for hostile files; a DMQN sequence has about 20 */
    VQR_PANEL = 16,          /* outputs in a panel, and what a padded row's length is a multiple of */
    VQR_NAME_SIZE =
        256, /* room for a tensor's name composed of others; in an accepted file they have at most 200 bytes */
};

/* Values of the schema's enums, by the same numbers. */
enum vqr_tensor_type {
    VQR_TENSOR_F32 = 0,
    VQR_TENSOR_U8 = 1,
    VQR_TENSOR_U32 = 2,
    VQR_TENSOR_I8 = 3,
    VQR_TENSOR_U16 = 4
};
enum vqr_layout { VQR_ROWS = 0, VQR_PADDED_ROWS = 1, VQR_PANELS = 2, VQR_QUADS = 3 };
enum vqr_scores { VQR_SCORES_F32 = 0, VQR_SCORES_INT8 = 1, VQR_SCORES_INT8_EXACT = 2 };
enum vqr_kept { VQR_KEPT_F32 = 0, VQR_KEPT_INT8 = 1 };
enum vqr_id_mapping { VQR_IDS_DIRECT = 0, VQR_IDS_VOCABULARY = 1, VQR_IDS_HASH = 2 };
enum vqr_kind {
    VQR_KIND_ID = 0,
    VQR_KIND_FLOAT = 1,
    VQR_KIND_TIME = 2,
    VQR_KIND_IDS = 3,
    VQR_KIND_VECTOR = 4,
    VQR_KIND_SEMANTIC_ID = 5
};
enum vqr_pool { VQR_POOL_SUM = 0, VQR_POOL_MEAN = 1 };
enum vqr_combine { VQR_COMBINE_CONCAT = 0, VQR_COMBINE_SUM = 1 };
enum vqr_quantizer_kind { VQR_RQ_GMM = 0, VQR_RQ_KMEANS = 1 };
enum vqr_activate { VQR_ACTIVATE_ALL = 0, VQR_ACTIVATE_U = 1 };
enum vqr_alpha { VQR_ALPHA_ONE = 0, VQR_ALPHA_RSQRT = 1 };
enum vqr_attention_bias { VQR_BIAS_NONE = 0, VQR_BIAS_SHARED = 1, VQR_BIAS_PER_HEAD = 2 };
enum vqr_normalize {
    VQR_NORMALIZE_ONE = 0,
    VQR_NORMALIZE_TOKENS = 1,
    VQR_NORMALIZE_ATTENDED = 2,
    VQR_NORMALIZE_CONSTANT = 3
};
enum vqr_norm { VQR_NORM_LAYER = 0, VQR_NORM_GROUP = 1 };
enum vqr_output { VQR_OUTPUT_GATED = 0, VQR_OUTPUT_CONCAT = 1, VQR_OUTPUT_CONCAT_RAW = 2 };
enum vqr_empty { VQR_EMPTY_MASKED = 0, VQR_EMPTY_ZERO = 1 };
enum vqr_activation {
    VQR_RELU = 0,
    VQR_SILU = 1,
    VQR_LEAKY_RELU = 2,
    VQR_PRELU = 3,
    VQR_GELU = 4,
    VQR_TANH = 5,
    VQR_DICE = 6
};
enum vqr_scale { VQR_SCALE_ONE = 0, VQR_SCALE_SQRT = 1 };
enum vqr_sequence_kind {
    VQR_SEQUENCE_NONE = 0,
    VQR_SEQUENCE_DMQN = 1,
    VQR_SEQUENCE_DIN = 2,
    VQR_SEQUENCE_VQL = 3,
    VQR_SEQUENCE_SDIM = 4,
    VQR_SEQUENCE_SIM_HARD = 5,
    VQR_SEQUENCE_TWIN = 6,
    VQR_SEQUENCE_HSTU = 7
};

/* Which kind of target attention a sequence has; a damaged file can have none or both. */
enum vqr_attention_kind {
    VQR_ATTENTION_NONE = 0,
    VQR_ATTENTION_DOT = 1,
    VQR_ATTENTION_DIN = 2,
    VQR_ATTENTION_BOTH = 3
};

struct vqr_header {
    const uint8_t *data; /* the file's first byte, aligned to VQR_SEGMENT_ALIGN */
    size_t size;         /* bytes of the file */
    const void *root;    /* the generated reader's root */
};

enum vqr_header_status { VQR_HEADER_OK = 0, VQR_HEADER_DAMAGED = 1, VQR_HEADER_NEWER = 2 };

/* Checks `size` bytes at `data` (aligned to VQR_SEGMENT_ALIGN) and fills *header. On failure one line that says what
 * is wrong and where is written to message[message_size]. */
enum vqr_header_status vqr_header_open(struct vqr_header *header, const void *data, size_t size, char *message,
                                       size_t message_size);

struct vqr_header_info {
    const char *name;
    const char *producer; /* "" when absent, as the other optional strings */
    const char *config;
    uint32_t format_version;
    uint64_t header_bytes;
    size_t tables, quantizers, sequences, tensors, goldens;
    size_t features[4]; /* user, context, event, candidate */
};
void vqr_header_info(const struct vqr_header *header, struct vqr_header_info *info);

struct vqr_header_tensor {
    const char *name;
    enum vqr_tensor_type type;
    enum vqr_layout layout;
    size_t rank;
    uint64_t shape[VQR_TENSOR_RANK_MAX]; /* past the rank: 1 */
    uint64_t offset, length;             /* bytes; verified to lie inside the file */
};
void vqr_header_tensor(const struct vqr_header *header, size_t i, struct vqr_header_tensor *tensor);

/* The first tensor of that name; false, and *tensor as it was, if there is none. */
bool vqr_header_find_tensor(const struct vqr_header *header, const char *name, struct vqr_header_tensor *tensor);

struct vqr_header_table {
    const char *name;
    uint64_t rows;
    uint32_t dim;
    int ids; /* enum vqr_id_mapping if known to this reader; other values must be refused */
    uint64_t keys;
    uint32_t max_probe;
};
void vqr_header_table(const struct vqr_header *header, size_t i, struct vqr_header_table *table);

struct vqr_header_feature {
    const char *name;
    int kind; /* enum vqr_kind */
    uint32_t width;
    int32_t table; /* index into the tables, -1 for none; not yet checked */
    double mean, std;
    int32_t exponent;
    int pool;                 /* enum vqr_pool */
    int32_t quantizer;        /* index into the quantizers, -1 for none; not yet checked */
    int combine;              /* enum vqr_combine */
    size_t levels, exponents; /* how many of each are listed; read by the functions below */
};
void vqr_header_feature(const struct vqr_header *header, size_t group, size_t i, struct vqr_header_feature *feature);

/* Of a feature, its level l's index into the tables, not yet checked; and the exponent of that level's columns. */
int32_t vqr_header_feature_level(const struct vqr_header *header, size_t group, size_t i, size_t l);
int32_t vqr_header_feature_exponent(const struct vqr_header *header, size_t group, size_t i, size_t l);

struct vqr_header_quantizer {
    const char *name;
    int kind; /* enum vqr_quantizer_kind if known to this reader; other values must be refused */
    uint32_t levels, codes, dim;
};
void vqr_header_quantizer(const struct vqr_header *header, size_t i, struct vqr_header_quantizer *quantizer);

struct vqr_header_hstu {
    uint32_t layers, heads, qk_dim, v_dim;
    bool pre_norm, affine, residual, share;
    int activate, alpha, bias, normalize, norm, output; /* the enums above */
    uint32_t normalize_constant;
    float eps;
};

struct vqr_header_attention {
    int kind; /* enum vqr_attention_kind */
    bool share;
    uint32_t heads, dim, out; /* dot */
    bool count_bias;
    int state;    /* dot: enum vqr_kept if known to this reader; other values must be refused */
    bool softmax; /* din */
    int activation;
    size_t hidden_count; /* of the MLP; widths by vqr_header_attention_hidden */
};

struct vqr_header_vql {
    uint32_t heads, dim, v_dim, decay_terms, out;
    size_t groups, exponents; /* how many of each are listed; read by the functions below */
};

struct vqr_header_sequence {
    const char *name;
    size_t index; /* i */
    int kind;     /* enum vqr_sequence_kind */
    struct vqr_header_attention attention;
    uint32_t codebooks, codewords; /* dmqn */
    int empty;                     /* dmqn */
    int scores;                    /* dmqn, vql: enum vqr_scores if known to this reader; others must be refused */
    struct vqr_header_hstu hstu;   /* dmqn, hstu */
    uint32_t last;                 /* din, sim_hard, twin, hstu */
    struct vqr_header_vql vql;
    uint32_t hashes, bits;                 /* sdim */
    uint32_t top;                          /* sim_hard, twin */
    uint32_t match_event, match_candidate; /* sim_hard: indices of features, not yet checked */
    int scale;                             /* hstu: enum vqr_scale */
    bool positions;                        /* hstu */
    uint32_t time_buckets;                 /* hstu */
};
void vqr_header_sequence(const struct vqr_header *header, size_t i, struct vqr_header_sequence *sequence);

/* The width of hidden layer `layer` of sequence i's attention MLP. */
uint32_t vqr_header_attention_hidden(const struct vqr_header *header, size_t i, size_t layer);

/* Group g of sequence i, which is of kind vql; its head number n; and the exponent of head a's values. */
struct vqr_header_vql_group {
    size_t heads;
    uint32_t codewords;
};
void vqr_header_vql_group(const struct vqr_header *header, size_t i, size_t g, struct vqr_header_vql_group *group);
uint32_t vqr_header_vql_head(const struct vqr_header *header, size_t i, size_t g, size_t n);
int32_t vqr_header_vql_exponent(const struct vqr_header *header, size_t i, size_t a);

/* Assignments stored per item; `key` and `determined` are indices of event features, not yet checked. */
struct vqr_header_assignments {
    int32_t key;       /* -1 for none */
    size_t determined; /* how many are listed; read by vqr_header_determined */
};

/* False, and *assignments as it was, if the file stores none. */
bool vqr_header_assignments(const struct vqr_header *header, struct vqr_header_assignments *assignments);
uint32_t vqr_header_determined(const struct vqr_header *header, size_t i);

struct vqr_header_head {
    size_t hidden_count, output_count;
    int activation;
};
void vqr_header_head(const struct vqr_header *header, struct vqr_header_head *head);
uint32_t vqr_header_hidden(const struct vqr_header *header, size_t i);
const char *vqr_header_output(const struct vqr_header *header, size_t i);

struct vqr_header_golden {
    const char *request;
    const uint32_t *bits;  /* [count] fp32 outputs, [candidates][outputs] */
    const double *float64; /* [count] */
    size_t count;
    double bound; /* what the fp32 outputs may differ from float64 by; finite, at least 0 */
};
void vqr_header_golden(const struct vqr_header *header, size_t i, struct vqr_header_golden *golden);

/* Floats (or other elements) that a tensor of this layout and shape occupies, or 0 on overflow. */
uint64_t vqr_layout_elements(enum vqr_layout layout, size_t rank, const uint64_t *shape);

/* The schema's names of enum values, for people; "unknown" outside. */
const char *vqr_tensor_type_name(int type);
const char *vqr_layout_name(int layout);

#ifdef __cplusplus
}
#endif
#endif
