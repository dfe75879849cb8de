/* Filling the caller's error struct. */
#ifndef VQR_ERROR_H
#define VQR_ERROR_H

#include "vqrank/vqrank.h"

/* Writes one line into *error (NULL is allowed) and returns status, so that a refusal is one statement. */
enum vqr_status vqr_fail(struct vqr_error *error, enum vqr_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
