/* Functions of pairs of elements, and the test for finite ones. */
#include <float.h>

#define ELEMENTWISE(name, operation)                                                                  \
    void FN(name)(float *y, const float *a, const float *b, size_t n)                                 \
    {                                                                                                 \
        size_t i = 0;                                                                                 \
        for (; i + VQR_LANES <= n; i += VQR_LANES)                                                    \
            v16_store(y + i, operation(v16_load(a + i), v16_load(b + i)));                            \
        if (i < n)                                                                                    \
            v16_store_n(y + i, operation(v16_load_n(a + i, n - i), v16_load_n(b + i, n - i)), n - i); \
    }

ELEMENTWISE(mul_f32, v16_mul)
ELEMENTWISE(add_f32, v16_add)

void FN(scale_columns_f32)(float *x, size_t x_stride, size_t rows, size_t n, const float *scale)
{
    size_t i = 0;
    for (; i + VQR_LANES <= n; i += VQR_LANES) {
        const v16 s = v16_load(scale + i);
        for (size_t r = 0; r < rows; r++)
            v16_store(x + r * x_stride + i, v16_mul(v16_load(x + r * x_stride + i), s));
    }
    for (size_t r = 0; i < n && r < rows; r++) {
        float *last = x + r * x_stride + i;
        v16_store_n(last, v16_mul(v16_load_n(last, n - i), v16_load_n(scale + i, n - i)), n - i);
    }
}

int FN(finite_f32)(const float *x, size_t n)
{
    const v16 limit = v16_set1(FLT_MAX);
    size_t i = 0;
    for (; i + VQR_LANES <= n; i += VQR_LANES)
        if (!v16_within(v16_load(x + i), limit))
            return 0;
    return i == n || v16_within(v16_load_n(x + i, n - i), limit);
}
