/* Linear layers, in fp32 or int8 (docs/int8.md): the file says which, and what follows is the same for both. */
#ifndef VQR_LINEAR_H
#define VQR_LINEAR_H

#include "runtime/arena.h"
#include "runtime/tensors.h"
#include "runtime/weights.h"
#include "simd/simd.h"

/* One set of weights per codebook, or one for all. */
struct vqr_linear {
    size_t in, out;
    struct vqr_weights weight; /* fp32: [in, out] panels, */
    size_t panel_step;   /* floats from one panel to the next: 16 in, or more where rows before these are left out */
    const int8_t *quads; /* int8: [in, out] quads, else NULL */
    size_t quads_step;   /* bytes from one codebook's to the next, 0 when shared */
    struct vqr_weights scale; /* int8: [out] padded, of the steps of each output's weights */
    struct vqr_weights bias;  /* [out] padded; NULL for none */
};

/* Rows that are turned into int8 at a time. */
enum { VQR_LINEAR_ROWS = 48 };

struct vqr_linear_scratch {
    size_t stride;
    int8_t *q;    /* [VQR_LINEAR_ROWS, stride] */
    float *scale; /* [VQR_LINEAR_ROWS] */
};

/* Binds NAME.weight, in panels of fp32 or in quads of int8 with NAME.scale, each [stack, ...], and NAME.bias. `stack` 1
 * is shared by all codebooks; 0: the tensors have no such dimension. Errors: FORMAT. */
enum vqr_status vqr_bind_linear(struct vqr_binder *binder, struct vqr_linear *linear, size_t stack, size_t in,
                                size_t out, const char *name);

/* The same for a layer that has no bias. */
enum vqr_status vqr_bind_product(struct vqr_binder *binder, struct vqr_linear *linear, size_t stack, size_t in,
                                 size_t out, const char *name);

/* Scratch for layers run one after another, of which the widest int8 one has `widest` inputs; 0: all are fp32. */
void vqr_linear_take_scratch(size_t widest, struct vqr_linear_scratch *scratch, struct vqr_arena *arena);

/* The larger of `widest` and the layer's inputs, if it is int8. */
static inline size_t vqr_widest_int8(size_t widest, const struct vqr_linear *linear)
{
    return linear->quads && linear->in > widest ? linear->in : widest;
}

/* y[rows, y_stride] = x[rows, x_stride] W + b of `codebook`; rows of y are padded. */
void vqr_linear_run(const struct vqr_linear *linear, const struct vqr_kernels *k,
                    const struct vqr_linear_scratch *scratch, size_t codebook, float *y, size_t y_stride,
                    const float *x, size_t x_stride, size_t rows);

/* The same onto init[padded(out)] in place of the bias. */
void vqr_linear_run_from(const struct vqr_linear *linear, const struct vqr_kernels *k,
                         const struct vqr_linear_scratch *scratch, size_t codebook, float *y, size_t y_stride,
                         const float *x, size_t x_stride, size_t rows, const float *init);

#endif
