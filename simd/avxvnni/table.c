#define FN(name) vqr_##name##_avxvnni
#include "simd/avx2/vec.h"

#include "simd/cpu.h"

/* All other kernels are avx2's. */
const struct vqr_isa vqr_isa_avxvnni = {
    .name = "avxvnni",
    .needs = VQR_CPU_X86_AVX2 | VQR_CPU_X86_AVXVNNI,
    .wants = "AVX2, FMA and AVX-VNNI",
    .k =
        {
#include "simd/generic/int8.def"
        },
};
