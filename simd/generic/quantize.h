/* Codeword scores with their argmax, and the exact sums of the clusters. Scores never leave the registers. */
#include <math.h>

#include "simd/generic/argmax.h"
#include "simd/generic/scores.h"

/* P panels from `panel` on, of which the last holds `lanes` codewords. */
VQR_INLINE void take_panels(v16 *best, v16 *tag, const size_t R, const size_t P, const float *e, size_t e_stride,
                            const float *b, size_t b_stride, const float *offset, const struct chains *chains,
                            const struct tile_events *events, size_t panel, size_t lanes)
{
    v16 sum[TILE_ACCUMULATORS];
    panel_scores(sum, R, P, e, e_stride, b + panel * b_stride, b_stride, chains, events, panel);
    if (offset) {
        VQR_UNROLL
        for (size_t i = 0; i < R * P; i++)
            sum[i] = v16_add(sum[i], v16_load(offset + (panel + i % P) * VQR_LANES));
    }
    take_tile(best, tag, R, P, sum, panel, lanes);
}

/* Rows `row` to row + R of e. */
VQR_INLINE void quantize_rows(const size_t R, const size_t P, uint32_t *z, const float *e, size_t e_stride,
                              const float *b, size_t b_stride, const float *offset, const struct chains *chains,
                              size_t row, size_t codewords)
{
    v16 best[QUANTIZE_ROWS], tag[QUANTIZE_ROWS];
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        best[r] = v16_set1(-INFINITY);
        tag[r] = v16_set1(0.0f);
    }
    const struct tile_events events = {row, NULL};
    e += row * e_stride;
    const size_t panels = vqr_panels(codewords), last = codewords - (panels - 1) * VQR_LANES;
    size_t p = 0;
    for (; p + P <= panels; p += P)
        take_panels(best, tag, R, P, e, e_stride, b, b_stride, offset, chains, &events, p,
                    p + P == panels ? last : VQR_LANES);
    if (P > 1)
        for (; p < panels; p++)
            take_panels(best, tag, R, 1, e, e_stride, b, b_stride, offset, chains, &events, p,
                        p + 1 == panels ? last : VQR_LANES);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++)
        best_of_lanes(&z[row + r], best[r], tag[r]);
}

void FN(quantize_f32)(uint32_t *z, const float *e, size_t e_stride, size_t rows, const float *b, const float *offset,
                      const uint32_t *widths, const struct vqr_known_scores *known, size_t features, size_t codewords)
{
    const struct chains chains = {widths, known, features};
    size_t width = 0;
    for (size_t f = 0; f < features; f++)
        width += widths[f];
    const size_t b_stride = width * VQR_LANES;
    size_t r = 0;
    for (; r + QUANTIZE_ROWS <= rows; r += QUANTIZE_ROWS)
        quantize_rows(QUANTIZE_ROWS, QUANTIZE_PANELS, z, e, e_stride, b, b_stride, offset, &chains, r, codewords);
    for (; r < rows; r++)
        quantize_rows(1, ROW_PANELS, z, e, e_stride, b, b_stride, offset, &chains, r, codewords);
}

/* Screening pays where integer products cost a fraction of float ones: with dot instructions. Elsewhere the text of
 * quantize_f32 is the fastest way to its result. */
size_t FN(quantize_exact_f32)(uint32_t *z, const float *e, size_t e_stride, size_t rows, const float *b,
                              const float *offset, const uint32_t *widths, const struct vqr_known_scores *known,
                              size_t features, size_t codewords, const struct vqr_screen *screen,
                              const struct vqr_screen_scratch *scratch)
{
    (void)screen, (void)scratch;
    FN(quantize_f32)(z, e, e_stride, rows, b, offset, widths, known, features, codewords);
    return rows * vqr_panels(codewords);
}

/* Bits of comparisons are the same everywhere: plain C. */
void FN(sign_codes_f32)(uint32_t *z, const float *x, size_t x_stride, size_t rows, size_t bits)
{
    for (size_t r = 0; r < rows; r++) {
        uint32_t code = 0;
        for (size_t b = 0; b < bits; b++)
            code |= (uint32_t)(x[r * x_stride + b] >= 0.0f) << b;
        z[r] = code;
    }
}

/* Columns of a row that accumulate_f32 has as integers in registers while it goes through the codebooks, in 16s. */
enum { SUM_VECTORS = 4 };

/* Adds P * 16 columns of each row, as integers, to the sums of its cluster in every codebook. */
VQR_INLINE void accumulate_columns(int64_t *sums, size_t codebooks, size_t step, size_t width, const size_t P,
                                   const float *x, size_t x_stride, size_t rows, const float *scale, v16 signs,
                                   const uint32_t *z, size_t z_stride)
{
    for (size_t r = 0; r < rows; r++, x += x_stride, z++) {
        v16i q[SUM_VECTORS];
        VQR_UNROLL
        for (size_t p = 0; p < P; p++)
            q[p] = v16_round(v16_mul(v16_mul(v16_load(x + p * VQR_LANES), v16_load(scale + p * VQR_LANES)), signs));
        for (size_t j = 0; j < codebooks; j++) {
            int64_t *sum = sums + j * step + z[j * z_stride] * width;
            VQR_UNROLL
            for (size_t p = 0; p < P; p++)
                v16i_add_int64(sum + p * VQR_LANES, q[p]);
        }
    }
}

/* The last n < 16 columns. */
static void accumulate_rest(int64_t *sums, size_t codebooks, size_t step, size_t width, size_t n, const float *x,
                            size_t x_stride, size_t rows, const float *scale, v16 signs, const uint32_t *z,
                            size_t z_stride)
{
    for (size_t r = 0; r < rows; r++, x += x_stride, z++) {
        int32_t q[VQR_LANES];
        v16i_store(q, v16_round(v16_mul(v16_mul(v16_load_n(x, n), v16_load_n(scale, n)), signs)));
        for (size_t j = 0; j < codebooks; j++) {
            int64_t *sum = sums + j * step + z[j * z_stride] * width;
            for (size_t i = 0; i < n; i++)
                sum[i] += q[i];
        }
    }
}

/* What becomes an integer does so once for all codebooks and is not stored in between. Integer sums are exact in any
 * order. */
void FN(accumulate_f32)(int64_t *sums, uint32_t *counts, size_t codebooks, size_t clusters, const float *e,
                        size_t e_stride, size_t rows, size_t width, const float *scale, const uint32_t *z,
                        size_t z_stride, int32_t sign)
{
    const v16 signs = v16_set1((float)sign); /* rounding to nearest even is the same on both sides of 0 */
    const size_t step = clusters * width;
    size_t i = 0;
    for (; i + SUM_VECTORS * VQR_LANES <= width; i += SUM_VECTORS * VQR_LANES)
        accumulate_columns(sums + i, codebooks, step, width, SUM_VECTORS, e + i, e_stride, rows, scale + i, signs, z,
                           z_stride);
    for (; i + VQR_LANES <= width; i += VQR_LANES)
        accumulate_columns(sums + i, codebooks, step, width, 1, e + i, e_stride, rows, scale + i, signs, z, z_stride);
    if (i < width)
        accumulate_rest(sums + i, codebooks, step, width, width - i, e + i, e_stride, rows, scale + i, signs, z,
                        z_stride);
    for (size_t j = 0; j < codebooks; j++)
        for (size_t r = 0; r < rows; r++)
            counts[j * clusters + z[j * z_stride + r]] += (uint32_t)sign;
}

/* Integers convert to double with one rounding on every machine, so the kernel below is plain C that the compiler
 * vectorizes for this ISA; so are the two after it, whose elements are sums of their own, one product and one addition
 * at a time. */

void FN(cluster_mean_f32)(float *r, size_t r_stride, const int64_t *sums, const uint32_t *counts,
                          const uint32_t *tokens, size_t token_count, size_t width, const double *unit)
{
    for (size_t t = 0; t < token_count; t++) {
        const size_t c = tokens[t];
        const int64_t *restrict sum = sums + c * width;
        float *restrict mean = r + t * r_stride;
        const double n = (double)counts[c];
        for (size_t i = 0; i < width; i++)
            mean[i] = counts[c] == 0 ? 0.0f : (float)((double)sum[i] * unit[i] / n);
    }
}

void FN(accumulate_decayed_f64)(double *sums, double *counts, const float *v, size_t v_stride, size_t rows,
                                size_t heads, size_t v_dim, const double *psi, const uint32_t *z)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < heads; h++) {
            double *restrict sum = sums + (z[r] * heads + h) * v_dim;
            const float *restrict x = v + r * v_stride + h * v_dim;
            const double weight = psi[r * heads + h];
            for (size_t i = 0; i < v_dim; i++)
                sum[i] += weight * (double)x[i];
            counts[z[r] * heads + h] += weight;
        }
}

void FN(scale_f64)(double *x, const double *scale, size_t rows, size_t heads, size_t width)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < heads; h++) {
            double *restrict y = x + (r * heads + h) * width;
            for (size_t i = 0; i < width; i++)
                y[i] *= scale[h];
        }
}
