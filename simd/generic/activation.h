/* Functions of single elements. */

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
