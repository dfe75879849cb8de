#include <float.h>
#include <math.h>
#include <string.h>

#include "simd/ref/ref.h"

/* The scale of a row with this largest magnitude, and *steps, by which its numbers are multiplied: 0 if they become
 * zeros. */
static float scale_of(float max, int finite, float *steps)
{
    const int some = finite && max >= VQR_INT8_LEAST;
    *steps = some ? 127.0f / max : 0.0f;
    return !finite ? NAN : some ? max / 127.0f : 0.0f;
}

void FN(to_int8_f32)(int8_t *q, size_t q_stride, float *scale, const float *x, size_t x_stride, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++) {
        float max = 0.0f;
        int finite = 1;
        for (size_t i = 0; i < n; i++) {
            const float magnitude = fabsf(x[r * x_stride + i]);
            finite &= magnitude <= FLT_MAX;
            max = magnitude > max ? magnitude : max;
        }
        memset(q + r * q_stride, 0, (n + 3) / 4 * 4);
        float steps;
        scale[r] = scale_of(max, finite, &steps);
        for (size_t i = 0; steps > 0.0f && i < n; i++)
            q[r * q_stride + i] = (int8_t)rintf(x[r * x_stride + i] * steps);
    }
}

/* What is taken off a column: between its largest and its smallest number. */
static float middle_of(const float *column, size_t stride, size_t n)
{
    float max = column[0], min = column[0];
    for (size_t t = 1; t < n; t++) {
        const float x = column[t * stride];
        max = x > max ? x : max;
        min = x < min ? x : min;
    }
    return 0.5f * max + 0.5f * min;
}

void FN(columns_to_int8_f32)(int8_t *dst, float *scale, const float *src, size_t src_stride, size_t n, size_t k)
{
    for (size_t i = 0; i < k; i++) {
        const float middle = middle_of(src + i, src_stride, n);
        float max = 0.0f, steps;
        int finite = 1;
        for (size_t t = 0; t < n; t++) {
            const float magnitude = fabsf(src[t * src_stride + i] - middle);
            finite &= magnitude <= FLT_MAX;
            max = magnitude > max ? magnitude : max;
        }
        scale[i] = scale_of(max, finite, &steps);
        for (size_t t = 0; t < vqr_padded(n); t++) {
            const float x = t < n && steps > 0.0f ? (src[t * src_stride + i] - middle) * steps : 0.0f;
            dst[(t / VQR_LANES * k + i) * VQR_LANES + t % VQR_LANES] = (int8_t)rintf(x);
        }
    }
}

/* s[l] = what gemm_i8 gives for one row of a and output l of panel p; init may be NULL. */
static void panel_i8(float s[VQR_LANES], const int8_t *a, float a_scale, const int8_t *b, const float *b_scale,
                     size_t k4, const float *init, size_t p)
{
    int32_t sum[VQR_LANES] = {0};
    b += p * k4 * 4 * VQR_LANES;
    for (size_t i = 0; i < k4; i++, a += 4)
        for (size_t l = 0; l < VQR_LANES; l++, b += 4)
            sum[l] += a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3];
    for (size_t l = 0; l < VQR_LANES; l++) {
        const size_t o = p * VQR_LANES + l;
        s[l] = fmaf((float)sum[l], a_scale * b_scale[o], init ? init[o] : 0.0f);
    }
}

void FN(pack_panels_i8)(int8_t *dst, const int8_t *src, size_t src_stride, size_t k, size_t n)
{
    for (size_t p = 0; p < vqr_panels(n); p++)
        for (size_t i = 0; i < k; i++)
            for (size_t l = 0; l < VQR_LANES; l++) {
                const size_t j = p * VQR_LANES + l;
                *dst++ = j < n ? src[i * src_stride + j] : 0;
            }
}

void FN(gemm_i8)(float *c, size_t c_stride, const int8_t *a, size_t a_stride, const float *a_scale, size_t rows,
                 const int8_t *b, const float *b_scale, size_t k4, size_t panels, const float *init, size_t init_stride)
{
    for (size_t r = 0; r < rows; r++) {
        const float *start = init ? init + r * init_stride : NULL;
        for (size_t p = 0; p < panels; p++) {
            float s[VQR_LANES];
            panel_i8(s, a + r * a_stride, a_scale[r], b, b_scale, k4, start, p);
            memcpy(c + r * c_stride + p * VQR_LANES, s, sizeof s);
        }
    }
}

void FN(quantize_i8)(uint32_t *z, const int8_t *a, size_t a_stride, const float *a_scale, size_t rows, const int8_t *b,
                     const float *b_scale, size_t k4, const float *offset, size_t offset_stride, size_t codewords)
{
    for (size_t r = 0; r < rows; r++) {
        const float *start = offset ? offset + r * offset_stride : NULL;
        float best = -INFINITY, s[VQR_LANES];
        z[r] = 0;
        for (size_t w = 0; w < codewords; w++) {
            if (w % VQR_LANES == 0)
                panel_i8(s, a + r * a_stride, a_scale[r], b, b_scale, k4, start, w / VQR_LANES);
            if (s[w % VQR_LANES] > best) {
                best = s[w % VQR_LANES];
                z[r] = (uint32_t)w;
            }
        }
    }
}

/* ---- exact codewords: derived in simd/generic/screen.h ---- */

/* u = |e - scale q| and v = |scale q| of a row. */
static void row_errors(float *u, float *v, const float *e, const int8_t *q, float scale, size_t n)
{
    float errors[VQR_LANES] = {0}, squares[VQR_LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        const float d = fmaf((float)q[i], -scale, e[i]);
        errors[i % VQR_LANES] = fmaf(d, d, errors[i % VQR_LANES]);
        squares[i % VQR_LANES] = fmaf((float)q[i], (float)q[i], squares[i % VQR_LANES]);
    }
    *u = sqrtf(vqr_ref_tree_sum(errors));
    *v = scale * sqrtf(vqr_ref_tree_sum(squares));
}

static float bound_of(const struct vqr_screen *screen, size_t p, float u, float v)
{
    const float known = u * screen->norm[p] + v * screen->error[p];
    const float terms = (u + v) * (screen->norm[p] + screen->error[p]) + screen->shift[p];
    return (known + screen->rounding * terms) * 1.01f;
}

/* Which panels a row needs. */
static void screen_row(uint8_t *needed, const float *e, size_t width, const int8_t *q, float scale, const float *offset,
                       size_t codewords, const struct vqr_screen *screen)
{
    float u = INFINITY, v = 1.0f, certain = -INFINITY;
    if (scale >= 0x1p-40f && scale <= 0x1p43f)
        row_errors(&u, &v, e, q, scale, width);
    const size_t panels = vqr_panels(codewords);
    for (int pass = 0; pass < 2; pass++)
        for (size_t p = 0; p < panels; p++) {
            const size_t lanes = p + 1 < panels ? VQR_LANES : codewords - p * VQR_LANES;
            const float bound = bound_of(screen, p, u, v);
            float s[VQR_LANES];
            panel_i8(s, q, scale, screen->b, screen->scale, (width + 3) / 4, offset, p);
            needed[p] = 0;
            for (size_t l = 0; l < lanes; l++)
                if (pass == 0)
                    certain = s[l] - bound > certain ? s[l] - bound : certain;
                else
                    needed[p] |= !(s[l] + bound < certain);
        }
}

size_t FN(quantize_exact_f32)(uint32_t *z, const float *e, size_t e_stride, size_t rows, const float *b,
                              const float *offset, const uint32_t *widths, const struct vqr_known_scores *known,
                              size_t features, size_t codewords, const struct vqr_screen *screen,
                              const struct vqr_screen_scratch *scratch)
{
    size_t width = 0, scored = 0;
    for (size_t f = 0; f < features; f++)
        width += widths[f];
    for (size_t r = 0; r < rows; r++, e += e_stride) {
        float scale, best = -INFINITY;
        FN(to_int8_f32)(scratch->q, (width + 3) / 4 * 4, &scale, e, e_stride, 1, width);
        screen_row(scratch->needed, e, width, scratch->q, scale, offset, codewords, screen);
        z[r] = 0;
        for (size_t w = 0; w < codewords; w++) {
            const size_t p = w / VQR_LANES;
            scored += w % VQR_LANES == 0 && scratch->needed[p];
            if (!scratch->needed[p])
                continue;
            const float sum =
                vqr_ref_score(e, b + p * width * VQR_LANES + w % VQR_LANES, widths, known, features, r, w);
            const float s = offset ? sum + offset[w] : sum;
            if (s > best) {
                best = s;
                z[r] = (uint32_t)w;
            }
        }
    }
    return scored;
}
