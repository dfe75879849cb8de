/* Bytes -> a model, and all that the library offers done with it: what the tests of damaged files do (hostile_run.c),
 * with files that libFuzzer makes up. */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz.h"
#include "tests/hostile_run.h"

enum { ALIGNMENT = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    void *copy = NULL;
    setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed check leaves a stack, not an exit status */
    if (posix_memalign(&copy, ALIGNMENT, size ? size : 1) != 0)
        fuzz_fail("no memory for %zu bytes", size);
    if (size > 0)
        memcpy(copy, data, size);
    hostile_run(copy, size);
    free(copy);
    return 0;
}
