/* Texts that threads make in any order, written in the order of their numbers.
 *
 * At most ORDERED_WAITING texts wait for the ones before them: a thread that is further ahead than that waits, so
 * memory stays bounded however unequal the work is. */
#ifndef TOOLS_ORDERED_H
#define TOOLS_ORDERED_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { ORDERED_WAITING = 256 };

struct ordered {
    FILE *out;
    bool flush; /* after each text: whoever drives the command through a pipe waits for it */

    pthread_mutex_t mutex; /* the rest is its own */
    bool failed;           /* nothing more is written */
    pthread_cond_t advanced;
    uint64_t next; /* number of the text to write next */
    struct ordered_text {
        char *text; /* NULL: not there yet */
        size_t size;
    } waiting[ORDERED_WAITING]; /* text i at i % ORDERED_WAITING */
};

void ordered_init(struct ordered *ordered, FILE *out, bool flush);

/* Takes `text` (malloc'ed, of `size` bytes) as number `number`; numbers start at 0 and every one must come once. May
 * wait for those before it. False once writing has failed. */
bool ordered_put(struct ordered *ordered, uint64_t number, char *text, size_t size);

/* Some number will not come: lets everyone who waits go, and writes nothing more. */
void ordered_fail(struct ordered *ordered);

/* When no thread uses it any more. */
void ordered_free(struct ordered *ordered);

#endif
