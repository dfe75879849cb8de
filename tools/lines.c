#include "lines.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 64 * 1024 };

void lines_init(struct line_reader *reader, int descriptor, size_t limit)
{
    *reader = (struct line_reader){.descriptor = descriptor, .wake = -1, .limit = limit};
}

void lines_free(struct line_reader *reader)
{
    free(reader->buffer);
    reader->buffer = NULL;
}

/* Room for a chunk after `end`: the bytes already handed out go first. */
static bool make_room(struct line_reader *reader)
{
    if (reader->start > 0) {
        memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;
    }
    if (reader->capacity - reader->end >= CHUNK)
        return true;
    const size_t capacity = 2 * reader->capacity + CHUNK;
    char *buffer = realloc(reader->buffer, capacity);
    if (buffer == NULL)
        return false;
    reader->buffer = buffer;
    reader->capacity = capacity;
    return true;
}

/* Waits until there is something to read or to wake up for; says whether it was the latter. */
static bool is_woken(const struct line_reader *reader)
{
    struct pollfd files[] = {{.fd = reader->descriptor, .events = POLLIN}, {.fd = reader->wake, .events = POLLIN}};
    while (reader->wake >= 0 && poll(files, 2, -1) < 0 && errno == EINTR)
        ;
    return files[1].revents != 0;
}

/* Reads what there is; false on an error. */
static bool fill(struct line_reader *reader)
{
    ssize_t count;
    if (is_woken(reader)) {
        reader->finished = true;
        reader->start = reader->end;
        return true;
    }
    if (!make_room(reader)) {
        errno = ENOMEM;
        return false;
    }
    do {
        count = read(reader->descriptor, reader->buffer + reader->end, reader->capacity - reader->end);
    } while (count < 0 && errno == EINTR);
    if (count < 0)
        return false;
    reader->end += (size_t)count;
    reader->finished = count == 0;
    return true;
}

/* Finds the next line, blank or not. */
static enum line_status next_line(struct line_reader *reader)
{
    bool too_long = false;
    size_t scanned = 0; /* bytes after `start` that are known to hold no line end */
    for (;;) {
        const size_t available = reader->end - reader->start;
        char *from = reader->buffer == NULL ? NULL : reader->buffer + reader->start;
        char *line_end = available > scanned ? memchr(from + scanned, '\n', available - scanned) : NULL;
        if (line_end != NULL || (reader->finished && (available > 0 || too_long))) {
            reader->text = from;
            reader->length = line_end != NULL ? (size_t)(line_end - from) : available;
            reader->start += reader->length + (line_end != NULL ? 1 : 0);
            reader->number++;
            return too_long || reader->length > reader->limit ? LINE_TOO_LONG : LINE_READ;
        }
        if (reader->finished)
            return LINE_END;
        scanned = available;
        if (available > reader->limit) {
            too_long = true;
            reader->start = reader->end;
            scanned = 0;
        }
        if (!fill(reader))
            return LINE_FAILED;
    }
}

static bool is_blank(const struct line_reader *reader)
{
    for (size_t i = 0; i < reader->length; i++)
        if (strchr(" \t\r", reader->text[i]) == NULL || reader->text[i] == '\0')
            return false;
    return true;
}

enum line_status lines_next(struct line_reader *reader)
{
    enum line_status status;
    do {
        status = next_line(reader);
    } while (status == LINE_READ && is_blank(reader));
    return status;
}
