/* Which candidates a person knows to be right, per request: lines {"id": request id, "relevant": [ids]}. */
#ifndef TOOLS_RELEVANCE_H
#define TOOLS_RELEVANCE_H

#include <jansson.h>
#include <stdbool.h>

#include "refusal.h"
#include "vqrank/vqrank.h"

struct relevance {
    json_t *lists; /* object: key of the request id -> array of ids */
};

/* Loads a file; false with a message in *refusal. relevance_free in either case. */
bool relevance_load(struct relevance *relevance, const char *path, struct refusal *refusal);

/* The relevant ids of a request, NULL when the file says nothing about it. */
const json_t *relevance_find(const struct relevance *relevance, const json_t *request_id);

/* Is `id` the JSON value `relevant`? An integer and a string never are the same id. */
bool relevance_equal(const json_t *relevant, const struct vqr_id *id);

void relevance_free(struct relevance *relevance);

#endif
