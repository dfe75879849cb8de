#include <string.h>

#include "simd/simd.h"

/* vqr_isas.def is written by CMake: one VQR_ISA(name) line per ISA in this build. */
#define VQR_ISA(name) extern const struct vqr_isa vqr_isa_##name;
#include "vqr_isas.def"
#undef VQR_ISA

const struct vqr_isa *const vqr_isas[] = {
#define VQR_ISA(name) &vqr_isa_##name,
#include "vqr_isas.def"
#undef VQR_ISA
};
const size_t vqr_isa_count = sizeof vqr_isas / sizeof *vqr_isas;

static void overlay(struct vqr_kernels *k, const struct vqr_kernels *from)
{
#define VQR_KERNEL(name, ret, params) \
    if (from->name)                   \
        k->name = from->name;
#include "simd/kernels.def"
#undef VQR_KERNEL
}

const struct vqr_isa *vqr_simd_select(struct vqr_kernels *k, uint32_t features, const char *limit)
{
    struct vqr_kernels chosen = {0};
    const struct vqr_isa *strongest = NULL;
    for (size_t i = 0; i < vqr_isa_count; i++) {
        const struct vqr_isa *isa = vqr_isas[i];
        if (vqr_isa_usable(isa, features)) {
            overlay(&chosen, &isa->k);
            strongest = isa;
        }
        if (limit && strcmp(limit, isa->name) == 0) {
            if (strongest != isa)
                return NULL;
            *k = chosen;
            return isa;
        }
    }
    if (limit || !strongest)
        return NULL;
    *k = chosen;
    return strongest;
}
