/* The 16-lane vector on AArch64 Advanced SIMD: four registers, lanes 0-3, 4-7, 8-11, 12-15. */
#ifndef VQR_NEON_VEC_H
#define VQR_NEON_VEC_H

/* GCC moves loads up before it gives out registers: all rows of a tile at once, one register each, for which
 * accumulators go to the stack in the inner loop. As written a row is loaded when it is multiplied; the processors that
 * matter find the order themselves. Ahead of the intrinsics, so that they are still inlined. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("no-schedule-insns")
#endif

#include <arm_neon.h>
#include <sleef.h>

#include "simd/simd.h"

#ifndef FN /* the kernels of a stronger tier may be written over this vector */
#define FN(name) vqr_##name##_neon
#endif
#include "simd/declare.h"

/* Tiles of the matrix product, rows x panels, for 32 registers: 24 accumulators, 4 for b, 1 for a. */
enum { TILE_ROWS = 6, TILE_PANELS = 1, SMALL_ROWS = 2, SMALL_PANELS = 2, ROW_PANELS = 4 };

/* Tiles of the codeword scores; the sums over features spill, which costs little, once a feature. */
enum { QUANTIZE_ROWS = 6, QUANTIZE_PANELS = 1 };

/* Rows of a residual quantizer at once: accumulators beside a mean, an inverse variance and a difference. */
enum { GMM_ROWS = 4 };

typedef struct {
    float32x4_t a, b, c, d;
} v16;

typedef struct {
    int32x4_t a, b, c, d;
} v16i;

static inline v16 v16_four(float32x4_t a, float32x4_t b, float32x4_t c, float32x4_t d)
{
    const v16 v = {a, b, c, d};
    return v;
}

static inline v16 v16_set1(float x)
{
    const float32x4_t v = vdupq_n_f32(x);
    return v16_four(v, v, v, v);
}

static inline v16 v16_load(const float *p)
{
    return v16_four(vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12));
}

/* Lanes from 8 on are 0. */
static inline v16 v16_load_half(const float *p)
{
    return v16_four(vld1q_f32(p), vld1q_f32(p + 4), vdupq_n_f32(0.0f), vdupq_n_f32(0.0f));
}

static inline void v16_store(float *p, v16 v)
{
    vst1q_f32(p, v.a);
    vst1q_f32(p + 4, v.b);
    vst1q_f32(p + 8, v.c);
    vst1q_f32(p + 12, v.d);
}

static inline void v16i_store(int32_t *p, v16i v)
{
    vst1q_s32(p, v.a);
    vst1q_s32(p + 4, v.b);
    vst1q_s32(p + 8, v.c);
    vst1q_s32(p + 12, v.d);
}

static inline v16 v16_load_int8(const int8_t *p)
{
    const int8x16_t x = vld1q_s8(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_s8(vget_high_s8(x));
    return v16_four(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
                    vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high))));
}

#include "simd/generic/tail.h"

/* n <= 16: lanes from n on are replaced by `fill`. */
static inline v16 v16_keep(v16 v, size_t n, float fill)
{
    static const uint32_t lane[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const uint32x4_t limit = vdupq_n_u32((uint32_t)n);
    const float32x4_t other = vdupq_n_f32(fill);
    return v16_four(vbslq_f32(vcltq_u32(vld1q_u32(lane), limit), v.a, other),
                    vbslq_f32(vcltq_u32(vld1q_u32(lane + 4), limit), v.b, other),
                    vbslq_f32(vcltq_u32(vld1q_u32(lane + 8), limit), v.c, other),
                    vbslq_f32(vcltq_u32(vld1q_u32(lane + 12), limit), v.d, other));
}

static inline v16 v16_add(v16 x, v16 y)
{
    return v16_four(vaddq_f32(x.a, y.a), vaddq_f32(x.b, y.b), vaddq_f32(x.c, y.c), vaddq_f32(x.d, y.d));
}

static inline v16 v16_sub(v16 x, v16 y)
{
    return v16_four(vsubq_f32(x.a, y.a), vsubq_f32(x.b, y.b), vsubq_f32(x.c, y.c), vsubq_f32(x.d, y.d));
}

static inline v16 v16_mul(v16 x, v16 y)
{
    return v16_four(vmulq_f32(x.a, y.a), vmulq_f32(x.b, y.b), vmulq_f32(x.c, y.c), vmulq_f32(x.d, y.d));
}

static inline v16 v16_div(v16 x, v16 y)
{
    return v16_four(vdivq_f32(x.a, y.a), vdivq_f32(x.b, y.b), vdivq_f32(x.c, y.c), vdivq_f32(x.d, y.d));
}

/* x * y + z, rounded once */
static inline v16 v16_fma(v16 x, v16 y, v16 z)
{
    return v16_four(vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c),
                    vfmaq_f32(z.d, x.d, y.d));
}

/* x > y ? x : y, so y where either is NaN; FMAX differs on -0 and NaN */
static inline float32x4_t greater_or_second(float32x4_t x, float32x4_t y)
{
    return vbslq_f32(vcgtq_f32(x, y), x, y);
}

static inline v16 v16_max(v16 x, v16 y)
{
    return v16_four(greater_or_second(x.a, y.a), greater_or_second(x.b, y.b), greater_or_second(x.c, y.c),
                    greater_or_second(x.d, y.d));
}

static inline v16 v16_neg(v16 v)
{
    return v16_four(vnegq_f32(v.a), vnegq_f32(v.b), vnegq_f32(v.c), vnegq_f32(v.d));
}

static inline v16 v16_abs(v16 v)
{
    return v16_four(vabsq_f32(v.a), vabsq_f32(v.b), vabsq_f32(v.c), vabsq_f32(v.d));
}

/* v > 0 ? v : other, so other where v is NaN */
static inline v16 v16_positive_or(v16 v, v16 other)
{
    return v16_four(vbslq_f32(vcgtzq_f32(v.a), v.a, other.a), vbslq_f32(vcgtzq_f32(v.b), v.b, other.b),
                    vbslq_f32(vcgtzq_f32(v.c), v.c, other.c), vbslq_f32(vcgtzq_f32(v.d), v.d, other.d));
}

static inline void take_greater(float32x4_t *best, float32x4_t *tag, float32x4_t s, float32x4_t t)
{
    const uint32x4_t greater = vcgtq_f32(s, *best);
    *best = vbslq_f32(greater, s, *best);
    *tag = vbslq_f32(greater, t, *tag);
}

/* Where s > *best: *best = s, *tag = t. */
static inline void v16_take_greater(v16 *best, v16 *tag, v16 s, v16 t)
{
    take_greater(&best->a, &tag->a, s.a, t.a);
    take_greater(&best->b, &tag->b, s.b, t.b);
    take_greater(&best->c, &tag->c, s.c, t.c);
    take_greater(&best->d, &tag->d, s.d, t.d);
}

/* Whether |v| <= limit in every lane; false for NaN. */
static inline int v16_within(v16 v, v16 limit)
{
    const uint32x4_t ab = vandq_u32(vcaleq_f32(v.a, limit.a), vcaleq_f32(v.b, limit.b));
    const uint32x4_t cd = vandq_u32(vcaleq_f32(v.c, limit.c), vcaleq_f32(v.d, limit.d));
    return vminvq_u32(vandq_u32(ab, cd)) != 0;
}

/* Bit l: whether x >= y in lane l; not where either is NaN. */
static inline uint32_t v16_at_least(v16 x, v16 y)
{
    static const uint32_t bits[4] = {1, 2, 4, 8};
    const uint32x4_t a = vld1q_u32(bits), b = vshlq_n_u32(a, 4), c = vshlq_n_u32(a, 8), d = vshlq_n_u32(a, 12);
    const uint32x4_t ab = vorrq_u32(vandq_u32(vcgeq_f32(x.a, y.a), a), vandq_u32(vcgeq_f32(x.b, y.b), b));
    const uint32x4_t cd = vorrq_u32(vandq_u32(vcgeq_f32(x.c, y.c), c), vandq_u32(vcgeq_f32(x.d, y.d), d));
    return vaddvq_u32(vorrq_u32(ab, cd));
}

/* Lanes summed by the tree 8, 4, 2, 1: lane j takes lane j + 8, then j + 4, ... */
static inline float v16_sum(v16 v)
{
    const float32x4_t v4 = vaddq_f32(vaddq_f32(v.a, v.c), vaddq_f32(v.b, v.d));
    const float32x2_t v2 = vadd_f32(vget_low_f32(v4), vget_high_f32(v4));
    return vget_lane_f32(v2, 0) + vget_lane_f32(v2, 1);
}

/* The largest lane by the same tree, each step upper > lower ? upper : lower. */
static inline float v16_max_lane(v16 v)
{
    const float32x4_t v4 = greater_or_second(greater_or_second(v.d, v.b), greater_or_second(v.c, v.a));
    float lane[4];
    vst1q_f32(lane, v4);
    for (int half = 2; half >= 1; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] = lane[j + half] > lane[j] ? lane[j + half] : lane[j];
    return lane[0];
}

/* Rounded to nearest even; |v| < 2^31. */
static inline v16i v16_round(v16 v)
{
    const v16i r = {vcvtnq_s32_f32(v.a), vcvtnq_s32_f32(v.b), vcvtnq_s32_f32(v.c), vcvtnq_s32_f32(v.d)};
    return r;
}

static inline void add_int64(int64_t *p, int32x4_t v)
{
    vst1q_s64(p, vaddw_s32(vld1q_s64(p), vget_low_s32(v)));
    vst1q_s64(p + 2, vaddw_high_s32(vld1q_s64(p + 2), v));
}

/* p[l] += lane l */
static inline void v16i_add_int64(int64_t *p, v16i v)
{
    add_int64(p, v.a);
    add_int64(p + 4, v.b);
    add_int64(p + 8, v.c);
    add_int64(p + 12, v.d);
}

static inline v16i v16i_set1(int32_t x)
{
    const int32x4_t v = vdupq_n_s32(x);
    const v16i r = {v, v, v, v};
    return r;
}

/* Rounded to nearest even. */
static inline v16 v16_from_int(v16i v)
{
    return v16_four(vcvtq_f32_s32(v.a), vcvtq_f32_s32(v.b), vcvtq_f32_s32(v.c), vcvtq_f32_s32(v.d));
}

/* Lanes of -128 ... 127. */
static inline void v16i_store_int8(int8_t *p, v16i v)
{
    const int16x8_t low = vcombine_s16(vmovn_s32(v.a), vmovn_s32(v.b));
    const int16x8_t high = vcombine_s16(vmovn_s32(v.c), vmovn_s32(v.d));
    vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}

/* a's 16 bytes and b's in turn: a0 b0 a1 b1 ... */
static inline void zip_int8(int8_t *to, const int8_t *a, const int8_t *b)
{
    const int8x16x2_t both = {{vld1q_s8(a), vld1q_s8(b)}};
    vst2q_s8(to, both);
}

/* Whether a lane of v is not below limit; true for NaN. */
static inline int v16_reaches(v16 v, v16 limit)
{
    const uint32x4_t below = vandq_u32(vandq_u32(vcltq_f32(v.a, limit.a), vcltq_f32(v.b, limit.b)),
                                       vandq_u32(vcltq_f32(v.c, limit.c), vcltq_f32(v.d, limit.d)));
    return vminvq_u32(below) == 0;
}

/* 2^q, -127 < q < 128 */
static inline float32x4_t power(int32x4_t q)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(q, vdupq_n_s32(127)), 23));
}

static inline float32x4_t times_powers(float32x4_t v, int32x4_t q)
{
    const int32x4_t half = vshrq_n_s32(q, 1);
    return vmulq_f32(vmulq_f32(v, power(half)), power(vsubq_s32(q, half)));
}

/* v * 2^(q >> 1) * 2^(q - (q >> 1)) where both powers are floats, else anything */
static inline v16 v16_times_powers(v16 v, v16i q)
{
    return v16_four(times_powers(v.a, q.a), times_powers(v.b, q.b), times_powers(v.c, q.c), times_powers(v.d, q.d));
}

#include "simd/generic/exp.h"

static inline v16 v16_log(v16 v)
{
    return v16_four(Sleef_finz_logf4_u10advsimd(v.a), Sleef_finz_logf4_u10advsimd(v.b),
                    Sleef_finz_logf4_u10advsimd(v.c), Sleef_finz_logf4_u10advsimd(v.d));
}

static inline v16 v16_tanh(v16 v)
{
    return v16_four(Sleef_finz_tanhf4_u10advsimd(v.a), Sleef_finz_tanhf4_u10advsimd(v.b),
                    Sleef_finz_tanhf4_u10advsimd(v.c), Sleef_finz_tanhf4_u10advsimd(v.d));
}

#endif
