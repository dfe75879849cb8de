#include "document.h"

#include <string.h>

/* The JSON library stops at a number that it cannot hold, without saying where in the document it stands. The number is
 * then overwritten by this string and the line parsed again. It is U+FFFF, which is no character and so in no sane
 * request, in quotes: five bytes, and no number that overflows is shorter (1e309). */
static const char overflow_text[] = "\xef\xbf\xbf";
enum { OVERFLOW_TEXT_SIZE = sizeof overflow_text - 1, OVERFLOW_TOKEN_SIZE = OVERFLOW_TEXT_SIZE + 2 };

/* Each overflow costs one more pass over the line, so there is an end to it. */
enum { OVERFLOWS_MAX = 8 };

static bool is_number_byte(char byte)
{
    return byte != '\0' && strchr("0123456789+-.eE", byte) != NULL;
}

/* Overwrites the number that ends at `end`; false if there is none. */
static bool mark_overflow(char *line, size_t length, size_t end)
{
    size_t start = end <= length ? end : 0;
    while (start > 0 && is_number_byte(line[start - 1]))
        start--;
    if (end > length || end - start < OVERFLOW_TOKEN_SIZE)
        return false;
    memset(line + start, ' ', end - start);
    line[start] = '"';
    memcpy(line + start + 1, overflow_text, OVERFLOW_TEXT_SIZE);
    line[start + 1 + OVERFLOW_TEXT_SIZE] = '"';
    return true;
}

/* The text between the quotes of the key that ends at `end`, NULL if there is none. */
static const char *key_before(const char *line, size_t length, size_t end, size_t *key_length)
{
    if (end < 2 || end > length || line[end - 1] != '"')
        return NULL;
    for (size_t start = end - 1; start > 0; start--) {
        if (line[start - 1] == '"' && (start < 2 || line[start - 2] != '\\')) {
            *key_length = end - 1 - start;
            return line + start;
        }
    }
    return NULL;
}

/* A duplicate `id` is worse than others: there is no telling which one to answer with. */
static bool refuse_duplicate(const char *line, size_t length, size_t end, struct refusal *refusal)
{
    size_t key_length = 0;
    const char *key = key_before(line, length, end, &key_length);
    if (key == NULL || key_length > 64) {
        refuse(refusal, "duplicate", "a key appears twice in one object (byte %zu)", end);
        return false;
    }
    refuse(refusal, "duplicate", "key \"%.*s\" appears twice in one object (byte %zu)", (int)key_length, key, end);
    return key_length == 2 && memcmp(key, "id", 2) == 0;
}

static bool refuse_syntax(const json_error_t *error, struct refusal *refusal)
{
    if (json_error_code(error) == json_error_out_of_memory)
        return refuse(refusal, "memory", "out of memory while reading the request");
    return refuse(refusal, "json", "not JSON: %s (byte %d)", error->text, error->position);
}

bool document_parse(struct document *document, char *line, size_t length, struct refusal *refusal)
{
    size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES;
    bool duplicate = false, duplicate_id = false;
    int overflows = 0;

    document->root = NULL;
    document->overflow = false;
    for (;;) {
        json_error_t error;
        document->root = json_loadb(line, length, flags, &error);
        if (document->root != NULL)
            break;
        const size_t position = error.position < 0 ? 0 : (size_t)error.position;
        if (json_error_code(&error) == json_error_duplicate_key) {
            duplicate = true;
            duplicate_id = refuse_duplicate(line, length, position, refusal);
            flags &= ~(size_t)JSON_REJECT_DUPLICATES;
        } else if (json_error_code(&error) == json_error_numeric_overflow) {
            document->overflow = true;
            if (++overflows > OVERFLOWS_MAX || !mark_overflow(line, length, position))
                return refuse(refusal, "range", "a number is too large (byte %zu)", position);
        } else {
            return refuse_syntax(&error, refusal);
        }
    }
    if (duplicate_id)
        document_free(document);
    return !duplicate;
}

bool document_is_overflow(const struct document *document, const json_t *value)
{
    return document->overflow && json_is_string(value) && json_string_length(value) == OVERFLOW_TEXT_SIZE &&
           memcmp(json_string_value(value), overflow_text, OVERFLOW_TEXT_SIZE) == 0;
}

const char *document_type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a real number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
    default:
        return "null";
    }
}

void document_free(struct document *document)
{
    json_decref(document->root);
    document->root = NULL;
}
