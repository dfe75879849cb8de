/* Codebooks that events are quantized with: folded with their projection at conversion, so that an event's scores are
 * one product, computed in fp32, in int8, or in fp32 only where int8 leaves a choice (docs/int8.md). */
#ifndef VQR_CODEBOOK_H
#define VQR_CODEBOOK_H

#include "runtime/int8_matrix.h"
#include "runtime/sequence.h"

/* N codebooks of W codewords each, over events of width D. */
struct vqr_codebook {
    size_t count, codewords, width; /* N, W, D */
    enum vqr_scores scores;         /* exact ones only where screening may pay */
    struct vqr_weights fold;        /* [N, D, W] panels; NULL with int8 scores */
    struct vqr_int8_matrix int8;    /* int8 scores: the fold */
    size_t first;                   /* the number of codebook 0 in its sequence */
    const float *offset;            /* [W] padded, or NULL for none */
    const uint32_t *widths;         /* [features] of the events' features */
    size_t features;
    struct vqr_screen *screen; /* exact: [N] */
    void *screens;             /* exact: the memory that screens point into */
};

struct vqr_codebook_scratch {
    struct vqr_int8_rows rows; /* int8 scores: a block's events */
    float *start; /* int8 scores: [VQR_INT8_ROWS, padded(most codewords)] what they start from, if columns are kept */
    struct vqr_screen_scratch screen;
};

/* Binds NAME, the fold of `stack` codebooks, or of one without that dimension where stack is 0. offset, and what the
 * model says of events, are the caller's to set before. On failure too, vqr_codebook_unbind is to be called.
 * Errors: FORMAT, MEMORY. */
enum vqr_status vqr_bind_codebook(struct vqr_binder *binder, struct vqr_codebook *codebook, const char *sequence,
                                  int scores, size_t stack, size_t codewords, const char *name);
void vqr_codebook_unbind(struct vqr_codebook *codebook);

/* For the codebooks of one sequence, which read the same events; `most` is the largest W, `screened` whether one of
 * them has exact scores. */
void vqr_codebook_take_scratch(const struct vqr_codebook *codebook, size_t most, bool screened,
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
