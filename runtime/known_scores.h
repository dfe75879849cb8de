/* Codeword scores of small vocabularies.
 *
 * A feature's part in an event's scores is a chain of its own (docs/numerics.md, "Codeword scores"), so every event
 * with the same row of the feature's table has the same one. It is computed when a session first meets the row and
 * looked up from then on: the same bits, without the multiplications. */
#ifndef VQR_KNOWN_SCORES_H
#define VQR_KNOWN_SCORES_H

#include "runtime/model.h"

/* What they may take of a session, which the model's sequences share evenly. Enough for a thousand rows and a thousand
 * codewords; a table that does not stay in the last-level cache would cost more to read than its chains to compute. */
enum { VQR_KNOWN_BYTES = 4 << 20 };

/* The codebooks of a sequence together. */
struct vqr_known_room {
    size_t slots, columns; /* how many, and their padded codewords */
    size_t bytes;          /* the sequence's share */
};

/* The codebooks of a sequence side by side: codebook `slot` has the `columns` columns from `column` on. */
struct vqr_known_place {
    size_t slot, column, columns;
};

/* One feature's chains. */
struct vqr_known_table {
    float *scores;   /* codebook by codebook [rows, columns]; NULL: the feature's chains are computed every time */
    uint8_t *filled; /* [slots, rows] whether the codebook's row is there */
    size_t rows;
};

/* Of features, as quantize_f32 numbers them. */
struct vqr_known {
    size_t width;                   /* columns of e whose features are kept */
    struct vqr_known_table *table;  /* [features]; NULL: none is kept */
    struct vqr_known_scores *given; /* [features] what the kernel reads */
};

/* Whether a feature's chains are kept: its table fits with all that are smaller, of equal ones those before it. */
bool vqr_known_is_kept(const struct vqr_inputs *events, size_t feature, const struct vqr_known_room *room);

/* How many columns of e the features have that are kept. */
size_t vqr_known_width(const struct vqr_inputs *events, const struct vqr_known_room *room);

/* Room for the features of `events` whose tables are small enough, the smallest first. */
void vqr_known_take(const struct vqr_inputs *events, const struct vqr_known_room *room, struct vqr_known *known,
                    struct vqr_arena *arena);

/* What is known of a block's events in one codebook, whose panels of [width, columns] are `fold`; the rows that were
 * missing are computed. NULL if no feature's chains are kept. */
const struct vqr_known_scores *vqr_known_of(const struct vqr_inputs *events, const struct vqr_kernels *k,
                                            struct vqr_known *known, const struct vqr_known_place *place,
                                            const float *fold, const struct vqr_event_block *block);

#endif
