#include "runtime/error.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const names[] = {
    [VQR_OK] = "ok",
    [VQR_ERROR_ARGUMENT] = "argument",
    [VQR_ERROR_IO] = "io",
    [VQR_ERROR_MEMORY] = "memory",
    [VQR_ERROR_FORMAT] = "format",
    [VQR_ERROR_VERSION] = "version",
    [VQR_ERROR_UNSUPPORTED] = "unsupported",
    [VQR_ERROR_TYPE] = "type",
    [VQR_ERROR_RANGE] = "range",
    [VQR_ERROR_LIMIT] = "limit",
    [VQR_ERROR_STALE] = "stale",
    [VQR_ERROR_OVERFLOW] = "overflow",
    [VQR_ERROR_TABLE] = "table",
};

const char *vqr_status_name(enum vqr_status status)
{
    const size_t i = (size_t)status;
    return i < sizeof names / sizeof *names ? names[i] : "unknown";
}

const char *vqr_version(void)
{
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
    return TEXT(VQR_VERSION_MAJOR) "." TEXT(VQR_VERSION_MINOR) "." TEXT(VQR_VERSION_PATCH);
}

enum vqr_status vqr_fail(struct vqr_error *error, enum vqr_status status, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        error->status = status;
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        /* One line, whatever a path or a name brings along. */
        for (char *c = error->message; *c; c++)
            if ((unsigned char)*c < 0x20 || *c == 0x7f)
                *c = '?';
    }
    return status;
}
