/* The 16-lane vector on AVX2: two registers, lanes 0-7 and 8-15. */
#ifndef VQR_AVX2_VEC_H
#define VQR_AVX2_VEC_H

#include <immintrin.h>
#include <sleef.h>
#include <string.h>

#include "simd/simd.h"

#ifndef FN /* the kernels of a stronger tier may be written over this vector */
#define FN(name) vqr_##name##_avx2
#endif
#include "simd/avx2/bytes.h"
#include "simd/declare.h"

/* Tiles of the matrix product, rows x panels, for 16 registers: 12 accumulators, 2 for b, 1 for a. */
enum { TILE_ROWS = 6, TILE_PANELS = 1, SMALL_ROWS = 2, SMALL_PANELS = 2, ROW_PANELS = 4 };

/* Tiles of the codeword scores; the sums over features spill, which costs little, once a feature. */
enum { QUANTIZE_ROWS = 6, QUANTIZE_PANELS = 1 };

/* Rows of a residual quantizer at once: accumulators beside a mean, an inverse variance and a difference. */
enum { GMM_ROWS = 4 };

typedef struct {
    __m256 lo, hi;
} v16;

typedef struct {
    __m256i lo, hi;
} v16i;

static inline v16 v16_pair(__m256 lo, __m256 hi)
{
    const v16 v = {lo, hi};
    return v;
}

static inline v16 v16_set1(float x)
{
    return v16_pair(_mm256_set1_ps(x), _mm256_set1_ps(x));
}

static inline v16 v16_load(const float *p)
{
    return v16_pair(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8));
}

/* Lanes from 8 on are 0. */
static inline v16 v16_load_half(const float *p)
{
    return v16_pair(_mm256_loadu_ps(p), _mm256_setzero_ps());
}

static inline void v16_store(float *p, v16 v)
{
    _mm256_storeu_ps(p, v.lo);
    _mm256_storeu_ps(p + 8, v.hi);
}

static inline void v16i_store(int32_t *p, v16i v)
{
    memcpy(p, &v.lo, sizeof v.lo);
    memcpy(p + 8, &v.hi, sizeof v.hi);
}

static inline v16 v16_load_int8(const int8_t *p)
{
    const __m128i lo = _mm_loadl_epi64((const __m128i *)(const void *)p);
    const __m128i hi = _mm_loadl_epi64((const __m128i *)(const void *)(p + 8));
    return v16_pair(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(lo)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(hi)));
}

#include "simd/generic/tail.h"

/* n <= 16: lanes from n on are replaced by `fill`. */
static inline v16 v16_keep(v16 v, size_t n, float fill)
{
    const __m256i limit = _mm256_set1_epi32((int)n), other = _mm256_castps_si256(_mm256_set1_ps(fill));
    const __m256i lo = _mm256_cmpgt_epi32(limit, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    const __m256i hi = _mm256_cmpgt_epi32(limit, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15));
    return v16_pair(_mm256_blendv_ps(_mm256_castsi256_ps(other), v.lo, _mm256_castsi256_ps(lo)),
                    _mm256_blendv_ps(_mm256_castsi256_ps(other), v.hi, _mm256_castsi256_ps(hi)));
}

static inline v16 v16_add(v16 a, v16 b)
{
    return v16_pair(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi));
}

static inline v16 v16_sub(v16 a, v16 b)
{
    return v16_pair(_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi));
}

static inline v16 v16_mul(v16 a, v16 b)
{
    return v16_pair(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi));
}

static inline v16 v16_div(v16 a, v16 b)
{
    return v16_pair(_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi));
}

/* a * b + c, rounded once */
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return v16_pair(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi));
}

/* a > b ? a : b, so b where either is NaN */
static inline v16 v16_max(v16 a, v16 b)
{
    return v16_pair(_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi));
}

static inline v16 v16_neg(v16 v)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return v16_pair(_mm256_xor_ps(v.lo, sign), _mm256_xor_ps(v.hi, sign));
}

static inline v16 v16_abs(v16 v)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return v16_pair(_mm256_andnot_ps(sign, v.lo), _mm256_andnot_ps(sign, v.hi));
}

/* v > 0 ? v : other, so other where v is NaN */
static inline v16 v16_positive_or(v16 v, v16 other)
{
    const __m256 zero = _mm256_setzero_ps();
    return v16_pair(_mm256_blendv_ps(other.lo, v.lo, _mm256_cmp_ps(v.lo, zero, _CMP_GT_OQ)),
                    _mm256_blendv_ps(other.hi, v.hi, _mm256_cmp_ps(v.hi, zero, _CMP_GT_OQ)));
}

/* Where s > *best: *best = s, *tag = t. */
static inline void v16_take_greater(v16 *best, v16 *tag, v16 s, v16 t)
{
    const __m256 lo = _mm256_cmp_ps(s.lo, best->lo, _CMP_GT_OQ), hi = _mm256_cmp_ps(s.hi, best->hi, _CMP_GT_OQ);
    *best = v16_pair(_mm256_blendv_ps(best->lo, s.lo, lo), _mm256_blendv_ps(best->hi, s.hi, hi));
    *tag = v16_pair(_mm256_blendv_ps(tag->lo, t.lo, lo), _mm256_blendv_ps(tag->hi, t.hi, hi));
}

/* Whether |v| <= limit in every lane; false for NaN. */
static inline int v16_within(v16 v, v16 limit)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    const __m256 lo = _mm256_cmp_ps(_mm256_andnot_ps(sign, v.lo), limit.lo, _CMP_LE_OQ);
    const __m256 hi = _mm256_cmp_ps(_mm256_andnot_ps(sign, v.hi), limit.hi, _CMP_LE_OQ);
    return _mm256_movemask_ps(_mm256_and_ps(lo, hi)) == 0xff;
}

/* Bit l: whether a >= b in lane l; not where either is NaN. */
static inline uint32_t v16_at_least(v16 a, v16 b)
{
    return (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_GE_OQ)) |
           (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_GE_OQ)) << 8;
}

/* Lanes summed by the tree 8, 4, 2, 1: lane j takes lane j + 8, then j + 4, ... */
static inline float v16_sum(v16 v)
{
    const __m256 v8 = _mm256_add_ps(v.lo, v.hi);
    const __m128 v4 = _mm_add_ps(_mm256_castps256_ps128(v8), _mm256_extractf128_ps(v8, 1));
    const __m128 v2 = _mm_add_ps(v4, _mm_movehl_ps(v4, v4));
    return _mm_cvtss_f32(_mm_add_ss(v2, _mm_movehdup_ps(v2)));
}

/* The largest lane by the same tree, each step upper > lower ? upper : lower. */
static inline float v16_max_lane(v16 v)
{
    const __m256 v8 = _mm256_max_ps(v.hi, v.lo);
    const __m128 v4 = _mm_max_ps(_mm256_extractf128_ps(v8, 1), _mm256_castps256_ps128(v8));
    const __m128 v2 = _mm_max_ps(_mm_movehl_ps(v4, v4), v4);
    return _mm_cvtss_f32(_mm_max_ss(_mm_movehdup_ps(v2), v2));
}

/* Rounded to nearest even; |v| < 2^31. */
static inline v16i v16_round(v16 v)
{
    const v16i r = {_mm256_cvtps_epi32(v.lo), _mm256_cvtps_epi32(v.hi)};
    return r;
}

static inline void add_int64(int64_t *p, __m128i v)
{
    __m256i *sums = (__m256i *)(void *)p;
    _mm256_storeu_si256(sums, _mm256_add_epi64(_mm256_loadu_si256(sums), _mm256_cvtepi32_epi64(v)));
}

/* p[l] += lane l */
static inline void v16i_add_int64(int64_t *p, v16i v)
{
    add_int64(p, _mm256_castsi256_si128(v.lo));
    add_int64(p + 4, _mm256_extracti128_si256(v.lo, 1));
    add_int64(p + 8, _mm256_castsi256_si128(v.hi));
    add_int64(p + 12, _mm256_extracti128_si256(v.hi, 1));
}

static inline v16i v16i_set1(int32_t x)
{
    const v16i v = {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
    return v;
}

/* Rounded to nearest even. */
static inline v16 v16_from_int(v16i v)
{
    return v16_pair(_mm256_cvtepi32_ps(v.lo), _mm256_cvtepi32_ps(v.hi));
}

/* Lanes of -128 ... 127. */
static inline void v16i_store_int8(int8_t *p, v16i v)
{
    /* Packing works within 128-bit halves; the order of fours of bytes is put right after it. */
    const __m256i words = _mm256_packs_epi32(v.lo, v.hi);
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
    _mm_storeu_si128((__m128i *)(void *)p, bytes);
}

/* Whether a lane of v is not below limit; true for NaN. */
static inline int v16_reaches(v16 v, v16 limit)
{
    const __m256 lo = _mm256_cmp_ps(v.lo, limit.lo, _CMP_NLT_UQ), hi = _mm256_cmp_ps(v.hi, limit.hi, _CMP_NLT_UQ);
    return _mm256_movemask_ps(_mm256_or_ps(lo, hi)) != 0;
}

/* 2^q, -127 < q < 128 */
static inline __m256 power(__m256i q)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(q, _mm256_set1_epi32(127)), 23));
}

static inline __m256 times_powers(__m256 v, __m256i q)
{
    const __m256i half = _mm256_srai_epi32(q, 1);
    return _mm256_mul_ps(_mm256_mul_ps(v, power(half)), power(_mm256_sub_epi32(q, half)));
}

/* v * 2^(q >> 1) * 2^(q - (q >> 1)) where both powers are floats, else anything */
static inline v16 v16_times_powers(v16 v, v16i q)
{
    return v16_pair(times_powers(v.lo, q.lo), times_powers(v.hi, q.hi));
}

#include "simd/generic/exp.h"

static inline v16 v16_log(v16 v)
{
    return v16_pair(Sleef_finz_logf8_u10avx2(v.lo), Sleef_finz_logf8_u10avx2(v.hi));
}

static inline v16 v16_tanh(v16 v)
{
    return v16_pair(Sleef_finz_tanhf8_u10avx2(v.lo), Sleef_finz_tanhf8_u10avx2(v.hi));
}

#endif
