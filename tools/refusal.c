#include "refusal.h"

#include <stdarg.h>
#include <stdio.h>

bool refuse(struct refusal *refusal, const char *code, const char *format, ...)
{
    va_list arguments;
    refusal->code = code;
    va_start(arguments, format);
    vsnprintf(refusal->message, sizeof refusal->message, format, arguments);
    va_end(arguments);
    return false;
}

bool refuse_memory(struct refusal *refusal, const char *what)
{
    return refuse(refusal, "memory", "out of memory for %s", what);
}
