/* Names of ids, for people: a CSV file with the header `id,name`. Fields may be quoted, with quotes inside doubled;
 * further columns are ignored. */
#ifndef TOOLS_NAMES_H
#define TOOLS_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "refusal.h"
#include "vqrank/vqrank.h"

struct name_entry {
    const char *id; /* as written: the integer 5 and the string "5" are both 5 here */
    const char *name;
};

struct names {
    char *text;
    struct name_entry *entries; /* [count], ascending by id */
    size_t count;
};

/* Loads a file; false with a message in *refusal. names_free in either case. */
bool names_load(struct names *names, const char *path, struct refusal *refusal);

/* The name of an id, or NULL. */
const char *names_find(const struct names *names, const struct vqr_id *id);

void names_free(struct names *names);

#endif
