/* Tails of vectors for instruction sets without masks: included by their vec.h once whole vectors load and store, and
 * v16_load_half loads 8 lanes. */
#ifndef VQR_TAIL_H
#define VQR_TAIL_H

#include <stddef.h>
#include <string.h>

#include "simd/simd.h"

/* Copies n < 16 elements of `size` bytes in pieces of constant size: no call, nothing beyond n touched. On AVX2 a
 * masked load (vmaskmov) would do it in one step, but at the end of a mapping it faults under QEMU 7.2, where the
 * tests also have to run. */
static inline void copy_tail(void *to, const void *from, size_t n, const size_t size)
{
    char *d = to;
    const char *s = from;
    if (n & 8) {
        memcpy(d, s, 8 * size);
        d += 8 * size, s += 8 * size;
    }
    if (n & 4) {
        memcpy(d, s, 4 * size);
        d += 4 * size, s += 4 * size;
    }
    if (n & 2) {
        memcpy(d, s, 2 * size);
        d += 2 * size, s += 2 * size;
    }
    if (n & 1)
        memcpy(d, s, size);
}

/* n < 16: lanes from n on are 0 and their memory is not touched. */
static inline v16 v16_load_n(const float *p, size_t n)
{
    if (n == 8) /* a usual width, worth no detour through memory */
        return v16_load_half(p);
    float t[VQR_LANES] = {0};
    copy_tail(t, p, n, sizeof *t);
    return v16_load(t);
}

static inline v16 v16_load_int8_n(const int8_t *p, size_t n)
{
    int8_t t[VQR_LANES] = {0};
    copy_tail(t, p, n, sizeof *t);
    return v16_load_int8(t);
}

static inline void v16_store_n(float *p, v16 v, size_t n)
{
    float t[VQR_LANES];
    v16_store(t, v);
    copy_tail(p, t, n, sizeof *t);
}

#endif
