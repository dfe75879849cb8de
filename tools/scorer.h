/* A model, one session and one state, and the way from a line of JSON to scores, for every command that scores. */
#ifndef TOOLS_SCORER_H
#define TOOLS_SCORER_H

#include <stdbool.h>
#include <stddef.h>

#include "request.h"
#include "response.h"
#include "vqrank/vqrank.h"

struct scorer {
    const vqr_model *model; /* borrowed */
    vqr_session *session;
    vqr_state *state;
    struct vqr_feature *features[VQR_GROUPS];
    struct request_schema schema;
    const char **output_names;
    struct response_outputs outputs;
    struct vqr_stats stats; /* over all requests */

    /* The last request. */
    struct request request;
    float *scores; /* [request.score.candidates.rows][outputs.count] */
    size_t score_capacity;
    double encode_seconds, score_seconds;
};

/* Opens a model; NULL after a complaint. The caller closes it. */
vqr_model *scorer_open_model(const char *path);

/* False after a complaint. scorer_free in either case. */
bool scorer_init(struct scorer *scorer, const vqr_model *model, const char *isa);

/* Answers one line, which it may overwrite. On failure *refusal says why, and scorer->request.id is the id if any. */
bool scorer_run(struct scorer *scorer, char *line, size_t length, struct refusal *refusal);

/* Fills *refusal with what the library refused, in its words; returns false. */
bool refuse_library(struct refusal *refusal, enum vqr_status status, const struct vqr_error *error);

void scorer_free(struct scorer *scorer);

#endif
