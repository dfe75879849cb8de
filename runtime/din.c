/* The sequence of last events (docs/model.md): target attention over the last M events themselves, as they are and in
 * the order of the history. Short beside the long history that DMQN compresses. */
#include <stdlib.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/error.h"
#include "runtime/memory.h"
#include "runtime/model.h"
#include "runtime/target_attention.h"

struct din {
    size_t last, width;                    /* M, D */
    struct vqr_target_attention attention; /* of one "codebook", number 0 */
};

/* A ring of the last events' embeddings. */
struct din_state {
    float *e;     /* [M, padded(D)] */
    size_t count; /* rows that hold events, at most M */
    size_t next;  /* the row that the next event takes: the oldest, once all are taken */
    struct vqr_interests interests;
};

struct din_scratch {
    float *staged; /* [M, padded(D)] the last events of the call under way, oldest first */
    float *x;      /* [M, padded(D)] the ring's events, oldest first */
    struct vqr_target_scratch attention;
};

static enum vqr_status bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                            struct vqr_sequence *sequence)
{
    struct din *din = sequence->self = vqr_allocate(1, sizeof *din, binder->error);
    if (!din)
        return VQR_ERROR_MEMORY;
    enum vqr_status status = vqr_check_range(binder, header->name, "last", header->last, 1, VQR_COUNT_MAX);
    if (!status && (header->attention.share || header->attention.count_bias))
        status = vqr_fail(binder->error, VQR_ERROR_FORMAT,
                          "sequence \"%s\": its attention says share or count_bias, expected neither without codebooks",
                          header->name);
    if (status)
        return status;
    din->last = header->last;
    din->width = binder->model->inputs[VQR_EVENT].width;
    status = vqr_target_bind(binder, header, 1, din->last, &din->attention);
    sequence->tokens = din->last;
    sequence->work = vqr_target_work(&din->attention);
    sequence->candidate_work = din->attention.candidate_work;
    sequence->interest_width = din->attention.out_width;
    return status;
}

static void unbind(struct vqr_sequence *sequence)
{
    struct din *din = sequence->self;
    if (din)
        vqr_target_unbind(&din->attention);
    free(din);
    sequence->self = NULL;
}

static void *take_scratch(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct din *din = sequence->self;
    struct din_scratch counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    const size_t size = vqr_times(din->last, vqr_padded(din->width));
    s->staged = vqr_take(arena, size, sizeof *s->staged);
    s->x = vqr_take(arena, size, sizeof *s->x);
    vqr_target_take_scratch(&din->attention, &s->attention, arena);
    return taken;
}

static void *take_state(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct din *din = sequence->self;
    struct din_state counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    s->e = vqr_take(arena, vqr_times(din->last, vqr_padded(din->width)), sizeof *s->e);
    vqr_interests_take(&din->attention, &s->interests, arena);
    return taken;
}

static void reset(const struct vqr_sequence *sequence, void *state)
{
    struct din_state *st = state;
    (void)sequence;
    st->count = st->next = st->interests.tokens = 0;
}

/* Keeps those of the block's events that are among the call's last M. Taking events back out is not needed: before
 * commit the state has none of them. */
static void append(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, void *state,
                   const struct vqr_event_block *block)
{
    const struct din *din = sequence->self;
    struct din_scratch *s = scratch;
    const size_t kept = block->total < din->last ? block->total : din->last, from = block->total - kept;
    (void)k, (void)state;
    for (size_t r = 0; block->sign > 0 && r < block->rows; r++)
        if (block->first + r >= from)
            memcpy(s->staged + (block->first + r - from) * vqr_padded(din->width), block->e + r * block->stride,
                   din->width * sizeof *s->staged);
}

static void commit(const struct vqr_sequence *sequence, void *scratch, void *state, size_t total)
{
    const struct din *din = sequence->self;
    const struct din_scratch *s = scratch;
    struct din_state *st = state;
    const size_t kept = total < din->last ? total : din->last, stride = vqr_padded(din->width);
    for (size_t r = 0; r < kept; r++) {
        memcpy(st->e + st->next * stride, s->staged + r * stride, din->width * sizeof *st->e);
        st->next = (st->next + 1) % din->last;
        st->count += st->count < din->last;
    }
}

static enum vqr_status refresh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                               void *state, struct vqr_error *error)
{
    const struct din *din = sequence->self;
    struct din_scratch *s = scratch;
    struct din_state *st = state;
    const size_t stride = vqr_padded(din->width), oldest = (st->next + din->last - st->count) % din->last;
    for (size_t r = 0; r < st->count; r++)
        memcpy(s->x + r * stride, st->e + (oldest + r) % din->last * stride, din->width * sizeof *s->x);
    if (vqr_interests_compute(&din->attention, k, &s->attention, 0, s->x, st->count, NULL, &st->interests))
        return VQR_OK;
    st->interests.tokens = 0;
    return vqr_fail(
        error, VQR_ERROR_OVERFLOW,
        "sequence \"%s\": the last events' keys or values are not finite; the model's weights are too large",
        sequence->name);
}

static void attend(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                   const float *t, size_t t_stride, size_t rows, float *out, size_t out_stride)
{
    const struct din *din = sequence->self;
    const struct din_state *st = state;
    struct din_scratch *s = scratch;
    vqr_interests_attend(&din->attention, k, &s->attention, 0, &st->interests, t, t_stride, rows, out, out_stride);
}

/* weights[M]: the newest event's is the last. */
static void weigh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                  const float *t, float *weights)
{
    const struct din *din = sequence->self;
    const struct din_state *st = state;
    struct din_scratch *s = scratch;
    const size_t none = din->last - st->interests.tokens;
    memset(weights, 0, none * sizeof *weights);
    vqr_interests_weigh(&din->attention, k, &s->attention, 0, &st->interests, t, weights + none);
}

const struct vqr_sequence_ops vqr_din = {
    .bind = bind,
    .unbind = unbind,
    .take_scratch = take_scratch,
    .take_state = take_state,
    .reset = reset,
    .append = append,
    .commit = commit,
    .refresh = refresh,
    .attend = attend,
    .weigh = weigh,
};
