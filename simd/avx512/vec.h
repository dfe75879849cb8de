/* The 16-lane vector on AVX-512: one register. */
#ifndef VQR_AVX512_VEC_H
#define VQR_AVX512_VEC_H

#include <immintrin.h>
#include <sleef.h>

#include "simd/simd.h"

#ifndef FN /* the kernels of a stronger tier may be written over this vector */
#define FN(name) vqr_##name##_avx512
#endif
#include "simd/avx2/bytes.h"
#include "simd/declare.h"

/* Tiles of the matrix product, rows x panels, for 32 registers: 24 accumulators, and few rows or one at a time. */
enum { TILE_ROWS = 12, TILE_PANELS = 2, SMALL_ROWS = 4, SMALL_PANELS = 4, ROW_PANELS = 8 };

/* Tiles of the codeword scores, which hold the sums over features beside the chains. */
enum { QUANTIZE_ROWS = 6, QUANTIZE_PANELS = 2 };

/* Rows of a residual quantizer at once: accumulators beside a mean, an inverse variance and a difference. */
enum { GMM_ROWS = 8 };

typedef __m512 v16;
typedef __m512i v16i;

static inline __mmask16 v16_first(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}

static inline v16 v16_set1(float x)
{
    return _mm512_set1_ps(x);
}

static inline v16 v16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

static inline void v16_store(float *p, v16 v)
{
    _mm512_storeu_ps(p, v);
}

static inline v16 v16_load_int8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

/* n < 16: lanes from n on are 0 and their memory is not touched. */
static inline v16 v16_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(v16_first(n), p);
}

static inline v16 v16_load_int8_n(const int8_t *p, size_t n)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(v16_first(n), p)));
}

static inline void v16_store_n(float *p, v16 v, size_t n)
{
    _mm512_mask_storeu_ps(p, v16_first(n), v);
}

/* n <= 16: lanes from n on are replaced by `fill`. */
static inline v16 v16_keep(v16 v, size_t n, float fill)
{
    return _mm512_mask_mov_ps(_mm512_set1_ps(fill), v16_first(n), v);
}

static inline v16 v16_add(v16 a, v16 b)
{
    return _mm512_add_ps(a, b);
}

static inline v16 v16_sub(v16 a, v16 b)
{
    return _mm512_sub_ps(a, b);
}

static inline v16 v16_mul(v16 a, v16 b)
{
    return _mm512_mul_ps(a, b);
}

static inline v16 v16_div(v16 a, v16 b)
{
    return _mm512_div_ps(a, b);
}

/* a * b + c, rounded once */
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

/* a > b ? a : b, so b where either is NaN */
static inline v16 v16_max(v16 a, v16 b)
{
    return _mm512_max_ps(a, b);
}

static inline v16 v16_neg(v16 v)
{
    return _mm512_xor_ps(v, _mm512_set1_ps(-0.0f));
}

static inline v16 v16_abs(v16 v)
{
    return _mm512_abs_ps(v);
}

/* v > 0 ? v : other, so other where v is NaN */
static inline v16 v16_positive_or(v16 v, v16 other)
{
    return _mm512_mask_mov_ps(other, _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_GT_OQ), v);
}

/* Where s > *best: *best = s, *tag = t. */
static inline void v16_take_greater(v16 *best, v16 *tag, v16 s, v16 t)
{
    const __mmask16 greater = _mm512_cmp_ps_mask(s, *best, _CMP_GT_OQ);
    *best = _mm512_mask_mov_ps(*best, greater, s);
    *tag = _mm512_mask_mov_ps(*tag, greater, t);
}

/* Whether |v| <= limit in every lane; false for NaN. */
static inline int v16_within(v16 v, v16 limit)
{
    return _mm512_cmp_ps_mask(_mm512_abs_ps(v), limit, _CMP_LE_OQ) == 0xffff;
}

/* Bit l: whether a >= b in lane l; not where either is NaN. */
static inline uint32_t v16_at_least(v16 a, v16 b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ);
}

/* Lanes summed by the tree 8, 4, 2, 1: lane j takes lane j + 8, then j + 4, ... */
static inline float v16_sum(v16 v)
{
    const __m256 v8 = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

/* The largest lane by the same tree, each step upper > lower ? upper : lower. */
static inline float v16_max_lane(v16 v)
{
    const __m256 v8 = _mm256_max_ps(_mm512_extractf32x8_ps(v, 1), _mm512_castps512_ps256(v));
    const __m128 v4 = _mm_max_ps(_mm256_extractf128_ps(v8, 1), _mm256_castps256_ps128(v8));
    const __m128 v2 = _mm_max_ps(_mm_movehl_ps(v4, v4), v4);
    return _mm_cvtss_f32(_mm_max_ss(_mm_movehdup_ps(v2), v2));
}

/* Rounded to nearest even; |v| < 2^31. */
static inline v16i v16_round(v16 v)
{
    return _mm512_cvtps_epi32(v);
}

static inline void v16i_store(int32_t *p, v16i v)
{
    _mm512_storeu_si512(p, v);
}

/* p[l] += lane l */
static inline void v16i_add_int64(int64_t *p, v16i v)
{
    const __m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(v));
    const __m512i high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(v, 1));
    _mm512_storeu_si512(p, _mm512_add_epi64(_mm512_loadu_si512(p), low));
    _mm512_storeu_si512(p + 8, _mm512_add_epi64(_mm512_loadu_si512(p + 8), high));
}

static inline v16i v16i_set1(int32_t x)
{
    return _mm512_set1_epi32(x);
}

/* Rounded to nearest even. */
static inline v16 v16_from_int(v16i v)
{
    return _mm512_cvtepi32_ps(v);
}

/* Lanes of -128 ... 127. */
static inline void v16i_store_int8(int8_t *p, v16i v)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(v));
}

/* Whether a lane of v is not below limit; true for NaN. */
static inline int v16_reaches(v16 v, v16 limit)
{
    return _mm512_cmp_ps_mask(v, limit, _CMP_NLT_UQ) != 0;
}

/* 2^q, -127 < q < 128 */
static inline v16 v16_power(v16i q)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(q, _mm512_set1_epi32(127)), 23));
}

/* v * 2^(q >> 1) * 2^(q - (q >> 1)) where both powers are floats, else anything */
static inline v16 v16_times_powers(v16 v, v16i q)
{
    const v16i half = _mm512_srai_epi32(q, 1);
    return _mm512_mul_ps(_mm512_mul_ps(v, v16_power(half)), v16_power(_mm512_sub_epi32(q, half)));
}

#include "simd/generic/exp.h"

static inline v16 v16_log(v16 v)
{
    return Sleef_finz_logf16_u10avx512f(v);
}

static inline v16 v16_tanh(v16 v)
{
    return Sleef_finz_tanhf16_u10avx512f(v);
}

#endif
