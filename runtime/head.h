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
};

void vqr_head_take_scratch(const struct vqr_model *model, struct vqr_head_scratch *scratch, struct vqr_arena *arena);

/* Starts the first layer from scratch->ux: chains run over u, x, then t and the interests, so that the part that all
 * candidates share is computed once. */
void vqr_head_hoist(const struct vqr_model *model, const struct vqr_kernels *k, struct vqr_head_scratch *scratch);

/* rows <= VQR_CANDIDATE_BLOCK rows of x = [t, interests] -> outputs [rows, model->outputs], 0 ... 1.
 * Returns the first row of which a value before the sigmoid is not finite, or `rows`. */
size_t vqr_head_run(const struct vqr_model *model, const struct vqr_kernels *k, const struct vqr_head_scratch *scratch,
                    const float *x, size_t x_stride, size_t rows, float *outputs);

#endif
