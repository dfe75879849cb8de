/* Rows to int8, for the kernel and for those that convert rows themselves. */
#ifndef VQR_TO_INT8_H
#define VQR_TO_INT8_H

#include <float.h>
#include <math.h>
#include <string.h>

static float largest_magnitude(const float *x, size_t n, int *finite)
{
    const v16 limit = v16_set1(FLT_MAX);
    v16 max = v16_set1(0.0f);
    *finite = 1;
    for (size_t i = 0; i < n; i += VQR_LANES) {
        const v16 v = v16_abs(n - i < VQR_LANES ? v16_load_n(x + i, n - i) : v16_load(x + i));
        *finite &= v16_within(v, limit);
        max = v16_max(v, max);
    }
    return v16_max_lane(max);
}

static void rows_to_int8(int8_t *q, size_t q_stride, float *scale, const float *x, size_t x_stride, size_t rows,
                         size_t n)
{
    for (size_t r = 0; r < rows; r++, x += x_stride, q += q_stride) {
        int finite;
        const float max = largest_magnitude(x, n, &finite);
        memset(q, 0, (n + 3) / 4 * 4);
        scale[r] = !finite ? NAN : max < VQR_INT8_LEAST ? 0.0f : max / 127.0f;
        if (!(scale[r] > 0.0f))
            continue;
        const v16 steps = v16_set1(127.0f / max);
        for (size_t i = 0; i < n; i += VQR_LANES) {
            const size_t here = n - i < VQR_LANES ? n - i : VQR_LANES;
            if (here == VQR_LANES) {
                v16i_store_int8(q + i, v16_round(v16_mul(v16_load(x + i), steps)));
            } else {
                int8_t last[VQR_LANES];
                v16i_store_int8(last, v16_round(v16_mul(v16_load_n(x + i, here), steps)));
                memcpy(q + i, last, here);
            }
        }
    }
}

#endif
