#include <math.h>

#include "simd/ref/ref.h"

size_t FN(embed_f32)(float *dst, size_t dst_stride, const float *table, size_t dim, const uint32_t *index, size_t rows,
                     float limit)
{
    for (size_t r = 0; r < rows; r++) {
        const float *row = table + (size_t)index[r] * dim;
        for (size_t i = 0; i < dim; i++) {
            if (!(fabsf(row[i]) <= limit))
                return r;
            dst[r * dst_stride + i] = row[i];
        }
    }
    return rows;
}

size_t FN(embed_add_f32)(float *dst, const float *table, size_t dim, const uint32_t *index, size_t count, float limit)
{
    for (size_t r = 0; r < count; r++) {
        const float *row = table + (size_t)index[r] * dim;
        for (size_t i = 0; i < dim; i++) {
            if (!(fabsf(row[i]) <= limit))
                return r;
            dst[i] += row[i];
        }
    }
    return count;
}
