/* int8 without products: to int8, and packing. */
#include <string.h>

#include "simd/generic/to_int8.h"

void FN(to_int8_f32)(int8_t *q, size_t q_stride, float *scale, const float *x, size_t x_stride, size_t rows, size_t n)
{
    rows_to_int8(q, q_stride, scale, x, x_stride, rows, n);
}

void FN(pack_quads_i8)(int8_t *dst, const int8_t *src, size_t src_stride, size_t k, size_t n)
{
    const size_t quad = 4 * VQR_LANES, panel = (k + 3) / 4 * quad;
    for (size_t j = 0; j < n; j += VQR_LANES, dst += panel) {
        const size_t here = n - j < VQR_LANES ? n - j : VQR_LANES;
        if (here < VQR_LANES || k % 4)
            memset(dst, 0, panel);
        for (size_t l = 0; l < here; l++) {
            const int8_t *row = src + (j + l) * src_stride;
            int8_t *to = dst + 4 * l;
            size_t i = 0;
            for (; i + 4 <= k; i += 4, to += quad)
                memcpy(to, row + i, 4);
            for (; i < k; i++)
                *to++ = row[i];
        }
    }
}

void FN(pack_panels_i8)(int8_t *dst, const int8_t *src, size_t src_stride, size_t k, size_t n)
{
    size_t j = 0;
    for (; j + VQR_LANES <= n; j += VQR_LANES)
        for (size_t i = 0; i < k; i++, dst += VQR_LANES)
            memcpy(dst, src + i * src_stride + j, VQR_LANES);
    if (j < n)
        for (size_t i = 0; i < k; i++, dst += VQR_LANES) {
            memset(dst, 0, VQR_LANES);
            memcpy(dst, src + i * src_stride + j, n - j);
        }
}
