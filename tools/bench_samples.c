#include "bench_samples.h"

#include <stdlib.h>
#include <time.h>

static double read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

double bench_milliseconds(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}

double bench_wall_milliseconds(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

bool bench_samples_take(struct bench_samples *samples)
{
    *samples = (struct bench_samples){.of = calloc(BENCH_REPEATS_MAX, sizeof *samples->of)};
    return samples->of != NULL;
}

void bench_samples_free(struct bench_samples *samples)
{
    free(samples->of);
    *samples = (struct bench_samples){NULL, 0, 0};
}

void bench_samples_add(struct bench_samples *samples, double sample)
{
    if (samples->count == BENCH_REPEATS_MAX)
        return;
    samples->of[samples->count++] = sample;
    samples->total += sample;
}

bool bench_is_enough(size_t repeats, double total, double seconds)
{
    return repeats == BENCH_REPEATS_MAX || (repeats >= BENCH_REPEATS_MIN && total >= 1e3 * seconds);
}

static int compare_samples(const void *left, const void *right)
{
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* The value below which a part `share` of the sorted samples lies, between two of them in proportion. */
static double quantile(const struct bench_samples *samples, double share)
{
    const double place = share * (double)(samples->count - 1);
    const size_t low = (size_t)place, high = low + 1 < samples->count ? low + 1 : low;
    return samples->of[low] + (place - (double)low) * (samples->of[high] - samples->of[low]);
}

struct bench_quartiles bench_samples_sum_up(struct bench_samples *samples)
{
    qsort(samples->of, samples->count, sizeof *samples->of, compare_samples);
    const struct bench_quartiles quartiles = {.repeats = samples->count,
                                              .least = samples->of[0],
                                              .lower = quantile(samples, 0.25),
                                              .median = quantile(samples, 0.5),
                                              .upper = quantile(samples, 0.75)};
    samples->count = 0;
    samples->total = 0;
    return quartiles;
}
