/* Matrices in int8 and the rows that meet them (docs/int8.md): what linear layers and codebooks share. */
#ifndef VQR_INT8_MATRIX_H
#define VQR_INT8_MATRIX_H

#include "runtime/arena.h"
#include "runtime/tensors.h"
#include "runtime/weights.h"
#include "simd/simd.h"

/* [in, out]: one for each codebook, or one for all. */
struct vqr_int8_matrix {
    size_t in, out;
    const int8_t *quads;      /* NULL: there is none, the matrix is fp32 */
    size_t quads_step;        /* bytes from one codebook's to the next, 0 when shared */
    struct vqr_weights scale; /* [out] padded: the steps of each output's numbers */

    /* Columns of the input that stay fp32; the quads' rows of these do not count. */
    size_t kept;
    const uint32_t *kept_column;    /* [kept], ascending */
    struct vqr_weights kept_weight; /* [kept, out] panels */
};

/* Rows that are turned into int8 at a time. */
enum { VQR_INT8_ROWS = 48 };

/* Up to VQR_INT8_ROWS rows as matrices need them. */
struct vqr_int8_rows {
    size_t q_stride, x_stride, kept_stride;
    int8_t *q;    /* [VQR_INT8_ROWS, q_stride] */
    float *scale; /* [VQR_INT8_ROWS] */
    float *x;     /* [VQR_INT8_ROWS, x_stride] the rows with 0 in kept columns, if a matrix has some */
    float *kept;  /* [VQR_INT8_ROWS, kept_stride] those columns */
};

/* What the matrices of one scratch need of it. */
struct vqr_int8_needs {
    size_t in, kept_in, kept; /* the widest of all, of those with kept columns, and the most of these; 0: none */
};

/* Whether the file has a tensor of that name in int8. */
bool vqr_tensor_is_int8(const struct vqr_binder *binder, const char *name);

/* Binds tensor NAME, a list of some of `columns` columns, ascending; where the file has none *count is 0.
 * Errors: FORMAT. */
enum vqr_status vqr_bind_columns(struct vqr_binder *binder, const uint32_t **column, size_t *count, size_t columns,
                                 const char *name);

/* Binds quads WEIGHT [stack, in, out], steps NAME.scale and, if the file has them, NAME.kept and NAME.kept.weight;
 * stack 0 for tensors without that dimension. Errors: FORMAT. */
enum vqr_status vqr_bind_int8_matrix(struct vqr_binder *binder, struct vqr_int8_matrix *matrix, size_t stack, size_t in,
                                     size_t out, const char *weight, const char *name);

void vqr_int8_need(struct vqr_int8_needs *needs, const struct vqr_int8_matrix *matrix);
void vqr_int8_rows_take(const struct vqr_int8_needs *needs, struct vqr_int8_rows *rows, struct vqr_arena *arena);

/* Loads x[count, x_stride], count <= VQR_INT8_ROWS, for `matrix` and others with the same input and kept columns. */
void vqr_int8_rows_load(const struct vqr_int8_matrix *matrix, const struct vqr_kernels *k, struct vqr_int8_rows *rows,
                        const float *x, size_t x_stride, size_t count);

/* What the loaded rows' integer sums start from: y[count, y_stride], padded, the chains over kept columns from init
 * [padded(out)] (NULL: 0), and returns y with its stride; where no columns are kept init, with stride 0. */
const float *vqr_int8_rows_start(const struct vqr_int8_matrix *matrix, const struct vqr_kernels *k,
                                 const struct vqr_int8_rows *rows, size_t codebook, size_t count, float *y,
                                 size_t y_stride, const float *init, size_t *start_stride);

#endif
