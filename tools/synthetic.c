#include "synthetic.h"

#include <stdio.h>
#include <stdlib.h>

enum { LIST_MAX = 8 };

/* splitmix64 (Steele, Lea and Flood, 2014): every seed gives a sequence of its own. */
uint64_t synthetic_draw(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* About normal: the sum of 12 uniform numbers has variance 1, and never leaves -6 ... 6. */
static double draw_normal(uint64_t *state)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += (double)(synthetic_draw(state) >> 11) * 0x1p-53;
    return sum;
}

/* ---- ids ---- */

/* A table's ids as the file maps them. */
struct id_source {
    struct vqr_header_table table;
    const uint32_t *keys; /* [table.keys][4] of a vocabulary (schema/model.fbs), NULL otherwise */
    const char *text;
};

/* The bytes of tensor "tables.TABLE.part", NULL if the file has no such tensor. */
static const uint8_t *find_part(const struct vqr_header *header, const char *table, const char *part)
{
    struct vqr_header_tensor tensor;
    char name[VQR_NAME_SIZE];
    snprintf(name, sizeof name, "tables.%s.%s", table, part);
    return vqr_header_find_tensor(header, name, &tensor) ? header->data + tensor.offset : NULL;
}

static void find_ids(struct id_source *source, const struct vqr_header *header, int32_t table)
{
    vqr_header_table(header, (size_t)table, &source->table);
    const bool vocabulary = source->table.ids == VQR_IDS_VOCABULARY && source->table.keys > 0;
    source->keys = vocabulary ? (const uint32_t *)(const void *)find_part(header, source->table.name, "keys") : NULL;
    source->text = vocabulary ? (const char *)find_part(header, source->table.name, "text") : NULL;
}

/* Key i of a vocabulary. */
static struct vqr_id key_of(const struct id_source *source, size_t i)
{
    const uint32_t *key = source->keys + 4 * i;
    const uint64_t number = (uint64_t)key[1] << 32 | key[0];
    if (key[3] == 0)
        return (struct vqr_id){.value = (int64_t)number};
    return (struct vqr_id){.string = source->text + number, .value = (int64_t)key[2]};
}

static struct vqr_id draw_id(const struct id_source *source, uint64_t *state)
{
    if (source->table.ids == VQR_IDS_HASH)
        return (struct vqr_id){.value = (int64_t)synthetic_draw(state)};
    if (source->keys == NULL)
        return (struct vqr_id){.value = (int64_t)(synthetic_draw(state) % source->table.rows)};
    return key_of(source, (size_t)(synthetic_draw(state) % source->table.keys));
}

/* ---- columns ---- */

/* Ids that are rows come as numbers, as programs that have no strings would give them. */
static bool fill_numbers_of_rows(struct synthetic_column *owned, struct vqr_column *column,
                                 const struct id_source *source, size_t rows, uint64_t *state)
{
    int64_t *numbers = calloc(rows + 1, sizeof *numbers);
    owned->values = numbers;
    *column = (struct vqr_column){.type = VQR_COLUMN_INT64, .values = numbers};
    for (size_t i = 0; numbers != NULL && i < rows; i++)
        numbers[i] = draw_id(source, state).value;
    return numbers != NULL;
}

static bool fill_ids(struct synthetic_column *owned, struct vqr_column *column, const struct id_source *source,
                     size_t rows, uint64_t *state)
{
    struct vqr_id *ids = calloc(rows + 1, sizeof *ids);
    owned->values = ids;
    *column = (struct vqr_column){.type = VQR_COLUMN_ID, .values = ids};
    for (size_t i = 0; ids != NULL && i < rows; i++)
        ids[i] = draw_id(source, state);
    return ids != NULL;
}

static bool fill_lists(struct synthetic_column *owned, struct vqr_column *column, const struct id_source *source,
                       size_t rows, uint64_t *state)
{
    owned->offsets = calloc(rows + 1, sizeof *owned->offsets);
    struct vqr_id *ids = calloc(rows * LIST_MAX + 1, sizeof *ids);
    owned->values = ids;
    if (owned->offsets == NULL || ids == NULL)
        return false;
    for (size_t i = 0; i < rows; i++) {
        owned->offsets[i + 1] = owned->offsets[i] + 1 + synthetic_draw(state) % LIST_MAX;
        for (uint64_t k = owned->offsets[i]; k < owned->offsets[i + 1]; k++)
            ids[k] = draw_id(source, state);
    }
    owned->lists = (struct vqr_lists){.type = VQR_COLUMN_ID, .values = ids, .offsets = owned->offsets};
    *column = (struct vqr_column){.type = VQR_COLUMN_LISTS, .values = &owned->lists};
    return true;
}

static bool fill_numbers(struct synthetic_column *owned, struct vqr_column *column, size_t count, double mean,
                         double std, uint64_t *state)
{
    double *numbers = calloc(count + 1, sizeof *numbers);
    owned->values = numbers;
    *column = (struct vqr_column){.type = VQR_COLUMN_FLOAT64, .values = numbers};
    for (size_t i = 0; numbers != NULL && i < count; i++)
        numbers[i] = mean + std * draw_normal(state);
    return numbers != NULL;
}

static bool fill_times(struct synthetic_column *owned, struct vqr_column *column, size_t rows)
{
    int64_t *times = calloc(rows + 1, sizeof *times);
    owned->values = times;
    *column = (struct vqr_column){.type = VQR_COLUMN_INT64, .values = times};
    for (size_t i = 0; times != NULL && i < rows; i++)
        times[i] = 1700000000 + 60 * (int64_t)i;
    return times != NULL;
}

static bool fill_column(struct synthetic_column *owned, struct vqr_column *column, const struct vqr_header *header,
                        const struct vqr_header_feature *feature, size_t rows, uint64_t *state)
{
    struct id_source source;
    struct vqr_header_quantizer quantizer;
    switch (feature->kind) {
    case VQR_KIND_ID:
        find_ids(&source, header, feature->table);
        return source.table.ids == VQR_IDS_DIRECT ? fill_numbers_of_rows(owned, column, &source, rows, state)
                                                  : fill_ids(owned, column, &source, rows, state);
    case VQR_KIND_IDS:
        find_ids(&source, header, feature->table);
        return fill_lists(owned, column, &source, rows, state);
    case VQR_KIND_FLOAT:
        return fill_numbers(owned, column, rows, feature->mean, feature->std, state);
    case VQR_KIND_VECTOR:
        return fill_numbers(owned, column, rows * feature->width, 0, 1, state);
    case VQR_KIND_SEMANTIC_ID:
        vqr_header_quantizer(header, (size_t)feature->quantizer, &quantizer);
        return fill_numbers(owned, column, rows * quantizer.dim, 0, 1, state);
    case VQR_KIND_TIME:
        return fill_times(owned, column, rows);
    default:
        return true; /* a kind that this program does not know stays absent */
    }
}

/* ---- items that the file knows ---- */

enum { FEATURES_MAX = 16, DRAWS = 64 };

/* The ids of a feature that fill_ids drew, and where they come from. */
struct item_column {
    struct id_source source;
    struct vqr_id *ids; /* [events], or of a table whose ids are rows: */
    int64_t *numbers;
};

static void find_item_column(struct item_column *column, const struct synthetic *events,
                             const struct vqr_header *header, size_t feature)
{
    struct vqr_header_feature found;
    vqr_header_feature(header, VQR_EVENT, feature, &found);
    find_ids(&column->source, header, found.table);
    const bool direct = column->source.table.ids == VQR_IDS_DIRECT;
    column->ids = direct ? NULL : events->owned[feature].values;
    column->numbers = direct ? events->owned[feature].values : NULL;
}

/* Puts an id of that row in place of what was drawn; false if none is known. */
static bool put_row(const struct item_column *column, size_t event, uint32_t row)
{
    if (column->numbers != NULL)
        column->numbers[event] = row;
    else if (column->source.table.ids == VQR_IDS_VOCABULARY && row > 0)
        column->ids[event] = key_of(&column->source, row - 1);
    else
        return false;
    return true;
}

/* Where the file stores codewords of items, real events have the features of their items: so do these. */
static void match_items(const struct synthetic *events, const struct vqr_header *header, uint64_t *state)
{
    struct vqr_header_assignments stored;
    struct vqr_header_tensor tensor;
    struct item_column key, own[FEATURES_MAX];
    if (!vqr_header_assignments(header, &stored) || stored.determined == 0 || stored.determined > FEATURES_MAX ||
        !vqr_header_find_tensor(header, "assignments.determined", &tensor))
        return;
    const uint32_t *rows = (const uint32_t *)(const void *)(header->data + tensor.offset);
    find_item_column(&key, events, header, (size_t)stored.key);
    for (size_t i = 0; i < stored.determined; i++)
        find_item_column(&own[i], events, header, vqr_header_determined(header, i));
    for (size_t event = 0; event < events->rows.rows; event++) {
        uint64_t row = synthetic_draw(state) % tensor.shape[0];
        for (int i = 0; i < DRAWS && rows[row * stored.determined] == UINT32_MAX; i++)
            row = synthetic_draw(state) % tensor.shape[0];
        const uint32_t *determined = rows + row * stored.determined;
        if (determined[0] == UINT32_MAX || !put_row(&key, event, (uint32_t)row))
            continue;
        for (size_t i = 0; i < stored.determined; i++)
            put_row(&own[i], event, determined[i]);
    }
}

bool synthetic_init(struct synthetic *synthetic, const struct vqr_header *header, enum vqr_group group, size_t rows,
                    uint64_t seed)
{
    struct vqr_header_info info;
    vqr_header_info(header, &info);
    const size_t count = info.features[group];
    *synthetic = (struct synthetic){.columns = calloc(count + 1, sizeof *synthetic->columns),
                                    .owned = calloc(count + 1, sizeof *synthetic->owned)};
    if (synthetic->columns == NULL || synthetic->owned == NULL)
        return false;
    synthetic->rows = (struct vqr_rows){.columns = synthetic->columns, .column_count = count, .rows = rows};
    for (size_t i = 0; i < count; i++) {
        struct vqr_header_feature feature;
        vqr_header_feature(header, group, i, &feature);
        if (!fill_column(&synthetic->owned[i], &synthetic->columns[i], header, &feature, rows, &seed))
            return false;
    }
    if (group == VQR_EVENT)
        match_items(synthetic, header, &seed);
    return true;
}

void synthetic_free(struct synthetic *synthetic)
{
    for (size_t i = 0; synthetic->owned != NULL && i < synthetic->rows.column_count; i++) {
        free(synthetic->owned[i].values);
        free(synthetic->owned[i].offsets);
    }
    free(synthetic->owned);
    free(synthetic->columns);
    *synthetic = (struct synthetic){0};
}
