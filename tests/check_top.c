#include <math.h>

#include "check.h"

static bool compare(vqr_top_f32_fn *ref, vqr_top_f32_fn *fn, const float *x, size_t n, size_t top)
{
    const struct check_output index = check_output(n < top ? n : top, sizeof(uint32_t));
    const struct check_output kept = check_output(vqr_padded(n), sizeof(float));
    const struct check_output places = check_output(vqr_padded(n), sizeof(uint32_t));
    ref(index.want, x, n, top, kept.want, places.want);
    fn(index.got, x, n, top, kept.got, places.got);
    return check_same_i32(&index) && check_bounds(&kept, sizeof(float)) && check_bounds(&places, sizeof(uint32_t));
}

static bool random_one(vqr_top_f32_fn *ref, vqr_top_f32_fn *fn, size_t n, size_t top)
{
    const enum check_fill fill = check_next_fill();
    check_case("n %zu top %zu fill %d", n, top, fill);
    return compare(ref, fn, check_floats(n, fill), n, top);
}

/* One value at most places and others at some: thresholds that many numbers equal, and too few numbers. */
static bool ties(vqr_top_f32_fn *ref, vqr_top_f32_fn *fn, size_t n, size_t top)
{
    static const float values[] = {0.0f, -0.0f, 1.0f, -1e30f, INFINITY, -INFINITY, NAN};
    const size_t count = sizeof values / sizeof *values;
    for (size_t v = 0; v < count * count; v++) {
        const size_t rare = check_below(2) ? 2 : 1 + check_below(n + 1);
        check_case("n %zu top %zu, %a and one in %zu %a", n, top, (double)values[v % count], rare,
                   (double)values[v / count]);
        float *x = check_floats(n, FILL_ZEROS);
        for (size_t i = 0; i < n; i++)
            x[i] = values[check_below(rare) == 0 ? v / count : v % count];
        if (!compare(ref, fn, x, n, top))
            return false;
    }
    return true;
}

/* The largest all in one place, where most of the groups' maxima say nothing. */
static bool sorted(vqr_top_f32_fn *ref, vqr_top_f32_fn *fn, size_t n, size_t top, bool rising)
{
    check_case("n %zu top %zu %s", n, top, rising ? "rising" : "falling");
    float *x = check_floats(n, FILL_ZEROS);
    for (size_t i = 0; i < n; i++)
        x[i] = (rising ? 1.0f : -1.0f) * ((float)i - (float)(n / 2));
    return compare(ref, fn, x, n, top);
}

bool check_top_f32(vqr_top_f32_fn *ref, vqr_top_f32_fn *fn)
{
    for (size_t n = 0; n <= 300; n += check_quick ? 7 : 1)
        for (size_t trial = 0; trial < 4; trial++) {
            const size_t top = trial == 0 ? n : trial == 1 ? check_below(n + 2) : check_below(n / 8 + 2);
            if (!random_one(ref, fn, n, top) || !sorted(ref, fn, n, top, trial % 2))
                return false;
        }
    for (size_t n = 1; n <= 300; n += check_quick ? 61 : 13)
        if (!ties(ref, fn, n, 1 + check_below(n)) || !ties(ref, fn, n, 1 + check_below(n / 16 + 1)))
            return false;
    for (size_t n = 1000; n <= (check_quick ? 1000 : 10000); n += 1500)
        if (!random_one(ref, fn, n, 50) || !random_one(ref, fn, n, 1) || !random_one(ref, fn, n, n / 3) ||
            !ties(ref, fn, n, 50) || !sorted(ref, fn, n, 50, true) || !sorted(ref, fn, n, 50, false))
            return false;
    return true;
}
