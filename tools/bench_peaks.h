/* What this machine does at most with one instruction set, measured, and what that leaves of a computation's time: its
 * roofline. */
#ifndef TOOLS_BENCH_PEAKS_H
#define TOOLS_BENCH_PEAKS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "simd/simd.h"

/* What a computation does, counted from shapes. */
struct bench_work {
    double flops; /* floating-point operations; a fused multiply-add is two */
    double iops;  /* of int8 products, likewise */
    double exps;  /* exponentials, which count as no flops */
    double bytes; /* read or written, once for each time that the computation comes back to them */
    double set;   /* different bytes among them: what a cache must hold */
};

enum { BENCH_LEVELS = 4 };

struct bench_level {
    const char *name; /* "L1", "L2", "L3", "DRAM" */
    double holds;     /* bytes */
    double read;      /* bytes a second, of reading alone */
    double mixed;     /* of two arrays read and one written, by the kernel mul_f32 */
};

struct bench_peaks {
    double fma;  /* flops a second */
    double dot;  /* int8 operations a second; 0: the ISA has no instruction for sums of products */
    double exps; /* a second, by the kernel exp_f32 */
    struct bench_level level[BENCH_LEVELS];
};

/* Measures, some tenths of a second; the best of several runs each, for a peak is no average. `isa` is a name of this
 * build's, `k` its kernels. False when out of memory. */
bool bench_peaks_measure(struct bench_peaks *peaks, const char *isa, const struct vqr_kernels *k);

/* The time that the slowest of flops, int8 operations, exponentials and bytes takes alone at its peak. Bytes of a set
 * that a cache does not hold come from it as far as it goes, and from the next one beyond that. */
struct bench_roof {
    double seconds;
    double
        serial; /* that flops, int8 operations and exponentials take one after another: the same units do all three */
    const char *bound;               /* "fma", "dot", "exp" or "bytes"; "none" of no work */
    const struct bench_level *level; /* the fastest that holds the set */
};

/* Bytes go at the larger of a level's two rates. int8 operations of an ISA without a peak for them are held against its
 * fused multiply-adds. */
struct bench_roof bench_roof(const struct bench_peaks *peaks, const struct bench_work *work);

/* Peaks for people and for programs, in billions a second. */
json_t *bench_peaks_json(const struct bench_peaks *peaks);
void bench_peaks_print(const struct bench_peaks *peaks);

/* Adds to `object` the work, the rates at which `seconds` do it and the share of the roofline. */
void bench_work_json(json_t *object, const struct bench_peaks *peaks, const struct bench_work *work, double seconds);

#endif
