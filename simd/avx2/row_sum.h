/* The sum of a row of int8, which VNNI adds 128 times to a product. */
#ifndef VQR_AVX2_ROW_SUM_H
#define VQR_AVX2_ROW_SUM_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* 4 k4 numbers; vpsadbw adds those without a sign, so 128 more each, and 16 at a time. */
static inline int32_t row_sum(const int8_t *a, size_t k4)
{
    const __m128i flip = _mm_set1_epi8((char)0x80);
    __m128i sums = _mm_setzero_si128();
    for (size_t i = 0; i < k4; i += 4) {
        __m128i x = _mm_setzero_si128();
        if (k4 - i >= 4) {
            memcpy(&x, a + 4 * i, sizeof x);
        } else {
            int8_t last[16] = {0};
            for (size_t j = 0; j < 12 && i + j / 4 < k4; j += 4)
                memcpy(last + j, a + 4 * i + j, 4);
            memcpy(&x, last, sizeof x);
        }
        sums = _mm_add_epi64(sums, _mm_sad_epu8(_mm_xor_si128(x, flip), _mm_setzero_si128()));
    }
    const __m128i sum = _mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums));
    return _mm_cvtsi128_si32(sum) - (int32_t)((k4 + 3) / 4 * 16 * 128);
}

#endif
