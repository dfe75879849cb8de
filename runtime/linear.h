/* Linear layers, in fp32 or int8 (docs/int8.md): the file says which, and what follows is the same for both. */
#ifndef VQR_LINEAR_H
#define VQR_LINEAR_H

#include "runtime/int8_matrix.h"

/* One set of weights per codebook, or one for all. */
struct vqr_linear {
    size_t in, out;
    struct vqr_weights weight;   /* fp32: [in, out] panels, */
    size_t panel_step;           /* floats from one to the next: 16 in, or more where rows before these are left out */
    struct vqr_int8_matrix int8; /* or this */
    struct vqr_weights bias;     /* [out] padded; NULL for none */
};

/* Binds NAME.weight, in panels of fp32 or in int8, each [stack, ...], and NAME.bias. `stack` 1 is shared by all
 * codebooks; 0: the tensors have no such dimension. Errors: FORMAT. */
enum vqr_status vqr_bind_linear(struct vqr_binder *binder, struct vqr_linear *linear, size_t stack, size_t in,
                                size_t out, const char *name);

/* The same for a layer that has no bias. */
enum vqr_status vqr_bind_product(struct vqr_binder *binder, struct vqr_linear *linear, size_t stack, size_t in,
                                 size_t out, const char *name);

/* y[rows, y_stride] = x[rows, x_stride] W + b of `codebook`; rows of y are padded. scratch: taken for this layer among
 * others, by vqr_int8_need of linear->int8. */
void vqr_linear_run(const struct vqr_linear *linear, const struct vqr_kernels *k, struct vqr_int8_rows *scratch,
                    size_t codebook, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows);

/* The same onto init[padded(out)] in place of the bias. */
void vqr_linear_run_from(const struct vqr_linear *linear, const struct vqr_kernels *k, struct vqr_int8_rows *scratch,
                         size_t codebook, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                         const float *init);

#endif
