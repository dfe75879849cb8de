/* The ranking of one request as a table that a person reads. */
#ifndef TOOLS_RANK_TABLE_H
#define TOOLS_RANK_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "explain.h"
#include "names.h"
#include "relevance.h"
#include "scorer.h"

/* Names of one candidate feature. */
struct rank_names {
    size_t feature; /* index in the candidate group */
    struct names names;
};

struct rank_style {
    size_t top;                     /* rows to show */
    size_t output;                  /* index of the output to rank by */
    const struct rank_names *names; /* [name_count]; none: candidates show the values of their features */
    size_t name_count;
    const struct relevance *relevance; /* NULL: no marks */
    ptrdiff_t relevant_feature;        /* index in the candidate group of the feature whose ids `relevance` lists */
    struct explain_style explain;      /* top 0: no explanations */
    bool terminal;                     /* bold and colour */
};

/* Prints the scorer's last request; false with the reason in *refusal, after what could be printed. */
bool rank_table_print(FILE *out, struct scorer *scorer, const struct rank_style *style, struct refusal *refusal);

#endif
