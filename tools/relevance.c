#include "relevance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "document.h"
#include "lines.h"

enum { KEY_SIZE = 512 };

/* Integers and strings get keys of their own kinds: 5 and "5" are two requests. */
static bool make_key(char key[KEY_SIZE], const json_t *id)
{
    int length = -1;
    if (json_is_integer(id))
        length = snprintf(key, KEY_SIZE, "i%" JSON_INTEGER_FORMAT, json_integer_value(id));
    else if (json_is_string(id))
        length = snprintf(key, KEY_SIZE, "s%s", json_string_value(id));
    return length >= 0 && length < KEY_SIZE;
}

static bool check_ids(const json_t *ids, struct refusal *refusal)
{
    size_t i;
    json_t *id;
    if (!json_is_array(ids))
        return refuse(refusal, "type", "\"relevant\" must be an array of ids");
    json_array_foreach(ids, i, id)
    {
        if (!json_is_integer(id) && !json_is_string(id)) {
            return refuse(refusal, "type", "relevant[%zu] must be an integer or a string, found %s", i,
                          document_type_name(id));
        }
    }
    return true;
}

static bool add_line(struct relevance *relevance, const json_t *root, struct refusal *refusal)
{
    char key[KEY_SIZE];
    json_t *ids = json_object_get(root, "relevant");
    if (!json_is_object(root) || json_object_size(root) != 2 || ids == NULL ||
        !make_key(key, json_object_get(root, "id")))
        return refuse(refusal, "type", "expected {\"id\": REQUEST_ID, \"relevant\": [ID, ...]} and nothing else");
    if (!check_ids(ids, refusal))
        return false;
    if (json_object_get(relevance->lists, key) != NULL)
        return refuse(refusal, "duplicate", "request %s appears twice", key + 1);
    return json_object_set(relevance->lists, key, ids) == 0 || refuse(refusal, "memory", "out of memory");
}

static bool read_lines(struct relevance *relevance, struct line_reader *lines, const char *path,
                       struct refusal *refusal)
{
    enum line_status status;
    while ((status = lines_next(lines)) == LINE_READ) {
        struct document document;
        struct refusal reason;
        const bool added = document_parse(&document, lines->text, lines->length, &reason) && !document.overflow &&
                           add_line(relevance, document.root, &reason);
        if (!added && document.overflow)
            refuse(&reason, "range", "a number is too large");
        document_free(&document);
        if (!added) {
            return refuse(refusal, reason.code, "%s line %llu: %.200s", path, (unsigned long long)lines->number,
                          reason.message);
        }
    }
    if (status == LINE_TOO_LONG)
        return refuse(refusal, "limit", "%s line %llu is too long", path, (unsigned long long)lines->number);
    return status == LINE_END || refuse(refusal, "io", "cannot read %s: %s", path, strerror(errno));
}

bool relevance_load(struct relevance *relevance, const char *path, struct refusal *refusal)
{
    struct line_reader lines;
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    *relevance = (struct relevance){0};
    if (descriptor < 0)
        return refuse(refusal, "io", "cannot open %s: %s", path, strerror(errno));
    relevance->lists = json_object();
    lines_init(&lines, descriptor, LINE_LENGTH_MAX);
    const bool loaded = relevance->lists != NULL ? read_lines(relevance, &lines, path, refusal)
                                                 : refuse(refusal, "memory", "out of memory");
    lines_free(&lines);
    close(descriptor);
    return loaded;
}

const json_t *relevance_find(const struct relevance *relevance, const json_t *request_id)
{
    char key[KEY_SIZE];
    return make_key(key, request_id) ? json_object_get(relevance->lists, key) : NULL;
}

bool relevance_equal(const json_t *relevant, const struct vqr_id *id)
{
    if (id->string == NULL)
        return json_is_integer(relevant) && json_integer_value(relevant) == id->value;
    return json_is_string(relevant) && (int64_t)json_string_length(relevant) == id->value &&
           memcmp(json_string_value(relevant), id->string, (size_t)id->value) == 0;
}

void relevance_free(struct relevance *relevance)
{
    json_decref(relevance->lists);
    relevance->lists = NULL;
}
