/* What the fuzz targets share. A target is one function, LLVMFuzzerTestOneInput, called by libFuzzer with inputs that
 * it invents or by replay.c with inputs that are stored. It aborts when the code under test breaks a promise; memory
 * errors, leaks and undefined behaviour are the sanitizers' to see. */
#ifndef VQR_TESTS_FUZZ_H
#define VQR_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Returns 0. The function that libFuzzer calls. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Says what promise was broken, then aborts. */
_Noreturn void fuzz_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Aborts when there is no memory. */
void *fuzz_allocate(size_t count, size_t size);

/* Fails unless `text` is 1 to size - 1 bytes and a NUL. */
void fuzz_check_message(const char *text, size_t size);

/* ---- an input as a source of small numbers ---- */

struct fuzz_input {
    const uint8_t *data;
    size_t size;
};

/* The next byte, 0 past the end. */
uint8_t fuzz_byte(struct fuzz_input *input);

/* The next byte as one of 0 ... n - 1. */
size_t fuzz_below(struct fuzz_input *input, size_t n);

/* A descriptor of a file in memory that holds the bytes, open at its start; close it. */
int fuzz_file(const uint8_t *data, size_t size);

enum { FUZZ_PATH_SIZE = 64 };

/* The same for readers that want a path, which opens it as long as the descriptor is open. */
int fuzz_file_at(const uint8_t *data, size_t size, char path[FUZZ_PATH_SIZE]);

#endif
