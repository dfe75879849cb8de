#define FN(name) vqr_##name##_i8mm
#include "simd/neon/vec.h"

/* smmla: of two rows by two columns, eight products each. */
#define PEAK_DOT_PRODUCTS 128
static inline int32x4_t dot_of(int32x4_t acc, int32x4_t x)
{
    const int8x16_t bytes = vreinterpretq_s8_s32(x);
    return vmmlaq_s32(acc, bytes, bytes);
}

#include "simd/neon/peak_dot.h"

const struct vqr_peak vqr_peak_i8mm = {"i8mm", peak_fma, PEAK_DOT, peak_read};
