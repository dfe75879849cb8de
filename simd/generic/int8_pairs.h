/* The inner loop of the int8 products where numbers are multiplied as 16-bit ones, in pairs that one instruction adds:
 * as many instructions as for floats, but multiplications half as many. Of four numbers of k, the first and the third
 * are one pair, the second and the fourth the other, since shifts make these of the bytes. The including file has
 *
 *     v16i pairs_even(const int8_t *p), pairs_odd        16 outputs' pairs, of 64 bytes of a panel
 *     void pairs_of_row(int16_t *to, const int8_t *p)    16 bytes of a row, of each four the one pair, then the other
 *     v16i v16i_add_pairs(v16i acc, v16i x, int32_t a, v16i y, int32_t b)   acc + the pairs x by a + the pairs y by b
 */
#ifndef VQR_INT8_PAIRS_H
#define VQR_INT8_PAIRS_H

#include <string.h>

#include "simd/generic/tile.h"

/* Steps of k4 whose pairs are kept; longer rows are converted part by part, for each tile again. */
enum { INT8_STEPS = 96 };

/* a's rows as pairs. */
struct int8_rows {
    int16_t pairs[INT8_ROWS][4 * INT8_STEPS];
};

static inline void rows_to_pairs(struct int8_rows *prepared, const int8_t *a, size_t a_stride, size_t rows, size_t k4)
{
    for (size_t r = 0; r < rows; r++) {
        const int8_t *row = a + r * a_stride;
        size_t i = 0;
        for (; i + 4 <= k4; i += 4)
            pairs_of_row(prepared->pairs[r] + 4 * i, row + 4 * i);
        if (i < k4) {
            int8_t last[16] = {0};
            for (size_t j = 0; j < 12 && i + j / 4 < k4; j += 4)
                memcpy(last + j, row + 4 * i + j, 4);
            pairs_of_row(prepared->pairs[r] + 4 * i, last);
        }
    }
}

VQR_INLINE void prepare_rows(struct int8_rows *prepared, const int8_t *a, size_t a_stride, const size_t R, size_t k4)
{
    if (k4 <= INT8_STEPS)
        rows_to_pairs(prepared, a, a_stride, R, k4);
}

static inline int32_t pair_at(const int16_t *pairs, size_t i)
{
    int32_t pair;
    memcpy(&pair, pairs + 2 * i, sizeof pair);
    return pair;
}

/* acc += the products of `steps` steps of k4. A row's pairs serve all panels of the tile. */
VQR_INLINE void add_steps(v16i *acc, const size_t R, const size_t P, const struct int8_rows *prepared, const int8_t *b,
                          size_t b_stride, size_t steps)
{
    for (size_t i = 0; i < steps; i++, b += 4 * VQR_LANES) {
        v16i even[INT8_ROW_PANELS], odd[INT8_ROW_PANELS];
        VQR_UNROLL
        for (size_t p = 0; p < P; p++) {
            even[p] = pairs_even(b + p * b_stride);
            odd[p] = pairs_odd(b + p * b_stride);
        }
        VQR_UNROLL
        for (size_t r = 0; r < R; r++) {
            const int32_t first = pair_at(prepared->pairs[r], 2 * i), second = pair_at(prepared->pairs[r], 2 * i + 1);
            VQR_UNROLL
            for (size_t p = 0; p < P; p++)
                acc[r * P + p] = v16i_add_pairs(acc[r * P + p], even[p], first, odd[p], second);
        }
    }
}

/* acc[r * P + p] = a[r][0 .. 4 k4) * b[p]; panel p of b starts at b + p * b_stride. */
VQR_INLINE void dot_tile(v16i *acc, const size_t R, const size_t P, const int8_t *a, size_t a_stride,
                         struct int8_rows *prepared, const int8_t *b, size_t b_stride, size_t k4)
{
    VQR_UNROLL
    for (size_t i = 0; i < R * P; i++)
        acc[i] = v16i_set1(0);
    for (size_t i = 0; i < k4; i += INT8_STEPS) {
        const size_t steps = k4 - i < INT8_STEPS ? k4 - i : INT8_STEPS;
        if (k4 > INT8_STEPS)
            rows_to_pairs(prepared, a + 4 * i, a_stride, R, steps);
        add_steps(acc, R, P, prepared, b + i * 4 * VQR_LANES, b_stride, steps);
    }
}

#endif
