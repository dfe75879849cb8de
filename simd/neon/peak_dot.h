/* Peaks of the tiers that add an instruction for dot products: dot_of, which the including file has, in each quarter.
 */
#ifndef VQR_NEON_PEAK_DOT_H
#define VQR_NEON_PEAK_DOT_H

static inline v16i add_products(v16i acc, v16i x)
{
    const v16i sum = {dot_of(acc.a, x.a), dot_of(acc.b, x.b), dot_of(acc.c, x.c), dot_of(acc.d, x.d)};
    return sum;
}

#include "simd/generic/peak.h"

#endif
