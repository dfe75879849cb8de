#include "tests/fuzz/rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/runtime_model.h"

struct fuzz_column {
    struct vqr_column column;
    struct vqr_lists lists;
    size_t value_size; /* bytes of one row, of one id where rows are lists */
    void *values;
    uint8_t *present;
    uint64_t *offsets; /* of lists */
};

enum { LIST_MAX = 5 };

/* ---- single values ---- */

/* Most bytes are rows of a small table or just outside. */
static int64_t to_integer(uint8_t byte)
{
    static const int64_t edges[] = {INT64_MIN, INT64_MAX, UINT32_MAX, (int64_t)UINT32_MAX + 1, -1000};
    const size_t edge = (size_t)(UINT8_MAX - byte);
    return edge < sizeof edges / sizeof *edges ? edges[edge] : (int64_t)byte % 48 - 4;
}

static struct vqr_id to_id(uint8_t byte)
{
    size_t count;
    const struct vqr_id *words = runtime_words(&count);
    static const struct vqr_id strange[] = {{"nobody", 6}, {"\0", 1}, {"-8", 2}};
    if (byte % 4 == 0)
        return (struct vqr_id){NULL, to_integer(byte)};
    return byte % 4 == 1 ? strange[byte / 4 % 3] : words[byte / 4 % count];
}

/* Most bytes are numbers that any feature takes. */
static double to_double(uint8_t byte)
{
    static const double edges[] = {NAN,    INFINITY, -INFINITY, 1e300, 4097, 3.4028235677973366e38,
                                   4096.0, -4096.0,  5e-324,    1e-40, -0.0};
    const size_t edge = (size_t)(UINT8_MAX - byte);
    return edge < sizeof edges / sizeof *edges ? edges[edge] : ((double)byte - 100.0) / 16.0;
}

static void write_value(enum vqr_column_type type, void *values, size_t i, uint8_t byte)
{
    if (type == VQR_COLUMN_ID)
        ((struct vqr_id *)values)[i] = to_id(byte);
    else if (type == VQR_COLUMN_INT64)
        ((int64_t *)values)[i] = to_integer(byte);
    else if (type == VQR_COLUMN_FLOAT64)
        ((double *)values)[i] = to_double(byte);
    else
        ((float *)values)[i] = (float)(byte == UINT8_MAX - 3 ? 1e30 : to_double(byte)); /* not past what float holds */
}

/* ---- columns ---- */

static size_t size_of(enum vqr_column_type type)
{
    static const size_t sizes[] = {[VQR_COLUMN_INT64] = sizeof(int64_t),
                                   [VQR_COLUMN_ID] = sizeof(struct vqr_id),
                                   [VQR_COLUMN_FLOAT64] = sizeof(double),
                                   [VQR_COLUMN_FLOAT32] = sizeof(float)};
    return sizes[type];
}

static int is_lists(const struct fuzz_column *c)
{
    return c->column.type == VQR_COLUMN_LISTS;
}

static enum vqr_column_type type_for(enum vqr_feature_kind kind, uint8_t choice)
{
    switch (kind) {
    case VQR_FEATURE_FLOAT:
        return VQR_COLUMN_FLOAT64;
    case VQR_FEATURE_VECTOR:
    case VQR_FEATURE_SEMANTIC_ID:
        return choice & 1 ? VQR_COLUMN_FLOAT32 : VQR_COLUMN_FLOAT64;
    case VQR_FEATURE_TIME:
        return VQR_COLUMN_INT64;
    case VQR_FEATURE_ID:
    case VQR_FEATURE_IDS:
    default:
        return choice & 1 ? VQR_COLUMN_ID : VQR_COLUMN_INT64;
    }
}

/* The pointers that the library takes. */
static void point(struct fuzz_column *c, enum vqr_column_type type, int all_present)
{
    c->column = (struct vqr_column){type, c->values, all_present ? NULL : c->present};
    if (!c->offsets)
        return;
    c->lists = (struct vqr_lists){type, c->values, c->offsets};
    c->column.type = VQR_COLUMN_LISTS;
    c->column.values = &c->lists;
}

static void fill(struct fuzz_column *c, const struct vqr_feature *feature, size_t rows, struct fuzz_input *input)
{
    const uint8_t choice = fuzz_byte(input);
    const enum vqr_column_type type = type_for(feature->kind, choice);
    const int lists = feature->kind == VQR_FEATURE_IDS;
    const size_t width = feature->numbers, many = lists ? LIST_MAX : width;
    if (choice >= 0xf0)
        return; /* absent */
    c->value_size = width * size_of(type);
    c->present = fuzz_allocate(rows, 1);
    c->offsets = lists ? fuzz_allocate(rows + 1, sizeof *c->offsets) : NULL;
    c->values = fuzz_allocate(rows * many, size_of(type));
    for (size_t row = 0, at = 0; row < rows; row++) {
        const uint8_t lead = fuzz_byte(input); /* of a single value, it alone */
        const size_t count = lists ? lead % (LIST_MAX + 1) : width;
        c->present[row] = lead % 8 != 7;
        for (size_t i = 0; i < count; i++)
            write_value(type, c->values, at + i, lists || width > 1 ? fuzz_byte(input) : lead);
        at += count;
        if (lists)
            c->offsets[row + 1] = at;
    }
    point(c, type, choice & 2);
}

struct fuzz_rows fuzz_rows_new(const vqr_model *model, enum vqr_group group, size_t rows, struct fuzz_input *input)
{
    struct fuzz_rows r = {{NULL, vqr_feature_count(model, group), rows}, NULL};
    struct vqr_column *columns = fuzz_allocate(r.rows.column_count, sizeof *columns);
    r.owned = fuzz_allocate(r.rows.column_count, sizeof *r.owned);
    for (size_t i = 0; i < r.rows.column_count; i++) {
        struct vqr_feature feature;
        if (vqr_feature_info(model, group, i, &feature) != VQR_OK)
            fuzz_fail("group %d has no feature %zu", (int)group, i);
        fill(&r.owned[i], &feature, rows, input);
        columns[i] = r.owned[i].column;
    }
    r.rows.columns = columns;
    return r;
}

/* ---- the same values in another order ---- */

static void copy_lists(struct fuzz_column *to, const struct fuzz_column *from, const size_t *order, size_t count)
{
    to->offsets = fuzz_allocate(count + 1, sizeof *to->offsets);
    for (size_t i = 0; i < count; i++)
        to->offsets[i + 1] = to->offsets[i] + from->offsets[order[i] + 1] - from->offsets[order[i]];
    to->values = fuzz_allocate(to->offsets[count], from->value_size);
    for (size_t i = 0; i < count; i++)
        memcpy((char *)to->values + to->offsets[i] * from->value_size,
               (const char *)from->values + from->offsets[order[i]] * from->value_size,
               (to->offsets[i + 1] - to->offsets[i]) * from->value_size);
}

static void copy_column(struct fuzz_column *to, const struct fuzz_column *from, const size_t *order, size_t count)
{
    if (from->column.type == VQR_COLUMN_ABSENT)
        return;
    to->value_size = from->value_size;
    to->present = fuzz_allocate(count, 1);
    for (size_t i = 0; i < count; i++)
        to->present[i] = from->present[order[i]];
    if (is_lists(from)) {
        copy_lists(to, from, order, count);
    } else {
        to->values = fuzz_allocate(count, from->value_size);
        for (size_t i = 0; i < count; i++)
            memcpy((char *)to->values + i * from->value_size, (const char *)from->values + order[i] * from->value_size,
                   from->value_size);
    }
    point(to, is_lists(from) ? from->lists.type : from->column.type, from->column.present == NULL);
}

struct fuzz_rows fuzz_rows_ordered(const struct fuzz_rows *from, const size_t *order, size_t count)
{
    struct fuzz_rows r = {{NULL, from->rows.column_count, count}, NULL};
    struct vqr_column *columns = fuzz_allocate(r.rows.column_count, sizeof *columns);
    r.owned = fuzz_allocate(r.rows.column_count, sizeof *r.owned);
    for (size_t i = 0; i < r.rows.column_count; i++) {
        copy_column(&r.owned[i], &from->owned[i], order, count);
        columns[i] = r.owned[i].column;
    }
    r.rows.columns = columns;
    return r;
}

void fuzz_rows_free(struct fuzz_rows *r)
{
    for (size_t i = 0; r->owned && i < r->rows.column_count; i++) {
        free(r->owned[i].values);
        free(r->owned[i].present);
        free(r->owned[i].offsets);
    }
    free(r->owned);
    free((void *)(uintptr_t)r->rows.columns);
    *r = (struct fuzz_rows){0};
}
