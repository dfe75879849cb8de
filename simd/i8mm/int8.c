#define FN(name) vqr_##name##_i8mm
#include "simd/neon/vec.h"

#include <string.h>

#include "simd/generic/tile.h"

/* smmla: two rows by two outputs, eight products each, added. Of a panel's [k4][16][4], two steps of k4 hold eight
 * numbers of k for every output; zipped in fours of bytes they are two outputs of eight each. */
enum { INT8_ROWS = 6, INT8_PANELS = 1, SCREEN_TILE = 6 };

/* Rows 2 j and 2 j + 1 of eight numbers each, from step i of k4; past the end they are 0. */
static inline int8x16_t row_pair(const int8_t *a, size_t a_stride, size_t i, size_t k4)
{
    int8_t eight[16] = {0};
    const size_t bytes = i + 2 <= k4 ? 8 : 4;
    memcpy(eight, a + 4 * i, bytes);
    memcpy(eight + 8, a + a_stride + 4 * i, bytes);
    return vld1q_s8(eight);
}

static inline void multiply_pairs(int32x4_t sum[3][8], const int8_t *a, size_t a_stride, const int8_t *b, size_t k4)
{
    for (size_t i = 0; i < k4; i += 2) {
        int8x16_t row[3];
        VQR_UNROLL
        for (size_t j = 0; j < 3; j++)
            row[j] = row_pair(a + 2 * j * a_stride, a_stride, i, k4);
        VQR_UNROLL
        for (size_t q = 0; q < 4; q++) {
            const int32x4_t first = vreinterpretq_s32_s8(vld1q_s8(b + 64 * i + 16 * q));
            const int32x4_t second =
                i + 2 <= k4 ? vreinterpretq_s32_s8(vld1q_s8(b + 64 * (i + 1) + 16 * q)) : vdupq_n_s32(0);
            const int8x16_t low = vreinterpretq_s8_s32(vzip1q_s32(first, second));
            const int8x16_t high = vreinterpretq_s8_s32(vzip2q_s32(first, second));
            VQR_UNROLL
            for (size_t j = 0; j < 3; j++) {
                sum[j][2 * q] = vmmlaq_s32(sum[j][2 * q], row[j], low);
                sum[j][2 * q + 1] = vmmlaq_s32(sum[j][2 * q + 1], row[j], high);
            }
        }
    }
}

/* The even or the odd row of four outputs: halves of two sums. */
static inline int32x4_t halves(int32x4_t x, int32x4_t y, int odd)
{
    const int64x2_t u = vreinterpretq_s64_s32(x), v = vreinterpretq_s64_s32(y);
    return vreinterpretq_s32_s64(odd ? vzip2q_s64(u, v) : vzip1q_s64(u, v));
}

/* One row alone has no partner: by sdot. */
static inline v16i one_row(const int8_t *a, const int8_t *b, size_t k4)
{
    v16i acc = v16i_set1(0);
    for (size_t i = 0; i < k4; i++, b += 64) {
        int32_t four;
        memcpy(&four, a + 4 * i, sizeof four);
        const int8x16_t x = vreinterpretq_s8_s32(vdupq_n_s32(four));
        acc.a = vdotq_s32(acc.a, vld1q_s8(b), x);
        acc.b = vdotq_s32(acc.b, vld1q_s8(b + 16), x);
        acc.c = vdotq_s32(acc.c, vld1q_s8(b + 32), x);
        acc.d = vdotq_s32(acc.d, vld1q_s8(b + 48), x);
    }
    return acc;
}

static inline void row_biases(int32_t *bias, const int8_t *a, size_t a_stride, size_t rows, size_t k4)
{
    (void)bias, (void)a, (void)a_stride, (void)rows, (void)k4;
}

/* As in generic/int8_tile.h, for R = INT8_ROWS or 1 and P = 1. */
VQR_INLINE void dot_tile(v16i *acc, const size_t R, const size_t P, const int8_t *a, size_t a_stride,
                         const int32_t *row_bias, const int8_t *b, size_t b_stride, size_t k4)
{
    (void)P, (void)row_bias, (void)b_stride;
    if (R == 1) {
        acc[0] = one_row(a, b, k4);
        return;
    }
    int32x4_t sum[3][8];
    VQR_UNROLL
    for (size_t i = 0; i < 24; i++)
        sum[i / 8][i % 8] = vdupq_n_s32(0);
    multiply_pairs(sum, a, a_stride, b, k4);
    VQR_UNROLL
    for (size_t r = 0; r < INT8_ROWS; r++) {
        const int32x4_t *s = sum[r / 2];
        const v16i row = {halves(s[0], s[1], r & 1), halves(s[2], s[3], r & 1), halves(s[4], s[5], r & 1),
                          halves(s[6], s[7], r & 1)};
        acc[r] = row;
    }
}

#include "simd/generic/int8.h"
#include "simd/generic/attention_i8.h"
#include "simd/generic/screen.h"
