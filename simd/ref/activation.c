#include <sleef.h>

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
