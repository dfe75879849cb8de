#include <math.h>

#include "simd/ref/ref.h"

void FN(layer_norm_f32)(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows, size_t n, float eps,
                        const float *weight, const float *bias)
{
    for (size_t r = 0; r < rows; r++) {
        const float *in = x + r * x_stride;
        float *out = y + r * y_stride;
        const float mean = vqr_ref_row_sum(in, n) / (float)n;
        float lane[VQR_LANES] = {0};
        for (size_t i = 0; i < n; i++) {
            const float d = in[i] - mean;
            lane[i % VQR_LANES] = fmaf(d, d, lane[i % VQR_LANES]);
        }
        const float var = vqr_ref_tree_sum(lane) / (float)n;
        const float inverse = 1.0f / sqrtf(var + eps);
        for (size_t i = 0; i < n; i++) {
            const float normalised = (in[i] - mean) * inverse;
            out[i] = weight ? fmaf(normalised, weight[i], bias[i]) : normalised;
        }
    }
}

/* Squares of floats are exact in double, and neither overflow nor vanish there. */
void FN(unit_rows_f32)(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++) {
        double lane[VQR_LANES] = {0};
        for (size_t i = 0; i < n; i++)
            lane[i % VQR_LANES] += (double)x[r * x_stride + i] * (double)x[r * x_stride + i];
        for (size_t half = VQR_LANES / 2; half >= 1; half /= 2)
            for (size_t j = 0; j < half; j++)
                lane[j] += lane[j + half];
        const double length = sqrt(lane[0]);
        for (size_t i = 0; i < n; i++)
            y[r * y_stride + i] = length == 0.0 ? 0.0f : (float)((double)x[r * x_stride + i] / length);
    }
}
