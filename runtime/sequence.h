/* A sequence: how a history becomes interests, and a candidate meets them. Each kind (dmqn, ...) implements the same
 * few steps, so model, session, state, encode and score know no kind. */
#ifndef VQR_SEQUENCE_H
#define VQR_SEQUENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/arena.h"
#include "simd/simd.h"
#include "vqrank/vqrank.h"

struct vqr_binder;
struct vqr_header_sequence;
struct vqr_sequence;

/* A block of events on their way into the sums. */
struct vqr_event_block {
    const float *e;     /* [rows, stride] embeddings */
    const float *scale; /* [the events' width] e * scale rounds to the integers that are summed */
    size_t stride, rows;
    const int64_t *time;         /* [rows] the events' times, or NULL if none has one */
    const uint8_t *has_time;     /* [rows] 0 for an event without a time; NULL: all have one */
    const uint32_t *row;         /* [features, VQR_EVENT_BLOCK] table rows of the features of kind id */
    const uint32_t *match;       /* [rows] table rows of the sequence's match feature, if it has one */
    const uint32_t *stored;      /* [codebooks, VQR_EVENT_BLOCK] the sequence's codewords, where the file stores any: */
    const uint32_t *missing;     /* [missing_rows] the rows, ascending, that it stores none for, */
    const float *missing_e;      /* [missing_rows, stride] and their embeddings */
    const uint32_t *missing_row; /* [features, VQR_EVENT_BLOCK] and their table rows */
    size_t missing_rows;
    size_t first, total; /* the block's first event among all events of the call */
    int32_t sign;        /* 1 adds the events, -1 takes them back out */
};

/* Candidates of one user on their way through the sequences; at most VQR_CANDIDATE_BLOCK. */
struct vqr_candidates {
    const float *t; /* [rows, stride] embeddings */
    size_t stride, rows;
    const uint32_t *match; /* [rows] table rows of the sequence's match feature, if it has one */
};

struct vqr_sequence_ops {
    /* Reads configuration and tensors; fills the sequence's `self` and widths. */
    enum vqr_status (*bind)(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                            struct vqr_sequence *sequence);
    void (*unbind)(struct vqr_sequence *sequence);

    /* Takes the sequence's part of a session's scratch, or of a user's state. Called with arenas that only count, too:
     * then what is returned is not used. */
    void *(*take_scratch)(const struct vqr_sequence *sequence, struct vqr_arena *arena);
    void *(*take_state)(const struct vqr_sequence *sequence, struct vqr_arena *arena);

    void (*reset)(const struct vqr_sequence *sequence, void *state);
    void (*append)(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, void *state,
                   const struct vqr_event_block *block);
    /* Before the blocks of a call, and instead of them all when the call is refused after some went in: for what append
     * with sign -1 does not take back out to the bit. NULL where it does. */
    void (*begin)(const struct vqr_sequence *sequence, void *scratch, const void *state);
    void (*undo)(const struct vqr_sequence *sequence, const void *scratch, void *state);
    /* After the blocks of a call of `total` events have all gone in: kinds that cannot take events back out hold them
     * in scratch until then. NULL where append is all. */
    void (*commit)(const struct vqr_sequence *sequence, void *scratch, void *state, size_t total);
    /* NULL for a kind without codebooks. The clusters of a block's events: clusters[j * clusters_stride + row] for
     * codebook j. */
    void (*assign)(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                   const struct vqr_event_block *block, uint32_t *clusters, size_t clusters_stride);
    /* NULL for a kind whose codewords no file stores. The codewords of codebook j. */
    size_t (*codewords)(const struct vqr_sequence *sequence, size_t j);
    /* Interests from sums. Errors: OVERFLOW. */
    enum vqr_status (*refresh)(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                               void *state, struct vqr_error *error);
    /* Before the candidates of one request, whose time is *now (NULL: it has none): for kinds whose interests depend on
     * the time; what it computes lies in scratch until the next start. NULL for the others. */
    void (*start)(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                  const int64_t *now);
    /* The interest vectors of candidates into out[rows][out_stride], interest_width columns; up to 2 * VQR_LANES
     * columns after them may be overwritten. */
    void (*attend)(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                   const struct vqr_candidates *candidates, float *out, size_t out_stride);
    /* What each of the sequence's tokens weighs for one candidate, the first: weights[max(codebooks, 1)][tokens], 0 for
     * tokens that take no part. */
    void (*weigh)(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                  const struct vqr_candidates *candidate, float *weights);
};

enum {
    VQR_EVENT_BLOCK = 48,     /* events quantized together: a multiple of every ISA's tile rows */
    VQR_CANDIDATE_BLOCK = 48, /* candidates scored together, likewise; not more */
};

struct vqr_sequence {
    const struct vqr_sequence_ops *kind;
    const char *name;
    void *self;            /* the kind's own description */
    size_t interest_width; /* columns of the user's interest vector */
    size_t codebooks;      /* for vqr_assign; 0 if the kind has none */
    size_t tokens;         /* the most that a candidate attends to, in a codebook if there are any */
    bool matches;          /* events and candidates are compared by their rows of two features of one table: */
    size_t match_event, match_candidate; /* their numbers in the groups, bound as kind id */
    double work;                         /* multiply-adds that computing the interests takes at most */
    double candidate_work;               /* and that a candidate's attention to them takes at most */
};

extern const struct vqr_sequence_ops vqr_dmqn, vqr_din, vqr_vql, vqr_sdim, vqr_sim_hard, vqr_twin, vqr_hstu_last;

#endif
