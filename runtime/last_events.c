#include "runtime/last_events.h"

#include <string.h>

void vqr_event_rows_take(const struct vqr_last_events *events, struct vqr_event_rows *rows, struct vqr_arena *arena)
{
    rows->e = vqr_take(arena, vqr_times(events->last, vqr_padded(events->width)), sizeof *rows->e);
    rows->time = vqr_take(arena, events->timed ? events->last : 0, sizeof *rows->time);
    rows->has_time = vqr_take(arena, events->timed ? events->last : 0, sizeof *rows->has_time);
    rows->match = vqr_take(arena, events->matched ? events->last : 0, sizeof *rows->match);
}

void vqr_event_rows_stage(const struct vqr_last_events *events, const struct vqr_event_rows *staged,
                          const struct vqr_event_block *block)
{
    const size_t kept = block->total < events->last ? block->total : events->last, from = block->total - kept;
    for (size_t r = 0; block->sign > 0 && r < block->rows; r++) {
        if (block->first + r < from)
            continue;
        const size_t to = block->first + r - from;
        memcpy(staged->e + to * vqr_padded(events->width), block->e + r * block->stride,
               events->width * sizeof *staged->e);
        if (events->timed) {
            staged->has_time[to] = block->time && (!block->has_time || block->has_time[r]);
            staged->time[to] = staged->has_time[to] ? block->time[r] : 0;
        }
        if (events->matched)
            staged->match[to] = block->match[r];
    }
}

static void copy_row(const struct vqr_last_events *events, const struct vqr_event_rows *to, size_t i,
                     const struct vqr_event_rows *from, size_t j)
{
    const size_t stride = vqr_padded(events->width);
    memcpy(to->e + i * stride, from->e + j * stride, events->width * sizeof *to->e);
    if (events->timed) {
        to->time[i] = from->time[j];
        to->has_time[i] = from->has_time[j];
    }
    if (events->matched)
        to->match[i] = from->match[j];
}

void vqr_event_ring_commit(const struct vqr_last_events *events, struct vqr_event_ring *ring,
                           const struct vqr_event_rows *staged, size_t total)
{
    const size_t kept = total < events->last ? total : events->last;
    for (size_t r = 0; r < kept; r++) {
        copy_row(events, &ring->rows, ring->next, staged, r);
        ring->next = (ring->next + 1) % events->last;
        ring->count += ring->count < events->last;
    }
}

void vqr_event_ring_list(const struct vqr_last_events *events, const struct vqr_event_ring *ring,
                         const struct vqr_event_rows *listed)
{
    const size_t oldest = (ring->next + events->last - ring->count) % events->last;
    for (size_t r = 0; r < ring->count; r++)
        copy_row(events, listed, r, &ring->rows, (oldest + r) % events->last);
}
