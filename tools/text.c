#include "text.h"

#include <stdbool.h>
#include <string.h>

int text_quoted_length(const char *text, int limit)
{
    int length = 0;
    while (length < limit && text[length] != '\0')
        length++;
    /* Bytes 10xxxxxx continue a character: if the cut would fall before one, go back to where its character starts. */
    while (length > 0 && ((unsigned char)text[length] & 0xc0u) == 0x80u)
        length--;
    return length;
}

void text_print_clean(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        const unsigned char byte = (unsigned char)*text, next = (unsigned char)text[1];
        const bool c1 = byte == 0xc2 && next >= 0x80 && next < 0xa0; /* U+0080 to U+009F, in UTF-8 */
        fputc(c1 || byte < 0x20 || byte == 0x7f ? '?' : byte, out);
        text += c1;
    }
}

void text_print_padded(FILE *out, const char *text, int width)
{
    text_print_clean(out, text);
    fprintf(out, "%*s", (int)strlen(text) < width ? width - (int)strlen(text) : 0, "");
}
