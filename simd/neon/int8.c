#include "simd/neon/vec.h"

/* Products of 16 bits, at most 127^2, added in pairs twice. */
enum { INT8_ROWS = 4, INT8_PANELS = 1 };

typedef struct {
    int8x16_t a, b, c, d;
} b64;

static inline b64 b64_load(const int8_t *p)
{
    const b64 b = {vld1q_s8(p), vld1q_s8(p + 16), vld1q_s8(p + 32), vld1q_s8(p + 48)};
    return b;
}

static inline int32x4_t dot4(int32x4_t acc, int8x16_t a, int8x16_t b)
{
    const int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(a), vget_low_s8(b)));
    const int32x4_t high = vpaddlq_s16(vmull_high_s8(a, b));
    return vaddq_s32(acc, vpaddq_s32(low, high));
}

static inline v16i v16i_dot4(v16i acc, int32_t four, b64 b)
{
    const int8x16_t a = vreinterpretq_s8_s32(vdupq_n_s32(four));
    const v16i sum = {dot4(acc.a, a, b.a), dot4(acc.b, a, b.b), dot4(acc.c, a, b.c), dot4(acc.d, a, b.d)};
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
