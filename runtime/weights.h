/* Weights of layers that come one set per codebook, or one set for all. */
#ifndef VQR_WEIGHTS_H
#define VQR_WEIGHTS_H

#include <stddef.h>

struct vqr_weights {
    const float *data;
    size_t step; /* floats from one codebook's to the next, 0 when shared */
};

static inline const float *vqr_weights_of(struct vqr_weights weights, size_t codebook)
{
    return weights.data ? weights.data + codebook * weights.step : NULL;
}

#endif
