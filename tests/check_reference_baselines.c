/* The reference kernels of hashed events and of causal attention: against double precision, and cases by hand. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "check.h"

static const double u = FLT_EPSILON / 2;

/* ---- sign_codes ---- */

static bool sign_cases(const struct vqr_kernels *ref)
{
    check_case("sign_codes: bit b is x[b] >= 0, of -0 too, of NaN not");
    const float x[] = {1, -1, 0, -0.0f, NAN, INFINITY, -INFINITY, -0x1p-149f, 99, -1, 2, -3, 4, -5, 6, -7, 8};
    uint32_t z[] = {9, 9, 9};
    ref->sign_codes_f32(z, x, 9, 2, 8);
    return check_that(z[0] == 0x2d && z[1] == 0xaa && z[2] == 9, "z: %#x %#x %u", z[0], z[1], z[2]);
}

/* ---- unit_rows ---- */

static bool unit_sums(const struct vqr_kernels *ref, size_t n, enum check_fill fill)
{
    check_case("unit_rows n %zu fill %d", n, fill);
    const float *x = check_floats(n, fill);
    float *y = check_input(n, sizeof *y);
    long double squares = 0, length = 0;
    for (size_t i = 0; i < n; i++)
        squares += (long double)x[i] * (long double)x[i];
    ref->unit_rows_f32(y, n, x, n, 1, n);
    for (size_t i = 0; i < n; i++) {
        const double want = squares > 0 ? (double)((long double)x[i] / sqrtl(squares)) : 0.0;
        /* In double all but the last rounding cost nothing that shows, half a unit of which is 2^-150 below 2^-126. */
        if (!check_near("y", 0, i, y[i], want, 1.001 * u * fabs(want) + 0x1p-150))
            return false;
        length += (long double)y[i] * (long double)y[i];
    }
    return check_that(squares == 0 || fabsl(length - 1) <= 4 * u, "a row of length^2 %Lg", length);
}

static bool unit_cases(const struct vqr_kernels *ref)
{
    check_case("unit_rows: 3, 4 -> 3/5, 4/5; zeros of either sign -> 0; squares that fp32 does not hold");
    const float x[] = {3, 4, -0.0f, 0, -3 * 0x1p125f, 4 * 0x1p125f, 3 * 0x1p-149f, -4 * 0x1p-149f};
    const float want[] = {0.6f, 0.8f, 0, 0, -0.6f, 0.8f, 0.6f, -0.8f};
    float y[8];
    ref->unit_rows_f32(y, 2, x, 2, 4, 2);
    for (size_t i = 0; i < 8; i++)
        if (!check_that(check_equal_f32(y[i], want[i]), "y[%zu]: want %a, got %a", i, (double)want[i], (double)y[i]))
            return false;
    return true;
}

/* ---- hstu_causal_attention ---- */

/* Rows first ... first + rows against double; tokens after them hold values that would show. */
static bool causal_sums(const struct vqr_kernels *ref, size_t first, size_t rows, size_t after, size_t qk_dim,
                        size_t v_dim)
{
    check_case("hstu_causal first %zu rows %zu after %zu qk_dim %zu v_dim %zu", first, rows, after, qk_dim, v_dim);
    const size_t end = first + rows, tokens = end + after, stride = vqr_padded(v_dim), padded = vqr_padded(tokens);
    const float alpha = 4.0f * check_unit(), norm = 1.0f / (float)tokens;
    const float *q = check_floats(rows * qk_dim, FILL_UNIT);
    float *k = check_floats(tokens * qk_dim, FILL_UNIT), *v = check_floats(tokens * v_dim, FILL_UNIT);
    const float *bias = check_below(2) ? check_floats(rows * padded, FILL_UNIT) : NULL;
    for (size_t i = end * qk_dim; i < tokens * qk_dim; i++)
        k[i] = NAN;
    for (size_t i = end * v_dim; i < tokens * v_dim; i++)
        v[i] = NAN;
    float *packed_k = check_input(qk_dim * padded, sizeof(float)),
          *packed_v = check_input(tokens * stride, sizeof(float));
    float *scratch = check_input(VQR_ATTENTION_ROWS * padded, sizeof(float)),
          *o = check_input(rows * stride, sizeof(float));
    ref->pack_transposed_f32(packed_k, k, qk_dim, qk_dim, tokens);
    ref->pack_f32(packed_v, v, v_dim, tokens, v_dim);
    ref->hstu_causal_attention_f32(o, stride, q, qk_dim, first, rows, packed_k, packed_v, tokens, qk_dim, v_dim, bias,
                                   padded, alpha, norm, scratch);
    for (size_t r = 0; r < rows; r++)
        for (size_t d = 0; d < v_dim; d++) {
            double sum = 0.0, bound = 0.0;
            for (size_t j = 0; j <= first + r; j++) {
                double dot = 0.0, size = 0.0;
                for (size_t i = 0; i < qk_dim; i++) {
                    dot += (double)q[r * qk_dim + i] * (double)k[j * qk_dim + i];
                    size += fabs((double)q[r * qk_dim + i] * (double)k[j * qk_dim + i]);
                }
                const double b = bias ? (double)bias[r * padded + j] : 0.0, s = (double)alpha * dot + b;
                const double silu = s / (1.0 + exp(-s)), value = (double)v[j * v_dim + d] * (double)norm;
                const double score_bound = (double)(qk_dim + 2) * u * (fabs((double)alpha) * size + fabs(b));
                sum += silu * value;
                /* As hstu_attention: SiLU's slope is at most 1.1; exp, +, /, * round once each, exp twice. */
                bound += fabs(value) * (1.1 * score_bound + (double)(end + 6) * u * fabs(silu));
            }
            if (!check_near("o", r, d, o[r * stride + d], sum, bound))
                return false;
        }
    return true;
}

/* One query that sees all is a row of the attention without order. */
static bool causal_cases(const struct vqr_kernels *ref)
{
    check_case("hstu_causal: a block's later token is in the chain, with weight 0");
    /* Row 0 sees value -2^-149 by a weight whose product rounds to -0; token 1's product with weight 0 makes it 0. */
    float q[VQR_LANES] = {0}, k[VQR_LANES] = {0}, v[2 * VQR_LANES] = {0}, scratch[VQR_ATTENTION_ROWS * VQR_LANES];
    float o[2 * VQR_LANES];
    const float bias[2 * VQR_LANES] = {1, 7, [VQR_LANES] = 1, 1};
    v[0] = -0x1p-149f;
    ref->hstu_causal_attention_f32(o, VQR_LANES, q, 1, 0, 1, k, v, 2, 1, 1, bias, VQR_LANES, 1.0f, 0.25f, scratch);
    if (!check_that(check_equal_f32(o[0], -0.0f), "alone: %a", (double)o[0]))
        return false;
    ref->hstu_causal_attention_f32(o, VQR_LANES, q, 1, 0, 2, k, v, 2, 1, 1, bias, VQR_LANES, 1.0f, 0.25f, scratch);
    return check_that(check_equal_f32(o[0], 0.0f), "in a block: %a", (double)o[0]);
}

bool check_reference_baselines(const struct vqr_kernels *ref)
{
    for (size_t n = 1; n <= 40; n++)
        for (int fill = 0; fill < FILL_SPECIAL; fill++)
            if (!unit_sums(ref, n, (enum check_fill)fill))
                return false;
    for (size_t first = 0; first <= 40; first += 1 + check_below(4))
        for (size_t rows = 1; rows <= VQR_ATTENTION_ROWS; rows++) {
            const size_t qk_dim = 1 + check_below(20), v_dim = 1 + check_below(20);
            if (!causal_sums(ref, first, rows, check_below(20), qk_dim, v_dim))
                return false;
        }
    return sign_cases(ref) && unit_cases(ref) && causal_cases(ref);
}
