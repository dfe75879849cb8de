/* Tables and features of a model being opened. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/bind.h"
#include "runtime/bind_layers.h"
#include "runtime/memory.h"
#include "runtime/model.h"
#include "runtime/quantizer.h"

/* Far above any real model; they keep what a hostile file can make us allocate small. */
enum { TABLES_MAX = 1024, FEATURES_MAX = 1024, PROBE_MAX = 4096 };

/* Exact sums (docs/numerics.md): |e * 2^s| <= 2^30 for every element of an event's embedding but means of rows. */
enum { SUM_BITS = 30, EXPONENT_MIN = -98, EXPONENT_MAX = 120, FLOAT_EXPONENT = 18 };

/* Of the tensor tables.TABLE.part; 0 if there is none. */
static size_t first_dimension(const struct vqr_binder *binder, const char *table, const char *part)
{
    struct vqr_header_tensor tensor = {.shape = {0}};
    char name[VQR_NAME_SIZE];
    snprintf(name, sizeof name, "tables.%s.%s", table, part);
    vqr_header_find_tensor(&binder->model->header, name, &tensor);
    return (size_t)tensor.shape[0];
}

static enum vqr_status bind_vocabulary(struct vqr_binder *binder, const struct vqr_header_table *header,
                                       struct vqr_table *table)
{
    const void *keys = NULL, *text = NULL, *slots = NULL;
    if (header->keys != header->rows - 1)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "table \"%s\": expected %llu keys for %llu rows, found %llu",
                        header->name, (unsigned long long)header->rows - 1, (unsigned long long)header->rows,
                        (unsigned long long)header->keys);
    struct vqr_expected expected = {
        .type = VQR_TENSOR_U32, .layout = VQR_ROWS, .rank = 2, .shape = {header->keys, 4}, .lazy = true};
    enum vqr_status status = vqr_bind_tensor(binder, &expected, &keys, "tables.%s.keys", header->name);
    if (status)
        return status;

    /* The text and the slots have sizes of their own: taken from the file, then checked. */
    table->text_size = first_dimension(binder, header->name, "text");
    table->slot_count = first_dimension(binder, header->name, "slots");
    if (table->slot_count == 0 || table->slot_count / 2 < header->keys ||
        (table->slot_count & (table->slot_count - 1)) != 0)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                        "table \"%s\": %zu slots for %llu keys, expected a power of two and twice the keys",
                        header->name, table->slot_count, (unsigned long long)header->keys);
    if (header->max_probe >= table->slot_count || header->max_probe > PROBE_MAX)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                        "table \"%s\": longest probe %u, expected less than %zu slots and at most %d", header->name,
                        header->max_probe, table->slot_count, PROBE_MAX);
    expected = (struct vqr_expected){
        .type = VQR_TENSOR_U8, .layout = VQR_ROWS, .rank = 1, .shape = {table->text_size}, .lazy = true};
    status = vqr_bind_tensor(binder, &expected, &text, "tables.%s.text", header->name);
    if (status)
        return status;
    expected = (struct vqr_expected){
        .type = VQR_TENSOR_U32, .layout = VQR_ROWS, .rank = 1, .shape = {table->slot_count}, .lazy = true};
    status = vqr_bind_tensor(binder, &expected, &slots, "tables.%s.slots", header->name);
    table->keys = keys;
    table->text = text;
    table->slots = slots;
    table->key_count = (size_t)header->keys;
    table->max_probe = header->max_probe;
    return status;
}

/* The embeddings, in fp32 or in int8 with a scale a row. */
static enum vqr_status bind_rows(struct vqr_binder *binder, const struct vqr_header_table *header,
                                 struct vqr_table *table)
{
    char name[VQR_NAME_SIZE];
    snprintf(name, sizeof name, "tables.%s.weight", header->name);
    struct vqr_expected expected = {
        .type = VQR_TENSOR_F32, .layout = VQR_ROWS, .rank = 2, .shape = {header->rows, header->dim}, .lazy = true};
    const void *weight = NULL, *scale = NULL;
    const bool int8 = vqr_tensor_is_int8(binder, name);
    if (int8)
        expected.type = VQR_TENSOR_I8;
    enum vqr_status status = vqr_bind_tensor(binder, &expected, &weight, "%s", name);
    expected = (struct vqr_expected){
        .type = VQR_TENSOR_F32, .layout = VQR_ROWS, .rank = 1, .shape = {header->rows}, .lazy = true};
    if (!status && int8)
        status = vqr_bind_tensor(binder, &expected, &scale, "tables.%s.scale", header->name);
    table->weight = int8 ? NULL : weight;
    table->weight8 = int8 ? weight : NULL;
    table->scale = scale;
    return status;
}

static enum vqr_status bind_table(struct vqr_binder *binder, size_t i)
{
    struct vqr_table *table = &binder->model->table[i];
    struct vqr_header_table header;
    vqr_header_table(&binder->model->header, i, &header);
    for (size_t j = 0; j < i; j++)
        if (strcmp(binder->model->table[j].name, header.name) == 0)
            return vqr_fail(binder->error, VQR_ERROR_FORMAT, "table \"%s\": the name is used twice", header.name);
    if (header.rows < 1 || header.rows > UINT32_MAX || header.dim < 1)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                        "table \"%s\": %llu rows of %u, expected 1 to 2^32 - 1 rows of at least 1", header.name,
                        (unsigned long long)header.rows, header.dim);
    if (header.ids < VQR_IDS_DIRECT || header.ids > VQR_IDS_HASH)
        return vqr_refuse_unknown(binder, header.ids, "table \"%s\": id mapping", header.name);
    if (header.ids == VQR_IDS_HASH && header.rows < 2)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                        "table \"%s\": 1 row, expected at least 2 where ids are hashed to rows past the first",
                        header.name);
    const enum vqr_status status = bind_rows(binder, &header, table);
    if (status)
        return status;
    table->name = header.name;
    table->rows = (size_t)header.rows;
    table->dim = header.dim;
    table->ids = (enum vqr_id_mapping)header.ids;
    return table->ids == VQR_IDS_VOCABULARY ? bind_vocabulary(binder, &header, table) : VQR_OK;
}

enum vqr_status vqr_bind_tables(struct vqr_binder *binder)
{
    struct vqr_model *model = binder->model;
    struct vqr_header_info info;
    vqr_header_info(&model->header, &info);
    if (info.tables > TABLES_MAX)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "%zu tables, expected at most %d", info.tables, TABLES_MAX);
    model->table = vqr_allocate(info.tables, sizeof *model->table, binder->error);
    enum vqr_status status = model->table ? VQR_OK : VQR_ERROR_MEMORY;
    model->table_count = info.tables;
    for (size_t i = 0; !status && i < info.tables; i++)
        status = bind_table(binder, i);
    return status;
}

static enum vqr_status bad_feature(struct vqr_binder *binder, size_t group, const char *name, const char *what)
{
    return vqr_fail(binder->error, VQR_ERROR_FORMAT, "%s feature \"%s\": %s", vqr_group_names[group], name, what);
}

static enum vqr_status bind_input(struct vqr_binder *binder, size_t group, size_t i,
                                  const struct vqr_header_feature *header, struct vqr_input *input)
{
    const struct vqr_model *model = binder->model;
    input->name = header->name;
    input->width = header->width;
    input->limit = input->pooled_limit = FLT_MAX;
    switch (header->kind) {
    case VQR_KIND_ID:
    case VQR_KIND_IDS:
        input->kind = header->kind == VQR_KIND_ID ? VQR_FEATURE_ID : VQR_FEATURE_IDS;
        if (header->pool != VQR_POOL_SUM && header->pool != VQR_POOL_MEAN)
            return vqr_refuse_unknown(binder, header->pool, "%s feature \"%s\": pool", vqr_group_names[group],
                                      header->name);
        input->pool = (enum vqr_pool)header->pool;
        if (header->table < 0 || (size_t)header->table >= model->table_count)
            return bad_feature(binder, group, header->name, "its table is not in the file");
        input->table = &model->table[header->table];
        if (header->width != input->table->dim)
            return bad_feature(binder, group, header->name, "its width is not its table's dim");
        break;
    case VQR_KIND_FLOAT:
        input->kind = VQR_FEATURE_FLOAT;
        input->mean = header->mean;
        input->std = header->std;
        if (header->width != 1 || !isfinite(header->mean) || !isfinite(header->std) || !(header->std > 0))
            return bad_feature(binder, group, header->name, "a float needs width 1, a finite mean and a std above 0");
        break;
    case VQR_KIND_VECTOR:
        input->kind = VQR_FEATURE_VECTOR;
        if (header->width < 1)
            return bad_feature(binder, group, header->name, "a vector needs a width of at least 1");
        break;
    case VQR_KIND_SEMANTIC_ID:
        return vqr_bind_semantic_id(binder, group, i, header, input);
    case VQR_KIND_TIME:
        input->kind = VQR_FEATURE_TIME;
        if (header->width != 0 || group != VQR_EVENT)
            return bad_feature(binder, group, header->name, "a time has width 0 and belongs to events");
        break;
    default:
        return vqr_refuse_unknown(binder, header->kind, "%s feature \"%s\": kind", vqr_group_names[group],
                                  header->name);
    }
    return VQR_OK;
}

static float exponent_limit(int exponent)
{
    const double limit = ldexp(1.0, SUM_BITS - exponent);
    return limit < (double)FLT_MAX ? (float)limit : FLT_MAX;
}

static void fill_columns(struct vqr_event_columns *columns, size_t offset, size_t width, int exponent, float limit)
{
    for (size_t i = offset; i < offset + width; i++) {
        columns->scale[i] = ldexpf(1.0f, exponent);
        columns->unit[i] = ldexp(1.0, -exponent);
        columns->limit[i] = (double)limit;
    }
}

/* The same as bind_exponent, for the levels of a semantic id that lie beside each other. */
static enum vqr_status bind_level_exponents(struct vqr_binder *binder, size_t feature,
                                            const struct vqr_header_feature *header, struct vqr_input *input)
{
    if (header->exponents != input->quantizer->levels)
        return bad_feature(binder, VQR_EVENT, header->name, "it has not as many exponents as its quantizer has levels");
    for (size_t l = 0; l < header->exponents; l++) {
        struct vqr_level *level = &input->level[l];
        const int s = vqr_header_feature_exponent(&binder->model->header, VQR_EVENT, feature, l);
        if (s < EXPONENT_MIN || s > EXPONENT_MAX)
            return bad_feature(binder, VQR_EVENT, header->name, "the exponent of a level is out of range");
        level->limit = exponent_limit(s);
        fill_columns(&binder->model->event_columns, input->offset + level->offset, level->table->dim, s, level->limit);
    }
    return VQR_OK;
}

/* The scale of an event feature's exact sums, and the bound on its elements that it implies. */
static enum vqr_status bind_exponent(struct vqr_binder *binder, size_t feature, const struct vqr_header_feature *header,
                                     struct vqr_input *input)
{
    const int s = header->exponent;
    const int is_number = input->kind == VQR_FEATURE_FLOAT || input->kind == VQR_FEATURE_VECTOR;
    if (input->kind == VQR_FEATURE_SEMANTIC_ID && input->combine == VQR_COMBINE_CONCAT)
        return bind_level_exponents(binder, feature, header, input);
    if (s < EXPONENT_MIN || s > EXPONENT_MAX || (is_number && s != FLOAT_EXPONENT))
        return bad_feature(binder, VQR_EVENT, header->name, "its exponent is out of range");
    input->limit = input->pooled_limit = exponent_limit(s);
    /* A mean of rows within the limit can round past it, by less than this: the integers still fit 32 bits. */
    if (input->kind == VQR_FEATURE_IDS && input->pool == VQR_POOL_MEAN && input->limit < FLT_MAX / 2.0f)
        input->pooled_limit = input->limit * 1.5f;
    if (input->kind == VQR_FEATURE_SEMANTIC_ID)
        for (size_t l = 0; l < input->quantizer->levels; l++)
            input->level[l].limit = input->limit;
    fill_columns(&binder->model->event_columns, input->offset, input->width, s, input->pooled_limit);
    return VQR_OK;
}

static enum vqr_status bind_group(struct vqr_binder *binder, size_t group, size_t count)
{
    struct vqr_inputs *inputs = &binder->model->inputs[group];
    inputs->input = vqr_allocate(count, sizeof *inputs->input, binder->error);
    enum vqr_status status = inputs->input ? VQR_OK : VQR_ERROR_MEMORY;
    inputs->count = count;
    for (size_t i = 0, times = 0; !status && i < count; i++) {
        struct vqr_header_feature header;
        vqr_header_feature(&binder->model->header, group, i, &header);
        status = bind_input(binder, group, i, &header, &inputs->input[i]);
        inputs->input[i].offset = inputs->width;
        inputs->width += header.width;
        times += inputs->input[i].kind == VQR_FEATURE_TIME;
        if (!status && times > 1)
            status = bad_feature(binder, group, header.name, "events have more than one time");
        for (size_t j = 0; !status && j < i; j++)
            if (strcmp(inputs->input[j].name, header.name) == 0)
                status = bad_feature(binder, group, header.name, "the name is used twice");
    }
    return status;
}

static enum vqr_status bind_event_columns(struct vqr_binder *binder)
{
    struct vqr_model *model = binder->model;
    const struct vqr_inputs *events = &model->inputs[VQR_EVENT];
    struct vqr_event_columns *columns = &model->event_columns;
    columns->widths = vqr_allocate(events->count, sizeof *columns->widths, binder->error);
    columns->scale = vqr_allocate(events->width, sizeof *columns->scale, binder->error);
    columns->unit = vqr_allocate(events->width, sizeof *columns->unit, binder->error);
    columns->limit = vqr_allocate(events->width, sizeof *columns->limit, binder->error);
    enum vqr_status status =
        columns->widths && columns->scale && columns->unit && columns->limit ? VQR_OK : VQR_ERROR_MEMORY;
    for (size_t i = 0; !status && i < events->count; i++) {
        struct vqr_header_feature header;
        vqr_header_feature(&model->header, VQR_EVENT, i, &header);
        columns->widths[i] = header.width;
        status = bind_exponent(binder, i, &header, &events->input[i]);
    }
    return status;
}

enum vqr_status vqr_bind_inputs(struct vqr_binder *binder)
{
    struct vqr_header_info info;
    vqr_header_info(&binder->model->header, &info);
    enum vqr_status status = VQR_OK;
    for (size_t group = 0; !status && group < VQR_GROUPS; group++) {
        if (info.features[group] > FEATURES_MAX)
            return vqr_fail(binder->error, VQR_ERROR_FORMAT, "%zu %s features, expected at most %d",
                            info.features[group], vqr_group_names[group], FEATURES_MAX);
        status = bind_group(binder, group, info.features[group]);
        if (!status && binder->model->inputs[group].width > VQR_WIDTH_MAX)
            return vqr_fail(binder->error, VQR_ERROR_FORMAT, "%s features are %zu wide together, expected at most %d",
                            vqr_group_names[group], binder->model->inputs[group].width, VQR_WIDTH_MAX);
    }
    return status ? status : bind_event_columns(binder);
}
