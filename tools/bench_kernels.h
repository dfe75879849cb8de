/* Times kernels one by one, at the shapes of the standard workloads. A kernel is timed only if it has just given the
 * bits of the reference on the very inputs that are timed.
 *
 * Every kernel of kernels.def has a bench_<name>() that states its cases; a missing one does not link. A case draws its
 * inputs from here, which are given back after it, and hands them to bench_case. */
#ifndef TOOLS_BENCH_KERNELS_H
#define TOOLS_BENCH_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench_peaks.h"
#include "bench_samples.h"
#include "simd/simd.h"

struct bench_kernels;

/* What one call is made of; each kernel uses what it needs. */
struct bench_args {
    size_t rows, k, n;          /* rows; what is summed over; outputs */
    const void *a, *b, *c, *d;  /* inputs */
    void *out, *more, *scratch; /* outputs; `more` lies inside the bytes of `out` */
    size_t out_bytes;           /* what must be the reference's */
};

typedef void bench_run_fn(const struct vqr_kernels *k, const struct bench_args *args);

/* static void run_<name>: the call itself, with `a` for the arguments. */
#define BENCH_RUN(name, ...)                                                              \
    static void run_##name(const struct vqr_kernels *kernels, const struct bench_args *a) \
    {                                                                                     \
        (void)kernels->name(__VA_ARGS__);                                                 \
    }

/* Checks one case against the reference and times it. The text says its shape. */
void bench_case(struct bench_kernels *bench, bench_run_fn *run, const struct bench_args *args,
                const struct bench_work *work, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* ---- inputs, until the case is over: NULL where memory or an earlier case failed ---- */

float *bench_floats(struct bench_kernels *bench, size_t n, float low, float high);
double *bench_doubles(struct bench_kernels *bench, size_t n, double low, double high);
int8_t *bench_int8(struct bench_kernels *bench, size_t n);
uint32_t *bench_numbers(struct bench_kernels *bench, size_t n, uint32_t low, uint32_t below);
void *bench_room(struct bench_kernels *bench, size_t bytes); /* zeros */

#define VQR_KERNEL(name, ret, params) void bench_##name(struct bench_kernels *bench);
#include "simd/kernels.def"
#undef VQR_KERNEL

/* ---- for the command ---- */

struct bench_kernel_result {
    const char *kernel, *isa; /* the ISA whose text ran: the one asked for, or one that it inherits from */
    const char *shape;
    struct bench_work work;      /* of a call */
    struct bench_quartiles time; /* of a call */
};

struct bench_kernels_plan {
    const char *isa;   /* the strongest to use; NULL: the best here */
    const char *names; /* "gemm_f32,exp_f32"; "all" */
    double seconds;    /* to measure each case for, at least BENCH_REPEATS_MIN times */
    void (*begin)(const char *isa, const struct bench_peaks *peaks, void *context); /* before the first result */
    void (*report)(const struct bench_kernel_result *result, const struct bench_peaks *peaks, void *context);
    void *context;
};

/* Measures the peaks, then the kernels. Returns an exit status, after a complaint if it is not EXIT_DONE: EXIT_REFUSED
 * where a kernel differed from the reference. */
int bench_kernels_run(const struct bench_kernels_plan *plan);

#endif
