/* One line of text -> one JSON value. Everything that the JSON library refuses gets its code here: `json`, `duplicate`,
 * `range`, `memory`. */
#ifndef TOOLS_DOCUMENT_H
#define TOOLS_DOCUMENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "refusal.h"

struct document {
    json_t *root;  /* NULL when the line is not JSON; after a `duplicate` it is there, so that an id can be read */
    bool overflow; /* some number in the line fits neither int64 nor double: see document_is_overflow */
};

/* Parses `length` bytes, which it may overwrite. The caller frees *document in every case. */
bool document_parse(struct document *document, char *line, size_t length, struct refusal *refusal);

/* Is `value` the place of a number that did not fit? Such a document must be refused with `range`; it is handed out so
 * that the key can be named and the id be answered. */
bool document_is_overflow(const struct document *document, const json_t *value);

/* "an object", "a string", ...: what a message calls the type of `value`. */
const char *document_type_name(const json_t *value);

void document_free(struct document *document);

#endif
