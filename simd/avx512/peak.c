#define FN(name) vqr_##name##_avx512
#include "simd/avx512/vec.h"

/* vpmaddwd, as on AVX2. */
#define PEAK_DOT_PRODUCTS 32
static inline v16i add_products(v16i acc, v16i x)
{
    return _mm512_add_epi32(acc, _mm512_madd_epi16(acc, x));
}

#include "simd/generic/peak.h"

const struct vqr_peak vqr_peak_avx512 = {"avx512", peak_fma, PEAK_DOT, peak_read};
