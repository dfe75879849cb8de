/* One request, a line of JSON -> arrays for the library (docs/command.md). The only place where JSON meets arrays.
 *
 * Needs no model: a description of the features is enough. */
#ifndef TOOLS_REQUEST_H
#define TOOLS_REQUEST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "document.h"
#include "refusal.h"
#include "vqrank/vqrank.h"

/* The features that each group of a request may name. Borrowed: must outlive every request that is read by it. */
struct request_schema {
    const struct vqr_feature *features[VQR_GROUPS]; /* [group][count[group]] */
    size_t count[VQR_GROUPS];
};

/* Buffers of one feature, kept from request to request. */
struct request_buffer {
    void *values;     /* [capacity] of the type that the feature's kind takes */
    uint8_t *present; /* [capacity] */
    size_t filled;    /* rows that have a value */

    /* Lists of ids only: `values` holds their ids one after another. */
    uint64_t *offsets;       /* [capacity + 1], those of the first `listed` rows are set */
    size_t listed;           /* rows */
    size_t ids, id_capacity; /* in `values` */
    struct vqr_lists lists;  /* what the column points to */
};

struct request_group {
    struct request_buffer *buffers; /* [count of the group] */
    struct vqr_column *columns;     /* [count of the group] */
    size_t capacity;                /* rows */
};

struct request {
    const struct request_schema *schema;
    struct request_group groups[VQR_GROUPS];
    struct document document; /* keeps alive the strings that `events` and `score` point to */

    /* What the last request_read found; valid until the next. */
    const json_t *id; /* a string or an integer, or NULL when the line has none that is usable, refused or not */
    bool has_time;
    int64_t time; /* unix seconds */
    struct vqr_rows events;
    struct vqr_request score;
};

/* Makes an empty request; false when out of memory. request_free is allowed in either case. */
bool request_init(struct request *request, const struct request_schema *schema);

/* Reads one line, which it may overwrite. On failure only `id` is valid, and *refusal says why. */
bool request_read(struct request *request, char *line, size_t length, struct refusal *refusal);

void request_free(struct request *request);

#endif
