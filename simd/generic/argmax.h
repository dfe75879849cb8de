/* The end of an argmax whose candidates ran across the lanes, 16 at a time. */
#ifndef VQR_ARGMAX_H
#define VQR_ARGMAX_H

#include <math.h>

/* Of 16 lanes, each the best of numbers lane, lane + 16, ... with its panel in tag: *z is the number of the largest,
 * lowest among equals, 0 if nothing entered. Lanes that nothing entered hold -infinity. Returns the largest. */
static float best_of_lanes(uint32_t *z, v16 best, v16 tag)
{
    float score[VQR_LANES], panel[VQR_LANES];
    v16_store(score, best);
    v16_store(panel, tag);
    float top = -INFINITY;
    *z = 0;
    for (uint32_t l = 0; l < VQR_LANES; l++) {
        const uint32_t w = (uint32_t)panel[l] * VQR_LANES + l;
        if (score[l] > top || (score[l] == top && w < *z)) {
            top = score[l];
            *z = w;
        }
    }
    return top;
}

#endif
