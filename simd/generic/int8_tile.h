/* The inner loop of the int8 products, as tile.h's of the float ones: four steps of k at a time. The including file has
 * the type b64 of 64 numbers, four for each of 16 outputs, and
 *
 *     b64 b64_load(const int8_t *p)
 *     v16i v16i_dot4(v16i acc, int32_t four, b64 b)     acc + the sums of four products, `four` being four of a's bytes
 *     int32_t dot4_bias(const int8_t *a, size_t k4)     what a row adds to its products, to be taken off
 *
 * since the instructions of some tiers want one side without a sign. */
#ifndef VQR_INT8_TILE_H
#define VQR_INT8_TILE_H

#include <string.h>

#include "simd/generic/tile.h"

struct int8_rows {
    int32_t bias[INT8_ROWS];
};

VQR_INLINE void prepare_rows(struct int8_rows *prepared, const int8_t *a, size_t a_stride, const size_t R, size_t k4)
{
    for (size_t r = 0; r < R; r++)
        prepared->bias[r] = dot4_bias(a + r * a_stride, k4);
}

/* acc[r * P + p] = a[r][0 .. 4 k4) * b[p]; panel p of b starts at b + p * b_stride. */
VQR_INLINE void dot_tile(v16i *acc, const size_t R, const size_t P, const int8_t *a, size_t a_stride,
                         const struct int8_rows *prepared, const int8_t *b, size_t b_stride, size_t k4)
{
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        VQR_UNROLL
        for (size_t p = 0; p < P; p++)
            acc[r * P + p] = v16i_set1(-prepared->bias[r]);
    }
    for (size_t i = 0; i < k4; i++) {
        b64 column[INT8_ROW_PANELS];
        VQR_UNROLL
        for (size_t p = 0; p < P; p++)
            column[p] = b64_load(b + p * b_stride + i * 4 * VQR_LANES);
        VQR_UNROLL
        for (size_t r = 0; r < R; r++) {
            int32_t four;
            memcpy(&four, a + r * a_stride + 4 * i, sizeof four);
            VQR_UNROLL
            for (size_t p = 0; p < P; p++)
                acc[r * P + p] = v16i_dot4(acc[r * P + p], four, column[p]);
        }
    }
}

#endif
