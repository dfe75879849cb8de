#include <math.h>

#include "simd/ref/ref.h"

void FN(mul_f32)(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

void FN(add_f32)(float *y, const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

void FN(scale_columns_f32)(float *x, size_t x_stride, size_t rows, size_t n, const float *scale)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++)
            x[r * x_stride + i] *= scale[i];
}

int FN(finite_f32)(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return 0;
    return 1;
}
