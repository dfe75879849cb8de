/* screen_rows [ROWS]: random codebooks and random events, ROWS of them (100,000), through what opening a file measures
 * (runtime/screen.c) and quantize_exact_f32 on every ISA of this machine that screens: codewords must be those of
 * quantize_f32. Codewords repeat each other, or do so but for one last place, events lie on a grid where many scores
 * tie, magnitudes go from 2^-35 to 2^35. CTest runs a few; tens of millions take minutes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/codebook.h"
#include "simd/cpu.h"

enum { WIDTH_MAX = 120, CODEWORDS_MAX = 300, ROWS = VQR_SCREEN_ROWS, BLOCKS = 200, STRIDE = 128 };
enum { PANELS_MAX = (CODEWORDS_MAX + VQR_LANES - 1) / VQR_LANES };

static uint64_t state = 88172645463325252u;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
}

static double uniform(void)
{
    return (double)(next() >> 11) * 0x1p-53;
}

static size_t below(size_t n)
{
    return (size_t)(next() % n);
}

/* Near enough to a normal deviate. */
static double deviate(void)
{
    return (uniform() + uniform() + uniform() + uniform() - 2.0) * 1.7;
}

static float fold[PANELS_MAX * WIDTH_MAX * VQR_LANES], offset[PANELS_MAX * VQR_LANES], events[ROWS * STRIDE];
static uint32_t widths[3];

static float *number(size_t width, size_t w, size_t i)
{
    return &fold[(w / VQR_LANES * width + i) * VQR_LANES + w % VQR_LANES];
}

static void draw_codebook(struct vqr_codebook *c)
{
    const size_t width = 1 + below(WIDTH_MAX), codewords = 1 + below(CODEWORDS_MAX);
    const double scale = ldexp(1.0, (int)below(40) - 20);
    const bool alike = below(5) < 2, shifted = below(2);
    memset(fold, 0, sizeof fold);
    memset(offset, 0, sizeof offset);
    for (size_t w = 0; w < codewords; w++) {
        const size_t from = alike && w ? below(w) : w;
        for (size_t i = 0; i < width; i++) {
            const float x = from != w ? *number(width, from, i) : (float)(deviate() * scale / sqrt((double)width));
            *number(width, w, i) = from != w && below(10) == 0 ? nextafterf(x, below(2) ? INFINITY : -INFINITY) : x;
        }
        offset[w] = below(2) ? (float)(deviate() * scale) : 0.0f;
    }
    widths[0] = (uint32_t)(width > 2 ? width / 2 : width);
    widths[1] = (uint32_t)(width > 2 ? width / 4 : 0);
    widths[2] = (uint32_t)width - widths[0] - widths[1];
    *c = (struct vqr_codebook){.count = 1, .codewords = codewords, .width = width, .widths = widths, .features = 3};
    c->fold.data = fold;
    c->offset = shifted ? offset : NULL;
}

static void draw_events(bool grid)
{
    const double scale = ldexp(1.0, (int)below(30) - 15);
    for (size_t i = 0; i < ROWS * STRIDE; i++)
        events[i] = (float)(grid ? rint(deviate() * 4.0) * 0.25 : deviate() * scale);
}

struct tally {
    double rows, panels, scored;
};

/* False where a codeword differs. */
static bool check_codebook(const struct vqr_kernels *k, const struct vqr_codebook *c,
                           struct vqr_screen_scratch *scratch, bool grid, struct tally *tally)
{
    uint32_t expected[ROWS], found[ROWS];
    for (size_t block = 0; block < BLOCKS; block++) {
        draw_events(grid);
        k->quantize_f32(expected, events, STRIDE, ROWS, fold, c->offset, widths, NULL, c->features, c->codewords);
        tally->scored += (double)k->quantize_exact_f32(found, events, STRIDE, ROWS, fold, c->offset, widths, NULL,
                                                       c->features, c->codewords, &c->screen[0], scratch);
        tally->rows += ROWS;
        tally->panels += (double)ROWS * (double)vqr_panels(c->codewords);
        if (memcmp(expected, found, sizeof found) != 0)
            return false;
    }
    return true;
}

static bool check_isa(const struct vqr_isa *isa, double rows)
{
    static int8_t q[ROWS * (WIDTH_MAX + 3)];
    static float bounds[ROWS * (PANELS_MAX + VQR_LANES)], scores[VQR_SCREEN_TILE * PANELS_MAX * VQR_LANES];
    static uint8_t needed[ROWS * PANELS_MAX];
    static float screened[ROWS * WIDTH_MAX];
    struct vqr_screen_scratch scratch = {q, bounds, scores, needed, screened};
    struct vqr_kernels k;
    struct tally tally = {0, 0, 0};
    size_t codebooks = 0;
    vqr_simd_select(&k, vqr_cpu_features(), isa->name);
    for (; tally.rows < rows; codebooks++) {
        struct vqr_codebook c;
        draw_codebook(&c);
        const bool same =
            vqr_codebook_measure(&c, NULL) == VQR_OK && check_codebook(&k, &c, &scratch, below(3) == 0, &tally);
        vqr_codebook_unbind(&c);
        if (!same) {
            printf("%s: codebook %zu, %zu x %zu: a codeword is not fp32's\n", isa->name, codebooks, c.width,
                   c.codewords);
            return false;
        }
    }
    printf("%s: %.0f rows in %zu codebooks, %.1f %% of the panels computed in fp32\n", isa->name, tally.rows, codebooks,
           100.0 * tally.scored / tally.panels);
    return true;
}

int main(int argc, char **argv)
{
    const double rows = argc > 1 ? atof(argv[1]) : 1e5;
    bool good = rows > 0.0;
    for (size_t i = 0; good && i < vqr_isa_count; i++)
        if (vqr_isa_usable(vqr_isas[i], vqr_cpu_features()) && vqr_isas[i]->k.quantize_exact_f32)
            good = check_isa(vqr_isas[i], i == 0 && rows > 1e6 ? 1e6 : rows); /* the reference takes its time */
    return good ? 0 : 1;
}
