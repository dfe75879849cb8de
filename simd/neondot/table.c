#define FN(name) vqr_##name##_neondot
#include "simd/neon/vec.h"

#include "simd/cpu.h"

/* All other kernels are neon's. */
const struct vqr_isa vqr_isa_neondot = {
    .name = "neondot",
    .needs = VQR_CPU_ARM_NEON | VQR_CPU_ARM_DOT,
    .wants = "Advanced SIMD with dot products",
    .k =
        {
#include "simd/generic/int8.def"
        },
};
