/* quantize_exact_f32: its codewords are those of quantize_f32, and which panels it needs is the same on every ISA that
 * screens. Rows and codebooks are drawn so that screening has to be careful: codewords that tie or lie a few ULP apart,
 * rows at equal distance from two of them, magnitudes from denormals to overflow. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "simd/cpu.h"

struct widths {
    size_t features;
    uint32_t width[4];
};

static size_t width_of(const struct widths *layout)
{
    size_t sum = 0;
    for (size_t f = 0; f < layout->features; f++)
        sum += layout->width[f];
    return sum;
}

/* A codebook of floats with what its int8 shadow needs; everything of width `width`. */
struct screened {
    const float *b, *offset;
    struct vqr_screen screen;
};

/* The smallest float at or above x. */
static float upward(double x)
{
    const float f = (float)x;
    return (double)f < x ? nextafterf(f, INFINITY) : f;
}

/* One codeword to int8, into its place of `shadow`, and its norms into the panel's. */
static void shadow_codeword(const float *b, int8_t *shadow, float *scale, double *norm, double *error, size_t width,
                            size_t w)
{
    const size_t k4 = (width + 3) / 4, p = w / VQR_LANES, l = w % VQR_LANES;
    float max = 0.0f;
    double squares = 0.0, errors = 0.0;
    for (size_t i = 0; i < width; i++)
        max = fmaxf(max, fabsf(b[(p * width + i) * VQR_LANES + l]));
    scale[w] = max / 127.0f;
    for (size_t i = 0; i < width; i++) {
        const float g = b[(p * width + i) * VQR_LANES + l];
        const double steps = scale[w] > 0.0f ? rint((double)g / (double)scale[w]) : 0.0;
        const int8_t q = (int8_t)fmax(-127.0, fmin(127.0, steps));
        shadow[(p * k4 + i / 4) * 4 * VQR_LANES + l * 4 + i % 4] = q;
        squares += (double)g * (double)g;
        errors += pow((double)g - (double)q * (double)scale[w], 2);
    }
    *norm = fmax(*norm, sqrt(squares) * (1.0 + 1e-9));
    *error = fmax(*error, sqrt(errors) * (1.0 + 1e-9));
    if (!isfinite(squares) || (max != 0.0f && !(max >= 0x1p-40f && max <= 0x1p50f)))
        *error = INFINITY;
}

static struct screened screen_of(const float *b, const float *offset, const struct widths *layout, size_t codewords)
{
    const size_t width = width_of(layout), k4 = (width + 3) / 4, panels = vqr_panels(codewords);
    int8_t *shadow = check_input(panels * k4 * 4 * VQR_LANES, 1);
    float *scale = check_input(panels * VQR_LANES, sizeof *scale),
          *norm = check_input(vqr_padded(panels), sizeof *norm);
    float *error = check_input(vqr_padded(panels), sizeof *error),
          *shift = check_input(vqr_padded(panels), sizeof *shift);
    memset(shadow, 0, panels * k4 * 4 * VQR_LANES);
    memset(scale, 0, panels * VQR_LANES * sizeof *scale);
    for (size_t p = 0; p < vqr_padded(panels); p++) {
        double n = 0.0, r = 0.0, s = 0.0;
        for (size_t w = p * VQR_LANES; w < codewords && w < (p + 1) * VQR_LANES; w++) {
            shadow_codeword(b, shadow, scale, &n, &r, width, w);
            s = offset ? fmax(s, fabs((double)offset[w])) : 0.0;
        }
        norm[p] = upward(n), error[p] = upward(r), shift[p] = upward(s);
    }
    const struct screened found = {
        b,
        offset,
        {shadow, scale, norm, error, shift, (float)(width + layout->features + 8) * 0x1.02p-24f},
    };
    return found;
}

/* ---- codebooks and rows ---- */

enum book { BOOK_RANDOM, BOOK_EQUAL, BOOK_NEAR, BOOK_SCALES, BOOK_OPPOSITE, BOOK_COUNT };

/* Where number i of codeword w lies. */
static size_t place(size_t width, size_t w, size_t i)
{
    return (w / VQR_LANES * width + i) * VQR_LANES + w % VQR_LANES;
}

/* x moved by up to three of its last places. */
static float nudge(float x)
{
    for (size_t i = check_below(4); i > 0; i--)
        x = nextafterf(x, check_below(2) ? INFINITY : -INFINITY);
    return x;
}

/* Makes codewords of a random codebook resemble each other, panels apart as well as in one. */
static void shape_book(float *b, size_t width, size_t codewords, enum book book)
{
    static const float scales[] = {0x1p-45f, 0x1p-30f, 1.0f, 0x1p20f, 0x1p55f};
    for (size_t w = 0; w < codewords; w++) {
        const size_t from = book == BOOK_EQUAL ? 0 : check_below(w + 1);
        const float scale = book == BOOK_SCALES ? scales[check_below(5)] : book == BOOK_OPPOSITE ? -1.0f : 1.0f;
        for (size_t i = 0; i < width; i++) {
            float *g = &b[place(width, w, i)];
            if (book == BOOK_EQUAL || book == BOOK_OPPOSITE)
                *g = scale * b[place(width, from, i)];
            else if (book == BOOK_NEAR)
                *g = nudge(b[place(width, from, i)]);
            else
                *g *= scale;
        }
    }
}

/* Rows beside random ones: codewords themselves, and what lies as far from one as from another. */
static void shape_row(float *e, const float *b, size_t width, size_t codewords)
{
    static const float scales[] = {0x1p-120f, 0x1p-41f, 1e-3f, 1e3f, 0x1p45f, 0x1p60f};
    const size_t x = check_below(codewords), y = check_below(codewords), kind = check_below(6);
    double along = 0.0, squares = 0.0;
    for (size_t i = 0; i < width; i++) {
        const double d = (double)b[place(width, x, i)] - (double)b[place(width, y, i)];
        along += d * (double)e[i];
        squares += d * d;
    }
    const float scale = scales[check_below(6)];
    for (size_t i = 0; i < width; i++) {
        const float gx = b[place(width, x, i)], gy = b[place(width, y, i)];
        if (kind == 0)
            e[i] = gx;
        else if (kind == 1 && squares > 0.0)
            e[i] = (float)((double)e[i] - along / squares * ((double)gx - (double)gy));
        else if (kind == 2)
            e[i] *= scale;
    }
}

/* Whether the ISA of this kernel has the products that make screening worthwhile. ref always screens. */
static bool screens(vqr_quantize_exact_f32_fn *fn)
{
    const uint32_t dots = VQR_CPU_X86_AVXVNNI | VQR_CPU_X86_AVX512VNNI | VQR_CPU_ARM_DOT;
    for (size_t i = 1; i < vqr_isa_count; i++)
        if (vqr_isas[i]->k.quantize_exact_f32 == fn)
            return (vqr_isas[i]->needs & dots) != 0;
    return true;
}

/* Every other feature's chains, a table row for each event. */
static const struct vqr_known_scores *known_of(const struct widths *layout, const float *e, size_t stride, size_t rows,
                                               const float *b, size_t codewords)
{
    const size_t width = width_of(layout), panels = vqr_panels(codewords), columns = panels * VQR_LANES;
    struct vqr_known_scores *known = check_input(layout->features, sizeof *known);
    float *scores = check_input(layout->features * rows * columns, sizeof *scores);
    uint32_t *row = check_input(rows, sizeof *row);
    for (uint32_t r = 0; r < rows; r++)
        row[r] = r;
    for (size_t f = 0, at = 0; f < layout->features; at += layout->width[f++]) {
        known[f] = (struct vqr_known_scores){f % 2 ? NULL : scores + f * rows * columns, columns, row};
        vqr_isas[0]->k.gemm_f32(scores + f * rows * columns, columns, e + at, stride, rows, b + at * VQR_LANES,
                                width * VQR_LANES, layout->width[f], panels, NULL);
    }
    return known;
}

static bool exact_one(vqr_quantize_exact_f32_fn *ref, vqr_quantize_exact_f32_fn *fn, const struct widths *layout,
                      size_t rows, size_t codewords, enum book book, enum check_fill fill)
{
    const size_t width = width_of(layout), stride = width + check_below(4), panels = vqr_panels(codewords);
    check_case("rows %zu codewords %zu width %zu e_stride %zu book %d fill %d", rows, codewords, width, stride, book,
               fill);
    float *b = check_floats(vqr_padded(codewords) * width, fill);
    shape_book(b, width, codewords, book);
    const float *offset = check_below(2) ? check_floats(vqr_padded(codewords), fill) : NULL;
    float *e = check_floats(check_extent(rows, stride, width), fill);
    for (size_t r = 0; r < rows; r++)
        shape_row(e + r * stride, b, width, codewords);
    const struct screened s = screen_of(b, offset, layout, codewords);
    const struct vqr_screen_scratch scratch = {
        .q = check_input(VQR_SCREEN_ROWS * ((width + 3) / 4 * 4), 1),
        .bounds = check_input(VQR_SCREEN_ROWS * vqr_padded(panels), sizeof(float)),
        .scores = check_input(VQR_SCREEN_TILE * vqr_padded(codewords), sizeof(float)),
        .needed = check_input(VQR_SCREEN_ROWS * panels, 1),
        .e = check_input(VQR_SCREEN_ROWS * width, sizeof(float)),
    };
    const struct check_output z = check_output(rows, sizeof(uint32_t)), plain = check_output(rows, sizeof(uint32_t));
    const struct vqr_known_scores *known = check_below(2) ? known_of(layout, e, stride, rows, b, codewords) : NULL;
    const size_t want =
        ref(z.want, e, stride, rows, b, offset, layout->width, NULL, layout->features, codewords, &s.screen, &scratch);
    const size_t got =
        fn(z.got, e, stride, rows, b, offset, layout->width, known, layout->features, codewords, &s.screen, &scratch);
    const size_t scored = screens(fn) ? want : rows * panels;
    if (!check_same_i32(&z) || !check_that(got == scored, "want %zu panels scored, got %zu", scored, got))
        return false;
    vqr_isas[0]->k.quantize_f32(plain.want, e, stride, rows, b, offset, layout->width, NULL, layout->features,
                                codewords);
    memcpy(plain.got, z.got, rows * sizeof(uint32_t));
    return check_same_i32(&plain);
}

/* x in the direction of d, as numbers that int8 holds without error: whole steps, the largest of them 127. */
static void representable(float *x, const double *d, size_t width)
{
    double max = 0.0;
    for (size_t i = 0; i < width; i++)
        max = fmax(max, fabs(d[i]));
    for (size_t i = 0; i < width; i++)
        x[i] = max > 0.0 ? (float)rint(127.0 * d[i] / max) : 127.0f;
}

/* What int8 loses of x, or of column w of b. */
static void lost(double *d, const float *x, size_t width)
{
    float max = 0.0f;
    for (size_t i = 0; i < width; i++)
        max = fmaxf(max, fabsf(x[i]));
    const double step = (double)(max / 127.0f);
    for (size_t i = 0; i < width; i++)
        d[i] = (double)x[i] - rint((double)x[i] / step) * step;
}

/* The bound as tight as it can be: of one row and one codeword, one is exact in int8 and lies along what the other
 * loses, so that its score is wrong by as much as Cauchy and Schwarz allow; the same codeword turned over, in another
 * panel, is wrong the other way. Offsets make the first one the winner by next to nothing. */
static bool tight_one(vqr_quantize_exact_f32_fn *fn, size_t width, bool exact_row)
{
    enum { CODEWORDS = 2 * VQR_LANES, MOST = 64 };
    const struct widths layout = {1, {(uint32_t)width}};
    float *b = check_floats(CODEWORDS * width, FILL_UNIT), *offset = check_floats(CODEWORDS, FILL_UNIT);
    float *e = check_floats(width, FILL_UNIT), g[MOST];
    double d[MOST], along = 0.0;
    check_case("tight, width %zu, exact %s", width, exact_row ? "row" : "codeword");
    check_fill(g, width, FILL_UNIT);
    lost(d, exact_row ? g : e, width);
    representable(exact_row ? e : g, d, width);
    memset(b, 0, CODEWORDS * width * sizeof *b);
    for (size_t i = 0; i < width; i++) {
        b[place(width, 0, i)] = g[i];
        b[place(width, VQR_LANES, i)] = -g[i];
        along += (double)e[i] * (double)g[i];
    }
    for (size_t w = 0; w < CODEWORDS; w++)
        offset[w] = w % VQR_LANES ? -1e6f : 0.0f;
    offset[VQR_LANES] = (float)(2.0 * along - (fabs(along) + 1.0) * 1e-5);
    const struct screened s = screen_of(b, offset, &layout, CODEWORDS);
    uint8_t needed[2];
    int8_t q[MOST];
    float bounds[VQR_LANES], scores[VQR_SCREEN_TILE * CODEWORDS], copy[VQR_SCREEN_ROWS * MOST];
    const struct vqr_screen_scratch scratch = {q, bounds, scores, needed, copy};
    uint32_t want, got;
    fn(&got, e, width, 1, b, offset, layout.width, NULL, 1, CODEWORDS, &s.screen, &scratch);
    vqr_isas[0]->k.quantize_f32(&want, e, width, 1, b, offset, layout.width, NULL, 1, CODEWORDS);
    return check_that(want == got, "want %u, got %u", want, got);
}

bool check_quantize_exact_f32(vqr_quantize_exact_f32_fn *ref, vqr_quantize_exact_f32_fn *fn)
{
    static const struct widths layouts[] = {
        {1, {1}}, {2, {3, 5}}, {3, {32, 16, 16}}, {3, {0, 4, 1}}, {1, {0}}, {4, {7, 1, 2, 9}}, {2, {64, 65}},
    };
    static const size_t codewords[] = {1, 15, 16, 17, 33, 128, 129, 300};
    for (size_t round = 0; round < (check_quick ? 1 : 8); round++)
        for (size_t l = 0; l < sizeof layouts / sizeof *layouts; l++)
            for (size_t w = 0; w < sizeof codewords / sizeof *codewords; w++)
                for (int book = 0; book < BOOK_COUNT; book++)
                    if (!exact_one(ref, fn, &layouts[l], check_below(VQR_SCREEN_ROWS + 1), codewords[w],
                                   (enum book)book, check_below(3) ? FILL_UNIT : check_next_fill()))
                        return false;
    for (size_t trial = 0; trial < 2000; trial++)
        if (!tight_one(fn, 1 + check_below(64), trial % 2))
            return false;
    return true;
}
