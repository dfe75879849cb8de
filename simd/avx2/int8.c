#include "simd/avx2/vec.h"

/* vpmaddubsw multiplies numbers without a sign by numbers with one and adds pairs, to 16 bits: |b| by a with b's sign.
 * Within -127 ... 127 a pair is at most 2 * 127^2 < 2^15. */
enum { INT8_ROWS = 4, INT8_PANELS = 1 };

typedef struct {
    __m256i lo, hi;
} b64;

static inline b64 b64_load(const int8_t *p)
{
    const b64 b = {_mm256_loadu_si256((const __m256i *)(const void *)p),
                   _mm256_loadu_si256((const __m256i *)(const void *)(p + 32))};
    return b;
}

static inline __m256i dot4(__m256i acc, __m256i a, __m256i b)
{
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(b), _mm256_sign_epi8(a, b));
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

static inline v16i v16i_dot4(v16i acc, int32_t four, b64 b)
{
    const __m256i a = _mm256_set1_epi32(four);
    const v16i sum = {dot4(acc.lo, a, b.lo), dot4(acc.hi, a, b.hi)};
    return sum;
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
