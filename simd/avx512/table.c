#include "simd/cpu.h"
#include "simd/avx512/vec.h"

const struct vqr_isa vqr_isa_avx512 = {
    .name = "avx512",
    .needs = VQR_CPU_X86_AVX2 | VQR_CPU_X86_AVX512,
    .wants = "AVX-512 F, BW, DQ and VL",
    .k =
        {
#include "simd/generic/table.def"
        },
};
