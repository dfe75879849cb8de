#include "runtime/head.h"

#include <stdio.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/memory.h"

/* Columns of x0 that all candidates share: user and context. */
static size_t shared_width(const struct vqr_model *model)
{
    return model->inputs[VQR_USER].width + model->inputs[VQR_CONTEXT].width;
}

/* The first layer in two parts. In fp32 they are the first rows of one matrix and the others; in int8, what candidates
 * do not share is a layer of its own, so that all of them can start from what they do. */
static enum vqr_status bind_first(struct vqr_binder *binder, size_t in, size_t out)
{
    struct vqr_head *head = &binder->model->head;
    struct vqr_linear *first = &head->layer[0];
    const size_t shared = shared_width(binder->model);
    head->shared_in = shared;
    if (!vqr_tensor_is_int8(binder, "head.0.weight")) {
        const enum vqr_status status = vqr_bind_linear(binder, first, 0, in, out, "head.0");
        if (status)
            return status;
        head->shared = first->weight.data;
        head->shared_step = first->panel_step;
        first->weight.data += shared * VQR_LANES;
        first->in -= shared;
        return VQR_OK;
    }
    head->shared_step = shared * VQR_LANES;
    enum vqr_status status = VQR_OK;
    if (shared)
        status = vqr_bind_flat_matrix(binder, &head->shared, shared, out, "head.0.shared");
    return status ? status : vqr_bind_linear(binder, first, 0, in - shared, out, "head.0");
}

static enum vqr_status bind_layer(struct vqr_binder *binder, size_t i, size_t in, size_t out)
{
    struct vqr_head *head = &binder->model->head;
    char name[32];
    snprintf(name, sizeof name, "head.%zu", i);
    if (out > head->widest)
        head->widest = out;
    return i == 0 ? bind_first(binder, in, out) : vqr_bind_linear(binder, &head->layer[i], 0, in, out, name);
}

enum vqr_status vqr_bind_head(struct vqr_binder *binder)
{
    struct vqr_model *model = binder->model;
    struct vqr_head *head = &model->head;
    struct vqr_header_head header;
    vqr_header_head(&model->header, &header);
    if (header.output_count == 0)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "the head has no outputs");
    for (size_t i = 0; i < header.output_count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(vqr_header_output(&model->header, i), vqr_header_output(&model->header, j)) == 0)
                return vqr_fail(binder->error, VQR_ERROR_FORMAT, "output \"%s\": the name is used twice",
                                vqr_header_output(&model->header, i));
    if (header.hidden_count >= VQR_LAYERS_MAX)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "%zu hidden layers of the head, expected fewer than %d",
                        header.hidden_count, VQR_LAYERS_MAX);
    head->layers = header.hidden_count + 1;
    model->outputs = header.output_count;
    head->layer = vqr_allocate(head->layers, sizeof *head->layer, binder->error);
    head->activation = vqr_allocate(head->layers, sizeof *head->activation, binder->error);
    if (!head->layer || !head->activation)
        return VQR_ERROR_MEMORY;
    enum vqr_status status = vqr_check_activation(binder, header.activation, "the head");
    size_t in = shared_width(model) + model->inputs[VQR_CANDIDATE].width + model->interest_width;
    for (size_t i = 0; !status && i < head->layers; i++) {
        const size_t out = i < header.hidden_count ? vqr_header_hidden(&model->header, i) : header.output_count;
        status = bind_layer(binder, i, in, out);
        char name[32];
        snprintf(name, sizeof name, "head.%zu", i);
        if (!status && i < header.hidden_count)
            status = vqr_bind_activation(binder, &head->activation[i], header.activation, 0, out, name);
        in = out;
    }
    return status;
}

void vqr_head_take_scratch(const struct vqr_model *model, struct vqr_head_scratch *scratch, struct vqr_arena *arena)
{
    const size_t shared = shared_width(model);
    scratch->ux = vqr_take(arena, vqr_padded(shared), sizeof(float));
    scratch->hoisted = vqr_take(arena, vqr_padded(model->head.layer[0].out), sizeof(float));
    scratch->stride = vqr_padded(model->head.widest);
    scratch->a = vqr_take(arena, vqr_times(VQR_CANDIDATE_BLOCK, scratch->stride), sizeof(float));
    scratch->b = vqr_take(arena, vqr_times(VQR_CANDIDATE_BLOCK, scratch->stride), sizeof(float));
    struct vqr_int8_needs needs = {0, 0, 0};
    for (size_t i = 0; i < model->head.layers; i++)
        vqr_int8_need(&needs, &model->head.layer[i].int8);
    vqr_int8_rows_take(&needs, &scratch->int8, arena);
}

void vqr_head_hoist(const struct vqr_model *model, const struct vqr_kernels *k, struct vqr_head_scratch *scratch)
{
    const struct vqr_head *head = &model->head;
    const size_t out = head->layer[0].out;
    k->gemm_f32(scratch->hoisted, vqr_padded(out), scratch->ux, head->shared_in, 1, head->shared, head->shared_step,
                head->shared_in, vqr_panels(out), head->layer[0].bias.data);
}

void vqr_head_first(const struct vqr_model *model, const struct vqr_kernels *k, struct vqr_head_scratch *scratch,
                    const float *x, size_t x_stride, size_t rows, size_t row)
{
    vqr_linear_run_from(&model->head.layer[0], k, &scratch->int8, 0, scratch->a + row * scratch->stride,
                        scratch->stride, x, x_stride, rows, scratch->hoisted);
}

const float *vqr_head_logits(const struct vqr_model *model, const struct vqr_kernels *k,
                             struct vqr_head_scratch *scratch, size_t rows)
{
    const struct vqr_head *head = &model->head;
    const size_t stride = scratch->stride;
    float *y = scratch->a, *next = scratch->b;
    for (size_t i = 1; i < head->layers; i++) {
        const struct vqr_linear *layer = &head->layer[i];
        vqr_activate(&head->activation[i - 1], k, 0, y, stride, rows, layer->in);
        vqr_linear_run(layer, k, &scratch->int8, 0, next, stride, y, stride, rows);
        float *const swap = y;
        y = next;
        next = swap;
    }
    return y;
}
