#include <stdint.h>

#include "tests/processor/flush.h"

int set_flush_to_zero(int on)
{
    const uint64_t bit = (uint64_t)1 << 24; /* FPCR.FZ: results and operands */
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    fpcr = on ? fpcr | bit : fpcr & ~bit;
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr) : "memory");
    return 1;
}
