#define FN(name) vqr_##name##_neondot
#include "simd/neon/vec.h"

/* sdot: four products with signs, added. a's four bytes stay one lane, by which sdot multiplies: spreading them over a
 * register first would be one more instruction a row. */
enum {
    INT8_ROWS = 6,
    INT8_PANELS = 1,
    INT8_SMALL_ROWS = 2,
    INT8_SMALL_PANELS = 2,
    INT8_ROW_PANELS = 4,
    SCREEN_TILE = 6
};

typedef struct {
    int8x16_t a, b, c, d;
} b64;

static inline b64 b64_load(const int8_t *p)
{
    const b64 b = {vld1q_s8(p), vld1q_s8(p + 16), vld1q_s8(p + 32), vld1q_s8(p + 48)};
    return b;
}

static inline v16i v16i_dot4(v16i acc, int32_t four, b64 b)
{
    const int8x8_t a = vcreate_s8((uint32_t)four);
    const v16i sum = {vdotq_lane_s32(acc.a, b.a, a, 0), vdotq_lane_s32(acc.b, b.b, a, 0),
                      vdotq_lane_s32(acc.c, b.c, a, 0), vdotq_lane_s32(acc.d, b.d, a, 0)};
    return sum;
}

static inline int32_t dot4_bias(const int8_t *a, size_t k4)
{
    (void)a, (void)k4;
    return 0;
}

#include "simd/generic/int8_tile.h"

#include "simd/generic/int8.h"
#include "simd/generic/screen.h"
