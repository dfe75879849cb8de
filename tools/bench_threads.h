/* Encodes a batch of histories with one thread and with several, in turn, on the wall's clock. Each thread has a
 * session and a state of its own, and histories of its own; the model is shared. */
#ifndef TOOLS_BENCH_THREADS_H
#define TOOLS_BENCH_THREADS_H

#include "bench.h"

enum { BENCH_THREADS_MAX = 64 };

struct bench_batch {
    size_t threads, events, histories; /* of a batch */
    struct bench_quartiles one, many;  /* milliseconds that a batch takes one thread, and all */
    struct bench_quartiles ratio;      /* of the two, round by round: how many times faster all are */
    double one_cpu, many_cpu;          /* milliseconds of processor time a history, medians */
};

/* For each of the plan's lengths of history, rounds of short batches until one thread has worked for plan->seconds.
 * False after a complaint. */
bool bench_threads_run(const vqr_model *model, const struct vqr_header *header, const char *isa, size_t threads,
                       const struct bench_plan *plan, void (*report)(const struct bench_batch *batch, void *context),
                       void *context);

#endif
