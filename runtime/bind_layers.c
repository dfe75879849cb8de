#include "runtime/bind_layers.h"

#include <math.h>
#include <stdio.h>

#include "runtime/model.h"

enum vqr_status vqr_check_range(struct vqr_binder *binder, const char *sequence, const char *what, uint32_t value,
                                uint32_t low, uint32_t high)
{
    if (value >= low && value <= high)
        return VQR_OK;
    return vqr_fail(binder->error, VQR_ERROR_FORMAT, "sequence \"%s\": %s is %u, expected %u to %u", sequence, what,
                    value, low, high);
}

enum vqr_status vqr_bind_matrix(struct vqr_binder *binder, struct vqr_weights *weight, size_t stack, size_t in,
                                size_t out, const char *name)
{
    weight->step = stack > 1 ? in * vqr_padded(out) : 0;
    return stack ? vqr_bind_panels(binder, &weight->data, stack, in, out, "%s", name)
                 : vqr_bind_flat_matrix(binder, &weight->data, in, out, name);
}

enum vqr_status vqr_bind_flat_matrix(struct vqr_binder *binder, const float **data, size_t in, size_t out,
                                     const char *name)
{
    const struct vqr_expected expected = {.type = VQR_TENSOR_F32, .layout = VQR_PANELS, .rank = 2, .shape = {in, out}};
    const void *found = NULL;
    const enum vqr_status status = vqr_bind_tensor(binder, &expected, &found, "%s", name);
    *data = found;
    return status;
}

double vqr_event_bound(const struct vqr_model *model, const float *panel)
{
    double bound = 0.0;
    for (size_t i = 0; i < model->inputs[VQR_EVENT].width; i++)
        bound += fabs((double)panel[i * VQR_LANES]) * model->event_columns.limit[i];
    return bound;
}

enum vqr_status vqr_bind_row(struct vqr_binder *binder, struct vqr_weights *row, size_t stack, size_t n,
                             const char *name)
{
    const void *data = NULL;
    if (stack > 0) {
        row->step = stack == 1 ? 0 : vqr_padded(n);
        return vqr_bind_rows(binder, &row->data, stack, n, "%s", name);
    }
    const struct vqr_expected expected = {.type = VQR_TENSOR_F32, .layout = VQR_PADDED_ROWS, .rank = 1, .shape = {n}};
    const enum vqr_status status = vqr_bind_tensor(binder, &expected, &data, "%s", name);
    *row = (struct vqr_weights){data, 0};
    return status;
}

/* "NAME.part" */
static const char *part_name(char text[VQR_NAME_SIZE], const char *name, const char *part)
{
    snprintf(text, VQR_NAME_SIZE, "%s.%s", name, part);
    return text;
}

enum vqr_status vqr_bind_norm(struct vqr_binder *binder, struct vqr_weights *weight, struct vqr_weights *bias,
                              size_t stack, size_t n, const char *name)
{
    char text[VQR_NAME_SIZE];
    const enum vqr_status status = vqr_bind_row(binder, weight, stack, n, part_name(text, name, "weight"));
    return status ? status : vqr_bind_row(binder, bias, stack, n, part_name(text, name, "bias"));
}

enum vqr_status vqr_check_activation(struct vqr_binder *binder, int kind, const char *where)
{
    return kind >= VQR_RELU && kind <= VQR_DICE ? VQR_OK : vqr_refuse_unknown(binder, kind, "%s: activation", where);
}

enum vqr_status vqr_bind_activation(struct vqr_binder *binder, struct vqr_activation_layer *layer, int kind,
                                    size_t stack, size_t n, const char *name)
{
    char text[VQR_NAME_SIZE];
    enum vqr_status status = VQR_OK;
    layer->kind = (enum vqr_activation)kind;
    if (kind == VQR_PRELU || kind == VQR_DICE)
        status = vqr_bind_row(binder, &layer->alpha, stack, n, part_name(text, name, "alpha"));
    if (!status && kind == VQR_DICE)
        status = vqr_bind_row(binder, &layer->mean, stack, n, part_name(text, name, "mean"));
    if (!status && kind == VQR_DICE)
        status = vqr_bind_row(binder, &layer->inv_std, stack, n, part_name(text, name, "inv_std"));
    return status;
}
