/* The tail of the normal distribution, for gelu: a polynomial of ours, the same on every instruction set. */
#ifndef VQR_NORMAL_TAIL_H
#define VQR_NORMAL_TAIL_H

/* Phi(-a) = exp(-a^2 / 2) P(t), t = 1 / (1 + a / 4), for 0 <= a <= VQR_TAIL_END.
 *
 * P approximates exp(a^2 / 2) Phi(-a) = erfcx(a / sqrt 2) / 2, which is smooth in t, with the least largest relative
 * error that degree 9 allows on the range: 2.3e-8, less than half a unit in the last place. Coefficients by Lawson's
 * iteration of least squares, relative weights, 4,000 Chebyshev points in t, against SciPy's erfcx. Past the end
 * Phi(-a) < 1e-57 is 0 in fp32, denormals included, and so is exp(-a^2 / 2). */
#define VQR_TAIL_END 16.0f
#define VQR_TAIL_SLOPE 0.25f
#define VQR_TAIL_DEGREE 9

/* P's coefficients, t^9 first. */
static const float vqr_tail_coefficients[VQR_TAIL_DEGREE + 1] = {
    0x1.058fccp-5f,  -0x1.7bbeb0p-3f, 0x1.7b13eep-2f, -0x1.343fcep-2f, 0x1.1cb1c0p-2f,
    -0x1.a65942p-8f, 0x1.de8d58p-4f,  0x1.887916p-4f, 0x1.9a0d6ap-4f,  -0x1.051866p-16f,
};

#endif
