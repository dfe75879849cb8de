#include "runtime/quantizer.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/arena.h"
#include "runtime/memory.h"
#include "runtime/session.h"
#include "simd/cpu.h"

/* Far above any real model; they keep what a hostile file can make us allocate or compute small. */
enum { QUANTIZERS_MAX = 256, LEVELS_MAX = 64, CODES_MAX = 1 << 20, DIM_MAX = 1 << 16 };

/* ---- binding ---- */

static enum vqr_status check_count(struct vqr_binder *binder, const char *quantizer, const char *what, uint32_t value,
                                   uint32_t most)
{
    if (value >= 1 && value <= most)
        return VQR_OK;
    return vqr_fail(binder->error, VQR_ERROR_FORMAT, "quantizer \"%s\": %s is %u, expected 1 to %u", quantizer, what,
                    value, most);
}

/* A variance is above 0, and so is what it was turned into. */
static enum vqr_status check_positive(struct vqr_binder *binder, const struct vqr_quantizer *quantizer)
{
    const size_t padded = vqr_padded(quantizer->codes), panel = quantizer->dim * VQR_LANES;
    for (size_t i = 0; i < quantizer->levels * quantizer->dim * padded; i++) {
        const size_t code = i % (quantizer->dim * padded) / panel * VQR_LANES + i % VQR_LANES;
        if (code < quantizer->codes && !(quantizer->inverse_variance[i] > 0.0f))
            return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                            "quantizer \"%s\", level %zu, component %zu: an inverse variance is %g, expected more "
                            "than 0",
                            quantizer->name, i / (quantizer->dim * padded), code,
                            (double)quantizer->inverse_variance[i]);
    }
    return VQR_OK;
}

static enum vqr_status bind_quantizer(struct vqr_binder *binder, size_t i)
{
    struct vqr_quantizer *quantizer = &binder->model->quantizer[i];
    struct vqr_header_quantizer header;
    vqr_header_quantizer(&binder->model->header, i, &header);
    for (size_t j = 0; j < i; j++)
        if (strcmp(binder->model->quantizer[j].name, header.name) == 0)
            return vqr_fail(binder->error, VQR_ERROR_FORMAT, "quantizer \"%s\": the name is used twice", header.name);
    if (header.kind != VQR_RQ_GMM && header.kind != VQR_RQ_KMEANS)
        return vqr_refuse_unknown(binder, header.kind, "quantizer \"%s\": kind", header.name);
    enum vqr_status status = check_count(binder, header.name, "levels", header.levels, LEVELS_MAX);
    if (!status)
        status = check_count(binder, header.name, "codes", header.codes, CODES_MAX);
    if (!status)
        status = check_count(binder, header.name, "dim", header.dim, DIM_MAX);
    if (status)
        return status;
    *quantizer =
        (struct vqr_quantizer){.name = header.name, .levels = header.levels, .codes = header.codes, .dim = header.dim};
    status = vqr_bind_panels(binder, &quantizer->mean, header.levels, header.dim, header.codes, "quantizers.%s.mean",
                             header.name);
    if (status || header.kind == VQR_RQ_KMEANS)
        return status;
    status = vqr_bind_panels(binder, &quantizer->inverse_variance, header.levels, header.dim, header.codes,
                             "quantizers.%s.inverse_variance", header.name);
    if (!status)
        status =
            vqr_bind_rows(binder, &quantizer->bias, header.levels, header.codes, "quantizers.%s.bias", header.name);
    return status ? status : check_positive(binder, quantizer);
}

enum vqr_status vqr_bind_quantizers(struct vqr_binder *binder)
{
    struct vqr_model *model = binder->model;
    struct vqr_header_info info;
    vqr_header_info(&model->header, &info);
    if (info.quantizers > QUANTIZERS_MAX)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "%zu quantizers, expected at most %d", info.quantizers,
                        QUANTIZERS_MAX);
    model->quantizer = vqr_allocate(info.quantizers, sizeof *model->quantizer, binder->error);
    enum vqr_status status = model->quantizer ? VQR_OK : VQR_ERROR_MEMORY;
    for (size_t i = 0; !status && i < info.quantizers; i++) {
        status = bind_quantizer(binder, i);
        model->quantizer_count = i + 1;
    }
    return status;
}

__attribute__((format(printf, 4, 5))) static enum vqr_status bad_feature(struct vqr_binder *binder, size_t group,
                                                                         const char *name, const char *format, ...)
{
    char what[VQR_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return vqr_fail(binder->error, VQR_ERROR_FORMAT, "%s feature \"%s\": %s", vqr_group_names[group], name, what);
}

/* The table of level l, which starts at column `offset`. */
static enum vqr_status bind_level(struct vqr_binder *binder, size_t group, size_t feature, size_t l,
                                  const struct vqr_header_feature *header, const struct vqr_input *input, size_t offset)
{
    const struct vqr_model *model = binder->model;
    const int32_t number = vqr_header_feature_level(&model->header, group, feature, l);
    if (number < 0 || (size_t)number >= model->table_count)
        return bad_feature(binder, group, header->name, "the table of its level %zu is not in the file", l);
    const struct vqr_table *table = &model->table[number];
    if (table->ids != VQR_IDS_DIRECT || table->rows < input->quantizer->codes + 1)
        return bad_feature(binder, group, header->name,
                           "level %zu reads table \"%.64s\", expected one with direct ids and at least %zu rows", l,
                           table->name, input->quantizer->codes + 1);
    input->level[l] = (struct vqr_level){table, input->combine == VQR_COMBINE_SUM ? 0 : offset, FLT_MAX};
    if (input->combine == VQR_COMBINE_SUM && table->dim != input->width)
        return bad_feature(binder, group, header->name, "it sums rows of dim %zu, but its width is %zu", table->dim,
                           input->width);
    return VQR_OK;
}

enum vqr_status vqr_bind_semantic_id(struct vqr_binder *binder, size_t group, size_t feature,
                                     const struct vqr_header_feature *header, struct vqr_input *input)
{
    const struct vqr_model *model = binder->model;
    input->kind = VQR_FEATURE_SEMANTIC_ID;
    if (header->quantizer < 0 || (size_t)header->quantizer >= model->quantizer_count)
        return bad_feature(binder, group, header->name, "its quantizer is not in the file");
    input->quantizer = &model->quantizer[header->quantizer];
    if (header->combine != VQR_COMBINE_CONCAT && header->combine != VQR_COMBINE_SUM)
        return vqr_refuse_unknown(binder, header->combine, "%s feature \"%s\": combine", vqr_group_names[group],
                                  header->name);
    input->combine = (enum vqr_combine)header->combine;
    if (header->levels != input->quantizer->levels)
        return bad_feature(binder, group, header->name, "it has tables for %zu levels, its quantizer has %zu",
                           header->levels, input->quantizer->levels);
    input->level = vqr_allocate(header->levels, sizeof *input->level, binder->error);
    enum vqr_status status = input->level ? VQR_OK : VQR_ERROR_MEMORY;
    size_t width = 0;
    for (size_t l = 0; !status && l < header->levels; l++) {
        status = bind_level(binder, group, feature, l, header, input, width);
        width = status ? width : vqr_plus(width, input->level[l].table->dim);
    }
    if (!status && input->combine == VQR_COMBINE_CONCAT && width != input->width)
        status = bad_feature(binder, group, header->name, "its width is %zu, its tables have %zu columns together",
                             input->width, width);
    return status;
}

/* ---- running ---- */

size_t vqr_quantizers_dim(const struct vqr_model *model)
{
    size_t most = 0;
    for (size_t i = 0; i < model->quantizer_count; i++)
        most = model->quantizer[i].dim > most ? model->quantizer[i].dim : most;
    return most;
}

size_t vqr_quantizer_level(const struct vqr_quantizer *quantizer, const struct vqr_kernels *k, size_t level,
                           uint32_t *z, float *r, size_t rows)
{
    const size_t padded = vqr_padded(quantizer->codes), panels = level * quantizer->dim * padded;
    const int scaled = quantizer->inverse_variance != NULL;
    return k->gmm_f32(z, r, quantizer->dim, rows, quantizer->dim, quantizer->mean + panels,
                      scaled ? quantizer->inverse_variance + panels : NULL,
                      scaled ? quantizer->bias + level * padded : NULL, quantizer->codes);
}

size_t vqr_quantizer_count(const vqr_model *model)
{
    return model->quantizer_count;
}

enum vqr_status vqr_quantizer_info(const vqr_model *model, size_t i, struct vqr_quantizer_info *info)
{
    if (!model || !info || i >= model->quantizer_count)
        return VQR_ERROR_ARGUMENT;
    const struct vqr_quantizer *quantizer = &model->quantizer[i];
    *info = (struct vqr_quantizer_info){.name = quantizer->name,
                                        .levels = quantizer->levels,
                                        .codes = quantizer->codes,
                                        .dim = quantizer->dim};
    return VQR_OK;
}

/* Rows first ... first + rows of x. */
static enum vqr_status quantize_block(vqr_session *s, const struct vqr_quantizer *quantizer, const float *x,
                                      size_t first, size_t rows, uint32_t *codes, struct vqr_error *error)
{
    const size_t n = quantizer->dim;
    const float *block = x + first * n;
    for (size_t i = 0; i < rows * n; i++)
        if (!isfinite(block[i]))
            return vqr_fail(error, VQR_ERROR_RANGE, "vector %zu: number %zu of %zu is %g, expected a finite one",
                            first + i / n, i % n, n, (double)block[i]);
    memcpy(s->scratch.residual, block, rows * n * sizeof *block);
    for (size_t l = 0; l < quantizer->levels; l++) {
        const size_t bad = vqr_quantizer_level(quantizer, &s->k, l, s->scratch.code, s->scratch.residual, rows);
        if (bad < rows)
            return vqr_fail(error, VQR_ERROR_OVERFLOW,
                            "vector %zu: at level %zu of quantizer \"%.64s\" no component has a finite distance",
                            first + bad, l, quantizer->name);
        for (size_t r = 0; r < rows; r++)
            codes[(first + r) * quantizer->levels + l] = s->scratch.code[r];
    }
    return VQR_OK;
}

enum vqr_status vqr_quantize(vqr_session *session, size_t quantizer, const float *x, size_t rows, uint32_t *codes,
                             struct vqr_error *error)
{
    if (!session || ((!x || !codes) && rows != 0))
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "%s is NULL", !session ? "session" : !x ? "x" : "codes");
    if (quantizer >= session->model->quantizer_count)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "there is no quantizer %zu, the model has %zu", quantizer,
                        session->model->quantizer_count);
    const uint64_t host = vqr_fp_enter();
    enum vqr_status status = VQR_OK;
    for (size_t first = 0; !status && first < rows; first += VQR_EVENT_BLOCK)
        status = quantize_block(session, &session->model->quantizer[quantizer], x, first,
                                rows - first < VQR_EVENT_BLOCK ? rows - first : VQR_EVENT_BLOCK, codes, error);
    vqr_fp_restore(host);
    return status;
}
