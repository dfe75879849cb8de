#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"

static bool to_int8_one(vqr_to_int8_f32_fn *ref, vqr_to_int8_f32_fn *fn, size_t rows, size_t n, enum check_fill fill)
{
    const size_t stride = n + check_below(4), width = (n + 3) / 4 * 4, q_stride = width + check_below(9);
    check_case("rows %zu n %zu x_stride %zu q_stride %zu fill %d", rows, n, stride, q_stride, fill);
    float *x = check_floats(check_extent(rows, stride, n), fill);
    /* Rows that are zeros, tiny, or not finite in one place. */
    static const float odd[] = {0.0f, 0x1p-101f, 0x1p-100f, FLT_MAX, INFINITY, NAN, -0x1p-140f};
    for (size_t r = 0; n && r < rows; r++) {
        const size_t kind = check_below(12);
        if (kind < 7)
            x[r * stride + check_below(n)] = odd[kind];
        if (kind == 8 || kind == 9)
            for (size_t i = 0; i < n; i++)
                x[r * stride + i] = kind == 8 ? 0.0f : 0x1p-101f;
    }
    const struct check_output q = check_output(check_extent(rows, q_stride, width), 1);
    const struct check_output scale = check_output(rows, sizeof(float));
    ref(q.want, q_stride, scale.want, x, stride, rows, n);
    fn(q.got, q_stride, scale.got, x, stride, rows, n);
    return check_same_i8(&q) && check_same_f32(&scale);
}

bool check_to_int8_f32(vqr_to_int8_f32_fn *ref, vqr_to_int8_f32_fn *fn)
{
    for (size_t n = 0; n <= 50; n++)
        for (size_t rows = 0; rows <= 5; rows++)
            for (int fill = 0; fill < FILL_COUNT; fill++)
                if (!to_int8_one(ref, fn, rows, n, (enum check_fill)fill))
                    return false;
    return to_int8_one(ref, fn, 48, 257, FILL_UNIT) && to_int8_one(ref, fn, 3, 1030, FILL_UNIT);
}

static bool columns_one(vqr_columns_to_int8_f32_fn *ref, vqr_columns_to_int8_f32_fn *fn, size_t n, size_t k,
                        enum check_fill fill)
{
    const size_t stride = k + check_below(4);
    check_case("n %zu k %zu src_stride %zu fill %d", n, k, stride, fill);
    float *src = check_floats(check_extent(n, stride, k), fill);
    /* Columns that are one number, hardly differ, lie far from 0, or are not finite in one place. */
    static const float odd[] = {FLT_MAX, -FLT_MAX, INFINITY, -INFINITY, NAN, 0x1p-149f};
    for (size_t i = 0; i < k; i++) {
        const size_t kind = check_below(14);
        for (size_t t = 0; kind >= 6 && kind < 9 && t < n; t++)
            src[t * stride + i] = kind == 6   ? 7.0f
                                  : kind == 7 ? 0x1p-101f * (float)(t % 4)
                                              : 1e3f + src[t * stride + i];
        if (kind < 6)
            src[check_below(n) * stride + i] = odd[kind];
    }
    const struct check_output dst = check_output(vqr_padded(n) * k, 1), scale = check_output(k, sizeof(float));
    ref(dst.want, scale.want, src, stride, n, k);
    fn(dst.got, scale.got, src, stride, n, k);
    return check_same_i8(&dst) && check_same_f32(&scale);
}

bool check_columns_to_int8_f32(vqr_columns_to_int8_f32_fn *ref, vqr_columns_to_int8_f32_fn *fn)
{
    for (size_t n = 1; n <= 35; n++)
        for (size_t k = 0; k <= 35; k += 1 + (check_quick ? check_below(7) : 0))
            for (int fill = 0; fill < FILL_COUNT; fill++)
                if (!columns_one(ref, fn, n, k, (enum check_fill)fill))
                    return false;
    return columns_one(ref, fn, 128, 16, FILL_UNIT) && columns_one(ref, fn, 300, 65, FILL_UNIT);
}

/* Numbers of -127 ... 127, often at the ends: sums as large as they can be. */
static int8_t *int8s(size_t n, size_t extremes)
{
    int8_t *x = check_input(n, 1);
    for (size_t i = 0; i < n; i++)
        x[i] = check_below(4) < extremes ? (check_below(2) ? 127 : -127) : (int8_t)((int)check_below(255) - 127);
    return x;
}

static bool pack_one(vqr_pack_panels_i8_fn *ref, vqr_pack_panels_i8_fn *fn, size_t k, size_t n, size_t gap)
{
    const size_t stride = n + gap;
    check_case("k %zu n %zu src_stride %zu", k, n, stride);
    const int8_t *src = int8s(check_extent(k, stride, n), 0);
    const struct check_output dst = check_output(vqr_panels(n) * k * VQR_LANES, 1);
    ref(dst.want, src, stride, k, n);
    fn(dst.got, src, stride, k, n);
    return check_same_i8(&dst);
}

bool check_pack_panels_i8(vqr_pack_panels_i8_fn *ref, vqr_pack_panels_i8_fn *fn)
{
    for (size_t k = 0; k <= 2 * VQR_LANES + 1; k++)
        for (size_t n = 0; n <= 3 * VQR_LANES + 1; n++)
            if (!pack_one(ref, fn, k, n, (k + n) % 2 ? check_below(6) : 0))
                return false;
    return pack_one(ref, fn, 100, 333, 1) && pack_one(ref, fn, 333, 100, 0);
}

struct int8_case {
    size_t rows, k4, panels, extremes;
};

/* What both products take. */
struct int8_arguments {
    const int8_t *a, *b;
    const float *a_scale, *b_scale, *init;
    size_t a_stride, init_stride;
};

static struct int8_arguments draw(const struct int8_case *c)
{
    struct int8_arguments x;
    const enum check_fill fill = check_below(4) ? FILL_UNIT : check_next_fill();
    x.a_stride = 4 * c->k4 + check_below(5);
    x.init_stride = check_below(2) ? c->panels * VQR_LANES + check_below(4) : 0;
    check_case("rows %zu k4 %zu panels %zu extremes %zu a_stride %zu init_stride %zu fill %d", c->rows, c->k4,
               c->panels, c->extremes, x.a_stride, x.init_stride, fill);
    x.a = int8s(check_extent(c->rows, x.a_stride, 4 * c->k4), c->extremes);
    x.b = int8s(c->panels * c->k4 * 4 * VQR_LANES, c->extremes);
    x.a_scale = check_floats(c->rows, fill);
    x.b_scale = check_floats(c->panels * VQR_LANES, fill);
    x.init = check_below(3) ? check_floats(check_extent(c->rows, x.init_stride, c->panels * VQR_LANES), fill) : NULL;
    return x;
}

static bool gemm_one(vqr_gemm_i8_fn *ref, vqr_gemm_i8_fn *fn, const struct int8_case *c)
{
    const struct int8_arguments x = draw(c);
    const size_t n = c->panels * VQR_LANES, stride = n + check_below(4);
    const struct check_output out = check_output(check_extent(c->rows, stride, n), sizeof(float));
    ref(out.want, stride, x.a, x.a_stride, x.a_scale, c->rows, x.b, x.b_scale, c->k4, c->panels, x.init, x.init_stride);
    fn(out.got, stride, x.a, x.a_stride, x.a_scale, c->rows, x.b, x.b_scale, c->k4, c->panels, x.init, x.init_stride);
    if (!check_same_f32(&out))
        return false;
    if (!x.init || !x.init_stride)
        return true;
    const struct check_output over = check_output_of(x.init, check_extent(c->rows, x.init_stride, n), sizeof(float));
    ref(over.want, x.init_stride, x.a, x.a_stride, x.a_scale, c->rows, x.b, x.b_scale, c->k4, c->panels, over.want,
        x.init_stride);
    fn(over.got, x.init_stride, x.a, x.a_stride, x.a_scale, c->rows, x.b, x.b_scale, c->k4, c->panels, over.got,
       x.init_stride);
    return check_same_f32(&over);
}

static bool quantize_one(vqr_quantize_i8_fn *ref, vqr_quantize_i8_fn *fn, const struct int8_case *c)
{
    const struct int8_arguments x = draw(c);
    const size_t codewords = c->panels * VQR_LANES - check_below(VQR_LANES);
    const struct check_output z = check_output(c->rows, sizeof(uint32_t));
    ref(z.want, x.a, x.a_stride, x.a_scale, c->rows, x.b, x.b_scale, c->k4, x.init, x.init_stride, codewords);
    fn(z.got, x.a, x.a_stride, x.a_scale, c->rows, x.b, x.b_scale, c->k4, x.init, x.init_stride, codewords);
    return check_same_i32(&z);
}

bool check_gemm_i8(vqr_gemm_i8_fn *ref, vqr_gemm_i8_fn *fn)
{
    static const size_t depths[] = {0, 1, 2, 3, 16, 17};
    for (size_t rows = 0; rows <= 27; rows++)
        for (size_t panels = 0; panels <= 5; panels++)
            for (size_t i = 0; i < (check_quick ? 4 : sizeof depths / sizeof *depths); i++)
                if (!gemm_one(ref, fn, &(struct int8_case){rows, depths[i], panels, check_below(5)}))
                    return false;
    /* About the number of steps that avx2 and avx512 convert at a time. */
    for (size_t k4 = 94; k4 <= 98; k4++)
        if (!gemm_one(ref, fn, &(struct int8_case){13, k4, 3, 1}))
            return false;
    /* 4 * 2,000 products of 127 * 127 pass 2^24, beyond which floats round, and as much the other way. */
    return gemm_one(ref, fn, &(struct int8_case){13, 2000, 3, 4}) &&
           gemm_one(ref, fn, &(struct int8_case){1, 300, 17, 2});
}

bool check_quantize_i8(vqr_quantize_i8_fn *ref, vqr_quantize_i8_fn *fn)
{
    for (size_t rows = 0; rows <= 27; rows++)
        for (size_t panels = 1; panels <= 6; panels++)
            for (size_t k4 = 0; k4 <= 5; k4++)
                if (!quantize_one(ref, fn, &(struct int8_case){rows, k4, panels, check_below(5)}))
                    return false;
    return quantize_one(ref, fn, &(struct int8_case){61, 33, 17, 1}) &&
           quantize_one(ref, fn, &(struct int8_case){48, 16, 8, 0});
}
