#include "check.h"

struct gemm_case {
    size_t rows, k, panels;
    size_t c_gap, a_gap, b_gap; /* what strides exceed rows and panels by */
    bool init;
};

static bool gemm_one(vqr_gemm_f32_fn *ref, vqr_gemm_f32_fn *fn, const struct gemm_case *g)
{
    const size_t n = g->panels * VQR_LANES;
    const size_t c_stride = n + g->c_gap, a_stride = g->k + g->a_gap, b_stride = g->k * VQR_LANES + g->b_gap;
    const enum check_fill fill = check_next_fill();
    check_case("rows %zu k %zu panels %zu c_stride %zu a_stride %zu b_stride %zu init %d fill %d", g->rows, g->k,
               g->panels, c_stride, a_stride, b_stride, g->init, fill);
    /* Without depth neither may be looked at. */
    const float *a = g->k ? check_floats(check_extent(g->rows, a_stride, g->k), fill) : NULL;
    const float *b = g->k ? check_floats(check_extent(g->panels, b_stride, g->k * VQR_LANES), fill) : NULL;
    const float *init = g->init ? check_floats(n, fill) : NULL;
    const struct check_output c = check_output(check_extent(g->rows, c_stride, n), sizeof(float));
    ref(c.want, c_stride, a, a_stride, g->rows, b, b_stride, g->k, g->panels, init);
    fn(c.got, c_stride, a, a_stride, g->rows, b, b_stride, g->k, g->panels, init);
    return check_same_f32(&c);
}

bool check_gemm_f32(vqr_gemm_f32_fn *ref, vqr_gemm_f32_fn *fn)
{
    static const size_t depths[] = {0, 1, 17, 2, 3, 8, 4, 5, 15, 16, 33, 64};
    const size_t depth_count = check_quick ? 6 : sizeof depths / sizeof *depths;
    /* Every number of rows and panels: each remainder of each kernel's tile, alone and after full tiles. */
    for (size_t rows = 0; rows <= 27; rows++)
        for (size_t panels = 0; panels <= 9; panels++)
            for (size_t i = 0; i < depth_count; i++) {
                static const size_t b_gaps[] = {0, 3 * VQR_LANES, 7};
                struct gemm_case g = {.rows = rows, .k = depths[i], .panels = panels};
                g.c_gap = check_below(4);
                g.a_gap = check_below(4);
                g.b_gap = b_gaps[check_below(3)];
                g.init = check_below(2) != 0;
                if (!gemm_one(ref, fn, &g))
                    return false;
            }
    static const struct gemm_case large[] = {
        {.rows = 61, .k = 130, .panels = 5, .init = true},
        {.rows = 25, .k = 300, .panels = 3, .c_gap = 16, .a_gap = 1},
        {.rows = 1, .k = 1000, .panels = 17, .init = true},
        {.rows = 130, .k = 257, .panels = 17, .c_gap = 1, .a_gap = 3, .b_gap = 32, .init = true},
        {.rows = 1000, .k = 3, .panels = 2, .init = true},
        {.rows = 129, .k = 512, .panels = 9},
    };
    for (size_t i = 0; i < (check_quick ? 2 : sizeof large / sizeof *large); i++)
        if (!gemm_one(ref, fn, &large[i]))
            return false;
    return true;
}

/* Both packings: src is [rows][columns], one of them k and the other n. */
static bool pack_one(vqr_pack_f32_fn *ref, vqr_pack_f32_fn *fn, bool transposed, size_t k, size_t n, size_t gap)
{
    const size_t rows = transposed ? n : k, columns = transposed ? k : n, stride = columns + gap;
    check_case("k %zu n %zu src_stride %zu", k, n, stride);
    const float *src = check_floats(check_extent(rows, stride, columns), check_next_fill());
    const struct check_output dst = check_output(vqr_panels(n) * k * VQR_LANES, sizeof(float));
    ref(dst.want, src, stride, k, n);
    fn(dst.got, src, stride, k, n);
    return check_same_f32(&dst);
}

static bool pack_all(vqr_pack_f32_fn *ref, vqr_pack_f32_fn *fn, bool transposed)
{
    for (size_t k = 0; k <= 2 * VQR_LANES + 1; k++)
        for (size_t n = 0; n <= 3 * VQR_LANES + 1; n++)
            if (!pack_one(ref, fn, transposed, k, n, (k + n) % 2 ? check_below(6) : 0))
                return false;
    return pack_one(ref, fn, transposed, 100, 333, 1) && pack_one(ref, fn, transposed, 333, 100, 0) &&
           pack_one(ref, fn, transposed, 1, 1000, 3) && pack_one(ref, fn, transposed, 1000, 1, 3);
}

bool check_pack_f32(vqr_pack_f32_fn *ref, vqr_pack_f32_fn *fn)
{
    return pack_all(ref, fn, false);
}

bool check_pack_transposed_f32(vqr_pack_transposed_f32_fn *ref, vqr_pack_transposed_f32_fn *fn)
{
    return pack_all(ref, fn, true);
}

static bool madd_one(vqr_madd_panels_f32_fn *ref, vqr_madd_panels_f32_fn *fn, size_t k, size_t panels,
                     enum check_fill fill)
{
    const size_t n = k * panels * VQR_LANES;
    check_case("k %zu panels %zu fill %d", k, panels, fill);
    const float *scale = check_floats(k, fill), *a = check_floats(n, fill), *b = check_floats(n, fill);
    const struct check_output dst = check_output(n, sizeof(float));
    ref(dst.want, scale, a, b, k, panels);
    fn(dst.got, scale, a, b, k, panels);
    if (!check_same_f32(&dst))
        return false;
    const struct check_output over_a = check_output_of(a, n, sizeof(float));
    ref(over_a.want, scale, over_a.want, b, k, panels);
    fn(over_a.got, scale, over_a.got, b, k, panels);
    if (!check_same_f32(&over_a))
        return false;
    const struct check_output over_b = check_output_of(b, n, sizeof(float));
    ref(over_b.want, scale, a, over_b.want, k, panels);
    fn(over_b.got, scale, a, over_b.got, k, panels);
    return check_same_f32(&over_b);
}

bool check_madd_panels_f32(vqr_madd_panels_f32_fn *ref, vqr_madd_panels_f32_fn *fn)
{
    for (size_t k = 0; k <= 2 * VQR_LANES + 1; k++)
        for (size_t panels = 0; panels <= 5; panels++)
            for (int fill = 0; fill < FILL_COUNT; fill++)
                if (!madd_one(ref, fn, k, panels, (enum check_fill)fill))
                    return false;
    return madd_one(ref, fn, 129, 11, FILL_UNIT);
}
