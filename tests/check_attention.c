#include <math.h>

#include "check.h"

struct attention {
    size_t rows; /* softmax: of queries; HSTU: tokens */
    size_t tokens, qk_dim, v_dim;
    bool bias;
    size_t first; /* causal HSTU: the first row's place among the tokens */
    size_t heads; /* softmax; 0 elsewhere: one */
};

/* The common inputs of both kernels. */
struct inputs {
    size_t q_stride, o_stride, bias_stride, k_step, v_step;
    const float *q, *k, *v, *bias;
    float *scratch;
    float alpha;
};

/* `bias_rows` rows of [tokens padded] floats, whose padding is garbage: it belongs to no token. */
static struct inputs make_inputs(const struct attention *a, size_t bias_rows)
{
    const enum check_fill fill = check_next_fill();
    struct inputs in = {.alpha = a->qk_dim ? 1.0f / sqrtf((float)a->qk_dim) : 1.0f};
    const size_t more = a->heads ? a->heads - 1 : 0;
    in.q_stride = (more + 1) * a->qk_dim + check_below(4);
    in.o_stride = more * a->v_dim + vqr_padded(a->v_dim) + check_below(4);
    in.bias_stride = vqr_padded(a->tokens) + check_below(4);
    if (check_below(4) == 0)
        in.alpha = check_unit();
    check_case(
        "first %zu rows %zu heads %zu tokens %zu qk_dim %zu v_dim %zu bias %d q_stride %zu o_stride %zu bias_stride %zu alpha %a "
        "fill %d",
        a->first, a->rows, more + 1, a->tokens, a->qk_dim, a->v_dim, a->bias, in.q_stride, in.o_stride, in.bias_stride,
        (double)in.alpha, fill);
    const size_t padded = vqr_padded(a->tokens);
    /* Without width neither may be looked at. */
    in.q = a->qk_dim ? check_floats(check_extent(a->rows, in.q_stride, (more + 1) * a->qk_dim), fill) : NULL;
    in.k_step = padded * a->qk_dim + VQR_LANES * check_below(3);
    in.v_step = vqr_padded(a->v_dim) * a->tokens + VQR_LANES * check_below(3);
    float *k = a->qk_dim ? check_floats(more * in.k_step + padded * a->qk_dim, fill) : NULL;
    in.v = check_floats(more * in.v_step + vqr_padded(a->v_dim) * a->tokens, check_below(2) ? fill : FILL_UNIT);
    in.scratch = check_floats(VQR_ATTENTION_ROWS * padded, FILL_HOSTILE);
    /* Keys past the last token are 0, as the packing kernels leave them. */
    for (size_t h = 0; h <= more; h++)
        for (size_t j = a->tokens; j < padded; j++)
            for (size_t i = 0; i < a->qk_dim; i++)
                k[h * in.k_step + (j / VQR_LANES * a->qk_dim + i) * VQR_LANES + j % VQR_LANES] = 0.0f;
    in.k = k;
    if (a->bias) {
        float *bias = check_floats(check_extent(bias_rows, in.bias_stride, padded), fill);
        const bool masks = check_below(4) == 0;
        for (size_t r = 0; r < bias_rows; r++) {
            const bool all = check_below(4) == 0;
            for (size_t j = 0; j < a->tokens; j++)
                if (masks && (all || check_below(2)))
                    bias[r * in.bias_stride + j] = -INFINITY;
            for (size_t j = a->tokens; j < padded; j++)
                bias[r * in.bias_stride + j] = check_below(2) ? NAN : 1e30f;
        }
        in.bias = bias;
    }
    return in;
}

static bool hstu_one(vqr_hstu_attention_f32_fn *ref, vqr_hstu_attention_f32_fn *fn, size_t tokens, size_t qk_dim,
                     size_t v_dim)
{
    const struct attention a = {tokens, tokens, qk_dim, v_dim, check_below(2) != 0, 0, 0};
    const struct inputs in = make_inputs(&a, tokens);
    const float norm = check_below(2) && tokens ? 1.0f / (float)tokens : check_unit();
    const struct check_output o = check_output(check_extent(tokens, in.o_stride, vqr_padded(v_dim)), sizeof(float));
    const struct check_output scratch =
        check_output_of(in.scratch, VQR_ATTENTION_ROWS * vqr_padded(tokens), sizeof(float));
    ref(o.want, in.o_stride, in.q, in.q_stride, in.k, in.v, tokens, qk_dim, v_dim, in.bias, in.bias_stride, in.alpha,
        norm, scratch.want);
    fn(o.got, in.o_stride, in.q, in.q_stride, in.k, in.v, tokens, qk_dim, v_dim, in.bias, in.bias_stride, in.alpha,
       norm, scratch.got);
    return check_same_f32(&o) && check_bounds(&scratch, sizeof(float));
}

/* The same with dimensions drawn up to these. */
static bool hstu_up_to(vqr_hstu_attention_f32_fn *ref, vqr_hstu_attention_f32_fn *fn, size_t tokens, size_t qk_max,
                       size_t v_max)
{
    const size_t qk_dim = 1 + check_below(qk_max);
    return hstu_one(ref, fn, tokens, qk_dim, 1 + check_below(v_max));
}

bool check_hstu_attention_f32(vqr_hstu_attention_f32_fn *ref, vqr_hstu_attention_f32_fn *fn)
{
    for (size_t tokens = 0; tokens <= 130; tokens += check_quick && tokens > 40 ? 7 : 1)
        if (!hstu_up_to(ref, fn, tokens, check_quick ? 8 : 20, check_quick ? 17 : 40) ||
            !hstu_up_to(ref, fn, tokens, 3, 3))
            return false;
    static const size_t counts[] = {1, 5, 12, 13, 16, 17, 25, 33};
    for (size_t qk_dim = 1; qk_dim <= 40; qk_dim++)
        for (size_t v_dim = 1; v_dim <= 40; v_dim += 1 + check_below(check_quick ? 20 : 3))
            if (!hstu_one(ref, fn, counts[check_below(check_quick ? 5 : 8)], qk_dim, v_dim))
                return false;
    return check_quick || (hstu_one(ref, fn, 128, 16, 16) && hstu_one(ref, fn, 300, 32, 64));
}

static bool causal_one(vqr_hstu_causal_attention_f32_fn *ref, vqr_hstu_causal_attention_f32_fn *fn, size_t first,
                       size_t rows, size_t tokens, size_t qk_dim, size_t v_dim)
{
    const struct attention a = {rows, tokens, qk_dim, v_dim, check_below(2) != 0, first, 0};
    const struct inputs in = make_inputs(&a, rows);
    const float norm = check_below(2) ? 1.0f / (float)tokens : check_unit();
    const struct check_output o = check_output(check_extent(rows, in.o_stride, vqr_padded(v_dim)), sizeof(float));
    const struct check_output scratch =
        check_output_of(in.scratch, VQR_ATTENTION_ROWS * vqr_padded(tokens), sizeof(float));
    ref(o.want, in.o_stride, in.q, in.q_stride, first, rows, in.k, in.v, tokens, qk_dim, v_dim, in.bias, in.bias_stride,
        in.alpha, norm, scratch.want);
    fn(o.got, in.o_stride, in.q, in.q_stride, first, rows, in.k, in.v, tokens, qk_dim, v_dim, in.bias, in.bias_stride,
       in.alpha, norm, scratch.got);
    return check_same_f32(&o) && check_bounds(&scratch, sizeof(float));
}

bool check_hstu_causal_attention_f32(vqr_hstu_causal_attention_f32_fn *ref, vqr_hstu_causal_attention_f32_fn *fn)
{
    for (size_t first = 0; first <= 70; first += check_quick ? 5 : 1)
        for (size_t rows = 0; rows <= VQR_ATTENTION_ROWS; rows++) {
            const size_t tokens = first + rows + check_below(3) * check_below(20), qk_dim = 1 + check_below(20);
            if (tokens && !causal_one(ref, fn, first, rows, tokens, qk_dim, 1 + check_below(check_quick ? 17 : 40)))
                return false;
        }
    return causal_one(ref, fn, 188, 12, 200, 16, 16) && (check_quick || causal_one(ref, fn, 984, 12, 1000, 16, 33));
}

static bool softmax_one(vqr_softmax_attention_f32_fn *ref, vqr_softmax_attention_f32_fn *fn, size_t rows, size_t heads,
                        size_t tokens, size_t qk_dim, size_t v_dim)
{
    const struct attention a = {rows, tokens, qk_dim, v_dim, check_below(2) != 0, 0, heads};
    const struct inputs in = make_inputs(&a, 1);
    const size_t width = heads ? (heads - 1) * v_dim + vqr_padded(v_dim) : 0;
    const struct check_output o = check_output(check_extent(rows, in.o_stride, width), sizeof(float));
    const struct check_output scratch =
        check_output_of(in.scratch, VQR_ATTENTION_ROWS * vqr_padded(tokens), sizeof(float));
    ref(o.want, in.o_stride, in.q, in.q_stride, rows, heads, in.k, in.k_step, in.v, in.v_step, tokens, qk_dim, v_dim,
        in.bias, in.alpha, scratch.want);
    fn(o.got, in.o_stride, in.q, in.q_stride, rows, heads, in.k, in.k_step, in.v, in.v_step, tokens, qk_dim, v_dim,
       in.bias, in.alpha, scratch.got);
    return check_same_f32(&o) && check_bounds(&scratch, sizeof(float));
}

static bool softmax_up_to(vqr_softmax_attention_f32_fn *ref, vqr_softmax_attention_f32_fn *fn, size_t rows,
                          size_t tokens, size_t qk_max, size_t v_max)
{
    const size_t qk_dim = 1 + check_below(qk_max);
    const size_t heads = check_below(2) ? 1 : check_below(10);
    return softmax_one(ref, fn, rows, heads, tokens, qk_dim, 1 + check_below(v_max));
}

bool check_softmax_attention_f32(vqr_softmax_attention_f32_fn *ref, vqr_softmax_attention_f32_fn *fn)
{
    for (size_t tokens = 1; tokens <= 130; tokens += check_quick && tokens > 40 ? 7 : 1)
        for (size_t rows = check_below(3); rows <= 30; rows += 1 + check_below(check_quick ? 15 : 3))
            if (!softmax_up_to(ref, fn, rows, tokens, check_quick ? 8 : 20, check_quick ? 17 : 40))
                return false;
    for (size_t qk_dim = 0; qk_dim <= 40; qk_dim++)
        for (size_t v_dim = 1; v_dim <= 40; v_dim += 1 + check_below(check_quick ? 20 : 3)) {
            const size_t rows = 1 + check_below(check_quick ? 4 : 14);
            if (!softmax_one(ref, fn, rows, 1 + check_below(5), 1 + check_below(check_quick ? 20 : 50), qk_dim, v_dim))
                return false;
        }
    return check_quick || (softmax_one(ref, fn, 100, 4, 128, 16, 16) && softmax_one(ref, fn, 13, 5, 1000, 32, 33));
}

static bool weights_one(vqr_softmax_weights_f32_fn *ref, vqr_softmax_weights_f32_fn *fn, size_t rows, size_t tokens,
                        size_t qk_dim)
{
    const struct attention a = {rows, tokens, qk_dim, 0, check_below(2) != 0, 0, 0};
    const struct inputs in = make_inputs(&a, 1);
    const size_t padded = vqr_padded(tokens), w_stride = padded + check_below(4);
    const struct check_output w = check_output(check_extent(rows, w_stride, padded), sizeof(float));
    ref(w.want, w_stride, in.q, in.q_stride, rows, in.k, tokens, qk_dim, in.bias, in.alpha);
    fn(w.got, w_stride, in.q, in.q_stride, rows, in.k, tokens, qk_dim, in.bias, in.alpha);
    const float *want = w.want;
    for (size_t r = 0; r < rows; r++)
        for (size_t j = tokens; j < padded; j++)
            if (!check_that(check_equal_f32(want[r * w_stride + j], 0.0f), "the reference's padding is %a",
                            (double)want[r * w_stride + j]))
                return false;
    return check_same_f32(&w);
}

bool check_softmax_weights_f32(vqr_softmax_weights_f32_fn *ref, vqr_softmax_weights_f32_fn *fn)
{
    for (size_t tokens = 1; tokens <= 130; tokens += check_quick && tokens > 40 ? 7 : 1)
        for (size_t rows = check_below(3); rows <= 30; rows += 1 + check_below(check_quick ? 15 : 3))
            if (!weights_one(ref, fn, rows, tokens, check_below(check_quick ? 8 : 20)))
                return false;
    for (size_t qk_dim = 0; qk_dim <= 40; qk_dim++) {
        const size_t rows = 1 + check_below(14);
        if (!weights_one(ref, fn, rows, 1 + check_below(50), qk_dim))
            return false;
    }
    return check_quick || (weights_one(ref, fn, 100, 128, 16) && weights_one(ref, fn, 13, 1000, 32));
}
