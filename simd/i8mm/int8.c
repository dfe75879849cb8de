#define FN(name) vqr_##name##_i8mm
#include "simd/neon/vec.h"

#include <string.h>

#include "simd/generic/tile.h"

/* smmla: two rows by two outputs, eight products each, added. Of a panel's [k4][16][4], two steps of k4 hold eight
 * numbers of k for every output; zipped in fours of bytes they are two outputs of eight each. */
enum {
    INT8_ROWS = 6,
    INT8_PANELS = 1,
    INT8_SMALL_ROWS = 2,
    INT8_SMALL_PANELS = 1,
    INT8_ROW_PANELS = 4,
    SCREEN_TILE = 6
};

/* Rows 2 j and 2 j + 1 of eight numbers each. */
static inline int8x16_t row_pair(const int8_t *a, size_t a_stride)
{
    return vcombine_s8(vld1_s8(a), vld1_s8(a + a_stride));
}

/* The same of four numbers each, followed by zeros. */
static inline int8x16_t last_row_pair(const int8_t *a, size_t a_stride)
{
    int32_t first, second;
    memcpy(&first, a, sizeof first);
    memcpy(&second, a + a_stride, sizeof second);
    const int32x4_t first_alone = vsetq_lane_s32(first, vdupq_n_s32(0), 0);
    return vreinterpretq_s8_s32(vsetq_lane_s32(second, first_alone, 2));
}

/* sum[j] += rows 2 j and 2 j + 1 by 16 outputs, for `pairs` pairs of rows: steps i and i + 1 of k4, or i alone. */
VQR_INLINE void add_steps(int32x4_t (*sum)[8], const size_t pairs, const int both, const int8_t *a, size_t a_stride,
                          const int8_t *b)
{
    int8x16_t row[INT8_ROWS / 2];
    VQR_UNROLL
    for (size_t j = 0; j < pairs; j++)
        row[j] = both ? row_pair(a + 2 * j * a_stride, a_stride) : last_row_pair(a + 2 * j * a_stride, a_stride);
    VQR_UNROLL
    for (size_t q = 0; q < 4; q++) {
        const int32x4_t first = vreinterpretq_s32_s8(vld1q_s8(b + 16 * q));
        const int32x4_t second = both ? vreinterpretq_s32_s8(vld1q_s8(b + 64 + 16 * q)) : vdupq_n_s32(0);
        const int8x16_t low = vreinterpretq_s8_s32(vzip1q_s32(first, second));
        const int8x16_t high = vreinterpretq_s8_s32(vzip2q_s32(first, second));
        VQR_UNROLL
        for (size_t j = 0; j < pairs; j++) {
            sum[j][2 * q] = vmmlaq_s32(sum[j][2 * q], row[j], low);
            sum[j][2 * q + 1] = vmmlaq_s32(sum[j][2 * q + 1], row[j], high);
        }
    }
}

/* All steps of k4. */
VQR_INLINE void multiply_pairs(int32x4_t (*sum)[8], const size_t pairs, const int8_t *a, size_t a_stride,
                               const int8_t *b, size_t k4)
{
    size_t i = 0;
    for (; i + 2 <= k4; i += 2)
        add_steps(sum, pairs, 1, a + 4 * i, a_stride, b + 64 * i);
    if (i < k4)
        add_steps(sum, pairs, 0, a + 4 * i, a_stride, b + 64 * i);
}

/* The even or the odd row of four outputs: halves of two sums. */
static inline int32x4_t halves(int32x4_t x, int32x4_t y, int odd)
{
    const int64x2_t u = vreinterpretq_s64_s32(x), v = vreinterpretq_s64_s32(y);
    return vreinterpretq_s32_s64(odd ? vzip2q_s64(u, v) : vzip1q_s64(u, v));
}

/* One row alone has no partner: by sdot with a lane, as neondot's. */
VQR_INLINE void one_row(v16i *acc, const size_t P, const int8_t *a, const int8_t *b, size_t b_stride, size_t k4)
{
    for (size_t i = 0; i < k4; i++, b += 64) {
        int32_t four;
        memcpy(&four, a + 4 * i, sizeof four);
        const int8x8_t x = vcreate_s8((uint32_t)four);
        VQR_UNROLL
        for (size_t p = 0; p < P; p++) {
            const int8_t *c = b + p * b_stride;
            acc[p].a = vdotq_lane_s32(acc[p].a, vld1q_s8(c), x, 0);
            acc[p].b = vdotq_lane_s32(acc[p].b, vld1q_s8(c + 16), x, 0);
            acc[p].c = vdotq_lane_s32(acc[p].c, vld1q_s8(c + 32), x, 0);
            acc[p].d = vdotq_lane_s32(acc[p].d, vld1q_s8(c + 48), x, 0);
        }
    }
}

/* Rows are taken as they are. */
struct int8_rows {
    char nothing;
};

static inline void prepare_rows(struct int8_rows *prepared, const int8_t *a, size_t a_stride, size_t rows, size_t k4)
{
    (void)prepared, (void)a, (void)a_stride, (void)rows, (void)k4;
}

/* As in generic/int8_tile.h, for an even R and P = 1, or R = 1. */
VQR_INLINE void dot_tile(v16i *acc, const size_t R, const size_t P, const int8_t *a, size_t a_stride,
                         const struct int8_rows *prepared, const int8_t *b, size_t b_stride, size_t k4)
{
    (void)prepared;
    if (R == 1) {
        VQR_UNROLL
        for (size_t p = 0; p < P; p++)
            acc[p] = v16i_set1(0);
        one_row(acc, P, a, b, b_stride, k4);
        return;
    }
    int32x4_t sum[INT8_ROWS / 2][8];
    VQR_UNROLL
    for (size_t i = 0; i < 4 * R; i++)
        sum[i / 8][i % 8] = vdupq_n_s32(0);
    multiply_pairs(sum, R / 2, a, a_stride, b, k4);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        const int32x4_t *s = sum[r / 2];
        const v16i row = {halves(s[0], s[1], r & 1), halves(s[2], s[3], r & 1), halves(s[4], s[5], r & 1),
                          halves(s[6], s[7], r & 1)};
        acc[r] = row;
    }
}

#include "simd/generic/int8.h"
#include "simd/generic/screen.h"
