/* Functions of single elements. */
#include "simd/gelu.h"

/* Defines a kernel y[i] = f(x[i]) from an expression in the vector v. */
#define ACTIVATION(name, expression)                  \
    void FN(name)(float *y, const float *x, size_t n) \
    {                                                 \
        size_t i = 0;                                 \
        for (; i + VQR_LANES <= n; i += VQR_LANES) {  \
            const v16 v = v16_load(x + i);            \
            v16_store(y + i, (expression));           \
        }                                             \
        if (i < n) {                                  \
            const v16 v = v16_load_n(x + i, n - i);   \
            v16_store_n(y + i, (expression), n - i);  \
        }                                             \
    }

/* 1 + exp(-v), the denominator of the logistic function */
static v16 one_plus_exp_neg(v16 v)
{
    return v16_add(v16_set1(1.0f), v16_exp(v16_neg(v)));
}

static v16 sigmoid(v16 v)
{
    return v16_div(v16_set1(1.0f), one_plus_exp_neg(v));
}

static v16 relu(v16 v)
{
    return v16_max(v16_set1(0.0f), v);
}

/* c[0] + c[1] v + ... by Horner's rule. */
static inline v16 polynomial(const float *c, int degree, v16 v)
{
    v16 sum = v16_set1(c[degree]);
    for (int i = degree - 1; i >= 0; i--)
        sum = v16_fma(sum, v, v16_set1(c[i]));
    return sum;
}

static v16 gelu(v16 v)
{
    static const float p[] = {VQR_GELU_P}, d[] = {VQR_GELU_D};
    const v16 half = v16_set1(-0.5f), n = v16_max(v16_set1(-VQR_GELU_END), v16_neg(v16_abs(v)));
    const v16 square = v16_mul(n, n), rest = v16_fma(n, n, v16_neg(square));
    const v16 e = v16_exp(v16_mul(half, square)), gauss = v16_fma(e, v16_mul(half, rest), e);
    const v16 numerator = v16_mul(n, polynomial(p, VQR_GELU_P_DEGREE, n));
    return v16_fma(gauss, v16_div(numerator, polynomial(d, VQR_GELU_D_DEGREE, n)), relu(v));
}

/* v where it is positive, else slope * v. */
static v16 leaky(v16 v, v16 slope)
{
    return v16_positive_or(v, v16_mul(slope, v));
}

ACTIVATION(exp_f32, v16_exp(v))
ACTIVATION(log_f32, v16_log(v))
ACTIVATION(tanh_f32, v16_tanh(v))
ACTIVATION(silu_f32, v16_div(v, one_plus_exp_neg(v)))
ACTIVATION(sigmoid_f32, sigmoid(v))
ACTIVATION(relu_f32, relu(v))
ACTIVATION(gelu_f32, gelu(v))
ACTIVATION(leaky_relu_f32, leaky(v, v16_set1(0.01f)))

void FN(prelu_f32)(float *y, const float *x, const float *alpha, size_t n)
{
    size_t i = 0;
    for (; i + VQR_LANES <= n; i += VQR_LANES)
        v16_store(y + i, leaky(v16_load(x + i), v16_load(alpha + i)));
    if (i < n)
        v16_store_n(y + i, leaky(v16_load_n(x + i, n - i), v16_load_n(alpha + i, n - i)), n - i);
}

static v16 dice(v16 x, v16 mean, v16 inv_std, v16 alpha)
{
    const v16 p = sigmoid(v16_mul(v16_sub(x, mean), inv_std));
    return v16_mul(v16_fma(p, v16_sub(v16_set1(1.0f), alpha), alpha), x);
}

void FN(dice_f32)(float *y, const float *x, const float *mean, const float *inv_std, const float *alpha, size_t n)
{
    size_t i = 0;
    for (; i + VQR_LANES <= n; i += VQR_LANES)
        v16_store(y + i, dice(v16_load(x + i), v16_load(mean + i), v16_load(inv_std + i), v16_load(alpha + i)));
    if (i < n) {
        const size_t rest = n - i;
        v16_store_n(y + i,
                    dice(v16_load_n(x + i, rest), v16_load_n(mean + i, rest), v16_load_n(inv_std + i, rest),
                         v16_load_n(alpha + i, rest)),
                    rest);
    }
}
