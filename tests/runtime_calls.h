/* Counts calls of malloc and its kin, of mmap and of mutexes, wherever this executable's own objects make them. The
 * linker redirects them (--wrap): the names are the list in tests/CMakeLists.txt. */
#ifndef VQR_TESTS_RUNTIME_CALLS_H
#define VQR_TESTS_RUNTIME_CALLS_H

#include <stddef.h>

void runtime_calls_reset(void);
size_t runtime_calls(void);

#endif
