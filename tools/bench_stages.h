/* Times the parts of each stage and holds them against their rooflines.
 *
 * The library has no clocks, and its stages no seams outside: the parts are timed by doing what encode.c, dmqn.c and
 * score.c do, with the library's own functions in the same order and blocks, and a clock between them. Before anything
 * is timed, scores made this way must have the bits of the public functions', whose time stands beside the parts'. */
#ifndef TOOLS_BENCH_STAGES_H
#define TOOLS_BENCH_STAGES_H

#include "bench.h"
#include "bench_peaks.h"

struct bench_part {
    const char *stage, *part;  /* "append", "assign"; part "all" is the public function */
    size_t events, candidates; /* candidates 0: the stage has none */
    struct bench_quartiles time;
    bool counted;           /* whether the work is known */
    struct bench_work work; /* of part "all" the sum of the parts' */
    double roofline;        /* milliseconds; of part "all" the sum of the parts' */
    double serial;          /* the same of bench_roof's serial */
    const char *bound;      /* what the roofline is of; "parts" of part "all" */
    double parts;           /* of part "all": the sum of the parts' medians, milliseconds */
};

struct bench_stages_plan {
    const struct bench_plan *plan;
    void (*begin)(const struct bench_peaks *peaks, void *context); /* before the first result, once all is checked */
    void (*report)(const struct bench_part *part, const struct bench_peaks *peaks, void *context);
    /* After the parts of refresh: one event appended to a state of `events` and its interests refreshed, by the public
     * functions; and the least that this needs, parts HSTU and keys and values of the same, in milliseconds. */
    void (*report_one)(size_t events, const struct bench_quartiles *time, double needed, void *context);
    void *context;
};

/* Events that are appended to a state beside those of the plan. */
enum { BENCH_STAGES_MORE = 2 };

/* False after a complaint: a model that has sequences of another kind than dmqn, among others. */
bool bench_stages_run(const vqr_model *model, const struct vqr_header *header, vqr_session *session,
                      const struct bench_stages_plan *plan);

#endif
