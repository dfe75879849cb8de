/* Times: taken, kept and summed up. */
#ifndef TOOLS_BENCH_SAMPLES_H
#define TOOLS_BENCH_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>

enum { BENCH_REPEATS_MIN = 5, BENCH_REPEATS_MAX = 100000 };

struct bench_samples {
    double *of; /* [BENCH_REPEATS_MAX] milliseconds */
    size_t count;
    double total;
};

/* Milliseconds: the fastest, the quartiles. */
struct bench_quartiles {
    size_t repeats;
    double least, lower, median, upper;
};

/* Processor time of this thread, in milliseconds: encoding and scoring never wait, so on an idle machine that is what a
 * clock shows, and on a busy one the other processes' turns do not count. */
double bench_milliseconds(void);

/* A clock on the wall. */
double bench_wall_milliseconds(void);

/* Room for samples; false when out of memory. bench_samples_free in either case. */
bool bench_samples_take(struct bench_samples *samples);
void bench_samples_free(struct bench_samples *samples);

void bench_samples_add(struct bench_samples *samples, double sample);

/* Whether `repeats` samples of `total` milliseconds are what `seconds` asks for. */
bool bench_is_enough(size_t repeats, double total, double seconds);

/* Sums up the samples, of which there is at least one, and forgets them. */
struct bench_quartiles bench_samples_sum_up(struct bench_samples *samples);

#endif
