/* How far the activations of the reference are from the functions that they stand for, in units in the last place,
 * against the C library in double precision. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"

static double silu(double x)
{
    return x / (1.0 + exp(-x));
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* x Phi(x) with erfc where 1 + erf would cancel; its limit, not NaN, at -infinity. */
static double gelu(double x)
{
    const double tail = 0.5 * erfc(fabs(x) / sqrt(2.0));
    return x > 0.0 ? x - (isinf(x) ? 0.0 : x * tail) : isinf(x) ? 0.0 : x * tail;
}

/* The slope is the float, not a hundredth. */
static double leaky_relu(double x)
{
    return x > 0.0 ? x : (double)0.01f * x;
}

struct function {
    const char *name;
    vqr_exp_f32_fn *fn;
    double (*exact)(double x);
    double ulp;      /* the bound */
    float low, high; /* where it holds */
};

/* The distance in units in the last place of the float next to `want`. */
static double distance(float got, double want)
{
    if (fabs(want) > (double)FLT_MAX) /* rounds to infinity, or may */
        return isinf(got) || fabs((double)got) == (double)FLT_MAX ? 0.0 : INFINITY;
    int exponent;
    frexp(want, &exponent);
    const int last = exponent - 24 < -149 ? -149 : exponent - 24;
    return fabs((double)got - want) / ldexp(1.0, last);
}

static bool measure(const struct function *f, const float *x, float *y, size_t n)
{
    f->fn(y, x, n);
    for (size_t i = 0; i < n; i++) {
        const double want = f->exact((double)x[i]);
        if (!(x[i] >= f->low && x[i] <= f->high) || isnan(want))
            continue;
        const double far = distance(y[i], want);
        if (!check_that(far <= f->ulp, "%s(%a): want %a, got %a, %.3f ULP away, %.2f allowed", f->name, (double)x[i],
                        want, (double)y[i], far, f->ulp))
            return false;
    }
    return true;
}

bool check_reference_functions(const struct vqr_kernels *ref)
{
    /* Over every 37th float: exp 0.975, log 0.626, tanh 1.0000 (SLEEF promises 1.0, and misses it by 1e-6), sigmoid
     * 2.44 and SiLU 2.28, which add the roundings of 1 + exp(-x) and of the division. Where exp(-x) overflows,
     * x < -88.72, those two are 0 or -0 instead of some 1e-37 (checked below). GELU: 3.49 where x > 0, where the erf
     * that it amounts to, 2 gelu / x - 1, is 3.1e-7 off at most; 5.76 where x < 0 (4.0e-7 relative, down to the
     * denormals): exp, the quotient's two chains (some 1.5 ULP each), and five more roundings. */
    const struct function functions[] = {
        {"exp", ref->exp_f32, exp, 1.0, -INFINITY, INFINITY},
        {"log", ref->log_f32, log, 1.0, 0.0f, INFINITY},
        {"tanh", ref->tanh_f32, tanh, 1.01, -INFINITY, INFINITY},
        {"silu", ref->silu_f32, silu, 2.5, -88.72f, FLT_MAX},
        {"sigmoid", ref->sigmoid_f32, sigmoid, 2.5, -88.72f, INFINITY},
        {"gelu above 0", ref->gelu_f32, gelu, 3.6, 0.0f, INFINITY},
        {"gelu", ref->gelu_f32, gelu, 6.0, -INFINITY, INFINITY},
        {"leaky_relu", ref->leaky_relu_f32, leaky_relu, 0.5, -INFINITY, INFINITY},
    };
    enum { BLOCK = 4096 };
    const size_t blocks = check_quick ? 1 : 50;
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++) {
        for (size_t b = 0; b < 4 * blocks; b++) {
            check_case("%s, block %zu", functions[f].name, b);
            float *x = check_input(BLOCK, sizeof *x), *y = check_input(BLOCK, sizeof *y);
            for (size_t i = 0; i < BLOCK; i++) {
                const uint32_t any = check_random();
                if (b % 4 == 0) /* any float */
                    memcpy(&x[i], &any, sizeof any);
                else if (b % 4 == 1) /* where exp, or gelu in every other block, neither overflows nor vanishes */
                    x[i] = (b % 8 == 1 ? 104.0f : 14.5f) * check_unit();
                else if (b % 4 == 2) /* where scores live */
                    x[i] = 10.0f * check_unit();
                else /* around 0 and 1 */
                    x[i] = (float)(any % 2) + 0.1f * check_unit();
            }
            if (!measure(&functions[f], x, y, BLOCK))
                return false;
        }
        check_case("%s, special values", functions[f].name);
        float *y = check_input(check_special_count, sizeof *y);
        if (!measure(&functions[f], check_specials, y, check_special_count))
            return false;
    }
    check_case("far below 0");
    const float far[] = {-88.73f, -100.0f, -1e10f, -FLT_MAX};
    float s[4], g[4];
    ref->silu_f32(s, far, 4);
    ref->sigmoid_f32(g, far, 4);
    for (int i = 0; i < 4; i++)
        if (!check_that(fabsf(s[i]) <= 4e-37f && g[i] >= 0.0f && g[i] <= 4e-39f, "x %a: silu %a, sigmoid %a",
                        (double)far[i], (double)s[i], (double)g[i]))
            return false;
    return true;
}
