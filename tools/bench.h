/* Times the library's stages on one thread, with random histories and candidates. */
#ifndef TOOLS_BENCH_H
#define TOOLS_BENCH_H

#include <stdbool.h>
#include <stddef.h>

#include "bench_samples.h"
#include "schema/reader.h"
#include "vqrank/vqrank.h"

enum { BENCH_SIZES_MAX = 16 };

struct bench_sizes {
    size_t count, of[BENCH_SIZES_MAX];
};

/* The largest, 0 of none. */
size_t bench_most(const struct bench_sizes *sizes);

/* What to measure: encoding (its two stages in turn) and scoring for `seconds` each, at least BENCH_REPEATS_MIN times.
 */
struct bench_plan {
    struct bench_sizes events, candidates;
    double seconds;
};

/* One stage: "append" (events into sums), "refresh" (sums into interests) or "score". */
struct bench_result {
    const char *stage;
    size_t events, candidates; /* candidates 0: the stage has none */
    struct bench_quartiles time;
};

/* Measures everything in the plan and hands each result to `report`. False after a complaint. */
bool bench_run(const vqr_model *model, const struct vqr_header *header, vqr_session *session,
               const struct bench_plan *plan, void (*report)(const struct bench_result *result, void *context),
               void *context);

#endif
