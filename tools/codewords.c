/* How alike a codebook's codewords are. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codebooks.h"

static size_t length_of(const struct codebook_columns *columns)
{
    return columns->width + (columns->offset != NULL);
}

/* Number i of column w, of panels of `in` rows. */
static double of_panels(const float *panels, size_t in, size_t w, size_t i)
{
    return (double)panels[(w / VQR_PANEL * in + i) * VQR_PANEL + w % VQR_PANEL];
}

static double of_quads(const struct codebook_columns *columns, size_t w, size_t i)
{
    const size_t quads = (columns->width + 3) / 4, lane = w % VQR_PANEL;
    const size_t at = ((w / VQR_PANEL * quads + i / 4) * VQR_PANEL + lane) * 4 + i % 4;
    return (double)columns->scale[w] * columns->quads[at];
}

/* Column w at unit length; zeros stay zeros. */
static void unit_column(double *column, const struct codebook_columns *columns, size_t w)
{
    const size_t width = columns->width;
    double square = 0;
    for (size_t i = 0; i < width; i++)
        column[i] = columns->panels != NULL ? of_panels(columns->panels, width, w, i) : of_quads(columns, w, i);
    for (size_t i = 0; i < columns->kept; i++)
        column[columns->kept_column[i]] = of_panels(columns->kept_panels, columns->kept, w, i);
    if (columns->offset != NULL)
        column[width] = (double)columns->offset[w];
    for (size_t i = 0; i < length_of(columns); i++)
        square += column[i] * column[i];
    const double scale = square > 0 ? 1 / sqrt(square) : 0;
    for (size_t i = 0; i < length_of(columns); i++)
        column[i] *= scale;
}

/* Keeps the closest pairs, closest first. */
static void offer_pair(struct codebook *codebook, const struct codebook_pair *pair)
{
    size_t place = codebook->pair_count;
    while (place > 0 && codebook->pairs[place - 1].cosine < pair->cosine)
        place--;
    if (place == CODEBOOK_PAIRS)
        return;
    codebook->pair_count += codebook->pair_count < CODEBOOK_PAIRS;
    memmove(&codebook->pairs[place + 1], &codebook->pairs[place],
            (codebook->pair_count - place - 1) * sizeof codebook->pairs[0]);
    codebook->pairs[place] = *pair;
}

/* The most codewords of which every two can be compared with that many products. */
static size_t affordable(size_t width, double products)
{
    const double pairs = products / (double)width;
    return (size_t)((1 + sqrt(1 + 8 * pairs)) / 2);
}

bool codebook_compare(struct codebook *codebook, const struct codebook_columns *columns, double products)
{
    const size_t width = length_of(columns), most = affordable(width, products);
    const size_t codewords = codebook->codewords < most ? codebook->codewords : most;
    codebook->compared_codewords = codewords;
    double *unit = calloc(codewords * width + 1, sizeof *unit);
    if (unit == NULL)
        return false;
    for (size_t w = 0; w < codewords; w++) {
        unit_column(unit + w * width, columns, w);
        codebook->nearest_cosine[w] = -1;
    }
    for (size_t b = 1; b < codewords; b++) {
        for (size_t a = 0; a < b; a++) {
            struct codebook_pair pair = {.a = a, .b = b};
            for (size_t i = 0; i < width; i++)
                pair.cosine += unit[a * width + i] * unit[b * width + i];
            codebook->nearest_cosine[a] = fmax(codebook->nearest_cosine[a], pair.cosine);
            codebook->nearest_cosine[b] = fmax(codebook->nearest_cosine[b], pair.cosine);
            offer_pair(codebook, &pair);
        }
    }
    free(unit);
    return true;
}
