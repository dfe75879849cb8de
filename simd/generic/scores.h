/* Scores of codewords in float, for the kernels that need all of them and the one that needs a few panels. */
#ifndef VQR_SCORES_H
#define VQR_SCORES_H

#include "simd/generic/tile.h"

/* Sums of one panel's chains over all features, in feature order. */
VQR_INLINE void panel_scores(v16 *sum, const size_t R, const size_t P, const float *e, size_t e_stride, const float *b,
                             size_t b_stride, const uint32_t *widths, size_t features)
{
    VQR_UNROLL
    for (size_t i = 0; i < R * P; i++)
        sum[i] = v16_set1(0.0f);
    for (size_t f = 0; f < features; f++) {
        v16 chain[TILE_ACCUMULATORS];
        VQR_UNROLL
        for (size_t i = 0; i < R * P; i++)
            chain[i] = v16_set1(0.0f);
        tile_multiply(chain, R, P, e, e_stride, b, b_stride, FLOATS, widths[f]);
        VQR_UNROLL
        for (size_t i = 0; i < R * P; i++)
            sum[i] = f == 0 ? chain[i] : v16_add(sum[i], chain[i]);
        e += widths[f];
        b += widths[f] * (size_t)VQR_LANES;
    }
}

#endif
