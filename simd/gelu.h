/* The constants of gelu_f32, the same for ref/ and generic/.
 *
 * gelu(x) = x Phi(x), Phi the cumulative normal distribution: x / 2 * (1 + erf(x / sqrt 2)) without the sum that
 * cancels where x < 0. With n = -|x|, x Phi(x) = max(x, 0) + n Phi(n), and
 *
 *     Phi(n) = exp(-n^2 / 2) * P(n) / D(n)    for -14.5 <= n <= 0,
 *
 * a quotient of degrees 4 and 5, since Mills' ratio Phi(n) / exp(-n^2 / 2) falls like 1 / |n|. P(0) = 1/2 and D(0) = 1
 * are exact; coefficients alternate in sign, so with n <= 0 every term of P and of D is positive and nothing cancels.
 * They are the fit of least relative error at 200 Chebyshev nodes of (|n| - 3) / (|n| + 3) (least squares in 50 digits,
 * weights iterated until the denominator's settled: Sanathanan and Koerner 1963), 6.8e-9 at most; then, among floats up
 * to a few units from these, those that a random search found best, 9.5e-9: under a sixth of a rounding step.
 *
 * exp(-n^2 / 2): the square's rounding error would be up to 2^-18 in the exponent. It is n^2 - fl(n^2), exact as an
 * fma, and goes in by exp(a + b) = exp(a) (1 + b). Beyond 14.5 the product is less than half the least denormal: n is
 * clamped there, which also keeps infinity out of it. */
#ifndef VQR_GELU_H
#define VQR_GELU_H

#define VQR_GELU_END 14.5f
#define VQR_GELU_P 0.5f, -0x1.bf416ap-2f, 0x1.74de3ep-3f, -0x1.4988acp-5f, 0x1.099472p-8f
#define VQR_GELU_D 1.0f, -0x1.abe2e4p0f, 0x1.329eb4p0f, -0x1.dd9018p-2f, 0x1.9d0984p-4f, -0x1.4cd9d2p-7f

enum { VQR_GELU_P_DEGREE = 4, VQR_GELU_D_DEGREE = 5 };

#endif
