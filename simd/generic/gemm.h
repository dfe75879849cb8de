/* Matrix product and packing. */
#include <string.h>

#include "simd/generic/multiply.h"

void FN(gemm_f32)(float *c, size_t c_stride, const float *a, size_t a_stride, size_t rows, const float *b,
                  size_t b_stride, size_t k, size_t panels, const float *init)
{
    if (k == 0) { /* a and b may be NULL, on which not even an offset may be formed */
        a = b = c;
        a_stride = b_stride = 0;
    }
    multiply(c, c_stride, a, a_stride, rows, b, b_stride, FLOATS, k, panels, init);
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
