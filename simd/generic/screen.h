/* Exact codewords by int8: most panels need no float arithmetic at all.
 *
 * An event e is in int8 ê = scale q, a codeword's column g is ĝ. The float score S of quantize_f32 and the int8 score A
 * differ at most by
 *
 *     |e . g - ê . ĝ| <= |e - ê| |g| + |ê| |g - ĝ|                       Cauchy-Schwarz, twice
 *     |S - e . g - offset| <= gamma (|e| |g| + |offset|)                 n + features + 1 roundings, each 2^-24
 *     |A - ê . ĝ - offset| <= 4 * 2^-24 (|ê| |ĝ| + |offset|)             the sum to float, two scales, one fma
 *
 * Of a row u = |e - ê| and v = |ê| are measured, of a panel norm, error and shift are known, and |e| <= u + v, |ĝ| <=
 * norm + error, so that
 *
 *     B = u norm + v error + rounding ((u + v) (norm + error) + shift),   rounding >= (n + features + 8) 2^-24
 *
 * bounds both together. B itself, u and v are computed in float: u is a sum of at most 2^16 squares in 16 lanes, wrong
 * by at most 2^-12 of it, the rest by a few 2^-24; SLACK covers that. Products that underflow lose at most n 2^-150,
 * and rows are screened only where scale >= 2^-40, codewords where their largest magnitude is at least 2^-40 (else
 * error is infinity), so that the term with `rounding` is at least 2^-100. Neither may pass 2^50, so no sum overflows.
 *
 * So the best score of all is at least max_w (A_w - B), and a panel none of whose codewords has A_w + B at or above
 * that holds neither the winner nor one that ties with it. */
#include <math.h>
#include <string.h>

#include "simd/generic/scores.h"
#include "simd/generic/to_int8.h"

_Static_assert((int)INT8_ROWS <= (int)VQR_SCREEN_TILE, "the scratch holds VQR_SCREEN_TILE rows of scores");

#define SCREEN_SLACK 1.01f
#define SCREEN_LEAST 0x1p-40f
#define SCREEN_MOST 0x1p43f

/* A row's bounds for all panels: B of the text above; infinite where the row is not to be screened. */
static void row_bounds(float *bounds, size_t panels, const float *e, const int8_t *q, float scale, size_t n,
                       const struct vqr_screen *screen)
{
    const int screened = scale >= SCREEN_LEAST && scale <= SCREEN_MOST;
    const v16 steps = v16_set1(-scale), slack = v16_set1(SCREEN_SLACK), rounding = v16_set1(screen->rounding);
    v16 errors = v16_set1(0.0f), squares = v16_set1(0.0f);
    for (size_t i = 0; screened && i < n; i += VQR_LANES) {
        const size_t here = n - i < VQR_LANES ? n - i : VQR_LANES;
        const v16 number = here < VQR_LANES ? v16_load_int8_n(q + i, here) : v16_load_int8(q + i);
        const v16 d = v16_fma(number, steps, here < VQR_LANES ? v16_load_n(e + i, here) : v16_load(e + i));
        errors = v16_fma(d, d, errors);
        squares = v16_fma(number, number, squares);
    }
    const float u = screened ? sqrtf(v16_sum(errors)) : INFINITY, v = screened ? scale * sqrtf(v16_sum(squares)) : 1.0f;
    for (size_t p = 0; p < panels; p += VQR_LANES) {
        const v16 norm = v16_load(screen->norm + p), error = v16_load(screen->error + p);
        const v16 known = v16_add(v16_mul(v16_set1(u), norm), v16_mul(v16_set1(v), error));
        const v16 terms = v16_add(v16_mul(v16_set1(u + v), v16_add(norm, error)), v16_load(screen->shift + p));
        v16_store(bounds + p, v16_mul(v16_add(known, v16_mul(rounding, terms)), slack));
    }
}

/* Which panels R rows need: int8 scores into `scores`, the best score that is certain, and what can reach it. */
VQR_INLINE void screen_tile(const size_t R, uint8_t *needed, const int8_t *q, const float *scale, const float *bounds,
                            size_t k4, const float *offset, size_t codewords, const struct vqr_screen *screen,
                            float *scores)
{
    const size_t panels = vqr_panels(codewords), padded = vqr_padded(codewords), last = codewords % VQR_LANES;
    const size_t b_stride = k4 * 4 * VQR_LANES, bounds_stride = vqr_padded(panels);
    const struct starts start = {offset, 0};
    struct int8_rows prepared;
    v16 s[TILE_ACCUMULATORS], certain[INT8_ROWS];
    prepare_rows(&prepared, q, 4 * k4, R, k4);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++)
        certain[r] = v16_set1(-INFINITY);
    for (size_t p = 0; p < panels; p++) {
        score_tile(s, R, 1, q, 4 * k4, scale, &prepared, screen->b + p * b_stride, b_stride,
                   screen->scale + p * VQR_LANES, k4, starts_from(start, 0, p * VQR_LANES));
        VQR_UNROLL
        for (size_t r = 0; r < R; r++) {
            const v16 x = p + 1 == panels && last ? v16_keep(s[r], last, -INFINITY) : s[r];
            v16_store(scores + r * padded + p * VQR_LANES, x);
            certain[r] = v16_max(v16_sub(x, v16_set1(bounds[r * bounds_stride + p])), certain[r]);
        }
    }
    for (size_t r = 0; r < R; r++) {
        const v16 best = v16_set1(v16_max_lane(certain[r]));
        for (size_t p = 0; p < panels; p++) {
            const v16 bound = v16_set1(bounds[r * bounds_stride + p]);
            const v16 x = v16_load(scores + r * padded + p * VQR_LANES);
            needed[r * panels + p] = (uint8_t)v16_reaches(v16_add(x, bound), best);
        }
    }
}

/* A row's scores in one panel, into its best and tag. */
static inline void take_score(float *best, float *tag, v16 score, size_t panel)
{
    v16 top = v16_load(best), number = v16_load(tag);
    v16_take_greater(&top, &number, score, v16_set1((float)panel));
    v16_store(best, top);
    v16_store(tag, number);
}

/* Scores rows, which lie one after another in e, against one panel, into their best and tag. Rows past `rows` repeat
 * others and are not looked at. */
VQR_INLINE void rescore(const size_t R, float *best, float *tag, const uint32_t *list, size_t rows, const float *e,
                        size_t width, const float *b, const float *offset, const struct chains *chains, size_t panel,
                        size_t lanes)
{
    v16 sum[TILE_ACCUMULATORS];
    const struct tile_events events = {0, list};
    panel_scores(sum, R, 1, e, width, b, 0, chains, &events, panel);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        v16 score = offset ? v16_add(sum[r], v16_load(offset)) : sum[r];
        if (lanes < VQR_LANES)
            score = v16_keep(score, lanes, -INFINITY);
        if (r < rows)
            take_score(best + list[r] * VQR_LANES, tag + list[r] * VQR_LANES, score, panel);
    }
}

/* The rows of `list` against panel `panel`, in tiles that are filled up with repeated rows. */
static void rescore_panel(float *best, float *tag, const uint32_t *list, size_t count, const float *e, size_t e_stride,
                          size_t width, const float *b, const float *offset, const struct chains *chains, size_t panel,
                          size_t lanes, float *rows)
{
    for (size_t i = 0; i < count; i += SCREEN_TILE) {
        const size_t here = count - i < SCREEN_TILE ? count - i : SCREEN_TILE;
        const size_t tile = here > SCREEN_TILE / 2 ? SCREEN_TILE : SCREEN_TILE / 2;
        uint32_t event[SCREEN_TILE];
        for (size_t r = 0; r < tile; r++) {
            event[r] = list[i + (r < here ? r : 0)];
            memcpy(rows + r * width, e + event[r] * e_stride, width * sizeof *rows);
        }
        if (tile == SCREEN_TILE)
            rescore(SCREEN_TILE, best, tag, event, here, rows, width, b, offset, chains, panel, lanes);
        else
            rescore(SCREEN_TILE / 2, best, tag, event, here, rows, width, b, offset, chains, panel, lanes);
    }
}

static void screen_rows(const float *e, size_t e_stride, size_t rows, size_t width, const float *offset,
                        size_t codewords, const struct vqr_screen *screen, const struct vqr_screen_scratch *scratch)
{
    const size_t k4 = (width + 3) / 4, panels = vqr_panels(codewords), stride = vqr_padded(panels);
    float scale[VQR_SCREEN_ROWS];
    rows_to_int8(scratch->q, 4 * k4, scale, e, e_stride, rows, width);
    for (size_t r = 0; r < rows; r++)
        row_bounds(scratch->bounds + r * stride, panels, e + r * e_stride, scratch->q + r * 4 * k4, scale[r], width,
                   screen);
    size_t r = 0;
    for (; r + INT8_ROWS <= rows; r += INT8_ROWS)
        screen_tile(INT8_ROWS, scratch->needed + r * panels, scratch->q + r * 4 * k4, scale + r,
                    scratch->bounds + r * stride, k4, offset, codewords, screen, scratch->scores);
    for (; r < rows; r++)
        screen_tile(1, scratch->needed + r * panels, scratch->q + r * 4 * k4, scale + r, scratch->bounds + r * stride,
                    k4, offset, codewords, screen, scratch->scores);
}

size_t FN(quantize_exact_f32)(uint32_t *z, const float *e, size_t e_stride, size_t rows, const float *b,
                              const float *offset, const uint32_t *widths, const struct vqr_known_scores *known,
                              size_t features, size_t codewords, const struct vqr_screen *screen,
                              const struct vqr_screen_scratch *scratch)
{
    const struct chains chains = {widths, known, features};
    const size_t panels = vqr_panels(codewords);
    size_t width = 0, scored = 0;
    for (size_t f = 0; f < features; f++)
        width += widths[f];
    screen_rows(e, e_stride, rows, width, offset, codewords, screen, scratch);
    float best[VQR_SCREEN_ROWS * VQR_LANES], tag[VQR_SCREEN_ROWS * VQR_LANES];
    for (size_t i = 0; i < rows * VQR_LANES; i++) {
        best[i] = -INFINITY;
        tag[i] = 0.0f;
    }
    for (size_t p = 0; p < panels; p++) {
        uint32_t list[VQR_SCREEN_ROWS];
        size_t count = 0;
        for (size_t r = 0; r < rows; r++) {
            list[count] = (uint32_t)r;
            count += scratch->needed[r * panels + p];
        }
        const size_t lanes = p + 1 < panels ? VQR_LANES : codewords - p * VQR_LANES;
        rescore_panel(best, tag, list, count, e, e_stride, width, b + p * width * VQR_LANES,
                      offset ? offset + p * VQR_LANES : NULL, &chains, p, lanes, scratch->e);
        scored += count;
    }
    for (size_t r = 0; r < rows; r++)
        best_of_lanes(&z[r], v16_load(best + r * VQR_LANES), v16_load(tag + r * VQR_LANES));
    return scored;
}
