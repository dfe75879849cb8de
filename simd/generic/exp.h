/* exp of 16 numbers, with the bits of SLEEF's Sleef_finz_expf*_u10, which `ref` calls (docs/numerics.md). Called inside
 * a kernel those functions cost their call, the registers that it takes, and half of what vectors of four could share;
 * here the operations are the kernel's own. What they are is fixed by the bits that they must give:
 *
 *     q = x / ln 2, to the nearest integer;  s = x - q ln 2, by two parts of ln 2
 *     exp s = 1 + (s + s^2 p(s)),  p of degree 5;  times 2^(q / 2), times 2^(q - q / 2)
 *
 * The numbers are those of SLEEF's polynomial and of its split of ln 2; tests/check_sleef.c and the kernel checks
 * compare every ISA with it. Below -104 the result is 0, above 100 infinity; NaN stays. */
#ifndef VQR_EXP_H
#define VQR_EXP_H

#include <math.h>

static inline v16 v16_exp(v16 x)
{
    static const float coefficients[] = {0x1.6d2d92p-10f, 0x1.11114cp-7f, 0x1.5554f4p-5f, 0x1.555556p-3f, 0.5f};
    const v16 low = v16_set1(-104.0f), high = v16_set1(100.0f), one = v16_set1(1.0f);
    const v16i q = v16_round(v16_mul(x, v16_set1(0x1.715476p+0f)));
    const v16 n = v16_from_int(q);
    const v16 s = v16_fma(n, v16_set1(-0x1.7f7d1cp-20f), v16_fma(n, v16_set1(-0x1.62e4p-1f), x));
    v16 p = v16_set1(0x1.a057b4p-13f);
    for (size_t i = 0; i < sizeof coefficients / sizeof *coefficients; i++)
        p = v16_fma(p, s, v16_set1(coefficients[i]));
    v16 y = v16_times_powers(v16_add(v16_fma(p, v16_mul(s, s), s), one), q);
    v16 below = x, above = high;
    v16_take_greater(&below, &y, low, v16_set1(0.0f));
    v16_take_greater(&above, &y, x, v16_set1(INFINITY));
    return y;
}

#endif
