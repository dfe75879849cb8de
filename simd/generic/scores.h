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

/* Known chains of R events in P panels from `panel` on. While they are used, the tile's next panels come
 * closer: the rows of a table lie anywhere. */
VQR_INLINE void load_known(v16 *chain, const size_t R, const size_t P, const struct vqr_known_scores *known,
                           const struct tile_events *events, size_t panel)
{
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        const size_t event = events->list ? events->list[r] : events->first + r;
        const float *from = known->scores + known->row[event] * known->stride + panel * VQR_LANES;
        VQR_UNROLL
        for (size_t p = 0; p < P; p++) {
            chain[r * P + p] = v16_load(from + p * VQR_LANES);
            __builtin_prefetch(from + (P + p) * VQR_LANES);
        }
    }
}

/* Sums of P panels' chains over all features, in feature order. b: the panel `panel`. */
VQR_INLINE void panel_scores(v16 *sum, const size_t R, const size_t P, const float *e, size_t e_stride, const float *b,
                             size_t b_stride, const struct chains *chains, const struct tile_events *events,
                             size_t panel)
{
    VQR_UNROLL
    for (size_t i = 0; i < R * P; i++)
        sum[i] = v16_set1(0.0f);
    for (size_t f = 0; f < chains->features; f++) {
        const struct vqr_known_scores *known = chains->known ? &chains->known[f] : NULL;
        v16 chain[TILE_ACCUMULATORS];
        if (known && known->scores) {
            load_known(chain, R, P, known, events, panel);
        } else {
            VQR_UNROLL
            for (size_t i = 0; i < R * P; i++)
                chain[i] = v16_set1(0.0f);
            tile_multiply(chain, R, P, e, e_stride, b, b_stride, FLOATS, chains->widths[f]);
        }
        VQR_UNROLL
        for (size_t i = 0; i < R * P; i++)
            sum[i] = f == 0 ? chain[i] : v16_add(sum[i], chain[i]);
        e += chains->widths[f];
        b += chains->widths[f] * (size_t)VQR_LANES;
    }
}

#endif
