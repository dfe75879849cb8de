#include <math.h>
#include <sleef.h>

#include "simd/normal_tail.h"
#include "simd/ref/ref.h"

float vqr_ref_exp(float x)
{
    return Sleef_finz_expf1_u10purecfma(x);
}

float vqr_ref_log(float x)
{
    return Sleef_finz_logf1_u10purecfma(x);
}

float vqr_ref_tanh(float x)
{
    return Sleef_finz_tanhf1_u10purecfma(x);
}

void FN(exp_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = vqr_ref_exp(x[i]);
}

void FN(log_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = vqr_ref_log(x[i]);
}

void FN(tanh_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = vqr_ref_tanh(x[i]);
}

void FN(silu_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] / (1.0f + vqr_ref_exp(-x[i]));
}

void FN(sigmoid_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 1.0f / (1.0f + vqr_ref_exp(-x[i]));
}

void FN(relu_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 0.0f > x[i] ? 0.0f : x[i];
}

void FN(leaky_relu_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.01f * x[i];
}

/* Phi(-|x|), never negative: simd/normal_tail.h. The square's rounding error, up to 4e-6 of the result where a is
 * large, is put back by the factor 1 - error / 2. */
static float normal_tail(float x)
{
    const float up = x > -x ? x : -x, a = -(-up > -VQR_TAIL_END ? -up : -VQR_TAIL_END);
    const float t = 1.0f / fmaf(VQR_TAIL_SLOPE, a, 1.0f);
    float p = vqr_tail_coefficients[0];
    for (int i = 1; i <= VQR_TAIL_DEGREE; i++)
        p = fmaf(p, t, vqr_tail_coefficients[i]);
    const float square = a * a, error = fmaf(a, a, -square);
    return vqr_ref_exp(-0.5f * square) * fmaf(-0.5f, error, 1.0f) * p;
}

void FN(gelu_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float tail = normal_tail(x[i]);
        y[i] = x[i] * (x[i] > 0.0f ? 1.0f - tail : tail);
    }
}

void FN(prelu_f32)(float *y, const float *x, const float *alpha, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : alpha[i] * x[i];
}

void FN(dice_f32)(float *y, const float *x, const float *mean, const float *inv_std, const float *alpha, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float p = 1.0f / (1.0f + vqr_ref_exp(-((x[i] - mean[i]) * inv_std[i])));
        y[i] = fmaf(p, 1.0f - alpha[i], alpha[i]) * x[i];
    }
}
