/* What the tests of the runtime share: values for requests, and short forms of the calls that must succeed. */
#ifndef VQR_TESTS_RUNTIME_SUPPORT_H
#define VQR_TESTS_RUNTIME_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/runtime_model.h"
#include "vqrank/vqrank.h"

/* ---- random numbers: the same every time ---- */

uint64_t random_next(uint64_t *random);
size_t random_below(uint64_t *random, size_t n);

/* ---- models ---- */

/* Number i of the models that vary all that a model can switch, and are small. */
struct runtime_options random_options(uint64_t i);

/* ---- values ---- */

enum { VALUES_COLUMNS = 4 };

/* Rows of one group, in memory of their own. */
struct values {
    struct vqr_rows rows; /* what calls take; columns points below */
    struct vqr_column columns[VALUES_COLUMNS];
    void *column_values[VALUES_COLUMNS];
    uint8_t *present[VALUES_COLUMNS];
    size_t sizes[VALUES_COLUMNS]; /* bytes of one value */
};

/* Known and unknown ids, numbers within the limits, some absent. */
struct values *values_new(const vqr_model *model, enum vqr_group group, size_t rows, uint64_t seed);
void values_free(struct values *values);

/* Row i of the result is row order[i]. */
struct values *values_ordered(const struct values *values, const size_t *order, size_t count);

/* Rows first ... first + count, without copying: columns[VALUES_COLUMNS] is the caller's. */
struct vqr_rows values_part(const struct values *values, size_t first, size_t count, struct vqr_column *columns);

/* ---- calls that must succeed ---- */

/* Model, session (of ISA `isa` or the best), state, and one request of `candidates`. */
struct world {
    struct runtime_file file;
    vqr_model *model;
    vqr_session *session;
    vqr_state *state;
    struct values *user, *context, *candidates;
    size_t outputs; /* of all candidates together */
};

struct world world_new(const struct runtime_options *options, const char *isa, size_t candidates);
void world_free(struct world *world);

vqr_model *open_model(struct runtime_file file);
vqr_session *new_session(const vqr_model *model, const char *isa);
vqr_state *new_state(const vqr_model *model);

void append(struct world *world, const struct vqr_rows *events);
void encode(struct world *world, const struct vqr_rows *events);

/* Refreshes and scores the world's request; the caller frees. */
float *scores(struct world *world);

/* What vqr_score takes for a world. */
struct vqr_request request_of(const struct world *world);

/* ---- checks ---- */

void assert_same_scores(const struct world *world, const float *a, const float *b);

/* The error struct goes with the status, its message is one line of text. */
void assert_refusal(enum vqr_status expected, enum vqr_status found, const struct vqr_error *error);

/* The message holds the text. */
void assert_says(const struct vqr_error *error, const char *text);

/* A model of these tensors whose header says otherwise is refused, as the text says. */
void assert_refused(const struct runtime_options *tensors, const struct runtime_options *says, const char *text);

/* A change to what a file says about itself, its tensors staying as they were. */
struct change {
    const char *says; /* what the refusal must name */
    void (*apply)(struct runtime_options *options);
};

#define CHANGE(name, statement)                 \
    static void name(struct runtime_options *o) \
    {                                           \
        statement;                              \
    }

/* ---- ISAs ---- */

/* The name of usable ISA number i, or NULL past the last. */
const char *usable_isa(size_t i);

#endif
