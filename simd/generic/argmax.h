/* The end of an argmax whose candidates ran across the lanes, 16 at a time. */
#ifndef VQR_ARGMAX_H
#define VQR_ARGMAX_H

#include <math.h>

#include "simd/generic/tile.h"

/* Scores s of R rows and P panels from `panel` on, row by row, into each row's best and its panel; the last panel holds
 * `lanes` candidates. */
VQR_INLINE void take_tile(v16 *best, v16 *tag, const size_t R, const size_t P, const v16 *s, size_t panel, size_t lanes)
{
    VQR_UNROLL
    for (size_t p = 0; p < P; p++) {
        const v16 number = v16_set1((float)(panel + p)); /* exact: fewer than 2^24 panels */
        VQR_UNROLL
        for (size_t r = 0; r < R; r++) {
            const v16 x = p + 1 < P || lanes == VQR_LANES ? s[r * P + p] : v16_keep(s[r * P + p], lanes, -INFINITY);
            v16_take_greater(&best[r], &tag[r], x, number);
        }
    }
}

/* Of 16 lanes, each the best of numbers lane, lane + 16, ... with its panel in tag: *z is the number of the largest,
 * lowest among equals, 0 if nothing entered. Lanes that nothing entered hold -infinity. Returns the largest. */
static inline float best_of_lanes(uint32_t *z, v16 best, v16 tag)
{
    static const float lanes[VQR_LANES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const float top = v16_max_lane(best);
    /* Numbers are exact as floats. Lanes below the largest get one beyond all others; what is left is a minimum. */
    v16 number = v16_fma(tag, v16_set1((float)VQR_LANES), v16_load(lanes));
    v16_take_greater(&best, &number, v16_set1(top), v16_set1(0x1p30f));
    *z = top > -INFINITY ? (uint32_t)-v16_max_lane(v16_neg(number)) : 0;
    return top;
}

#endif
