#include "runtime/int8_matrix.h"

#include <stdio.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/model.h"

/* ---- binding ---- */

bool vqr_tensor_is_int8(const struct vqr_binder *binder, const char *name)
{
    struct vqr_header_tensor found;
    return vqr_header_find_tensor(&binder->model->header, name, &found) && found.type == VQR_TENSOR_I8;
}

static enum vqr_status bind_quads(struct vqr_binder *binder, struct vqr_int8_matrix *matrix, size_t stack,
                                  const char *name)
{
    const size_t in = matrix->in, out = matrix->out;
    struct vqr_expected expected = {.type = VQR_TENSOR_I8, .layout = VQR_QUADS, .rank = 3, .shape = {stack, in, out}};
    if (stack == 0)
        expected = (struct vqr_expected){.type = VQR_TENSOR_I8, .layout = VQR_QUADS, .rank = 2, .shape = {in, out}};
    if (in > VQR_INT8_TERMS_MAX)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "tensor \"%s\": %zu inputs, expected at most %d in int8", name,
                        in, VQR_INT8_TERMS_MAX);
    const void *data = NULL;
    const enum vqr_status status = vqr_bind_tensor(binder, &expected, &data, "%s", name);
    matrix->quads = data;
    matrix->quads_step = stack > 1 ? (in + 3) / 4 * 4 * vqr_padded(out) : 0;
    return status;
}

static enum vqr_status bind_scale(struct vqr_binder *binder, struct vqr_int8_matrix *matrix, size_t stack,
                                  const char *name)
{
    const enum vqr_status status = vqr_bind_row(binder, &matrix->scale, stack, matrix->out, name);
    const size_t count = (stack ? stack : 1) * vqr_padded(matrix->out);
    for (size_t i = 0; !status && i < count; i++)
        if (!(matrix->scale.data[i] >= 0.0f))
            return vqr_fail(binder->error, VQR_ERROR_FORMAT, "tensor \"%s\": value %zu is %g, expected 0 or more", name,
                            i, (double)matrix->scale.data[i]);
    return status;
}

enum vqr_status vqr_bind_columns(struct vqr_binder *binder, const uint32_t **column, size_t *count, size_t columns,
                                 const char *name)
{
    struct vqr_header_tensor found;
    *count = 0;
    if (!vqr_header_find_tensor(&binder->model->header, name, &found))
        return VQR_OK;
    *count = (size_t)found.shape[0];
    if (*count < 1 || *count > columns)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "tensor \"%s\": %zu columns, expected 1 to %zu", name, *count,
                        columns);
    const struct vqr_expected expected = {.type = VQR_TENSOR_U32, .layout = VQR_ROWS, .rank = 1, .shape = {*count}};
    const void *data = NULL;
    enum vqr_status status = vqr_bind_tensor(binder, &expected, &data, "%s", name);
    const uint32_t *number = *column = data;
    for (size_t i = 0; !status && i < *count; i++)
        if (number[i] >= columns || (i && number[i] <= number[i - 1]))
            status = vqr_fail(binder->error, VQR_ERROR_FORMAT,
                              "tensor \"%s\": number %zu is %u, expected columns that ascend, below %zu", name, i,
                              number[i], columns);
    return status;
}

static enum vqr_status bind_kept(struct vqr_binder *binder, struct vqr_int8_matrix *matrix, size_t stack,
                                 const char *name)
{
    char text[VQR_NAME_SIZE + 64];
    snprintf(text, sizeof text, "%s.kept", name);
    const enum vqr_status status = vqr_bind_columns(binder, &matrix->kept_column, &matrix->kept, matrix->in, text);
    if (status || matrix->kept == 0)
        return status;
    snprintf(text, sizeof text, "%s.kept.weight", name);
    return vqr_bind_matrix(binder, &matrix->kept_weight, stack, matrix->kept, matrix->out, text);
}

enum vqr_status vqr_bind_int8_matrix(struct vqr_binder *binder, struct vqr_int8_matrix *matrix, size_t stack, size_t in,
                                     size_t out, const char *weight, const char *name)
{
    char text[VQR_NAME_SIZE + 64];
    *matrix = (struct vqr_int8_matrix){.in = in, .out = out};
    snprintf(text, sizeof text, "%s.scale", name);
    enum vqr_status status = bind_quads(binder, matrix, stack, weight);
    if (!status)
        status = bind_scale(binder, matrix, stack, text);
    return status ? status : bind_kept(binder, matrix, stack, name);
}

/* ---- rows ---- */

void vqr_int8_need(struct vqr_int8_needs *needs, const struct vqr_int8_matrix *matrix)
{
    if (!matrix->quads)
        return;
    needs->in = matrix->in > needs->in ? matrix->in : needs->in;
    needs->kept = matrix->kept > needs->kept ? matrix->kept : needs->kept;
    if (matrix->kept && matrix->in > needs->kept_in)
        needs->kept_in = matrix->in;
}

void vqr_int8_rows_take(const struct vqr_int8_needs *needs, struct vqr_int8_rows *rows, struct vqr_arena *arena)
{
    rows->q_stride = (needs->in + 3) / 4 * 4;
    rows->x_stride = needs->kept_in;
    rows->kept_stride = needs->kept;
    rows->q = vqr_take(arena, vqr_times(VQR_INT8_ROWS, rows->q_stride), sizeof *rows->q);
    rows->scale = vqr_take(arena, needs->in ? VQR_INT8_ROWS : 0, sizeof *rows->scale);
    rows->x = vqr_take(arena, vqr_times(VQR_INT8_ROWS, rows->x_stride), sizeof *rows->x);
    rows->kept = vqr_take(arena, vqr_times(VQR_INT8_ROWS, rows->kept_stride), sizeof *rows->kept);
}

void vqr_int8_rows_load(const struct vqr_int8_matrix *matrix, const struct vqr_kernels *k, struct vqr_int8_rows *rows,
                        const float *x, size_t x_stride, size_t count)
{
    for (size_t r = 0; matrix->kept && r < count; r++) {
        float *row = rows->x + r * rows->x_stride, *kept = rows->kept + r * rows->kept_stride;
        memcpy(row, x + r * x_stride, matrix->in * sizeof *row);
        for (size_t i = 0; i < matrix->kept; i++) {
            kept[i] = row[matrix->kept_column[i]];
            row[matrix->kept_column[i]] = 0.0f;
        }
    }
    k->to_int8_f32(rows->q, rows->q_stride, rows->scale, matrix->kept ? rows->x : x,
                   matrix->kept ? rows->x_stride : x_stride, count, matrix->in);
}

const float *vqr_int8_rows_start(const struct vqr_int8_matrix *matrix, const struct vqr_kernels *k,
                                 const struct vqr_int8_rows *rows, size_t codebook, size_t count, float *y,
                                 size_t y_stride, const float *init, size_t *start_stride)
{
    *start_stride = matrix->kept ? y_stride : 0;
    if (!matrix->kept)
        return init;
    k->gemm_f32(y, y_stride, rows->kept, rows->kept_stride, count, vqr_weights_of(matrix->kept_weight, codebook),
                matrix->kept * VQR_LANES, matrix->kept, vqr_panels(matrix->out), init);
    return y;
}
