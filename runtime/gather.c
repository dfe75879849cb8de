#include "runtime/gather.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/error.h"
#include "runtime/quantizer.h"
#include "runtime/vocabulary.h"

/* Largest magnitude of a normalised float in an event: 4096 * 2^18 = 2^30, what the exact sums hold. */
static const double EVENT_FLOAT_MAX = 4096.0;

static const char *const column_names[] = {"absent", "int64", "id", "float64", "lists", "float32"};

static const char *column_name(enum vqr_column_type type)
{
    return (size_t)type < sizeof column_names / sizeof *column_names ? column_names[type] : "unknown";
}

static int takes(enum vqr_feature_kind kind, enum vqr_column_type type)
{
    if (type == VQR_COLUMN_ABSENT)
        return 1;
    switch (kind) {
    case VQR_FEATURE_ID:
        return type == VQR_COLUMN_INT64 || type == VQR_COLUMN_ID;
    case VQR_FEATURE_IDS:
        return type == VQR_COLUMN_LISTS;
    case VQR_FEATURE_FLOAT:
        return type == VQR_COLUMN_FLOAT64;
    case VQR_FEATURE_VECTOR:
    case VQR_FEATURE_SEMANTIC_ID:
        return type == VQR_COLUMN_FLOAT32 || type == VQR_COLUMN_FLOAT64;
    case VQR_FEATURE_TIME:
        return type == VQR_COLUMN_INT64;
    }
    return 0;
}

enum vqr_status vqr_check_rows(const struct vqr_model *model, enum vqr_group group, const struct vqr_rows *rows,
                               struct vqr_error *error)
{
    const struct vqr_inputs *inputs = &model->inputs[group];
    if (rows->column_count > inputs->count)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "%s: expected at most %zu columns, found %zu",
                        vqr_group_names[group], inputs->count, rows->column_count);
    if (rows->column_count != 0 && !rows->columns)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "%s: columns is NULL", vqr_group_names[group]);
    for (size_t i = 0; i < rows->column_count; i++) {
        const struct vqr_column *column = &rows->columns[i];
        if (!takes(inputs->input[i].kind, column->type))
            return vqr_fail(error, VQR_ERROR_TYPE, "%s feature \"%s\" does not take a column of type %s",
                            vqr_group_names[group], inputs->input[i].name, column_name(column->type));
        if (column->type != VQR_COLUMN_ABSENT && !column->values && rows->rows != 0)
            return vqr_fail(error, VQR_ERROR_ARGUMENT, "%s feature \"%s\": values is NULL", vqr_group_names[group],
                            inputs->input[i].name);
        const struct vqr_lists *lists = column->type == VQR_COLUMN_LISTS ? column->values : NULL;
        if (lists && !lists->offsets)
            return vqr_fail(error, VQR_ERROR_ARGUMENT, "%s feature \"%s\": its lists' offsets is NULL",
                            vqr_group_names[group], inputs->input[i].name);
        if (lists && lists->type != VQR_COLUMN_INT64 && lists->type != VQR_COLUMN_ID)
            return vqr_fail(error, VQR_ERROR_ARGUMENT, "%s feature \"%s\": expected lists of int64 or id, found %s",
                            vqr_group_names[group], inputs->input[i].name, column_name(lists->type));
    }
    return VQR_OK;
}

/* What one feature's gather needs to know. */
struct source {
    const struct vqr_kernels *k;
    enum vqr_group group;
    const struct vqr_input *input;
    const struct vqr_column *column; /* NULL or of type ABSENT: no row has a value */
    size_t first, count;             /* rows of the column */
    struct vqr_error *error;
};

/* Absent ids use row 0; everything else that is absent is zeros. */
static int is_present(const struct vqr_column *column, size_t row)
{
    return column && column->type != VQR_COLUMN_ABSENT && (!column->present || column->present[row]);
}

/* "event 17 feature "price"": candidates and events have a number, user and context do not need one. */
__attribute__((format(printf, 4, 5))) static enum vqr_status refuse(const struct source *s, enum vqr_status status,
                                                                    size_t row, const char *format, ...)
{
    char number[24] = "", what[VQR_ERROR_MESSAGE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (s->group == VQR_EVENT || s->group == VQR_CANDIDATE)
        snprintf(number, sizeof number, " %zu", row);
    return vqr_fail(s->error, status, "%s%s, feature \"%s\": %s", vqr_group_names[s->group], number, s->input->name,
                    what);
}

/* The table's row that event or candidate `row` needs cannot be used. */
static enum vqr_status refuse_row(const struct source *s, size_t row, const struct vqr_table *table, uint32_t table_row,
                                  float limit)
{
    return refuse(s, VQR_ERROR_TABLE, row,
                  "table \"%.64s\", row %" PRIu32
                  ": a value is not finite or exceeds %g in magnitude; the model file is "
                  "damaged",
                  table->name, table_row, (double)limit);
}

/* Value i of ids stored as `type`. */
static struct vqr_id id_at(enum vqr_column_type type, const void *values, size_t i)
{
    if (type == VQR_COLUMN_ID)
        return ((const struct vqr_id *)values)[i];
    const struct vqr_id id = {NULL, ((const int64_t *)values)[i]};
    return id;
}

static enum vqr_status look_up_one(const struct source *s, size_t row, struct vqr_id id, uint32_t *index,
                                   struct vqr_stats *stats)
{
    const struct vqr_table *table = s->input->table;
    if (id.string && !vqr_table_takes_strings(table))
        return refuse(s, VQR_ERROR_TYPE, row, "expected an integer id, found a string");
    if (id.string && id.value < 0)
        return refuse(s, VQR_ERROR_ARGUMENT, row, "a string's length is %" PRId64 ", expected 0 or more", id.value);
    int known;
    *index = vqr_table_row(table, id, &known);
    const struct vqr_stats one = {1, !known};
    vqr_stats_add(stats, &one);
    return VQR_OK;
}

/* look_up for numbers that are rows and all there: nothing can be refused, and no id takes a branch. */
static void look_up_numbers(const int64_t *numbers, size_t count, size_t rows, uint32_t *index, struct vqr_stats *stats)
{
    struct vqr_stats counted = {count, 0};
    for (size_t r = 0; r < count; r++) {
        const uint64_t id = (uint64_t)numbers[r];
        index[r] = id < rows ? (uint32_t)id : 0;
        counted.unknown_ids += id >= rows;
    }
    vqr_stats_add(stats, &counted);
}

static enum vqr_status look_up(const struct source *s, uint32_t *index, struct vqr_stats *stats)
{
    const struct vqr_table *table = s->input->table;
    if (table->ids == VQR_IDS_DIRECT && s->column && s->column->type == VQR_COLUMN_INT64 && !s->column->present) {
        look_up_numbers((const int64_t *)s->column->values + s->first, s->count, table->rows, index, stats);
        return VQR_OK;
    }
    enum vqr_status status = VQR_OK;
    for (size_t r = 0; !status && r < s->count; r++) {
        const size_t row = s->first + r;
        index[r] = 0;
        if (is_present(s->column, row))
            status = look_up_one(s, row, id_at(s->column->type, s->column->values, row), &index[r], stats);
    }
    return status;
}

/* Rows of a table, in fp32 whatever it holds; and their sum. As the kernels, they return the first row that is damaged,
 * or `count`. */
static size_t embed(const struct vqr_kernels *k, float *dst, size_t stride, const struct vqr_table *table,
                    const uint32_t *index, size_t count, float limit)
{
    return table->weight8 ? k->embed_i8(dst, stride, table->weight8, table->scale, table->dim, index, count, limit)
                          : k->embed_f32(dst, stride, table->weight, table->dim, index, count, limit);
}

static size_t embed_add(const struct vqr_kernels *k, float *dst, const struct vqr_table *table, const uint32_t *index,
                        size_t count, float limit)
{
    return table->weight8 ? k->embed_add_i8(dst, table->weight8, table->scale, table->dim, index, count, limit)
                          : k->embed_add_f32(dst, table->weight, table->dim, index, count, limit);
}

static enum vqr_status gather_ids(const struct source *s, float *dst, size_t stride, uint32_t *index,
                                  struct vqr_stats *stats)
{
    const struct vqr_table *table = s->input->table;
    const enum vqr_status status = look_up(s, index, stats);
    if (status)
        return status;
    const size_t bad = embed(s->k, dst, stride, table, index, s->count, s->input->limit);
    if (bad < s->count)
        return refuse_row(s, s->first + bad, table, index[bad], s->input->limit);
    return VQR_OK;
}

/* Adds the table's rows of ids low ... high of a list to dst, in order. `index` holds VQR_EVENT_BLOCK numbers. */
static enum vqr_status add_rows(const struct source *s, size_t row, size_t low, size_t high, float *dst,
                                uint32_t *index, struct vqr_stats *stats)
{
    const struct vqr_lists *lists = s->column->values;
    const struct vqr_table *table = s->input->table;
    while (low < high) {
        const size_t count = high - low < VQR_EVENT_BLOCK ? high - low : VQR_EVENT_BLOCK;
        for (size_t i = 0; i < count; i++) {
            const enum vqr_status status =
                look_up_one(s, row, id_at(lists->type, lists->values, low + i), &index[i], stats);
            if (status)
                return status;
        }
        const size_t bad = embed_add(s->k, dst, table, index, count, s->input->limit);
        if (bad < count)
            return refuse_row(s, row, table, index[bad], s->input->limit);
        low += count;
    }
    return VQR_OK;
}

/* The rows of a list of ids, pooled: zeros for none, else their sum in the list's order, or that divided once. */
static enum vqr_status gather_lists(const struct source *s, float *dst, size_t stride, uint32_t *index,
                                    struct vqr_stats *stats)
{
    const size_t dim = s->input->width;
    for (size_t r = 0; r < s->count; r++, dst += stride) {
        const size_t row = s->first + r;
        memset(dst, 0, dim * sizeof *dst);
        if (!is_present(s->column, row))
            continue;
        const struct vqr_lists *lists = s->column->values;
        const uint64_t low = lists->offsets[row], high = lists->offsets[row + 1];
        if (low > high || high > SIZE_MAX)
            return refuse(s, VQR_ERROR_ARGUMENT, row,
                          "its list starts at id %" PRIu64 " and ends at %" PRIu64 ", expected offsets that ascend",
                          low, high);
        if (low < high && !lists->values)
            return refuse(s, VQR_ERROR_ARGUMENT, row, "its list has %" PRIu64 " ids, but values is NULL", high - low);
        const enum vqr_status status = add_rows(s, row, (size_t)low, (size_t)high, dst, index, stats);
        if (status)
            return status;
        const int mean = s->input->pool == VQR_POOL_MEAN;
        for (size_t i = 0; i < dim; i++) {
            if (mean && low < high)
                dst[i] /= (float)(high - low);
            if (!(fabsf(dst[i]) <= s->input->pooled_limit))
                return refuse(s, VQR_ERROR_RANGE, row,
                              "the %s of its %" PRIu64
                              " ids' rows is %g in column %zu, expected at most %g in magnitude",
                              mean ? "mean" : "sum", high - low, (double)dst[i], i, (double)s->input->pooled_limit);
        }
    }
    return VQR_OK;
}

static double number_limit(enum vqr_group group)
{
    return group == VQR_EVENT ? EVENT_FLOAT_MAX : (double)FLT_MAX;
}

static enum vqr_status gather_floats(const struct source *s, float *dst, size_t stride)
{
    const double *values = s->column ? s->column->values : NULL;
    for (size_t r = 0; r < s->count; r++) {
        const size_t row = s->first + r;
        dst[r * stride] = 0.0f;
        if (!is_present(s->column, row))
            continue;
        if (!isfinite(values[row]))
            return refuse(s, VQR_ERROR_RANGE, row, "expected a finite number, found %g", values[row]);
        const double normalised = (values[row] - s->input->mean) / s->input->std;
        if (!(fabs(normalised) <= number_limit(s->group)))
            return refuse(s, VQR_ERROR_RANGE, row,
                          "(value - mean) / std is %g for the value %g, expected at most %g in magnitude", normalised,
                          values[row], number_limit(s->group));
        dst[r * stride] = (float)normalised;
    }
    return VQR_OK;
}

/* The n numbers of a row that is present. */
static enum vqr_status read_numbers(const struct source *s, size_t row, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double value = s->column->type == VQR_COLUMN_FLOAT32
                                 ? (double)((const float *)s->column->values)[row * n + i]
                                 : ((const double *)s->column->values)[row * n + i];
        if (!(fabs(value) <= number_limit(s->group)))
            return refuse(s, VQR_ERROR_RANGE, row,
                          "number %zu of %zu is %g, expected a finite one of at most %g in magnitude", i, n, value,
                          number_limit(s->group));
        dst[i] = (float)value;
    }
    return VQR_OK;
}

static enum vqr_status gather_vectors(const struct source *s, float *dst, size_t stride)
{
    const size_t n = s->input->width;
    enum vqr_status status = VQR_OK;
    for (size_t r = 0; !status && r < s->count; r++, dst += stride) {
        memset(dst, 0, n * sizeof *dst);
        if (is_present(s->column, s->first + r))
            status = read_numbers(s, s->first + r, dst, n);
    }
    return status;
}

/* The codes of level l: turned into rows of its table, code c into c + 1, an absent value into 0. */
static enum vqr_status code_rows(const struct source *s, size_t l, size_t present,
                                 const struct vqr_gather_scratch *scratch)
{
    const size_t bad = vqr_quantizer_level(s->input->quantizer, s->k, l, scratch->code, scratch->residual, present);
    for (size_t r = 0, next = 0; r < s->count; r++) {
        const int here = is_present(s->column, s->first + r);
        if (here && next == bad)
            return refuse(s, VQR_ERROR_OVERFLOW, s->first + r,
                          "at level %zu of quantizer \"%.64s\" no component has a finite distance", l,
                          s->input->quantizer->name);
        scratch->index[r] = here ? scratch->code[next++] + 1 : 0;
    }
    return VQR_OK;
}

/* Level l's rows: into their columns, or added to those of the levels before. */
static enum vqr_status add_level(const struct source *s, size_t l, float *dst, size_t stride, const uint32_t *index)
{
    const struct vqr_level *level = &s->input->level[l];
    const struct vqr_table *table = level->table;
    size_t bad = s->count;
    if (s->input->combine == VQR_COMBINE_CONCAT || l == 0)
        bad = embed(s->k, dst + level->offset, stride, table, index, s->count, level->limit);
    else
        for (size_t r = 0; r < s->count && bad == s->count; r++)
            if (embed_add(s->k, dst + r * stride, table, &index[r], 1, level->limit) != 1)
                bad = r;
    return bad < s->count ? refuse_row(s, s->first + bad, table, index[bad], level->limit) : VQR_OK;
}

static enum vqr_status gather_semantic_ids(const struct source *s, float *dst, size_t stride,
                                           const struct vqr_gather_scratch *scratch)
{
    const size_t n = s->input->quantizer->dim;
    enum vqr_status status = VQR_OK;
    size_t present = 0;
    for (size_t r = 0; !status && r < s->count; r++)
        if (is_present(s->column, s->first + r))
            status = read_numbers(s, s->first + r, scratch->residual + n * present++, n);
    for (size_t l = 0; !status && l < s->input->quantizer->levels; l++) {
        status = code_rows(s, l, present, scratch);
        if (!status)
            status = add_level(s, l, dst, stride, scratch->index);
    }
    for (size_t r = 0; !status && s->input->combine == VQR_COMBINE_SUM && r < s->count; r++)
        for (size_t i = 0; i < s->input->width; i++)
            if (!(fabsf(dst[r * stride + i]) <= s->input->pooled_limit))
                return refuse(s, VQR_ERROR_RANGE, s->first + r,
                              "the sum of its %zu levels' rows is %g in column %zu, expected at most %g in magnitude",
                              s->input->quantizer->levels, (double)dst[r * stride + i], i,
                              (double)s->input->pooled_limit);
    return status;
}

enum vqr_status vqr_gather(const struct vqr_model *model, const struct vqr_kernels *k, enum vqr_group group,
                           const struct vqr_rows *rows, size_t first, size_t count, float *dst, size_t stride,
                           const struct vqr_gather_scratch *scratch, struct vqr_stats *stats, struct vqr_error *error)
{
    const struct vqr_inputs *inputs = &model->inputs[group];
    for (size_t i = 0; i < inputs->count; i++) {
        const struct vqr_input *input = &inputs->input[i];
        const struct vqr_column *column = i < rows->column_count ? &rows->columns[i] : NULL;
        const struct source s = {k, group, input, column, first, count, error};
        struct vqr_gather_scratch own = *scratch;
        own.index += i * VQR_EVENT_BLOCK;
        enum vqr_status status = VQR_OK;
        switch (input->kind) {
        case VQR_FEATURE_ID:
            status = gather_ids(&s, dst + input->offset, stride, own.index, stats);
            break;
        case VQR_FEATURE_IDS:
            status = gather_lists(&s, dst + input->offset, stride, own.index, stats);
            break;
        case VQR_FEATURE_FLOAT:
            status = gather_floats(&s, dst + input->offset, stride);
            break;
        case VQR_FEATURE_VECTOR:
            status = gather_vectors(&s, dst + input->offset, stride);
            break;
        case VQR_FEATURE_SEMANTIC_ID:
            status = gather_semantic_ids(&s, dst + input->offset, stride, &own);
            break;
        case VQR_FEATURE_TIME:
            break;
        }
        if (status)
            return status;
    }
    return VQR_OK;
}
