/* The DMQN sequence: its memory, and its steps from events to the candidate's interest vector. */
#include "runtime/dmqn.h"

#include <string.h>

#include "runtime/error.h"

static void *take_scratch(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct vqr_dmqn *dmqn = sequence->self;
    struct vqr_dmqn_scratch counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    const size_t w = dmqn->codewords;
    s->z = vqr_take(arena, vqr_times(dmqn->codebooks, VQR_EVENT_BLOCK), sizeof *s->z);
    s->tokens = vqr_take(arena, w, sizeof *s->tokens);
    s->counts = vqr_take(arena, w, sizeof *s->counts);
    s->x = vqr_take(arena, vqr_times(w, vqr_padded(dmqn->width)), sizeof *s->x);
    s->weights = vqr_take(arena, w, sizeof *s->weights);
    struct vqr_codebook_needs needs = {0};
    vqr_codebook_need(&needs, &dmqn->codebook);
    vqr_codebook_take_scratch(&dmqn->codebook, &needs, &s->codebook, arena);
    vqr_hstu_take_scratch(&dmqn->hstu, &s->hstu, arena);
    vqr_target_take_scratch(&dmqn->attention, &s->attention, arena);
    return taken;
}

static void *take_state(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct vqr_dmqn *dmqn = sequence->self;
    const size_t clusters = vqr_times(dmqn->codebooks, dmqn->codewords);
    struct vqr_dmqn_state counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    s->sums = vqr_take(arena, vqr_times(clusters, dmqn->width), sizeof *s->sums);
    s->counts = vqr_take(arena, clusters, sizeof *s->counts);
    s->interests = vqr_take(arena, dmqn->codebooks, sizeof *s->interests);
    for (size_t j = 0; j < dmqn->codebooks; j++) {
        struct vqr_interests none;
        vqr_interests_take(&dmqn->attention, s->interests ? &s->interests[j] : &none, arena);
    }
    return taken;
}

static void reset(const struct vqr_sequence *sequence, void *state)
{
    const struct vqr_dmqn *dmqn = sequence->self;
    struct vqr_dmqn_state *s = state;
    const size_t clusters = dmqn->codebooks * dmqn->codewords;
    memset(s->sums, 0, clusters * dmqn->width * sizeof *s->sums);
    memset(s->counts, 0, clusters * sizeof *s->counts);
    for (size_t j = 0; j < dmqn->codebooks; j++)
        s->interests[j].tokens = 0;
}

static void assign(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                   const struct vqr_event_block *block, uint32_t *clusters, size_t clusters_stride)
{
    const struct vqr_dmqn *dmqn = sequence->self;
    struct vqr_dmqn_scratch *s = scratch;
    vqr_codebook_load(&dmqn->codebook, k, &s->codebook, block);
    for (size_t j = 0; j < dmqn->codebooks; j++)
        vqr_codebook_assign(&dmqn->codebook, k, &s->codebook, j, block, clusters + j * clusters_stride);
}

static void append(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, void *state,
                   const struct vqr_event_block *block)
{
    const struct vqr_dmqn *dmqn = sequence->self;
    struct vqr_dmqn_scratch *s = scratch;
    struct vqr_dmqn_state *st = state;
    assign(sequence, k, scratch, block, s->z, VQR_EVENT_BLOCK); /* eq 7 */
    k->accumulate_f32(st->sums, st->counts, dmqn->codebooks, dmqn->codewords, block->e, block->stride, block->rows,
                      dmqn->width, block->scale, s->z, VQR_EVENT_BLOCK, block->sign);
}

static size_t codewords(const struct vqr_sequence *sequence, size_t j)
{
    (void)j; /* all codebooks have as many */
    return ((const struct vqr_dmqn *)sequence->self)->codewords;
}

size_t vqr_dmqn_list_tokens(const struct vqr_dmqn *dmqn, const uint32_t *counts, uint32_t *tokens)
{
    size_t occupied = 0, listed = 0;
    for (size_t c = 0; c < dmqn->codewords; c++)
        occupied += counts[c] != 0;
    for (size_t c = 0; occupied && c < dmqn->codewords; c++)
        if (counts[c] != 0 || !dmqn->masked)
            tokens[listed++] = (uint32_t)c;
    return listed;
}

static enum vqr_status refresh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch,
                               void *state, struct vqr_error *error)
{
    const struct vqr_dmqn *dmqn = sequence->self;
    struct vqr_dmqn_scratch *s = scratch;
    struct vqr_dmqn_state *st = state;
    const size_t w = dmqn->codewords;
    for (size_t j = 0; j < dmqn->codebooks; j++) {
        const uint32_t *counts = st->counts + j * w;
        const size_t tokens = vqr_dmqn_list_tokens(dmqn, counts, s->tokens);
        st->interests[j].tokens = 0;
        if (tokens == 0)
            continue;
        k->cluster_mean_f32(s->x, vqr_padded(dmqn->width), st->sums + j * w * dmqn->width, counts, s->tokens, tokens,
                            dmqn->width, dmqn->unit); /* eq 9 */
        vqr_hstu_run(&dmqn->hstu, k, &s->hstu, j, &(struct vqr_hstu_tokens){.count = tokens, .cluster = s->tokens},
                     s->x);
        for (size_t t = 0; t < tokens; t++)
            s->counts[t] = counts[s->tokens[t]];
        if (!vqr_interests_compute(&dmqn->attention, k, &s->attention, j, s->x, tokens, s->counts, &st->interests[j]))
            return vqr_fail(error, VQR_ERROR_OVERFLOW,
                            "sequence \"%s\", codebook %zu: the history's interests are not "
                            "finite; the model's weights are too large, or its eps is 0",
                            sequence->name, j);
    }
    return VQR_OK;
}

static void attend(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                   const struct vqr_candidates *c, float *out, size_t out_stride)
{
    const struct vqr_dmqn *dmqn = sequence->self;
    const struct vqr_dmqn_state *st = state;
    struct vqr_dmqn_scratch *s = scratch;
    for (size_t j = 0; j < dmqn->codebooks; j++) {
        if (j == 0 || !dmqn->attention.asks_once)
            vqr_interests_ask(&dmqn->attention, k, &s->attention, j, c->t, c->stride, c->rows);
        vqr_interests_attend(&dmqn->attention, k, &s->attention, j, &st->interests[j], c->rows,
                             out + j * dmqn->attention.out_width, out_stride);
    }
}

static void weigh(const struct vqr_sequence *sequence, const struct vqr_kernels *k, void *scratch, const void *state,
                  const struct vqr_candidates *c, float *weights)
{
    const struct vqr_dmqn *dmqn = sequence->self;
    const struct vqr_dmqn_state *st = state;
    struct vqr_dmqn_scratch *s = scratch;
    const size_t w = dmqn->codewords;
    memset(weights, 0, dmqn->codebooks * w * sizeof *weights);
    for (size_t j = 0; j < dmqn->codebooks; j++) {
        vqr_dmqn_list_tokens(dmqn, st->counts + j * w, s->tokens);
        vqr_interests_ask(&dmqn->attention, k, &s->attention, j, c->t, 0, 1);
        vqr_interests_weigh(&dmqn->attention, k, &s->attention, j, &st->interests[j], s->weights);
        for (size_t i = 0; i < st->interests[j].tokens; i++)
            weights[j * w + s->tokens[i]] = s->weights[i];
    }
}

const struct vqr_sequence_ops vqr_dmqn = {
    .bind = vqr_dmqn_bind,
    .unbind = vqr_dmqn_unbind,
    .take_scratch = take_scratch,
    .take_state = take_state,
    .reset = reset,
    .append = append,
    .assign = assign,
    .codewords = codewords,
    .refresh = refresh,
    .attend = attend,
    .weigh = weigh,
};
