/* Answers of `score` and, later, of the server: one line of JSON each, flushed by the caller. */
#ifndef TOOLS_RESPONSE_H
#define TOOLS_RESPONSE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "refusal.h"

/* What a model answers with. Borrowed names. */
struct response_outputs {
    const char *const *names; /* [count] */
    size_t count;
};

/* {"id": "r1", "outputs": {"ctr": [0.0711999983]}} for scores [candidates][outputs->count]. */
void response_scores(FILE *out, const json_t *id, const struct response_outputs *outputs, const float *scores,
                     size_t candidates);

/* {"id": "r1", "error": {"code": "...", "message": "..."}}; without an id, the message says which line it was. */
void response_refusal(FILE *out, const json_t *id, uint64_t line, const struct refusal *refusal);

#endif
