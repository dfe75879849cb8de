/* Does with a file, which may hold anything, all that the library offers. What matters is that nothing crashes, that
 * every refusal is one line of text, and that what is not refused makes sense. */
#ifndef VQR_TESTS_HOSTILE_RUN_H
#define VQR_TESTS_HOSTILE_RUN_H

#include <stddef.h>

#include "tests/runtime_support.h"

/* What a small file may make a session and a state take together. */
#define HOSTILE_BYTES_MAX ((size_t)256 << 20)

/* Opens, verifies, encodes and scores with odd values; returns whether the file opened. Fails the test by itself. */
int hostile_run(const void *data, size_t size);

/* The same for a file that nothing is wrong with: it opens and verifies. Frees the file. */
void hostile_run_good(struct runtime_file file);

/* A copy that ends where its memory ends, to be damaged; free() it. */
struct runtime_file hostile_copy(struct runtime_file file);

/* The tensor's place in the file. Fails the test when there is none. */
struct vqr_header_tensor hostile_tensor(struct runtime_file file, const char *name);
float *hostile_floats(struct runtime_file file, const char *name);
uint32_t *hostile_words(struct runtime_file file, const char *name);

/* A small file is refused, or takes no more memory than it may. */
void assert_size_in_proportion(const struct runtime_options *options);

#endif
