#include "response.h"

static void write_json(FILE *out, const json_t *value)
{
    if (value == NULL || json_dumpf(value, out, JSON_ENCODE_ANY | JSON_COMPACT) != 0)
        fputs("null", out);
}

/* `text` quoted and escaped. Messages may quote damaged input or file names, so text that is not UTF-8 is possible:
 * then the bytes that are not ASCII become '?'. */
static void write_text(FILE *out, const char *text)
{
    json_t *value = json_string(text);
    if (value == NULL) {
        char plain[REFUSAL_MESSAGE_SIZE + 32];
        size_t i = 0;
        for (; text[i] != '\0' && i + 1 < sizeof plain; i++)
            plain[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
        plain[i] = '\0';
        value = json_string(plain);
    }
    write_json(out, value);
    json_decref(value);
}

void response_scores(FILE *out, const json_t *id, const struct response_outputs *outputs, const float *scores,
                     size_t candidates)
{
    fputs("{\"id\": ", out);
    write_json(out, id);
    fputs(", \"outputs\": {", out);
    for (size_t output = 0; output < outputs->count; output++) {
        fputs(output == 0 ? "" : ", ", out);
        write_text(out, outputs->names[output]);
        fputs(": [", out);
        for (size_t row = 0; row < candidates; row++)
            fprintf(out, "%s%.9g", row == 0 ? "" : ", ", (double)scores[row * outputs->count + output]);
        fputs("]", out);
    }
    fputs("}}\n", out);
}

void response_refusal(FILE *out, const json_t *id, uint64_t line, const struct refusal *refusal)
{
    char message[REFUSAL_MESSAGE_SIZE + 32];
    if (id == NULL)
        snprintf(message, sizeof message, "line %llu: %s", (unsigned long long)line, refusal->message);
    else
        snprintf(message, sizeof message, "%s", refusal->message);
    fputs("{\"id\": ", out);
    write_json(out, id);
    fputs(", \"error\": {\"code\": ", out);
    write_text(out, refusal->code);
    fputs(", \"message\": ", out);
    write_text(out, message);
    fputs("}}\n", out);
}
