/* What a session holds: kernels and scratch. */
#ifndef VQR_SESSION_H
#define VQR_SESSION_H

#include "runtime/assignments.h"
#include "runtime/gather.h"
#include "runtime/head.h"

struct vqr_session {
    const struct vqr_model *model;
    const struct vqr_isa *isa;
    struct vqr_kernels k;
    void *owned; /* what to free, or NULL for a caller's buffer */

    struct vqr_gather_scratch scratch;
    float *e; /* [VQR_EVENT_BLOCK, e_stride] events' embeddings */
    size_t e_stride;
    struct vqr_stored_codewords stored; /* of the block of events, if the file stores any */
    float *x; /* [VQR_CANDIDATE_BLOCK, x_stride] candidates' embeddings and interests, what the head reads */
    size_t x_stride;
    struct vqr_head_scratch head;
    void **sequence; /* [model->sequence_count] each kind's own */
};

#endif
