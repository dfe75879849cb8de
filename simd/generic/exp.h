/* exp of 16 numbers, written out: called inside a kernel, SLEEF's functions cost their call, the registers that it
 * takes, and half of what vectors of four could share. */
#ifndef VQR_GENERIC_EXP_H
#define VQR_GENERIC_EXP_H

#include <math.h>

#include "simd/exp.h"

static inline v16 v16_exp(v16 x)
{
    const v16 low = v16_set1(VQR_EXP_LOW), high = v16_set1(VQR_EXP_HIGH);
    const v16i q = v16_round(v16_mul(x, v16_set1(VQR_EXP_RECIPROCAL)));
    const v16 n = v16_from_int(q);
    const v16 s = v16_fma(n, v16_set1(-VQR_EXP_LN2_LOW), v16_fma(n, v16_set1(-VQR_EXP_LN2_HIGH), x));
    v16 p = v16_set1(vqr_exp_p[0]);
    for (size_t i = 1; i <= VQR_EXP_DEGREE; i++)
        p = v16_fma(p, s, v16_set1(vqr_exp_p[i]));
    v16 y = v16_times_powers(v16_add(v16_fma(p, v16_mul(s, s), s), v16_set1(1.0f)), q);
    v16 below = x, above = high;
    v16_take_greater(&below, &y, low, v16_set1(0.0f));
    v16_take_greater(&above, &y, x, v16_set1(INFINITY));
    return y; /* NaN stays: it is not below and not above */
}

#endif
