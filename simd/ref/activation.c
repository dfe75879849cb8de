#include <math.h>
#include <sleef.h>

#include "simd/exp.h"
#include "simd/gelu.h"
#include "simd/ref/ref.h"

float vqr_ref_exp(float x)
{
    if (isnan(x))
        return x;
    if (x < VQR_EXP_LOW)
        return 0.0f;
    if (x > VQR_EXP_HIGH)
        return INFINITY;
    const float n = rintf(x * VQR_EXP_RECIPROCAL);
    const float s = fmaf(n, -VQR_EXP_LN2_LOW, fmaf(n, -VQR_EXP_LN2_HIGH, x));
    float p = vqr_exp_p[0];
    for (size_t i = 1; i <= VQR_EXP_DEGREE; i++)
        p = fmaf(p, s, vqr_exp_p[i]);
    const int q = (int)n, half = q / 2; /* 2^q is no float at the ends, its halves are */
    return (fmaf(p, s * s, s) + 1.0f) * ldexpf(1.0f, half) * ldexpf(1.0f, q - half);
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

void FN(exp_f64)(double *y, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = Sleef_finz_expd1_u10purecfma(x[i]);
}

void FN(log_f64)(double *y, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = Sleef_finz_logd1_u10purecfma(x[i]);
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

static float sigmoid(float x)
{
    return 1.0f / (1.0f + vqr_ref_exp(-x));
}

void FN(sigmoid_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = sigmoid(x[i]);
}

void FN(relu_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = 0.0f > x[i] ? 0.0f : x[i];
}

/* c[0] + c[1] x + ... by Horner's rule. */
static float polynomial(const float *c, int degree, float x)
{
    float sum = c[degree];
    for (int i = degree - 1; i >= 0; i--)
        sum = fmaf(sum, x, c[i]);
    return sum;
}

/* relu(x) - t Phi(-t), t = |x|; the formula's parts are explained in gelu.h. */
static float gelu(float x)
{
    static const float p[] = {VQR_GELU_P}, d[] = {VQR_GELU_D};
    const float relu = 0.0f > x ? 0.0f : x;
    const float n = -VQR_GELU_END > -fabsf(x) ? -VQR_GELU_END : -fabsf(x);
    const float square = n * n, rest = fmaf(n, n, -square);
    const float e = vqr_ref_exp(-0.5f * square), gauss = fmaf(e, -0.5f * rest, e);
    const float ratio = n * polynomial(p, VQR_GELU_P_DEGREE, n) / polynomial(d, VQR_GELU_D_DEGREE, n);
    return fmaf(gauss, ratio, relu);
}

void FN(gelu_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gelu(x[i]);
}

void FN(leaky_relu_f32)(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : 0.01f * x[i];
}

void FN(prelu_f32)(float *y, const float *x, const float *alpha, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] > 0.0f ? x[i] : alpha[i] * x[i];
}

void FN(dice_f32)(float *y, const float *x, const float *mean, const float *inv_std, const float *alpha, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float p = sigmoid((x[i] - mean[i]) * inv_std[i]);
        y[i] = fmaf(p, 1.0f - alpha[i], alpha[i]) * x[i];
    }
}
