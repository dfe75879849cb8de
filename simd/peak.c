#include "simd/peak.h"

#include <string.h>

/* As in dispatch.c: one line an ISA of this build. */
#define VQR_ISA(name) extern const struct vqr_peak vqr_peak_##name;
#include "vqr_isas.def"
#undef VQR_ISA

static const struct vqr_peak *const peaks[] = {
#define VQR_ISA(name) &vqr_peak_##name,
#include "vqr_isas.def"
#undef VQR_ISA
};

const struct vqr_peak *vqr_peak_of(const char *isa)
{
    for (size_t i = 0; i < sizeof peaks / sizeof *peaks; i++)
        if (strcmp(peaks[i]->isa, isa) == 0)
            return peaks[i];
    return NULL;
}
