#include "runtime/linear.h"

#include <stdio.h>

#include "runtime/bind_layers.h"

enum vqr_status vqr_bind_product(struct vqr_binder *binder, struct vqr_linear *linear, size_t stack, size_t in,
                                 size_t out, const char *name)
{
    char text[VQR_NAME_SIZE + 64];
    snprintf(text, sizeof text, "%s.weight", name);
    *linear = (struct vqr_linear){.in = in, .out = out, .panel_step = in * VQR_LANES};
    return vqr_tensor_is_int8(binder, text) ? vqr_bind_int8_matrix(binder, &linear->int8, stack, in, out, text, name)
                                            : vqr_bind_matrix(binder, &linear->weight, stack, in, out, text);
}

enum vqr_status vqr_bind_linear(struct vqr_binder *binder, struct vqr_linear *linear, size_t stack, size_t in,
                                size_t out, const char *name)
{
    char text[VQR_NAME_SIZE + 64];
    snprintf(text, sizeof text, "%s.bias", name);
    const enum vqr_status status = vqr_bind_product(binder, linear, stack, in, out, name);
    return status ? status : vqr_bind_row(binder, &linear->bias, stack, out, text);
}

static void run_int8(const struct vqr_int8_matrix *matrix, const struct vqr_kernels *k, struct vqr_int8_rows *scratch,
                     size_t codebook, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                     const float *init)
{
    for (size_t r = 0; r < rows; r += VQR_INT8_ROWS, x += VQR_INT8_ROWS * x_stride, y += VQR_INT8_ROWS * y_stride) {
        const size_t here = rows - r < VQR_INT8_ROWS ? rows - r : VQR_INT8_ROWS;
        size_t start_stride;
        vqr_int8_rows_load(matrix, k, scratch, x, x_stride, here);
        const float *start = vqr_int8_rows_start(matrix, k, scratch, codebook, here, y, y_stride, init, &start_stride);
        k->gemm_i8(y, y_stride, scratch->q, scratch->q_stride, scratch->scale, here,
                   matrix->quads + codebook * matrix->quads_step, vqr_weights_of(matrix->scale, codebook),
                   (matrix->in + 3) / 4, vqr_panels(matrix->out), start, start_stride);
    }
}

void vqr_linear_run_from(const struct vqr_linear *linear, const struct vqr_kernels *k, struct vqr_int8_rows *scratch,
                         size_t codebook, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                         const float *init)
{
    if (linear->int8.quads)
        run_int8(&linear->int8, k, scratch, codebook, y, y_stride, x, x_stride, rows, init);
    else
        k->gemm_f32(y, y_stride, x, x_stride, rows, vqr_weights_of(linear->weight, codebook), linear->panel_step,
                    linear->in, vqr_panels(linear->out), init);
}

void vqr_linear_run(const struct vqr_linear *linear, const struct vqr_kernels *k, struct vqr_int8_rows *scratch,
                    size_t codebook, float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows)
{
    vqr_linear_run_from(linear, k, scratch, codebook, y, y_stride, x, x_stride, rows,
                        vqr_weights_of(linear->bias, codebook));
}
