/* Tails of vectors for instruction sets without masks. */
#ifndef VQR_TAIL_H
#define VQR_TAIL_H

#include <stddef.h>
#include <string.h>

/* Copies n < 16 elements of 4 bytes in pieces of constant size: no call, nothing beyond n touched. On AVX2 a
 * masked load (vmaskmov) would do it in one step, but at the end of a mapping it faults under QEMU 7.2, where the
 * tests also have to run. */
static inline void copy_tail(void *to, const void *from, size_t n)
{
    char *d = to;
    const char *s = from;
    if (n & 8) {
        memcpy(d, s, 32);
        d += 32, s += 32;
    }
    if (n & 4) {
        memcpy(d, s, 16);
        d += 16, s += 16;
    }
    if (n & 2) {
        memcpy(d, s, 8);
        d += 8, s += 8;
    }
    if (n & 1)
        memcpy(d, s, 4);
}

#endif
