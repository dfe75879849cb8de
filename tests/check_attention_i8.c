/* Attention to keys and values of int8. */
#include <math.h>
#include <string.h>

#include "check.h"

struct attention {
    size_t rows, tokens, qk_dim, v_dim;
};

struct inputs {
    size_t q_stride;
    const int8_t *k, *v;
    const float *q, *v_scale, *bias;
    float alpha;
};

static int8_t *int8s(size_t n)
{
    int8_t *x = check_input(n, 1);
    for (size_t i = 0; i < n; i++)
        x[i] = check_below(8) ? (int8_t)((int)check_below(255) - 127) : (check_below(2) ? 127 : -127);
    return x;
}

/* Scales of `rows` rows; what is past them, up to whole panels, is whatever. */
static float *scales(size_t rows, size_t room, enum check_fill fill)
{
    float *x = check_floats(room, fill);
    for (size_t i = 0; i < rows; i++)
        x[i] = fabsf(x[i]) * (fill == FILL_UNIT ? 0.02f : 1.0f);
    for (size_t i = rows; i < room; i++)
        x[i] = check_below(2) ? NAN : 1e30f;
    return x;
}

static struct inputs make_inputs(const struct attention *a)
{
    const enum check_fill fill = check_below(4) ? FILL_UNIT : check_next_fill();
    const size_t padded = vqr_padded(a->tokens);
    struct inputs in = {.alpha = check_below(4) ? 1.0f / sqrtf((float)a->qk_dim) : check_unit()};
    in.q_stride = a->qk_dim + check_below(9);
    check_case("rows %zu tokens %zu qk_dim %zu v_dim %zu q_stride %zu alpha %a fill %d", a->rows, a->tokens, a->qk_dim,
               a->v_dim, in.q_stride, (double)in.alpha, fill);
    int8_t *k = int8s(padded * a->qk_dim);
    for (size_t j = a->tokens; j < padded; j++)
        for (size_t i = 0; i < a->qk_dim; i++)
            k[(j / VQR_LANES * a->qk_dim + i) * VQR_LANES + j % VQR_LANES] = 0;
    in.k = k;
    in.v = int8s(vqr_padded(a->v_dim) * a->tokens);
    float *q = check_floats(check_extent(a->rows, in.q_stride, a->qk_dim), fill);
    for (size_t i = 0; fill == FILL_UNIT && i < check_extent(a->rows, in.q_stride, a->qk_dim); i++)
        q[i] *= 0.02f;
    in.q = q;
    in.v_scale = scales(a->tokens, padded, fill);
    if (check_below(2)) {
        float *bias = check_floats(padded, fill);
        for (size_t j = 0; j < padded; j++)
            if (j >= a->tokens || check_below(8) == 0)
                bias[j] = j < a->tokens ? -INFINITY : check_below(2) ? NAN : 1e30f;
        in.bias = bias;
    }
    return in;
}

static bool attention_one(vqr_softmax_attention_i8_fn *ref, vqr_softmax_attention_i8_fn *fn, const struct attention *a)
{
    const struct inputs in = make_inputs(a);
    const size_t stride = vqr_padded(a->v_dim) + check_below(4);
    const struct check_output o = check_output(check_extent(a->rows, stride, vqr_padded(a->v_dim)), sizeof(float));
    const struct check_output scratch = check_output(VQR_ATTENTION_ROWS * vqr_padded(a->tokens), sizeof(float));
    ref(o.want, stride, in.q, in.q_stride, a->rows, in.k, in.v, in.v_scale, a->tokens, a->qk_dim, a->v_dim, in.bias,
        in.alpha, scratch.want);
    fn(o.got, stride, in.q, in.q_stride, a->rows, in.k, in.v, in.v_scale, a->tokens, a->qk_dim, a->v_dim, in.bias,
       in.alpha, scratch.got);
    return check_same_f32(&o) && check_bounds(&scratch, sizeof(float));
}

bool check_softmax_attention_i8(vqr_softmax_attention_i8_fn *ref, vqr_softmax_attention_i8_fn *fn)
{
    struct attention a;
    for (a.tokens = 1; a.tokens <= 130; a.tokens += check_quick && a.tokens > 40 ? 7 : 1)
        for (a.rows = check_below(3); a.rows <= 30; a.rows += 1 + check_below(check_quick ? 15 : 3)) {
            a.qk_dim = 1 + check_below(check_quick ? 8 : 20);
            a.v_dim = 1 + check_below(check_quick ? 17 : 40);
            if (!attention_one(ref, fn, &a))
                return false;
        }
    for (a.qk_dim = 1; a.qk_dim <= 40; a.qk_dim++)
        for (a.v_dim = 1; a.v_dim <= 80; a.v_dim += 1 + check_below(check_quick ? 40 : 6)) {
            a.rows = 1 + check_below(check_quick ? 4 : 14);
            a.tokens = 1 + check_below(check_quick ? 20 : 50);
            if (!attention_one(ref, fn, &a))
                return false;
        }
    return check_quick || (attention_one(ref, fn, &(struct attention){100, 128, 16, 16}) &&
                           attention_one(ref, fn, &(struct attention){13, 1000, 32, 33}));
}

static bool weights_one(vqr_softmax_weights_i8_fn *ref, vqr_softmax_weights_i8_fn *fn, const struct attention *a)
{
    const struct inputs in = make_inputs(a);
    const size_t padded = vqr_padded(a->tokens), stride = padded + check_below(4);
    const struct check_output w = check_output(check_extent(a->rows, stride, padded), sizeof(float));
    ref(w.want, stride, in.q, in.q_stride, a->rows, in.k, a->tokens, a->qk_dim, in.bias, in.alpha);
    fn(w.got, stride, in.q, in.q_stride, a->rows, in.k, a->tokens, a->qk_dim, in.bias, in.alpha);
    const float *want = w.want;
    for (size_t r = 0; r < a->rows; r++)
        for (size_t j = a->tokens; j < padded; j++)
            if (!check_that(check_equal_f32(want[r * stride + j], 0.0f), "the reference's padding is %a",
                            (double)want[r * stride + j]))
                return false;
    return check_same_f32(&w);
}

bool check_softmax_weights_i8(vqr_softmax_weights_i8_fn *ref, vqr_softmax_weights_i8_fn *fn)
{
    struct attention a = {.v_dim = 1};
    for (a.tokens = 1; a.tokens <= 130; a.tokens += check_quick && a.tokens > 40 ? 7 : 1)
        for (a.rows = check_below(3); a.rows <= 30; a.rows += 1 + check_below(check_quick ? 15 : 5)) {
            a.qk_dim = 1 + check_below(check_quick ? 8 : 40);
            if (!weights_one(ref, fn, &a))
                return false;
        }
    return check_quick || weights_one(ref, fn, &(struct attention){100, 128, 16, 1});
}
