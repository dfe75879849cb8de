#include "runtime/codebook.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/bind_layers.h"
#include "runtime/model.h"

static enum vqr_status check_scores(struct vqr_binder *binder, const char *sequence, int scores, size_t width)
{
    /* Of the row sums that screening measures: simd/generic/screen.h. */
    const size_t most = 1 << 16;
    if (scores < VQR_SCORES_F32 || scores > VQR_SCORES_INT8_EXACT)
        return vqr_refuse_unknown(binder, scores, "sequence \"%s\": scores", sequence);
    if (scores != VQR_SCORES_F32 && width > most)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                        "sequence \"%s\": events are %zu wide, expected at most %zu for int8 scores", sequence, width,
                        most);
    return VQR_OK;
}

enum vqr_status vqr_bind_codebook(struct vqr_binder *binder, struct vqr_codebook *codebook, const char *sequence,
                                  int scores, size_t stack, size_t codewords, const char *name)
{
    const struct vqr_model *model = binder->model;
    const size_t width = model->inputs[VQR_EVENT].width;
    codebook->count = stack ? stack : 1;
    codebook->codewords = codewords;
    codebook->width = width;
    codebook->widths = model->event_columns.widths;
    codebook->features = model->inputs[VQR_EVENT].count;
    enum vqr_status status = check_scores(binder, sequence, scores, width);
    if (status)
        return status;
    codebook->scores = (enum vqr_scores)scores;
    if (codebook->scores != VQR_SCORES_INT8) {
        status = vqr_bind_matrix(binder, &codebook->fold, stack, width, codewords, name);
        return status || codebook->scores == VQR_SCORES_F32 ? status : vqr_codebook_measure(codebook, binder->error);
    }
    char text[VQR_NAME_SIZE + 32];
    snprintf(text, sizeof text, "%s.scale", name);
    status = vqr_bind_quads(binder, &codebook->quads, &codebook->quads_step, stack, width, codewords, name);
    return status ? status : vqr_bind_scale(binder, &codebook->scale, stack, codewords, text);
}

void vqr_codebook_unbind(struct vqr_codebook *codebook)
{
    free(codebook->screen);
    free(codebook->screens);
    codebook->screen = NULL;
    codebook->screens = NULL;
}

void vqr_codebook_take_scratch(const struct vqr_codebook *codebook, size_t most, struct vqr_codebook_scratch *scratch,
                               struct vqr_arena *arena)
{
    const size_t row = (codebook->width + 3) / 4 * 4, panels = vqr_panels(most);
    struct vqr_screen_scratch *s = &scratch->screen;
    *scratch = (struct vqr_codebook_scratch){0};
    if (codebook->scores == VQR_SCORES_INT8)
        vqr_linear_take_scratch(codebook->width, &scratch->rows, arena);
    if (codebook->scores != VQR_SCORES_INT8_EXACT)
        return;
    s->q = vqr_take(arena, vqr_times(VQR_SCREEN_ROWS, row), sizeof *s->q);
    s->bounds = vqr_take(arena, vqr_times(VQR_SCREEN_ROWS, vqr_padded(panels)), sizeof *s->bounds);
    s->scores = vqr_take(arena, vqr_times(VQR_SCREEN_TILE, vqr_padded(most)), sizeof *s->scores);
    s->needed = vqr_take(arena, vqr_times(VQR_SCREEN_ROWS, panels), sizeof *s->needed);
    s->e = vqr_take(arena, vqr_times(VQR_SCREEN_ROWS, codebook->width), sizeof *s->e);
}

_Static_assert((int)VQR_EVENT_BLOCK <= VQR_SCREEN_ROWS && (int)VQR_EVENT_BLOCK <= VQR_LINEAR_ROWS,
               "a block of events is one call");

void vqr_codebook_load(const struct vqr_codebook *codebook, const struct vqr_kernels *k,
                       struct vqr_codebook_scratch *scratch, const struct vqr_event_block *block)
{
    if (codebook->scores == VQR_SCORES_INT8)
        k->to_int8_f32(scratch->rows.q, scratch->rows.stride, scratch->rows.scale, block->e, block->stride, block->rows,
                       codebook->width);
}

void vqr_codebook_assign(const struct vqr_codebook *codebook, const struct vqr_kernels *k,
                         struct vqr_codebook_scratch *scratch, size_t j, const struct vqr_event_block *block,
                         uint32_t *z)
{
    const struct vqr_linear_scratch *rows = &scratch->rows;
    switch (codebook->scores) {
    case VQR_SCORES_F32:
        k->quantize_f32(z, block->e, block->stride, block->rows, vqr_weights_of(codebook->fold, j), codebook->offset,
                        codebook->widths, codebook->features, codebook->codewords);
        break;
    case VQR_SCORES_INT8:
        k->quantize_i8(z, rows->q, rows->stride, rows->scale, block->rows, codebook->quads + j * codebook->quads_step,
                       vqr_weights_of(codebook->scale, j), (codebook->width + 3) / 4, codebook->offset, 0,
                       codebook->codewords);
        break;
    case VQR_SCORES_INT8_EXACT:
        k->quantize_exact_f32(z, block->e, block->stride, block->rows, vqr_weights_of(codebook->fold, j),
                              codebook->offset, codebook->widths, codebook->features, codebook->codewords,
                              &codebook->screen[j], &scratch->screen);
        break;
    }
}
