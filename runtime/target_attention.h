/* Target attention (docs/model.md section 2): candidates meet tokens, by products of heads (kind "dot") or by a small
 * network (kind "din", arXiv 1706.06978). Tokens are a codebook's clusters, or the last events of a history; what
 * depends on them alone is computed once per user state and kept as struct vqr_interests.
 *
 * Symbols: D the tokens' width, Dc the candidate's; T tokens. */
#ifndef VQR_TARGET_ATTENTION_H
#define VQR_TARGET_ATTENTION_H

#include "runtime/activation.h"
#include "runtime/linear.h"
#include "vqrank/vqrank.h"

/* Kind "dot": the candidate's query against the tokens' keys. */
struct vqr_dot_attention {
    size_t width; /* heads * dim */
    float alpha;  /* 1 / sqrt(dim) */
    /* Keys and values are kept in int8 (dot_int8.h), and of keys, which are numbered over all heads, some twice: */
    bool int8;
    const uint32_t *fine; /* their numbers, ascending */
    uint32_t *fine_start; /* [heads + 1] where each head's start */
    size_t most_fine;     /* of a head */
    struct vqr_linear q, k, v, out;
};

/* Kind "din": a weight for each token from MLP([t', y, t' - y, t' * y]), t' = t Wq + bq. */
struct vqr_din_attention {
    struct vqr_linear q;                       /* Dc -> D */
    struct vqr_weights target, event, product; /* [D, first] panels: of t', y and t' * y */
    struct vqr_linear *layer;                  /* [layers]; the first has a bias only, the last gives the weight */
    struct vqr_activation_layer *activation;   /* [layers - 1] */
    size_t layers, widest;                     /* the widest layer's outputs */
};

struct vqr_attention_ops;

struct vqr_target_attention {
    const struct vqr_attention_ops *kind;
    struct vqr_header_attention config;
    size_t width, candidate_width; /* D, Dc */
    size_t tokens;                 /* the most that there can be */
    size_t out_width;              /* of one codebook's part of the interest vector */
    double work;                   /* multiply-adds that a token's part takes, once per history */
    double candidate_work;         /* and that a candidate takes at most in one codebook; an exponential counts as 16 */
    bool asks_once; /* all codebooks have the same weights, and attending leaves the questions as they are */
    struct vqr_dot_attention dot;
    struct vqr_din_attention din;
};

/* What a user's tokens keep for scoring. */
struct vqr_interests {
    size_t tokens;     /* 0: no events */
    float *k;          /* dot: [heads] panels of [dim, tokens] */
    float *v;          /* dot: [heads] panels of [tokens, dim]; din: panels of [tokens, D], the tokens themselves */
    float *y;          /* din: [tokens, padded(D)] the tokens as rows */
    float *log_counts; /* dot: [padded(tokens)] ln max(n, 1), only with count_bias */
    /* dot in int8, in place of k and v: of each head panels of bytes of [dim and its fine columns, tokens], and of
     * [tokens, dim]; their steps, one for each of those columns, and [heads, padded(tokens)] of the values. */
    int8_t *k8, *v8;
    float *k_scale, *v_scale;
};

/* What tokens of which only some are attended to at a time keep, as rows. */
struct vqr_token_rows {
    float *k, *v; /* dot: [tokens, padded(width)] keys and values */
    float *y;     /* din: [tokens, padded(D)] the tokens */
};

struct vqr_target_scratch {
    size_t q_stride;
    float *q;      /* [VQR_CANDIDATE_BLOCK, q_stride] queries, or t' */
    float *kv;     /* dot: [tokens, q_stride] keys, then values, before packing */
    float *count;  /* dot: [padded(tokens)] */
    float *o;      /* dot: [VQR_CANDIDATE_BLOCK, q_stride + 16] before the output projection */
    float *scores; /* [VQR_ATTENTION_ROWS, padded(tokens)] */
    struct vqr_int8_rows int8;
    int8_t *row8; /* dot in int8: [tokens, dim rounded up to 4] values before packing */
    size_t twice_stride;
    float *twice; /* dot in int8: [tokens or VQR_CANDIDATE_BLOCK, twice_stride] a head's keys or queries with fine
                     columns */
    size_t c_stride, mlp_stride;
    float *c;      /* din: [VQR_CANDIDATE_BLOCK, c_stride] the first layer's chains over t' */
    float *m;      /* din: panels of [D, first], one candidate's weights of the tokens */
    float *a, *b;  /* din: [tokens, mlp_stride] */
    float *logits; /* din: [padded(tokens)] */
};

/* Reads configuration and tensors of a sequence's attention; `stack` is 1 if all codebooks share it. On failure the
 * caller still calls vqr_target_unbind. Errors: FORMAT, MEMORY. */
enum vqr_status vqr_target_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header, size_t stack,
                                size_t tokens, struct vqr_target_attention *attention);
void vqr_target_unbind(struct vqr_target_attention *attention);

/* Refuses keys and values in int8, of sequences whose state is not their attention's interests. Errors: FORMAT. */
enum vqr_status vqr_refuse_int8_state(struct vqr_binder *binder, const char *sequence,
                                      const struct vqr_target_attention *attention);

/* Multiply-adds that the tokens' part takes at most. */
double vqr_target_work(const struct vqr_target_attention *attention);

void vqr_target_take_scratch(const struct vqr_target_attention *attention, struct vqr_target_scratch *scratch,
                             struct vqr_arena *arena);
void vqr_interests_take(const struct vqr_target_attention *attention, struct vqr_interests *interests,
                        struct vqr_arena *arena);

/* The tokens' part of codebook's attention: x[tokens, padded(D)]; counts[tokens] events of each, read with count_bias.
 * Returns 0 if a value is not finite. */
int vqr_interests_compute(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                          struct vqr_target_scratch *scratch, size_t codebook, const float *x, size_t tokens,
                          const uint32_t *counts, struct vqr_interests *interests);

/* The same in two steps, for `tokens` tokens of which at most attention->tokens are attended to at a time. Projecting
 * returns 0 if a value is not finite; tokens first ... first + count of the rows become the interests. */
void vqr_token_rows_take(const struct vqr_target_attention *attention, size_t tokens, struct vqr_token_rows *rows,
                         struct vqr_arena *arena);
int vqr_token_rows_project(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                           struct vqr_target_scratch *scratch, const float *x, size_t tokens,
                           const struct vqr_token_rows *rows);
void vqr_interests_pack(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                        const struct vqr_token_rows *rows, size_t first, size_t count, struct vqr_interests *interests);

/* What candidates t[rows, t_stride] ask a codebook's interests, whatever these are: queries, or t' and its chains.
 * With asks_once, what they ask codebook 0 they ask all. */
void vqr_interests_ask(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                       struct vqr_target_scratch *scratch, size_t codebook, const float *t, size_t t_stride,
                       size_t rows);

/* The interest vectors of candidates that have asked: out[rows, out_stride], out_width columns and up to
 * 2 * VQR_LANES after them. Zero without tokens. */
void vqr_interests_attend(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                          struct vqr_target_scratch *scratch, size_t codebook, const struct vqr_interests *interests,
                          size_t rows, float *out, size_t out_stride);

/* What each token weighs for one candidate that has asked: weights[interests->tokens], so nothing is written without
 * tokens.
 * dot: the mean over heads, their sum is 1; din: a_k, or their softmax. */
void vqr_interests_weigh(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                         struct vqr_target_scratch *scratch, size_t codebook, const struct vqr_interests *interests,
                         float *weights);

/* What a kind does for the steps above; all that take tokens only where there are some. */
struct vqr_attention_ops {
    enum vqr_status (*bind)(struct vqr_binder *binder, const struct vqr_header_sequence *header, size_t stack,
                            struct vqr_target_attention *attention);
    void (*take_scratch)(const struct vqr_target_attention *attention, struct vqr_target_scratch *scratch,
                         struct vqr_arena *arena);
    void (*take_interests)(const struct vqr_target_attention *attention, struct vqr_interests *interests,
                           struct vqr_arena *arena);
    int (*compute)(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                   struct vqr_target_scratch *scratch, size_t codebook, const float *x, const uint32_t *counts,
                   struct vqr_interests *interests);
    void (*take_rows)(const struct vqr_target_attention *attention, size_t tokens, struct vqr_token_rows *rows,
                      struct vqr_arena *arena);
    int (*project)(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                   struct vqr_target_scratch *scratch, const float *x, size_t tokens,
                   const struct vqr_token_rows *rows);
    void (*pack)(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                 const struct vqr_token_rows *rows, size_t first, struct vqr_interests *interests);
    void (*ask)(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                struct vqr_target_scratch *scratch, size_t codebook, const float *t, size_t t_stride, size_t rows);
    void (*attend)(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                   struct vqr_target_scratch *scratch, size_t codebook, const struct vqr_interests *interests,
                   size_t rows, float *out, size_t out_stride);
    void (*weigh)(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                  struct vqr_target_scratch *scratch, size_t codebook, const struct vqr_interests *interests,
                  float *weights);
};

/* Kind "dot" in steps, for who chooses among tokens head by head: candidates that have asked have their queries in
 * scratch->q; where the heads' outputs go, side by side and whole panels at a time, in rows of *stride (out's, or as it
 * was set); and from there the interest vectors, where there is an output projection. */
float *vqr_dot_heads(const struct vqr_target_attention *attention, const struct vqr_target_scratch *scratch, float *out,
                     size_t *stride);
void vqr_dot_output(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                    struct vqr_target_scratch *scratch, size_t codebook, size_t rows, float *out, size_t out_stride);

/* dot_attention.c and din_attention.c */
extern const struct vqr_attention_ops vqr_dot_attention_ops, vqr_din_attention_ops;

#endif
