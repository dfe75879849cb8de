#include "runtime/session.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/error.h"
#include "runtime/quantizer.h"
#include "simd/cpu.h"

static size_t most_features(const vqr_model *model)
{
    size_t most = 0;
    for (size_t group = 0; group < VQR_GROUPS; group++)
        most = model->inputs[group].count > most ? model->inputs[group].count : most;
    return most;
}

/* Lays the session out in the arena, or only counts. */
static struct vqr_session *take_session(const vqr_model *model, struct vqr_arena *arena)
{
    struct vqr_session counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    const size_t rows = VQR_EVENT_BLOCK;
    s->e_stride = vqr_padded(model->inputs[VQR_EVENT].width);
    /* Attention and output projections write whole panels, so the last head reaches past the interests' end. */
    s->x_stride = vqr_padded(model->inputs[VQR_CANDIDATE].width + model->interest_width) + 2 * VQR_LANES;
    s->scratch.index = vqr_take(arena, vqr_times(most_features(model), VQR_EVENT_BLOCK), sizeof *s->scratch.index);
    s->scratch.code = vqr_take(arena, model->quantizer_count ? rows : 0, sizeof *s->scratch.code);
    s->scratch.residual = vqr_take(arena, vqr_times(rows, vqr_quantizers_dim(model)), sizeof *s->scratch.residual);
    s->e = vqr_take(arena, vqr_times(VQR_EVENT_BLOCK, s->e_stride), sizeof *s->e);
    vqr_assignments_take(model, s->e_stride, &s->stored, arena);
    s->x = vqr_take(arena, vqr_times(VQR_CANDIDATE_BLOCK, s->x_stride), sizeof *s->x);
    vqr_head_take_scratch(model, &s->head, arena);
    s->sequence = vqr_take(arena, model->sequence_count, sizeof *s->sequence);
    for (size_t i = 0; i < model->sequence_count; i++) {
        void *scratch = model->sequence[i].kind->take_scratch(&model->sequence[i], arena);
        if (s->sequence)
            s->sequence[i] = scratch;
    }
    return taken;
}

size_t vqr_session_size(const vqr_model *model)
{
    struct vqr_arena arena = {NULL, 0};
    take_session(model, &arena);
    return vqr_arena_size(&arena);
}

static enum vqr_status refuse_isa(const char *name, uint32_t features, struct vqr_error *error)
{
    for (size_t i = 0; i < vqr_isa_count; i++)
        if (name && strcmp(vqr_isas[i]->name, name) == 0)
            return vqr_fail(error, VQR_ERROR_UNSUPPORTED, "this processor cannot run ISA \"%s\", which needs %s", name,
                            vqr_isas[i]->wants);
    if (name && vqr_isa_usable(vqr_isas[0], features))
        return vqr_fail(error, VQR_ERROR_UNSUPPORTED, "no ISA of this build is called \"%.64s\"", name);
    return vqr_fail(error, VQR_ERROR_UNSUPPORTED, "this processor is too old for vqrank, which needs %s",
                    vqr_isas[0]->wants);
}

enum vqr_status vqr_session_create(const vqr_model *model, const struct vqr_session_options *options,
                                   vqr_session **session, struct vqr_error *error)
{
    static const struct vqr_session_options defaults = {NULL, NULL, 0};
    if (session)
        *session = NULL;
    if (!model || !session)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "vqr_session_create: model or session is NULL");
    if (!options)
        options = &defaults;
    struct vqr_kernels kernels;
    const uint32_t features = vqr_cpu_features();
    const struct vqr_isa *isa = vqr_simd_select(&kernels, features, options->isa);
    if (!isa)
        return refuse_isa(options->isa, features, error);

    const size_t size = vqr_session_size(model);
    if (options->buffer && options->buffer_size < size)
        return vqr_fail(error, VQR_ERROR_MEMORY, "a session of this model needs a buffer of %zu bytes, found %zu", size,
                        options->buffer_size);
    void *owned = options->buffer || size == SIZE_MAX ? NULL : malloc(size);
    if (!options->buffer && !owned)
        return vqr_fail(error, VQR_ERROR_MEMORY, "out of memory for a session of %zu bytes", size);
    struct vqr_arena arena = {vqr_align(options->buffer ? options->buffer : owned), 0};
    vqr_session *s = take_session(model, &arena);
    s->model = model;
    s->isa = isa;
    s->k = kernels;
    s->owned = owned;
    *session = s;
    return VQR_OK;
}

void vqr_session_free(vqr_session *session)
{
    if (session)
        free(session->owned);
}

const char *vqr_session_isa(const vqr_session *session)
{
    return session->isa->name;
}

const char *vqr_isa_name(size_t i, int *usable)
{
    if (i >= vqr_isa_count)
        return NULL;
    if (usable)
        *usable = vqr_isa_usable(vqr_isas[i], vqr_cpu_features());
    return vqr_isas[i]->name;
}
