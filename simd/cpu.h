/* What the processor can do, and the state of its floating-point unit. */
#ifndef VQR_CPU_H
#define VQR_CPU_H

#include <stdint.h>

/* Clusters, not single features: each bit stands for a set that our target processors have together, its registers
 * enabled by the operating system. */
enum {
    VQR_CPU_X86_AVX2 = 1u << 0,   /* AVX2, FMA */
    VQR_CPU_X86_AVX512 = 1u << 1, /* AVX-512 F, BW, DQ, VL */
    VQR_CPU_ARM_NEON = 1u << 2,   /* AArch64's Advanced SIMD, FMA included */
    VQR_CPU_X86_AVXVNNI = 1u << 3,
    VQR_CPU_X86_AVX512VNNI = 1u << 4,
    VQR_CPU_ARM_DOT = 1u << 5,  /* FEAT_DotProd: sdot */
    VQR_CPU_ARM_I8MM = 1u << 6, /* FEAT_I8MM: smmla */
};

uint32_t vqr_cpu_features(void);

/* Sets round-to-nearest with denormals kept, as the numerics contract needs it, and returns what was set before, to
 * be given to vqr_fp_restore: hosts do run with flush-to-zero. */
uint64_t vqr_fp_enter(void);
void vqr_fp_restore(uint64_t saved);

#endif
