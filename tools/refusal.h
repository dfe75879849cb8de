/* Why a request is not answered: a code for programs (one lower-case word, docs/command.md lists them) and a line for
 * people that names the key. */
#ifndef TOOLS_REFUSAL_H
#define TOOLS_REFUSAL_H

#include <stdbool.h>

enum { REFUSAL_MESSAGE_SIZE = 512 };

struct refusal {
    const char *code; /* static storage */
    char message[REFUSAL_MESSAGE_SIZE];
};

/* Fills *refusal and returns false, so that a reader can `return refuse(...)`. `code` must have static storage. */
bool refuse(struct refusal *refusal, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The same with code `memory`: out of memory for `what`. */
bool refuse_memory(struct refusal *refusal, const char *what);

#endif
