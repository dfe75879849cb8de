/* Values of a request's rows on their way to people, and rows of their own to pass on. */
#ifndef TOOLS_VALUES_H
#define TOOLS_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "vqrank/vqrank.h"

bool value_is_present(const struct vqr_column *column, size_t row);

/* The id of row `row`, NULL if the column does not hold ids or has none there. */
const struct vqr_id *value_id(const struct vqr_column *column, size_t row);

/* Orders ids: integers by value before strings by bytes. */
int value_compare_ids(const struct vqr_id *a, const struct vqr_id *b);

void value_print_id(FILE *out, const struct vqr_id *id);

/* The value of a present row: "9", "0.25", "[1, 2, ...]". */
void value_print(FILE *out, const struct vqr_feature *feature, const struct vqr_column *column, size_t row);

/* Row `row` of a column as a column of one row; `list` holds what a column of lists points to. */
struct vqr_column value_row(const struct vqr_feature *feature, const struct vqr_column *column, size_t row,
                            struct vqr_lists *list);

#endif
