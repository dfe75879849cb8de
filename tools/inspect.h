/* What `vqrank inspect` gathers, and its two ways of saying it. */
#ifndef TOOLS_INSPECT_H
#define TOOLS_INSPECT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "codebooks.h"
#include "schema/reader.h"
#include "vqrank/vqrank.h"

struct inspection {
    const vqr_model *model;
    struct vqr_header header;
    struct vqr_header_info info;
    enum vqr_status verified;          /* what vqr_model_verify said */
    struct vqr_error error;            /* its message unless VQR_OK */
    const struct codebooks *codebooks; /* NULL: not asked for */
};

/* For people; where codebooks were asked for, they take the place of the rest. False when out of memory. */
bool inspect_print_text(FILE *out, const struct inspection *inspection);

/* One JSON object; its keys are listed in docs/command.md. False when out of memory. */
bool inspect_print_json(FILE *out, const struct inspection *inspection);

/* The words of the training checkpoint's configuration for the schema's enums; "unknown" outside. */
enum inspect_words {
    WORDS_IDS,
    WORDS_KIND,
    WORDS_ACTIVATE,
    WORDS_ALPHA,
    WORDS_BIAS,
    WORDS_NORMALIZE,
    WORDS_NORM,
    WORDS_OUTPUT,
    WORDS_EMPTY,
    WORDS_ACTIVATION,
    WORDS_LAYOUT,
    WORDS_SCORES,
    WORDS_KEPT,
    WORDS_POOL,
    WORDS_COMBINE,
    WORDS_QUANTIZER,
    WORDS_COUNT
};
const char *inspect_word(enum inspect_words words, int value);

/* Whether the rows of a table are int8. */
bool inspect_table_is_int8(const struct vqr_header *header, const char *table);

/* Names of the feature groups, in the order of enum vqr_group. */
extern const char *const inspect_groups[VQR_GROUPS];

/* The start of a line: "tables" before the first item of a section, "" before the others. */
void inspect_print_label(FILE *out, const char *label);

/* The two ways of saying quantizers and what features of kind semantic_id have beyond others: " by quantizer content,
 * concat of rows in tables c0, c1", or keys added to a feature's object. */
void inspect_print_quantizers(FILE *out, const struct inspection *inspection);
void inspect_print_semantic_id(FILE *out, const struct inspection *inspection, size_t group, size_t i);
json_t *inspect_describe_quantizer(const struct vqr_header *header, size_t i);
void inspect_describe_semantic_id(json_t *object, const struct vqr_header *header, size_t group, size_t i);

/* The two ways of saying what codewords are stored per item: lines, none without any; an object, or null. */
void inspect_print_assignments(FILE *out, const struct inspection *inspection);
json_t *inspect_describe_assignments(const struct inspection *inspection);

/* The "s" of several. */
const char *inspect_plural(uint64_t count);

/* The part of the text on sequences. */
void inspect_print_sequences(FILE *out, const struct inspection *inspection);

/* The two ways of saying codebooks: lines, false when out of memory; a JSON object, NULL when out of memory. */
bool codebooks_print_text(FILE *out, const struct codebooks *codebooks);
json_t *codebooks_describe(const struct codebooks *codebooks);

#endif
