/* Residual quantizers: distances to all components with their argmax, and the residual. Distances never leave the
 * registers. */
#include "simd/generic/argmax.h"
#include "simd/generic/tile.h"

/* sum[i] += over d of (r[i / P][d] - mean)^2 * ivar, for R rows and P panels; SCALED 0: without ivar. */
VQR_INLINE void distances(v16 *sum, const size_t R, const size_t P, const int SCALED, const float *r, size_t r_stride,
                          const float *mean, const float *ivar, size_t n)
{
    const size_t p_stride = n * VQR_LANES;
    for (size_t d = 0; d < n; d++) {
        VQR_UNROLL
        for (size_t p = 0; p < P; p++) {
            const v16 mu = v16_load(mean + p * p_stride + d * VQR_LANES);
            const v16 scale = SCALED ? v16_load(ivar + p * p_stride + d * VQR_LANES) : mu;
            VQR_UNROLL
            for (size_t i = 0; i < R; i++) {
                const v16 x = v16_sub(v16_set1(r[i * r_stride + d]), mu);
                sum[i * P + p] = v16_fma(x, SCALED ? v16_mul(x, scale) : x, sum[i * P + p]);
            }
        }
    }
}

/* P panels from `panel` on, of which the last holds `lanes` components. */
VQR_INLINE void take_components(v16 *best, v16 *tag, const size_t R, const size_t P, const int SCALED, const float *r,
                                size_t r_stride, const float *mean, const float *ivar, const float *bias, size_t n,
                                size_t panel, size_t lanes)
{
    v16 sum[TILE_ACCUMULATORS];
    VQR_UNROLL
    for (size_t i = 0; i < R * P; i++)
        sum[i] = v16_set1(0.0f);
    const size_t first = panel * n * VQR_LANES;
    distances(sum, R, P, SCALED, r, r_stride, mean + first, SCALED ? ivar + first : ivar, n);
    VQR_UNROLL
    for (size_t p = 0; p < P; p++) {
        const v16 number = v16_set1((float)(panel + p)); /* exact: fewer than 2^24 panels */
        const v16 init = SCALED ? v16_load(bias + (panel + p) * VQR_LANES) : v16_set1(0.0f);
        VQR_UNROLL
        for (size_t i = 0; i < R; i++) {
            const v16 score = v16_fma(v16_set1(-0.5f), sum[i * P + p], init);
            v16_take_greater(&best[i], &tag[i],
                             p + 1 < P || lanes == VQR_LANES ? score : v16_keep(score, lanes, -INFINITY), number);
        }
    }
}

/* The number of the first of R rows for which nothing won, or R. */
VQR_INLINE size_t assign_rows(const size_t R, const size_t P, const int SCALED, uint32_t *z, float *r, size_t r_stride,
                              size_t n, const float *mean, const float *ivar, const float *bias, size_t codes)
{
    v16 best[GMM_ROWS], tag[GMM_ROWS];
    VQR_UNROLL
    for (size_t i = 0; i < R; i++) {
        best[i] = v16_set1(-INFINITY);
        tag[i] = v16_set1(0.0f);
    }
    const size_t panels = vqr_panels(codes), last = codes - (panels - 1) * VQR_LANES;
    size_t p = 0, failed = R;
    for (; p + P <= panels; p += P)
        take_components(best, tag, R, P, SCALED, r, r_stride, mean, ivar, bias, n, p,
                        p + P == panels ? last : VQR_LANES);
    if (P > 1)
        for (; p < panels; p++)
            take_components(best, tag, R, 1, SCALED, r, r_stride, mean, ivar, bias, n, p,
                            p + 1 == panels ? last : VQR_LANES);
    for (size_t i = R; i-- > 0;) {
        if (!(best_of_lanes(&z[i], best[i], tag[i]) > -INFINITY))
            failed = i;
        const float *mu = mean + z[i] / VQR_LANES * n * VQR_LANES + z[i] % VQR_LANES;
        for (size_t d = 0; d < n; d++)
            r[i * r_stride + d] -= mu[d * VQR_LANES];
    }
    return failed;
}

VQR_INLINE size_t assign_all(const int SCALED, uint32_t *z, float *r, size_t r_stride, size_t rows, size_t n,
                             const float *mean, const float *ivar, const float *bias, size_t codes)
{
    size_t i = 0, failed = rows;
    for (; i + GMM_ROWS <= rows; i += GMM_ROWS) {
        const size_t bad =
            assign_rows(GMM_ROWS, 1, SCALED, z + i, r + i * r_stride, r_stride, n, mean, ivar, bias, codes);
        if (bad < GMM_ROWS && failed == rows)
            failed = i + bad;
    }
    for (; i < rows; i++)
        if (assign_rows(1, ROW_PANELS, SCALED, z + i, r + i * r_stride, r_stride, n, mean, ivar, bias, codes) == 0 &&
            failed == rows)
            failed = i;
    return failed;
}

size_t FN(gmm_f32)(uint32_t *z, float *r, size_t r_stride, size_t rows, size_t n, const float *mean, const float *ivar,
                   const float *bias, size_t codes)
{
    return ivar ? assign_all(1, z, r, r_stride, rows, n, mean, ivar, bias, codes)
                : assign_all(0, z, r, r_stride, rows, n, mean, ivar, bias, codes);
}
