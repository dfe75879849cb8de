#include "values.h"

#include <inttypes.h>
#include <string.h>

#include "text.h"

enum { SHOWN_MAX = 4 }; /* elements of a list or a vector: enough to tell it apart, short enough for a line */

bool value_is_present(const struct vqr_column *column, size_t row)
{
    return column->type != VQR_COLUMN_ABSENT && (column->present == NULL || column->present[row] != 0);
}

const struct vqr_id *value_id(const struct vqr_column *column, size_t row)
{
    return column->type == VQR_COLUMN_ID && value_is_present(column, row) ? (const struct vqr_id *)column->values + row
                                                                          : NULL;
}

int value_compare_ids(const struct vqr_id *a, const struct vqr_id *b)
{
    if ((a->string == NULL) != (b->string == NULL))
        return a->string == NULL ? -1 : 1;
    if (a->string == NULL || a->value == b->value) {
        const int order = a->string == NULL ? 0 : memcmp(a->string, b->string, (size_t)a->value);
        return order != 0 ? order : (a->value > b->value) - (a->value < b->value);
    }
    const int64_t shorter = a->value < b->value ? a->value : b->value;
    const int order = memcmp(a->string, b->string, (size_t)shorter);
    return order != 0 ? order : (a->value > b->value) - (a->value < b->value);
}

void value_print_id(FILE *out, const struct vqr_id *id)
{
    if (id->string != NULL)
        text_print_clean_bytes(out, id->string, (size_t)id->value);
    else
        fprintf(out, "%" PRId64, id->value);
}

/* Whether a value is an array of feature->numbers numbers. */
static bool is_vector(const struct vqr_feature *feature)
{
    return feature->kind == VQR_FEATURE_VECTOR || feature->kind == VQR_FEATURE_SEMANTIC_ID;
}

/* Element i of an array of the column's type. */
static void print_element(FILE *out, enum vqr_column_type type, const void *values, size_t i)
{
    if (type == VQR_COLUMN_ID)
        value_print_id(out, (const struct vqr_id *)values + i);
    else if (type == VQR_COLUMN_FLOAT64)
        fprintf(out, "%g", ((const double *)values)[i]);
    else if (type == VQR_COLUMN_FLOAT32)
        fprintf(out, "%g", (double)((const float *)values)[i]);
    else
        fprintf(out, "%" PRId64, ((const int64_t *)values)[i]);
}

static void print_elements(FILE *out, enum vqr_column_type type, const void *values, size_t first, size_t count)
{
    fputc('[', out);
    for (size_t i = 0; i < count && i < SHOWN_MAX; i++) {
        fputs(i == 0 ? "" : ", ", out);
        print_element(out, type, values, first + i);
    }
    fputs(count > SHOWN_MAX ? ", ...]" : "]", out);
}

void value_print(FILE *out, const struct vqr_feature *feature, const struct vqr_column *column, size_t row)
{
    if (column->type == VQR_COLUMN_LISTS) {
        const struct vqr_lists *lists = column->values;
        const size_t first = (size_t)lists->offsets[row], end = (size_t)lists->offsets[row + 1];
        print_elements(out, lists->type, lists->values, first, end - first);
    } else if (is_vector(feature)) {
        print_elements(out, column->type, column->values, row * feature->numbers, feature->numbers);
    } else {
        print_element(out, column->type, column->values, row);
    }
}

struct vqr_column value_row(const struct vqr_feature *feature, const struct vqr_column *column, size_t row,
                            struct vqr_lists *list)
{
    struct vqr_column one = {.type = column->type, .present = column->present == NULL ? NULL : column->present + row};
    const size_t place = is_vector(feature) ? row * feature->numbers : row;
    switch (column->type) {
    case VQR_COLUMN_INT64:
        one.values = (const int64_t *)column->values + place;
        break;
    case VQR_COLUMN_ID:
        one.values = (const struct vqr_id *)column->values + place;
        break;
    case VQR_COLUMN_FLOAT64:
        one.values = (const double *)column->values + place;
        break;
    case VQR_COLUMN_FLOAT32:
        one.values = (const float *)column->values + place;
        break;
    case VQR_COLUMN_LISTS:
        *list = *(const struct vqr_lists *)column->values;
        list->offsets += row;
        one.values = list;
        break;
    case VQR_COLUMN_ABSENT:
    default:
        one = (struct vqr_column){.type = VQR_COLUMN_ABSENT};
        break;
    }
    return one;
}
