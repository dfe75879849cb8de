/* Scores of codewords in float, for the kernels that need all of them and the one that needs a few panels. */
#ifndef VQR_SCORES_H
#define VQR_SCORES_H

#include "simd/generic/tile.h"

/* What scores are made of: one chain per feature, computed from the events or known beforehand. */
struct chains {
    const uint32_t *widths; /* [features] */
    const struct vqr_known_scores *known;
    size_t features;
};

/* Which events a tile's rows are: the R from `first` on, or those of a list. */
struct tile_events {
    size_t first;
    const uint32_t *list; /* NULL: none */
};

/* Adds the known chains of R events in P panels from `panel` on, or starts with them. Asking for the
 * tile's next panels ahead was tried and gained nothing. */
VQR_INLINE void add_known(v16 *sum, const size_t R, const size_t P, const struct vqr_known_scores *known,
                          const struct tile_events *events, size_t panel, const int add)
{
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        const size_t event = events->list ? events->list[r] : events->first + r;
        const float *from = known->scores + known->row[event] * known->stride + panel * VQR_LANES;
        VQR_UNROLL
        for (size_t p = 0; p < P; p++) {
            const v16 chain = v16_load(from + p * VQR_LANES);
            sum[r * P + p] = add ? v16_add(sum[r * P + p], chain) : chain;
        }
    }
}

VQR_INLINE void compute_chains(v16 *chain, const size_t R, const size_t P, const float *e, size_t e_stride,
                               const float *b, size_t b_stride, size_t width)
{
    VQR_UNROLL
    for (size_t i = 0; i < R * P; i++)
        chain[i] = v16_set1(0.0f);
    tile_multiply(chain, R, P, e, e_stride, b, b_stride, FLOATS, width);
}

/* Sums of P panels' chains over all features, in feature order. b: the panel `panel`. The first feature's chains are
 * what the sums start as. */
VQR_INLINE void panel_scores(v16 *sum, const size_t R, const size_t P, const float *e, size_t e_stride, const float *b,
                             size_t b_stride, const struct chains *chains, const struct tile_events *events,
                             size_t panel)
{
    const struct vqr_known_scores none = {NULL, 0, NULL};
    const struct vqr_known_scores *first = chains->known && chains->features ? chains->known : &none;
    if (first->scores)
        add_known(sum, R, P, first, events, panel, 0);
    else
        compute_chains(sum, R, P, e, e_stride, b, b_stride, chains->features ? chains->widths[0] : 0);
    for (size_t f = 1, at = 0; f < chains->features; f++) {
        at += chains->widths[f - 1];
        if (chains->known && chains->known[f].scores) {
            add_known(sum, R, P, &chains->known[f], events, panel, 1);
            continue;
        }
        v16 chain[TILE_ACCUMULATORS];
        compute_chains(chain, R, P, e + at, e_stride, b + at * VQR_LANES, b_stride, chains->widths[f]);
        VQR_UNROLL
        for (size_t i = 0; i < R * P; i++)
            sum[i] = v16_add(sum[i], chain[i]);
    }
}

#endif
