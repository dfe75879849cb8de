/* Columns for any group of any model, made of an input's bytes: every type that a feature takes, absent values, ids
 * that no table has, numbers at the edges of their range and past them. */
#ifndef VQR_TESTS_FUZZ_ROWS_H
#define VQR_TESTS_FUZZ_ROWS_H

#include "tests/fuzz/fuzz.h"
#include "vqrank/vqrank.h"

struct fuzz_column;

struct fuzz_rows {
    struct vqr_rows rows;      /* what calls take */
    struct fuzz_column *owned; /* [rows.column_count] what it points to */
};

struct fuzz_rows fuzz_rows_new(const vqr_model *model, enum vqr_group group, size_t rows, struct fuzz_input *input);

/* Row i of the result is row order[i]. */
struct fuzz_rows fuzz_rows_ordered(const struct fuzz_rows *from, const size_t *order, size_t count);

void fuzz_rows_free(struct fuzz_rows *rows);

#endif
