#include "text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

/* Bytes 10xxxxxx continue a character. */
static bool continues(char byte)
{
    return ((unsigned char)byte & 0xc0u) == 0x80u;
}

int text_quoted_length(const char *text, int limit)
{
    int length = 0;
    while (length < limit && text[length] != '\0')
        length++;
    /* If the cut would fall inside a character, go back to where it starts. */
    while (length > 0 && continues(text[length]))
        length--;
    return length;
}

void text_print_clean_bytes(FILE *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        const unsigned char byte = (unsigned char)text[i], next = (unsigned char)text[i + 1];
        const bool c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0; /* U+0080 to U+009F, in UTF-8 */
        fputc(c1 || byte < 0x20 || byte == 0x7f ? '?' : byte, out);
        i += c1;
    }
}

void text_print_clean(FILE *out, const char *text)
{
    text_print_clean_bytes(out, text, strlen(text));
}

/* Where character `number` of the text starts. */
static size_t find_character(const char *text, size_t number)
{
    size_t i = 0;
    while (text[i] != '\0' && (number > 0 || continues(text[i]))) {
        i++;
        number -= number > 0 && !continues(text[i]);
    }
    return i;
}

void text_print_short(FILE *out, const char *text, size_t limit)
{
    const size_t head = (limit - 3) / 3, tail = limit - 3 - head;
    size_t characters = 0;
    for (const char *byte = text; *byte != '\0'; byte++)
        characters += !continues(*byte);
    if (characters <= limit) {
        text_print_clean(out, text);
        return;
    }
    text_print_clean_bytes(out, text, find_character(text, head));
    fputs("...", out);
    text_print_clean(out, text + find_character(text, characters - tail));
}

void text_print_padded(FILE *out, const char *text, int width)
{
    text_print_clean(out, text);
    fprintf(out, "%*s", (int)strlen(text) < width ? width - (int)strlen(text) : 0, "");
}

const char *text_grouped(char text[TEXT_NUMBER_SIZE], uint64_t value)
{
    char digits[TEXT_NUMBER_SIZE];
    const int count = snprintf(digits, sizeof digits, "%" PRIu64, value);
    int used = 0;
    for (int i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0)
            text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
    return text;
}

const char *text_weight(char text[TEXT_NUMBER_SIZE], double weight)
{
    enum { WIDTH = 6 };
    if (snprintf(text, TEXT_NUMBER_SIZE, "%.3f", weight) > WIDTH &&
        snprintf(text, TEXT_NUMBER_SIZE, "%.4g", weight) > WIDTH)
        snprintf(text, TEXT_NUMBER_SIZE, "%.0e", weight);
    return text;
}
