#include "runtime/codebook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/model.h"

/* A smaller codebook, or one most of whose scores are looked up, is scored in fp32 before integers have said what can
 * be left out; the codewords are the same. `width`: of what is not looked up. On AVX-512 VNNI 64 x 128 gains a tenth
 * where 2 of 8 panels are left, half that size loses. */
static bool is_worth_screening(size_t width, size_t codewords)
{
    return width >= 64 && codewords >= 128;
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
    codebook->events = &model->inputs[VQR_EVENT];
    struct vqr_header_info info;
    vqr_header_info(&model->header, &info);
    codebook->known_bytes = VQR_KNOWN_BYTES / info.sequences;
    if (scores < VQR_SCORES_F32 || scores > VQR_SCORES_INT8_EXACT)
        return vqr_refuse_unknown(binder, scores, "sequence \"%s\": scores", sequence);
    codebook->scores = (enum vqr_scores)scores;
    if (codebook->scores == VQR_SCORES_INT8_EXACT && !is_worth_screening(width, codewords))
        codebook->scores = VQR_SCORES_F32;
    if (codebook->scores != VQR_SCORES_INT8) {
        const enum vqr_status status = vqr_bind_matrix(binder, &codebook->fold, stack, width, codewords, name);
        return status || codebook->scores == VQR_SCORES_F32 ? status : vqr_codebook_measure(codebook, binder->error);
    }
    return vqr_bind_int8_matrix(binder, &codebook->int8, stack, width, codewords, name, name);
}

void vqr_codebook_unbind(struct vqr_codebook *codebook)
{
    free(codebook->screen);
    free(codebook->screens);
    codebook->screen = NULL;
    codebook->screens = NULL;
}

void vqr_codebook_need(struct vqr_codebook_needs *needs, const struct vqr_codebook *codebook)
{
    needs->most = codebook->codewords > needs->most ? codebook->codewords : needs->most;
    needs->known.slots += codebook->count;
    needs->known.columns = vqr_plus(needs->known.columns, vqr_times(codebook->count, vqr_padded(codebook->codewords)));
    needs->known.bytes = codebook->known_bytes;
    needs->screened |= codebook->scores == VQR_SCORES_INT8_EXACT;
    needs->floats |= codebook->scores != VQR_SCORES_INT8;
}

void vqr_codebook_take_scratch(const struct vqr_codebook *codebook, const struct vqr_codebook_needs *needs,
                               struct vqr_codebook_scratch *scratch, struct vqr_arena *arena)
{
    const size_t row = (codebook->width + 3) / 4 * 4, most = needs->most, panels = vqr_panels(most);
    struct vqr_screen_scratch *s = &scratch->screen;
    *scratch = (struct vqr_codebook_scratch){0};
    struct vqr_int8_needs rows = {0, 0, 0};
    vqr_int8_need(&rows, &codebook->int8);
    vqr_int8_rows_take(&rows, &scratch->rows, arena);
    scratch->start =
        vqr_take(arena, rows.kept ? vqr_times(VQR_INT8_ROWS, vqr_padded(most)) : 0, sizeof *scratch->start);
    if (needs->floats)
        vqr_known_take(codebook->events, &needs->known, &scratch->known, arena);
    scratch->screens = needs->screened && is_worth_screening(codebook->width - scratch->known.width, most);
    if (!scratch->screens)
        return;
    s->q = vqr_take(arena, vqr_times(VQR_SCREEN_ROWS, row), sizeof *s->q);
    s->bounds = vqr_take(arena, vqr_times(VQR_SCREEN_ROWS, vqr_padded(panels)), sizeof *s->bounds);
    s->scores = vqr_take(arena, vqr_times(VQR_SCREEN_TILE, vqr_padded(most)), sizeof *s->scores);
    s->needed = vqr_take(arena, vqr_times(VQR_SCREEN_ROWS, panels), sizeof *s->needed);
    s->e = vqr_take(arena, vqr_times(VQR_SCREEN_ROWS, codebook->width), sizeof *s->e);
}

_Static_assert((int)VQR_EVENT_BLOCK <= VQR_SCREEN_ROWS && (int)VQR_EVENT_BLOCK <= VQR_INT8_ROWS,
               "a block of events is one call");

/* The events of a block whose codewords are not stored. */
static struct vqr_event_block to_compute(const struct vqr_event_block *block)
{
    struct vqr_event_block own = *block;
    if (block->stored) {
        own.e = block->missing_e;
        own.row = block->missing_row;
        own.rows = block->missing_rows;
    }
    return own;
}

void vqr_codebook_load(const struct vqr_codebook *codebook, const struct vqr_kernels *k,
                       struct vqr_codebook_scratch *scratch, const struct vqr_event_block *block)
{
    const struct vqr_event_block own = to_compute(block);
    if (codebook->scores == VQR_SCORES_INT8 && own.rows)
        vqr_int8_rows_load(&codebook->int8, k, &scratch->rows, own.e, own.stride, own.rows);
}

static void assign_int8(const struct vqr_codebook *codebook, const struct vqr_kernels *k,
                        struct vqr_codebook_scratch *scratch, size_t j, size_t rows, uint32_t *z)
{
    const struct vqr_int8_matrix *matrix = &codebook->int8;
    size_t start_stride;
    const float *start = vqr_int8_rows_start(matrix, k, &scratch->rows, j, rows, scratch->start,
                                             vqr_padded(codebook->codewords), codebook->offset, &start_stride);
    k->quantize_i8(z, scratch->rows.q, scratch->rows.q_stride, scratch->rows.scale, rows,
                   matrix->quads + j * matrix->quads_step, vqr_weights_of(matrix->scale, j), (matrix->in + 3) / 4,
                   start, start_stride, codebook->codewords);
}

static const struct vqr_known_scores *known_scores(const struct vqr_codebook *codebook, const struct vqr_kernels *k,
                                                   struct vqr_codebook_scratch *scratch, size_t j,
                                                   const struct vqr_event_block *block)
{
    const size_t columns = vqr_padded(codebook->codewords);
    const struct vqr_known_place place = {codebook->slot + j, codebook->column + j * columns, columns};
    return vqr_known_of(codebook->events, k, &scratch->known, &place, vqr_weights_of(codebook->fold, j), block);
}

static void compute(const struct vqr_codebook *codebook, const struct vqr_kernels *k,
                    struct vqr_codebook_scratch *scratch, size_t j, const struct vqr_event_block *block, uint32_t *z)
{
    if (codebook->scores == VQR_SCORES_INT8) {
        assign_int8(codebook, k, scratch, j, block->rows, z);
        return;
    }
    const float *fold = vqr_weights_of(codebook->fold, j);
    const struct vqr_known_scores *known = known_scores(codebook, k, scratch, j, block);
    if (codebook->scores == VQR_SCORES_INT8_EXACT && scratch->screens)
        k->quantize_exact_f32(z, block->e, block->stride, block->rows, fold, codebook->offset, codebook->widths, known,
                              codebook->features, codebook->codewords, &codebook->screen[j], &scratch->screen);
    else
        k->quantize_f32(z, block->e, block->stride, block->rows, fold, codebook->offset, codebook->widths, known,
                        codebook->features, codebook->codewords);
}

void vqr_codebook_assign(const struct vqr_codebook *codebook, const struct vqr_kernels *k,
                         struct vqr_codebook_scratch *scratch, size_t j, const struct vqr_event_block *block,
                         uint32_t *z)
{
    const struct vqr_event_block own = to_compute(block);
    if (!block->stored) {
        compute(codebook, k, scratch, j, &own, z);
        return;
    }
    memcpy(z, block->stored + (codebook->slot + j) * VQR_EVENT_BLOCK, block->rows * sizeof *z);
    uint32_t missing[VQR_EVENT_BLOCK];
    if (own.rows)
        compute(codebook, k, scratch, j, &own, missing);
    for (size_t i = 0; i < own.rows; i++)
        z[block->missing[i]] = missing[i];
}
