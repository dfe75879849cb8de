/* Reads everything that an opened header has, as a test. */
#ifndef VQR_TESTS_READER_WALK_H
#define VQR_TESTS_READER_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "schema/reader.h"

/* Calls every accessor with every index and fails the test where a string or a segment leaves the file. Returns a sum
 * of what it read, so that no read is optimized away. */
uint64_t reader_walk(const struct vqr_header *file);

/* Opens bytes that may be anything: what comes back must be one printable line, or a header that can be walked. Says
 * whether they opened. */
bool reader_open_any(const uint8_t *data, size_t size);

#endif
