/* Why a candidate scored as it did: the clusters of the user's history, or the last events, that target attention
 * looked at most, in words that a person knows. */
#ifndef TOOLS_EXPLAIN_H
#define TOOLS_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "names.h"
#include "scorer.h"

struct explain_style {
    size_t top;                /* clusters or events to show of each sequence, over all its codebooks */
    ptrdiff_t feature;         /* index in the event group of the id feature that tells events apart, -1: none */
    const struct names *names; /* of that feature's ids, or NULL */
};

/* What holds for all candidates of a request: which events fall where, and which of them are of the same kind. */
struct explanation {
    struct scorer *scorer;
    const struct explain_style *style;
    uint32_t **clusters;       /* [sequences], of each [codebooks][events]; NULL for sequences of last events */
    uint32_t *values;          /* [events] number of the event's id, UINT32_MAX where it has none */
    uint32_t *counts;          /* [value_count + 1], zero between uses */
    const struct vqr_id **ids; /* [value_count + 1] */
    size_t value_count;
    float *weights; /* of one candidate, room for any sequence */
};

/* Prepares for the scorer's last request, which was answered. False when out of memory; explanation_free in either
 * case. */
bool explanation_init(struct explanation *explanation, struct scorer *scorer, const struct explain_style *style);

/* Prints the lines that belong below candidate `row`; false when out of memory. */
bool explanation_print(FILE *out, struct explanation *explanation, size_t row);

void explanation_free(struct explanation *explanation);

#endif
