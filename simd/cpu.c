#include "simd/cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <xmmintrin.h>

static uint64_t xcr0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

uint32_t vqr_cpu_features(void)
{
    uint32_t a, b, c, d, features = 0;
    const uint32_t osxsave = 1u << 27, fma = 1u << 12; /* CPUID.1:ECX */
    /* Virtual machines trap the instruction, which takes microseconds: the leaves are asked for once each. */
    const uint32_t most = __get_cpuid_max(0, NULL);
    if (most < 7)
        return 0;
    __cpuid(1, a, b, c, d);
    if (!(c & osxsave) || !(c & fma))
        return 0;
    const uint64_t enabled = xcr0();
    const uint64_t ymm = 0x06, zmm = 0xe6; /* XCR0: SSE, AVX; opmask, ZMM_Hi256, Hi16_ZMM */
    __cpuid_count(7, 0, a, b, c, d);
    const uint32_t subleaf = a;
    const uint32_t avx2 = 1u << 5, avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* CPUID.7:EBX, F DQ BW VL */
    if ((enabled & ymm) == ymm && (b & avx2))
        features |= VQR_CPU_X86_AVX2;
    if ((enabled & zmm) == zmm && (b & avx512) == avx512)
        features |= VQR_CPU_X86_AVX512;
    if ((features & VQR_CPU_X86_AVX512) && (c & 1u << 11)) /* CPUID.7:ECX */
        features |= VQR_CPU_X86_AVX512VNNI;
    if ((features & VQR_CPU_X86_AVX2) && subleaf >= 1) {
        __cpuid_count(7, 1, a, b, c, d);
        features |= a & 1u << 4 ? VQR_CPU_X86_AVXVNNI : 0; /* CPUID.7.1:EAX */
    }
    return features;
}

uint64_t vqr_fp_enter(void)
{
    const uint32_t saved = _mm_getcsr();
    /* All exceptions masked (0x1f80), rounding to nearest, flush-to-zero and denormals-are-zero off. */
    _mm_setcsr(0x1f80);
    return saved;
}

void vqr_fp_restore(uint64_t saved)
{
    _mm_setcsr((uint32_t)saved);
}

#elif defined(__aarch64__)

#if defined(__APPLE__)

#include <sys/sysctl.h>

static uint32_t has(const char *name, uint32_t feature)
{
    int value = 0;
    size_t size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 && value ? feature : 0;
}

uint32_t vqr_cpu_features(void)
{
    return VQR_CPU_ARM_NEON | has("hw.optional.arm.FEAT_DotProd", VQR_CPU_ARM_DOT) |
           has("hw.optional.arm.FEAT_I8MM", VQR_CPU_ARM_I8MM);
}

#else

#include <sys/auxv.h>

uint32_t vqr_cpu_features(void)
{
    const unsigned long dot = 1ul << 20, i8mm = 1ul << 13; /* Linux: HWCAP_ASIMDDP; HWCAP2_I8MM */
    uint32_t features = VQR_CPU_ARM_NEON;
    if (getauxval(AT_HWCAP) & dot)
        features |= VQR_CPU_ARM_DOT;
    if ((features & VQR_CPU_ARM_DOT) && (getauxval(AT_HWCAP2) & i8mm))
        features |= VQR_CPU_ARM_I8MM;
    return features;
}

#endif

uint64_t vqr_fp_enter(void)
{
    uint64_t saved;
    __asm__ volatile("mrs %0, fpcr" : "=r"(saved));
    /* Round to nearest, FZ, DN, AH and the trap bits off: all of it is zero. */
    __asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0) : "memory");
    return saved;
}

void vqr_fp_restore(uint64_t saved)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(saved) : "memory");
}

#else

uint32_t vqr_cpu_features(void)
{
    return 0;
}

uint64_t vqr_fp_enter(void)
{
    return 0;
}

void vqr_fp_restore(uint64_t saved)
{
    (void)saved;
}

#endif
