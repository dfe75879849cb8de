#include <float.h>
#include <math.h>

#include "check.h"

struct norm_case {
    size_t rows, n;
    bool weighted, in_place;
    enum check_fill fill;
    float constant; /* NaN: rows are random; else all elements are this */
};

static bool norm_one(vqr_layer_norm_f32_fn *ref, vqr_layer_norm_f32_fn *fn, const struct norm_case *c)
{
    static const float epsilons[] = {1e-5f, 1e-6f, 0.0f, 1.0f, 0x1p-149f};
    const float eps = epsilons[check_below(5)];
    const size_t x_stride = c->n + check_below(4), y_stride = c->in_place ? x_stride : c->n + check_below(4);
    check_case("rows %zu n %zu x_stride %zu y_stride %zu eps %a weight %d in place %d fill %d constant %a", c->rows,
               c->n, x_stride, y_stride, (double)eps, c->weighted, c->in_place, c->fill, (double)c->constant);
    const size_t in_size = check_extent(c->rows, x_stride, c->n);
    float *x = check_floats(in_size, c->fill);
    for (size_t i = 0; i < in_size && !isnan(c->constant); i++)
        x[i] = c->constant;
    const float *weight = c->weighted ? check_floats(c->n, c->fill) : NULL;
    const float *bias = c->weighted ? check_floats(c->n, c->fill) : NULL;
    struct check_output y;
    if (c->in_place) {
        y = check_output_of(x, in_size, sizeof *x);
        ref(y.want, y_stride, y.want, x_stride, c->rows, c->n, eps, weight, bias);
        fn(y.got, y_stride, y.got, x_stride, c->rows, c->n, eps, weight, bias);
    } else {
        y = check_output(check_extent(c->rows, y_stride, c->n), sizeof *x);
        ref(y.want, y_stride, x, x_stride, c->rows, c->n, eps, weight, bias);
        fn(y.got, y_stride, x, x_stride, c->rows, c->n, eps, weight, bias);
    }
    return check_same_f32(&y);
}

bool check_layer_norm_f32(vqr_layer_norm_f32_fn *ref, vqr_layer_norm_f32_fn *fn)
{
    for (size_t n = 1; n <= 70; n++)
        for (int variant = 0; variant < 4; variant++)
            for (size_t rows = 0; rows <= 9; rows += 1 + check_below(3)) {
                const struct norm_case c = {rows, n, variant & 1, variant & 2, check_next_fill(), NAN};
                if (!norm_one(ref, fn, &c))
                    return false;
            }
    /* Rows without variance, rows whose sum or whose squares overflow, rows of denormals. */
    static const float constants[] = {0.0f, -0.0f, 1.0f, 0.1f, -3e38f, FLT_MAX, 1e20f, 0x1p-149f, -FLT_MIN, INFINITY};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        for (size_t n = 1; n <= 2 * VQR_LANES + 1; n++) {
            const struct norm_case c = {1 + check_below(3), n, i & 1, n & 1, FILL_UNIT, constants[i]};
            if (!norm_one(ref, fn, &c))
                return false;
        }
    static const size_t widths[] = {128, 255, 256, 257, 1000};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        const struct norm_case c = {20, widths[i], i & 1, i & 2, FILL_UNIT, NAN};
        if (!norm_one(ref, fn, &c))
            return false;
    }
    return true;
}
