/* What `vqrank bench` prints: tables as results come, or one JSON object at the end. */
#ifndef TOOLS_BENCH_REPORT_H
#define TOOLS_BENCH_REPORT_H

#include <jansson.h>

#include "bench.h"
#include "bench_kernels.h"
#include "vqrank/vqrank.h"

/* The members that every object begins with: model (NULL: none), version, compiler, isa, seconds. */
json_t *bench_report_root(const vqr_model *model, const char *isa, double seconds);

/* Sets members of `object`: repeats, median_UNIT and so on, `scale` units being a millisecond. */
void bench_report_time(json_t *object, const struct bench_quartiles *time, const char *unit, double scale);

/* Prints and frees the object. Returns an exit status. */
int bench_report_finish(json_t *root);

enum bench_mode { BENCH_WHOLE, BENCH_STAGES, BENCH_THREADS };

/* vqrank bench MODEL, as it is, with --stages or with --threads N. Returns an exit status. */
int bench_report_model(const vqr_model *model, vqr_session *session, const struct bench_plan *plan,
                       enum bench_mode mode, size_t threads, bool json);

/* vqrank bench --kernels. Returns an exit status. */
int bench_report_kernels(const char *names, const char *isa, double seconds, bool json);

#endif
