#include "tests/fuzz/fuzz.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void fuzz_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    abort();
}

void *fuzz_allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory)
        fuzz_fail("no memory for %zu times %zu bytes", count, size);
    return memory;
}

void fuzz_check_message(const char *text, size_t size)
{
    const char *end = memchr(text, 0, size);
    if (!end || end == text)
        fuzz_fail("a message of %zu bytes", end ? (size_t)0 : size);
}

uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->size == 0)
        return 0;
    input->size--;
    return *input->data++;
}

size_t fuzz_below(struct fuzz_input *input, size_t n)
{
    return fuzz_byte(input) % n;
}

int fuzz_file(const uint8_t *data, size_t size)
{
    const int descriptor = memfd_create("fuzz", MFD_CLOEXEC);
    if (descriptor < 0 || (size > 0 && pwrite(descriptor, data, size, 0) != (ssize_t)size))
        fuzz_fail("no file in memory for %zu bytes", size);
    return descriptor;
}

int fuzz_file_at(const uint8_t *data, size_t size, char path[FUZZ_PATH_SIZE])
{
    const int descriptor = fuzz_file(data, size);
    snprintf(path, FUZZ_PATH_SIZE, "/proc/self/fd/%d", descriptor);
    return descriptor;
}
