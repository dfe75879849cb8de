#define FN(name) vqr_##name##_i8mm
#include "simd/neon/vec.h"

#include "simd/cpu.h"

/* All other kernels are neon's. */
const struct vqr_isa vqr_isa_i8mm = {
    .name = "i8mm",
    .needs = VQR_CPU_ARM_NEON | VQR_CPU_ARM_DOT | VQR_CPU_ARM_I8MM,
    .wants = "Advanced SIMD with int8 matrix products",
    .k =
        {
#include "simd/generic/int8.def"
        },
};
