#include "simd/avx512/vec.h"

enum { INT8_ROWS = 8, INT8_PANELS = 2, INT8_SMALL_ROWS = 4, INT8_SMALL_PANELS = 2, INT8_ROW_PANELS = 8 };

static inline v16i pairs_even(const int8_t *p)
{
    return _mm512_srai_epi16(_mm512_slli_epi16(_mm512_loadu_si512(p), 8), 8);
}

static inline v16i pairs_odd(const int8_t *p)
{
    return _mm512_srai_epi16(_mm512_loadu_si512(p), 8);
}

static inline v16i v16i_add_pairs(v16i acc, v16i x, int32_t a, v16i y, int32_t b)
{
    const v16i u = _mm512_madd_epi16(x, _mm512_set1_epi32(a)), v = _mm512_madd_epi16(y, _mm512_set1_epi32(b));
    return _mm512_add_epi32(acc, _mm512_add_epi32(u, v));
}

#include "simd/generic/int8_pairs.h"

#include "simd/generic/int8.h"
#include "simd/generic/rows_int8.h"
