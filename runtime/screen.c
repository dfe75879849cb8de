/* The int8 shadow of a codebook that is scored exactly, and how far it is off: measured when the file is opened, so
 * that the guarantee rests on this library alone and not on who wrote the file. simd/generic/screen.h says what is
 * asked. */
#include <math.h>
#include <stddef.h>

#include "runtime/codebook.h"
#include "runtime/memory.h"
#include "runtime/model.h"

/* A codeword of other magnitudes is never screened. */
#define CODEWORD_LEAST 0x1p-40
#define CODEWORD_MOST 0x1p50

/* Roundings of a score besides its terms and its features' sums, and a relative 2^-9 for the multiplication itself. */
enum { ROUNDINGS = 8 };
#define ROUNDING_UNIT 0x1.02p-24f

/* Norms are computed in double, by sums of at most 2^16 squares: wrong by less than this part of themselves. */
#define NORM_SLACK (1.0 + 1e-9)

_Static_assert(VQR_WIDTH_MAX <= 1 << 16, "what screen.h and NORM_SLACK say of sums of squares holds");

/* What the screen's arrays are while they are filled. */
struct shadow {
    int8_t *b;
    float *scale, *norm, *error, *shift;
};

/* The least float at or above x. */
static float upward(double x)
{
    const float f = (float)x;
    return (double)f < x ? nextafterf(f, INFINITY) : f;
}

/* Quantizes codeword w, a column of the panels `fold`, and adds what it needs to its panel's norm and error. */
static void measure_codeword(const float *fold, size_t width, size_t w, struct shadow *to, double *norm, double *error)
{
    const size_t quads = (width + 3) / 4, p = w / VQR_LANES, l = w % VQR_LANES;
    const float *column = fold + p * width * VQR_LANES + l;
    double most = 0.0, squares = 0.0, errors = 0.0;
    for (size_t i = 0; i < width; i++)
        most = fmax(most, fabs((double)column[i * VQR_LANES]));
    const int screened = most == 0.0 || (most >= CODEWORD_LEAST && most <= CODEWORD_MOST);
    const float scale = screened ? (float)(most / 127.0) : 0.0f;
    for (size_t i = 0; i < width; i++) {
        const double g = (double)column[i * VQR_LANES];
        const double q = scale > 0.0f ? fmin(127.0, fmax(-127.0, rint(g / (double)scale))) : 0.0;
        const double off = g - q * (double)scale;
        to->b[(p * quads + i / 4) * 4 * VQR_LANES + l * 4 + i % 4] = (int8_t)q;
        squares += g * g;
        errors += off * off;
    }
    to->scale[w] = scale;
    *norm = fmax(*norm, screened ? sqrt(squares) * NORM_SLACK : 0.0);
    *error = fmax(*error, screened ? sqrt(errors) * NORM_SLACK : INFINITY);
}

static void measure(const struct vqr_codebook *codebook, const float *fold, struct shadow *to)
{
    for (size_t p = 0; p < vqr_panels(codebook->codewords); p++) {
        double norm = 0.0, error = 0.0, shift = 0.0;
        for (size_t w = p * VQR_LANES; w < codebook->codewords && w < (p + 1) * VQR_LANES; w++) {
            measure_codeword(fold, codebook->width, w, to, &norm, &error);
            shift = codebook->offset ? fmax(shift, fabs((double)codebook->offset[w])) : 0.0;
        }
        to->norm[p] = upward(norm);
        to->error[p] = upward(error);
        to->shift[p] = upward(shift);
    }
}

enum vqr_status vqr_codebook_measure(struct vqr_codebook *codebook, struct vqr_error *error)
{
    const size_t w = vqr_padded(codebook->codewords), panels = vqr_padded(vqr_panels(codebook->codewords));
    const size_t floats = w + 3 * panels, bytes = (codebook->width + 3) / 4 * 4 * w;
    const size_t each = bytes + floats * sizeof(float); /* both multiples of 64 */
    codebook->screen = vqr_allocate(codebook->count, sizeof *codebook->screen, error);
    codebook->screens = codebook->screen ? vqr_allocate(codebook->count, each, error) : NULL;
    if (!codebook->screens)
        return VQR_ERROR_MEMORY;
    for (size_t j = 0; j < codebook->count; j++) {
        uint8_t *at = (uint8_t *)codebook->screens + j * each;
        struct shadow to = {.scale = (float *)(void *)at, .b = (int8_t *)(at + floats * sizeof(float))};
        to.norm = to.scale + w;
        to.error = to.norm + panels;
        to.shift = to.error + panels;
        measure(codebook, vqr_weights_of(codebook->fold, j), &to);
        codebook->screen[j] =
            (struct vqr_screen){.b = to.b,
                                .scale = to.scale,
                                .norm = to.norm,
                                .error = to.error,
                                .shift = to.shift,
                                .rounding = (float)(codebook->width + codebook->features + ROUNDINGS) * ROUNDING_UNIT};
    }
    return VQR_OK;
}
