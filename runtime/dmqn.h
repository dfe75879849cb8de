/* The DMQN sequence (arXiv 2508.20865): codebooks quantize the history into clusters (eq 4-9), HSTU lets a codebook's
 * clusters interact (eq 11-13), and the candidate attends to them.
 *
 * Symbols: N codebooks of W codewords, D the events' width, Dc the candidate's; T <= W tokens, the clusters that take
 * part. Weights come one set per codebook or shared: struct vqr_weights hides which. */
#ifndef VQR_DMQN_H
#define VQR_DMQN_H

#include "runtime/model.h"
#include "runtime/target_attention.h"

struct vqr_hstu_layer {
    struct vqr_weights pre_norm_weight, pre_norm_bias; /* [D] padded */
    struct vqr_weights f1, b1;                         /* [D, uvqk] panels, [uvqk] padded */
    struct vqr_weights bias;                           /* [1 or heads, W, W] padded */
    struct vqr_weights norm_weight, norm_bias;         /* [heads * v_dim] padded */
    struct vqr_weights f2, b2;                         /* [z_width, D] panels, [D] padded */
};

/* An HSTU stack (docs/model.md section 3; arXiv 2402.17152). */
struct vqr_hstu {
    struct vqr_header_hstu config;
    size_t width;                 /* D */
    size_t tokens;                /* W, the most that a codebook can have */
    size_t v_width;               /* heads * v_dim */
    size_t uvqk_width;            /* 2 heads v_dim + 2 heads qk_dim */
    size_t z_width;               /* of f2's input */
    float alpha;                  /* of the scores */
    struct vqr_hstu_layer *layer; /* [config.layers] */
};

struct vqr_hstu_scratch {
    size_t x_stride, uvqk_stride, o_stride, z_stride, bias_stride;
    float *normed; /* [W, x_stride] */
    float *uvqk;   /* [W, uvqk_stride] */
    float *k;      /* panels of [qk_dim, W] */
    float *v;      /* panels of [W, v_dim] */
    float *bias;   /* [W, bias_stride] the tokens' rows and columns of one head's bias, if there is one */
    float *o;      /* [W, o_stride] */
    float *z;      /* [W, z_stride] */
    float *scores; /* [VQR_ATTENTION_ROWS, padded(W)] */
};

struct vqr_dmqn {
    size_t codebooks, codewords, width;
    bool masked;       /* empty clusters are no tokens; else they are tokens of value 0 */
    const float *fold; /* [N, D, W] panels */
    const uint32_t *widths;
    size_t features;
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
    uint32_t *z;      /* [VQR_EVENT_BLOCK] */
    uint32_t *tokens; /* [W] clusters that take part, ascending */
    uint32_t *counts; /* [W] their events */
    float *x;         /* [W, hstu.x_stride] */
    float *weights;   /* [W] of the tokens, for one candidate */
    struct vqr_hstu_scratch hstu;
    struct vqr_target_scratch attention;
};

/* dmqn_bind.c */
enum vqr_status vqr_dmqn_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                              struct vqr_sequence *sequence);
void vqr_dmqn_unbind(struct vqr_sequence *sequence);
enum vqr_status vqr_hstu_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header, size_t width,
                              struct vqr_hstu *hstu);

/* hstu.c: x[tokens, x_stride] through all layers, in place. `token` lists the tokens' clusters, ascending. */
void vqr_hstu_take_scratch(const struct vqr_hstu *hstu, struct vqr_hstu_scratch *scratch, struct vqr_arena *arena);
void vqr_hstu_run(const struct vqr_hstu *hstu, const struct vqr_kernels *k, struct vqr_hstu_scratch *scratch,
                  size_t codebook, const uint32_t *token, size_t tokens, float *x);

#endif
