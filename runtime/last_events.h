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

struct vqr_binder;
struct vqr_header_sequence;

/* Checks what all these kinds' configurations say of the events, and that an attention to them has no options of
 * codebooks; fills `last` and `width`. Errors: FORMAT. */
enum vqr_status vqr_last_events_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                                     struct vqr_last_events *events);

/* Says that what a refresh made of the events is not finite: OVERFLOW. */
enum vqr_status vqr_refuse_last_events(const char *sequence, struct vqr_error *error);

void vqr_event_rows_take(const struct vqr_last_events *events, struct vqr_event_rows *rows, struct vqr_arena *arena);

/* Steps of a sequence for kinds whose description begins with their struct vqr_last_events, whose scratch with the
 * staged struct vqr_event_rows and whose state with the struct vqr_event_ring. */
void vqr_last_events_append(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                            void *state, const struct vqr_event_block *block);
void vqr_last_events_commit(const struct vqr_sequence *sequence, void *scratch, void *state, size_t total);

/* The ring's events, oldest first: ring->count rows. */
void vqr_event_ring_list(const struct vqr_last_events *events, const struct vqr_event_ring *ring,
                         const struct vqr_event_rows *listed);

/* The ring's events by match row, those of a row oldest first and only its latest `most`; none of row 0. place[r] is
 * the number of listed event r, counted from the oldest. Returns how many are listed. order: [2 * M]. */
size_t vqr_event_ring_group(const struct vqr_last_events *events, const struct vqr_event_ring *ring, size_t most,
                            uint32_t *order, const struct vqr_event_rows *listed, uint32_t *place);

#endif
