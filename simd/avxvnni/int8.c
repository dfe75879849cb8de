#define FN(name) vqr_##name##_avxvnni
#include "simd/avx2/vec.h"
#include "simd/avx2/row_sum.h"

/* vpdpbusd as in avx512vnni/int8.c, on the 256-bit registers of processors without AVX-512. */
enum {
    INT8_ROWS = 6,
    INT8_PANELS = 1,
    INT8_SMALL_ROWS = 2,
    INT8_SMALL_PANELS = 2,
    INT8_ROW_PANELS = 4,
    SCREEN_TILE = 6
};

typedef struct {
    __m256i lo, hi;
} b64;

static inline b64 b64_load(const int8_t *p)
{
    const __m256i flip = _mm256_set1_epi8((char)0x80);
    const b64 b = {_mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(const void *)p), flip),
                   _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(const void *)(p + 32)), flip)};
    return b;
}

static inline v16i v16i_dot4(v16i acc, int32_t four, b64 b)
{
    const __m256i a = _mm256_set1_epi32(four);
    const v16i sum = {_mm256_dpbusd_avx_epi32(acc.lo, b.lo, a), _mm256_dpbusd_avx_epi32(acc.hi, b.hi, a)};
    return sum;
}

static inline int32_t dot4_bias(const int8_t *a, size_t k4)
{
    return 128 * row_sum(a, k4);
}

#include "simd/generic/int8_tile.h"

#include "simd/generic/int8.h"
#include "simd/generic/screen.h"
