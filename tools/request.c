#include "request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { WHERE_SIZE = 64, QUOTE_MAX = 64, KEY_LIST_SIZE = 256 };

static const char *const group_keys[VQR_GROUPS] = {"user", "context", "events", "candidates"};

/* ---- messages ---- */

/* "user", "events[3]": where a value stands. */
static void describe_row(char where[WHERE_SIZE], int group, size_t row)
{
    if (group == VQR_USER || group == VQR_CONTEXT)
        snprintf(where, WHERE_SIZE, "%s", group_keys[group]);
    else
        snprintf(where, WHERE_SIZE, "%s[%zu]", group_keys[group], row);
}

/* `value` at `where` is not `expected`: a number that no type holds is a matter of range, the rest of type. */
static bool refuse_type(const struct request *request, const char *where, const char *expected, const json_t *value,
                        struct refusal *refusal)
{
    if (document_is_overflow(&request->document, value))
        return refuse(refusal, "range", "%s: expected %s, found a number too large for 64 bits", where, expected);
    return refuse(refusal, "type", "%s: expected %s, found %s", where, expected, document_type_name(value));
}

static bool refuse_value(const struct request *request, int group, size_t row, const char *feature,
                         const char *expected, const json_t *value, struct refusal *refusal)
{
    char where[WHERE_SIZE], place[WHERE_SIZE + QUOTE_MAX + 2];
    describe_row(where, group, row);
    snprintf(place, sizeof place, "%s.%.*s", where, text_quoted_length(feature, QUOTE_MAX), feature);
    return refuse_type(request, place, expected, value, refusal);
}

static bool refuse_unknown(const struct request_schema *schema, int group, size_t row, const char *key,
                           struct refusal *refusal)
{
    char where[WHERE_SIZE], known[KEY_LIST_SIZE] = "";
    size_t used = 0;
    describe_row(where, group, row);
    for (size_t i = 0; i < schema->count[group] && used < sizeof known; i++) {
        const int length =
            snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ", schema->features[group][i].name);
        used += length < 0 ? 0 : (size_t)length;
    }
    return refuse(refusal, "unknown", "%s: unknown key \"%.*s\", the model has %s", where,
                  text_quoted_length(key, QUOTE_MAX), key, used == 0 ? "no features here" : known);
}

/* ---- buffers ---- */

/* Bytes that one row takes in a buffer's values; lists grow by ids instead. */
static size_t value_size(const struct vqr_feature *feature)
{
    switch (feature->kind) {
    case VQR_FEATURE_ID:
        return sizeof(struct vqr_id);
    case VQR_FEATURE_TIME:
        return sizeof(int64_t);
    case VQR_FEATURE_VECTOR:
        return feature->width * sizeof(double);
    case VQR_FEATURE_IDS:
        return 0;
    case VQR_FEATURE_FLOAT:
    default:
        return sizeof(double);
    }
}

static enum vqr_column_type column_type(enum vqr_feature_kind kind)
{
    switch (kind) {
    case VQR_FEATURE_ID:
        return VQR_COLUMN_ID;
    case VQR_FEATURE_TIME:
        return VQR_COLUMN_INT64;
    case VQR_FEATURE_IDS:
        return VQR_COLUMN_LISTS;
    default:
        return VQR_COLUMN_FLOAT64;
    }
}

/* Room for `count` elements of `size` bytes in *array; false, and *array as it was, when there is none. */
static bool grow(void **array, size_t count, size_t size)
{
    void *grown = size != 0 && count > SIZE_MAX / size ? NULL : realloc(*array, count * size);
    if (grown == NULL)
        return false;
    *array = grown;
    return true;
}

static bool grow_buffer(struct request_buffer *buffer, const struct vqr_feature *feature, size_t rows)
{
    void *present = buffer->present, *offsets = buffer->offsets;
    const bool lists = feature->kind == VQR_FEATURE_IDS;
    if (!lists && !grow(&buffer->values, rows, value_size(feature)))
        return false;
    if (lists && !grow(&offsets, rows + 1, sizeof *buffer->offsets))
        return false;
    buffer->offsets = offsets;
    const bool grown = grow(&present, rows, sizeof *buffer->present);
    buffer->present = present;
    return grown;
}

/* Makes room for `rows` rows, all of them absent. */
static bool clear_group(struct request *request, int group, size_t rows)
{
    struct request_group *into = &request->groups[group];
    const size_t count = request->schema->count[group];
    if (rows > into->capacity) {
        const size_t capacity = rows > SIZE_MAX / 2 || rows < 16 ? rows + 16 : rows + rows / 2;
        for (size_t i = 0; i < count; i++)
            if (!grow_buffer(&into->buffers[i], &request->schema->features[group][i], capacity))
                return false;
        into->capacity = capacity;
    }
    for (size_t i = 0; i < count; i++) {
        if (rows > 0)
            memset(into->buffers[i].present, 0, rows);
        into->buffers[i].filled = into->buffers[i].listed = into->buffers[i].ids = 0;
    }
    return true;
}

/* Says where the lists of rows up to `row` start that were not read: they are empty. */
static void skip_lists(struct request_buffer *buffer, size_t row)
{
    for (; buffer->listed <= row; buffer->listed++)
        buffer->offsets[buffer->listed] = buffer->ids;
}

/* The group's buffers as the library takes them. */
static struct vqr_rows finish_group(struct request *request, int group, size_t rows)
{
    struct request_group *from = &request->groups[group];
    const size_t count = request->schema->count[group];
    for (size_t i = 0; i < count; i++) {
        struct request_buffer *buffer = &from->buffers[i];
        struct vqr_column *column = &from->columns[i];
        column->type = buffer->filled == 0 ? VQR_COLUMN_ABSENT : column_type(request->schema->features[group][i].kind);
        column->values = buffer->filled == 0 ? NULL : buffer->values;
        column->present = buffer->filled == 0 || buffer->filled == rows ? NULL : buffer->present;
        if (column->type == VQR_COLUMN_LISTS) {
            skip_lists(buffer, rows);
            buffer->lists = (struct vqr_lists){VQR_COLUMN_ID, buffer->values, buffer->offsets};
            column->values = &buffer->lists;
        }
    }
    return (struct vqr_rows){.columns = from->columns, .column_count = count, .rows = rows};
}

/* ---- values ---- */

/* Whether an id could be read from the value. */
static bool take_id_value(const struct request *request, const json_t *value, struct vqr_id *id)
{
    if (json_is_integer(value)) {
        *id = (struct vqr_id){.string = NULL, .value = json_integer_value(value)};
        return true;
    }
    if (json_is_string(value) && !document_is_overflow(&request->document, value)) {
        *id = (struct vqr_id){.string = json_string_value(value), .value = (int64_t)json_string_length(value)};
        return true;
    }
    return false;
}

static const char id_expected[] = "an integer or a string";

/* "image[3]": element i of a feature's value. */
static bool refuse_element(const struct request *request, int group, size_t row, const char *feature, size_t i,
                           const char *expected, const json_t *value, struct refusal *refusal)
{
    char element[QUOTE_MAX + 32];
    snprintf(element, sizeof element, "%.*s[%zu]", text_quoted_length(feature, QUOTE_MAX), feature, i);
    return refuse_value(request, group, row, element, expected, value, refusal);
}

static bool read_list(const struct request *request, int group, size_t row, const char *feature, const json_t *value,
                      struct request_buffer *buffer, struct refusal *refusal)
{
    if (!json_is_array(value))
        return refuse_value(request, group, row, feature, "an array of ids", value, refusal);
    const size_t count = json_array_size(value);
    if (count > buffer->id_capacity - buffer->ids) {
        const size_t capacity = 2 * buffer->id_capacity + count + 16;
        if (!grow(&buffer->values, capacity, sizeof(struct vqr_id)))
            return refuse_memory(refusal, "the values of the request");
        buffer->id_capacity = capacity;
    }
    skip_lists(buffer, row);
    for (size_t i = 0; i < count; i++) {
        const json_t *element = json_array_get(value, i);
        if (!take_id_value(request, element, (struct vqr_id *)buffer->values + buffer->ids))
            return refuse_element(request, group, row, feature, i, id_expected, element, refusal);
        buffer->ids++;
    }
    return true;
}

static bool read_vector(const struct request *request, int group, size_t row, const struct vqr_feature *feature,
                        const json_t *value, double *numbers, struct refusal *refusal)
{
    if (!json_is_array(value) || json_array_size(value) != feature->width) {
        char expected[64], found[64] = "";
        snprintf(expected, sizeof expected, "an array of %zu numbers", feature->width);
        if (!json_is_array(value))
            return refuse_value(request, group, row, feature->name, expected, value, refusal);
        describe_row(found, group, row);
        return refuse(refusal, "type", "%s.%.*s: expected %s, found one of %zu", found,
                      text_quoted_length(feature->name, QUOTE_MAX), feature->name, expected, json_array_size(value));
    }
    for (size_t i = 0; i < feature->width; i++) {
        const json_t *element = json_array_get(value, i);
        if (!json_is_number(element))
            return refuse_element(request, group, row, feature->name, i, "a number", element, refusal);
        numbers[i] = json_number_value(element);
    }
    return true;
}

/* Value of feature `index` in row `row`; the JSON is known not to be null. */
static bool read_value(struct request *request, int group, size_t row, size_t index, const json_t *value,
                       struct refusal *refusal)
{
    const struct vqr_feature *feature = &request->schema->features[group][index];
    struct request_buffer *buffer = &request->groups[group].buffers[index];
    switch (feature->kind) {
    case VQR_FEATURE_ID:
        if (!take_id_value(request, value, (struct vqr_id *)buffer->values + row))
            return refuse_value(request, group, row, feature->name, id_expected, value, refusal);
        break;
    case VQR_FEATURE_IDS:
        if (!read_list(request, group, row, feature->name, value, buffer, refusal))
            return false;
        break;
    case VQR_FEATURE_VECTOR:
        if (!read_vector(request, group, row, feature, value, (double *)buffer->values + row * feature->width, refusal))
            return false;
        break;
    case VQR_FEATURE_TIME:
        if (!json_is_integer(value))
            return refuse_value(request, group, row, feature->name, "integer unix seconds", value, refusal);
        ((int64_t *)buffer->values)[row] = json_integer_value(value);
        break;
    case VQR_FEATURE_FLOAT:
    default:
        if (!json_is_number(value))
            return refuse_value(request, group, row, feature->name, "a number", value, refusal);
        ((double *)buffer->values)[row] = json_number_value(value);
        break;
    }
    buffer->present[row] = 1;
    buffer->filled++;
    return true;
}

/* The index of the feature called `key`, or the number of features. Writers tend to put keys in the same order in every
 * object, so the search starts at `guess`. */
static size_t find_feature(const struct request_schema *schema, int group, const char *key, size_t guess)
{
    const size_t count = schema->count[group];
    for (size_t step = 0; step < count; step++) {
        const size_t index = (guess + step) % count;
        if (strcmp(schema->features[group][index].name, key) == 0)
            return index;
    }
    return count;
}

static bool read_row(struct request *request, int group, size_t row, json_t *object, struct refusal *refusal)
{
    const size_t count = request->schema->count[group];
    size_t guess = 0;
    const char *key;
    json_t *value;
    if (!json_is_object(object)) {
        char where[WHERE_SIZE];
        describe_row(where, group, row);
        return refuse_type(request, where, "an object", object, refusal);
    }
    json_object_foreach(object, key, value)
    {
        const size_t index = find_feature(request->schema, group, key, guess);
        if (index == count)
            return refuse_unknown(request->schema, group, row, key, refusal);
        if (!json_is_null(value) && !read_value(request, group, row, index, value, refusal))
            return false;
        guess = index + 1;
    }
    return true;
}

/* ---- the parts of a request ---- */

/* `user` or `context`: one row, or none when the request does not have it. */
static bool read_single(struct request *request, int group, struct vqr_rows *rows, struct refusal *refusal)
{
    json_t *object = json_object_get(request->document.root, group_keys[group]);
    if (object == NULL) {
        *rows = (struct vqr_rows){0};
        return true;
    }
    if (!clear_group(request, group, 1))
        return refuse_memory(refusal, "the values of the request");
    if (!read_row(request, group, 0, object, refusal))
        return false;
    *rows = finish_group(request, group, 1);
    return true;
}

/* `events` or `candidates`: an array of rows. */
static bool read_array(struct request *request, int group, struct vqr_rows *rows, struct refusal *refusal)
{
    const json_t *array = json_object_get(request->document.root, group_keys[group]);
    if (array == NULL && group == VQR_CANDIDATE)
        return refuse(refusal, "missing", "key \"candidates\" is missing: give an array of objects, [] for none");
    if (array != NULL && !json_is_array(array))
        return refuse_type(request, group_keys[group], "an array of objects", array, refusal);
    const size_t count = json_array_size(array);
    if (!clear_group(request, group, count))
        return refuse_memory(refusal, "the values of the request");
    for (size_t row = 0; row < count; row++)
        if (!read_row(request, group, row, json_array_get(array, row), refusal))
            return false;
    *rows = finish_group(request, group, count);
    return true;
}

/* Sets request->id where there is one to answer with; says nothing of the others yet. */
static void take_id(struct request *request)
{
    const json_t *id = json_object_get(request->document.root, "id");
    if (json_is_integer(id) || (json_is_string(id) && !document_is_overflow(&request->document, id)))
        request->id = id;
}

static bool check_keys(const struct request *request, struct refusal *refusal)
{
    const char *key;
    json_t *value;
    json_object_foreach(request->document.root, key, value)
    {
        bool known = strcmp(key, "id") == 0 || strcmp(key, "time") == 0;
        for (int group = 0; group < VQR_GROUPS; group++)
            known = known || strcmp(key, group_keys[group]) == 0;
        if (!known) {
            return refuse(refusal, "unknown",
                          "unknown key \"%.*s\", a request has id, time, user, context, events, candidates",
                          text_quoted_length(key, QUOTE_MAX), key);
        }
    }
    return true;
}

static bool check_id(const struct request *request, struct refusal *refusal)
{
    const json_t *id = json_object_get(request->document.root, "id");
    if (id == NULL)
        return refuse(refusal, "missing", "key \"id\" is missing: give a string or an integer");
    return request->id != NULL || refuse_type(request, "id", "a string or an integer", id, refusal);
}

static bool read_time(struct request *request, struct refusal *refusal)
{
    const json_t *time = json_object_get(request->document.root, "time");
    if (time != NULL && !json_is_integer(time))
        return refuse_type(request, "time", "integer unix seconds", time, refusal);
    request->has_time = time != NULL;
    request->time = time != NULL ? json_integer_value(time) : 0;
    return true;
}

/* ---- the face ---- */

bool request_init(struct request *request, const struct request_schema *schema)
{
    *request = (struct request){.schema = schema};
    for (int group = 0; group < VQR_GROUPS; group++) {
        struct request_group *into = &request->groups[group];
        if (schema->count[group] == 0)
            continue;
        into->buffers = calloc(schema->count[group], sizeof *into->buffers);
        into->columns = calloc(schema->count[group], sizeof *into->columns);
        if (into->buffers == NULL || into->columns == NULL)
            return false;
    }
    return true;
}

bool request_read(struct request *request, char *line, size_t length, struct refusal *refusal)
{
    document_free(&request->document);
    request->id = NULL;
    const bool parsed = document_parse(&request->document, line, length, refusal);
    if (json_is_object(request->document.root))
        take_id(request);
    if (!parsed)
        return false;
    if (!json_is_object(request->document.root))
        return refuse_type(request, "request", "an object", request->document.root, refusal);
    if (!check_keys(request, refusal) || !check_id(request, refusal) || !read_time(request, refusal) ||
        !read_single(request, VQR_USER, &request->score.user, refusal) ||
        !read_single(request, VQR_CONTEXT, &request->score.context, refusal) ||
        !read_array(request, VQR_EVENT, &request->events, refusal) ||
        !read_array(request, VQR_CANDIDATE, &request->score.candidates, refusal))
        return false;
    request->score.time = request->has_time ? &request->time : NULL;
    /* Every place that takes a value has refused it by now; a request with a number lost must never pass. */
    return !request->document.overflow || refuse(refusal, "range", "a number is too large for 64 bits");
}

void request_free(struct request *request)
{
    document_free(&request->document);
    for (int group = 0; group < VQR_GROUPS; group++) {
        struct request_group *from = &request->groups[group];
        for (size_t i = 0; from->buffers != NULL && i < request->schema->count[group]; i++) {
            free(from->buffers[i].values);
            free(from->buffers[i].present);
            free(from->buffers[i].offsets);
        }
        free(from->buffers);
        free(from->columns);
        *from = (struct request_group){0};
    }
}
