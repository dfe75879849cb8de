/* Is the specification right: the reference kernels against the same sums in double precision, with the classical
 * bounds n * u * sum |a b| (u: half a unit in the last place of 1), and against cases worked out by hand, which also
 * fix the order of operations where another order would give other bits. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"

static const double u = FLT_EPSILON / 2;

/* ---- against double precision ---- */

static bool gemm_sums(const struct vqr_kernels *ref, size_t rows, size_t k, size_t panels, enum check_fill fill)
{
    const size_t n = panels * VQR_LANES, b_stride = k * VQR_LANES + 5;
    check_case("gemm rows %zu k %zu panels %zu fill %d", rows, k, panels, fill);
    const float *a = check_floats(rows * k, fill), *b = check_floats(panels * b_stride, fill);
    const float *init = check_below(2) ? check_floats(n, fill) : NULL;
    float *c = check_input(rows * n, sizeof *c);
    ref->gemm_f32(c, n, a, k, rows, b, b_stride, k, panels, init);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < n; j++) {
            double sum = init ? (double)init[j] : 0.0, size = fabs(sum);
            for (size_t i = 0; i < k; i++) {
                const double term = (double)a[r * k + i] * (double)b[j / 16 * b_stride + i * 16 + j % 16];
                sum += term;
                size += fabs(term);
            }
            if (!check_near("c", r, j, c[r * n + j], sum, (double)(k + 1) * u * size))
                return false;
        }
    return true;
}

/* A problem of attention: keys and values as plain [tokens][dim] matrices, packed by the reference's own kernels. */
struct attention {
    size_t rows, tokens, qk_dim, v_dim;
    float alpha;
    const float *q, *k, *v, *bias; /* bias: [rows][tokens padded] */
    float *packed_k, *packed_v, *scratch, *o;
};

static struct attention attention(const struct vqr_kernels *ref, const char *name, size_t rows, size_t tokens,
                                  size_t qk_dim, size_t v_dim)
{
    check_case("%s rows %zu tokens %zu qk_dim %zu v_dim %zu", name, rows, tokens, qk_dim, v_dim);
    struct attention a = {.rows = rows, .tokens = tokens, .qk_dim = qk_dim, .v_dim = v_dim};
    a.alpha = 4.0f * check_unit();
    a.q = check_floats(rows * qk_dim, FILL_UNIT);
    a.k = check_floats(tokens * qk_dim, FILL_UNIT);
    a.v = check_floats(tokens * v_dim, FILL_UNIT);
    a.bias = check_below(2) ? check_floats(rows * vqr_padded(tokens), FILL_UNIT) : NULL;
    a.packed_k = check_input(qk_dim * vqr_padded(tokens), sizeof(float));
    a.packed_v = check_input(tokens * vqr_padded(v_dim), sizeof(float));
    a.scratch = check_input(VQR_ATTENTION_ROWS * vqr_padded(tokens), sizeof(float));
    a.o = check_input(rows * vqr_padded(v_dim), sizeof(float));
    ref->pack_transposed_f32(a.packed_k, a.k, qk_dim, qk_dim, tokens);
    ref->pack_f32(a.packed_v, a.v, v_dim, tokens, v_dim);
    return a;
}

/* alpha * q.k + bias, and how far fp32 may be from it. */
static double score(const struct attention *a, size_t row, size_t bias_row, size_t token, double *bound)
{
    double sum = 0.0, size = 0.0;
    for (size_t i = 0; i < a->qk_dim; i++) {
        const double term = (double)a->q[row * a->qk_dim + i] * (double)a->k[token * a->qk_dim + i];
        sum += term;
        size += fabs(term);
    }
    const double b = a->bias ? (double)a->bias[bias_row * vqr_padded(a->tokens) + token] : 0.0;
    *bound = (double)(a->qk_dim + 2) * u * (fabs((double)a->alpha) * size + fabs(b));
    return (double)a->alpha * sum + b;
}

static bool hstu_sums(const struct vqr_kernels *ref, size_t tokens, size_t qk_dim, size_t v_dim)
{
    const struct attention a = attention(ref, "hstu_attention", tokens, tokens, qk_dim, v_dim);
    const float norm = 1.0f / (float)tokens;
    const size_t stride = vqr_padded(v_dim);
    ref->hstu_attention_f32(a.o, stride, a.q, qk_dim, a.packed_k, a.packed_v, tokens, qk_dim, v_dim, a.bias,
                            vqr_padded(tokens), a.alpha, norm, a.scratch);
    for (size_t r = 0; r < tokens; r++)
        for (size_t d = 0; d < v_dim; d++) {
            double sum = 0.0, bound = 0.0;
            for (size_t j = 0; j < tokens; j++) {
                double score_bound;
                const double s = score(&a, r, r, j, &score_bound), v = (double)a.v[j * v_dim + d] * (double)norm;
                const double silu = s / (1.0 + exp(-s));
                sum += silu * v;
                /* SiLU's slope is at most 1.1; exp, +, /, * round once each, exp twice. */
                bound += fabs(v) * (1.1 * score_bound + (double)(tokens + 6) * u * fabs(silu));
            }
            if (!check_near("o", r, d, a.o[r * stride + d], sum, bound))
                return false;
        }
    return true;
}

static bool softmax_sums(const struct vqr_kernels *ref, size_t rows, size_t tokens, size_t qk_dim, size_t v_dim)
{
    const struct attention a = attention(ref, "softmax_attention", rows, tokens, qk_dim, v_dim);
    const size_t stride = vqr_padded(v_dim);
    ref->softmax_attention_f32(a.o, stride, a.q, qk_dim, rows, 1, a.packed_k, 0, a.packed_v, 0, tokens, qk_dim, v_dim,
                               a.bias, a.alpha, a.scratch);
    for (size_t r = 0; r < rows; r++) {
        double total = 0.0, worst = 0.0, largest = 0.0, bound;
        for (size_t j = 0; j < tokens; j++) {
            const double s = score(&a, r, 0, j, &bound);
            total += exp(s);
            worst = fmax(worst, bound);
            largest = fmax(largest, fabs(s));
        }
        /* A weight's relative error is twice that of its score's exponent (itself and the sum), and the roundings. */
        const double relative = 2.0 * (worst + 2.0 * u * largest) + (double)(2 * tokens + 12) * u;
        for (size_t d = 0; d < v_dim; d++) {
            double sum = 0.0, size = 0.0;
            for (size_t j = 0; j < tokens; j++) {
                const double term = exp(score(&a, r, 0, j, &bound)) / total * (double)a.v[j * v_dim + d];
                sum += term;
                size += fabs(term);
            }
            if (!check_near("o", r, d, a.o[r * stride + d], sum, 1.01 * relative * size))
                return false;
        }
    }
    return true;
}

/* The same weights as the attention's: they are what it gives for values that are the unit vectors. */
static bool softmax_weights(const struct vqr_kernels *ref, size_t rows, size_t tokens, size_t qk_dim)
{
    const struct attention a = attention(ref, "softmax_weights", rows, tokens, qk_dim, tokens);
    float *values = check_input(tokens * vqr_padded(tokens), sizeof *values);
    for (size_t j = 0; j < tokens; j++)
        for (size_t d = 0; d < vqr_padded(tokens); d++)
            values[(d / VQR_LANES * tokens + j) * VQR_LANES + d % VQR_LANES] = d == j ? 1.0f : 0.0f;
    const size_t stride = vqr_padded(tokens);
    float *w = check_input(rows * stride, sizeof *w);
    ref->softmax_attention_f32(a.o, stride, a.q, qk_dim, rows, 1, a.packed_k, 0, values, 0, tokens, qk_dim, tokens,
                               a.bias, a.alpha, a.scratch);
    ref->softmax_weights_f32(w, stride, a.q, qk_dim, rows, a.packed_k, tokens, qk_dim, a.bias, a.alpha);
    for (size_t i = 0; i < rows * stride; i++)
        if (!check_that(check_equal_f32(w[i], a.o[i]), "w[%zu]: want %a, got %a", i, (double)a.o[i], (double)w[i]))
            return false;
    return true;
}

/* The mean of values by the softmax of given logits: attention without queries and keys. */
static bool softmax_of_logits(const struct vqr_kernels *ref, size_t tokens, size_t v_dim)
{
    check_case("softmax_attention of logits, tokens %zu v_dim %zu", tokens, v_dim);
    const size_t stride = vqr_padded(v_dim);
    const float *v = check_floats(tokens * stride, FILL_UNIT);
    float *logits = check_floats(vqr_padded(tokens), FILL_UNIT), *o = check_input(stride, sizeof *o);
    for (size_t j = 0; j < tokens; j++)
        logits[j] *= 10.0f;
    float *scratch = check_input(VQR_ATTENTION_ROWS * vqr_padded(tokens), sizeof *scratch);
    ref->softmax_attention_f32(o, stride, NULL, 0, 1, 1, NULL, 0, v, 0, tokens, 0, v_dim, logits, check_unit(),
                               scratch);
    double total = 0.0;
    for (size_t j = 0; j < tokens; j++)
        total += exp((double)logits[j]);
    for (size_t d = 0; d < v_dim; d++) {
        double sum = 0.0, size = 0.0;
        for (size_t j = 0; j < tokens; j++) {
            const double term =
                exp((double)logits[j]) / total * (double)v[(d / VQR_LANES * tokens + j) * VQR_LANES + d % VQR_LANES];
            sum += term;
            size += fabs(term);
        }
        /* score - max, at most 20, rounds once, in a weight and in the sum; the rest as in softmax_sums. */
        if (!check_near("o", 0, d, o[d], sum, 1.01 * ((double)(2 * tokens + 12) + 40.0) * u * size))
            return false;
    }
    return true;
}

static bool norm_sums(const struct vqr_kernels *ref, size_t n)
{
    const float eps = 1e-5f, shift = 10.0f * check_unit();
    check_case("layer_norm n %zu shift %g", n, (double)shift);
    float *x = check_floats(n, FILL_UNIT);
    for (size_t i = 0; i < n; i++)
        x[i] += shift;
    const bool weighted = check_below(2) != 0;
    const float *weight = weighted ? check_floats(n, FILL_UNIT) : NULL;
    const float *bias = weighted ? check_floats(n, FILL_UNIT) : NULL;
    float *y = check_input(n, sizeof *y);
    ref->layer_norm_f32(y, n, x, n, 1, n, eps, weight, bias);
    double mean = 0.0, size = 0.0, var = 0.0;
    for (size_t i = 0; i < n; i++) {
        mean += (double)x[i] / (double)n;
        size += fabs((double)x[i]) / (double)n;
    }
    for (size_t i = 0; i < n; i++)
        var += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)n;
    const double deviation = sqrt(var + (double)eps), mean_bound = (double)(n + 1) * u * size;
    /* An error m of the mean shifts all elements by m and adds m^2 to the variance. */
    const double relative = ((double)(n + 8) * u + mean_bound * mean_bound / (var + (double)eps)) / 2.0 + 6.0 * u;
    for (size_t i = 0; i < n; i++) {
        const double plain = ((double)x[i] - mean) / deviation, w = weighted ? (double)weight[i] : 1.0;
        const double b = weighted ? (double)bias[i] : 0.0;
        const double plain_bound = fabs(plain) * relative + 2.0 * mean_bound / deviation;
        if (!check_near("y", 0, i, y[i], plain * w + b, fabs(w) * plain_bound + u * (fabs(plain * w) + fabs(b))))
            return false;
    }
    return true;
}

/* No codeword's score in double precision may exceed the chosen one's by more than both their bounds. */
static bool quantize_sums(const struct vqr_kernels *ref, size_t rows, size_t codewords)
{
    const uint32_t widths[] = {6, 0, 17, 1};
    const size_t width = 24;
    check_case("quantize rows %zu codewords %zu", rows, codewords);
    const float *e = check_floats(rows * width, FILL_UNIT), *matrix = check_floats(width * codewords, FILL_UNIT);
    float *b = check_input(width * vqr_padded(codewords), sizeof *b);
    ref->pack_f32(b, matrix, codewords, width, codewords);
    uint32_t *z = check_input(rows, sizeof *z);
    ref->quantize_f32(z, e, width, rows, b, NULL, widths, NULL, 4, codewords);
    for (size_t r = 0; r < rows; r++) {
        double highest = -INFINITY, chosen = 0.0;
        for (size_t w = 0; w < codewords; w++) {
            double sum = 0.0, size = 0.0;
            for (size_t i = 0; i < width; i++) {
                sum += (double)e[r * width + i] * (double)matrix[i * codewords + w];
                size += fabs((double)e[r * width + i] * (double)matrix[i * codewords + w]);
            }
            const double bound = (double)(width + 4) * u * size;
            highest = fmax(highest, sum - bound);
            if (w == z[r])
                chosen = sum + bound;
        }
        if (!check_that(z[r] < codewords && chosen >= highest, "row %zu: codeword %u is not the best", r, z[r]))
            return false;
    }
    return true;
}

/* No component's score in double precision may exceed the chosen one's by more than both their bounds; the residual is
 * one subtraction. */
static bool gmm_sums(const struct vqr_kernels *ref, size_t rows, size_t codes, bool scaled)
{
    enum { N = 19 };
    check_case("gmm rows %zu codes %zu scaled %d", rows, codes, scaled);
    const float *r = check_floats(rows * N, FILL_UNIT), *mean = check_floats(N * codes, FILL_UNIT);
    float *ivar = check_floats(N * codes, FILL_UNIT), *bias = check_floats(vqr_padded(codes), FILL_UNIT);
    for (size_t i = 0; i < N * codes; i++)
        ivar[i] = 1.0f / (0.01f + fabsf(ivar[i]));
    float *mu = check_input(N * vqr_padded(codes), sizeof *mu), *scale = check_input(N * vqr_padded(codes), sizeof *mu);
    ref->pack_f32(mu, mean, codes, N, codes);
    ref->pack_f32(scale, ivar, codes, N, codes);
    float *left = check_input(rows * N, sizeof *left);
    memcpy(left, r, rows * N * sizeof *left);
    uint32_t *z = check_input(rows, sizeof *z);
    if (!check_that(ref->gmm_f32(z, left, N, rows, N, mu, scaled ? scale : NULL, scaled ? bias : NULL, codes) == rows,
                    "a component wins in every row"))
        return false;
    for (size_t i = 0; i < rows; i++) {
        double highest = -INFINITY, chosen = -INFINITY;
        for (size_t w = 0; w < codes; w++) {
            double sum = 0.0;
            for (size_t d = 0; d < N; d++) {
                const double x = (double)r[i * N + d] - (double)mean[d * codes + w];
                sum += x * x * (scaled ? (double)ivar[d * codes + w] : 1.0);
            }
            const double s = (scaled ? (double)bias[w] : 0.0) - sum / 2.0;
            /* All terms are positive: 2 roundings of x, 1 of the product, N of the chain; then the score's own. */
            const double bound = (double)(N + 4) * u * sum / 2.0 + u * fabs(s);
            highest = fmax(highest, s - bound);
            if (w == z[i])
                chosen = s + bound;
        }
        if (!check_that(z[i] < codes && chosen >= highest, "row %zu: component %u is not the best", i, z[i]))
            return false;
        for (size_t d = 0; d < N; d++)
            if (!check_that(left[i * N + d] == r[i * N + d] - mean[d * codes + z[i]], "residual %zu of row %zu", d, i))
                return false;
    }
    return true;
}

static bool dice_values(const struct vqr_kernels *ref, enum check_fill fill)
{
    enum { N = 1000 };
    check_case("dice fill %d", fill);
    float *x = check_floats(N, fill);
    const float *mean = check_floats(N, FILL_UNIT), *inv_std = check_floats(N, FILL_UNIT);
    const float *alpha = check_floats(N, fill);
    float *y = check_input(N, sizeof *y);
    for (size_t i = 0; i < N; i++)
        x[i] *= 8.0f;
    ref->dice_f32(y, x, mean, inv_std, alpha, N);
    for (size_t i = 0; i < N; i++) {
        const double a = alpha[i], z = ((double)x[i] - (double)mean[i]) * (double)inv_std[i];
        if (fabs(z) > 80.0) /* exp(-z) overflows beyond, as the sigmoid's own check says */
            continue;
        const double p = 1.0 / (1.0 + exp(-z)), slope = a + p * (1.0 - a);
        /* z rounds twice, exp is within 2 u: exp(-z) is off by 2 u (|z| + 1), of which 1 - p reaches p; the sum and the
         * quotient round once each. 1 - a, the fma and the product round once each. */
        const double p_relative = (1.0 - p) * 2.0 * u * (fabs(z) + 1.0) + 2.0 * u;
        const double bound = p * fabs(1.0 - a) * (p_relative + u) + 2.0 * u * fabs(slope);
        if (!check_near("y", 0, i, y[i], slope * (double)x[i], 1.01 * bound * fabs((double)x[i]) + 0x1p-149))
            return false;
    }
    return true;
}

/* The sum of embedding rows, and panels of fused multiply-adds: rounded once a step. */
static bool sums_of_rows(const struct vqr_kernels *ref, size_t count, size_t dim)
{
    check_case("embed_add count %zu dim %zu", count, dim);
    const float *table = check_floats(8 * dim, FILL_UNIT), *start = check_floats(dim, FILL_UNIT);
    float *dst = check_input(dim, sizeof *dst);
    uint32_t *index = check_input(count, sizeof *index);
    memcpy(dst, start, dim * sizeof *dst);
    for (size_t r = 0; r < count; r++)
        index[r] = (uint32_t)check_below(8);
    if (!check_that(ref->embed_add_f32(dst, table, dim, index, count, 1.0f) == count, "all rows are good"))
        return false;
    for (size_t i = 0; i < dim; i++) {
        double sum = start[i], size = fabs(sum);
        for (size_t r = 0; r < count; r++) {
            sum += (double)table[index[r] * dim + i];
            size += fabs((double)table[index[r] * dim + i]);
        }
        if (!check_near("dst", 0, i, dst[i], sum, (double)count * u * size))
            return false;
    }
    check_case("madd_panels k %zu panels 2", dim);
    const size_t n = 2 * dim * VQR_LANES;
    const float *a = check_floats(n, FILL_WIDE), *b = check_floats(n, FILL_WIDE), *scale = check_floats(dim, FILL_WIDE);
    float *madd = check_input(n, sizeof *madd);
    ref->madd_panels_f32(madd, scale, a, b, dim, 2);
    for (size_t i = 0; i < n; i++) {
        const double want = fma((double)scale[i / VQR_LANES % dim], (double)a[i], (double)b[i]);
        if (!check_near("dst", i / VQR_LANES, i % VQR_LANES, madd[i], want, 1.0001 * u * fabs(want) + 0x1p-150))
            return false;
    }
    return true;
}

bool check_reference_sums(const struct vqr_kernels *ref)
{
    const enum check_fill fills[] = {FILL_UNIT, FILL_TIES, FILL_WIDE};
    for (size_t k = 0; k <= 40; k++)
        if (!gemm_sums(ref, 1 + check_below(4), k, 1 + k % 4, fills[k % 3]))
            return false;
    for (size_t tokens = 1; tokens <= 40; tokens++) {
        const size_t qk_dim = 1 + check_below(20), v_dim = 1 + check_below(20);
        if (!hstu_sums(ref, tokens, qk_dim, v_dim) || !softmax_sums(ref, 1 + tokens % 4, tokens, qk_dim, v_dim))
            return false;
        if (!softmax_weights(ref, 1 + tokens % 4, tokens, qk_dim) || !softmax_of_logits(ref, tokens, v_dim) ||
            !sums_of_rows(ref, tokens - 1, v_dim))
            return false;
    }
    if (!dice_values(ref, FILL_UNIT) || !dice_values(ref, FILL_WIDE) || !dice_values(ref, FILL_TIES))
        return false;
    for (size_t n = 1; n <= 70; n++)
        if (!norm_sums(ref, n) || !quantize_sums(ref, 3, n) || !gmm_sums(ref, 3, n, n % 2))
            return false;
    return gemm_sums(ref, 3, 1000, 2, FILL_UNIT) && norm_sums(ref, 1000) && quantize_sums(ref, 20, 200);
}

/* ---- by hand ---- */

static bool equal(const char *what, const float *got, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!check_that(check_equal_f32(got[i], want[i]), "%s[%zu]: want %a, got %a", what, i, (double)want[i],
                        (double)got[i]))
            return false;
    return true;
}

static bool gemm_cases(const struct vqr_kernels *ref)
{
    /* Column 0 only; the other 15 columns of b are 0. */
    static const struct {
        const char *why;
        size_t k;
        float a[3], b[3], init, want;
    } cases[] = {
        {"2 * 3 + 5 * 7 + 1", 2, {2, 5}, {3, 7}, 1, 42},
        {"k ascending", 3, {0x1p24f, 1, -0x1p24f}, {1, 1, 1}, 0, 0},
        {"from init, not added last", 2, {1, 1}, {1, 1}, 0x1p24f, 0x1p24f},
        {"one rounding", 1, {0x1.001p0f}, {0x1.001p0f}, -0x1.002p0f, 0x1p-24f},
        {"denormals are kept", 1, {0x1p-100f}, {0x1p-40f}, 0, 0x1p-140f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        check_case("gemm: %s", cases[i].why);
        float b[3 * VQR_LANES] = {0}, init[VQR_LANES] = {0}, c[VQR_LANES];
        for (size_t k = 0; k < cases[i].k; k++)
            b[k * VQR_LANES] = cases[i].b[k];
        init[0] = cases[i].init;
        ref->gemm_f32(c, VQR_LANES, cases[i].a, 3, 1, b, 0, cases[i].k, 1, init);
        float want[VQR_LANES] = {0};
        want[0] = cases[i].want;
        if (!equal("c", c, want, VQR_LANES))
            return false;
    }
    check_case("pack [2][17] with stride 18");
    float src[2 * 18], packed[2 * 2 * VQR_LANES], want[2 * 2 * VQR_LANES] = {0};
    for (int i = 0; i < 36; i++)
        src[i] = (float)i;
    for (int l = 0; l < 16; l++) {
        want[l] = (float)l;
        want[16 + l] = (float)(18 + l);
    }
    want[32] = 16.0f;
    want[48] = 34.0f;
    ref->pack_f32(packed, src, 18, 2, 17);
    if (!equal("dst", packed, want, 64))
        return false;
    check_case("pack transposed [17][2] with stride 2");
    for (int l = 0; l < 16; l++) {
        want[l] = (float)(2 * l);
        want[16 + l] = (float)(2 * l + 1);
    }
    want[32] = 32.0f;
    want[48] = 33.0f;
    ref->pack_transposed_f32(packed, src, 2, 2, 17);
    return equal("dst", packed, want, 64);
}

static bool quantize_cases(const struct vqr_kernels *ref)
{
    check_case("quantize: features are summed apart");
    /* Features {1, 2}: 2^24 + (1 + -2^24) is 2^24 - (2^24 - 1) = 1, one chain would give 0. Codeword 0 scores 0.5. */
    const uint32_t widths[] = {1, 2};
    const float e[] = {1, 1, 1};
    float b[3 * VQR_LANES] = {0};
    b[0] = 0.5f;
    b[1] = 0x1p24f;
    b[VQR_LANES + 1] = 1.0f;
    b[2 * VQR_LANES + 1] = -0x1p24f;
    uint32_t z = 99;
    ref->quantize_f32(&z, e, 3, 1, b, NULL, widths, NULL, 2, 2);
    if (!check_that(z == 1, "z: want 1, got %u", z))
        return false;
    check_case("quantize: a known chain in its feature's place");
    /* Codeword 1 gets 0.25 from the second feature's known chain instead of 1 - 2^24, codeword 2 all of its score. */
    const uint32_t row[] = {1};
    float chains[2 * VQR_LANES] = {9, 9, 9};
    memcpy(chains + VQR_LANES, (const float[]){0.0f, 0.25f, 1.0f}, 3 * sizeof *chains);
    struct vqr_known_scores known[] = {{NULL, 0, NULL}, {chains, VQR_LANES, row}};
    b[1] = 0.125f;
    b[2] = -0.25f;
    ref->quantize_f32(&z, e, 3, 1, b, NULL, widths, known, 2, 3);
    if (!check_that(z == 2, "z: want 2, got %u", z))
        return false;
    chains[VQR_LANES + 1] = 0.75f;
    ref->quantize_f32(&z, e, 3, 1, b, NULL, widths, known, 2, 3);
    if (!check_that(z == 1, "z: want 1, got %u", z))
        return false;
    check_case("quantize: the first of equals, never NaN");
    static const struct {
        float scores[4];
        uint32_t want;
    } cases[] = {{{1, 3, 3, 2}, 1},
                 {{-0.0f, 0, -0.0f, 0}, 0},
                 {{NAN, -1, -2, NAN}, 1},
                 {{NAN, NAN, NAN, NAN}, 0},
                 {{NAN, -INFINITY, -INFINITY, NAN}, 0},
                 {{-5, -4, INFINITY, INFINITY}, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(b, cases[i].scores, sizeof cases[i].scores);
        ref->quantize_f32(&z, e, 1, 1, b, NULL, widths, NULL, 1, 4);
        if (!check_that(z == cases[i].want, "case %zu: want %u, got %u", i, cases[i].want, z))
            return false;
    }
    check_case("quantize: offsets decide, and may make equals");
    static const struct {
        float offsets[4];
        uint32_t want;
    } added[] = {{{0, -1, -3, 0}, 1}, {{1, 0, -1, 0}, 1}, {{0, -0.5f, -1.5f, 1}, 3}};
    memcpy(b, (const float[]){1, 3, 4, 2}, 4 * sizeof *b);
    for (size_t i = 0; i < sizeof added / sizeof *added; i++) {
        ref->quantize_f32(&z, e, 1, 1, b, added[i].offsets, widths, NULL, 1, 4);
        if (!check_that(z == added[i].want, "case %zu: want %u, got %u", i, added[i].want, z))
            return false;
    }

    return true;
}

static bool sum_cases(const struct vqr_kernels *ref)
{
    check_case("accumulate: ties to even, taken out as they were put in");
    const float x[] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 2.75f, -0.0f, 0x1p30f}, ones[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    const int64_t fixed[] = {0, 2, 2, 0, -2, 3, 0, 1 << 30};
    const uint32_t zero = 0;
    int64_t q[8] = {0};
    uint32_t count = 0;
    for (int sign = 1; sign >= -1; sign -= 2) {
        ref->accumulate_f32(q, &count, 1, 1, x, 8, 1, 8, ones, &zero, 1, sign);
        for (int i = 0; i < 8; i++)
            if (!check_that(q[i] == (sign > 0 ? fixed[i] : 0), "q[%d]: sign %d gives %lld", i, sign, (long long)q[i]))
                return false;
    }

    check_case("accumulate and mean: two events in cluster 1, none in 0; in a second codebook one in each");
    const float events[] = {10, -4, 5, 1 << 30}, scale[] = {2, 1};
    const uint32_t clusters[] = {1, 1, 1, 0}, tokens[] = {1, 0};
    int64_t sums[8] = {0};
    const int64_t after[8] = {0, 0, 30, (1 << 30) - 4, 10, 1 << 30, 20, -4}, left[4] = {0, 0, 10, 1 << 30};
    uint32_t counts[4] = {0};
    const double unit[] = {0.25, 1.0};
    float r[4];
    ref->accumulate_f32(sums, counts, 2, 2, events, 2, 2, 2, scale, clusters, 2, 1);
    ref->cluster_mean_f32(r, 2, sums, counts, tokens, 2, 2, unit);
    const float means[] = {3.75f, 536870912.0f, 0.0f, 0.0f}; /* (2^30 - 4) / 2 = 536870910 is no float */
    if (!check_that(memcmp(sums, after, sizeof sums) == 0, "wrong sums") ||
        !check_that(counts[0] == 0 && counts[1] == 2 && counts[2] == 1 && counts[3] == 1, "wrong counts") ||
        !equal("r", r, means, 4))
        return false;
    ref->accumulate_f32(sums, counts, 1, 2, events, 2, 1, 2, scale, clusters, 2, -1);
    return check_that(memcmp(sums, left, sizeof left) == 0 && counts[1] == 1, "wrong sums after removing an event");
}

static bool attention_cases(const struct vqr_kernels *ref)
{
    float k[VQR_LANES] = {1, 1}, v[2 * VQR_LANES] = {0}, o[VQR_LANES], scratch[VQR_ATTENTION_ROWS * VQR_LANES];
    float bias[2 * VQR_LANES] = {0};
    const float q[] = {3, 3};
    v[0] = 8.0f;
    v[VQR_LANES] = 2.0f;
    check_case("softmax of two equal scores is the mean");
    ref->softmax_attention_f32(o, VQR_LANES, q, 1, 1, 1, k, 0, v, 0, 2, 1, 1, NULL, 1.0f, scratch);
    if (!equal("o", o, &(float){5.0f}, 1))
        return false;
    check_case("softmax with a masked token");
    bias[0] = -INFINITY;
    ref->softmax_attention_f32(o, VQR_LANES, q, 1, 1, 1, k, 0, v, 0, 2, 1, 1, bias, 1.0f, scratch);
    if (!equal("o", o, &(float){2.0f}, 1))
        return false;
    check_case("hstu: SiLU(0) = 0, SiLU(100) = 100");
    /* Scores 3 * 0 + bias; row 0 sees tokens with 0 and 100, row 1 with 100 and 100; norm 1/2. */
    bias[0] = 0.0f;
    bias[1] = bias[VQR_LANES] = bias[VQR_LANES + 1] = 100.0f;
    float rows[2 * VQR_LANES];
    ref->hstu_attention_f32(rows, VQR_LANES, q, 1, k, v, 2, 1, 1, bias, VQR_LANES, 0.0f, 0.5f, scratch);
    return equal("o", rows, &(float){100.0f}, 1) && equal("o", rows + VQR_LANES, &(float){500.0f}, 1);
}

static bool row_cases(const struct vqr_kernels *ref)
{
    check_case("layer_norm: mean 5, variance 4");
    const float x[] = {2, 4, 4, 4, 5, 5, 7, 9}, want[] = {-1.5f, -0.5f, -0.5f, -0.5f, 0, 0, 1, 2};
    const float weight[] = {2, 2, 2, 2, 2, 2, 2, 2}, bias[] = {1, 1, 1, 1, 1, 1, 1, 1};
    const float weighted[] = {-2, 0, 0, 0, 1, 1, 3, 5};
    float y[17];
    ref->layer_norm_f32(y, 8, x, 8, 1, 8, 0.0f, NULL, NULL);
    if (!equal("y", y, want, 8))
        return false;
    ref->layer_norm_f32(y, 8, x, 8, 1, 8, 0.0f, weight, bias);
    if (!equal("y", y, weighted, 8))
        return false;
    check_case("layer_norm: lanes of 16");
    /* Lane 0 is 2^24 + 1 = 2^24, lane 8 takes it away: the mean is 0. In order, it would be 1/17. */
    float row[17] = {0x1p24f};
    row[8] = -0x1p24f;
    row[16] = 1.0f;
    ref->layer_norm_f32(y, 17, row, 17, 1, 17, 0.0f, NULL, NULL);
    if (!check_that(y[1] == 0.0f, "want 0, got %a", (double)y[1]))
        return false;
    check_case("layer_norm: the tree 8, 4, 2, 1");
    /* Lanes 0 and 8 meet first and cancel, so lane 1 survives; by the tree 1, 2, 4, 8 it would be lost. */
    row[1] = 1.0f;
    ref->layer_norm_f32(y, 16, row, 16, 1, 16, 0.0f, NULL, NULL);
    if (!check_that(y[2] < 0.0f, "want less than 0, got %a", (double)y[2]))
        return false;

    check_case("relu, mul, add, finite");
    const float in[] = {-1, 2, -0.0f, 0, NAN, -INFINITY}, relu[] = {0, 2, -0.0f, 0, NAN, 0};
    const float squares[] = {1, 4, 0, 0, NAN, INFINITY}, doubles[] = {-2, 4, -0.0f, 0, NAN, -INFINITY};
    ref->relu_f32(y, in, 6);
    if (!equal("relu", y, relu, 6))
        return false;
    ref->mul_f32(y, in, in, 6);
    if (!equal("mul", y, squares, 6))
        return false;
    ref->add_f32(y, in, in, 6);
    if (!equal("add", y, doubles, 6) || !check_that(ref->finite_f32(in, 4) == 1 && ref->finite_f32(in, 5) == 0 &&
                                                        ref->finite_f32(in + 5, 1) == 0 && ref->finite_f32(in, 0) == 1,
                                                    "finite"))
        return false;

    check_case("embed");
    const float table[] = {1, 2, -3, 4, 5, NAN};
    const uint32_t index[] = {1, 0, 2};
    const float gathered[] = {-3, 4, 1, 2};
    float dst[6];
    return check_that(ref->embed_f32(dst, 2, table, 2, index, 2, 4.0f) == 2, "all rows are good") &&
           equal("dst", dst, gathered, 4) &&
           check_that(ref->embed_f32(dst, 2, table, 2, index, 3, 9.0f) == 2, "row 2 is not a number") &&
           check_that(ref->embed_f32(dst, 2, table, 2, index, 3, 3.0f) == 0, "row 0 exceeds the limit");
}

static bool gmm_cases(const struct vqr_kernels *ref)
{
    check_case("gmm: a difference times its inverse variance, times the difference, in the order of d");
    /* Component 0 is at squared distance 2^24 + 1 + 1, component 1 costs nothing but its bias. */
    float mean[3 * VQR_LANES] = {0}, ivar[3 * VQR_LANES] = {0}, bias[VQR_LANES] = {0};
    float r[] = {0x1p12f, 1, 1};
    for (size_t d = 0; d < 3; d++)
        ivar[d * VQR_LANES] = 1.0f;
    bias[1] = -0x1p23f; /* 2^24 + 1 + 1 = 2^24 by the chain: a tie that 0 wins; from the end it would be 2^24 + 2 */
    uint32_t z = 99;
    if (!check_that(ref->gmm_f32(&z, r, 3, 1, 3, mean, ivar, bias, 2) == 1 && z == 0, "z: want 0, got %u", z))
        return false;
    check_case("gmm: tiny differences with tiny variances");
    /* x = 2^-76, variance 2^-126: x * ivar * x = 2^-26, while x * x alone is 0. */
    float tiny[] = {0x1p-76f}, spread[VQR_LANES] = {0x1p126f}, zeros[VQR_LANES] = {0}, less[VQR_LANES] = {0, -0x1p-28f};
    ref->gmm_f32(&z, tiny, 1, 1, 1, zeros, spread, less, 2);
    if (!check_that(z == 1, "z: want 1, got %u", z))
        return false;
    check_case("gmm: the residual, the nearest mean without variances, and a row that no component takes");
    float rows[] = {3, 0x1p100f, 1}, places[VQR_LANES] = {4, 1, 2};
    const float left[] = {-1, 0x1p100f, 0};
    uint32_t codes[3];
    return check_that(ref->gmm_f32(codes, rows, 1, 3, 1, places, NULL, NULL, 3) == 1, "row 1 overflows") &&
           check_that(codes[0] == 0 && codes[1] == 0 && codes[2] == 1, "codes %u %u %u", codes[0], codes[1],
                      codes[2]) &&
           equal("residual", rows, left, 3);
}

static bool activation_cases(const struct vqr_kernels *ref)
{
    float y[8];
    const float in[] = {-2, 3, -0.0f, 0, NAN, INFINITY, -INFINITY};
    check_case("gelu, leaky_relu");
    const float gelu[] = {-0.0f, 0, NAN, INFINITY, 0}, leaky[] = {-0.02f, 3, -0.0f, 0, NAN, INFINITY, -INFINITY};
    ref->gelu_f32(y, in + 2, 5);
    if (!equal("gelu", y, gelu, 5))
        return false;
    ref->leaky_relu_f32(y, in, 7);
    if (!equal("leaky_relu", y, leaky, 7))
        return false;
    check_case("prelu: its slope does not matter where x > 0");
    const float slope[] = {0.25f, NAN, -1, -1, 1, NAN, -2}, prelu[] = {-0.5f, 3, 0, -0.0f, NAN, INFINITY, INFINITY};
    ref->prelu_f32(y, in, slope, 7);
    if (!equal("prelu", y, prelu, 7))
        return false;
    check_case("dice: at the mean p = 1/2; far above it p = 1, far below 0; alpha 1 is the identity");
    const float x[] = {4, 100, -100, 3}, mean[] = {4, 0, 0, 1}, inv_std[] = {7, 1, 1, 1}, alpha[] = {0.5f, 9, 0.25f, 1};
    const float dice[] = {3, 100, -25, 3};
    ref->dice_f32(y, x, mean, inv_std, alpha, 4);
    if (!equal("dice", y, dice, 4))
        return false;
    check_case("dice: 1 - alpha rounds before the fma");
    /* p = 1, alpha = -2^25: 1 - alpha is 2^25 in fp32, so the slope is 0; exactly it would be 1. */
    const float big[] = {-0x1p25f}, far[] = {100}, zero[] = {0}, one[] = {1};
    ref->dice_f32(y, far, zero, one, big, 1);
    if (!equal("dice", y, zero, 1))
        return false;

    check_case("embed_add: rows in order");
    const float table[] = {0x1p24f, 1, -0x1p24f, NAN};
    const uint32_t index[] = {0, 1, 2, 1, 3};
    float dst[] = {0};
    return check_that(ref->embed_add_f32(dst, table, 1, index, 4, 0x1p24f) == 4, "all rows are good") &&
           equal("dst", dst, one, 1) && /* 2^24 + 1 is 2^24 */
           check_that(ref->embed_add_f32(dst, table, 1, index, 5, 0x1p24f) == 4, "row 4 is not a number") &&
           check_that(ref->embed_add_f32(dst, table, 1, index, 5, 2.0f) == 0, "row 0 exceeds the limit");
}

bool check_reference_cases(const struct vqr_kernels *ref)
{
    return gemm_cases(ref) && quantize_cases(ref) && sum_cases(ref) && gmm_cases(ref) && attention_cases(ref) &&
           row_cases(ref) && activation_cases(ref);
}
