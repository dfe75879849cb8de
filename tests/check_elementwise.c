#include <float.h>
#include <math.h>

#include "check.h"

/* mul and add have the same type. */
static bool binary_one(vqr_mul_f32_fn *ref, vqr_mul_f32_fn *fn, size_t n, enum check_fill fill)
{
    check_case("n %zu fill %d", n, fill);
    const float *a = check_floats(n, fill), *b = check_floats(n, fill);
    const struct check_output y = check_output(n, sizeof(float));
    ref(y.want, a, b, n);
    fn(y.got, a, b, n);
    if (!check_same_f32(&y))
        return false;
    const struct check_output over_a = check_output_of(a, n, sizeof(float));
    ref(over_a.want, over_a.want, b, n);
    fn(over_a.got, over_a.got, b, n);
    if (!check_same_f32(&over_a))
        return false;
    const struct check_output over_b = check_output_of(b, n, sizeof(float));
    ref(over_b.want, a, over_b.want, n);
    fn(over_b.got, a, over_b.got, n);
    if (!check_same_f32(&over_b))
        return false;
    const struct check_output all = check_output_of(a, n, sizeof(float));
    ref(all.want, all.want, all.want, n);
    fn(all.got, all.got, all.got, n);
    return check_same_f32(&all);
}

static bool binary(vqr_mul_f32_fn *ref, vqr_mul_f32_fn *fn)
{
    for (size_t n = 0; n <= 4 * VQR_LANES + 1; n++)
        for (int fill = 0; fill < FILL_COUNT; fill++)
            if (!binary_one(ref, fn, n, (enum check_fill)fill))
                return false;
    return binary_one(ref, fn, 10007, FILL_HOSTILE);
}

bool check_scale_columns_f32(vqr_scale_columns_f32_fn *ref, vqr_scale_columns_f32_fn *fn)
{
    for (size_t n = 0; n <= 3 * VQR_LANES + 1; n++)
        for (int fill = 0; fill < FILL_COUNT; fill++) {
            const size_t rows = check_below(8), stride = n + check_below(5), extent = check_extent(rows, stride, n);
            check_case("rows %zu n %zu stride %zu fill %d", rows, n, stride, fill);
            const float *scale = check_floats(n, (enum check_fill)fill);
            const struct check_output x =
                check_output_of(check_floats(extent, (enum check_fill)fill), extent, sizeof(float));
            ref(x.want, stride, rows, n, scale);
            fn(x.got, stride, rows, n, scale);
            if (!check_same_f32(&x))
                return false;
        }
    return true;
}

bool check_mul_f32(vqr_mul_f32_fn *ref, vqr_mul_f32_fn *fn)
{
    return binary(ref, fn);
}

bool check_add_f32(vqr_add_f32_fn *ref, vqr_add_f32_fn *fn)
{
    return binary(ref, fn);
}

bool check_finite_f32(vqr_finite_f32_fn *ref, vqr_finite_f32_fn *fn)
{
    static const float bad[] = {INFINITY, -INFINITY, NAN, -NAN};
    for (size_t n = 0; n <= 4 * VQR_LANES + 1; n++)
        for (size_t at = 0; at <= n; at++) {
            check_case("n %zu, not finite at %zu (%zu: nowhere)", n, at, n);
            float *x = check_floats(n, FILL_SPECIAL);
            if (at < n)
                x[at] = bad[check_below(4)];
            const int want = ref(x, n), got = fn(x, n);
            if (!check_that(want == (at == n), "the reference says %d", want) ||
                !check_that(got == want, "want %d, got %d", want, got))
                return false;
        }
    check_case("1000 numbers near FLT_MAX, whose sum is not finite");
    float *x = check_input(1000, sizeof *x);
    for (size_t i = 0; i < 1000; i++)
        x[i] = FLT_MAX;
    return check_that(ref(x, 1000) == 1 && fn(x, 1000) == 1, "want 1");
}
