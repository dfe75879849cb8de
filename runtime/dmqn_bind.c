/* Configuration and tensors of a DMQN sequence being opened. */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/bind_layers.h"
#include "runtime/dmqn.h"
#include "runtime/memory.h"

static enum vqr_status bind_dmqn(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                                 struct vqr_dmqn *dmqn)
{
    const struct vqr_model *model = binder->model;
    enum vqr_status status = vqr_check_range(binder, header->name, "codebooks", header->codebooks, 1, VQR_COUNT_MAX);
    if (!status)
        status = vqr_check_range(binder, header->name, "codewords", header->codewords, 1, VQR_COUNT_MAX);
    if (!status && header->empty != VQR_EMPTY_MASKED && header->empty != VQR_EMPTY_ZERO)
        status = vqr_refuse_unknown(binder, header->empty, "sequence \"%s\": empty", header->name);
    if (status)
        return status;
    dmqn->codebooks = header->codebooks;
    dmqn->codewords = header->codewords;
    dmqn->masked = header->empty == VQR_EMPTY_MASKED;
    dmqn->width = model->inputs[VQR_EVENT].width;
    dmqn->unit = model->event_columns.unit;
    dmqn->hstu = (struct vqr_hstu){.width = dmqn->width, .tokens = dmqn->codewords, .codebooks = dmqn->codebooks};
    char name[VQR_NAME_SIZE];
    snprintf(name, sizeof name, "sequences.%s.fold", header->name);
    status = vqr_bind_codebook(binder, &dmqn->codebook, header->name, header->scores, dmqn->codebooks, dmqn->codewords,
                               name);
    if (!status)
        status = vqr_hstu_bind(binder, header, &dmqn->hstu);
    if (!status)
        status = vqr_target_bind(binder, header, header->attention.share ? 1 : dmqn->codebooks, dmqn->codewords,
                                 &dmqn->attention);
    return status;
}

enum vqr_status vqr_dmqn_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                              struct vqr_sequence *sequence)
{
    struct vqr_dmqn *dmqn = sequence->self = vqr_allocate(1, sizeof *dmqn, binder->error);
    if (!dmqn)
        return VQR_ERROR_MEMORY;
    const enum vqr_status status = bind_dmqn(binder, header, dmqn);
    sequence->work = (double)dmqn->codebooks * (vqr_hstu_work(&dmqn->hstu) + vqr_target_work(&dmqn->attention));
    sequence->candidate_work = (double)dmqn->codebooks * dmqn->attention.candidate_work;
    sequence->codebooks = dmqn->codebooks;
    sequence->tokens = dmqn->codewords;
    sequence->interest_width = dmqn->codebooks * dmqn->attention.out_width;
    return status;
}

void vqr_dmqn_unbind(struct vqr_sequence *sequence)
{
    struct vqr_dmqn *dmqn = sequence->self;
    if (dmqn) {
        vqr_codebook_unbind(&dmqn->codebook);
        vqr_hstu_unbind(&dmqn->hstu);
        vqr_target_unbind(&dmqn->attention);
    }
    free(dmqn);
    sequence->self = NULL;
}
