#include "runtime/state.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/error.h"

/* Lays the state out in the arena, or only counts. */
static struct vqr_state *take_state(const vqr_model *model, struct vqr_arena *arena)
{
    struct vqr_state counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    s->sequence = vqr_take(arena, model->sequence_count, sizeof *s->sequence);
    for (size_t i = 0; i < model->sequence_count; i++) {
        void *part = model->sequence[i].kind->take_state(&model->sequence[i], arena);
        if (s->sequence)
            s->sequence[i] = part;
    }
    return taken;
}

size_t vqr_state_size(const vqr_model *model)
{
    struct vqr_arena arena = {NULL, 0};
    take_state(model, &arena);
    return vqr_arena_size(&arena);
}

enum vqr_status vqr_state_create(const vqr_model *model, void *buffer, size_t buffer_size, vqr_state **state,
                                 struct vqr_error *error)
{
    if (state)
        *state = NULL;
    if (!model || !state)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "vqr_state_create: model or state is NULL");
    const size_t size = vqr_state_size(model);
    if (buffer && buffer_size < size)
        return vqr_fail(error, VQR_ERROR_MEMORY, "a state of this model needs a buffer of %zu bytes, found %zu", size,
                        buffer_size);
    void *owned = buffer || size == SIZE_MAX ? NULL : malloc(size);
    if (!buffer && !owned)
        return vqr_fail(error, VQR_ERROR_MEMORY, "out of memory for a state of %zu bytes", size);
    struct vqr_arena arena = {vqr_align(buffer ? buffer : owned), 0};
    vqr_state *s = take_state(model, &arena);
    s->model = model;
    s->owned = owned;
    *state = s;
    vqr_state_reset(s);
    return VQR_OK;
}

void vqr_state_free(vqr_state *state)
{
    if (state)
        free(state->owned);
}

void vqr_state_reset(vqr_state *state)
{
    const struct vqr_model *model = state->model;
    for (size_t i = 0; i < model->sequence_count; i++)
        model->sequence[i].kind->reset(&model->sequence[i], state->sequence[i]);
    state->events = 0;
    state->stale = 0; /* no events: the interests are zeros, and up to date */
}

uint64_t vqr_state_events(const vqr_state *state)
{
    return state->events;
}
