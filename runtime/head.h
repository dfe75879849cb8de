/* The head: from user, context, candidate and interests to one score per output. */
#ifndef VQR_HEAD_H
#define VQR_HEAD_H

#include "runtime/model.h"

/* Scratch of the head for one block of candidates. */
struct vqr_head_scratch {
    float *ux; /* [padded(user + context)] */
    float
        *hoisted;  /* [padded(first layer's outputs)] the first layer's chains over u and x, shared by all candidates */
    float *a, *b;  /* [VQR_CANDIDATE_BLOCK, padded(widest layer)] */
    size_t stride; /* of a and b */
    struct vqr_int8_rows int8;
};

void vqr_head_take_scratch(const struct vqr_model *model, struct vqr_head_scratch *scratch, struct vqr_arena *arena);

/* Starts the first layer from scratch->ux: chains run over u, x, then t and the interests, so that the part that all
 * candidates of a user share is computed once. */
void vqr_head_hoist(const struct vqr_model *model, const struct vqr_kernels *k, struct vqr_head_scratch *scratch);

/* The first layer of x[rows, x_stride] = [t, interests], from what was hoisted last, into rows `row` ... of a block of
 * at most VQR_CANDIDATE_BLOCK candidates, whose users may differ. */
void vqr_head_first(const struct vqr_model *model, const struct vqr_kernels *k, struct vqr_head_scratch *scratch,
                    const float *x, size_t x_stride, size_t rows, size_t row);

/* The other layers of the block's `rows`: logits, rows of scratch->stride. */
const float *vqr_head_logits(const struct vqr_model *model, const struct vqr_kernels *k,
                             struct vqr_head_scratch *scratch, size_t rows);

#endif
