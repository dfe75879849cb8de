/* HSTU's attention over tokens in order, each of which sees itself and those before it: block by block of query rows,
 * so that nothing of all pairs of tokens is ever in memory. */
#include <string.h>

#include "runtime/hstu.h"

/* How many edges are at most dt: the bucket of dt seconds. From those below dt's power of two on, by steps that are the
 * same for any dt and without branches, which nobody could foretell of times in no order. */
static size_t find_bucket(const struct vqr_hstu *hstu, uint64_t dt)
{
    size_t at = hstu->octave[63 - __builtin_clzll(dt | 1)];
    for (unsigned step = hstu->steps; step-- > 0;)
        at += (size_t)(hstu->edge[at + ((size_t)1 << step) - 1] <= dt) << step;
    return at < hstu->buckets ? at : hstu->buckets; /* UINT64_MAX seconds reach the numbers past the edges, too */
}

/* later - earlier, whichever is which: the difference of any two times fits 64 bits without a sign. */
static uint64_t seconds_between(int64_t a, int64_t b)
{
    return a > b ? (uint64_t)a - (uint64_t)b : (uint64_t)b - (uint64_t)a;
}

/* Adds the bias of the time between the token after i and each token up to i. Times mostly ascend, so that several
 * tokens mostly share the bucket of those before: one branch asks this of a group. */
static void add_time_bias(const struct vqr_hstu *hstu, const float *time_bias, const struct vqr_hstu_tokens *tokens,
                          size_t i, float *bias)
{
    enum { GROUP = 8 };
    const int64_t next = tokens->time[i + 1 < tokens->count ? i + 1 : i];
    uint64_t low = 0, span = 0; /* the last bucket's seconds: none */
    float b = 0.0f;
    for (size_t j = 0; j <= i; j += GROUP) {
        const size_t count = i + 1 - j < GROUP ? i + 1 - j : GROUP;
        uint64_t dt[GROUP], bucket = 0;
        bool others = false;
        for (size_t l = 0; l < count; l++) {
            dt[l] = seconds_between(next, tokens->time[j + l]);
            others |= dt[l] - low >= span;
        }
        for (size_t l = 0; !others && l < count; l++)
            bias[j + l] += b;
        if (!others)
            continue;
        for (size_t l = 0; l < count; l++) {
            bucket = find_bucket(hstu, dt[l]);
            bias[j + l] += time_bias[bucket];
        }
        low = bucket > 0 ? hstu->edge[bucket - 1] : 0;
        span = (bucket < hstu->buckets ? hstu->edge[bucket] : UINT64_MAX) - low;
        b = time_bias[bucket];
    }
}

/* The biases of rows first ... first + rows, as far as each sees. */
static void fill_bias(const struct vqr_hstu *hstu, const struct vqr_hstu_layer *layer, struct vqr_hstu_scratch *s,
                      const struct vqr_hstu_tokens *tokens, size_t first, size_t rows)
{
    for (size_t r = 0; r < rows; r++) {
        const size_t i = first + r, seen = i + 1;
        float *bias = s->bias + r * s->bias_stride;
        if (layer->bias.data)
            memcpy(bias, layer->bias.data + (hstu->tokens - 1 - i), seen * sizeof *bias);
        else
            memset(bias, 0, seen * sizeof *bias);
        memset(bias + seen, 0, (vqr_padded(first + rows) - seen) * sizeof *bias);
        if (hstu->buckets)
            add_time_bias(hstu, layer->time_bias.data, tokens, i, bias);
    }
}

void vqr_hstu_attend_causal(const struct vqr_hstu *hstu, const struct vqr_hstu_layer *layer,
                            const struct vqr_kernels *k, struct vqr_hstu_scratch *s,
                            const struct vqr_hstu_tokens *tokens, float norm)
{
    const struct vqr_header_hstu *c = &hstu->config;
    const size_t count = tokens->count;
    const size_t k_step = vqr_padded(count) * c->qk_dim, v_step = count * vqr_padded(c->v_dim);
    const float *v_columns = s->uvqk + hstu->v_width, *q_columns = v_columns + hstu->v_width;
    const float *k_columns = q_columns + (size_t)c->heads * c->qk_dim;
    const bool biased = layer->bias.data || hstu->buckets;
    for (size_t h = 0; h < c->heads; h++) {
        k->pack_transposed_f32(s->k + h * k_step, k_columns + h * c->qk_dim, s->uvqk_stride, c->qk_dim, count);
        k->pack_f32(s->v + h * v_step, v_columns + h * c->v_dim, s->uvqk_stride, count, c->v_dim);
    }
    for (size_t first = 0; first < count; first += VQR_ATTENTION_ROWS) {
        const size_t rows = count - first < VQR_ATTENTION_ROWS ? count - first : VQR_ATTENTION_ROWS;
        if (biased)
            fill_bias(hstu, layer, s, tokens, first, rows);
        /* Heads in order, since each may spill zeros over the start of the next. */
        for (size_t h = 0; h < c->heads; h++)
            k->hstu_causal_attention_f32(s->o + first * s->o_stride + h * c->v_dim, s->o_stride,
                                         q_columns + first * s->uvqk_stride + h * c->qk_dim, s->uvqk_stride, first,
                                         rows, s->k + h * k_step, s->v + h * v_step, count, c->qk_dim, c->v_dim,
                                         biased ? s->bias : NULL, s->bias_stride, hstu->alpha, norm, s->scores);
    }
}
