/* The SDIM sequence (arXiv 2205.10249; docs/model.md): events are hashed by the signs of their products with fixed
 * directions, and a candidate takes, of each hash function, the direction of the sum of the events in its own bucket.
 *
 * Symbols: G hash functions of tau bits, B = 2^tau buckets each; D the events' width, Dc the candidate's. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/memory.h"
#include "runtime/model.h"

enum { HASHES_MAX = 1024, BITS_MAX = 12 };

struct sdim {
    size_t hashes, bits, buckets, width, candidate_width;
    const float *hash;         /* [D, G tau] panels: column g tau + b is bit b of hash g */
    const float *q;            /* [Dc, D] panels */
    struct vqr_weights q_bias; /* [D] padded */
    const double *unit;
    float share; /* 1 / G */
};

struct sdim_state {
    int64_t *sums;    /* [G, B, D] */
    uint32_t *counts; /* [G, B] */
    float *units;     /* [G, B, D] the sums' directions, 0 where there is none */
};

struct sdim_scratch {
    size_t t_stride, h_stride;
    float *t;         /* [VQR_CANDIDATE_BLOCK, t_stride] candidates as they are hashed */
    float *h;         /* [a block, h_stride] products with the directions */
    uint32_t *z;      /* [a block] codes of one hash */
    uint32_t *row;    /* [G] the rows of `units` that a candidate adds */
    uint32_t *bucket; /* [B] 0, 1, ... */
};

/* ---- opening ---- */

/* Signs of what is not finite would be no decision, so no event may give such. */
static enum vqr_status check_hash(struct vqr_binder *binder, const char *sequence, const struct sdim *sdim)
{
    for (size_t i = 0; i < sdim->hashes * sdim->bits; i++) {
        const double bound =
            vqr_event_bound(binder->model, sdim->hash + i / VQR_LANES * sdim->width * VQR_LANES + i % VQR_LANES);
        if (!(bound <= VQR_CHAIN_MAX))
            return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                            "sequence \"%s\": an event's product with direction %zu of sdim.hash may reach %.3g, "
                            "expected at most %.3g",
                            sequence, i, bound, VQR_CHAIN_MAX);
    }
    return VQR_OK;
}

/* "sequences.NAME.sdim.PART" */
static const char *part_name(char name[VQR_NAME_SIZE], const char *sequence, const char *part)
{
    snprintf(name, VQR_NAME_SIZE, "sequences.%s.sdim.%s", sequence, part);
    return name;
}

static enum vqr_status bind_sdim(struct vqr_binder *binder, const struct vqr_header_sequence *header, struct sdim *sdim)
{
    char name[VQR_NAME_SIZE];
    enum vqr_status status = vqr_check_range(binder, header->name, "hashes", header->hashes, 1, HASHES_MAX);
    if (!status)
        status = vqr_check_range(binder, header->name, "bits", header->bits, 1, BITS_MAX);
    if (status)
        return status;
    sdim->hashes = header->hashes;
    sdim->bits = header->bits;
    sdim->buckets = (size_t)1 << header->bits;
    sdim->width = binder->model->inputs[VQR_EVENT].width;
    sdim->candidate_width = binder->model->inputs[VQR_CANDIDATE].width;
    sdim->unit = binder->model->event_columns.unit;
    sdim->share = (float)(1.0 / (double)sdim->hashes);
    status = vqr_bind_flat_matrix(binder, &sdim->hash, sdim->width, sdim->hashes * sdim->bits,
                                  part_name(name, header->name, "hash"));
    if (!status)
        status = vqr_bind_flat_matrix(binder, &sdim->q, sdim->candidate_width, sdim->width,
                                      part_name(name, header->name, "q.weight"));
    if (!status)
        status = vqr_bind_row(binder, &sdim->q_bias, 0, sdim->width, part_name(name, header->name, "q.bias"));
    return status ? status : check_hash(binder, header->name, sdim);
}

static enum vqr_status bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                            struct vqr_sequence *sequence)
{
    struct sdim *sdim = sequence->self = vqr_allocate(1, sizeof *sdim, binder->error);
    if (!sdim)
        return VQR_ERROR_MEMORY;
    const enum vqr_status status = bind_sdim(binder, header, sdim);
    const double d = (double)sdim->width, g = (double)sdim->hashes;
    sequence->codebooks = sdim->hashes;
    sequence->tokens = sdim->buckets;
    sequence->interest_width = sdim->width;
    sequence->work = 8.0 * g * (double)sdim->buckets * d; /* divisions, in double */
    sequence->candidate_work = d * ((double)sdim->candidate_width + g * (double)sdim->bits + g);
    return status;
}

static void unbind(struct vqr_sequence *sequence)
{
    free(sequence->self);
    sequence->self = NULL;
}

/* ---- memory ---- */

static void *take_scratch(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct sdim *sdim = sequence->self;
    struct sdim_scratch counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    const size_t rows = (size_t)VQR_EVENT_BLOCK > VQR_CANDIDATE_BLOCK ? VQR_EVENT_BLOCK : VQR_CANDIDATE_BLOCK;
    s->t_stride = vqr_padded(sdim->width);
    s->h_stride = vqr_padded(sdim->hashes * sdim->bits);
    s->t = vqr_take(arena, vqr_times(VQR_CANDIDATE_BLOCK, s->t_stride), sizeof *s->t);
    s->h = vqr_take(arena, vqr_times(rows, s->h_stride), sizeof *s->h);
    s->z = vqr_take(arena, rows, sizeof *s->z);
    s->row = vqr_take(arena, sdim->hashes, sizeof *s->row);
    s->bucket = vqr_take(arena, sdim->buckets, sizeof *s->bucket);
    return taken;
}

static void *take_state(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct sdim *sdim = sequence->self;
    const size_t buckets = vqr_times(sdim->hashes, sdim->buckets), numbers = vqr_times(buckets, sdim->width);
    struct sdim_state counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    s->sums = vqr_take(arena, numbers, sizeof *s->sums);
    s->counts = vqr_take(arena, buckets, sizeof *s->counts);
    s->units = vqr_take(arena, numbers, sizeof *s->units);
    return taken;
}

static void reset(const struct vqr_sequence *sequence, void *state)
{
    const struct sdim *sdim = sequence->self;
    struct sdim_state *st = state;
    const size_t buckets = sdim->hashes * sdim->buckets;
    memset(st->sums, 0, buckets * sdim->width * sizeof *st->sums);
    memset(st->counts, 0, buckets * sizeof *st->counts);
    memset(st->units, 0, buckets * sdim->width * sizeof *st->units);
}

/* ---- events ---- */

/* The products of x[rows, stride] with all directions, into s->h. */
static void project(const struct sdim *sdim, const struct vqr_kernels *k, struct sdim_scratch *s, const float *x,
                    size_t stride, size_t rows)
{
    k->gemm_f32(s->h, s->h_stride, x, stride, rows, sdim->hash, sdim->width * VQR_LANES, sdim->width,
                vqr_panels(sdim->hashes * sdim->bits), NULL);
}

static void append(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, void *state,
                   const struct vqr_event_block *block)
{
    const struct sdim *sdim = sequence->self;
    struct sdim_scratch *s = scratch;
    struct sdim_state *st = state;
    project(sdim, k, s, block->e, block->stride, block->rows);
    for (size_t g = 0; g < sdim->hashes; g++) {
        const size_t at = g * sdim->buckets;
        k->sign_codes_f32(s->z, s->h + g * sdim->bits, s->h_stride, block->rows, sdim->bits);
        k->accumulate_f32(st->sums + at * sdim->width, st->counts + at, 1, sdim->buckets, block->e, block->stride,
                          block->rows, sdim->width, block->scale, s->z, 0, block->sign);
    }
}

static void assign(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                   const struct vqr_event_block *block, uint32_t *clusters, size_t clusters_stride)
{
    const struct sdim *sdim = sequence->self;
    struct sdim_scratch *s = scratch;
    project(sdim, k, s, block->e, block->stride, block->rows);
    for (size_t g = 0; g < sdim->hashes; g++)
        k->sign_codes_f32(clusters + g * clusters_stride, s->h + g * sdim->bits, s->h_stride, block->rows, sdim->bits);
}

/* A mean has its sum's direction, and is what fp32 holds. */
static enum vqr_status refresh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                               void *state, struct vqr_error *error)
{
    const struct sdim *sdim = sequence->self;
    struct sdim_scratch *s = scratch;
    struct sdim_state *st = state;
    (void)error; /* means of finite values: nothing can overflow */
    for (size_t c = 0; c < sdim->buckets; c++)
        s->bucket[c] = (uint32_t)c;
    for (size_t g = 0; g < sdim->hashes; g++) {
        const size_t at = g * sdim->buckets;
        k->cluster_mean_f32(st->units + at * sdim->width, sdim->width, st->sums + at * sdim->width, st->counts + at,
                            s->bucket, sdim->buckets, sdim->width, sdim->unit);
    }
    k->unit_rows_f32(st->units, sdim->width, st->units, sdim->width, sdim->hashes * sdim->buckets, sdim->width);
    return VQR_OK;
}

/* ---- candidates ---- */

/* The products of candidates with all directions, into s->h. */
static void hash_candidates(const struct sdim *sdim, const struct vqr_kernels *k, struct sdim_scratch *s,
                            const struct vqr_candidates *c)
{
    k->gemm_f32(s->t, s->t_stride, c->t, c->stride, c->rows, sdim->q, sdim->candidate_width * VQR_LANES,
                sdim->candidate_width, vqr_panels(sdim->width), sdim->q_bias.data);
    project(sdim, k, s, s->t, s->t_stride, c->rows);
}

/* The buckets of candidate r of those hashed, as rows of [G, B]; false if its products are not all finite. */
static bool find_rows(const struct sdim *sdim, const struct vqr_kernels *k, struct sdim_scratch *s, size_t r)
{
    const float *h = s->h + r * s->h_stride;
    k->sign_codes_f32(s->row, h, sdim->bits, sdim->hashes, sdim->bits);
    for (size_t g = 0; g < sdim->hashes; g++)
        s->row[g] += (uint32_t)(g * sdim->buckets);
    return k->finite_f32(h, sdim->hashes * sdim->bits);
}

static void fill(float *x, size_t n, float value)
{
    for (size_t i = 0; i < n; i++)
        x[i] = value;
}

/* A candidate without a sign gets no number, so that its score is refused. */
static void attend(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                   const struct vqr_candidates *c, float *out, size_t out_stride)
{
    const struct sdim *sdim = sequence->self;
    const struct sdim_state *st = state;
    struct sdim_scratch *s = scratch;
    hash_candidates(sdim, k, s, c);
    for (size_t r = 0; r < c->rows; r++) {
        float *o = out + r * out_stride;
        const bool finite = find_rows(sdim, k, s, r);
        fill(o, sdim->width, finite ? 0.0f : NAN);
        if (!finite)
            continue;
        k->embed_add_f32(o, st->units, sdim->width, s->row, sdim->hashes, FLT_MAX);
        for (size_t i = 0; i < sdim->width; i++)
            o[i] *= sdim->share;
    }
}

/* weights[G][B]: 1 / G of each hash's bucket that the candidate meets events in. */
static void weigh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                  const struct vqr_candidates *c, float *weights)
{
    const struct sdim *sdim = sequence->self;
    const struct sdim_state *st = state;
    struct sdim_scratch *s = scratch;
    hash_candidates(sdim, k, s, c);
    const bool finite = find_rows(sdim, k, s, 0);
    fill(weights, sdim->hashes * sdim->buckets, finite ? 0.0f : NAN);
    for (size_t g = 0; finite && g < sdim->hashes; g++)
        if (st->counts[s->row[g]])
            weights[s->row[g]] = sdim->share;
}

const struct vqr_sequence_ops vqr_sdim = {
    .bind = bind,
    .unbind = unbind,
    .take_scratch = take_scratch,
    .take_state = take_state,
    .reset = reset,
    .append = append,
    .assign = assign,
    .refresh = refresh,
    .attend = attend,
    .weigh = weigh,
};
