#define FN(name) vqr_##name##_avxvnni
#include "simd/avx2/vec.h"

/* vpdpbusd */
#define PEAK_DOT_PRODUCTS 64
static inline v16i add_products(v16i acc, v16i x)
{
    const v16i sum = {_mm256_dpbusd_avx_epi32(acc.lo, x.lo, x.lo), _mm256_dpbusd_avx_epi32(acc.hi, x.hi, x.hi)};
    return sum;
}

#include "simd/generic/peak.h"

const struct vqr_peak vqr_peak_avxvnni = {"avxvnni", peak_fma, PEAK_DOT, peak_read};
