/* Matrix product and packing. */
#include <string.h>

#include "simd/generic/tile.h"

VQR_INLINE void gemm_tile(const size_t R, const size_t P, float *c, size_t c_stride, const float *a, size_t a_stride,
                          const float *b, size_t b_stride, size_t k, const float *init)
{
    v16 acc[TILE_ACCUMULATORS];
    VQR_UNROLL
    for (size_t p = 0; p < P; p++) {
        const v16 start = init ? v16_load(init + p * VQR_LANES) : v16_set1(0.0f);
        VQR_UNROLL
        for (size_t r = 0; r < R; r++)
            acc[r * P + p] = start;
    }
    tile_multiply(acc, R, P, a, a_stride, b, b_stride, k);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        VQR_UNROLL
        for (size_t p = 0; p < P; p++)
            v16_store(c + r * c_stride + p * VQR_LANES, acc[r * P + p]);
    }
}

/* R rows against all panels, P at a time and then one by one. */
VQR_INLINE void gemm_rows(const size_t R, const size_t P, float *c, size_t c_stride, const float *a, size_t a_stride,
                          const float *b, size_t b_stride, size_t k, size_t panels, const float *init)
{
    size_t p = 0;
    for (; p + P <= panels; p += P)
        gemm_tile(R, P, c + p * VQR_LANES, c_stride, a, a_stride, b + p * b_stride, b_stride, k,
                  init ? init + p * VQR_LANES : NULL);
    if (P > 1)
        for (; p < panels; p++)
            gemm_tile(R, 1, c + p * VQR_LANES, c_stride, a, a_stride, b + p * b_stride, b_stride, k,
                      init ? init + p * VQR_LANES : NULL);
}

void FN(gemm_f32)(float *c, size_t c_stride, const float *a, size_t a_stride, size_t rows, const float *b,
                  size_t b_stride, size_t k, size_t panels, const float *init)
{
    if (k == 0) { /* a and b may be NULL, on which not even an offset may be formed */
        a = b = c;
        a_stride = b_stride = 0;
    }
    size_t r = 0;
    for (; r + TILE_ROWS <= rows; r += TILE_ROWS)
        gemm_rows(TILE_ROWS, TILE_PANELS, c + r * c_stride, c_stride, a + r * a_stride, a_stride, b, b_stride, k,
                  panels, init);
    for (; r + SMALL_ROWS <= rows; r += SMALL_ROWS)
        gemm_rows(SMALL_ROWS, SMALL_PANELS, c + r * c_stride, c_stride, a + r * a_stride, a_stride, b, b_stride, k,
                  panels, init);
    for (; r < rows; r++)
        gemm_rows(1, ROW_PANELS, c + r * c_stride, c_stride, a + r * a_stride, a_stride, b, b_stride, k, panels, init);
}

void FN(madd_panels_f32)(float *dst, const float *scale, const float *a, const float *b, size_t k, size_t panels)
{
    for (size_t p = 0; p < panels; p++)
        for (size_t i = 0; i < k; i++) {
            const size_t at = (p * k + i) * VQR_LANES;
            v16_store(dst + at, v16_fma(v16_set1(scale[i]), v16_load(a + at), v16_load(b + at)));
        }
}

void FN(pack_f32)(float *dst, const float *src, size_t src_stride, size_t k, size_t n)
{
    size_t j = 0;
    for (; j + VQR_LANES <= n; j += VQR_LANES)
        for (size_t i = 0; i < k; i++, dst += VQR_LANES)
            v16_store(dst, v16_load(src + i * src_stride + j));
    if (j < n)
        for (size_t i = 0; i < k; i++, dst += VQR_LANES)
            v16_store(dst, v16_load_n(src + i * src_stride + j, n - j));
}

void FN(pack_transposed_f32)(float *dst, const float *src, size_t src_stride, size_t k, size_t n)
{
    for (size_t j = 0; j < n; j += VQR_LANES, dst += k * VQR_LANES) {
        const size_t here = n - j < VQR_LANES ? n - j : VQR_LANES;
        if (here < VQR_LANES)
            memset(dst, 0, k * VQR_LANES * sizeof *dst);
        for (size_t l = 0; l < here; l++)
            for (size_t i = 0; i < k; i++)
                dst[i * VQR_LANES + l] = src[(j + l) * src_stride + i];
    }
}
