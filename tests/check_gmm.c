#include <math.h>
#include <string.h>

#include "check.h"

struct level {
    size_t n, codes;
    float *mean, *ivar, *bias; /* the last two NULL for rq_kmeans */
};

/* Writes what would win or poison into the lanes past the last component: no kernel may look at them. */
static void poison_padding(const struct level *level)
{
    static const float poisons[] = {NAN, INFINITY, 0.0f, 1e30f};
    for (size_t w = level->codes; w < vqr_padded(level->codes); w++) {
        for (size_t d = 0; d < level->n; d++) {
            const size_t at = (w / VQR_LANES * level->n + d) * VQR_LANES + w % VQR_LANES;
            level->mean[at] = poisons[check_below(4)];
            if (level->ivar)
                level->ivar[at] = poisons[check_below(4)];
        }
        if (level->bias)
            level->bias[w] = poisons[check_below(4)];
    }
}

static struct level draw_level(size_t n, size_t codes, enum check_fill fill, bool scaled)
{
    struct level level = {.n = n, .codes = codes, .mean = check_floats(vqr_padded(codes) * n, fill)};
    if (scaled) {
        level.ivar = check_floats(vqr_padded(codes) * n, fill);
        level.bias = check_floats(vqr_padded(codes), fill);
        for (size_t i = 0; fill != FILL_HOSTILE && i < vqr_padded(codes) * n; i++)
            level.ivar[i] = fabsf(level.ivar[i]);
    }
    poison_padding(&level);
    return level;
}

static bool compare(vqr_gmm_f32_fn *ref, vqr_gmm_f32_fn *fn, const struct level *level, const float *r, size_t r_stride,
                    size_t rows)
{
    const struct check_output z = check_output(rows, sizeof(uint32_t));
    const struct check_output left = check_output_of(r, check_extent(rows, r_stride, level->n), sizeof(float));
    const size_t want =
        ref(z.want, left.want, r_stride, rows, level->n, level->mean, level->ivar, level->bias, level->codes);
    const size_t got =
        fn(z.got, left.got, r_stride, rows, level->n, level->mean, level->ivar, level->bias, level->codes);
    return check_that(want == got, "want row %zu to be the first without a component, got %zu", want, got) &&
           check_same_i32(&z) && check_same_f32(&left);
}

static bool random_one(vqr_gmm_f32_fn *ref, vqr_gmm_f32_fn *fn, size_t rows, size_t n, size_t codes)
{
    const size_t r_stride = n + check_below(4);
    const enum check_fill fill = check_next_fill();
    const bool scaled = check_below(3) != 0;
    check_case("rows %zu n %zu codes %zu r_stride %zu fill %d scaled %d", rows, n, codes, r_stride, fill, scaled);
    const struct level level = draw_level(n, codes, fill, scaled);
    return compare(ref, fn, &level, check_floats(check_extent(rows, r_stride, n), fill), r_stride, rows);
}

/* Components at the same place, told apart by their bias, which then is the score. */
static bool scores_one(vqr_gmm_f32_fn *ref, vqr_gmm_f32_fn *fn, const float *scores, size_t codes, size_t rows,
                       uint32_t want, bool wins)
{
    float *r = check_floats(rows, FILL_ZEROS);
    const struct level level = draw_level(1, codes, FILL_ZEROS, true);
    memcpy(level.bias, scores, codes * sizeof *scores);
    if (!compare(ref, fn, &level, r, 1, rows))
        return false;
    uint32_t *z = check_input(rows, sizeof *z);
    const size_t first = fn(z, r, 1, rows, 1, level.mean, level.ivar, level.bias, codes);
    if (!check_that(first == (wins ? rows : 0), "first row without a component: %zu", first))
        return false;
    for (size_t i = 0; i < rows; i++)
        if (!check_that(z[i] == want, "row %zu: want %u, got %u", i, want, z[i]))
            return false;
    return true;
}

static bool ties(vqr_gmm_f32_fn *ref, vqr_gmm_f32_fn *fn, size_t codes, size_t rows)
{
    static const float equal[] = {0.0f, 1.0f, -1e30f, -INFINITY, NAN};
    float scores[300];
    for (size_t v = 0; v < sizeof equal / sizeof *equal; v++) {
        check_case("codes %zu rows %zu, all scores %a", codes, rows, (double)equal[v]);
        for (size_t w = 0; w < codes; w++)
            scores[w] = equal[v];
        if (!scores_one(ref, fn, scores, codes, rows, 0, equal[v] > -INFINITY))
            return false;
    }
    for (size_t trial = 0; trial < 8; trial++) {
        const size_t first = trial == 0 ? codes - 1 : check_below(codes);
        const size_t second = trial == 0 ? codes - 1 : check_below(codes);
        const float rest = trial % 2 ? NAN : -1.0f;
        check_case("codes %zu rows %zu, the best at %zu and %zu, %a elsewhere", codes, rows, first, second,
                   (double)rest);
        for (size_t w = 0; w < codes; w++)
            scores[w] = rest;
        scores[first] = scores[second] = 2.0f;
        if (!scores_one(ref, fn, scores, codes, rows, (uint32_t)(first < second ? first : second), true))
            return false;
    }
    return true;
}

bool check_gmm_f32(vqr_gmm_f32_fn *ref, vqr_gmm_f32_fn *fn)
{
    static const size_t few[] = {1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 128, 129, 161};
    static const size_t dims[] = {1, 2, 3, 7, 16, 31, 64};
    for (size_t rows = 0; rows <= 19; rows++)
        for (size_t i = check_below(3); i < sizeof few / sizeof *few; i += check_quick ? 5 : 1)
            for (size_t l = check_below(2); l < sizeof dims / sizeof *dims; l += check_quick ? 3 : 1)
                if (!random_one(ref, fn, rows, dims[l], few[i]))
                    return false;
    for (size_t codes = 1; codes <= 257; codes += check_quick ? 9 : 1)
        if (!random_one(ref, fn, 1 + check_below(13), 1 + check_below(40), codes) ||
            !ties(ref, fn, codes, 1 + check_below(check_quick ? 3 : 20)))
            return false;
    return check_quick || (random_one(ref, fn, 333, 24, 513) && random_one(ref, fn, 100, 256, 129));
}
