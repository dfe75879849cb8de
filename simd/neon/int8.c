#include "simd/neon/vec.h"

#include <string.h>

#include "simd/generic/tile.h"

/* Two products of 16 bits fit one number of 16 bits, 2 * 127^2 < 2^15: those of two steps of k4 are added before pairs
 * of neighbours are, into sums of 32 bits, two an output. */
enum { INT8_ROWS = 2, INT8_PANELS = 1, INT8_SMALL_ROWS = 2, INT8_SMALL_PANELS = 1, INT8_ROW_PANELS = 1 };

/* Rows are taken as they are. */
struct int8_rows {
    char nothing;
};

static inline void prepare_rows(struct int8_rows *prepared, const int8_t *a, size_t a_stride, size_t rows, size_t k4)
{
    (void)prepared, (void)a, (void)a_stride, (void)rows, (void)k4;
}

/* Four numbers of a row, four times. */
static inline int8x16_t four_of(const int8_t *a)
{
    int32_t four;
    memcpy(&four, a, sizeof four);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/* sum[r * 8 + 2 q ...] += steps i and i + 1, or i alone, of outputs 4 q ... 4 q + 3. */
VQR_INLINE void add_steps(int32x4_t *sum, const size_t R, const int both, const int8_t *a, size_t a_stride,
                          const int8_t *b)
{
    int8x16_t first[INT8_ROWS], second[INT8_ROWS];
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        first[r] = four_of(a + r * a_stride);
        second[r] = both ? four_of(a + r * a_stride + 4) : first[r];
    }
    VQR_UNROLL
    for (size_t q = 0; q < 4; q++) {
        const int8x16_t x = vld1q_s8(b + 16 * q), y = both ? vld1q_s8(b + 64 + 16 * q) : x;
        VQR_UNROLL
        for (size_t r = 0; r < R; r++) {
            int16x8_t low = vmull_s8(vget_low_s8(x), vget_low_s8(first[r])), high = vmull_high_s8(x, first[r]);
            if (both) {
                low = vmlal_s8(low, vget_low_s8(y), vget_low_s8(second[r]));
                high = vmlal_high_s8(high, y, second[r]);
            }
            sum[r * 8 + 2 * q] = vpadalq_s16(sum[r * 8 + 2 * q], low);
            sum[r * 8 + 2 * q + 1] = vpadalq_s16(sum[r * 8 + 2 * q + 1], high);
        }
    }
}

/* R rows against one panel. */
VQR_INLINE void panel_sums(v16i *acc, const size_t acc_stride, const size_t R, const int8_t *a, size_t a_stride,
                           const int8_t *b, size_t k4)
{
    int32x4_t sum[8 * INT8_ROWS];
    VQR_UNROLL
    for (size_t i = 0; i < 8 * R; i++)
        sum[i] = vdupq_n_s32(0);
    size_t i = 0;
    for (; i + 2 <= k4; i += 2)
        add_steps(sum, R, 1, a + 4 * i, a_stride, b + 64 * i);
    if (i < k4)
        add_steps(sum, R, 0, a + 4 * i, a_stride, b + 64 * i);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        const int32x4_t *s = sum + 8 * r;
        const v16i row = {vpaddq_s32(s[0], s[1]), vpaddq_s32(s[2], s[3]), vpaddq_s32(s[4], s[5]),
                          vpaddq_s32(s[6], s[7])};
        acc[r * acc_stride] = row;
    }
}

/* As in generic/int8_tile.h. */
VQR_INLINE void dot_tile(v16i *acc, const size_t R, const size_t P, const int8_t *a, size_t a_stride,
                         const struct int8_rows *prepared, const int8_t *b, size_t b_stride, size_t k4)
{
    (void)prepared;
    VQR_UNROLL
    for (size_t p = 0; p < P; p++)
        panel_sums(acc + p, P, R, a, a_stride, b + p * b_stride, k4);
}

#include "simd/generic/int8.h"
#include "simd/generic/rows_int8.h"
