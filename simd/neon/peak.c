#define FN(name) vqr_##name##_neon
#include "simd/neon/vec.h"

/* No instruction of four products: int8 is widened, which no one loop measures. */

#include "simd/generic/peak.h"

const struct vqr_peak vqr_peak_neon = {"neon", peak_fma, PEAK_DOT, peak_read};
