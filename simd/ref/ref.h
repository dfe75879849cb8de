/* The specification of every kernel in plain scalar C: slow on purpose, the bits that all other ISAs must give. */
#ifndef VQR_REF_H
#define VQR_REF_H

#include "simd/simd.h"

#define FN(name) vqr_##name##_ref
#include "simd/declare.h"

/* exp, log, tanh of one number, as all ISAs compute them. */
float vqr_ref_exp(float x);
float vqr_ref_log(float x);
float vqr_ref_tanh(float x);

/* The score of event e against one codeword, a column of panels: the sum of one chain per feature. */
float vqr_ref_score(const float *e, const float *b, const uint32_t *widths, const struct vqr_known_scores *known,
                    size_t features, size_t row, size_t w);

/* The sum of 16 lanes by the fixed tree 8, 4, 2, 1. Overwrites the lanes. */
static inline float vqr_ref_tree_sum(float lane[VQR_LANES])
{
    for (int half = 8; half >= 1; half /= 2)
        for (int j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return lane[0];
}

/* The sum of x[0 .. n): lane j adds elements j, j + 16, ... in order, starting from 0. */
static inline float vqr_ref_row_sum(const float *x, size_t n)
{
    float lane[VQR_LANES] = {0};
    for (size_t i = 0; i < n; i++)
        lane[i % VQR_LANES] += x[i];
    return vqr_ref_tree_sum(lane);
}

#endif
