#include "simd/avx512/vec.h"

/* As avx2/int8.c does it; AVX-512 has no vpsignb, so a's sign is turned by b's mask. */
enum { INT8_ROWS = 6, INT8_PANELS = 2 };

typedef struct {
    __m512i magnitude;
    __mmask64 negative;
} b64;

static inline b64 b64_load(const int8_t *p)
{
    const __m512i v = _mm512_loadu_si512(p);
    const b64 b = {_mm512_abs_epi8(v), _mm512_movepi8_mask(v)};
    return b;
}

static inline v16i v16i_dot4(v16i acc, int32_t four, b64 b)
{
    const __m512i a = _mm512_set1_epi32(four);
    const __m512i turned = _mm512_mask_sub_epi8(a, b.negative, _mm512_setzero_si512(), a);
    const __m512i pairs = _mm512_maddubs_epi16(b.magnitude, turned);
    return _mm512_add_epi32(acc, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

static inline int32_t dot4_bias(int32_t row)
{
    (void)row;
    return 0;
}

#include "simd/generic/int8_tile.h"

#include "simd/generic/int8.h"
#include "simd/generic/attention_i8.h"
#include "simd/generic/rows_int8.h"
