/* Codebooks that events are quantized with: folded with their projection at conversion, so that an event's scores are
 * one product, computed in fp32, in int8, or in fp32 only where int8 leaves a choice (docs/int8.md). */
#ifndef VQR_CODEBOOK_H
#define VQR_CODEBOOK_H

#include "runtime/int8_matrix.h"
#include "runtime/known_scores.h"
#include "runtime/sequence.h"

/* N codebooks of W codewords each, over events of width D. */
struct vqr_codebook {
    size_t count, codewords, width; /* N, W, D */
    enum vqr_scores scores;         /* exact ones only where screening may pay */
    struct vqr_weights fold;        /* [N, D, W] panels; NULL with int8 scores */
    struct vqr_int8_matrix int8;    /* int8 scores: the fold */
    const float *offset;            /* [W] padded, or NULL for none */
    const uint32_t *widths;         /* [features] of the events' features */
    size_t features;
    const struct vqr_inputs *events;
    size_t known_bytes;        /* what known scores of its sequence may take of a session */
    size_t slot, column;       /* of the first codebook among all of its sequence: see known_scores.h */
    struct vqr_screen *screen; /* exact: [N] */
    void *screens;             /* exact: the memory that screens point into */
};

struct vqr_codebook_scratch {
    struct vqr_int8_rows rows; /* int8 scores: a block's events */
    float *start; /* int8 scores: [VQR_INT8_ROWS, padded(most codewords)] what they start from, if columns are kept */
    struct vqr_known known; /* fp32 and exact scores */
    bool screens;           /* exact scores: whether that pays */
    struct vqr_screen_scratch screen;
};

/* What the codebooks of one sequence, which read the same events, need of a session. */
struct vqr_codebook_needs {
    size_t most; /* the largest W */
    struct vqr_known_room known;
    bool screened, floats; /* whether one of them has exact scores, or scores by float chains at all */
};

/* Binds NAME, the fold of `stack` codebooks, or of one without that dimension where stack is 0. offset, and what the
 * model says of events, are the caller's to set before. On failure too, vqr_codebook_unbind is to be called.
 * Errors: FORMAT, MEMORY. */
enum vqr_status vqr_bind_codebook(struct vqr_binder *binder, struct vqr_codebook *codebook, const char *sequence,
                                  int scores, size_t stack, size_t codewords, const char *name);
void vqr_codebook_unbind(struct vqr_codebook *codebook);

/* Adds a codebook to what its sequence needs; and takes that, `codebook` being any of them. */
void vqr_codebook_need(struct vqr_codebook_needs *needs, const struct vqr_codebook *codebook);
void vqr_codebook_take_scratch(const struct vqr_codebook *codebook, const struct vqr_codebook_needs *needs,
                               struct vqr_codebook_scratch *scratch, struct vqr_arena *arena);

/* What all codebooks of a sequence share about a block of events, before the first of them. */
void vqr_codebook_load(const struct vqr_codebook *codebook, const struct vqr_kernels *k,
                       struct vqr_codebook_scratch *scratch, const struct vqr_event_block *block);

/* z[block->rows]: the codewords of the events that were loaded, in codebook j: as stored, or else computed. */
void vqr_codebook_assign(const struct vqr_codebook *codebook, const struct vqr_kernels *k,
                         struct vqr_codebook_scratch *scratch, size_t j, const struct vqr_event_block *block,
                         uint32_t *z);

/* screen.c: what quantize_exact_f32 knows of each codebook, measured on codebook->fold. Errors: MEMORY. */
enum vqr_status vqr_codebook_measure(struct vqr_codebook *codebook, struct vqr_error *error);

#endif
