#include <math.h>

#include "simd/peak.h"

/* Scalar, as ref is: compiled without vectorization. */
enum { CHAINS = 8 };

static double peak_fma(size_t loops, const float *seeds, float *sink)
{
    float acc[CHAINS];
    for (size_t i = 0; i < CHAINS; i++)
        acc[i] = seeds[i];
    for (size_t n = 0; n < loops; n++)
        for (size_t i = 0; i < CHAINS; i++)
            acc[i] = fmaf(acc[i], seeds[0], seeds[1]);
    *sink = 0.0f;
    for (size_t i = 0; i < CHAINS; i++)
        *sink += acc[i];
    return 2.0 * CHAINS * (double)loops;
}

static double peak_read(const float *p, size_t n, size_t times, float *sink)
{
    float acc[CHAINS] = {0};
    for (size_t t = 0; t < times; t++)
        for (size_t i = 0; i < n; i += CHAINS)
            for (size_t j = 0; j < CHAINS; j++)
                acc[j] += p[i + j];
    *sink = 0.0f;
    for (size_t i = 0; i < CHAINS; i++)
        *sink += acc[i];
    return (double)sizeof(float) * (double)n * (double)times;
}

const struct vqr_peak vqr_peak_ref = {"ref", peak_fma, NULL, peak_read};
