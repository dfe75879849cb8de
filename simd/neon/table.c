#include "simd/cpu.h"
#include "simd/neon/vec.h"

const struct vqr_isa vqr_isa_neon = {
    .name = "neon",
    .needs = VQR_CPU_ARM_NEON,
    .wants = "AArch64 Advanced SIMD",
    .k =
        {
#include "simd/generic/table.def"
        },
};
