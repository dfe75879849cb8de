/* Text from files and requests on its way to people. */
#ifndef TOOLS_TEXT_H
#define TOOLS_TEXT_H

#include <stdint.h>
#include <stdio.h>

enum { TEXT_NUMBER_SIZE = 32 };

/* Bytes of `text` that a message should quote: at most `limit`, cut between UTF-8 characters. */
int text_quoted_length(const char *text, int limit);

/* Prints `text` with '?' for control characters: it must not move a terminal's cursor. */
void text_print_clean(FILE *out, const char *text);

/* The same of the first `length` bytes, NULs among them, of a text that has at least one byte more. */
void text_print_clean_bytes(FILE *out, const char *text, size_t length);

/* The same in at most `limit` characters of UTF-8 (at least 4): of a longer text the middle gives way to "...", as the
 * ends of paths and of titles tell more. */
void text_print_short(FILE *out, const char *text, size_t limit);

/* text_print_clean, then blanks up to `width` bytes in all. */
void text_print_padded(FILE *out, const char *text, int width);

/* 0.4773 -> "0.477", 1234.5 -> "1234", -1e38 -> "-1e+38": at most 6 characters in `text`, which is returned. */
const char *text_weight(char text[TEXT_NUMBER_SIZE], double weight);

/* 1234567 -> "1,234,567" in `text`, which is returned. */
const char *text_grouped(char text[TEXT_NUMBER_SIZE], uint64_t value);

#endif
