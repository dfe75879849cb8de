#include "simd/cpu.h"
#include "simd/ref/ref.h"

/* Filled from the list itself: a kernel without a reference does not link. It needs what SLEEF's purecfma functions
 * need, fused multiply-add, which on x86-64 comes with AVX2. */
const struct vqr_isa vqr_isa_ref = {
    .name = "ref",
#ifdef VQR_REF_NEEDS
    .needs = VQR_REF_NEEDS,
#endif
    .wants = "fused multiply-add (on x86-64: AVX2 and FMA)",
    .k =
        {
#define VQR_KERNEL(name, ret, params) .name = FN(name),
#include "simd/kernels.def"
#undef VQR_KERNEL
        },
};
