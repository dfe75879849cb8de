/* The choice of kernels by processor and limit, and the floating-point state around the library's entry points. */
#include <fenv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "simd/cpu.h"
#include "simd/simd.h"
#include "tests/processor/flush.h"

/* ---- vqr_simd_select ---- */

enum {
    ALL_FEATURES = VQR_CPU_X86_AVX2 | VQR_CPU_X86_AVX512 | VQR_CPU_X86_AVXVNNI | VQR_CPU_X86_AVX512VNNI |
                   VQR_CPU_ARM_NEON | VQR_CPU_ARM_DOT | VQR_CPU_ARM_I8MM
};

/* The tables are structs of pointers without padding, so bytes compare. */
static void assert_same_kernels(const struct vqr_kernels *a, const struct vqr_kernels *b)
{
    assert_memory_equal(a, b, sizeof *a);
}

/* What the header promises, another way: for each entry, the last ISA up to `last` that is usable and has it. */
static void expected_kernels(struct vqr_kernels *k, uint32_t features, size_t last)
{
    memset(k, 0, sizeof *k);
#define VQR_KERNEL(name, ret, params)                                             \
    for (size_t i = 0; i <= last; i++)                                            \
        if ((vqr_isas[i]->needs & ~features) == 0 && vqr_isas[i]->k.name != NULL) \
            k->name = vqr_isas[i]->k.name;
#include "simd/kernels.def"
#undef VQR_KERNEL
}

static void assert_refused(uint32_t features, const char *limit)
{
    struct vqr_kernels k, before;
    memset(&k, 0x5a, sizeof k);
    before = k;
    assert_null(vqr_simd_select(&k, features, limit));
    assert_same_kernels(&k, &before);
}

static void test_select_by_features(void **state)
{
    (void)state;
    for (uint32_t features = 0; features <= ALL_FEATURES; features++) {
        const struct vqr_isa *strongest = NULL;
        for (size_t i = 0; i < vqr_isa_count; i++)
            if ((vqr_isas[i]->needs & ~features) == 0)
                strongest = vqr_isas[i];
        if (!strongest) {
            assert_refused(features, NULL);
            continue;
        }
        struct vqr_kernels k, expected;
        assert_ptr_equal(vqr_simd_select(&k, features, NULL), strongest);
        expected_kernels(&expected, features, vqr_isa_count - 1);
        assert_same_kernels(&k, &expected);
    }
}

static void test_select_by_limit(void **state)
{
    (void)state;
    for (uint32_t features = 0; features <= ALL_FEATURES; features++)
        for (size_t i = 0; i < vqr_isa_count; i++) {
            const struct vqr_isa *isa = vqr_isas[i];
            if (isa->needs & ~features) {
                assert_refused(features, isa->name);
                continue;
            }
            struct vqr_kernels k, expected;
            assert_ptr_equal(vqr_simd_select(&k, features, isa->name), isa);
            expected_kernels(&expected, features, i);
            assert_same_kernels(&k, &expected);
        }
}

static void test_select_unknown_limit(void **state)
{
    (void)state;
    static const char *const names[] = {"", "sse2", "REF", "ref ", "re", "avx", "neonx"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (uint32_t features = 0; features <= ALL_FEATURES; features++)
            assert_refused(features, names[i]);
}

static void test_reference_is_complete(void **state)
{
    (void)state;
    assert_true(vqr_isa_count >= 1);
    assert_string_equal(vqr_isas[0]->name, "ref");
#define VQR_KERNEL(name, ret, params) assert_true(vqr_isas[0]->k.name != NULL);
#include "simd/kernels.def"
#undef VQR_KERNEL
}

static void test_isas_are_described(void **state)
{
    (void)state;
    for (size_t i = 0; i < vqr_isa_count; i++) {
        assert_true(strlen(vqr_isas[i]->name) > 0);
        assert_true(vqr_isas[i]->wants != NULL && strlen(vqr_isas[i]->wants) > 0);
        assert_int_equal(vqr_isas[i]->needs & ~(uint32_t)ALL_FEATURES, 0);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(vqr_isas[i]->name, vqr_isas[j]->name);
    }
}

static void test_features_are_known(void **state)
{
    (void)state;
    const uint32_t features = vqr_cpu_features();
    assert_int_equal(features & ~(uint32_t)ALL_FEATURES, 0);
    assert_int_equal(features, vqr_cpu_features());
    if (features & VQR_CPU_X86_AVX512) /* needed by the ISA's needs, which name both */
        assert_true(features & VQR_CPU_X86_AVX2);
    if (features & VQR_CPU_X86_AVX512VNNI)
        assert_true(features & VQR_CPU_X86_AVX512);
    if (features & VQR_CPU_X86_AVXVNNI)
        assert_true(features & VQR_CPU_X86_AVX2);
    if (features & VQR_CPU_ARM_I8MM)
        assert_true(features & VQR_CPU_ARM_DOT);
}

/* ---- vqr_fp_enter, vqr_fp_restore ---- */

/* Operands and results are volatile: the sum must be taken where it is written, not past the next call. */
static float add(float a, float b)
{
    volatile float x = a, y = b, sum = x + y;
    return sum;
}

static float multiply(float a, float b)
{
    volatile float x = a, y = b, product = x * y;
    return product;
}

/* A denormal result and a denormal operand. */
static int keeps_denormals(void)
{
    return multiply(0x1p-100f, 0x1p-40f) == 0x1p-140f && multiply(0x1p-130f, 16.0f) == 0x1p-126f;
}

/* The rounding that arithmetic shows; fegetround may look at another unit than the one that computes. */
static int rounding(void)
{
    const float next = 0x1.000002p0f;
    if (add(1.0f, 0x1p-25f) == next)
        return FE_UPWARD;
    if (add(-1.0f, -0x1p-25f) == -next)
        return FE_DOWNWARD;
    return add(1.0f, 0x1.8p-24f) == next ? FE_TONEAREST : FE_TOWARDZERO;
}

static void test_state_is_set_and_restored(void **state)
{
    (void)state;
    static const int roundings[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    for (int flush = 0; flush <= 1; flush++)
        for (size_t i = 0; i < sizeof roundings / sizeof *roundings; i++) {
            assert_int_equal(fesetround(roundings[i]), 0);
            const int flushes = set_flush_to_zero(flush);
            const int kept_before = keeps_denormals();
            const uint64_t saved = vqr_fp_enter();
            const int rounding_inside = rounding(), kept = keeps_denormals();
            vqr_fp_restore(saved);
            const int rounding_after = rounding(), kept_after = keeps_denormals();
            set_flush_to_zero(0);
            fesetround(FE_TONEAREST);
            assert_int_equal(rounding_inside, FE_TONEAREST);
            assert_true(kept);
            assert_int_equal(rounding_after, roundings[i]);
            assert_int_equal(kept_after, kept_before);
            if (flushes)
                assert_int_equal(kept_before, !flush);
        }
}

/* A host may have traps on; a division by zero inside the library must not kill it. */
static void test_traps_are_off(void **state)
{
    (void)state;
    if (feenableexcept(FE_DIVBYZERO | FE_INVALID | FE_OVERFLOW) == -1)
        skip();
    const uint64_t saved = vqr_fp_enter();
    volatile float one = 1.0f, zero = 0.0f, infinite = one / zero;
    feclearexcept(FE_ALL_EXCEPT);
    vqr_fp_restore(saved);
    fedisableexcept(FE_ALL_EXCEPT);
    assert_true(infinite > 1.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_select_by_features),        cmocka_unit_test(test_select_by_limit),
        cmocka_unit_test(test_select_unknown_limit),      cmocka_unit_test(test_reference_is_complete),
        cmocka_unit_test(test_isas_are_described),        cmocka_unit_test(test_features_are_known),
        cmocka_unit_test(test_state_is_set_and_restored), cmocka_unit_test(test_traps_are_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
