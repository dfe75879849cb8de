#include "relevance.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "document.h"
#include "lines.h"
#include "text.h"

/* The id as JSON writes it: 5 and "5" are two requests, and U+0000 is written \u0000. free() it; NULL when out of
 * memory. */
static char *make_key(const json_t *id)
{
    return json_dumps(id, JSON_ENCODE_ANY);
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
    json_t *ids = json_object_get(root, "relevant");
    const json_t *id = json_object_get(root, "id");
    if (!json_is_object(root) || json_object_size(root) != 2 || ids == NULL ||
        (!json_is_integer(id) && !json_is_string(id)))
        return refuse(refusal, "type", "expected {\"id\": REQUEST_ID, \"relevant\": [ID, ...]} and nothing else");
    if (!check_ids(ids, refusal))
        return false;
    char *key = make_key(id);
    bool added = key != NULL;
    if (added && json_object_get(relevance->lists, key) != NULL)
        added = refuse(refusal, "duplicate", "request %.*s appears twice", text_quoted_length(key, 200), key);
    else if (!added || json_object_set(relevance->lists, key, ids) != 0)
        added = refuse_memory(refusal, "the relevant ids");
    free(key);
    return added;
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
                                                 : refuse_memory(refusal, "the relevant ids");
    lines_free(&lines);
    close(descriptor);
    return loaded;
}

const json_t *relevance_find(const struct relevance *relevance, const json_t *request_id)
{
    char *key = make_key(request_id);
    const json_t *found = key != NULL ? json_object_get(relevance->lists, key) : NULL;
    free(key);
    return found;
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
