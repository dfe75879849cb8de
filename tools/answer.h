/* Answers every line of an input, on any number of threads: the same bytes for all of them. */
#ifndef TOOLS_ANSWER_H
#define TOOLS_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "vqrank/vqrank.h"

enum { ANSWER_THREADS_MAX = 256 };

struct answer_options {
    size_t threads;  /* 1 ... ANSWER_THREADS_MAX, each with a session and a state of its own */
    const char *isa; /* NULL: the best here */
    bool driven;     /* write each answer out at once */
};

struct answer_tally {
    unsigned long long requests, refused;
    struct vqr_stats stats;
    const char *isa; /* in use */
};

/* Reads requests from `descriptor`, which `input` names in messages, and writes one answer a line to `out` in the same
 * order. Memory: a line and an answer a thread, and a bounded number of answers that wait for their turn. Returns the
 * exit status, after a complaint if it is EXIT_UNUSABLE; a failure to write is left to close_output. */
int answer_all(const vqr_model *model, int descriptor, const char *input, FILE *out,
               const struct answer_options *options, struct answer_tally *tally);

#endif
