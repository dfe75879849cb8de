/* Text from files and requests on its way to people. */
#ifndef TOOLS_TEXT_H
#define TOOLS_TEXT_H

#include <stdio.h>

/* Bytes of `text` that a message should quote: at most `limit`, cut between UTF-8 characters. */
int text_quoted_length(const char *text, int limit);

/* Prints `text` with '?' for control characters: it must not move a terminal's cursor. */
void text_print_clean(FILE *out, const char *text);

/* The same, then blanks up to `width` bytes in all. */
void text_print_padded(FILE *out, const char *text, int width);

#endif
