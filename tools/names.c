#include "names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

/* ---- the file ---- */

/* The whole file, NUL-terminated, at *text. */
static bool read_text(FILE *file, char **text, size_t *length)
{
    size_t capacity = 64 * 1024;
    char *buffer = malloc(capacity + 1);
    *length = 0;
    while (buffer != NULL) {
        *length += fread(buffer + *length, 1, capacity - *length, file);
        if (*length < capacity)
            break;
        capacity *= 2;
        char *larger = realloc(buffer, capacity + 1);
        if (larger == NULL)
            free(buffer);
        buffer = larger;
    }
    if (buffer == NULL) {
        errno = ENOMEM;
        return false;
    }
    buffer[*length] = '\0';
    *text = buffer;
    return !ferror(file);
}

static bool load_text(const char *path, char **text, struct refusal *refusal)
{
    size_t length = 0;
    FILE *file = fopen(path, "rb");
    *text = NULL;
    if (file == NULL || !read_text(file, text, &length)) {
        const int reason = errno;
        if (file != NULL)
            fclose(file);
        return refuse(refusal, "names", "cannot read %s: %s", path, strerror(reason));
    }
    fclose(file);
    if (strlen(*text) != length)
        return refuse(refusal, "names", "%s: not a CSV file, it has NUL bytes", path);
    return true;
}

/* ---- fields ---- */

/* Cuts the quoted field that starts after *cursor's quote, in place; false when its quote never closes. */
static bool cut_quoted(char **cursor)
{
    char *read = *cursor + 1, *write = *cursor;
    while (*read != '"' || read[1] == '"') {
        if (*read == '\0')
            return false;
        read += *read == '"' ? 1 : 0;
        *write++ = *read++;
    }
    /* `write` is at least one byte behind `read`, so the field's end does not hide what follows. */
    *write = '\0';
    *cursor = read + 1;
    return true;
}

/* Cuts one field out of the text, in place, and says what ended it: ',', '\n', '\0' for the end of the file, or '"'
 * when the quoting is damaged. */
static char cut_field(char **cursor, char **field)
{
    char *end;
    *field = *cursor;
    if (**cursor == '"') {
        if (!cut_quoted(cursor))
            return '"';
        end = *cursor;
    } else {
        end = *cursor + strcspn(*cursor, ",\r\n");
    }
    char ended = *end;
    char *next = end + 1;
    if (ended == '\r' && *next == '\n') {
        ended = '\n';
        next++;
    }
    *end = '\0';
    *cursor = ended == '\0' ? end : next;
    return ended == ',' || ended == '\n' || ended == '\0' ? ended : '"';
}

/* One record: its first two fields, the others skipped. False when the quoting is damaged. *fields counts them. */
static bool cut_record(char **cursor, struct name_entry *entry, size_t *fields)
{
    char ended = ',';
    *entry = (struct name_entry){0};
    for (*fields = 0; ended == ','; ++*fields) {
        char *field;
        ended = cut_field(cursor, &field);
        if (*fields == 0)
            entry->id = field;
        else if (*fields == 1)
            entry->name = field;
    }
    return ended != '"';
}

/* ---- the table ---- */

static int compare_entries(const void *left, const void *right)
{
    return strcmp(((const struct name_entry *)left)->id, ((const struct name_entry *)right)->id);
}

static bool add_entry(struct names *names, size_t *capacity, const struct name_entry *entry)
{
    if (names->count == *capacity) {
        const size_t larger = 2 * *capacity + 1024;
        struct name_entry *entries = realloc(names->entries, larger * sizeof *entries);
        if (entries == NULL)
            return false;
        names->entries = entries;
        *capacity = larger;
    }
    names->entries[names->count++] = *entry;
    return true;
}

/* Reads every record after the header. */
static bool read_entries(struct names *names, const char *path, struct refusal *refusal)
{
    char *cursor = names->text;
    struct name_entry entry;
    size_t fields, capacity = 0, record = 1;
    if (!cut_record(&cursor, &entry, &fields) || fields < 2 || strcmp(entry.id, "id") != 0 ||
        strcmp(entry.name, "name") != 0)
        return refuse(refusal, "names", "%s: the first line must be id,name", path);
    while (*cursor != '\0') {
        record++;
        if (!cut_record(&cursor, &entry, &fields))
            return refuse(refusal, "names", "%s: record %zu has damaged quotes", path, record);
        if (fields == 1 && entry.id[0] == '\0')
            continue;
        if (fields < 2)
            return refuse(refusal, "names", "%s: record %zu has one field, expected id,name", path, record);
        if (!add_entry(names, &capacity, &entry))
            return refuse(refusal, "names", "%s: out of memory", path);
    }
    return true;
}

bool names_load(struct names *names, const char *path, struct refusal *refusal)
{
    *names = (struct names){0};
    if (!load_text(path, &names->text, refusal) || !read_entries(names, path, refusal))
        return false;
    if (names->count > 0)
        qsort(names->entries, names->count, sizeof *names->entries, compare_entries);
    for (size_t i = 1; i < names->count; i++) {
        if (strcmp(names->entries[i - 1].id, names->entries[i].id) == 0) {
            return refuse(refusal, "names", "%s: id %.*s appears twice", path,
                          text_quoted_length(names->entries[i].id, 64), names->entries[i].id);
        }
    }
    return true;
}

const char *names_find(const struct names *names, const struct vqr_id *id)
{
    char decimal[32];
    snprintf(decimal, sizeof decimal, "%" PRId64, id->value);
    if (id->string != NULL && strlen(id->string) != (size_t)id->value)
        return NULL; /* the file has no NUL bytes, so no name for an id with one */
    const struct name_entry key = {.id = id->string != NULL ? id->string : decimal};
    const struct name_entry *found =
        names->count == 0 ? NULL : bsearch(&key, names->entries, names->count, sizeof *names->entries, compare_entries);
    return found != NULL ? found->name : NULL;
}

void names_free(struct names *names)
{
    free(names->text);
    free(names->entries);
    *names = (struct names){0};
}
