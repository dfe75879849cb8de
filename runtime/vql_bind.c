/* Configuration and tensors of a VQL sequence being opened. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/memory.h"
#include "runtime/vql.h"

/* Values are summed as integers of at most 2^30; that far the file's exponents go, and a little further by rounding. */
enum { SUM_BITS = 30, EXPONENT_MIN = -98, EXPONENT_MAX = 120, TERMS_MAX = 64 };

/* "sequences.NAME.vql.PART" */
static const char *part_name(char name[VQR_NAME_SIZE], const char *sequence, const char *part)
{
    snprintf(name, VQR_NAME_SIZE, "sequences.%s.vql.%s", sequence, part);
    return name;
}

static const char *group_name(char name[VQR_NAME_SIZE], const char *sequence, size_t g, const char *part)
{
    snprintf(name, VQR_NAME_SIZE, "sequences.%s.vql.groups.%zu.%s", sequence, g, part);
    return name;
}

static enum vqr_status bind_flat(struct vqr_binder *binder, const float **data, size_t rows, size_t columns,
                                 const char *name)
{
    const struct vqr_expected expected = {.type = VQR_TENSOR_F32,
                                          .layout = VQR_ROWS,
                                          .rank = 2,
                                          .shape = {rows, columns}};
    const void *found = NULL;
    const enum vqr_status status = vqr_bind_tensor(binder, &expected, &found, "%s", name);
    *data = found;
    return status;
}

/* The group's heads, each of which no group had before. */
static enum vqr_status bind_heads(struct vqr_binder *binder, const struct vqr_header_sequence *header, size_t g,
                                  struct vqr_vql *vql)
{
    struct vqr_vql_group *group = &vql->group[g];
    group->head = vqr_allocate(group->heads, sizeof *group->head, binder->error);
    if (!group->head)
        return VQR_ERROR_MEMORY;
    for (size_t i = 0; i < group->heads; i++) {
        const uint32_t a = group->head[i] = vqr_header_vql_head(&binder->model->header, header->index, g, i);
        if (a >= vql->heads || vql->head[a].group != SIZE_MAX)
            return vqr_fail(
                binder->error, VQR_ERROR_FORMAT,
                "sequence \"%s\": group %zu lists head %u, expected every head from 0 to %zu in exactly one "
                "group",
                header->name, g, a, vql->heads - 1);
        vql->head[a] = (struct vqr_vql_head){g, i};
    }
    return VQR_OK;
}

static enum vqr_status bind_group(struct vqr_binder *binder, const struct vqr_header_sequence *header, size_t g,
                                  struct vqr_vql *vql)
{
    struct vqr_vql_group *group = &vql->group[g];
    struct vqr_header_vql_group view;
    vqr_header_vql_group(&binder->model->header, header->index, g, &view);
    enum vqr_status status =
        vqr_check_range(binder, header->name, "codewords of a group", view.codewords, 1, VQR_COUNT_MAX);
    if (!status && (view.heads < 1 || view.heads > vql->heads))
        status =
            vqr_fail(binder->error, VQR_ERROR_FORMAT, "sequence \"%s\": group %zu has %zu heads, expected 1 to %zu",
                     header->name, g, view.heads, vql->heads);
    if (status)
        return status;
    group->heads = view.heads;
    group->codewords = view.codewords;
    status = bind_heads(binder, header, g, vql);
    const size_t w = group->codewords;
    char name[VQR_NAME_SIZE];
    struct vqr_weights offset = {NULL, 0};
    if (!status)
        status = vqr_bind_row(binder, &offset, 0, w, group_name(name, header->name, g, "offset"));
    group->codes.offset = offset.data;
    group->codes.first = g;
    if (!status)
        status = vqr_bind_codebook(binder, &group->codes, header->name, header->scores, 0, w,
                                   group_name(name, header->name, g, "fold"));
    if (!status)
        status = bind_flat(binder, &group->codebook, w, group->heads * vql->dim,
                           group_name(name, header->name, g, "codebook"));
    return status;
}

/* Events are loaded once for all groups, so all keep the same columns of them in fp32. */
static enum vqr_status check_kept(struct vqr_binder *binder, const char *sequence, const struct vqr_vql *vql)
{
    const struct vqr_int8_matrix *first = &vql->group[0].codes.int8;
    for (size_t g = 1; g < vql->groups; g++) {
        const struct vqr_int8_matrix *own = &vql->group[g].codes.int8;
        if (own->kept != first->kept ||
            (own->kept && memcmp(own->kept_column, first->kept_column, own->kept * sizeof *own->kept_column) != 0))
            return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                            "sequence \"%s\": group %zu keeps other columns in fp32 than group 0, expected the same",
                            sequence, g);
    }
    return VQR_OK;
}

/* How group g's values become integers, and that none can be too large. */
static enum vqr_status bind_exponents(struct vqr_binder *binder, const struct vqr_header_sequence *header, size_t g,
                                      struct vqr_vql *vql)
{
    struct vqr_vql_group *group = &vql->group[g];
    const double most = ldexp(1.5, SUM_BITS);
    group->unit = vqr_allocate(group->heads * vql->v_dim, sizeof *group->unit, binder->error);
    if (!group->unit)
        return VQR_ERROR_MEMORY;
    for (size_t i = 0; i < group->heads * vql->v_dim; i++) {
        const uint32_t a = group->head[i / vql->v_dim];
        const int s = vqr_header_vql_exponent(&binder->model->header, header->index, a);
        const size_t column = group->v_column + i;
        const float *panel = vql->v + column / VQR_LANES * vql->width * VQR_LANES + column % VQR_LANES;
        const double bound = vqr_event_bound(binder->model, panel);
        if (!(bound <= VQR_CHAIN_MAX))
            return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                            "sequence \"%s\": values of head %u may reach %.3g, expected at most %.3g", header->name, a,
                            bound, VQR_CHAIN_MAX);
        if (s < EXPONENT_MIN || s > EXPONENT_MAX || !(bound * ldexp(1.0, s) <= most))
            return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                            "sequence \"%s\": values of head %u have exponent %d, expected %d to %d and so that no "
                            "value passes 2^%d",
                            header->name, a, s, EXPONENT_MIN, EXPONENT_MAX, SUM_BITS);
        vql->scale[column] = ldexpf(1.0f, s);
        group->unit[i] = ldexp(1.0, -s);
    }
    return VQR_OK;
}

/* Group g's part of decay and mix, [A, R] in the file. */
static enum vqr_status bind_decay(struct vqr_binder *binder, const char *sequence, const float *decay, const float *mix,
                                  const struct vqr_vql *vql, struct vqr_vql_group *group)
{
    const size_t heads = group->heads, terms = vql->terms;
    group->decay = vqr_allocate(terms * heads, sizeof *group->decay, binder->error);
    group->mix = vqr_allocate(terms * heads, sizeof *group->mix, binder->error);
    group->least = vqr_allocate(heads, sizeof *group->least, binder->error);
    if (!group->decay || !group->mix || !group->least)
        return VQR_ERROR_MEMORY;
    for (size_t h = 0; h < heads; h++) {
        group->least[h] = INFINITY;
        for (size_t r = 0; r < terms; r++) {
            const float lambda = decay[group->head[h] * terms + r], a = mix[group->head[h] * terms + r];
            if (!(lambda >= 0.0f) || !(a > 0.0f))
                return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                                "sequence \"%s\": head %u, term %zu: decay is %g and mix %g, expected at least 0 and "
                                "more than 0",
                                sequence, group->head[h], r, (double)lambda, (double)a);
            group->decay[r * heads + h] = (double)lambda;
            group->mix[r * heads + h] = (double)a;
            group->least[h] = (double)lambda < group->least[h] ? (double)lambda : group->least[h];
        }
    }
    return VQR_OK;
}

static enum vqr_status bind_decays(struct vqr_binder *binder, const char *sequence, struct vqr_vql *vql)
{
    char name[VQR_NAME_SIZE];
    const float *decay = NULL, *mix = NULL;
    enum vqr_status status = bind_flat(binder, &decay, vql->heads, vql->terms, part_name(name, sequence, "decay"));
    if (!status)
        status = bind_flat(binder, &mix, vql->heads, vql->terms, part_name(name, sequence, "mix"));
    for (size_t g = 0; !status && g < vql->groups; g++)
        status = bind_decay(binder, sequence, decay, mix, vql, &vql->group[g]);
    return status;
}

static enum vqr_status check_counts(struct vqr_binder *binder, const struct vqr_header_sequence *header)
{
    const struct vqr_header_vql *c = &header->vql;
    enum vqr_status status = vqr_check_range(binder, header->name, "heads", c->heads, 1, VQR_LAYERS_MAX);
    if (!status)
        status = vqr_check_range(binder, header->name, "dim", c->dim, 1, VQR_COUNT_MAX);
    if (!status)
        status = vqr_check_range(binder, header->name, "v_dim", c->v_dim, 1, VQR_COUNT_MAX);
    if (!status)
        status = vqr_check_range(binder, header->name, "decay_terms", c->decay_terms, 0, TERMS_MAX);
    if (!status)
        status = vqr_check_range(binder, header->name, "out", c->out, 0, VQR_COUNT_MAX);
    if (!status && (c->groups < 1 || c->groups > c->heads))
        status = vqr_fail(binder->error, VQR_ERROR_FORMAT, "sequence \"%s\": %zu groups, expected 1 to %u",
                          header->name, c->groups, c->heads);
    if (!status && c->exponents != c->heads)
        status = vqr_fail(binder->error, VQR_ERROR_FORMAT, "sequence \"%s\": %zu value exponents for %u heads",
                          header->name, c->exponents, c->heads);
    return status;
}

static enum vqr_status bind_groups(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                                   struct vqr_vql *vql)
{
    enum vqr_status status = VQR_OK;
    size_t placed = 0;
    vql->groups = header->vql.groups;
    for (size_t g = 0; !status && g < vql->groups; g++) {
        struct vqr_vql_group *group = &vql->group[g];
        status = bind_group(binder, header, g, vql);
        group->v_column = placed * vql->v_dim;
        group->sums_at = vql->sums;
        group->clusters = vql->codewords;
        placed += group->heads;
        vql->sums = vqr_plus(vql->sums, vqr_times(group->codewords, group->heads * vql->v_dim));
        vql->codewords += group->codewords;
        vql->most = group->codewords > vql->most ? group->codewords : vql->most;
    }
    if (!status && placed != vql->heads)
        status = vqr_fail(binder->error, VQR_ERROR_FORMAT,
                          "sequence \"%s\": its groups list %zu heads, expected each of %zu once", header->name, placed,
                          vql->heads);
    return status;
}

static enum vqr_status bind_vql(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                                struct vqr_vql *vql)
{
    const struct vqr_model *model = binder->model;
    const struct vqr_header_vql *c = &header->vql;
    enum vqr_status status = check_counts(binder, header);
    if (status)
        return status;
    vql->heads = c->heads;
    vql->dim = c->dim;
    vql->v_dim = c->v_dim;
    vql->terms = c->decay_terms;
    vql->out = c->out;
    vql->alpha = (float)(1.0 / sqrt((double)c->dim));
    vql->width = model->inputs[VQR_EVENT].width;
    vql->candidate_width = model->inputs[VQR_CANDIDATE].width;
    vql->group = vqr_allocate(c->groups, sizeof *vql->group, binder->error);
    vql->head = vqr_allocate(c->heads, sizeof *vql->head, binder->error);
    if (!vql->group || !vql->head)
        return VQR_ERROR_MEMORY;
    for (size_t a = 0; a < vql->heads; a++)
        vql->head[a].group = SIZE_MAX;
    status = bind_groups(binder, header, vql);
    if (!status)
        status = check_kept(binder, header->name, vql);
    char name[VQR_NAME_SIZE];
    if (!status)
        status = vqr_bind_flat_matrix(binder, &vql->v, vql->width, vql->heads * vql->v_dim,
                                      part_name(name, header->name, "v.weight"));
    if (!status)
        status = vqr_bind_product(binder, &vql->q, 0, vql->candidate_width, vql->heads * vql->dim,
                                  part_name(name, header->name, "q"));
    if (!status && vql->out)
        status = vqr_bind_product(binder, &vql->out_product, 0, vql->heads * vql->v_dim, vql->out,
                                  part_name(name, header->name, "out"));
    if (!status) {
        vql->scale = vqr_allocate(vqr_padded(vql->heads * vql->v_dim), sizeof *vql->scale, binder->error);
        status = vql->scale ? VQR_OK : VQR_ERROR_MEMORY;
    }
    for (size_t g = 0; !status && g < vql->groups; g++)
        status = bind_exponents(binder, header, g, vql);
    if (!status && vql->terms)
        status = bind_decays(binder, header->name, vql);
    return status;
}

/* Queries, every head over its group's codewords, and the output projection. */
static double candidate_work(const struct vqr_vql *vql)
{
    double work = (double)vql->candidate_width * (double)(vql->heads * vql->dim) +
                  (double)(vql->heads * vql->v_dim) * (double)vql->out;
    for (size_t g = 0; g < vql->groups; g++)
        work += (double)vql->group[g].codewords * (double)vql->group[g].heads * (double)(vql->dim + vql->v_dim + 16);
    return work;
}

enum vqr_status vqr_vql_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                             struct vqr_sequence *sequence)
{
    struct vqr_vql *vql = sequence->self = vqr_allocate(1, sizeof *vql, binder->error);
    if (!vql)
        return VQR_ERROR_MEMORY;
    const enum vqr_status status = bind_vql(binder, header, vql);
    if (status)
        return status;
    const double values = (double)vql->heads * (double)(vql->dim + vql->v_dim);
    sequence->work = (double)vql->codewords * values * (double)(1 + vql->terms);
    sequence->candidate_work = candidate_work(vql);
    sequence->codebooks = vql->groups;
    sequence->tokens = vql->most;
    sequence->interest_width = vql->out ? vql->out : vql->heads * vql->v_dim;
    return VQR_OK;
}

void vqr_vql_unbind(struct vqr_sequence *sequence)
{
    struct vqr_vql *vql = sequence->self;
    for (size_t g = 0; vql && vql->group && g < vql->groups; g++) {
        struct vqr_vql_group *group = &vql->group[g];
        vqr_codebook_unbind(&group->codes);
        free(group->head);
        free(group->decay);
        free(group->mix);
        free(group->least);
        free(group->unit);
    }
    if (vql) {
        free(vql->group);
        free(vql->head);
        free(vql->scale);
    }
    free(vql);
    sequence->self = NULL;
}
