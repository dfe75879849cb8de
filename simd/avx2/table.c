#include "simd/cpu.h"
#include "simd/avx2/vec.h"

const struct vqr_isa vqr_isa_avx2 = {
    .name = "avx2",
    .needs = VQR_CPU_X86_AVX2,
    .wants = "AVX2 and FMA",
    .k =
        {
#include "simd/generic/table.def"
        },
};
