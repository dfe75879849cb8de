/* An HSTU stack (docs/model.md section 3; arXiv 2402.17152): over one codebook's clusters, which have no order, or over
 * the last events in theirs, where each sees itself and those before it.
 *
 * Symbols: N codebooks, W the most tokens there can be, T <= W those there are, D their width. Weights come one set per
 * codebook or shared: struct vqr_weights hides which. */
#ifndef VQR_HSTU_H
#define VQR_HSTU_H

#include "runtime/linear.h"

struct vqr_hstu_layer {
    struct vqr_weights pre_norm_weight, pre_norm_bias; /* [D] padded */
    struct vqr_linear f1;                              /* D -> uvqk */
    struct vqr_weights bias;                           /* clusters: [1 or heads, W, W] padded; causal: [2 W - 1] */
    struct vqr_weights time_bias;                      /* causal: [buckets + 1], if there are buckets */
    struct vqr_weights norm_weight, norm_bias;         /* [heads * v_dim] padded */
    struct vqr_linear f2;                              /* z_width -> D */
};

struct vqr_hstu {
    struct vqr_header_hstu config;
    /* Given before vqr_hstu_bind: */
    size_t width, tokens; /* D, W */
    size_t codebooks;     /* N; 1 where there are none */
    bool causal;          /* tokens in an order, of one "codebook" */
    size_t buckets;       /* causal: of the times between tokens; 0: times are not read */
    /* Found by it: */
    size_t v_width;               /* heads * v_dim */
    size_t uvqk_width;            /* 2 heads v_dim + 2 heads qk_dim */
    size_t z_width;               /* of f2's input */
    float alpha;                  /* of the scores */
    uint64_t *edge;               /* [buckets] the least seconds of bucket 1, 2, ..., never descending; past them some
                                     that no search passes */
    uint32_t octave[64];          /* edges below 2^0, 2^1, ... seconds */
    unsigned steps;               /* of a search among the edges from there on to twice as many seconds */
    struct vqr_hstu_layer *layer; /* [config.layers] */
};

struct vqr_hstu_scratch {
    size_t x_stride, uvqk_stride, o_stride, z_stride, bias_stride;
    float *normed; /* [W, x_stride] */
    float *uvqk;   /* [W, uvqk_stride] */
    float *k;      /* panels of [qk_dim, W]; causal: of each head */
    float *v;      /* panels of [W, v_dim]; causal: of each head */
    float *bias; /* clusters: [W, bias_stride] the tokens' rows and columns of one head's bias, if there is one; causal:
                    [VQR_ATTENTION_ROWS, bias_stride] a block's */
    float *o;    /* [W, o_stride] */
    float *z;    /* [W, z_stride] */
    float *scores; /* [VQR_ATTENTION_ROWS, padded(W)] */
    struct vqr_int8_rows int8;
};

/* What a run is over. */
struct vqr_hstu_tokens {
    size_t count;            /* T */
    const uint32_t *cluster; /* clusters: [T] their numbers, ascending */
    const int64_t *time;     /* causal, with buckets: [T] */
};

/* hstu_bind.c: configuration and tensors of a sequence's HSTU; on failure, too, vqr_hstu_unbind is to be called.
 * Errors: FORMAT, MEMORY. */
enum vqr_status vqr_hstu_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                              struct vqr_hstu *hstu);
void vqr_hstu_unbind(struct vqr_hstu *hstu);

/* Multiply-adds of a run over W tokens of one codebook; an exponential counts as 16. */
double vqr_hstu_work(const struct vqr_hstu *hstu);

/* hstu.c: x[T, padded(D)] of `codebook` through all layers, in place. */
void vqr_hstu_take_scratch(const struct vqr_hstu *hstu, struct vqr_hstu_scratch *scratch, struct vqr_arena *arena);
void vqr_hstu_run(const struct vqr_hstu *hstu, const struct vqr_kernels *k, struct vqr_hstu_scratch *scratch,
                  size_t codebook, const struct vqr_hstu_tokens *tokens, float *x);

/* hstu_causal.c: steps 3-5 of one layer in order, from scratch->uvqk to scratch->o; `norm` is the factor of step 4. */
void vqr_hstu_attend_causal(const struct vqr_hstu *hstu, const struct vqr_hstu_layer *layer,
                            const struct vqr_kernels *k, struct vqr_hstu_scratch *scratch,
                            const struct vqr_hstu_tokens *tokens, float norm);

#endif
