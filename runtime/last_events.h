/* The last events of a history, for the kinds that look at events themselves: a ring in the user's state, filled from
 * the end of each call's events once the call has succeeded. */
#ifndef VQR_LAST_EVENTS_H
#define VQR_LAST_EVENTS_H

#include <stdbool.h>

#include "runtime/arena.h"
#include "runtime/sequence.h"

struct vqr_last_events {
    size_t last, width; /* M, the most that are kept; D */
    bool timed;         /* with their times */
    bool matched;       /* with their rows of the sequence's match feature */
};

/* What is kept of M events. */
struct vqr_event_rows {
    float *e;          /* [M, padded(D)] */
    int64_t *time;     /* [M] of those that have one, if timed */
    uint8_t *has_time; /* [M] */
    uint32_t *match;   /* [M], if matched */
};

struct vqr_event_ring {
    struct vqr_event_rows rows;
    size_t count; /* rows that hold events, at most M */
    size_t next;  /* the row that the next event takes: the oldest, once all are taken */
};

void vqr_event_rows_take(const struct vqr_last_events *events, struct vqr_event_rows *rows, struct vqr_arena *arena);

/* Keeps those of the block's events that are among the call's last M in `staged`, oldest first. Taking events back out
 * (sign -1) is not needed: before commit the ring has none of them. */
void vqr_event_rows_stage(const struct vqr_last_events *events, const struct vqr_event_rows *staged,
                          const struct vqr_event_block *block);

/* Moves what a call of `total` events staged into the ring. */
void vqr_event_ring_commit(const struct vqr_last_events *events, struct vqr_event_ring *ring,
                           const struct vqr_event_rows *staged, size_t total);

/* The ring's events, oldest first: ring->count rows. */
void vqr_event_ring_list(const struct vqr_last_events *events, const struct vqr_event_ring *ring,
                         const struct vqr_event_rows *listed);

#endif
