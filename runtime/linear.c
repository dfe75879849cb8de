#include "runtime/linear.h"

#include <stdio.h>

#include "runtime/bind_layers.h"
#include "runtime/model.h"

/* ---- binding ---- */

enum vqr_status vqr_bind_product(struct vqr_binder *binder, struct vqr_linear *linear, size_t stack, size_t in,
                                 size_t out, const char *name)
{
    char text[VQR_NAME_SIZE + 32];
    snprintf(text, sizeof text, "%s.weight", name);
    *linear = (struct vqr_linear){.in = in, .out = out, .panel_step = in * VQR_LANES};
    if (!vqr_tensor_is_int8(binder, text))
        return vqr_bind_matrix(binder, &linear->weight, stack, in, out, text);
    if (in > VQR_INT8_TERMS_MAX)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "tensor \"%s\": %zu inputs, expected at most %d in int8", text,
                        in, VQR_INT8_TERMS_MAX);
    const enum vqr_status status = vqr_bind_quads(binder, &linear->quads, &linear->quads_step, stack, in, out, text);
    snprintf(text, sizeof text, "%s.scale", name);
    return status ? status : vqr_bind_scale(binder, &linear->scale, stack, out, text);
}

enum vqr_status vqr_bind_linear(struct vqr_binder *binder, struct vqr_linear *linear, size_t stack, size_t in,
                                size_t out, const char *name)
{
    char text[VQR_NAME_SIZE + 32];
    snprintf(text, sizeof text, "%s.bias", name);
    const enum vqr_status status = vqr_bind_product(binder, linear, stack, in, out, name);
    return status ? status : vqr_bind_row(binder, &linear->bias, stack, out, text);
}

/* ---- running ---- */

void vqr_linear_take_scratch(size_t widest, struct vqr_linear_scratch *scratch, struct vqr_arena *arena)
{
    scratch->stride = (widest + 3) / 4 * 4;
    scratch->q = vqr_take(arena, vqr_times(VQR_LINEAR_ROWS, scratch->stride), sizeof *scratch->q);
    scratch->scale = vqr_take(arena, widest ? VQR_LINEAR_ROWS : 0, sizeof *scratch->scale);
}

void vqr_linear_run_from(const struct vqr_linear *linear, const struct vqr_kernels *k,
                         const struct vqr_linear_scratch *scratch, size_t codebook, float *y, size_t y_stride,
                         const float *x, size_t x_stride, size_t rows, const float *init)
{
    const size_t in = linear->in, panels = vqr_panels(linear->out);
    if (!linear->quads) {
        k->gemm_f32(y, y_stride, x, x_stride, rows, vqr_weights_of(linear->weight, codebook), linear->panel_step, in,
                    panels, init);
        return;
    }
    for (size_t r = 0; r < rows; r += VQR_LINEAR_ROWS) {
        const size_t here = rows - r < VQR_LINEAR_ROWS ? rows - r : VQR_LINEAR_ROWS;
        k->to_int8_f32(scratch->q, scratch->stride, scratch->scale, x + r * x_stride, x_stride, here, in);
        k->gemm_i8(y + r * y_stride, y_stride, scratch->q, scratch->stride, scratch->scale, here,
                   linear->quads + codebook * linear->quads_step, vqr_weights_of(linear->scale, codebook), (in + 3) / 4,
                   panels, init, 0);
    }
}

void vqr_linear_run(const struct vqr_linear *linear, const struct vqr_kernels *k,
                    const struct vqr_linear_scratch *scratch, size_t codebook, float *y, size_t y_stride,
                    const float *x, size_t x_stride, size_t rows)
{
    vqr_linear_run_from(linear, k, scratch, codebook, y, y_stride, x, x_stride, rows,
                        vqr_weights_of(linear->bias, codebook));
}
