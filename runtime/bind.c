#include "runtime/bind.h"
#include "runtime/memory.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/assignments.h"
#include "runtime/model.h"
#include "runtime/quantizer.h"

static enum vqr_status bind_sequence(struct vqr_binder *binder, size_t i)
{
    struct vqr_sequence *sequence = &binder->model->sequence[i];
    struct vqr_header_sequence header;
    vqr_header_sequence(&binder->model->header, i, &header);
    sequence->name = header.name;
    for (size_t j = 0; j < i; j++)
        if (strcmp(binder->model->sequence[j].name, header.name) == 0)
            return vqr_fail(binder->error, VQR_ERROR_FORMAT, "sequence \"%s\": the name is used twice", header.name);
    switch (header.kind) {
    case VQR_SEQUENCE_DMQN:
        sequence->kind = &vqr_dmqn;
        break;
    case VQR_SEQUENCE_DIN:
        sequence->kind = &vqr_din;
        break;
    case VQR_SEQUENCE_VQL:
        sequence->kind = &vqr_vql;
        break;
    case VQR_SEQUENCE_SDIM:
        sequence->kind = &vqr_sdim;
        break;
    case VQR_SEQUENCE_HSTU:
        sequence->kind = &vqr_hstu_last;
        break;
    case VQR_SEQUENCE_SIM_HARD:
        sequence->kind = &vqr_sim_hard;
        break;
    case VQR_SEQUENCE_TWIN:
        sequence->kind = &vqr_twin;
        break;
    default:
        return vqr_refuse_unknown(binder, header.kind, "sequence \"%s\": kind", header.name);
    }
    return sequence->kind->bind(binder, &header, sequence);
}

static enum vqr_status bind_sequences(struct vqr_binder *binder)
{
    struct vqr_model *model = binder->model;
    struct vqr_header_info info;
    vqr_header_info(&model->header, &info);
    model->sequence = vqr_allocate(info.sequences, sizeof *model->sequence, binder->error);
    enum vqr_status status = model->sequence ? VQR_OK : VQR_ERROR_MEMORY;
    for (size_t i = 0; !status && i < info.sequences; i++) {
        model->sequence_count = i + 1;
        status = bind_sequence(binder, i);
        if (!status)
            model->interest_width += model->sequence[i].interest_width;
    }
    return status;
}

/* Distinct names were bound, so any tensor left over is one that nothing reads. */
static enum vqr_status refuse_unread_tensors(struct vqr_binder *binder)
{
    struct vqr_header_info info;
    vqr_header_info(&binder->model->header, &info);
    if (binder->bound == info.tensors)
        return VQR_OK;
    return vqr_fail(binder->error, VQR_ERROR_FORMAT, "the file holds %zu tensors, its configuration reads %zu",
                    info.tensors, binder->bound);
}

enum vqr_status vqr_bind(struct vqr_binder *binder)
{
    enum vqr_status status = vqr_bind_tables(binder);
    if (!status)
        status = vqr_bind_quantizers(binder);
    if (!status)
        status = vqr_bind_inputs(binder);
    if (!status)
        status = bind_sequences(binder);
    if (!status)
        status = vqr_bind_assignments(binder);
    if (!status)
        status = vqr_bind_head(binder);
    if (!status)
        status = refuse_unread_tensors(binder);
    return status;
}

void vqr_unbind(struct vqr_model *model)
{
    for (size_t i = 0; i < model->sequence_count; i++)
        if (model->sequence[i].kind)
            model->sequence[i].kind->unbind(&model->sequence[i]);
    free(model->sequence);
    vqr_unbind_assignments(model);
    for (size_t g = 0; g < VQR_GROUPS; g++) {
        for (size_t i = 0; model->inputs[g].input && i < model->inputs[g].count; i++)
            free(model->inputs[g].input[i].level);
        free(model->inputs[g].input);
    }
    free(model->event_columns.widths);
    free(model->event_columns.scale);
    free(model->event_columns.unit);
    free(model->event_columns.limit);
    free(model->quantizer);
    free(model->table);
    free(model->head.layer);
    free(model->head.activation);
}
