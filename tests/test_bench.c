/* What `vqrank bench` refuses to time, a kernel that gives other bits than the reference; and rooflines, by hand. The
 * choice of kernels is wrapped, so that one of them can be a wrong one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "simd/simd.h"
#include "tools/bench_kernels.h"
#include "tools/options.h"

static vqr_add_f32_fn *wrong_add; /* NULL: the right one */

const struct vqr_isa *__real_vqr_simd_select(struct vqr_kernels *k, uint32_t features, const char *limit);
const struct vqr_isa *__wrap_vqr_simd_select(struct vqr_kernels *k, uint32_t features, const char *limit);

const struct vqr_isa *__wrap_vqr_simd_select(struct vqr_kernels *k, uint32_t features, const char *limit)
{
    const struct vqr_isa *isa = __real_vqr_simd_select(k, features, limit);
    if (isa != NULL && wrong_add != NULL)
        k->add_f32 = wrong_add;
    return isa;
}

/* The last number is a step of precision off. */
static void add_almost(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
    if (n != 0)
        y[n - 1] *= 1.0000001f;
}

static const char *const names[] = {
#define VQR_KERNEL(name, ret, params) #name,
#include "simd/kernels.def"
#undef VQR_KERNEL
};
enum { KERNELS = sizeof names / sizeof *names };

/* What a run told. */
struct told {
    int begun, cases[KERNELS];
    bool sane; /* every time and work is a number to go on with */
};

static int *cases_of(struct told *told, const char *kernel)
{
    for (size_t i = 0; i < KERNELS; i++)
        if (strcmp(names[i], kernel) == 0)
            return &told->cases[i];
    fail_msg("no kernel is called %s", kernel);
    return NULL;
}

static void begin(const char *isa, const struct bench_peaks *peaks, void *context)
{
    struct told *told = context;
    told->begun++;
    told->sane = isa != NULL && peaks->fma > 0 && peaks->exps > 0 && peaks->level[0].read > 0;
}

static void report(const struct bench_kernel_result *result, const struct bench_peaks *peaks, void *context)
{
    struct told *told = context;
    const struct bench_roof roof = bench_roof(peaks, &result->work);
    ++*cases_of(told, result->kernel);
    told->sane = told->sane && result->time.repeats >= BENCH_REPEATS_MIN && result->time.least >= 0 &&
                 result->time.median >= result->time.least && result->work.bytes > 0 && result->work.set > 0 &&
                 roof.seconds > 0 && roof.serial >= 0;
}

static int run(const char *list, struct told *told)
{
    const struct bench_kernels_plan plan = {.names = list, .begin = begin, .report = report, .context = told};
    *told = (struct told){0};
    return bench_kernels_run(&plan);
}

static void test_a_wrong_kernel_is_not_timed(void **state)
{
    struct told told;
    (void)state;
    assert_int_equal(run("mul_f32,add_f32", &told), EXIT_DONE);
    assert_true(told.begun == 1 && told.sane);
    assert_int_equal(*cases_of(&told, "add_f32"), 1);
    wrong_add = add_almost;
    assert_int_equal(run("mul_f32,add_f32", &told), EXIT_REFUSED);
    assert_int_equal(*cases_of(&told, "add_f32"), 0);
    assert_int_equal(*cases_of(&told, "mul_f32"), 1);
    assert_int_equal(*cases_of(&told, "gemm_f32"), 0);
    wrong_add = NULL;
}

/* Each has a case at least, on the strongest ISA here, and each case passes. */
static void test_every_kernel_is_timed(void **state)
{
    struct told told;
    (void)state;
    assert_int_equal(run("all", &told), EXIT_DONE);
    assert_true(told.sane);
    for (size_t i = 0; i < KERNELS; i++)
        assert_true(told.cases[i] >= 1);
}

static void test_unknown_names(void **state)
{
    static const char *const lists[] = {"",           "gemm",         "gemm_f32,", ",gemm_f32",
                                        "gemm_f32,x", "all,gemm_f32", "a",         "gemm_f32 "};
    struct told told;
    (void)state;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        assert_int_equal(run(lists[i], &told), EXIT_UNUSABLE);
        assert_int_equal(told.begun, 0);
    }
}

/* ---- rooflines ---- */

/* A machine of round numbers. */
static const struct bench_peaks round_peaks = {
    .fma = 100,
    .dot = 400,
    .exps = 10,
    .level = {{"L1", 1000, 80, 100}, {"L2", 10000, 50, 40}, {"L3", 100000, 20, 20}, {"DRAM", 0x1p62, 10, 8}}};

static void expect_roof(struct bench_work work, const struct bench_peaks *peaks, double seconds, const char *bound,
                        const char *level)
{
    const struct bench_roof roof = bench_roof(peaks, &work);
    assert_true(roof.seconds > seconds * (1 - 1e-12) && roof.seconds < seconds * (1 + 1e-12));
    assert_string_equal(roof.bound, bound);
    assert_string_equal(roof.level->name, level);
}

static void test_rooflines(void **state)
{
    (void)state;
    expect_roof((struct bench_work){.flops = 200, .bytes = 100, .set = 100}, &round_peaks, 2, "fma", "L1");
    expect_roof((struct bench_work){.flops = 200, .bytes = 400, .set = 1000}, &round_peaks, 4, "bytes", "L1");
    expect_roof((struct bench_work){.flops = 200, .exps = 50, .bytes = 100, .set = 100}, &round_peaks, 5, "exp", "L1");
    expect_roof((struct bench_work){.iops = 2400, .bytes = 100, .set = 100}, &round_peaks, 6, "dot", "L1");
    /* A tenth of the set is in the cache before. */
    expect_roof((struct bench_work){.bytes = 1000, .set = 10000}, &round_peaks, 1 + 18, "bytes", "L2");
    expect_roof((struct bench_work){.bytes = 1000, .set = 100000}, &round_peaks, 2 + 45, "bytes", "L3");
    struct bench_peaks without = round_peaks;
    without.dot = 0;
    expect_roof((struct bench_work){.flops = 100, .iops = 200, .bytes = 100, .set = 100}, &without, 3, "fma", "L1");
    const struct bench_roof serial =
        bench_roof(&round_peaks, &(struct bench_work){.flops = 100, .iops = 400, .exps = 30, .set = 1});
    assert_true(serial.serial > 4.999 && serial.serial < 5.001 && serial.seconds < 3.001);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wrong_kernel_is_not_timed),
        cmocka_unit_test(test_every_kernel_is_timed),
        cmocka_unit_test(test_unknown_names),
        cmocka_unit_test(test_rooflines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
