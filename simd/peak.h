/* The most that a processor does with an instruction set: loops that do one thing only, for `vqrank bench` to hold
 * kernels and stages against. They are compiled as the kernels are, and are no part of the library. */
#ifndef VQR_PEAK_H
#define VQR_PEAK_H

#include <stddef.h>

/* Numbers at `seeds`, no two the same: each lane of each chain starts from one of its own, or a compiler would see
 * equal chains and compute one of them. */
enum { VQR_PEAK_SEEDS = 512 };

/* Each function returns how much it did, exactly, and leaves a number in *sink, so that none of it is for nothing. */
struct vqr_peak {
    const char *isa;
    /* `loops` rounds of fused multiply-adds in independent chains in registers: floating-point operations, two each. */
    double (*fma)(size_t loops, const float *seeds, float *sink);
    /* The same of products of int8, or of the narrowest integers that the ISA adds the products of; NULL: it has no
     * instruction that adds products. Integer operations, two a product. */
    double (*dot)(size_t loops, const float *seeds, float *sink);
    /* Reads p[0 .. n), n a multiple of VQR_PEAK_SEEDS, `times` times with loads alone: bytes. */
    double (*read)(const float *p, size_t n, size_t times, float *sink);
};

/* NULL for a name that this build has no ISA of. */
const struct vqr_peak *vqr_peak_of(const char *isa);

#endif
