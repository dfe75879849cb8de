/* Products of int8, whose sums are exact. The including file has dot_tile of int8_tile.h or
 * int8_pairs.h, or one of its own that gives the same sums, and the shapes of its tiles: INT8_ROWS x INT8_PANELS,
 * INT8_SMALL_ROWS x INT8_SMALL_PANELS and one row by INT8_ROW_PANELS. */
#include <math.h>

#include "simd/generic/argmax.h"
#include "simd/generic/tile.h"

/* What the rows of a product start from, `stride` apart; at NULL: 0. */
struct starts {
    const float *at;
    size_t stride;
};

/* The same from row r and output o on. */
static inline struct starts starts_from(struct starts init, size_t r, size_t o)
{
    const struct starts moved = {init.at ? init.at + r * init.stride + o : NULL, init.stride};
    return moved;
}

/* Scores of R rows against P panels: sums to float, scaled, on top of init. */
VQR_INLINE void score_tile(v16 *s, const size_t R, const size_t P, const int8_t *a, size_t a_stride,
                           const float *a_scale, struct int8_rows *prepared, const int8_t *b, size_t b_stride,
                           const float *b_scale, size_t k4, struct starts init)
{
    v16i acc[TILE_ACCUMULATORS];
    dot_tile(acc, R, P, a, a_stride, prepared, b, b_stride, k4);
    VQR_UNROLL
    for (size_t p = 0; p < P; p++) {
        const v16 steps = v16_load(b_scale + p * VQR_LANES);
        VQR_UNROLL
        for (size_t r = 0; r < R; r++) {
            const float *start = starts_from(init, r, p * VQR_LANES).at;
            s[r * P + p] = v16_fma(v16_from_int(acc[r * P + p]), v16_mul(v16_set1(a_scale[r]), steps),
                                   start ? v16_load(start) : v16_set1(0.0f));
        }
    }
}

VQR_INLINE void gemm_i8_tile(const size_t R, const size_t P, float *c, size_t c_stride, const int8_t *a,
                             size_t a_stride, const float *a_scale, struct int8_rows *prepared, const int8_t *b,
                             const float *b_scale, size_t k4, struct starts init)
{
    v16 s[TILE_ACCUMULATORS];
    score_tile(s, R, P, a, a_stride, a_scale, prepared, b, k4 * 4 * VQR_LANES, b_scale, k4, init);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        VQR_UNROLL
        for (size_t p = 0; p < P; p++)
            v16_store(c + r * c_stride + p * VQR_LANES, s[r * P + p]);
    }
}

/* R rows against all panels, P at a time and then one by one. */
VQR_INLINE void gemm_i8_rows(const size_t R, const size_t P, float *c, size_t c_stride, const int8_t *a,
                             size_t a_stride, const float *a_scale, const int8_t *b, const float *b_scale, size_t k4,
                             size_t panels, struct starts init)
{
    struct int8_rows prepared;
    prepare_rows(&prepared, a, a_stride, R, k4);
    size_t p = 0;
    for (; p + P <= panels; p += P)
        gemm_i8_tile(R, P, c + p * VQR_LANES, c_stride, a, a_stride, a_scale, &prepared, b + p * k4 * 4 * VQR_LANES,
                     b_scale + p * VQR_LANES, k4, starts_from(init, 0, p * VQR_LANES));
    if (P > 1)
        for (; p < panels; p++)
            gemm_i8_tile(R, 1, c + p * VQR_LANES, c_stride, a, a_stride, a_scale, &prepared, b + p * k4 * 4 * VQR_LANES,
                         b_scale + p * VQR_LANES, k4, starts_from(init, 0, p * VQR_LANES));
}

void FN(gemm_i8)(float *c, size_t c_stride, const int8_t *a, size_t a_stride, const float *a_scale, size_t rows,
                 const int8_t *b, const float *b_scale, size_t k4, size_t panels, const float *init, size_t init_stride)
{
    const struct starts start = {init, init_stride};
    size_t r = 0;
    for (; r + INT8_ROWS <= rows; r += INT8_ROWS)
        gemm_i8_rows(INT8_ROWS, INT8_PANELS, c + r * c_stride, c_stride, a + r * a_stride, a_stride, a_scale + r, b,
                     b_scale, k4, panels, starts_from(start, r, 0));
    for (; r + INT8_SMALL_ROWS <= rows; r += INT8_SMALL_ROWS)
        gemm_i8_rows(INT8_SMALL_ROWS, INT8_SMALL_PANELS, c + r * c_stride, c_stride, a + r * a_stride, a_stride,
                     a_scale + r, b, b_scale, k4, panels, starts_from(start, r, 0));
    for (; r < rows; r++)
        gemm_i8_rows(1, INT8_ROW_PANELS, c + r * c_stride, c_stride, a + r * a_stride, a_stride, a_scale + r, b,
                     b_scale, k4, panels, starts_from(start, r, 0));
}

/* P panels from `panel` on, of which the last holds `lanes` codewords. */
VQR_INLINE void take_i8_panels(v16 *best, v16 *tag, const size_t R, const size_t P, const int8_t *a, size_t a_stride,
                               const float *a_scale, struct int8_rows *prepared, const int8_t *b, const float *b_scale,
                               size_t k4, struct starts offset, size_t panel, size_t lanes)
{
    const size_t b_stride = k4 * 4 * VQR_LANES;
    v16 s[TILE_ACCUMULATORS];
    score_tile(s, R, P, a, a_stride, a_scale, prepared, b + panel * b_stride, b_stride, b_scale + panel * VQR_LANES, k4,
               starts_from(offset, 0, panel * VQR_LANES));
    take_tile(best, tag, R, P, s, panel, lanes);
}

VQR_INLINE void quantize_i8_rows(const size_t R, const size_t P, uint32_t *z, const int8_t *a, size_t a_stride,
                                 const float *a_scale, const int8_t *b, const float *b_scale, size_t k4,
                                 struct starts offset, size_t codewords)
{
    const size_t panels = vqr_panels(codewords), last = codewords - (panels - 1) * VQR_LANES;
    struct int8_rows prepared;
    v16 best[INT8_ROWS], tag[INT8_ROWS];
    prepare_rows(&prepared, a, a_stride, R, k4);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        best[r] = v16_set1(-INFINITY);
        tag[r] = v16_set1(0.0f);
    }
    size_t p = 0;
    for (; p + P <= panels; p += P)
        take_i8_panels(best, tag, R, P, a, a_stride, a_scale, &prepared, b, b_scale, k4, offset, p,
                       p + P == panels ? last : VQR_LANES);
    if (P > 1)
        for (; p < panels; p++)
            take_i8_panels(best, tag, R, 1, a, a_stride, a_scale, &prepared, b, b_scale, k4, offset, p,
                           p + 1 == panels ? last : VQR_LANES);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++)
        best_of_lanes(&z[r], best[r], tag[r]);
}

void FN(quantize_i8)(uint32_t *z, const int8_t *a, size_t a_stride, const float *a_scale, size_t rows, const int8_t *b,
                     const float *b_scale, size_t k4, const float *offset, size_t offset_stride, size_t codewords)
{
    const struct starts start = {offset, offset_stride};
    size_t r = 0;
    for (; r + INT8_ROWS <= rows; r += INT8_ROWS)
        quantize_i8_rows(INT8_ROWS, INT8_PANELS, z + r, a + r * a_stride, a_stride, a_scale + r, b, b_scale, k4,
                         starts_from(start, r, 0), codewords);
    for (; r < rows; r++)
        quantize_i8_rows(1, INT8_ROW_PANELS, z + r, a + r * a_stride, a_stride, a_scale + r, b, b_scale, k4,
                         starts_from(start, r, 0), codewords);
}
