#include <math.h>
#include <string.h>

#include "check.h"

/* All activations have the type of vqr_exp_f32_fn. */
static bool one(vqr_exp_f32_fn *ref, vqr_exp_f32_fn *fn, const float *x, size_t n)
{
    const struct check_output y = check_output(n, sizeof(float));
    ref(y.want, x, n);
    fn(y.got, x, n);
    if (!check_same_f32(&y))
        return false;
    const struct check_output in_place = check_output_of(x, n, sizeof(float));
    ref(in_place.want, in_place.want, n);
    fn(in_place.got, in_place.got, n);
    return check_same_f32(&in_place);
}

static bool activation(vqr_exp_f32_fn *ref, vqr_exp_f32_fn *fn)
{
    for (size_t n = 0; n <= 4 * VQR_LANES + 1; n++)
        for (int fill = 0; fill < FILL_COUNT; fill++) {
            check_case("n %zu fill %d", n, fill);
            if (!one(ref, fn, check_floats(n, (enum check_fill)fill), n))
                return false;
        }

    check_case("special values");
    float *specials = check_input(check_special_count, sizeof *specials);
    memcpy(specials, check_specials, check_special_count * sizeof *specials);
    if (!one(ref, fn, specials, check_special_count))
        return false;

    /* Every exponent and sign: the ends of its range, and mantissas between them. */
    enum { PER_EXPONENT = 2051 }; /* odd, so that blocks end in a tail */
    const size_t n = check_quick ? 67 : PER_EXPONENT;
    for (uint32_t exponent = 0; exponent <= 255; exponent++)
        for (uint32_t sign = 0; sign <= 1; sign++) {
            check_case("numbers with sign %u and biased exponent %u", sign, exponent);
            float *x = check_input(n, sizeof *x);
            for (size_t i = 0; i < n; i++) {
                const uint32_t mantissa = i < 4   ? (uint32_t)i
                                          : i < 8 ? 0x7fffffu - (uint32_t)(i - 4)
                                                  : check_random() >> 9;
                const uint32_t bits = sign << 31 | exponent << 23 | mantissa;
                memcpy(&x[i], &bits, sizeof bits);
            }
            if (!one(ref, fn, x, n))
                return false;
        }

    /* Where scores live. */
    check_case("-20 .. 20");
    const size_t many = check_quick ? 2001 : 100001;
    float *x = check_input(many, sizeof *x);
    for (size_t i = 0; i < many; i++)
        x[i] = 20.0f * check_unit();
    return one(ref, fn, x, many);
}

bool check_exp_f32(vqr_exp_f32_fn *ref, vqr_exp_f32_fn *fn)
{
    return activation(ref, fn);
}

bool check_log_f32(vqr_log_f32_fn *ref, vqr_log_f32_fn *fn)
{
    return activation(ref, fn);
}

/* The bits of a double are compared as an integer's: both functions run the same code, also for NaN. */
static bool double_one(vqr_exp_f64_fn *ref, vqr_exp_f64_fn *fn, size_t n)
{
    check_case("n %zu", n);
    double *x = check_input(n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = ldexp((double)check_unit(), (int)check_below(2100) - 1050);
    const struct check_output y = check_output(n, sizeof(double));
    ref(y.want, x, n);
    fn(y.got, x, n);
    return check_same_i64(&y);
}

bool check_exp_f64(vqr_exp_f64_fn *ref, vqr_exp_f64_fn *fn)
{
    return double_one(ref, fn, 0) && double_one(ref, fn, 1) && double_one(ref, fn, check_quick ? 501 : 50001);
}

bool check_log_f64(vqr_log_f64_fn *ref, vqr_log_f64_fn *fn)
{
    return double_one(ref, fn, 0) && double_one(ref, fn, 1) && double_one(ref, fn, check_quick ? 501 : 50001);
}

bool check_tanh_f32(vqr_tanh_f32_fn *ref, vqr_tanh_f32_fn *fn)
{
    return activation(ref, fn);
}

bool check_silu_f32(vqr_silu_f32_fn *ref, vqr_silu_f32_fn *fn)
{
    return activation(ref, fn);
}

bool check_sigmoid_f32(vqr_sigmoid_f32_fn *ref, vqr_sigmoid_f32_fn *fn)
{
    return activation(ref, fn);
}

bool check_relu_f32(vqr_relu_f32_fn *ref, vqr_relu_f32_fn *fn)
{
    return activation(ref, fn);
}

bool check_gelu_f32(vqr_gelu_f32_fn *ref, vqr_gelu_f32_fn *fn)
{
    return activation(ref, fn);
}

bool check_leaky_relu_f32(vqr_leaky_relu_f32_fn *ref, vqr_leaky_relu_f32_fn *fn)
{
    return activation(ref, fn);
}

/* An activation with parameters for each element: one of the two. */
struct parametric {
    vqr_prelu_f32_fn *prelu;
    vqr_dice_f32_fn *dice;
};

enum { PARAMETERS = 3 };

static void apply(struct parametric f, float *y, const float *x, float *const parameters[PARAMETERS], size_t n)
{
    if (f.prelu)
        f.prelu(y, x, parameters[0], n);
    else
        f.dice(y, x, parameters[0], parameters[1], parameters[2], n);
}

static bool parametric_one(struct parametric ref, struct parametric fn, size_t n, enum check_fill fill,
                           enum check_fill parameter_fill)
{
    check_case("n %zu fill %d parameters %d", n, fill, parameter_fill);
    const float *x = check_floats(n, fill);
    float *parameters[PARAMETERS];
    for (int i = 0; i < PARAMETERS; i++)
        parameters[i] = check_floats(n, parameter_fill);
    const struct check_output y = check_output(n, sizeof(float));
    apply(ref, y.want, x, parameters, n);
    apply(fn, y.got, x, parameters, n);
    if (!check_same_f32(&y))
        return false;
    const struct check_output in_place = check_output_of(x, n, sizeof(float));
    apply(ref, in_place.want, in_place.want, parameters, n);
    apply(fn, in_place.got, in_place.got, parameters, n);
    return check_same_f32(&in_place);
}

static bool parametric(struct parametric ref, struct parametric fn)
{
    for (size_t n = 0; n <= 4 * VQR_LANES + 1; n++)
        for (int fill = 0; fill < FILL_COUNT; fill++)
            for (int other = 0; other < FILL_COUNT; other++)
                if (!parametric_one(ref, fn, n, (enum check_fill)fill, (enum check_fill)other))
                    return false;
    const size_t many = check_quick ? 2001 : 100001;
    return parametric_one(ref, fn, many, FILL_HOSTILE, FILL_HOSTILE) &&
           parametric_one(ref, fn, many, FILL_WIDE, FILL_UNIT) && parametric_one(ref, fn, many, FILL_UNIT, FILL_UNIT);
}

bool check_prelu_f32(vqr_prelu_f32_fn *ref, vqr_prelu_f32_fn *fn)
{
    return parametric((struct parametric){.prelu = ref}, (struct parametric){.prelu = fn});
}

bool check_dice_f32(vqr_dice_f32_fn *ref, vqr_dice_f32_fn *fn)
{
    return parametric((struct parametric){.dice = ref}, (struct parametric){.dice = fn});
}
