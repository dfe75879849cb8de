#define FN(name) vqr_##name##_avx2
#include "simd/avx2/vec.h"

/* vpmaddwd: without VNNI int8 is multiplied as 16 bits. The sums are wider than what is multiplied, and overflow. */
#define PEAK_DOT_PRODUCTS 32
static inline v16i add_products(v16i acc, v16i x)
{
    const v16i sum = {_mm256_add_epi32(acc.lo, _mm256_madd_epi16(acc.lo, x.lo)),
                      _mm256_add_epi32(acc.hi, _mm256_madd_epi16(acc.hi, x.hi))};
    return sum;
}

#include "simd/generic/peak.h"

const struct vqr_peak vqr_peak_avx2 = {"avx2", peak_fma, PEAK_DOT, peak_read};
