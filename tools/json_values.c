#include "json_values.h"

json_t *json_from_text(const char *text)
{
    json_t *string = json_string(text);
    return string != NULL ? string : json_string("(not UTF-8)");
}

json_t *json_from_whole(uint64_t value)
{
    return json_integer((json_int_t)value);
}
