#define FN(name) vqr_##name##_avx512vnni
#include "simd/avx512/vec.h"

/* vpdpbusd */
#define PEAK_DOT_PRODUCTS 64
static inline v16i add_products(v16i acc, v16i x)
{
    return _mm512_dpbusd_epi32(acc, x, x);
}

#include "simd/generic/peak.h"

const struct vqr_peak vqr_peak_avx512vnni = {"avx512vnni", peak_fma, PEAK_DOT, peak_read};
