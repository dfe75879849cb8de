/* Is the specification right: the reference's kernels of int8 against the formulas of docs/int8.md in double precision,
 * on matrices laid out here, and cases worked out by hand. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"

static const double u = FLT_EPSILON / 2;

static int8_t *int8s(size_t n)
{
    int8_t *x = check_input(n, 1);
    for (size_t i = 0; i < n; i++)
        x[i] = (int8_t)((int)check_below(255) - 127);
    return x;
}

static float *steps(size_t n)
{
    float *x = check_floats(n, FILL_UNIT);
    for (size_t i = 0; i < n; i++)
        x[i] = 0.001f + 0.01f * fabsf(x[i]);
    return x;
}

/* ---- to int8 ---- */

/* Whether q in steps of scale is x - middle of these n numbers, as near as steps allow. `off` is how far fp32's middle
 * may be from it. */
static bool nearest(size_t row, const float *x, size_t stride, const int8_t *q, float scale, size_t n, double middle,
                    double off)
{
    double max = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double distance = fabs((double)x[i * stride] - middle);
        max = distance > max ? distance : max; /* not fmax: gcc 12 for Arm fails on it here */
    }
    if (!check_near("scale", row, 0, scale, max / 127.0, (off + 2.0 * u * max) / 127.0))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!check_near("x", row, i, x[i * stride], middle + (double)q[i] * (double)scale,
                        (0.5 + 127.0 * 6.0 * u) * (double)scale + 2.0 * off))
            return false;
    return true;
}

static bool rows_to_int8(const struct vqr_kernels *ref, size_t rows, size_t n)
{
    check_case("to_int8 rows %zu n %zu", rows, n);
    const size_t q_stride = (n + 3) / 4 * 4 + 3;
    const float *x = check_floats(rows * n, FILL_UNIT);
    int8_t *q = check_input(rows * q_stride, 1);
    float *scale = check_input(rows, sizeof *scale);
    ref->to_int8_f32(q, q_stride, scale, x, n, rows, n);
    for (size_t r = 0; r < rows; r++) {
        if (!nearest(r, x + r * n, 1, q + r * q_stride, scale[r], n, 0.0, 0.0))
            return false;
        for (size_t i = n; i < (n + 3) / 4 * 4; i++)
            if (!check_that(q[r * q_stride + i] == 0, "row %zu: number %zu is not 0", r, i))
                return false;
    }
    return true;
}

static bool columns_to_int8(const struct vqr_kernels *ref, size_t tokens, size_t k)
{
    check_case("columns_to_int8 tokens %zu k %zu", tokens, k);
    const size_t stride = k + 2;
    float *x = check_floats(tokens * stride, FILL_UNIT);
    int8_t *dst = check_input(k * vqr_padded(tokens), 1), *q = check_input(tokens, 1);
    float *scale = check_input(k, sizeof *scale);
    for (size_t i = 0; i < k; i++) {
        const float far = 30.0f * check_unit();
        for (size_t t = 0; t < tokens; t++)
            x[t * stride + i] += far;
    }
    ref->columns_to_int8_f32(dst, scale, x, stride, tokens, k);
    for (size_t i = 0; i < k; i++) {
        double max = -INFINITY, min = INFINITY;
        for (size_t t = 0; t < vqr_padded(tokens); t++) {
            const int8_t number = dst[(t / 16 * k + i) * 16 + t % 16];
            if (!check_that(t < tokens || number == 0, "column %zu: %d past the tokens", i, number))
                return false;
            if (t >= tokens)
                continue;
            q[t] = number;
            max = fmax(max, (double)x[t * stride + i]);
            min = fmin(min, (double)x[t * stride + i]);
        }
        if (!nearest(i, x + i, stride, q, scale[i], tokens, (max + min) / 2.0, u * (fabs(max) + fabs(min))))
            return false;
    }
    return true;
}

static bool to_int8_cases(const struct vqr_kernels *ref)
{
    check_case("to_int8: ties to even, rows that are tiny or not finite");
    const float x[] = {127.0f, 0.5f, -1.5f, 2.5f, 0x1p-101f, 0, 0, 0, 1, 1, INFINITY, 1};
    const int8_t want[] = {127, 0, -2, 2, 0, 0, 0, 0, 0, 0, 0, 0};
    int8_t q[32];
    float scale[3];
    ref->to_int8_f32(q, 4, scale, x, 4, 3, 4);
    if (!check_that(memcmp(q, want, sizeof want) == 0, "other numbers than expected") ||
        !check_that(scale[0] == 1.0f && scale[1] == 0.0f && isnan(scale[2]), "scales %g %g %g", (double)scale[0],
                    (double)scale[1], (double)scale[2]))
        return false;
    check_case("columns_to_int8: one that is all the same, one far from 0, one not finite");
    const float columns[] = {5, 1000, NAN, 5, 1254, 1};
    const int8_t panel[3][2] = {{0, 0}, {-127, 127}, {0, 0}};
    ref->columns_to_int8_f32(q, scale, columns, 3, 1, 0); /* nothing */
    int8_t dst[3 * 16];
    ref->columns_to_int8_f32(dst, scale, columns, 3, 2, 3);
    for (size_t i = 0; i < 3; i++)
        if (!check_that(memcmp(dst + 16 * i, panel[i], 2) == 0, "column %zu: %d, %d", i, dst[16 * i], dst[16 * i + 1]))
            return false;
    return check_that(scale[0] == 0.0f && scale[1] == 1.0f && isnan(scale[2]), "scales %g %g %g", (double)scale[0],
                      (double)scale[1], (double)scale[2]);
}

/* ---- products ---- */

/* Rows a[rows][k] by a plain matrix [k][n], and what rows start from; packed by hand. */
struct product {
    size_t rows, k, n, k4, init_stride;
    const int8_t *a, *matrix;
    int8_t *b;
    const float *a_scale, *b_scale, *init;
};

static struct product product(size_t rows, size_t k, size_t n, bool each)
{
    struct product p = {.rows = rows, .k = k, .n = n, .k4 = (k + 3) / 4, .init_stride = each ? vqr_padded(n) + 1 : 0};
    int8_t *a = int8s(rows * 4 * p.k4);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = k; i < 4 * p.k4; i++)
            a[r * 4 * p.k4 + i] = 0;
    p.a = a;
    p.matrix = int8s(k * n);
    p.b = check_input(p.k4 * 4 * vqr_padded(n), 1);
    memset(p.b, 0, p.k4 * 4 * vqr_padded(n));
    for (size_t i = 0; i < k; i++)
        for (size_t o = 0; o < n; o++)
            p.b[((o / 16 * p.k4 + i / 4) * 16 + o % 16) * 4 + i % 4] = p.matrix[i * n + o];
    p.a_scale = steps(rows);
    p.b_scale = steps(vqr_padded(n));
    p.init = check_below(4) ? check_floats(check_extent(rows, p.init_stride, vqr_padded(n)), FILL_UNIT) : NULL;
    return p;
}

/* Of row r and output o, in double, and how far fp32 may be from it. */
static double score(const struct product *p, size_t r, size_t o, double *bound)
{
    double sum = 0.0; /* exact */
    for (size_t i = 0; i < p->k; i++)
        sum += (double)p->a[r * 4 * p->k4 + i] * (double)p->matrix[i * p->n + o];
    const double init = p->init ? (double)p->init[r * p->init_stride + o] : 0.0;
    const double scaled = sum * (double)p->a_scale[r] * (double)p->b_scale[o];
    *bound = 4.0 * u * (fabs(scaled) + fabs(init));
    return scaled + init;
}

static bool gemm_sums(const struct vqr_kernels *ref, size_t rows, size_t k, size_t n, bool each)
{
    check_case("gemm_i8 rows %zu k %zu n %zu, rows %s", rows, k, n, each ? "start apart" : "start alike");
    const struct product p = product(rows, k, n, each);
    const size_t stride = vqr_padded(n) + 3;
    float *c = check_input(rows * stride, sizeof *c);
    ref->gemm_i8(c, stride, p.a, 4 * p.k4, p.a_scale, rows, p.b, p.b_scale, p.k4, vqr_panels(n), p.init, p.init_stride);
    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < n; o++) {
            double bound;
            const double want = score(&p, r, o, &bound);
            if (!check_near("c", r, o, c[r * stride + o], want, bound))
                return false;
        }
    return true;
}

/* No codeword's score in double precision may exceed the chosen one's by more than both their bounds. */
static bool quantize_sums(const struct vqr_kernels *ref, size_t rows, size_t k, size_t codewords, bool each)
{
    check_case("quantize_i8 rows %zu k %zu codewords %zu, rows %s", rows, k, codewords,
               each ? "start apart" : "start alike");
    const struct product p = product(rows, k, codewords, each);
    uint32_t *z = check_input(rows, sizeof *z);
    ref->quantize_i8(z, p.a, 4 * p.k4, p.a_scale, rows, p.b, p.b_scale, p.k4, p.init, p.init_stride, codewords);
    for (size_t r = 0; r < rows; r++) {
        double highest = -INFINITY, chosen = -INFINITY, bound;
        for (size_t w = 0; w < codewords; w++) {
            const double s = score(&p, r, w, &bound);
            highest = fmax(highest, s - bound);
            if (w == z[r])
                chosen = s + bound;
        }
        if (!check_that(z[r] < codewords && chosen >= highest, "row %zu: codeword %u is not the best", r, z[r]))
            return false;
    }
    return true;
}

/* ---- attention ---- */

static bool attention_sums(const struct vqr_kernels *ref, size_t rows, size_t tokens, size_t qk_dim, size_t v_dim)
{
    check_case("attention_i8 rows %zu tokens %zu qk_dim %zu v_dim %zu", rows, tokens, qk_dim, v_dim);
    const size_t padded = vqr_padded(tokens), stride = vqr_padded(v_dim);
    const float alpha = check_unit();
    const int8_t *keys = int8s(tokens * qk_dim), *values = int8s(tokens * v_dim);
    const float *v_scale = steps(padded), *bias = check_below(2) ? check_floats(padded, FILL_UNIT) : NULL;
    float *q = check_floats(rows * qk_dim, FILL_UNIT), *o = check_input(rows * stride, sizeof *o);
    float *w = check_input(rows * padded, sizeof *w);
    float *scratch = check_input(VQR_ATTENTION_ROWS * padded, sizeof *scratch);
    int8_t *k = check_input(padded * qk_dim, 1), *v = check_input(tokens * stride, 1);
    memset(k, 0, padded * qk_dim);
    memset(v, 0, tokens * stride);
    for (size_t j = 0; j < tokens; j++) {
        for (size_t i = 0; i < qk_dim; i++)
            k[(j / 16 * qk_dim + i) * 16 + j % 16] = keys[j * qk_dim + i];
        for (size_t d = 0; d < v_dim; d++)
            v[(d / 16 * tokens + j) * 16 + d % 16] = values[j * v_dim + d];
    }
    for (size_t i = 0; i < rows * qk_dim; i++)
        q[i] *= 0.02f;
    ref->softmax_attention_i8(o, stride, q, qk_dim, rows, k, v, v_scale, tokens, qk_dim, v_dim, bias, alpha, scratch);
    ref->softmax_weights_i8(w, padded, q, qk_dim, rows, k, tokens, qk_dim, bias, alpha);
    double *e = check_input(tokens, sizeof *e);
    for (size_t r = 0; r < rows; r++) {
        double total = 0.0, worst = 0.0;
        for (size_t j = 0; j < tokens; j++) {
            double sum = 0.0, size = 0.0;
            for (size_t i = 0; i < qk_dim; i++) {
                const double term = (double)q[r * qk_dim + i] * (double)keys[j * qk_dim + i];
                sum += term;
                size += fabs(term);
            }
            const double b = bias ? (double)bias[j] : 0.0, s = (double)alpha * sum + b;
            /* Its chain and its fma, and the subtraction of the largest. */
            worst = fmax(worst, (double)(qk_dim + 2) * u * (fabs((double)alpha) * size + fabs(b)) + 2.0 * u * fabs(s));
            total += e[j] = exp(s);
        }
        /* A weight's relative error is twice that of its score's exponent (itself and the sum), and the roundings. */
        const double relative = 1.01 * (2.0 * worst + (double)(2 * tokens + 13) * u);
        for (size_t j = 0; j < tokens; j++)
            if (!check_near("w", r, j, w[r * padded + j], e[j] / total, relative * e[j] / total))
                return false;
        for (size_t d = 0; d < v_dim; d++) {
            double sum = 0.0, size = 0.0;
            for (size_t j = 0; j < tokens; j++) {
                const double term = e[j] / total * (double)v_scale[j] * (double)values[j * v_dim + d];
                sum += term;
                size += fabs(term);
            }
            if (!check_near("o", r, d, o[r * stride + d], sum, relative * size))
                return false;
        }
    }
    return true;
}

/* ---- embeddings ---- */

static bool embed_sums(const struct vqr_kernels *ref, size_t rows, size_t dim)
{
    enum { TABLE = 8 };
    check_case("embed_i8 rows %zu dim %zu", rows, dim);
    const int8_t *table = int8s(TABLE * dim);
    const float *scale = steps(TABLE), *start = check_floats(dim, FILL_UNIT);
    uint32_t *index = check_input(rows, sizeof *index);
    float *dst = check_input(rows * dim, sizeof *dst), *sums = check_input(dim, sizeof *sums);
    for (size_t r = 0; r < rows; r++)
        index[r] = (uint32_t)check_below(TABLE);
    memcpy(sums, start, dim * sizeof *sums);
    if (!check_that(ref->embed_i8(dst, dim, table, scale, dim, index, rows, 2.0f) == rows &&
                        ref->embed_add_i8(sums, table, scale, dim, index, rows, 2.0f) == rows,
                    "all rows are good"))
        return false;
    for (size_t i = 0; i < dim; i++) {
        double sum = (double)start[i], size = fabs(sum);
        for (size_t r = 0; r < rows; r++) {
            const double want = (double)table[index[r] * dim + i] * (double)scale[index[r]]; /* exact in double */
            if (!check_near("dst", r, i, dst[r * dim + i], (double)(float)want, 0.0))
                return false;
            sum += want;
            size += fabs(want);
        }
        if (!check_near("sums", 0, i, sums[i], sum, (double)(rows + 1) * u * size))
            return false;
    }
    return true;
}

static bool embed_cases(const struct vqr_kernels *ref)
{
    check_case("embed_i8: -128, a limit, scales that are none");
    const int8_t table[] = {127, -3, -128, 1, 4, 2, 1, 1};
    const float scale[] = {0.5f, 0.5f, -1.0f, INFINITY}, want[] = {63.5f, -1.5f};
    const uint32_t index[] = {0, 1, 2, 3};
    float dst[2];
    if (!check_that(ref->embed_i8(dst, 2, table, scale, 2, index, 1, 63.5f) == 1 && memcmp(dst, want, sizeof dst) == 0,
                    "want 63.5, -1.5, got %g, %g", (double)dst[0], (double)dst[1]) ||
        !check_that(ref->embed_i8(dst, 2, table, scale, 2, index, 1, 63.0f) == 0, "63.5 exceeds the limit"))
        return false;
    for (size_t r = 1; r < 4; r++)
        if (!check_that(ref->embed_i8(dst, 2, table, scale, 2, index + r, 1, FLT_MAX) == 0 &&
                            ref->embed_add_i8(dst, table, scale, 2, index + r, 1, FLT_MAX) == 0,
                        "row %zu is not good", r))
            return false;
    return true;
}

bool check_reference_int8(const struct vqr_kernels *ref)
{
    for (size_t n = 1; n <= 40; n++)
        if (!rows_to_int8(ref, 3, n) || !columns_to_int8(ref, n, 1 + check_below(20)) ||
            !gemm_sums(ref, 1 + check_below(4), n, 1 + check_below(40), n % 2) ||
            !quantize_sums(ref, 1 + check_below(4), n, 1 + check_below(40), n % 2) ||
            !attention_sums(ref, 1 + check_below(4), n, 1 + check_below(20), 1 + check_below(20)) ||
            !embed_sums(ref, check_below(6), n))
            return false;
    return gemm_sums(ref, 2, 3000, 17, true) && to_int8_cases(ref) && embed_cases(ref);
}
