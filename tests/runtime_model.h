/* Builds small complete models in memory: every tensor that a configuration needs, with seeded random weights.
 * What a configuration says and what its tensors are can come from two sets of options, to build files that are wrong
 * in one place. C++ behind it (FlatBuffers' generated builder), for tests only.
 *
 * Tables: "item" direct, "word" a vocabulary of integers and strings (runtime_words).
 * user: age (float), word      context: item      event: item, word, price (float), time      candidate: item, price
 * With `tags` users, events and candidates end with tags (ids of "item"), with `image_dim` contexts, events and
 * candidates with image (vector). */
#ifndef VQR_TESTS_RUNTIME_MODEL_H
#define VQR_TESTS_RUNTIME_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/reader.h"
#include "vqrank/vqrank.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { RUNTIME_HIDDEN_MAX = 4, RUNTIME_EVENTS_MAX = 6, RUNTIME_GROUPS_MAX = 4, RUNTIME_HEADS_MAX = 6 };

struct runtime_vql {
    uint32_t heads, dim, v_dim, terms, out;
    size_t groups;
    uint32_t group_heads[RUNTIME_GROUPS_MAX], codewords[RUNTIME_GROUPS_MAX]; /* how many of each */
    uint32_t head[RUNTIME_HEADS_MAX];                                        /* their numbers, group by group */
    size_t exponents;
    int32_t exponent[RUNTIME_HEADS_MAX]; /* INT32_MAX: the largest that is sure to be right */
    float decay;                         /* decays lie in 0 ... decay */
};

/* HSTU over last events. */
struct runtime_hstu_last {
    uint32_t last, buckets;
    bool positions;
    uint8_t scale; /* enum of schema/reader.h */
    struct vqr_header_hstu hstu;
    struct vqr_header_attention attention; /* of kind none, dot, din or both */
    uint32_t hidden[RUNTIME_HIDDEN_MAX];
    const uint64_t *edges; /* [buckets] instead of the converter's, or NULL */
    size_t wrong_edge;     /* SIZE_MAX, or the number of one that is edge_value */
    uint64_t edge_value;
};

/* Sequences of kinds sim_hard and twin, with the same `last` and `top`. */
struct runtime_search {
    uint32_t sim_hards, twins; /* "same", "same1", ... and "far", "far1", ... */
    uint32_t last, top, event, candidate;
    struct vqr_header_attention attention, twin; /* twin: of kind dot */
    uint32_t hidden[RUNTIME_HIDDEN_MAX];
};

/* Quantizer "content", and features "content" that end context, events and candidates: tables "c0", "c1", ... of
 * item_dim, one a level. */
struct runtime_quantizer {
    uint32_t levels, codes, dim; /* levels 0: none of this */
    uint8_t kind, combine;       /* enums of schema/reader.h */
    uint64_t rows;               /* of each table; 0: codes + 1 */
    uint8_t ids;                 /* of each table */
    uint32_t claimed;            /* levels that the header says; UINT32_MAX: the right number */
    /* what the event's feature says, where it is not right */
    int32_t quantizer, table; /* table: of the last level; -1: the right one */
    uint32_t width, listed;   /* UINT32_MAX: the right one */
    size_t exponents;         /* SIZE_MAX: one a level for concat, none for sum */
    int32_t exponent;
    bool same_name; /* a second quantizer of the same name */
};

/* What is int8; that keys and values are kept so is said by each attention. */
struct runtime_int8 {
    bool tables, weights;
    uint8_t scores; /* enum of schema/reader.h: of dmqn and vql sequences */
    uint32_t fine;  /* keys that attentions in int8 keep twice, or all they have */
    uint32_t kept;  /* columns of the input that each int8 matrix keeps in fp32, or all it has if these are fewer */
};

/* Codewords stored per item: all 0. They need `ids_only`. */
struct runtime_assignments {
    bool stored;
    int32_t key; /* an event feature: item or word */
    size_t determined_count;
    uint32_t determined[2];
    uint64_t unlisted; /* of every so many rows of the key's table one is not listed; 0: all are */
};

struct runtime_options {
    uint64_t seed;
    struct runtime_int8 int8;
    float scale; /* weights lie in -scale ... scale; embeddings in -1 ... 1 */
    uint32_t format_version;
    const char *name;

    uint64_t items; /* rows of "item" */
    uint32_t item_dim, word_dim;
    uint8_t item_ids, word_ids; /* enum vqr_id_mapping */
    uint64_t words;             /* keys of "word" that the header claims */
    uint32_t max_probe;         /* UINT32_MAX: the true one */
    size_t slots;               /* a power of two */
    uint64_t spare_rows;        /* of "word", beyond one for each key and row 0 */

    bool tags;
    uint8_t tags_pool; /* enum vqr_pool; by sum, the exponent of event_exponents has to be 8 less */
    uint32_t image_dim;
    struct runtime_quantizer content;

    bool ids_only;                             /* events have no price */
    uint8_t event_kinds[RUNTIME_EVENTS_MAX];   /* enum vqr_kind of item, word, price, time, tags, image */
    int32_t event_tables[RUNTIME_EVENTS_MAX];  /* -1: none */
    uint32_t event_widths[RUNTIME_EVENTS_MAX]; /* UINT32_MAX: the right one */
    int32_t event_exponents[RUNTIME_EVENTS_MAX];
    double price_mean, price_std;
    const char *event_names[RUNTIME_EVENTS_MAX];
    uint8_t context_kind;

    uint32_t sequences; /* "long", "long1", ...: all alike but for their weights */
    uint8_t sequence_kind;
    bool sequences_same_name, tables_same_name;
    uint32_t codebooks, codewords;
    uint8_t empty;
    struct vqr_header_hstu hstu;
    struct vqr_header_attention attention;
    uint32_t attention_hidden[RUNTIME_HIDDEN_MAX];

    uint32_t vql_sequences; /* "keys", "keys1", ...: after those */
    struct runtime_vql vql;

    uint32_t sdim_sequences; /* "hashed", "hashed1", ...: after those */
    uint32_t hashes, bits;

    uint32_t hstu_sequences; /* "all", "all1", ...: after those */
    struct runtime_hstu_last hstu_last;
    struct runtime_search search; /* after those */

    uint32_t short_sequences; /* "short", "short1", ...: of last events, after the others or before them */
    bool short_first;
    uint32_t last;
    struct vqr_header_attention short_attention;
    uint32_t short_hidden[RUNTIME_HIDDEN_MAX];

    uint32_t hidden[RUNTIME_HIDDEN_MAX];
    size_t hidden_count, outputs;
    uint8_t activation;

    struct runtime_assignments assignments;

    const char *extra_tensor;   /* one more than anything reads, or NULL */
    const char *without_tensor; /* left out, or NULL */
};

/* N 2, W 20, one HSTU layer of two heads, attention of two heads, two outputs. What is not there has values as well:
 * VQL of three heads in two groups, without decay; SDIM of five hashes of three bits; over the last 30 events HSTU with
 * all that it may have; search of the last 9 events for 3, by "item". */
struct runtime_options runtime_options_default(void);

struct runtime_file {
    uint8_t *data; /* aligned to 64, `size` bytes and none after: free() it */
    size_t size;
    size_t header; /* bytes of the header */
};

/* A file whose tensors are those of `options`. Aborts when memory runs out. */
struct runtime_file runtime_build(const struct runtime_options *options);

/* The same tensors under the configuration of `says`. */
struct runtime_file runtime_build_saying(const struct runtime_options *options, const struct runtime_options *says);

/* The keys of "word": row i + 1 is key i. */
const struct vqr_id *runtime_words(size_t *count);

#ifdef __cplusplus
}
#endif
#endif
