/* What is encoded and scored: random rows of each group, the same on every machine. */
#ifndef TOOLS_BENCH_INPUTS_H
#define TOOLS_BENCH_INPUTS_H

#include "synthetic.h"

struct bench_inputs {
    struct synthetic user, circumstances, events, candidates;
    size_t most; /* candidates that there are */
};

/* One user, one moment and `candidates` candidates; no events yet. False when out of memory; bench_inputs_free in
 * either case. */
bool bench_inputs_init(struct bench_inputs *inputs, const struct vqr_header *header, size_t candidates);

/* Other events, `count` of them. False when out of memory. */
bool bench_inputs_draw_events(struct bench_inputs *inputs, const struct vqr_header *header, size_t count);

void bench_inputs_free(struct bench_inputs *inputs);

/* The first `candidates` of the candidates. */
struct vqr_request bench_inputs_request(const struct bench_inputs *inputs, size_t candidates);

#endif
