/* The DMQN sequence (arXiv 2508.20865): codebooks quantize the history into clusters (eq 4-9), HSTU lets a codebook's
 * clusters interact (eq 11-13), and the candidate attends to them.
 *
 * Symbols: N codebooks of W codewords, D the events' width, Dc the candidate's; T <= W tokens, the clusters that take
 * part. Weights come one set per codebook or shared: struct vqr_weights hides which. */
#ifndef VQR_DMQN_H
#define VQR_DMQN_H

#include "runtime/codebook.h"
#include "runtime/hstu.h"
#include "runtime/model.h"
#include "runtime/target_attention.h"

struct vqr_dmqn {
    size_t codebooks, codewords, width;
    bool masked; /* empty clusters are no tokens; else they are tokens of value 0 */
    struct vqr_codebook codebook;
    const double *unit;
    struct vqr_hstu hstu;
    struct vqr_target_attention attention;
};

struct vqr_dmqn_state {
    int64_t *sums;                   /* [N, W, D] */
    uint32_t *counts;                /* [N, W] */
    struct vqr_interests *interests; /* [N] */
};

struct vqr_dmqn_scratch {
    uint32_t *z;      /* [N, VQR_EVENT_BLOCK] */
    uint32_t *tokens; /* [W] clusters that take part, ascending */
    uint32_t *counts; /* [W] their events */
    float *x;         /* [W, hstu.x_stride] */
    float *weights;   /* [W] of the tokens, for one candidate */
    struct vqr_codebook_scratch codebook;
    struct vqr_hstu_scratch hstu;
    struct vqr_target_scratch attention;
};

/* dmqn_bind.c */
enum vqr_status vqr_dmqn_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                              struct vqr_sequence *sequence);
void vqr_dmqn_unbind(struct vqr_sequence *sequence);

/* The clusters that are tokens, ascending: occupied ones, or all of them once there is any event. Returns how many. */
size_t vqr_dmqn_list_tokens(const struct vqr_dmqn *dmqn, const uint32_t *counts, uint32_t *tokens);

#endif
