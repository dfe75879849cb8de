#include <math.h>

#include "simd/ref/ref.h"

/* The score of one event, the `row`th, against codeword w, whose column of the fold is b: DMQN eq 5 with P and C
 * folded. */
float vqr_ref_score(const float *e, const float *b, const uint32_t *widths, const struct vqr_known_scores *known,
                    size_t features, size_t row, size_t w)
{
    float sum = 0.0f;
    for (size_t f = 0; f < features; f++) {
        float chain = 0.0f;
        for (uint32_t i = 0; i < widths[f]; i++, e++, b += VQR_LANES)
            chain = fmaf(*e, *b, chain);
        if (known && known[f].scores)
            chain = known[f].scores[known[f].row[row] * known[f].stride + w];
        sum = f == 0 ? chain : sum + chain;
    }
    return sum;
}

void FN(quantize_f32)(uint32_t *z, const float *e, size_t e_stride, size_t rows, const float *b, const float *offset,
                      const uint32_t *widths, const struct vqr_known_scores *known, size_t features, size_t codewords)
{
    size_t width = 0;
    for (size_t f = 0; f < features; f++)
        width += widths[f];
    for (size_t r = 0; r < rows; r++) {
        float best = -INFINITY;
        z[r] = 0;
        for (size_t w = 0; w < codewords; w++) {
            const float *column = b + w / VQR_LANES * width * VQR_LANES + w % VQR_LANES;
            const float sum = vqr_ref_score(e + r * e_stride, column, widths, known, features, r, w);
            const float s = offset ? sum + offset[w] : sum;
            if (s > best) {
                best = s;
                z[r] = (uint32_t)w;
            }
        }
    }
}

void FN(sign_codes_f32)(uint32_t *z, const float *x, size_t x_stride, size_t rows, size_t bits)
{
    for (size_t r = 0; r < rows; r++) {
        z[r] = 0;
        for (size_t b = 0; b < bits; b++)
            if (x[r * x_stride + b] >= 0.0f)
                z[r] |= (uint32_t)1 << b;
    }
}

void FN(accumulate_f32)(int64_t *sums, uint32_t *counts, size_t codebooks, size_t clusters, const float *e,
                        size_t e_stride, size_t rows, size_t width, const float *scale, const uint32_t *z,
                        size_t z_stride, int32_t sign)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < codebooks; j++) {
            const size_t cluster = j * clusters + z[j * z_stride + r];
            for (size_t i = 0; i < width; i++) {
                const int32_t q = (int32_t)rintf(e[r * e_stride + i] * scale[i]);
                sums[cluster * width + i] += (int64_t)sign * q;
            }
            counts[cluster] += (uint32_t)sign;
        }
}

void FN(cluster_mean_f32)(float *r, size_t r_stride, const int64_t *sums, const uint32_t *counts,
                          const uint32_t *tokens, size_t token_count, size_t width, const double *unit)
{
    for (size_t t = 0; t < token_count; t++) {
        const size_t c = tokens[t];
        for (size_t i = 0; i < width; i++)
            r[t * r_stride + i] =
                counts[c] == 0 ? 0.0f : (float)((double)sums[c * width + i] * unit[i] / (double)counts[c]);
    }
}

void FN(accumulate_decayed_f64)(double *sums, double *counts, const float *v, size_t v_stride, size_t rows,
                                size_t heads, size_t v_dim, const double *psi, const uint32_t *z)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < heads; h++) {
            double *sum = sums + (z[r] * heads + h) * v_dim;
            for (size_t i = 0; i < v_dim; i++)
                sum[i] += psi[r * heads + h] * (double)v[r * v_stride + h * v_dim + i];
            counts[z[r] * heads + h] += psi[r * heads + h];
        }
}

void FN(scale_f64)(double *x, const double *scale, size_t rows, size_t heads, size_t width)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t h = 0; h < heads; h++)
            for (size_t i = 0; i < width; i++)
                x[(r * heads + h) * width + i] *= scale[h];
}
