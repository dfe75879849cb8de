#define FN(name) vqr_##name##_avx512vnni
#include "simd/avx512/vec.h"
#include "simd/avx2/row_sum.h"

/* vpdpbusd multiplies numbers without a sign by numbers with one: b + 128 by a, which adds 128 times the sum of a. */
enum {
    INT8_ROWS = 8,
    INT8_PANELS = 2,
    INT8_SMALL_ROWS = 4,
    INT8_SMALL_PANELS = 2,
    INT8_ROW_PANELS = 8,
    SCREEN_TILE = 12
};

typedef __m512i b64;

static inline b64 b64_load(const int8_t *p)
{
    return _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_set1_epi8((char)0x80));
}

/* The instruction by name: for the intrinsic GCC 12 keeps each accumulator in two registers, moves it to and fro, and
 * runs out of them. */
static inline v16i v16i_dot4(v16i acc, int32_t four, b64 b)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(b), "v"(_mm512_set1_epi32(four)));
    return acc;
}

static inline int32_t dot4_bias(const int8_t *a, size_t k4)
{
    return 128 * row_sum(a, k4);
}

#include "simd/generic/int8_tile.h"

#include "simd/generic/int8.h"
#include "simd/generic/screen.h"
