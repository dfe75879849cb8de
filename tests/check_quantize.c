#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"

struct layout {
    size_t features;
    uint32_t widths[12];
};

/* Widths of features, as real models have them and as nobody would: a time feature alone has width 0. */
static const struct layout layouts[] = {
    {1, {1}},
    {2, {3, 5}},
    {3, {32, 16, 16}},
    {1, {16}},
    {1, {0}},
    {3, {0, 4, 1}},
    {3, {4, 0, 3}},
    {2, {7, 0}},
    {5, {7, 1, 2, 9, 4}},
    {12, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
    {12, {2, 3, 1, 0, 5, 8, 1, 1, 16, 2, 4, 3}},
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

static size_t width_of(const struct layout *layout)
{
    size_t width = 0;
    for (size_t f = 0; f < layout->features; f++)
        width += layout->widths[f];
    return width;
}

/* Writes what must never win into the columns past the last codeword: no kernel may look at them. */
static void poison_padding(float *b, size_t codewords, size_t width)
{
    const float poisons[] = {NAN, INFINITY, 1e30f, -1e30f};
    for (size_t w = codewords; w < vqr_padded(codewords); w++)
        for (size_t i = 0; i < width; i++)
            b[(w / VQR_LANES * width + i) * VQR_LANES + w % VQR_LANES] = poisons[check_below(4)];
}

/* Chains of some features, which need not be those that the events would give: they must be read all the same. The
 * table ends at a guard page, and its last row is used. */
static const struct vqr_known_scores *draw_known(const struct layout *layout, size_t rows, size_t codewords,
                                                 enum check_fill fill)
{
    struct vqr_known_scores *known = check_input(layout->features, sizeof *known);
    const size_t table_rows = 1 + check_below(9), columns = vqr_padded(codewords);
    const float *scores = check_floats(table_rows * columns, fill);
    uint32_t *row = check_input(rows, sizeof *row);
    for (size_t r = 0; r < rows; r++)
        row[r] = (uint32_t)(r == 0 ? table_rows - 1 : check_below(table_rows));
    for (size_t f = 0; f < layout->features; f++)
        known[f] = check_below(2) ? (struct vqr_known_scores){scores, columns, row} : (struct vqr_known_scores){0};
    return known;
}

static bool compare(vqr_quantize_f32_fn *ref, vqr_quantize_f32_fn *fn, const float *e, size_t e_stride, size_t rows,
                    const float *b, const float *offset, const struct layout *layout,
                    const struct vqr_known_scores *known, size_t codewords)
{
    /* The list of widths ends at a guard page as well. */
    uint32_t *widths = check_input(layout->features, sizeof *widths);
    memcpy(widths, layout->widths, layout->features * sizeof *widths);
    const struct check_output z = check_output(rows, sizeof(uint32_t));
    ref(z.want, e, e_stride, rows, b, offset, widths, known, layout->features, codewords);
    fn(z.got, e, e_stride, rows, b, offset, widths, known, layout->features, codewords);
    return check_same_i32(&z);
}

static bool random_one(vqr_quantize_f32_fn *ref, vqr_quantize_f32_fn *fn, const struct layout *layout, size_t rows,
                       size_t codewords)
{
    const size_t width = width_of(layout), e_stride = width + check_below(4);
    const enum check_fill fill = check_next_fill();
    check_case("rows %zu codewords %zu features %zu width %zu (first %u) e_stride %zu fill %d", rows, codewords,
               layout->features, width, layout->widths[0], e_stride, fill);
    const float *e = check_floats(check_extent(rows, e_stride, width), fill);
    float *b = check_floats(vqr_padded(codewords) * width, fill);
    poison_padding(b, codewords, width);
    const float *offset = check_below(2) ? check_floats(vqr_padded(codewords), fill) : NULL;
    return compare(ref, fn, e, e_stride, rows, b, offset, layout, NULL, codewords) &&
           compare(ref, fn, e, e_stride, rows, b, offset, layout, draw_known(layout, rows, codewords, fill), codewords);
}

/* Events of width 1 whose codewords are the scores themselves, so that a case can say which score is where. The rows
 * are the same event; a kernel that handles rows in tiles must agree with itself. */
static bool scores_one(vqr_quantize_f32_fn *ref, vqr_quantize_f32_fn *fn, const float *scores, size_t codewords,
                       size_t rows, uint32_t want)
{
    float *e = check_input(rows, sizeof *e);
    for (size_t r = 0; r < rows; r++)
        e[r] = 1.0f;
    float *b = check_floats(vqr_padded(codewords), FILL_UNIT);
    memcpy(b, scores, codewords * sizeof *b);
    poison_padding(b, codewords, 1);
    if (!compare(ref, fn, e, 1, rows, b, NULL, &layouts[0], NULL, codewords))
        return false;
    uint32_t *z = check_input(rows, sizeof *z);
    fn(z, e, 1, rows, b, NULL, layouts[0].widths, NULL, 1, codewords);
    for (size_t r = 0; r < rows; r++)
        if (!check_that(z[r] == want, "row %zu: want %u, got %u", r, want, z[r]))
            return false;
    return true;
}

static bool ties(vqr_quantize_f32_fn *ref, vqr_quantize_f32_fn *fn, size_t codewords, size_t rows)
{
    float scores[300];
    static const float equal[] = {0.0f, -0.0f, 1.0f, -1.0f, -FLT_MAX, FLT_MAX, INFINITY, -INFINITY, NAN};
    for (size_t v = 0; v < sizeof equal / sizeof *equal; v++) {
        check_case("codewords %zu rows %zu, all scores %a", codewords, rows, (double)equal[v]);
        for (size_t w = 0; w < codewords; w++)
            scores[w] = equal[v];
        if (!scores_one(ref, fn, scores, codewords, rows, 0))
            return false;
    }
    check_case("codewords %zu rows %zu, 0 and -0 in turn", codewords, rows);
    for (size_t w = 0; w < codewords; w++)
        scores[w] = w % 2 ? 0.0f : -0.0f;
    if (!scores_one(ref, fn, scores, codewords, rows, 0))
        return false;
    static const float below[] = {-1.0f, -INFINITY, NAN, -FLT_MAX};
    for (size_t trial = 0; trial < 16; trial++) {
        const float rest = below[check_below(4)];
        const float best = trial % 4 == 0 ? -2e-45f : trial % 4 == 1 ? INFINITY : 3.0f;
        size_t first = check_below(codewords), second = check_below(codewords);
        if (trial == 0)
            first = second = codewords - 1;
        check_case("codewords %zu rows %zu, %a at %zu and %zu, %a elsewhere", codewords, rows, (double)best, first,
                   second, (double)rest);
        for (size_t w = 0; w < codewords; w++)
            scores[w] = rest;
        scores[first] = scores[second] = best;
        if (!scores_one(ref, fn, scores, codewords, rows, (uint32_t)(first < second ? first : second)))
            return false;
    }
    return true;
}

bool check_quantize_f32(vqr_quantize_f32_fn *ref, vqr_quantize_f32_fn *fn)
{
    static const size_t few[] = {1, 2, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 80, 97, 128, 129, 161};
    const size_t layout_step = check_quick ? 2 : 1;
    for (size_t rows = 0; rows <= 27; rows++)
        for (size_t i = 0; i < sizeof few / sizeof *few; i += 1 + check_below(check_quick ? 5 : 2))
            for (size_t l = check_below(layout_step); l < LAYOUTS; l += layout_step)
                if (!random_one(ref, fn, &layouts[l], rows, few[i]))
                    return false;
    for (size_t codewords = 1; codewords <= 257; codewords++) {
        const size_t rows = 1 + check_below(13);
        if (!random_one(ref, fn, &layouts[check_below(LAYOUTS)], rows, codewords) ||
            !ties(ref, fn, codewords, 1 + check_below(check_quick ? 3 : 30)))
            return false;
    }
    return check_quick || (random_one(ref, fn, &layouts[2], 333, 513) && random_one(ref, fn, &layouts[8], 1000, 129));
}

/* ---- sums ---- */

static void random_sums(int64_t *sums, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t high = check_random(), low = check_random();
        sums[i] = (int64_t)(high << 32 | low) >> check_below(60);
    }
}

/* Numbers whose products with the scales are at most 1.5 * 2^30 in magnitude, or lie half way between integers. */
static void random_events(float *e, size_t n, float *scale, size_t width, bool ties_only)
{
    for (size_t i = 0; i < width; i++)
        scale[i] = ties_only ? 0.5f : ldexpf(1.0f, (int)check_below(31));
    for (size_t i = 0; i < n; i++)
        if (ties_only)
            e[i] = (float)(int32_t)check_below(65) - 32.0f;
        else if (check_below(8) == 0) {
            static const float values[] = {1.0f,       -1.0f,          0.0f,     -0.0f, 0x1p-149f,
                                           -0x1p-149f, 0x1.fffffep-1f, 0x1p-31f, 1.5f,  -1.5f};
            e[i] = values[check_below(sizeof values / sizeof *values)];
        }
}

static uint32_t *random_clusters(size_t codebooks, size_t stride, size_t rows, size_t clusters)
{
    uint32_t *z = check_input(check_extent(codebooks, stride, rows), sizeof *z);
    const bool runs = check_below(2) != 0; /* the same cluster many times in a row, or any */
    for (size_t i = 0; i < check_extent(codebooks, stride, rows); i++)
        z[i] = runs && i > 0 && check_below(4) ? z[i - 1] : (uint32_t)check_below(clusters);
    return z;
}

static bool accumulate_one(vqr_accumulate_f32_fn *ref, vqr_accumulate_f32_fn *fn, size_t codebooks, size_t rows,
                           size_t width, size_t clusters, bool ties_only)
{
    const size_t e_stride = width + check_below(4), z_stride = rows + check_below(4), n = codebooks * clusters;
    check_case("codebooks %zu rows %zu width %zu clusters %zu e_stride %zu z_stride %zu ties %d", codebooks, rows,
               width, clusters, e_stride, z_stride, ties_only);
    float *e = check_floats(check_extent(rows, e_stride, width), FILL_UNIT);
    float *scale = check_input(width, sizeof *scale);
    random_events(e, check_extent(rows, e_stride, width), scale, width, ties_only);
    const uint32_t *z = random_clusters(codebooks, z_stride, rows, clusters);
    int64_t *sums = check_input(n * width, sizeof *sums);
    random_sums(sums, n * width);
    for (size_t i = 0; i < n * width; i++)
        sums[i] /= 4; /* room for what is added: going past int64 is not defined */
    uint32_t *counts = check_input(n, sizeof *counts);
    for (size_t i = 0; i < n; i++)
        counts[i] = (uint32_t)check_below(1 << 24);

    const struct check_output s = check_output_of(sums, n * width, sizeof *sums);
    const struct check_output c = check_output_of(counts, n, sizeof *counts);
    ref(s.want, c.want, codebooks, clusters, e, e_stride, rows, width, scale, z, z_stride, 1);
    fn(s.got, c.got, codebooks, clusters, e, e_stride, rows, width, scale, z, z_stride, 1);
    if (!check_same_i64(&s) || !check_same_i32(&c))
        return false;
    /* Subtracting gives back what was there, in the kernel and in the reference. */
    fn(s.got, c.got, codebooks, clusters, e, e_stride, rows, width, scale, z, z_stride, -1);
    ref(s.want, c.want, codebooks, clusters, e, e_stride, rows, width, scale, z, z_stride, -1);
    if (!check_same_i64(&s) || !check_same_i32(&c))
        return false;
    return check_that(n * width == 0 || memcmp(s.got, sums, n * width * sizeof *sums) == 0,
                      "sums differ after adding and subtracting the same events") &&
           check_that(memcmp(c.got, counts, n * sizeof *counts) == 0,
                      "counts differ after adding and subtracting the same events");
}

bool check_accumulate_f32(vqr_accumulate_f32_fn *ref, vqr_accumulate_f32_fn *fn)
{
    for (size_t width = 0; width <= 2 * VQR_LANES + 1; width++)
        for (size_t rows = 0; rows <= 12; rows++)
            for (int ties = 0; ties < 2; ties++)
                if (!accumulate_one(ref, fn, 1 + check_below(4), rows, width, 1 + check_below(9), ties))
                    return false;
    return accumulate_one(ref, fn, 4, 500, 64, 130, false) && accumulate_one(ref, fn, 1, 200, 257, 1, false) &&
           accumulate_one(ref, fn, 7, 3, 101, 5, true);
}

static bool mean_one(vqr_cluster_mean_f32_fn *ref, vqr_cluster_mean_f32_fn *fn, size_t tokens, size_t width,
                     size_t clusters)
{
    const size_t r_stride = width + check_below(4);
    check_case("tokens %zu width %zu clusters %zu r_stride %zu", tokens, width, clusters, r_stride);
    int64_t *sums = check_input(clusters * width, sizeof *sums);
    random_sums(sums, clusters * width);
    for (size_t i = 0; i < clusters * width; i++)
        if (check_below(8) == 0) {
            /* The ends of what conversions by a magic constant, by halves, or by instruction get right. */
            static const int64_t values[] = {0,
                                             1,
                                             -1,
                                             INT64_MAX,
                                             INT64_MIN,
                                             (int64_t)1 << 51,
                                             -((int64_t)1 << 51),
                                             ((int64_t)1 << 53) + 1,
                                             -((int64_t)1 << 53) - 1,
                                             (int64_t)1 << 54,
                                             UINT32_MAX,
                                             -(int64_t)UINT32_MAX,
                                             (int64_t)1 << 32,
                                             INT32_MIN};
            sums[i] = values[check_below(sizeof values / sizeof *values)];
        }
    uint32_t *counts = check_input(clusters, sizeof *counts);
    for (size_t i = 0; i < clusters; i++) {
        static const uint32_t values[] = {0, 1, 2, 3, 1 << 24, UINT32_MAX, 1u << 31};
        counts[i] = check_below(2) ? values[check_below(7)] : (uint32_t)check_below(1 << 24);
    }
    /* Means exactly between two floats, where an error of the last bit of a double decides: with units that are powers
     * of two, sum / count is exact here, and sum * (1 / count) often is not. */
    for (size_t i = 0; i < clusters * width; i++)
        if (check_below(3) == 0 && counts[i / width] <= 1 << 24)
            sums[i] = ((1 << 24) + 2 * (int64_t)check_below(1 << 20) + 1) * counts[i / width];
    uint32_t *list = check_input(tokens, sizeof *list);
    for (size_t t = 0; t < tokens; t++)
        list[t] = (uint32_t)check_below(clusters);
    double *unit = check_input(width, sizeof *unit);
    for (size_t i = 0; i < width; i++) {
        const int exponent = check_below(16) ? -(int)check_below(31) : -200;
        unit[i] = ldexp(check_below(4) ? 1.0 : 1.0 + check_unit() / 2, exponent);
    }
    const struct check_output r = check_output(check_extent(tokens, r_stride, width), sizeof(float));
    ref(r.want, r_stride, sums, counts, list, tokens, width, unit);
    fn(r.got, r_stride, sums, counts, list, tokens, width, unit);
    return check_same_f32(&r);
}

bool check_cluster_mean_f32(vqr_cluster_mean_f32_fn *ref, vqr_cluster_mean_f32_fn *fn)
{
    for (size_t width = 0; width <= 2 * VQR_LANES + 1; width++)
        for (size_t tokens = 0; tokens <= 12; tokens++)
            if (!mean_one(ref, fn, tokens, width, 1 + check_below(9)))
                return false;
    return mean_one(ref, fn, 128, 64, 130) && mean_one(ref, fn, 20, 257, 20);
}

/* ---- decayed sums ---- */

static double random_double(void)
{
    return ldexp((double)check_unit(), (int)check_below(80) - 40);
}

static double *random_doubles(size_t n)
{
    double *x = check_input(n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = random_double();
    return x;
}

static bool decayed_one(vqr_accumulate_decayed_f64_fn *ref, vqr_accumulate_decayed_f64_fn *fn, size_t rows,
                        size_t heads, size_t v_dim)
{
    const size_t clusters = 1 + check_below(9), width = heads * v_dim, v_stride = width + check_below(4);
    check_case("rows %zu heads %zu v_dim %zu clusters %zu v_stride %zu", rows, heads, v_dim, clusters, v_stride);
    const float *v = check_floats(check_extent(rows, v_stride, width), FILL_UNIT);
    const double *psi = random_doubles(rows * heads);
    uint32_t *z = check_input(rows, sizeof *z);
    for (size_t r = 0; r < rows; r++)
        z[r] = (uint32_t)check_below(clusters);
    const struct check_output s = check_output_of(random_doubles(clusters * width), clusters * width, sizeof(double));
    const struct check_output c = check_output_of(random_doubles(clusters * heads), clusters * heads, sizeof(double));
    ref(s.want, c.want, v, v_stride, rows, heads, v_dim, psi, z);
    fn(s.got, c.got, v, v_stride, rows, heads, v_dim, psi, z);
    return check_same_i64(&s) && check_same_i64(&c);
}

bool check_accumulate_decayed_f64(vqr_accumulate_decayed_f64_fn *ref, vqr_accumulate_decayed_f64_fn *fn)
{
    for (size_t v_dim = 1; v_dim <= 2 * VQR_LANES + 1; v_dim++)
        for (size_t heads = 1; heads <= 4; heads++)
            if (!decayed_one(ref, fn, check_below(30), heads, v_dim))
                return false;
    return decayed_one(ref, fn, 500, 8, 16);
}

static bool scale_one(vqr_scale_f64_fn *ref, vqr_scale_f64_fn *fn, size_t rows, size_t heads, size_t width)
{
    check_case("rows %zu heads %zu width %zu", rows, heads, width);
    const struct check_output x =
        check_output_of(random_doubles(rows * heads * width), rows * heads * width, sizeof(double));
    const double *scale = random_doubles(heads);
    ref(x.want, scale, rows, heads, width);
    fn(x.got, scale, rows, heads, width);
    return check_same_i64(&x);
}

bool check_scale_f64(vqr_scale_f64_fn *ref, vqr_scale_f64_fn *fn)
{
    for (size_t width = 1; width <= 2 * VQR_LANES + 1; width++)
        for (size_t heads = 1; heads <= 4; heads++)
            if (!scale_one(ref, fn, check_below(30), heads, width))
                return false;
    return true;
}
