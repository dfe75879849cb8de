#include <xmmintrin.h>

#include "tests/processor/flush.h"

int set_flush_to_zero(int on)
{
    const unsigned bits = 0x8040; /* MXCSR: flush to zero, denormals are zero */
    _mm_setcsr(on ? _mm_getcsr() | bits : _mm_getcsr() & ~bits);
    return 1;
}
