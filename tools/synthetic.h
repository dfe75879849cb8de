/* Random rows that fit a model's features, the same on every machine: something to measure with. */
#ifndef TOOLS_SYNTHETIC_H
#define TOOLS_SYNTHETIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/reader.h"
#include "vqrank/vqrank.h"

/* One feature's values, and what lists of them need. */
struct synthetic_column {
    void *values;
    uint64_t *offsets;
    struct vqr_lists lists;
};

struct synthetic {
    struct vqr_rows rows;
    struct vqr_column *columns;     /* [rows.column_count] */
    struct synthetic_column *owned; /* [rows.column_count] */
};

/* Fills *synthetic with `rows` rows of a group, in which nothing is absent or unknown: ids drawn evenly from all that
 * their table knows, 1 to 8 of them in a list; numbers of about the feature's mean and deviation; times a minute apart.
 * The header is of a file that the library opened. False when out of memory; synthetic_free in either case. */
bool synthetic_init(struct synthetic *synthetic, const struct vqr_header *header, enum vqr_group group, size_t rows,
                    uint64_t seed);

void synthetic_free(struct synthetic *synthetic);

/* 64 random bits; every seed gives a sequence of its own. */
uint64_t synthetic_draw(uint64_t *state);

#endif
