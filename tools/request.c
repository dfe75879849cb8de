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

static bool refuse_memory(struct refusal *refusal)
{
    return refuse(refusal, "memory", "out of memory for the values of the request");
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

static size_t value_size(enum vqr_feature_kind kind)
{
    return kind == VQR_FEATURE_ID ? sizeof(struct vqr_id)
                                  : (kind == VQR_FEATURE_TIME ? sizeof(int64_t) : sizeof(double));
}

static enum vqr_column_type column_type(enum vqr_feature_kind kind)
{
    return kind == VQR_FEATURE_ID ? VQR_COLUMN_ID : (kind == VQR_FEATURE_TIME ? VQR_COLUMN_INT64 : VQR_COLUMN_FLOAT64);
}

static bool grow_buffer(struct request_buffer *buffer, size_t value_bytes, size_t rows)
{
    void *values = rows > SIZE_MAX / value_bytes ? NULL : realloc(buffer->values, rows * value_bytes);
    if (values == NULL)
        return false;
    buffer->values = values;
    uint8_t *present = realloc(buffer->present, rows);
    if (present == NULL)
        return false;
    buffer->present = present;
    return true;
}

/* Makes room for `rows` rows, all of them absent. */
static bool clear_group(struct request *request, int group, size_t rows)
{
    struct request_group *into = &request->groups[group];
    const size_t count = request->schema->count[group];
    if (rows > into->capacity) {
        const size_t capacity = rows > SIZE_MAX / 2 || rows < 16 ? rows + 16 : rows + rows / 2;
        for (size_t i = 0; i < count; i++)
            if (!grow_buffer(&into->buffers[i], value_size(request->schema->features[group][i].kind), capacity))
                return false;
        into->capacity = capacity;
    }
    for (size_t i = 0; i < count; i++) {
        if (rows > 0)
            memset(into->buffers[i].present, 0, rows);
        into->buffers[i].filled = 0;
    }
    return true;
}

/* The group's buffers as the library takes them. */
static struct vqr_rows finish_group(struct request *request, int group, size_t rows)
{
    struct request_group *from = &request->groups[group];
    const size_t count = request->schema->count[group];
    for (size_t i = 0; i < count; i++) {
        const struct request_buffer *buffer = &from->buffers[i];
        struct vqr_column *column = &from->columns[i];
        column->type = buffer->filled == 0 ? VQR_COLUMN_ABSENT : column_type(request->schema->features[group][i].kind);
        column->values = buffer->filled == 0 ? NULL : buffer->values;
        column->present = buffer->filled == 0 || buffer->filled == rows ? NULL : buffer->present;
    }
    return (struct vqr_rows){.columns = from->columns, .column_count = count, .rows = rows};
}

/* ---- values ---- */

static bool read_id(const struct request *request, int group, size_t row, const char *feature, const json_t *value,
                    struct vqr_id *id, struct refusal *refusal)
{
    if (json_is_integer(value)) {
        *id = (struct vqr_id){.string = NULL, .value = json_integer_value(value)};
        return true;
    }
    if (json_is_string(value) && !document_is_overflow(&request->document, value)) {
        *id = (struct vqr_id){.string = json_string_value(value), .value = (int64_t)json_string_length(value)};
        return true;
    }
    return refuse_value(request, group, row, feature, "an integer or a string", value, refusal);
}

/* Value of feature `index` in row `row`; the JSON is known not to be null. */
static bool read_value(struct request *request, int group, size_t row, size_t index, const json_t *value,
                       struct refusal *refusal)
{
    const struct vqr_feature *feature = &request->schema->features[group][index];
    struct request_buffer *buffer = &request->groups[group].buffers[index];
    switch (feature->kind) {
    case VQR_FEATURE_ID:
        if (!read_id(request, group, row, feature->name, value, (struct vqr_id *)buffer->values + row, refusal))
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
        return refuse_memory(refusal);
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
        return refuse_memory(refusal);
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
        }
        free(from->buffers);
        free(from->columns);
        *from = (struct request_group){0};
    }
}
