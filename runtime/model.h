/* What an open model looks like inside: configuration with every count checked, tensors as pointers into the mapping.
 * Shapes are written [slowest, ..., fastest]; "panels" and "padded" are the layouts of schema/model.fbs. */
#ifndef VQR_MODEL_H
#define VQR_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/activation.h"
#include "runtime/linear.h"
#include "runtime/sequence.h"
#include "schema/reader.h"
#include "vqrank/vqrank.h"

/* ids -> rows of one embedding table */
struct vqr_table {
    const char *name;
    const float *weight;   /* [rows, dim], not read before a request needs a row; NULL if the table is int8: */
    const int8_t *weight8; /* [rows, dim] */
    const float *scale;    /* [rows] the steps of each row's numbers */
    size_t rows, dim;
    enum vqr_id_mapping ids;
    /* vocabulary (schema/model.fbs, EmbeddingTable) */
    const uint32_t *keys;  /* [key_count, 4] {low, high, length, kind} */
    const uint8_t *text;   /* [text_size] */
    const uint32_t *slots; /* [slot_count], a power of two */
    size_t key_count, text_size, slot_count, max_probe;
};

/* vectors -> codes, level by level (docs/model.md) */
struct vqr_quantizer {
    const char *name;
    size_t levels, codes, dim;
    const float *mean;             /* [levels, dim, codes] panels */
    const float *inverse_variance; /* the same of an rq_gmm, else NULL */
    const float *bias;             /* [levels, codes] padded, or NULL */
};

/* What one level of a semantic id adds to the embedding. */
struct vqr_level {
    const struct vqr_table *table;
    size_t offset; /* columns of the feature's embedding: from here on, as many as the table's dim */
    float limit;   /* largest magnitude of the table's elements */
};

struct vqr_input {
    const char *name;
    enum vqr_feature_kind kind;
    const struct vqr_table *table;         /* id, ids */
    size_t offset, width;                  /* columns of the group's embedding */
    double mean, std;                      /* float: (v - mean) / std */
    enum vqr_pool pool;                    /* ids */
    float limit;                           /* largest magnitude of a table's element, or of a value */
    float pooled_limit;                    /* ids, a semantic id's sum: of a pooled element */
    const struct vqr_quantizer *quantizer; /* semantic id */
    struct vqr_level *level;               /* [quantizer->levels] */
    enum vqr_combine combine;
};

/* Columns of a group's embedding, far above any real model: keeps what a hostile file can make us allocate small, and
 * sums of squares over an event near enough for screen.c. */
enum { VQR_WIDTH_MAX = 1 << 16 };

/* The features of one group: user, context, event or candidate. */
struct vqr_inputs {
    struct vqr_input *input; /* [count] */
    size_t count;
    size_t width; /* columns of the concatenated embedding */
};

/* What encoding needs to know of the events' embedding, column by column. */
struct vqr_event_columns {
    uint32_t *widths; /* [event.count], the features' widths in order: one score chain each */
    float *scale;     /* [width] 2^exponent: e * scale rounds to the integer that is summed */
    double *unit;     /* [width] 2^-exponent */
    double *limit;    /* [width] the largest magnitude that gets in */
};

struct vqr_head {
    struct vqr_linear
        *layer;          /* [layers]; the last gives the outputs. The first: the part that candidates do not share */
    const float *shared; /* the first layer's part that they do: panels of `shared_in` rows, `shared_step` apart */
    size_t shared_in, shared_step;
    struct vqr_activation_layer *activation; /* [layers - 1] */
    size_t layers;
    size_t widest; /* the widest layer's outputs */
};

/* "user", "context", "event", "candidate" */
extern const char *const vqr_group_names[VQR_GROUPS];

struct vqr_model {
    struct vqr_header header;
    void *mapping; /* what to unmap, or NULL */
    size_t mapping_size;
    void *copy; /* what to free, or NULL */

    struct vqr_table *table; /* [table_count] */
    size_t table_count;
    struct vqr_quantizer *quantizer; /* [quantizer_count] */
    size_t quantizer_count;
    struct vqr_inputs inputs[VQR_GROUPS];
    struct vqr_event_columns event_columns;
    struct vqr_sequence *sequence; /* [sequence_count] */
    size_t sequence_count;
    size_t interest_width;               /* of all sequences together */
    struct vqr_assignments *assignments; /* codewords that the file stores, or NULL */
    struct vqr_head head;
    size_t outputs;
};

#endif
