/* Functions of single elements. */
#include "simd/normal_tail.h"

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

ACTIVATION(exp_f32, v16_exp(v))
ACTIVATION(log_f32, v16_log(v))
ACTIVATION(tanh_f32, v16_tanh(v))
ACTIVATION(silu_f32, v16_div(v, one_plus_exp_neg(v)))
ACTIVATION(sigmoid_f32, v16_div(v16_set1(1.0f), one_plus_exp_neg(v)))
ACTIVATION(relu_f32, v16_max(v16_set1(0.0f), v))
ACTIVATION(leaky_relu_f32, v16_max(v, v16_mul(v16_set1(0.01f), v)))

/* x > 0 ? then : otherwise, lane by lane */
static v16 where_positive(v16 x, v16 then, v16 otherwise)
{
    v16 best = v16_set1(0.0f);
    v16_take_greater(&best, &otherwise, x, then);
    return otherwise;
}

/* Phi(-|x|): simd/normal_tail.h */
static v16 normal_tail(v16 x)
{
    const v16 one = v16_set1(1.0f), half = v16_set1(-0.5f);
    const v16 up = v16_max(x, v16_neg(x));
    const v16 a = v16_neg(v16_max(v16_neg(up), v16_set1(-VQR_TAIL_END)));
    const v16 t = v16_div(one, v16_fma(v16_set1(VQR_TAIL_SLOPE), a, one));
    v16 p = v16_set1(vqr_tail_coefficients[0]);
    for (int i = 1; i <= VQR_TAIL_DEGREE; i++)
        p = v16_fma(p, t, v16_set1(vqr_tail_coefficients[i]));
    const v16 square = v16_mul(a, a), error = v16_fma(a, a, v16_neg(square));
    return v16_mul(v16_mul(v16_exp(v16_mul(half, square)), v16_fma(half, error, one)), p);
}

static v16 gelu(v16 x)
{
    const v16 tail = normal_tail(x);
    return v16_mul(x, where_positive(x, v16_sub(v16_set1(1.0f), tail), tail));
}

ACTIVATION(gelu_f32, gelu(v))

/* n <= 16 elements, all 16 when they are there */
static v16 load_up_to(const float *p, size_t n)
{
    return n < VQR_LANES ? v16_load_n(p, n) : v16_load(p);
}

static void store_up_to(float *p, v16 v, size_t n)
{
    if (n < VQR_LANES)
        v16_store_n(p, v, n);
    else
        v16_store(p, v);
}

void FN(prelu_f32)(float *y, const float *x, const float *alpha, size_t n)
{
    for (size_t i = 0; i < n; i += VQR_LANES) {
        const v16 v = load_up_to(x + i, n - i);
        store_up_to(y + i, where_positive(v, v, v16_mul(load_up_to(alpha + i, n - i), v)), n - i);
    }
}

void FN(dice_f32)(float *y, const float *x, const float *mean, const float *inv_std, const float *alpha, size_t n)
{
    const v16 one = v16_set1(1.0f);
    for (size_t i = 0; i < n; i += VQR_LANES) {
        const size_t left = n - i;
        const v16 v = load_up_to(x + i, left), a = load_up_to(alpha + i, left);
        const v16 s = v16_mul(v16_sub(v, load_up_to(mean + i, left)), load_up_to(inv_std + i, left));
        const v16 p = v16_div(one, one_plus_exp_neg(s));
        store_up_to(y + i, v16_mul(v16_fma(p, v16_sub(one, a), a), v), left);
    }
}
