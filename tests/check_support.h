/* What check.c and nobody else asks of check_support.c. */
#ifndef VQR_CHECK_SUPPORT_H
#define VQR_CHECK_SUPPORT_H

#include <stdbool.h>

void check_seed(unsigned long long seed);
/* Before each run of a check: names for messages, the placement of buffers, and random numbers that depend on the seed
 * and the kernel's name only, so that one kernel alone sees what it saw among all. */
void check_begin(const char *isa, const char *kernel, bool at_start);
/* The number of cases of the present check so far. */
unsigned long check_cases(void);

#endif
