/* Are a model's codebooks any good? How evenly events fall over the clusters, whether codewords repeat each other, and
 * whether target attention tells candidates apart: what `vqrank inspect --codebooks` shows. */
#ifndef TOOLS_CODEBOOKS_H
#define TOOLS_CODEBOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "refusal.h"
#include "schema/reader.h"
#include "scorer.h"

enum {
    CODEBOOK_PAIRS = 5,     /* closest pairs kept */
    CODEBOOK_WARNINGS = 4,  /* at most, for one codebook */
    CODEBOOK_WARNING = 160, /* bytes of one */
};

struct codebook_pair {
    size_t a, b; /* clusters, a < b */
    double cosine;
};

struct codebook {
    const char *sequence;
    size_t sequence_index, number; /* codebook `number` of sequence `sequence_index` */
    size_t codewords;

    /* From the file: how alike the columns are whose products with an event choose its cluster. */
    struct codebook_pair pairs[CODEBOOK_PAIRS]; /* closest first */
    size_t pair_count;
    size_t compared_codewords; /* the first ones, each with each: fewer than all where that would take too long */
    double *nearest_cosine;    /* [compared_codewords] of each with the one most like it */

    /* From requests. */
    uint64_t *events;          /* [codewords] of all users together */
    uint64_t candidates;       /* of users with events */
    double largest_weight_sum; /* over them, of each one's largest weight */
    uint64_t compared, usual;  /* candidates beside others of their user; those whose heaviest cluster is their user's
                                  most common heaviest cluster */
};

struct codebooks {
    struct codebook *list; /* [count] */
    size_t count;
    uint64_t requests, events; /* that went in; 0 requests: only what the file tells */
    uint64_t candidates;
};

/* What `events` of a codebook come to. */
struct codebook_use {
    uint64_t total, least, most;
    double median;
    size_t used;       /* codewords with events */
    double perplexity; /* exp of the entropy, in nats, of how all users' events fall over the codewords */
};

/* Fills *codebooks from a model's file; false when out of memory. codebooks_free in either case. */
bool codebooks_init(struct codebooks *codebooks, const struct vqr_header *header);

/* What an event, with a 1 after its numbers where there is an offset, is multiplied with to choose its cluster. */
struct codebook_columns {
    const float *panels; /* of [width, codewords] (schema/model.fbs); NULL if it is int8: */
    const int8_t *quads; /* likewise, in steps of scale[codewords]; NULL: nothing to compare */
    const float *scale;
    const uint32_t *kept_column; /* [kept] numbers of an event that an int8 fold keeps in fp32: */
    const float *kept_panels;    /* of [kept, codewords] */
    size_t kept;
    const float *offset; /* [codewords], or NULL: none */
    size_t width;
};

/* Fills the pairs and nearest cosines of a codebook from its columns, within that many products of two numbers;
 * nearest_cosine has room for all codewords. False when out of memory. */
bool codebook_compare(struct codebook *codebook, const struct codebook_columns *columns, double products);

/* Adds the scorer's last request, which was answered; false with the reason in *refusal, and nothing added. */
bool codebooks_add(struct codebooks *codebooks, struct scorer *scorer, struct refusal *refusal);

/* False when out of memory. */
bool codebook_use(const struct codebook *codebook, struct codebook_use *use);

/* What is wrong with a codebook, in words; returns how many there are. */
size_t codebook_warn(const struct codebook *codebook, const struct codebook_use *use,
                     char warnings[CODEBOOK_WARNINGS][CODEBOOK_WARNING]);

void codebooks_free(struct codebooks *codebooks);

#endif
