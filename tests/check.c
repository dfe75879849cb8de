#include "check.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check_support.h"
#include "simd/cpu.h"

/* A kernel as the harness sees it: is it in this table, and does it pass. */
struct check {
    const char *name;
    bool (*present)(const struct vqr_kernels *k);
    bool (*run)(const struct vqr_kernels *ref, const struct vqr_kernels *k);
};

#define VQR_KERNEL(name, ret, params)                                                  \
    static bool present_##name(const struct vqr_kernels *k)                            \
    {                                                                                  \
        return k->name != NULL;                                                        \
    }                                                                                  \
    static bool run_##name(const struct vqr_kernels *ref, const struct vqr_kernels *k) \
    {                                                                                  \
        return check_##name(ref->name, k->name);                                       \
    }
#include "simd/kernels.def"
#undef VQR_KERNEL

static const struct check checks[] = {
#define VQR_KERNEL(name, ret, params) {#name, present_##name, run_##name},
#include "simd/kernels.def"
#undef VQR_KERNEL
};

/* Checks of the reference itself; the second table is not looked at. */
#define REFERENCE_CHECK(part)                                                                     \
    static bool reference_##part(const struct vqr_kernels *ref, const struct vqr_kernels *unused) \
    {                                                                                             \
        (void)unused;                                                                             \
        return check_reference_##part(ref);                                                       \
    }
REFERENCE_CHECK(sums)
REFERENCE_CHECK(cases)
REFERENCE_CHECK(functions)
REFERENCE_CHECK(baselines)
REFERENCE_CHECK(top)
REFERENCE_CHECK(int8)

static const struct check reference_checks[] = {
    {"reference_sums", NULL, reference_sums},
    {"reference_cases", NULL, reference_cases},
    {"reference_top", NULL, reference_top},
    {"reference_int8", NULL, reference_int8},
    {"reference_functions", NULL, reference_functions},
    {"reference_baselines", NULL, reference_baselines},
};

static sigjmp_buf crash_point;

static void crashed(int signal_number)
{
    siglongjmp(crash_point, signal_number);
}

static void catch_crashes(void)
{
    const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    struct sigaction action = {.sa_handler = crashed};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &action, NULL);
}

/* One placement of the buffers. A crash fails the check and no more. */
static bool run_placement(const char *isa, const struct check *check, bool at_start, const struct vqr_kernels *ref,
                          const struct vqr_kernels *k)
{
    check_begin(isa, check->name, at_start);
    const int signal_number = sigsetjmp(crash_point, 1);
    if (signal_number)
        return check_that(false, "signal %d (%s)", signal_number,
                          signal_number == SIGILL ? "an instruction this processor lacks"
                                                  : "a read or write outside the buffers, or a trap");
    return check->run(ref, k);
}

static bool run(const char *isa, const struct check *check, const struct vqr_kernels *ref, const struct vqr_kernels *k)
{
    const clock_t start = clock();
    const bool ok = run_placement(isa, check, false, ref, k) && run_placement(isa, check, true, ref, k);
    printf("  %-26s %-6s %7lu cases %7.2f s\n", check->name, ok ? "ok" : "FAILED", check_cases(),
           (double)(clock() - start) / CLOCKS_PER_SEC);
    fflush(stdout);
    return ok;
}

static int run_isa(const struct vqr_isa *isa, const char *kernel)
{
    int failed = 0;
    const struct vqr_kernels *ref = &vqr_isas[0]->k;
    printf("%s\n", isa->name);
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (checks[i].present(&isa->k) && (!kernel || strcmp(kernel, checks[i].name) == 0))
            failed += !run(isa->name, &checks[i], ref, &isa->k);
    if (isa == vqr_isas[0])
        for (size_t i = 0; i < sizeof reference_checks / sizeof *reference_checks; i++)
            if (!kernel || strcmp(kernel, reference_checks[i].name) == 0)
                failed += !run(isa->name, &reference_checks[i], ref, &isa->k);
    return failed;
}

static bool known_kernel(const char *name)
{
    for (size_t i = 0; i < sizeof checks / sizeof *checks; i++)
        if (strcmp(name, checks[i].name) == 0)
            return true;
    for (size_t i = 0; i < sizeof reference_checks / sizeof *reference_checks; i++)
        if (strcmp(name, reference_checks[i].name) == 0)
            return true;
    return false;
}

static bool known_isa(const char *name)
{
    for (size_t i = 0; i < vqr_isa_count; i++)
        if (strcmp(name, vqr_isas[i]->name) == 0)
            return true;
    return false;
}

static int usage(const char *problem, const char *what)
{
    fprintf(stderr, "check_kernels: %s%s\nusage: check_kernels [--quick] [--seed N] [--isa NAME] [KERNEL]\n", problem,
            what);
    return 2;
}

int main(int argc, char **argv)
{
    const char *kernel = NULL, *only_isa = NULL;
    unsigned long long seed = 1;
    for (int i = 1; i < argc; i++) {
        const bool has_value = i + 1 < argc;
        if (strcmp(argv[i], "--quick") == 0) {
            check_quick = true;
        } else if (strcmp(argv[i], "--seed") == 0 && has_value) {
            char *end;
            errno = 0;
            seed = strtoull(argv[++i], &end, 0);
            if (errno || *end || end == argv[i])
                return usage("not a seed: ", argv[i]);
        } else if (strcmp(argv[i], "--isa") == 0 && has_value) {
            only_isa = argv[++i];
        } else if (argv[i][0] != '-' && !kernel) {
            kernel = argv[i];
        } else {
            return usage("unknown or incomplete option: ", argv[i]);
        }
    }
    if (kernel && !known_kernel(kernel))
        return usage("no such kernel: ", kernel);
    if (only_isa && !known_isa(only_isa))
        return usage("no such ISA in this build: ", only_isa);

    catch_crashes();
    check_seed(seed);
    printf("seed %llu%s\n", seed, check_quick ? ", quick" : "");
    const uint32_t features = vqr_cpu_features();
    int failed = 0;
    for (size_t i = 0; i < vqr_isa_count; i++) {
        const struct vqr_isa *isa = vqr_isas[i];
        if (only_isa && strcmp(only_isa, isa->name) != 0)
            continue;
        if (vqr_isa_usable(isa, features))
            failed += run_isa(isa, kernel);
        else
            printf("%s: not run: this processor lacks %s\n", isa->name, isa->wants);
    }
    if (failed)
        printf("%d FAILED\n", failed);
    return failed != 0;
}
