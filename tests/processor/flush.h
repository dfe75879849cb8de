/* Flush-to-zero, as hosts with audio code switch it on. One file per processor, chosen by CMake, so that no source has
 * architecture conditions. */
#ifndef VQR_TESTS_FLUSH_H
#define VQR_TESTS_FLUSH_H

/* Makes denormal results and operands count as 0, or stops that. Returns 0 where the processor cannot. */
int set_flush_to_zero(int on);

#endif
