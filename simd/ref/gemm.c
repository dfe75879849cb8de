#include <math.h>

#include "simd/ref/ref.h"

void FN(gemm_f32)(float *c, size_t c_stride, const float *a, size_t a_stride, size_t rows, const float *b,
                  size_t b_stride, size_t k, size_t panels, const float *init)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t p = 0; p < panels; p++)
            for (size_t l = 0; l < VQR_LANES; l++) {
                float acc = init ? init[p * VQR_LANES + l] : 0.0f;
                for (size_t i = 0; i < k; i++)
                    acc = fmaf(a[r * a_stride + i], b[p * b_stride + i * VQR_LANES + l], acc);
                c[r * c_stride + p * VQR_LANES + l] = acc;
            }
}

void FN(madd_panels_f32)(float *dst, const float *scale, const float *a, const float *b, size_t k, size_t panels)
{
    for (size_t p = 0; p < panels; p++)
        for (size_t i = 0; i < k; i++)
            for (size_t l = 0; l < VQR_LANES; l++) {
                const size_t at = (p * k + i) * VQR_LANES + l;
                dst[at] = fmaf(scale[i], a[at], b[at]);
            }
}

void FN(pack_f32)(float *dst, const float *src, size_t src_stride, size_t k, size_t n)
{
    for (size_t p = 0; p < vqr_panels(n); p++)
        for (size_t i = 0; i < k; i++)
            for (size_t l = 0; l < VQR_LANES; l++) {
                const size_t j = p * VQR_LANES + l;
                *dst++ = j < n ? src[i * src_stride + j] : 0.0f;
            }
}

void FN(pack_transposed_f32)(float *dst, const float *src, size_t src_stride, size_t k, size_t n)
{
    for (size_t p = 0; p < vqr_panels(n); p++)
        for (size_t i = 0; i < k; i++)
            for (size_t l = 0; l < VQR_LANES; l++) {
                const size_t j = p * VQR_LANES + l;
                *dst++ = j < n ? src[j * src_stride + i] : 0.0f;
            }
}
