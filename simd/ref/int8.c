#include <float.h>
#include <math.h>
#include <string.h>

#include "simd/ref/ref.h"

void FN(to_int8_f32)(int8_t *q, size_t q_stride, float *scale, const float *x, size_t x_stride, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++) {
        float max = 0.0f;
        int finite = 1;
        for (size_t i = 0; i < n; i++) {
            const float magnitude = fabsf(x[r * x_stride + i]);
            finite &= magnitude <= FLT_MAX;
            max = magnitude > max ? magnitude : max;
        }
        memset(q + r * q_stride, 0, (n + 3) / 4 * 4);
        scale[r] = !finite ? NAN : max < VQR_INT8_LEAST ? 0.0f : max / 127.0f;
        if (!(scale[r] > 0.0f))
            continue;
        const float steps = 127.0f / max;
        for (size_t i = 0; i < n; i++)
            q[r * q_stride + i] = (int8_t)rintf(x[r * x_stride + i] * steps);
    }
}

/* One output of a product with panels of b. */
static float product(const int8_t *a, float a_scale, const int8_t *b, const float *b_scale, size_t k4,
                     const float *init, size_t o)
{
    const int8_t *column = b + (o / VQR_LANES * k4 * VQR_LANES + o % VQR_LANES) * 4;
    int32_t sum = 0;
    for (size_t i = 0; i < 4 * k4; i++)
        sum += a[i] * column[i / 4 * 4 * VQR_LANES + i % 4];
    return fmaf((float)sum, a_scale * b_scale[o], init ? init[o] : 0.0f);
}

void FN(gemm_i8)(float *c, size_t c_stride, const int8_t *a, size_t a_stride, const float *a_scale, size_t rows,
                 const int8_t *b, const float *b_scale, size_t k4, size_t panels, const float *init)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < panels * VQR_LANES; o++)
            c[r * c_stride + o] = product(a + r * a_stride, a_scale[r], b, b_scale, k4, init, o);
}

void FN(quantize_i8)(uint32_t *z, const int8_t *a, size_t a_stride, const float *a_scale, size_t rows, const int8_t *b,
                     const float *b_scale, size_t k4, const float *offset, size_t codewords)
{
    for (size_t r = 0; r < rows; r++) {
        float best = -INFINITY;
        z[r] = 0;
        for (size_t w = 0; w < codewords; w++) {
            const float s = product(a + r * a_stride, a_scale[r], b, b_scale, k4, offset, w);
            if (s > best) {
                best = s;
                z[r] = (uint32_t)w;
            }
        }
    }
}
