#include "runtime/last_events.h"

#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/model.h"

enum vqr_status vqr_last_events_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                                     struct vqr_last_events *events)
{
    events->last = header->last;
    events->width = binder->model->inputs[VQR_EVENT].width;
    const enum vqr_status status = vqr_check_range(binder, header->name, "last", header->last, 1, VQR_COUNT_MAX);
    if (!status && (header->attention.share || header->attention.count_bias))
        return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                        "sequence \"%s\": its attention says share or count_bias, expected neither without codebooks",
                        header->name);
    return status;
}

enum vqr_status vqr_refuse_last_events(const char *sequence, struct vqr_error *error)
{
    return vqr_fail(
        error, VQR_ERROR_OVERFLOW,
        "sequence \"%s\": the last events' keys or values are not finite; the model's weights are too large", sequence);
}

void vqr_event_rows_take(const struct vqr_last_events *events, struct vqr_event_rows *rows, struct vqr_arena *arena)
{
    rows->e = vqr_take(arena, vqr_times(events->last, vqr_padded(events->width)), sizeof *rows->e);
    rows->time = vqr_take(arena, events->timed ? events->last : 0, sizeof *rows->time);
    rows->has_time = vqr_take(arena, events->timed ? events->last : 0, sizeof *rows->has_time);
    rows->match = vqr_take(arena, events->matched ? events->last : 0, sizeof *rows->match);
}

/* Keeps those of the block's events that are among the call's last M in `staged`, oldest first. Taking events back out
 * (sign -1) is not needed: before commit the ring has none of them. */
static void stage(const struct vqr_last_events *events, const struct vqr_event_rows *staged,
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

/* Moves what a call of `total` events staged into the ring. */
static void commit(const struct vqr_last_events *events, struct vqr_event_ring *ring,
                   const struct vqr_event_rows *staged, size_t total)
{
    const size_t kept = total < events->last ? total : events->last;
    for (size_t r = 0; r < kept; r++) {
        copy_row(events, &ring->rows, ring->next, staged, r);
        ring->next = (ring->next + 1) % events->last;
        ring->count += ring->count < events->last;
    }
}

void vqr_last_events_append(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                            void *state, const struct vqr_event_block *block)
{
    (void)k, (void)state;
    stage(sequence->self, scratch, block);
}

void vqr_last_events_commit(const struct vqr_sequence *sequence, void *scratch, void *state, size_t total)
{
    commit(sequence->self, state, scratch, total);
}

/* The row of the oldest event; the others follow, around the end. */
static size_t oldest(const struct vqr_last_events *events, const struct vqr_event_ring *ring)
{
    return (ring->next + events->last - ring->count) % events->last;
}

void vqr_event_ring_list(const struct vqr_last_events *events, const struct vqr_event_ring *ring,
                         const struct vqr_event_rows *listed)
{
    const size_t from = oldest(events, ring);
    for (size_t r = 0; r < ring->count; r++)
        copy_row(events, listed, r, &ring->rows, (from + r) % events->last);
}

/* Sorts the n numbers of order by their keys, equal ones staying as they are: a pass for each byte in which keys
 * differ. Returns where they lie then, in order or in other. */
static uint32_t *sort_by_key(const uint32_t *key, uint32_t *order, uint32_t *other, size_t n)
{
    for (unsigned shift = 0; shift < 32; shift += 8) {
        size_t start[257] = {0}, widest = 0;
        for (size_t i = 0; i < n; i++)
            start[(key[order[i]] >> shift & 255) + 1]++;
        for (size_t b = 1; b <= 256; b++) {
            widest = start[b] > widest ? start[b] : widest;
            start[b] += start[b - 1];
        }
        if (widest == n)
            continue;
        for (size_t i = 0; i < n; i++)
            other[start[key[order[i]] >> shift & 255]++] = order[i];
        uint32_t *const swap = order;
        order = other;
        other = swap;
    }
    return order;
}

size_t vqr_event_ring_group(const struct vqr_last_events *events, const struct vqr_event_ring *ring, size_t most,
                            uint32_t *order, const struct vqr_event_rows *listed, uint32_t *place)
{
    const uint32_t *match = ring->rows.match;
    const size_t n = ring->count, from = oldest(events, ring);
    for (size_t r = 0; r < n; r++)
        order[r] = (uint32_t)((from + r) % events->last);
    order = sort_by_key(match, order, order + events->last, n);
    size_t count = 0, end;
    for (size_t first = 0; first < n; first = end) {
        for (end = first + 1; end < n && match[order[end]] == match[order[first]];)
            end++;
        if (match[order[first]] == 0)
            continue;
        for (size_t r = end - first > most ? end - most : first; r < end; r++) {
            place[count] = (uint32_t)((order[r] + events->last - from) % events->last);
            copy_row(events, listed, count++, &ring->rows, order[r]);
        }
    }
    return count;
}
