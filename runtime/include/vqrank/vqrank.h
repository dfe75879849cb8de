/* vqrank: ranks candidates against a user's whole behaviour history, on ordinary CPUs.
 *
 * A model file (.vqr) is opened once and shared. Each thread has a session: the kernels chosen for this CPU and all
 * scratch memory. Each user has a state: the exact sums of the clusters that the history falls into, and the
 * interests computed from them. Encoding depends on the history only; scoring reads the state and the candidates.
 *
 *     vqr_model_open("model.vqr", &model, &error);
 *     vqr_session_create(model, NULL, &session, &error);
 *     vqr_state_create(model, NULL, 0, &state, &error);
 *     vqr_encode(session, state, &events, NULL, &error);                    once per history
 *     vqr_score(session, state, &request, outputs, NULL, &error);           per request
 *
 * The library never prints, aborts, reads the environment, starts threads or keeps global state. Encoding and scoring
 * take no lock, make no allocation and no system call. The same model and request give the same bits on every
 * processor, whatever the order and number of candidates in a call. */
#ifndef VQRANK_H
#define VQRANK_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VQR_VERSION_MAJOR 0
#define VQR_VERSION_MINOR 1
#define VQR_VERSION_PATCH 0

#if defined(__GNUC__) || defined(__clang__)
#define VQR_API __attribute__((visibility("default")))
#else
#define VQR_API
#endif

/* ---- errors ---- */

enum vqr_status {
    VQR_OK = 0,
    VQR_ERROR_ARGUMENT = 1,    /* a call that cannot be right: NULL, a wrong column count, a state of another model */
    VQR_ERROR_IO = 2,          /* the operating system refused to open, read or map the file */
    VQR_ERROR_MEMORY = 3,      /* out of memory, or the caller's buffer is too small */
    VQR_ERROR_FORMAT = 4,      /* not a model file, damaged, or inconsistent */
    VQR_ERROR_VERSION = 5,     /* a model file newer than this library */
    VQR_ERROR_UNSUPPORTED = 6, /* this processor, or this ISA name on it, cannot run the kernels */
    VQR_ERROR_TYPE = 7,        /* a feature's values have a type that the feature does not take */
    VQR_ERROR_RANGE = 8,       /* a value is not finite, or too large for fp32 or the model's exact sums */
    VQR_ERROR_LIMIT = 9,       /* more events than a state can count (2^24) */
    VQR_ERROR_STALE = 10,      /* the state has events whose interests were not refreshed yet */
    VQR_ERROR_OVERFLOW = 11,   /* finite weights led to a non-finite result */
    VQR_ERROR_TABLE = 12       /* an embedding row or a stored codeword that the request needs is out of bounds */
};

enum { VQR_ERROR_MESSAGE_SIZE = 256 };

/* What went wrong, for people. Filled when a call returns anything but VQR_OK; every function takes NULL instead.
 * Of functions that return a status, NULL where a pointer is needed is VQR_ERROR_ARGUMENT, which the lists of errors
 * below leave out. */
struct vqr_error {
    enum vqr_status status;
    char message[VQR_ERROR_MESSAGE_SIZE]; /* one line: the thing, what was expected, what was found; NUL-terminated */
};

/* The status in one lower-case word ("range", "overflow", ...), as the command line's error codes. Static storage. */
VQR_API const char *vqr_status_name(enum vqr_status status);

/* "0.1.0". Static storage. */
VQR_API const char *vqr_version(void);

/* ---- models ---- */

/* Immutable once open; any number of threads may use it at once. */
typedef struct vqr_model vqr_model;

/* Opens a model file by memory-mapping it. The header and every tensor except the embedding tables are verified; the
 * tables are only mapped, so opening costs the same for any table size. Replace files by rename, never in place.
 * On success the caller owns *model and gives it back with vqr_model_close; on failure *model is NULL.
 * Errors: IO, MEMORY, FORMAT, VERSION. */
VQR_API enum vqr_status vqr_model_open(const char *path, vqr_model **model, struct vqr_error *error);

/* The same from `length` bytes at `offset` of an open descriptor, such as an uncompressed file inside an application
 * package; length 0 means up to the end. The descriptor may be closed afterwards. */
VQR_API enum vqr_status vqr_model_open_fd(int fd, uint64_t offset, uint64_t length, vqr_model **model,
                                          struct vqr_error *error);

/* The same from memory, which must stay unchanged until the model is closed. Used in place when `data` is aligned to
 * 64 bytes, else copied. */
VQR_API enum vqr_status vqr_model_open_memory(const void *data, size_t size, vqr_model **model,
                                              struct vqr_error *error);

/* Reads all of the file, embedding tables included, and checks every value. For converters and tools; a model that
 * opens but does not verify is still safe to use: a bad row refuses the request that touches it.
 * Errors: FORMAT, TABLE. */
VQR_API enum vqr_status vqr_model_verify(const vqr_model *model, struct vqr_error *error);

/* Closes the model; sessions and states made from it must be gone. NULL is allowed. */
VQR_API void vqr_model_close(vqr_model *model);

/* The name in the file. Valid until the model is closed. */
VQR_API const char *vqr_model_name(const vqr_model *model);

/* The number of outputs, and the name of output i (NULL past the end). Valid until the model is closed. */
VQR_API size_t vqr_model_outputs(const vqr_model *model);
VQR_API const char *vqr_model_output_name(const vqr_model *model, size_t i);

/* A view of the file's bytes, for tools that print what is in it. Valid until the model is closed. */
VQR_API const void *vqr_model_data(const vqr_model *model, size_t *size);

/* ---- features ---- */

enum vqr_group { VQR_USER = 0, VQR_CONTEXT = 1, VQR_EVENT = 2, VQR_CANDIDATE = 3 };
enum { VQR_GROUPS = 4 };

enum vqr_feature_kind {
    VQR_FEATURE_ID = 0,         /* an id: one row of a table */
    VQR_FEATURE_FLOAT = 1,      /* a number */
    VQR_FEATURE_TIME = 2,       /* unix seconds */
    VQR_FEATURE_IDS = 3,        /* a list of ids: their rows' sum or mean */
    VQR_FEATURE_VECTOR = 4,     /* `numbers` numbers, passed through */
    VQR_FEATURE_SEMANTIC_ID = 5 /* `numbers` numbers: a quantizer's codes of them, one row of a table per level */
};

struct vqr_feature {
    const char *name; /* valid until the model is closed */
    enum vqr_feature_kind kind;
    size_t width;   /* columns of the embedding */
    size_t numbers; /* that one value has: of a vector its width, of a semantic id its quantizer's dim, else 1 */
};

/* The number of features in a group, in the order in which columns are passed. */
VQR_API size_t vqr_feature_count(const vqr_model *model, enum vqr_group group);

/* Describes feature `index` of a group. Errors: ARGUMENT past the end. */
VQR_API enum vqr_status vqr_feature_info(const vqr_model *model, enum vqr_group group, size_t index,
                                         struct vqr_feature *info);

/* The index of a feature by name, or -1. Resolve names once, not per request. */
VQR_API ptrdiff_t vqr_feature_index(const vqr_model *model, enum vqr_group group, const char *name);

/* ---- values ---- */

/* An id that may be an integer or a string: `string` NULL means the integer `value`, else the string of `value` bytes,
 * UTF-8, not NUL-terminated. An integer and a string never compare equal. */
struct vqr_id {
    const char *string;
    int64_t value;
};

enum vqr_column_type {
    VQR_COLUMN_ABSENT = 0,  /* no row has a value; `values` is not read */
    VQR_COLUMN_INT64 = 1,   /* const int64_t *: ids that are integers, or unix seconds of a time feature */
    VQR_COLUMN_ID = 2,      /* const struct vqr_id *: ids that are integers or strings */
    VQR_COLUMN_FLOAT64 = 3, /* const double *: values of a float feature before normalisation, or of a vector or
                               semantic id feature, [rows][numbers], rounded once to fp32 */
    VQR_COLUMN_LISTS = 4,   /* const struct vqr_lists *, one for the column: values of an ids feature */
    VQR_COLUMN_FLOAT32 = 5  /* const float *: values of a vector or semantic id feature, [rows][numbers] */
};

/* Lists of ids, one a row, stored one after another. */
struct vqr_lists {
    enum vqr_column_type type; /* of the ids: VQR_COLUMN_INT64 or VQR_COLUMN_ID */
    const void *values;        /* [offsets[rows]] */
    const uint64_t *offsets;   /* [rows + 1], ascending: row r has ids offsets[r] ... offsets[r + 1] - 1 */
};

/* One feature's values for `rows` rows of a group; owned by the caller, read during the call only. */
struct vqr_column {
    enum vqr_column_type type;
    const void *values;     /* [rows] or as its type says, aligned as it asks for */
    const uint8_t *present; /* one byte per row, 0 where the value is absent; NULL means that all are present */
};

/* A table of values: columns of the group's first features, in the model's order. */
struct vqr_rows {
    const struct vqr_column *columns; /* [column_count] */
    size_t column_count;              /* at most vqr_feature_count of the group; features past it are absent */
    size_t rows;
};

/* What a call noticed without refusing it. Added to by calls that succeed, never reset, so one struct can count over
 * many calls. */
struct vqr_stats {
    uint64_t ids;         /* ids looked up */
    uint64_t unknown_ids; /* of them, not in their table: they used row 0 */
};

/* ---- sessions ---- */

/* Kernels for this CPU and all scratch memory: one per thread at a time. */
typedef struct vqr_session vqr_session;

struct vqr_session_options {
    const char *isa; /* the strongest instruction set to use: "ref"; "avx2", "avx512", "avxvnni", "avx512vnni"; "neon",
                        "neondot", "i8mm"; NULL: the best here */
    void *buffer;    /* memory for the session, kept until vqr_session_free, any alignment; NULL: allocated */
    size_t buffer_size; /* bytes at `buffer`, at least vqr_session_size */
};

/* Bytes that a session of this model takes: fixed, for any history length and any number of candidates. Up to 4 MiB of
 * them keep what small vocabularies' rows come to in the codewords' scores, pages of which no event needs are never
 * written. */
VQR_API size_t vqr_session_size(const vqr_model *model);

/* Makes a session; options NULL means all defaults. The model must outlive it.
 * Errors: UNSUPPORTED (names the ISA, or says which instructions the processor lacks), MEMORY. */
VQR_API enum vqr_status vqr_session_create(const vqr_model *model, const struct vqr_session_options *options,
                                           vqr_session **session, struct vqr_error *error);

/* Frees the session (not a caller's buffer). NULL is allowed. */
VQR_API void vqr_session_free(vqr_session *session);

/* The name of the strongest instruction set in use. Static storage. */
VQR_API const char *vqr_session_isa(const vqr_session *session);

/* Instruction sets of this build, weakest first: the name of number i, or NULL past the end; *usable says whether
 * this processor can run it. */
VQR_API const char *vqr_isa_name(size_t i, int *usable);

/* ---- user states ---- */

/* One user's exact sums and interests. One thread may change it at a time; any number may score with it between
 * changes, each through a session of its own: any session of the model, whatever its ISA. */
typedef struct vqr_state vqr_state;

/* Bytes that a state of this model takes: fixed, for any history length. */
VQR_API size_t vqr_state_size(const vqr_model *model);

/* Makes the state of a user with no events, in the caller's `buffer` (any alignment, kept until vqr_state_free) or,
 * with buffer NULL, in memory of its own. The model must outlive it. Errors: MEMORY. */
VQR_API enum vqr_status vqr_state_create(const vqr_model *model, void *buffer, size_t buffer_size, vqr_state **state,
                                         struct vqr_error *error);

/* Frees the state (not a caller's buffer). NULL is allowed. */
VQR_API void vqr_state_free(vqr_state *state);

/* Back to a user with no events. */
VQR_API void vqr_state_reset(vqr_state *state);

/* Events in the state. */
VQR_API uint64_t vqr_state_events(const vqr_state *state);

/* Adds events to the sums (DMQN eq 4-9). Sums are exact integers: any order, any split into calls, gives the same
 * sums bit for bit; only where events fade with time (VQL with decay terms) they round, by the bound in
 * docs/numerics.md. Sequences of last events take them in the order given, after those that came before: the last in
 * `events` is the newest. The interests are left as they were: call vqr_refresh before scoring. A call that fails
 * leaves the state as it was. `stats` may be NULL. Errors: ARGUMENT, TYPE, RANGE, LIMIT, TABLE. */
VQR_API enum vqr_status vqr_append(vqr_session *session, vqr_state *state, const struct vqr_rows *events,
                                   struct vqr_stats *stats, struct vqr_error *error);

/* Computes the interests from the sums: cluster means, HSTU, keys and values (DMQN eq 9-13). Nothing when they are
 * up to date. On failure the sums stay and the state cannot score. Errors: OVERFLOW. */
VQR_API enum vqr_status vqr_refresh(vqr_session *session, vqr_state *state, struct vqr_error *error);

/* reset, append and refresh in one call. On failure the state is left empty (or untouched, if a pointer was NULL or
 * the session of another model). Errors: those of append and refresh. */
VQR_API enum vqr_status vqr_encode(vqr_session *session, vqr_state *state, const struct vqr_rows *events,
                                   struct vqr_stats *stats, struct vqr_error *error);

/* Which codeword, or bucket of each hash, each event falls to, without changing any state: for inspection and tests.
 * clusters [codebooks][events->rows] of sequence `sequence`, 0 <= value < codewords.
 * vqr_sequence_codebooks gives the number of codebooks, 0 past the last sequence.
 * Errors: ARGUMENT, TYPE, RANGE, TABLE. */
VQR_API size_t vqr_sequence_codebooks(const vqr_model *model, size_t sequence);
VQR_API enum vqr_status vqr_assign(vqr_session *session, size_t sequence, const struct vqr_rows *events,
                                   uint32_t *clusters, struct vqr_error *error);

/* ---- scoring ---- */

struct vqr_request {
    struct vqr_rows user;       /* 1 row, or 0 rows: everything absent */
    struct vqr_rows context;    /* 1 row, or 0 rows: everything absent */
    struct vqr_rows candidates; /* any number of rows */
    const int64_t *time;        /* the request's own time, unix seconds; NULL: that of the latest event */
};

/* Scores candidates against the state's interests. outputs [candidates.rows][vqr_model_outputs], each in 0 ... 1.
 * A candidate's score does not depend on the other candidates. On failure the outputs are unspecified; of several
 * candidates that are refused, *error tells of the first.
 * Errors: ARGUMENT, STALE, TYPE, RANGE, TABLE, OVERFLOW. */
VQR_API enum vqr_status vqr_score(vqr_session *session, const vqr_state *state, const struct vqr_request *request,
                                  float *outputs, struct vqr_stats *stats, struct vqr_error *error);

/* One user's part of a call that scores many. */
struct vqr_job {
    const vqr_state *state; /* several jobs may share one */
    struct vqr_request request;
    float *outputs;         /* [candidates.rows][vqr_model_outputs]; unspecified where status is not VQR_OK */
    enum vqr_status status; /* set by the call */
    struct vqr_stats stats; /* set by the call: what this job looked up */
};

/* Scores many users, each with candidates of its own, in one call: the same bits as one by one, and faster where
 * users have few candidates, since the head takes candidates of several users at once. A job that is refused does
 * not touch the others. Returns VQR_OK, or the status of the first job that is refused, which *error names by its
 * number, with the words that vqr_score has for it alone. Errors: those of vqr_score. */
VQR_API enum vqr_status vqr_score_many(vqr_session *session, struct vqr_job *jobs, size_t count,
                                       struct vqr_error *error);

/* ---- quantizers ---- */

struct vqr_quantizer_info {
    const char *name; /* valid until the model is closed */
    size_t levels;    /* codes that a vector gets */
    size_t codes;     /* at each level */
    size_t dim;       /* numbers of a vector */
};

/* The number of quantizers, and a description of one. Errors: ARGUMENT past the end. */
VQR_API size_t vqr_quantizer_count(const vqr_model *model);
VQR_API enum vqr_status vqr_quantizer_info(const vqr_model *model, size_t i, struct vqr_quantizer_info *info);

/* The semantic ids of vectors x [rows][dim], as scoring computes them: codes [rows][levels], 0 <= code < codes. On
 * failure the codes are unspecified. Errors: ARGUMENT, RANGE, OVERFLOW. */
VQR_API enum vqr_status vqr_quantize(vqr_session *session, size_t quantizer, const float *x, size_t rows,
                                     uint32_t *codes, struct vqr_error *error);

/* ---- why ---- */

struct vqr_sequence_info {
    const char *name;        /* valid until the model is closed */
    size_t codebooks;        /* 0: its tokens are the last events themselves */
    size_t tokens;           /* to attend to: codewords of the largest codebook, buckets of a hash, or last events */
    size_t interest_width;   /* numbers that it gives to the head */
    size_t state_bytes;      /* what is cached of a user for it, however long the history: its part of vqr_state_size */
    uint64_t candidate_work; /* multiply-adds of a candidate's attention at most; an exponential counts as 16 */
};

/* The number of sequences, and a description of one. Errors: ARGUMENT past the end. */
VQR_API size_t vqr_sequence_count(const vqr_model *model);
VQR_API enum vqr_status vqr_sequence_info(const vqr_model *model, size_t i, struct vqr_sequence_info *info);

/* What carried the scores of the request's candidates in one sequence: the weight of each token in target attention, by
 * the same arithmetic as scoring; user and context are not read. weights [candidates.rows][max(codebooks, 1)][tokens].
 * Attention "dot", and that of VQL: the mean over its heads (of the codebook, where it has heads of its own), so that a
 * codebook's weights are at least 0 and sum to 1 up to rounding, or are all 0 for a user without events; attention
 * "din": a_k as the network gives it, or its softmax. Clusters without events that are masked, and codewords past the
 * last of a smaller codebook, have weight 0. Of hashed events (SDIM) a codebook is a hash, a token its bucket: the one
 * that the candidate meets has 1/codebooks if it holds events. Of a sequence of last events the newest is token
 * tokens - 1, and tokens that no event fills have weight 0, as have events that a sequence which searches them does not
 * find: where a candidate finds none, all weights are 0. HSTU without attention gives the newest all.
 * Errors: ARGUMENT, STALE, TYPE, RANGE, TABLE, OVERFLOW. */
VQR_API enum vqr_status vqr_explain(vqr_session *session, const vqr_state *state, size_t sequence,
                                    const struct vqr_request *request, float *weights, struct vqr_error *error);

#ifdef __cplusplus
}
#endif
#endif
