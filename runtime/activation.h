/* The activation of one layer, with the parameters that it learned. */
#ifndef VQR_ACTIVATION_H
#define VQR_ACTIVATION_H

#include "runtime/weights.h"
#include "schema/reader.h"
#include "simd/simd.h"

struct vqr_activation_layer {
    enum vqr_activation kind;
    struct vqr_weights alpha;         /* prelu, dice: [n] padded */
    struct vqr_weights mean, inv_std; /* dice: [n] padded */
};

/* x[rows, stride], n columns of each, in place, by codebook's parameters. */
void vqr_activate(const struct vqr_activation_layer *layer, const struct vqr_kernels *k, size_t codebook, float *x,
                  size_t stride, size_t rows, size_t n);

#endif
