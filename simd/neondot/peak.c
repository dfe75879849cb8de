#define FN(name) vqr_##name##_neondot
#include "simd/neon/vec.h"

/* sdot */
#define PEAK_DOT_PRODUCTS 64
static inline int32x4_t dot_of(int32x4_t acc, int32x4_t x)
{
    const int8x16_t bytes = vreinterpretq_s8_s32(x);
    return vdotq_s32(acc, bytes, bytes);
}

#include "simd/neon/peak_dot.h"

const struct vqr_peak vqr_peak_neondot = {"neondot", peak_fma, PEAK_DOT, peak_read};
