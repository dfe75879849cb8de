/* Products of int8, whose sums are exact. The including file has dot_tile of int8_tile.h, or one
 * of its own that gives the same sums. */
#include <math.h>

#include "simd/generic/argmax.h"
#include "simd/generic/tile.h"

/* Scores of R rows against P panels: sums to float, scaled, on top of init. */
VQR_INLINE void score_tile(v16 *s, const size_t R, const size_t P, const int8_t *a, size_t a_stride,
                           const float *a_scale, const int32_t *row_bias, const int8_t *b, size_t b_stride,
                           const float *b_scale, size_t k4, const float *init)
{
    v16i acc[INT8_ROWS * INT8_PANELS];
    dot_tile(acc, R, P, a, a_stride, row_bias, b, b_stride, k4);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        VQR_UNROLL
        for (size_t p = 0; p < P; p++) {
            const v16 scale = v16_mul(v16_set1(a_scale[r]), v16_load(b_scale + p * VQR_LANES));
            s[r * P + p] =
                v16_fma(v16_from_int(acc[r * P + p]), scale, init ? v16_load(init + p * VQR_LANES) : v16_set1(0.0f));
        }
    }
}

VQR_INLINE void gemm_i8_rows(const size_t R, float *c, size_t c_stride, const int8_t *a, size_t a_stride,
                             const float *a_scale, const int8_t *b, const float *b_scale, size_t k4, size_t panels,
                             const float *init)
{
    const size_t b_stride = k4 * 4 * VQR_LANES;
    int32_t bias[INT8_ROWS];
    v16 s[INT8_ROWS * INT8_PANELS];
    row_biases(bias, a, a_stride, R, k4);
    size_t p = 0;
    for (; p + INT8_PANELS <= panels; p += INT8_PANELS) {
        score_tile(s, R, INT8_PANELS, a, a_stride, a_scale, bias, b + p * b_stride, b_stride, b_scale + p * VQR_LANES,
                   k4, init ? init + p * VQR_LANES : NULL);
        VQR_UNROLL
        for (size_t r = 0; r < R; r++) {
            VQR_UNROLL
            for (size_t i = 0; i < INT8_PANELS; i++)
                v16_store(c + r * c_stride + (p + i) * VQR_LANES, s[r * INT8_PANELS + i]);
        }
    }
    for (; INT8_PANELS > 1 && p < panels; p++) {
        score_tile(s, R, 1, a, a_stride, a_scale, bias, b + p * b_stride, b_stride, b_scale + p * VQR_LANES, k4,
                   init ? init + p * VQR_LANES : NULL);
        VQR_UNROLL
        for (size_t r = 0; r < R; r++)
            v16_store(c + r * c_stride + p * VQR_LANES, s[r]);
    }
}

void FN(gemm_i8)(float *c, size_t c_stride, const int8_t *a, size_t a_stride, const float *a_scale, size_t rows,
                 const int8_t *b, const float *b_scale, size_t k4, size_t panels, const float *init)
{
    size_t r = 0;
    for (; r + INT8_ROWS <= rows; r += INT8_ROWS)
        gemm_i8_rows(INT8_ROWS, c + r * c_stride, c_stride, a + r * a_stride, a_stride, a_scale + r, b, b_scale, k4,
                     panels, init);
    for (; r < rows; r++)
        gemm_i8_rows(1, c + r * c_stride, c_stride, a + r * a_stride, a_stride, a_scale + r, b, b_scale, k4, panels,
                     init);
}

/* P panels from `panel` on, of which the last holds `lanes` codewords. */
VQR_INLINE void take_i8_panels(v16 *best, v16 *tag, const size_t R, const size_t P, const int8_t *a, size_t a_stride,
                               const float *a_scale, const int32_t *bias, const int8_t *b, const float *b_scale,
                               size_t k4, const float *offset, size_t panel, size_t lanes)
{
    const size_t b_stride = k4 * 4 * VQR_LANES;
    v16 s[INT8_ROWS * INT8_PANELS];
    score_tile(s, R, P, a, a_stride, a_scale, bias, b + panel * b_stride, b_stride, b_scale + panel * VQR_LANES, k4,
               offset ? offset + panel * VQR_LANES : NULL);
    VQR_UNROLL
    for (size_t p = 0; p < P; p++) {
        const v16 number = v16_set1((float)(panel + p)); /* exact: fewer than 2^24 panels */
        VQR_UNROLL
        for (size_t r = 0; r < R; r++) {
            const v16 x = p + 1 < P || lanes == VQR_LANES ? s[r * P + p] : v16_keep(s[r * P + p], lanes, -INFINITY);
            v16_take_greater(&best[r], &tag[r], x, number);
        }
    }
}

VQR_INLINE void quantize_i8_rows(const size_t R, uint32_t *z, const int8_t *a, size_t a_stride, const float *a_scale,
                                 const int8_t *b, const float *b_scale, size_t k4, const float *offset,
                                 size_t codewords)
{
    const size_t panels = vqr_panels(codewords), last = codewords - (panels - 1) * VQR_LANES;
    int32_t bias[INT8_ROWS];
    v16 best[INT8_ROWS], tag[INT8_ROWS];
    row_biases(bias, a, a_stride, R, k4);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        best[r] = v16_set1(-INFINITY);
        tag[r] = v16_set1(0.0f);
    }
    size_t p = 0;
    for (; p + INT8_PANELS <= panels; p += INT8_PANELS)
        take_i8_panels(best, tag, R, INT8_PANELS, a, a_stride, a_scale, bias, b, b_scale, k4, offset, p,
                       p + INT8_PANELS == panels ? last : VQR_LANES);
    for (; INT8_PANELS > 1 && p < panels; p++)
        take_i8_panels(best, tag, R, 1, a, a_stride, a_scale, bias, b, b_scale, k4, offset, p,
                       p + 1 == panels ? last : VQR_LANES);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++)
        best_of_lanes(&z[r], best[r], tag[r]);
}

void FN(quantize_i8)(uint32_t *z, const int8_t *a, size_t a_stride, const float *a_scale, size_t rows, const int8_t *b,
                     const float *b_scale, size_t k4, const float *offset, size_t codewords)
{
    size_t r = 0;
    for (; r + INT8_ROWS <= rows; r += INT8_ROWS)
        quantize_i8_rows(INT8_ROWS, z + r, a + r * a_stride, a_stride, a_scale + r, b, b_scale, k4, offset, codewords);
    for (; r < rows; r++)
        quantize_i8_rows(1, z + r, a + r * a_stride, a_stride, a_scale + r, b, b_scale, k4, offset, codewords);
}
