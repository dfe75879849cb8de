/* The VQL sequence (arXiv 2508.17125): softmax attention over a whole history whose keys, and only keys, are quantised.
 * Each group of heads has one codebook; events with the same codeword share their score, so their values are summed
 * once and a candidate costs the same for any history (docs/model.md).
 *
 * Symbols: A heads of key width d and value width dv; group g has H_g heads and W_g codewords; R decay terms; D the
 * events' width, Dc the candidate's. */
#ifndef VQR_VQL_H
#define VQR_VQL_H

#include "runtime/codebook.h"
#include "runtime/linear.h"
#include "runtime/model.h"

struct vqr_vql_group {
    size_t heads, codewords;   /* H_g, W_g */
    uint32_t *head;            /* [H_g] numbers of its heads */
    struct vqr_codebook codes; /* folds to [D, W_g], with offsets -|c|^2 / 2 */
    const float *codebook;     /* [W_g, H_g d] */
    size_t v_column;           /* its first column of v: H_g dv of them */
    double *decay, *mix;       /* [R, H_g] */
    double *least;             /* [H_g] the least of a head's decays */
    double *unit;              /* [H_g dv] of the values' exact sums */
    size_t sums_at, clusters;  /* where its sums and its codewords start among those of all groups */
};

struct vqr_vql {
    size_t heads, dim, v_dim, terms, out; /* A, d, dv, R, Do or 0 */
    size_t width, candidate_width;        /* D, Dc */
    size_t most;                          /* the largest W_g */
    size_t codewords;                     /* of all groups together */
    size_t sums;                          /* of one term of all groups: of [W_g, H_g dv] each */
    float alpha;                          /* 1 / sqrt(d) */
    const float *v;                       /* panels [D, A dv], its columns group by group */
    struct vqr_linear q, out_product;     /* Dc -> A d, A dv -> Do */
    float *scale;                         /* [A dv] padded: what turns v into integers */
    struct vqr_vql_group *group;          /* [groups] */
    size_t groups;
    struct vqr_vql_head {
        size_t group, place; /* where head a is */
    } * head;                /* [A] */
};

/* What of a head's clusters a candidate needs, of `tokens` occupied ones. */
struct vqr_vql_values {
    float *v;    /* panels of [tokens, dv]: mean values */
    float *bias; /* [padded(tokens)] ln of the events' weight */
};

struct vqr_vql_state {
    int64_t *sums;    /* per group [W_g, H_g dv]: of events without a decay, or with R > 0 without a time */
    uint32_t *counts; /* per group [W_g], likewise */
    uint32_t *events; /* per group [W_g]: all events */
    double *decayed;  /* per group [R, W_g, H_g, dv], at the time `last` */
    double *weights;  /* per group [R, W_g, H_g] */
    int64_t last;     /* the latest event's time, if `timed` */
    bool timed;
    uint32_t *token;               /* per group [W_g]: occupied codewords, ascending */
    size_t *tokens;                /* [groups] */
    float **k;                     /* [A] panels of [d, tokens] */
    struct vqr_vql_values *values; /* [A] with R = 0 */
};

struct vqr_vql_scratch {
    uint32_t *z;           /* [VQR_EVENT_BLOCK] */
    float *v;              /* [VQR_EVENT_BLOCK, v_stride] */
    double *factor;        /* [R or 1, most heads of a group] */
    float *rows;           /* [most, stride] codewords or values, before packing */
    double *total;         /* [most] */
    float *q, *o, *scores; /* queries; heads before `out`; scores of the attention kernel */
    float *weights;        /* [padded(most)] */
    size_t v_stride, row_stride, q_stride, o_stride;
    struct vqr_int8_rows int8;
    struct vqr_codebook_scratch codebook;
    struct vqr_vql_values *values;    /* [A] with R > 0, at one request's time */
    double *kept_sums, *kept_weights; /* R > 0: the state's, to go back to */
    int64_t kept_last;
    bool kept_timed;
};

/* vql_bind.c */
enum vqr_status vqr_vql_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                             struct vqr_sequence *sequence);
void vqr_vql_unbind(struct vqr_sequence *sequence);

/* vql_memory.c */
void *vqr_vql_take_scratch(const struct vqr_sequence *sequence, struct vqr_arena *arena);
void *vqr_vql_take_state(const struct vqr_sequence *sequence, struct vqr_arena *arena);

#endif
