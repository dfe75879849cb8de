/* Reads lines from a descriptor as they arrive: a request that comes through a pipe is handed on at once. */
#ifndef TOOLS_LINES_H
#define TOOLS_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A history of a million events is some 60 MB of JSON, and its values take ten times that once parsed. */
enum { LINE_LENGTH_MAX = 256 * 1024 * 1024 };

enum line_status {
    LINE_READ,     /* a line that is not blank is at `text` */
    LINE_TOO_LONG, /* a line of more than `limit` bytes was skipped */
    LINE_END,      /* no more lines, or the reader was woken */
    LINE_FAILED    /* errno says why */
};

struct line_reader {
    int descriptor;
    int wake;     /* a descriptor that ends the lines once it can be read or has hung up; -1: none */
    size_t limit; /* bytes of the longest line */
    char *text;   /* the current line, without its end; the caller may overwrite it until the next call */
    size_t length;
    uint64_t number; /* of the current line, from 1 */

    char *buffer; /* the rest is the reader's own */
    size_t start, end, capacity;
    bool finished;
};

/* Lines of `descriptor`; the caller may set `wake` before the first. */
void lines_init(struct line_reader *reader, int descriptor, size_t limit);
enum line_status lines_next(struct line_reader *reader);
void lines_free(struct line_reader *reader);

#endif
