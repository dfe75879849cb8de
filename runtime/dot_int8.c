#include "runtime/dot_int8.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/int8_matrix.h"
#include "runtime/memory.h"
#include "runtime/sequence.h"

/* ---- which columns ---- */

enum vqr_status vqr_dot_int8_bind(struct vqr_binder *binder, const char *sequence,
                                  struct vqr_target_attention *attention)
{
    struct vqr_dot_attention *a = &attention->dot;
    const size_t heads = attention->config.heads, dim = attention->config.dim;
    char name[VQR_NAME_SIZE];
    snprintf(name, sizeof name, "sequences.%s.attention.k.fine", sequence);
    size_t count = 0;
    enum vqr_status status = vqr_bind_columns(binder, &a->fine, &count, a->width, name);
    if (status)
        return status;
    attention->candidate_work += (double)attention->tokens * (double)count;
    a->fine_start = vqr_allocate(heads + 1, sizeof *a->fine_start, binder->error);
    if (!a->fine_start)
        return VQR_ERROR_MEMORY;
    for (size_t h = 0, i = 0; h <= heads; h++) {
        while (i < count && a->fine[i] < h * dim)
            i++;
        a->fine_start[h] = (uint32_t)i;
        if (h && a->fine_start[h] - a->fine_start[h - 1] > a->most_fine)
            a->most_fine = a->fine_start[h] - a->fine_start[h - 1];
    }
    return VQR_OK;
}

/* A head's columns of keys: its own, then those that are kept twice. */
struct columns {
    size_t first; /* of all heads' */
    size_t count;
    const uint32_t *fine; /* [count - dim] numbers of keys of all heads */
};

static struct columns columns_of(const struct vqr_target_attention *attention, size_t h)
{
    const struct vqr_dot_attention *a = &attention->dot;
    const size_t dim = attention->config.dim, start = a->fine_start[h];
    return (struct columns){h * dim + start, dim + a->fine_start[h + 1] - start, a->fine ? a->fine + start : NULL};
}

/* ---- memory ---- */

/* Columns of all heads' keys together. */
static size_t all_columns(const struct vqr_target_attention *attention)
{
    return attention->dot.width + attention->dot.fine_start[attention->config.heads];
}

static size_t values_size(const struct vqr_target_attention *attention, size_t tokens)
{
    return vqr_times(tokens, vqr_padded(attention->config.dim));
}

static size_t row_size(const struct vqr_target_attention *attention)
{
    return ((size_t)attention->config.dim + 3) / 4 * 4;
}

void vqr_dot_int8_take_scratch(const struct vqr_target_attention *attention, struct vqr_target_scratch *scratch,
                               struct vqr_arena *arena)
{
    const size_t tokens = attention->tokens, most = attention->dot.most_fine;
    const size_t rows = tokens > VQR_CANDIDATE_BLOCK ? tokens : VQR_CANDIDATE_BLOCK;
    scratch->row8 = vqr_take(arena, vqr_times(tokens, row_size(attention)), sizeof *scratch->row8);
    scratch->twice_stride = most ? attention->config.dim + most : 0;
    scratch->twice = vqr_take(arena, vqr_times(rows, scratch->twice_stride), sizeof *scratch->twice);
}

void vqr_dot_int8_take_interests(const struct vqr_target_attention *attention, struct vqr_interests *interests,
                                 struct vqr_arena *arena)
{
    const size_t heads = attention->config.heads, w = attention->tokens, columns = all_columns(attention);
    interests->k8 = vqr_take(arena, vqr_times(columns, vqr_padded(w)), sizeof *interests->k8);
    interests->v8 = vqr_take(arena, vqr_times(heads, values_size(attention, w)), sizeof *interests->v8);
    interests->k_scale = vqr_take(arena, columns, sizeof(float));
    interests->v_scale = vqr_take(arena, vqr_times(heads, vqr_padded(w)), sizeof(float));
}

/* ---- keys and values ---- */

/* Rows of `keys`, a head's own columns, followed by what the steps left of the fine ones. k8: those columns in int8. */
static void keep_twice(const struct columns *columns, size_t h, size_t dim, const float *keys, size_t stride,
                       size_t tokens, const int8_t *k8, const float *scale, float *twice, size_t twice_stride)
{
    for (size_t t = 0; t < tokens; t++, keys += stride, twice += twice_stride) {
        memcpy(twice, keys, dim * sizeof *twice);
        for (size_t f = 0; f < columns->count - dim; f++) {
            const size_t i = columns->fine[f] - h * dim;
            const int8_t q = k8[(t / VQR_LANES * dim + i) * VQR_LANES + t % VQR_LANES];
            twice[dim + f] = fmaf(-scale[i], (float)q, keys[i]);
        }
    }
}

void vqr_dot_int8_keep_keys(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                            struct vqr_target_scratch *scratch, struct vqr_interests *interests)
{
    const size_t dim = attention->config.dim, tokens = interests->tokens;
    for (size_t h = 0; h < attention->config.heads; h++) {
        const struct columns columns = columns_of(attention, h);
        const float *keys = scratch->kv + h * dim;
        int8_t *k8 = interests->k8 + columns.first * vqr_padded(tokens);
        float *scale = interests->k_scale + columns.first;
        k->columns_to_int8_f32(k8, scale, keys, scratch->q_stride, tokens, dim);
        if (columns.count == dim)
            continue;
        keep_twice(&columns, h, dim, keys, scratch->q_stride, tokens, k8, scale, scratch->twice, scratch->twice_stride);
        k->columns_to_int8_f32(k8, scale, scratch->twice, scratch->twice_stride, tokens, columns.count);
    }
}

void vqr_dot_int8_keep_values(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                              struct vqr_target_scratch *scratch, struct vqr_interests *interests)
{
    const size_t dim = attention->config.dim, tokens = interests->tokens;
    for (size_t h = 0; h < attention->config.heads; h++) {
        float *scale = interests->v_scale + h * vqr_padded(tokens);
        k->to_int8_f32(scratch->row8, row_size(attention), scale, scratch->kv + h * dim, scratch->q_stride, tokens,
                       dim);
        memset(scale + tokens, 0, (vqr_padded(tokens) - tokens) * sizeof *scale);
        k->pack_panels_i8(interests->v8 + h * values_size(attention, tokens), scratch->row8, row_size(attention),
                          tokens, dim);
    }
}

/* ---- candidates ---- */

/* Head h of the queries in scratch->q, with numbers that fine columns meet repeated, times the steps of its columns;
 * rows of *stride. */
static const float *queries(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                            struct vqr_target_scratch *scratch, const struct vqr_interests *interests,
                            const struct columns *columns, size_t h, size_t rows, size_t *stride)
{
    const size_t dim = attention->config.dim;
    float *q = scratch->q + h * dim;
    *stride = scratch->q_stride;
    if (columns->count > dim) {
        for (size_t r = 0; r < rows; r++) {
            float *twice = scratch->twice + r * scratch->twice_stride;
            memcpy(twice, q + r * scratch->q_stride, dim * sizeof *twice);
            for (size_t f = 0; f < columns->count - dim; f++)
                twice[dim + f] = twice[columns->fine[f] - h * dim];
        }
        q = scratch->twice;
        *stride = scratch->twice_stride;
    }
    k->scale_columns_f32(q, *stride, rows, columns->count, interests->k_scale + columns->first);
    return q;
}

void vqr_dot_int8_attend(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                         struct vqr_target_scratch *scratch, const struct vqr_interests *interests, size_t h,
                         size_t rows, float *o, size_t o_stride)
{
    const size_t dim = attention->config.dim, tokens = interests->tokens;
    const struct columns columns = columns_of(attention, h);
    size_t stride;
    const float *q = queries(attention, k, scratch, interests, &columns, h, rows, &stride);
    k->softmax_attention_i8(o, o_stride, q, stride, rows, interests->k8 + columns.first * vqr_padded(tokens),
                            interests->v8 + h * values_size(attention, tokens),
                            interests->v_scale + h * vqr_padded(tokens), tokens, columns.count, dim,
                            attention->config.count_bias ? interests->log_counts : NULL, attention->dot.alpha,
                            scratch->scores);
}

void vqr_dot_int8_weigh(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                        struct vqr_target_scratch *scratch, const struct vqr_interests *interests, size_t h)
{
    const size_t tokens = interests->tokens;
    const struct columns columns = columns_of(attention, h);
    size_t stride;
    const float *q = queries(attention, k, scratch, interests, &columns, h, 1, &stride);
    k->softmax_weights_i8(scratch->scores, vqr_padded(tokens), q, stride, 1,
                          interests->k8 + columns.first * vqr_padded(tokens), tokens, columns.count,
                          attention->config.count_bias ? interests->log_counts : NULL, attention->dot.alpha);
}
