#include <float.h>
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

/* Element i of a row in int8; NaN, which no limit lets through, where it is not to be had. */
static float element_i8(const int8_t *row, float scale, size_t i)
{
    return row[i] == -128 ? NAN : (float)row[i] * scale;
}

size_t FN(embed_i8)(float *dst, size_t dst_stride, const int8_t *table, const float *scale, size_t dim,
                    const uint32_t *index, size_t rows, float limit)
{
    for (size_t r = 0; r < rows; r++) {
        const float step = scale[index[r]];
        if (!(step >= 0.0f && step <= FLT_MAX))
            return r;
        for (size_t i = 0; i < dim; i++) {
            const float x = element_i8(table + (size_t)index[r] * dim, step, i);
            if (!(fabsf(x) <= limit))
                return r;
            dst[r * dst_stride + i] = x;
        }
    }
    return rows;
}

size_t FN(embed_add_i8)(float *dst, const int8_t *table, const float *scale, size_t dim, const uint32_t *index,
                        size_t count, float limit)
{
    for (size_t r = 0; r < count; r++) {
        const float step = scale[index[r]];
        if (!(step >= 0.0f && step <= FLT_MAX))
            return r;
        for (size_t i = 0; i < dim; i++) {
            const float x = element_i8(table + (size_t)index[r] * dim, step, i);
            if (!(fabsf(x) <= limit))
                return r;
            dst[i] += x;
        }
    }
    return count;
}
