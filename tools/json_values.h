/* Values of a model on their way into JSON. */
#ifndef TOOLS_JSON_VALUES_H
#define TOOLS_JSON_VALUES_H

#include <jansson.h>
#include <stdint.h>

/* A name of a file, which need not be UTF-8; JSON must be. */
json_t *json_from_text(const char *text);

json_t *json_from_whole(uint64_t value);

#endif
