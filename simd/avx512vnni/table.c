#define FN(name) vqr_##name##_avx512vnni
#include "simd/avx512/vec.h"

#include "simd/cpu.h"

/* All other kernels are avx512's. */
const struct vqr_isa vqr_isa_avx512vnni = {
    .name = "avx512vnni",
    .needs = VQR_CPU_X86_AVX2 | VQR_CPU_X86_AVX512 | VQR_CPU_X86_AVX512VNNI,
    .wants = "AVX-512 F, BW, DQ, VL and VNNI",
    .k =
        {
#include "simd/generic/int8.def"
        },
};
