/* Orders of bytes in 128-bit registers, the same for 8 and for 16 floats a register. */
#ifndef VQR_AVX2_BYTES_H
#define VQR_AVX2_BYTES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

/* a's 16 bytes and b's in turn: a0 b0 a1 b1 ... */
static inline void zip_int8(int8_t *to, const int8_t *a, const int8_t *b)
{
    const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)a);
    const __m128i y = _mm_loadu_si128((const __m128i *)(const void *)b);
    _mm_storeu_si128((__m128i *)(void *)to, _mm_unpacklo_epi8(x, y));
    _mm_storeu_si128((__m128i *)(void *)(to + 16), _mm_unpackhi_epi8(x, y));
}

/* 16 bytes of a row, in pairs as int8_pairs.h says. */
static inline void pairs_of_row(int16_t *to, const int8_t *p)
{
    __m128i x;
    memcpy(&x, p, sizeof x);
    const __m256i words = _mm256_cvtepi8_epi16(x);
    const __m256i low = _mm256_shufflelo_epi16(words, 0xd8); /* numbers 0, 2, 1, 3 of each four */
    const __m256i pairs = _mm256_shufflehi_epi16(low, 0xd8);
    memcpy(to, &pairs, sizeof pairs);
}

#endif
