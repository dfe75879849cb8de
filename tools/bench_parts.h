/* The parts of the stages of models whose sequences are all of kind dmqn: what they do, in pieces, and how much work it
 * is. */
#ifndef TOOLS_BENCH_PARTS_H
#define TOOLS_BENCH_PARTS_H

#include "bench_inputs.h"
#include "bench_peaks.h"
#include "vqrank/vqrank.h"

enum bench_part_number {
    PART_GATHER_EVENTS,
    PART_ASSIGN,
    PART_ACCUMULATE,
    PART_MEANS,
    PART_HSTU,
    PART_KEYS_VALUES,
    PART_GATHER_CANDIDATES,
    PART_ATTENTION,
    PART_HEAD,
    PARTS
};

/* Milliseconds that parts took since the watch was cleared. */
struct bench_watch {
    double cost; /* of reading the clock once, which is taken off each lap */
    double last;
    double of[PARTS];
};

/* A watch that knows what its clock costs. */
struct bench_watch bench_watch_make(void);

/* Encodes events into a state that was just reset: vqr_append and vqr_refresh with a watch. `z` has room for a block of
 * the most codebooks. Errors: those of the two. */
enum vqr_status bench_parts_encode(vqr_session *s, vqr_state *state, const struct vqr_rows *events, uint32_t *z,
                                   struct bench_watch *watch, struct vqr_error *error);

/* vqr_score with a watch; outputs as there. */
enum vqr_status bench_parts_score(vqr_session *s, const vqr_state *state, const struct vqr_request *request,
                                  float *outputs, struct bench_watch *watch, struct vqr_error *error);

/* The work of one part on `rows` events or candidates, from the shapes in the model and the tokens in the state. False
 * where it is not known. */
bool bench_part_work(const vqr_model *model, const vqr_state *state, enum bench_part_number part, size_t rows,
                     struct bench_work *work);

#endif
