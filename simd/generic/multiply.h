/* A product of any number of rows with panels of floats or of bytes, in tiles. */
#ifndef VQR_MULTIPLY_H
#define VQR_MULTIPLY_H

#include "simd/generic/tile.h"

VQR_INLINE void gemm_tile(const size_t R, const size_t P, float *c, size_t c_stride, const float *a, size_t a_stride,
                          const void *b, size_t b_stride, const enum element element, size_t k, const float *init)
{
    v16 acc[TILE_ACCUMULATORS];
    VQR_UNROLL
    for (size_t p = 0; p < P; p++) {
        const v16 start = init ? v16_load(init + p * VQR_LANES) : v16_set1(0.0f);
        VQR_UNROLL
        for (size_t r = 0; r < R; r++)
            acc[r * P + p] = start;
    }
    tile_multiply(acc, R, P, a, a_stride, b, b_stride, element, k);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        VQR_UNROLL
        for (size_t p = 0; p < P; p++)
            v16_store(c + r * c_stride + p * VQR_LANES, acc[r * P + p]);
    }
}

/* R rows against all panels, P at a time and then one by one. */
VQR_INLINE void gemm_rows(const size_t R, const size_t P, float *c, size_t c_stride, const float *a, size_t a_stride,
                          const void *b, size_t b_stride, const enum element element, size_t k, size_t panels,
                          const float *init)
{
    const size_t panel_bytes = b_stride * (element == BYTES ? 1 : sizeof(float));
    size_t p = 0;
    for (; p + P <= panels; p += P)
        gemm_tile(R, P, c + p * VQR_LANES, c_stride, a, a_stride, (const char *)b + p * panel_bytes, b_stride, element,
                  k, init ? init + p * VQR_LANES : NULL);
    if (P > 1)
        for (; p < panels; p++)
            gemm_tile(R, 1, c + p * VQR_LANES, c_stride, a, a_stride, (const char *)b + p * panel_bytes, b_stride,
                      element, k, init ? init + p * VQR_LANES : NULL);
}

/* c[r][p * 16 + l] = init[p * 16 + l] + a[r][0 .. k) * b[p], as gemm_f32. */
VQR_INLINE void multiply(float *c, size_t c_stride, const float *a, size_t a_stride, size_t rows, const void *b,
                         size_t b_stride, const enum element element, size_t k, size_t panels, const float *init)
{
    size_t r = 0;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
        gemm_rows(TILE_ROWS, TILE_PANELS, c + r * c_stride, c_stride, a + r * a_stride, a_stride, b, b_stride, element,
                  k, panels, init);
    for (; r + SMALL_ROWS <= rows; r += SMALL_ROWS)
        gemm_rows(SMALL_ROWS, SMALL_PANELS, c + r * c_stride, c_stride, a + r * a_stride, a_stride, b, b_stride,
                  element, k, panels, init);
    for (; r < rows; r++)
        gemm_rows(1, ROW_PANELS, c + r * c_stride, c_stride, a + r * a_stride, a_stride, b, b_stride, element, k,
                  panels, init);
}

#endif
