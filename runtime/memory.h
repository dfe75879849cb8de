/* Memory of an open model's description. */
#ifndef VQR_MEMORY_H
#define VQR_MEMORY_H

#include <stdlib.h>

#include "runtime/error.h"

/* Zeroed room for count elements of `size` bytes (at least one), to be freed; NULL after a refusal (MEMORY). */
static inline void *vqr_allocate(size_t count, size_t size, struct vqr_error *error)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        vqr_fail(error, VQR_ERROR_MEMORY, "out of memory for %zu elements of %zu bytes", count, size);
    return memory;
}

#endif
