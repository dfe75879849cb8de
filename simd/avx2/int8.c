#include "simd/avx2/vec.h"

enum { INT8_ROWS = 4, INT8_PANELS = 1, INT8_SMALL_ROWS = 2, INT8_SMALL_PANELS = 1, INT8_ROW_PANELS = 4 };

/* 32 bytes in 16 bits each: the even ones, or the odd ones. */
static inline __m256i even_bytes(const int8_t *p)
{
    return _mm256_srai_epi16(_mm256_slli_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p), 8), 8);
}

static inline __m256i odd_bytes(const int8_t *p)
{
    return _mm256_srai_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p), 8);
}

static inline v16i pairs_even(const int8_t *p)
{
    const v16i pairs = {even_bytes(p), even_bytes(p + 32)};
    return pairs;
}

static inline v16i pairs_odd(const int8_t *p)
{
    const v16i pairs = {odd_bytes(p), odd_bytes(p + 32)};
    return pairs;
}

static inline v16i v16i_add_pairs(v16i acc, v16i x, int32_t a, v16i y, int32_t b)
{
    const __m256i u = _mm256_set1_epi32(a), v = _mm256_set1_epi32(b);
    const __m256i lo = _mm256_add_epi32(_mm256_madd_epi16(x.lo, u), _mm256_madd_epi16(y.lo, v));
    const __m256i hi = _mm256_add_epi32(_mm256_madd_epi16(x.hi, u), _mm256_madd_epi16(y.hi, v));
    const v16i sum = {_mm256_add_epi32(acc.lo, lo), _mm256_add_epi32(acc.hi, hi)};
    return sum;
}

#include "simd/generic/int8_pairs.h"

#include "simd/generic/int8.h"
#include "simd/generic/rows_int8.h"
