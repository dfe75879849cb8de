/* The numbers of exp, which `ref` and the kernels share: SLEEF's split of ln 2 and its polynomial, as the bits are
 * those of SLEEF's Sleef_finz_expf*_u10 (docs/numerics.md). With q = x / ln 2 to the nearest integer and s = x - q ln
 * 2,
 *
 *     exp x = (1 + (s + s^2 p(s))) 2^q
 *
 * below VQR_EXP_LOW the result is 0, above VQR_EXP_HIGH infinity. tests/check_sleef.c compares hashes of the bits. */
#ifndef VQR_EXP_H
#define VQR_EXP_H

#define VQR_EXP_LOW -104.0f
#define VQR_EXP_HIGH 100.0f
#define VQR_EXP_RECIPROCAL 0x1.715476p+0f /* 1 / ln 2 */
#define VQR_EXP_LN2_HIGH 0x1.62e4p-1f     /* ln 2, whose products with any q are exact, */
#define VQR_EXP_LN2_LOW 0x1.7f7d1cp-20f   /* and the rest of it */

/* p, from its highest power down. */
static const float vqr_exp_p[] = {0x1.a057b4p-13f, 0x1.6d2d92p-10f, 0x1.11114cp-7f,
                                  0x1.5554f4p-5f,  0x1.555556p-3f,  0.5f};
enum { VQR_EXP_DEGREE = sizeof vqr_exp_p / sizeof *vqr_exp_p - 1 };

#endif
