#include "simd/avx512/vec.h"

#include <string.h>

enum { INT8_ROWS = 8, INT8_PANELS = 2, INT8_SMALL_ROWS = 4, INT8_SMALL_PANELS = 2, INT8_ROW_PANELS = 8 };

static inline v16i pairs_even(const int8_t *p)
{
    return _mm512_srai_epi16(_mm512_slli_epi16(_mm512_loadu_si512(p), 8), 8);
}

static inline v16i pairs_odd(const int8_t *p)
{
    return _mm512_srai_epi16(_mm512_loadu_si512(p), 8);
}

static inline void pairs_of_row(int16_t *to, const int8_t *p)
{
    __m128i x;
    memcpy(&x, p, sizeof x);
    const __m256i words = _mm256_cvtepi8_epi16(x);
    const __m256i low = _mm256_shufflelo_epi16(words, 0xd8); /* numbers 0, 2, 1, 3 of each four */
    const __m256i pairs = _mm256_shufflehi_epi16(low, 0xd8);
    memcpy(to, &pairs, sizeof pairs);
}

static inline v16i v16i_add_pairs(v16i acc, v16i x, int32_t a, v16i y, int32_t b)
{
    const v16i u = _mm512_madd_epi16(x, _mm512_set1_epi32(a)), v = _mm512_madd_epi16(y, _mm512_set1_epi32(b));
    return _mm512_add_epi32(acc, _mm512_add_epi32(u, v));
}

#include "simd/generic/int8_pairs.h"

#include "simd/generic/int8.h"
#include "simd/generic/rows_int8.h"
