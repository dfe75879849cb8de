/* Codewords that a model file stores for events whose features are all ids: what quantizing them gives, looked up. */
#ifndef VQR_ASSIGNMENTS_H
#define VQR_ASSIGNMENTS_H

#include "runtime/arena.h"
#include "runtime/model.h"

struct vqr_binder;

/* One event feature's part in the number of a combination. */
struct vqr_digit {
    size_t feature; /* its number among the events' features */
    uint32_t rows;  /* of its table */
};

/* What is stored of one sequence. */
struct vqr_stored_sequence {
    const uint8_t *z8;   /* [combinations, codebooks]; or: */
    const uint16_t *z16; /* both NULL for a sequence of a kind that nothing is stored of */
    size_t first;        /* its first codebook among those of all sequences with stored codewords */
    uint32_t *codewords; /* [codebooks] */
};

/* Events have combination (r_0 * n_1 + r_1) * n_2 + r_2 ... of the digits' rows r and how many their tables have, n. It
 * holds if the rows of the features that the key determines are the key's. */
struct vqr_assignments {
    struct vqr_digit *digit; /* [digits] ascending: every feature of kind id that the key does not determine */
    size_t digits;
    size_t combinations;
    size_t key;                      /* with determined features: the number of the feature that does */
    struct vqr_digit *determined;    /* [determined_count] */
    const uint32_t *determined_rows; /* [the key's rows, determined_count]; VQR_NOT_STORED in every column of
                                      * keys without */
    size_t determined_count;
    struct vqr_stored_sequence *sequence; /* [model->sequence_count] */
    size_t codebooks;                     /* of all of them */
};

/* No table has this many rows. */
#define VQR_NOT_STORED UINT32_MAX

/* A block of events, looked up. */
struct vqr_stored_codewords {
    uint32_t *z;           /* [assignments->codebooks, VQR_EVENT_BLOCK] */
    uint32_t *missing;     /* [missing_rows] rows that nothing is stored for, ascending */
    float *missing_e;      /* [missing_rows, e_stride] their embeddings */
    uint32_t *missing_row; /* [features, VQR_EVENT_BLOCK] their tables' rows */
    size_t missing_rows;
};

/* After features and sequences. Nothing of what is stored is read but for its size. Errors: FORMAT, MEMORY. */
enum vqr_status vqr_bind_assignments(struct vqr_binder *binder);
void vqr_unbind_assignments(struct vqr_model *model);

/* Takes a session's part; nothing if the model stores nothing. */
void vqr_assignments_take(const struct vqr_model *model, size_t e_stride, struct vqr_stored_codewords *stored,
                          struct vqr_arena *arena);

/* Looks up `count` events of a block that starts with event `first` of the call: index[features, VQR_EVENT_BLOCK] their
 * tables' rows, e[count, stride] their embeddings. Errors: TABLE, for a codeword that there is not. */
enum vqr_status vqr_assignments_load(const struct vqr_model *model, const uint32_t *index, const float *e,
                                     size_t stride, size_t first, size_t count, struct vqr_stored_codewords *stored,
                                     struct vqr_error *error);

/* The block's codewords of sequence i, for struct vqr_event_block; NULL if nothing is stored of it. */
const uint32_t *vqr_assignments_of(const struct vqr_model *model, size_t i, const struct vqr_stored_codewords *stored);

/* Reads all that is stored. Errors: TABLE. */
enum vqr_status vqr_assignments_verify(const struct vqr_model *model, struct vqr_error *error);

#endif
