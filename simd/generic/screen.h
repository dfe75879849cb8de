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
 * With top_p the largest A of panel p, the best score of all is at least max_p (top_p - B_p); a panel with top_p + B_p
 * below that holds no codeword that could win or tie. What is compared is never NaN unless a row is not screened. */
#include <math.h>
#include <string.h>

#include "simd/generic/scores.h"

#define SCREEN_SLACK 1.01f
#define SCREEN_LEAST 0x1p-40f
#define SCREEN_MOST 0x1p43f

/* u and v of a row in int8. */
static void row_errors(float *u, float *v, const float *e, const int8_t *q, float scale, size_t n)
{
    v16 sum = v16_set1(0.0f);
    int32_t squares = 0;
    for (size_t i = 0; i < n; i++)
        squares += q[i] * q[i];
    for (size_t i = 0; i < n; i += VQR_LANES) {
        const size_t here = n - i < VQR_LANES ? n - i : VQR_LANES;
        float wide[VQR_LANES] = {0};
        for (size_t l = 0; l < here; l++)
            wide[l] = (float)q[i + l];
        const v16 x = here < VQR_LANES ? v16_load_n(e + i, here) : v16_load(e + i);
        const v16 d = v16_fma(v16_neg(v16_load(wide)), v16_set1(scale), x);
        sum = v16_fma(d, d, sum);
    }
    *u = sqrtf(v16_sum(sum));
    *v = scale * sqrtf((float)squares);
}

/* The largest int8 score of each panel for R rows: top[r][panel]. */
VQR_INLINE void panel_tops(const size_t R, float *top, size_t top_stride, const int8_t *q, size_t q_stride,
                           const float *scale, const struct vqr_screen *screen, size_t k4, const float *offset,
                           size_t codewords)
{
    const size_t panels = vqr_panels(codewords), last = codewords - (panels - 1) * VQR_LANES;
    const size_t b_stride = k4 * 4 * VQR_LANES;
    int32_t bias[INT8_ROWS];
    v16 s[INT8_ROWS];
    row_biases(bias, q, q_stride, R, k4);
    for (size_t p = 0; p < panels; p++) {
        score_tile(s, R, 1, q, q_stride, scale, bias, screen->b + p * b_stride, b_stride, screen->scale + p * VQR_LANES,
                   k4, offset ? offset + p * VQR_LANES : NULL);
        VQR_UNROLL
        for (size_t r = 0; r < R; r++)
            top[r * top_stride + p] = v16_max_lane(p + 1 < panels ? s[r] : v16_keep(s[r], last, -INFINITY));
    }
}

/* Turns a row's tops into flags: 1 for panels that can hold the winner, 0 for those that cannot. */
static void mark_panels(float *top, size_t panels, float u, float v, const struct vqr_screen *screen)
{
    const v16 slack = v16_set1(SCREEN_SLACK), rounding = v16_set1(screen->rounding);
    const v16 row_u = v16_set1(u), row_v = v16_set1(v), both = v16_add(row_u, row_v);
    v16 least = v16_set1(-INFINITY);
    for (int pass = 0; pass < 2; pass++) {
        const v16 best = pass ? v16_set1(v16_max_lane(least)) : least;
        for (size_t p = 0; p < panels; p += VQR_LANES) {
            const v16 norm = v16_load(screen->norm + p), error = v16_load(screen->error + p);
            const v16 known = v16_add(v16_mul(row_u, norm), v16_mul(row_v, error));
            const v16 terms = v16_add(v16_mul(both, v16_add(norm, error)), v16_load(screen->shift + p));
            const v16 bound = v16_mul(v16_add(known, v16_mul(rounding, terms)), slack);
            if (pass == 0) {
                v16 low = v16_sub(v16_load(top + p), bound);
                if (panels - p < VQR_LANES)
                    low = v16_keep(low, panels - p, -INFINITY);
                least = v16_max(low, least);
                continue;
            }
            v16 high = v16_add(v16_load(top + p), bound), flag = v16_set1(1.0f);
            v16_take_greater(&high, &flag, best, v16_set1(0.0f));
            v16_store(top + p, flag);
        }
    }
}

/* Scores rows, which lie one after another in e, against one panel, into their best and tag. Rows past `rows` repeat
 * others and are not looked at. */
VQR_INLINE void rescore(const size_t R, float *best, float *tag, const uint32_t *list, size_t rows, const float *e,
                        size_t width, const float *b, const float *offset, const uint32_t *widths, size_t features,
                        size_t panel, size_t lanes)
{
    v16 sum[TILE_ACCUMULATORS];
    panel_scores(sum, R, 1, e, width, b, 0, widths, features);
    VQR_UNROLL
    for (size_t r = 0; r < R; r++) {
        if (r >= rows)
            break;
        v16 s = offset ? v16_add(sum[r], v16_load(offset)) : sum[r];
        if (lanes < VQR_LANES)
            s = v16_keep(s, lanes, -INFINITY);
        v16 top = v16_load(best + list[r] * VQR_LANES), number = v16_load(tag + list[r] * VQR_LANES);
        v16_take_greater(&top, &number, s, v16_set1((float)panel));
        v16_store(best + list[r] * VQR_LANES, top);
        v16_store(tag + list[r] * VQR_LANES, number);
    }
}

/* The rows of `list` against panel `panel`, in tiles that are filled up with repeated rows. */
static void rescore_panel(float *best, float *tag, const uint32_t *list, size_t count, const float *e, size_t e_stride,
                          size_t width, const float *b, const float *offset, const uint32_t *widths, size_t features,
                          size_t panel, size_t lanes, float *rows)
{
    for (size_t i = 0; i < count; i += SCREEN_TILE) {
        const size_t here = count - i < SCREEN_TILE ? count - i : SCREEN_TILE;
        const size_t tile = here > SCREEN_TILE / 2 ? SCREEN_TILE : SCREEN_TILE / 2;
        for (size_t r = 0; r < tile; r++)
            memcpy(rows + r * width, e + list[i + (r < here ? r : 0)] * e_stride, width * sizeof *rows);
        if (tile == SCREEN_TILE)
            rescore(SCREEN_TILE, best, tag, list + i, here, rows, width, b, offset, widths, features, panel, lanes);
        else
            rescore(SCREEN_TILE / 2, best, tag, list + i, here, rows, width, b, offset, widths, features, panel, lanes);
    }
}

static void screen_rows(const float *e, size_t e_stride, size_t rows, size_t width, const float *offset,
                        size_t codewords, const struct vqr_screen *screen, const struct vqr_screen_scratch *scratch,
                        size_t stride)
{
    const size_t k4 = (width + 3) / 4, panels = vqr_panels(codewords);
    float scale[VQR_SCREEN_ROWS];
    FN(to_int8_f32)(scratch->q, 4 * k4, scale, e, e_stride, rows, width);
    size_t r = 0;
    for (; r + INT8_ROWS <= rows; r += INT8_ROWS)
        panel_tops(INT8_ROWS, scratch->top + r * stride, stride, scratch->q + r * 4 * k4, 4 * k4, scale + r, screen, k4,
                   offset, codewords);
    for (; r < rows; r++)
        panel_tops(1, scratch->top + r * stride, stride, scratch->q + r * 4 * k4, 4 * k4, scale + r, screen, k4, offset,
                   codewords);
    for (r = 0; r < rows; r++) {
        float *top = scratch->top + r * stride, u, v;
        if (scale[r] >= SCREEN_LEAST && scale[r] <= SCREEN_MOST) {
            row_errors(&u, &v, e + r * e_stride, scratch->q + r * 4 * k4, scale[r], width);
            mark_panels(top, panels, u, v, screen);
        } else {
            for (size_t p = 0; p < panels; p++)
                top[p] = 1.0f;
        }
    }
}

size_t FN(quantize_exact_f32)(uint32_t *z, const float *e, size_t e_stride, size_t rows, const float *b,
                              const float *offset, const uint32_t *widths, size_t features, size_t codewords,
                              const struct vqr_screen *screen, const struct vqr_screen_scratch *scratch)
{
    const size_t panels = vqr_panels(codewords), stride = vqr_padded(panels);
    size_t width = 0, scored = 0;
    for (size_t f = 0; f < features; f++)
        width += widths[f];
    screen_rows(e, e_stride, rows, width, offset, codewords, screen, scratch, stride);
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
            count += scratch->top[r * stride + p] != 0.0f;
        }
        const size_t lanes = p + 1 < panels ? VQR_LANES : codewords - p * VQR_LANES;
        rescore_panel(best, tag, list, count, e, e_stride, width, b + p * width * VQR_LANES,
                      offset ? offset + p * VQR_LANES : NULL, widths, features, p, lanes, scratch->e);
        scored += count;
    }
    for (size_t r = 0; r < rows; r++)
        best_of_lanes(&z[r], v16_load(best + r * VQR_LANES), v16_load(tag + r * VQR_LANES));
    return scored;
}
