/* Kernels of hashed events (SDIM): codes of signs, rows of length 1. */
#include <math.h>

#include "check.h"

static bool codes_one(vqr_sign_codes_f32_fn *ref, vqr_sign_codes_f32_fn *fn, size_t rows, size_t bits,
                      enum check_fill fill)
{
    const size_t stride = bits + check_below(20);
    check_case("rows %zu bits %zu stride %zu fill %d", rows, bits, stride, fill);
    const float *x = check_floats(check_extent(rows, stride, bits), fill);
    const struct check_output z = check_output(rows, sizeof(uint32_t));
    ref(z.want, x, stride, rows, bits);
    fn(z.got, x, stride, rows, bits);
    return check_same_i32(&z);
}

bool check_sign_codes_f32(vqr_sign_codes_f32_fn *ref, vqr_sign_codes_f32_fn *fn)
{
    for (size_t bits = 0; bits <= 32; bits++)
        for (int fill = 0; fill < FILL_COUNT; fill++)
            if (!codes_one(ref, fn, check_below(50), bits, (enum check_fill)fill))
                return false;
    return codes_one(ref, fn, check_quick ? 48 : 1000, 12, FILL_HOSTILE);
}

static bool unit_one(vqr_unit_rows_f32_fn *ref, vqr_unit_rows_f32_fn *fn, size_t rows, size_t n, enum check_fill fill)
{
    const size_t x_stride = n + check_below(4), y_stride = n + check_below(4);
    check_case("rows %zu n %zu x_stride %zu y_stride %zu fill %d", rows, n, x_stride, y_stride, fill);
    const size_t size = check_extent(rows, x_stride, n);
    const float *x = check_floats(size, fill);
    const struct check_output y = check_output(check_extent(rows, y_stride, n), sizeof *x);
    ref(y.want, y_stride, x, x_stride, rows, n);
    fn(y.got, y_stride, x, x_stride, rows, n);
    const struct check_output over = check_output_of(x, size, sizeof *x);
    ref(over.want, x_stride, over.want, x_stride, rows, n);
    fn(over.got, x_stride, over.got, x_stride, rows, n);
    return check_same_f32(&y) && check_same_f32(&over);
}

bool check_unit_rows_f32(vqr_unit_rows_f32_fn *ref, vqr_unit_rows_f32_fn *fn)
{
    for (size_t n = 0; n <= 3 * VQR_LANES + 1; n++)
        for (int fill = 0; fill < FILL_COUNT; fill++)
            if (!unit_one(ref, fn, check_below(4), n, (enum check_fill)fill))
                return false;
    return unit_one(ref, fn, 5, 257, FILL_WIDE) && unit_one(ref, fn, 3, 1000, FILL_HUGE);
}
