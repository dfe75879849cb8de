/* Why a candidate scored as it did: the clusters of the user's history, or the last events, that target attention
 * weighed most, in words that a person knows. */
#ifndef TOOLS_EXPLAIN_H
#define TOOLS_EXPLAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "names.h"
#include "refusal.h"
#include "scorer.h"

/* One way to call events: an id feature that they have. */
struct explain_feature {
    size_t index;              /* in the event group */
    const struct names *names; /* of its ids, or NULL */
};

struct explain_style {
    size_t top; /* clusters or events to show of each sequence, over all its codebooks */
    /* From fine to coarse: a cluster is named by the first of which one value makes up a good part of its events, else
     * by the last. None: clusters go without names. */
    const struct explain_feature *features; /* [feature_count] */
    size_t feature_count;
};

/* The distinct ids that one feature takes in a history. */
struct explain_values {
    uint32_t *of; /* [events] number of the event's id, UINT32_MAX where it has none */
    size_t count;
    const struct vqr_id **ids; /* [count] */
    uint32_t *frequency;       /* [count + 1] in one cluster, counted anew for each; [count] stays 0 */
};

/* What holds for all candidates of a request: which events fall where, and which of them are of the same kind. */
struct explanation {
    struct scorer *scorer;
    const struct explain_style *style;
    uint32_t **clusters;           /* [sequences], of each [codebooks][events]; NULL for sequences of last events */
    struct explain_values *values; /* [feature_count] */
    float *weights;                /* of one candidate, room for any sequence */
};

/* Prepares for the scorer's last request, which was answered; false with the reason in *refusal. explanation_free in
 * either case. */
bool explanation_init(struct explanation *explanation, struct scorer *scorer, const struct explain_style *style,
                      struct refusal *refusal);

/* Prints the lines that belong below candidate `row`; false with the reason in *refusal. */
bool explanation_print(FILE *out, struct explanation *explanation, size_t row, struct refusal *refusal);

void explanation_free(struct explanation *explanation);

/* The clusters of the events of the scorer's last request in one sequence, as vqr_assign gives them; and the weights of
 * one of its candidates, as vqr_explain gives them. False with the reason in *refusal. */
bool explain_clusters(struct scorer *scorer, size_t sequence, uint32_t *clusters, struct refusal *refusal);
bool explain_row(struct scorer *scorer, size_t sequence, size_t row, float *weights, struct refusal *refusal);

/* The weight furthest from 0 (an attention network may give negative ones), of equal ones the first. */
size_t explain_heaviest(const float *weights, size_t count);

#endif
