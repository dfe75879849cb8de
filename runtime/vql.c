/* The VQL sequence: its steps from events to the candidate's interest vector. */
#include "runtime/vql.h"

#include <math.h>
#include <string.h>

#include "runtime/error.h"

/* Where group g's part of the state starts: of the exact sums, and of the decayed ones of term r. */
static size_t sums_of(const struct vqr_vql *vql, const struct vqr_vql_group *group, size_t r)
{
    return vql->terms * group->sums_at + r * group->codewords * group->heads * vql->v_dim;
}

static size_t weights_of(const struct vqr_vql *vql, const struct vqr_vql_group *group, size_t r)
{
    return sums_of(vql, group, r) / vql->v_dim;
}

static void reset(const struct vqr_sequence *sequence, void *state)
{
    const struct vqr_vql *vql = sequence->self;
    struct vqr_vql_state *st = state;
    const size_t sums = vql->sums;
    memset(st->sums, 0, sums * sizeof *st->sums);
    memset(st->counts, 0, vql->codewords * sizeof *st->counts);
    memset(st->events, 0, vql->codewords * sizeof *st->events);
    memset(st->decayed, 0, vql->terms * sums * sizeof *st->decayed);
    memset(st->weights, 0, vql->terms * (sums / vql->v_dim) * sizeof *st->weights);
    memset(st->tokens, 0, vql->groups * sizeof *st->tokens);
    st->last = 0;
    st->timed = false;
}

/* ---- events ---- */

static bool has_time(const struct vqr_event_block *block, size_t row)
{
    return block->time && (!block->has_time || block->has_time[row]);
}

/* later - earlier in seconds, where later >= earlier: the difference of any two times fits 64 bits without a sign. */
static double seconds_between(int64_t earlier, int64_t later)
{
    return (double)((uint64_t)later - (uint64_t)earlier);
}

/* factor[h] = exp(-lambda dt) of term r for each head of the group. */
static void decay_factors(const struct vqr_kernels *k, const struct vqr_vql_group *group, size_t r, double dt,
                          double *factor)
{
    for (size_t h = 0; h < group->heads; h++)
        factor[h] = -group->decay[r * group->heads + h] * dt;
    k->exp_f64(factor, factor, group->heads);
}

/* Moves the decayed sums on to the block's latest time, if that is later than all before. */
static void advance(const struct vqr_vql *vql, const struct vqr_kernels *k, struct vqr_vql_scratch *s,
                    struct vqr_vql_state *st, const struct vqr_event_block *block)
{
    bool timed = st->timed;
    int64_t last = st->last;
    for (size_t r = 0; r < block->rows; r++)
        if (has_time(block, r) && (!timed || block->time[r] > last)) {
            last = block->time[r];
            timed = true;
        }
    for (size_t g = 0; st->timed && last > st->last && g < vql->groups; g++) {
        const struct vqr_vql_group *group = &vql->group[g];
        const double dt = seconds_between(st->last, last);
        for (size_t r = 0; r < vql->terms; r++) {
            decay_factors(k, group, r, dt, s->factor);
            k->scale_f64(st->decayed + sums_of(vql, group, r), s->factor, group->codewords, group->heads, vql->v_dim);
            k->scale_f64(st->weights + weights_of(vql, group, r), s->factor, group->codewords, group->heads, 1);
        }
    }
    st->last = last;
    st->timed = timed;
}

/* Adds row `row` of the block, which has a time, to group g's decayed sums. */
static void add_decayed(const struct vqr_vql *vql, const struct vqr_kernels *k, struct vqr_vql_scratch *s,
                        struct vqr_vql_state *st, const struct vqr_event_block *block,
                        const struct vqr_vql_group *group, size_t row)
{
    const double dt = seconds_between(block->time[row], st->last);
    for (size_t r = 0; r < vql->terms; r++) {
        decay_factors(k, group, r, dt, s->factor);
        k->accumulate_decayed_f64(st->decayed + sums_of(vql, group, r), st->weights + weights_of(vql, group, r),
                                  s->v + row * s->v_stride + group->v_column, s->v_stride, 1, group->heads, vql->v_dim,
                                  s->factor, s->z + row);
    }
}

/* Events as they stand for themselves: integers that are summed exactly. */
static void add_exact(const struct vqr_vql *vql, const struct vqr_kernels *k, struct vqr_vql_scratch *s,
                      struct vqr_vql_state *st, const struct vqr_vql_group *group, size_t first, size_t rows,
                      int32_t sign)
{
    const size_t width = group->heads * vql->v_dim, at = first * s->v_stride + group->v_column;
    k->accumulate_f32(st->sums + group->sums_at, st->counts + group->clusters, 1, group->codewords, s->v + at,
                      s->v_stride, rows, width, vql->scale + group->v_column, s->z + first, 0, sign);
}

static void append(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, void *state,
                   const struct vqr_event_block *block)
{
    const struct vqr_vql *vql = sequence->self;
    struct vqr_vql_scratch *s = scratch;
    struct vqr_vql_state *st = state;
    const size_t width = vql->heads * vql->v_dim;
    k->gemm_f32(s->v, s->v_stride, block->e, block->stride, block->rows, vql->v, vql->width * VQR_LANES, vql->width,
                vqr_panels(width), NULL);
    if (vql->terms && block->sign > 0)
        advance(vql, k, s, st, block);
    vqr_codebook_load(&vql->group[0].codes, k, &s->codebook, block);
    for (size_t g = 0; g < vql->groups; g++) {
        const struct vqr_vql_group *group = &vql->group[g];
        vqr_codebook_assign(&group->codes, k, &s->codebook, 0, block, s->z);
        for (size_t r = 0; r < block->rows; r++)
            st->events[group->clusters + s->z[r]] += (uint32_t)block->sign;
        if (!vql->terms) {
            add_exact(vql, k, s, st, group, 0, block->rows, block->sign);
            continue;
        }
        for (size_t r = 0; r < block->rows; r++)
            if (!has_time(block, r))
                add_exact(vql, k, s, st, group, r, 1, block->sign);
            else if (block->sign > 0)
                add_decayed(vql, k, s, st, block, group, r);
    }
}

/* Decayed sums round, so what cannot be taken back out is kept before a call's first event. */
static void begin(const struct vqr_sequence *sequence, void *scratch, const void *state)
{
    const struct vqr_vql *vql = sequence->self;
    const struct vqr_vql_state *st = state;
    struct vqr_vql_scratch *s = scratch;
    const size_t sums = vql->terms * vql->sums;
    memcpy(s->kept_sums, st->decayed, sums * sizeof *s->kept_sums);
    memcpy(s->kept_weights, st->weights, sums / vql->v_dim * sizeof *s->kept_weights);
    s->kept_last = st->last;
    s->kept_timed = st->timed;
}

static void undo(const struct vqr_sequence *sequence, const void *scratch, void *state)
{
    const struct vqr_vql *vql = sequence->self;
    const struct vqr_vql_scratch *s = scratch;
    struct vqr_vql_state *st = state;
    const size_t sums = vql->terms * vql->sums;
    memcpy(st->decayed, s->kept_sums, sums * sizeof *s->kept_sums);
    memcpy(st->weights, s->kept_weights, sums / vql->v_dim * sizeof *s->kept_weights);
    st->last = s->kept_last;
    st->timed = s->kept_timed;
}

static void assign(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                   const struct vqr_event_block *block, uint32_t *clusters, size_t clusters_stride)
{
    const struct vqr_vql *vql = sequence->self;
    struct vqr_vql_scratch *s = scratch;
    vqr_codebook_load(&vql->group[0].codes, k, &s->codebook, block);
    for (size_t g = 0; g < vql->groups; g++)
        vqr_codebook_assign(&vql->group[g].codes, k, &s->codebook, 0, block, clusters + g * clusters_stride);
}

static size_t codewords(const struct vqr_sequence *sequence, size_t j)
{
    const struct vqr_vql *vql = sequence->self;
    return vql->group[j].codewords;
}

/* ---- what candidates need ---- */

/* Keys of the group's occupied codewords: columns of the codebook, head by head. */
static void refresh_keys(const struct vqr_vql *vql, const struct vqr_kernels *k, struct vqr_vql_scratch *s,
                         struct vqr_vql_state *st, const struct vqr_vql_group *group, size_t g)
{
    const size_t width = group->heads * vql->dim;
    uint32_t *token = st->token + group->clusters;
    size_t tokens = 0;
    for (size_t w = 0; w < group->codewords; w++)
        if (st->events[group->clusters + w])
            token[tokens++] = (uint32_t)w;
    st->tokens[g] = tokens;
    for (size_t i = 0; i < tokens; i++)
        memcpy(s->rows + i * s->row_stride, group->codebook + token[i] * width, width * sizeof *s->rows);
    for (size_t h = 0; tokens && h < group->heads; h++)
        k->pack_transposed_f32(st->k[group->head[h]], s->rows + h * vql->dim, s->row_stride, vql->dim, tokens);
}

/* Without decay: mean values of the occupied codewords, and ln of how many events they stand for. */
static void refresh_values(const struct vqr_vql *vql, const struct vqr_kernels *k, struct vqr_vql_scratch *s,
                           const struct vqr_vql_state *st, const struct vqr_vql_group *group, size_t g)
{
    const uint32_t *token = st->token + group->clusters, *counts = st->counts + group->clusters;
    const size_t tokens = st->tokens[g];
    k->cluster_mean_f32(s->rows, s->row_stride, st->sums + group->sums_at, counts, token, tokens,
                        group->heads * vql->v_dim, group->unit);
    for (size_t i = 0; i < tokens; i++)
        s->weights[i] = (float)counts[token[i]]; /* exact: at most 2^24 */
    for (size_t h = 0; tokens && h < group->heads; h++) {
        const struct vqr_vql_values *values = &st->values[group->head[h]];
        memset(values->bias, 0, vqr_padded(tokens) * sizeof *values->bias);
        k->log_f32(values->bias, s->weights, tokens);
        k->pack_f32(values->v, s->rows + h * vql->v_dim, s->row_stride, tokens, vql->v_dim);
    }
}

static enum vqr_status refresh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                               void *state, struct vqr_error *error)
{
    const struct vqr_vql *vql = sequence->self;
    (void)error; /* finite codewords, and means of finite values: nothing can overflow */
    for (size_t g = 0; g < vql->groups; g++) {
        refresh_keys(vql, k, scratch, state, &vql->group[g], g);
        if (!vql->terms)
            refresh_values(vql, k, scratch, state, &vql->group[g], g);
    }
    return VQR_OK;
}

/* phi of each term and head at `dt` seconds after the latest event: factor[R, H_g]. */
static void request_factors(const struct vqr_vql *vql, const struct vqr_kernels *k, const struct vqr_vql_group *group,
                            double dt, double *factor)
{
    const size_t n = vql->terms * group->heads;
    for (size_t i = 0; i < n; i++)
        factor[i] = -(group->decay[i] - group->least[i % group->heads]) * dt;
    k->exp_f64(factor, factor, n);
    for (size_t i = 0; i < n; i++)
        factor[i] *= group->mix[i];
}

/* Head h of the group at one request's time: mean values into s->rows, the events' weights into s->total. Events
 * without a time count as the latest one, so every term has them undecayed. */
static void mix_head(const struct vqr_vql *vql, struct vqr_vql_scratch *s, const struct vqr_vql_state *st,
                     const struct vqr_vql_group *group, size_t tokens, size_t h)
{
    const size_t heads = group->heads, dv = vql->v_dim;
    for (size_t t = 0; t < tokens; t++) {
        const size_t w = st->token[group->clusters + t], place = w * heads + h;
        const int64_t *exact = st->sums + group->sums_at + place * dv;
        const double undated = (double)st->counts[group->clusters + w];
        double n = 0.0;
        for (size_t r = 0; r < vql->terms; r++)
            n += s->factor[r * heads + h] * (st->weights[weights_of(vql, group, r) + place] + undated);
        s->total[t] = n;
        for (size_t i = 0; i < dv; i++) {
            double sum = 0.0;
            for (size_t r = 0; r < vql->terms; r++)
                sum += s->factor[r * heads + h] * (st->decayed[sums_of(vql, group, r) + place * dv + i] +
                                                   (double)exact[i] * group->unit[h * dv + i]);
            s->rows[t * s->row_stride + i] = n > 0.0 ? (float)(sum / n) : 0.0f;
        }
    }
}

/* With decay: the values at the request's time. A cluster whose events have faded to nothing has -infinity as bias, a
 * weight of 0; the latest event never fades. */
static void start(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                  const int64_t *now)
{
    const struct vqr_vql *vql = sequence->self;
    const struct vqr_vql_state *st = state;
    struct vqr_vql_scratch *s = scratch;
    const double dt = vql->terms && st->timed && now && *now > st->last ? seconds_between(st->last, *now) : 0.0;
    for (size_t g = 0; vql->terms && g < vql->groups; g++) {
        const struct vqr_vql_group *group = &vql->group[g];
        const size_t tokens = st->tokens[g];
        request_factors(vql, k, group, dt, s->factor);
        for (size_t h = 0; tokens && h < group->heads; h++) {
            const struct vqr_vql_values *values = &s->values[group->head[h]];
            mix_head(vql, s, st, group, tokens, h);
            k->log_f64(s->total, s->total, tokens);
            memset(values->bias, 0, vqr_padded(tokens) * sizeof *values->bias);
            for (size_t t = 0; t < tokens; t++)
                values->bias[t] = (float)s->total[t];
            k->pack_f32(values->v, s->rows, s->row_stride, tokens, vql->v_dim);
        }
    }
}

/* ---- candidates ---- */

static void queries(const struct vqr_vql *vql, const struct vqr_kernels *k, struct vqr_vql_scratch *s, const float *t,
                    size_t t_stride, size_t rows)
{
    vqr_linear_run(&vql->q, k, &s->int8, 0, s->q, s->q_stride, t, t_stride, rows);
}

static void attend(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                   const struct vqr_candidates *c, float *out, size_t out_stride)
{
    const struct vqr_vql *vql = sequence->self;
    const struct vqr_vql_state *st = state;
    struct vqr_vql_scratch *s = scratch;
    const struct vqr_vql_values *values = vql->terms ? s->values : st->values;
    if (st->tokens[0] == 0) { /* every group has every event */
        for (size_t r = 0; r < c->rows; r++)
            memset(out + r * out_stride, 0, sequence->interest_width * sizeof *out);
        return;
    }
    float *o = vql->out ? s->o : out;
    const size_t o_stride = vql->out ? s->o_stride : out_stride;
    queries(vql, k, s, c->t, c->stride, c->rows);
    /* A head writes whole panels, so the next one must come after it. */
    for (size_t a = 0; a < vql->heads; a++)
        k->softmax_attention_f32(o + a * vql->v_dim, o_stride, s->q + a * vql->dim, s->q_stride, c->rows, 1, st->k[a],
                                 0, values[a].v, 0, st->tokens[vql->head[a].group], vql->dim, vql->v_dim,
                                 values[a].bias, vql->alpha, s->scores);
    if (vql->out)
        vqr_linear_run(&vql->out_product, k, &s->int8, 0, out, out_stride, o, o_stride, c->rows);
}

/* A codeword's weight is the mean over its group's heads. */
static void weigh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                  const struct vqr_candidates *c, float *weights)
{
    const struct vqr_vql *vql = sequence->self;
    const struct vqr_vql_state *st = state;
    struct vqr_vql_scratch *s = scratch;
    const struct vqr_vql_values *values = vql->terms ? s->values : st->values;
    memset(weights, 0, vql->groups * vql->most * sizeof *weights);
    queries(vql, k, s, c->t, 0, 1);
    for (size_t a = 0; a < vql->heads; a++) {
        const size_t g = vql->head[a].group, tokens = st->tokens[g];
        const struct vqr_vql_group *group = &vql->group[g];
        if (tokens == 0)
            continue;
        k->softmax_weights_f32(s->weights, vqr_padded(tokens), s->q + a * vql->dim, s->q_stride, 1, st->k[a], tokens,
                               vql->dim, values[a].bias, vql->alpha);
        for (size_t i = 0; i < tokens; i++)
            weights[g * vql->most + st->token[group->clusters + i]] += s->weights[i] / (float)group->heads;
    }
}

const struct vqr_sequence_ops vqr_vql = {
    .bind = vqr_vql_bind,
    .unbind = vqr_vql_unbind,
    .take_scratch = vqr_vql_take_scratch,
    .take_state = vqr_vql_take_state,
    .reset = reset,
    .begin = begin,
    .append = append,
    .undo = undo,
    .assign = assign,
    .codewords = codewords,
    .refresh = refresh,
    .start = start,
    .attend = attend,
    .weigh = weigh,
};
