#include <math.h>

#include "simd/ref/ref.h"

/* ln of a component's density at r, up to a constant: RQ-GMM, docs/model.md. A product with the difference first keeps
 * what a square of tiny differences would lose. */
static float score(const float *r, size_t n, const float *mean, const float *ivar, float bias)
{
    float sum = 0.0f;
    for (size_t d = 0; d < n; d++) {
        const float x = r[d] - mean[d * VQR_LANES];
        sum = fmaf(x, ivar ? x * ivar[d * VQR_LANES] : x, sum);
    }
    return fmaf(-0.5f, sum, bias);
}

size_t FN(gmm_f32)(uint32_t *z, float *r, size_t r_stride, size_t rows, size_t n, const float *mean, const float *ivar,
                   const float *bias, size_t codes)
{
    size_t failed = rows;
    for (size_t i = 0; i < rows; i++) {
        float *row = r + i * r_stride, best = -INFINITY;
        z[i] = 0;
        for (size_t w = 0; w < codes; w++) {
            const size_t column = w / VQR_LANES * n * VQR_LANES + w % VQR_LANES;
            const float s = score(row, n, mean + column, ivar ? ivar + column : NULL, ivar ? bias[w] : 0.0f);
            if (s > best) {
                best = s;
                z[i] = (uint32_t)w;
            }
        }
        if (!(best > -INFINITY) && failed == rows)
            failed = i;
        const float *mu = mean + z[i] / VQR_LANES * n * VQR_LANES + z[i] % VQR_LANES;
        for (size_t d = 0; d < n; d++)
            row[d] -= mu[d * VQR_LANES];
    }
    return failed;
}
