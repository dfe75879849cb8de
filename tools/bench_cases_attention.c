/* Attention of 128 tokens, a codebook's clusters: heads of 16 as the workloads have them, and of 64. A case is one
 * call: one head. */
#include <math.h>

#include "bench_kernels.h"
#include "runtime/sequence.h"

enum { TOKENS = 128, ROWS = VQR_CANDIDATE_BLOCK };

static const size_t dims[] = {16, 64};
enum { DIMS = sizeof dims / sizeof *dims };

/* Queries [rows, k], keys and values of `element` bytes, biases; a product a score, one a weight. */
static struct bench_work attention_work(size_t rows, size_t pairs, size_t dim, size_t element, size_t bias, bool values)
{
    const size_t both = values ? 2 : 1, out = values ? rows * dim : rows * TOKENS;
    const double bytes = (double)(sizeof(float) * (rows * dim + out + bias) + element * both * TOKENS * dim);
    return (struct bench_work){.flops = 2.0 * (double)(both * pairs * dim),
                               .exps = (double)pairs,
                               .bytes = bytes,
                               .set = bytes + VQR_ATTENTION_ROWS * TOKENS * sizeof(float)};
}

/* Inputs of one head in fp32; `rows` queries. c is the bias. */
static struct bench_args head_args(struct bench_kernels *bench, size_t rows, size_t dim, size_t bias)
{
    return (struct bench_args){.rows = rows,
                               .k = dim,
                               .a = bench_floats(bench, rows * dim, -1, 1),
                               .b = bench_floats(bench, TOKENS * dim, -1, 1),
                               .c = bench_floats(bench, bias, -1, 1),
                               .d = bench_floats(bench, TOKENS * dim, -1, 1),
                               .scratch = bench_room(bench, VQR_ATTENTION_ROWS * TOKENS * sizeof(float)),
                               .out = bench_room(bench, rows * dim * sizeof(float)),
                               .out_bytes = rows * dim * sizeof(float)};
}

static float alpha_of(const struct bench_args *a)
{
    return 1.0f / sqrtf((float)a->k);
}

BENCH_RUN(hstu_attention_f32, a->out, a->k, a->a, a->k, a->b, a->d, TOKENS, a->k, a->k, a->c, TOKENS, alpha_of(a),
          1.0f / TOKENS, a->scratch)

void bench_hstu_attention_f32(struct bench_kernels *bench)
{
    for (size_t i = 0; i < DIMS; i++) {
        const struct bench_args args = head_args(bench, TOKENS, dims[i], TOKENS * TOKENS);
        const struct bench_work work =
            attention_work(TOKENS, TOKENS * TOKENS, dims[i], sizeof(float), TOKENS * TOKENS, true);
        bench_case(bench, run_hstu_attention_f32, &args, &work, "tokens %d, head of %zu", TOKENS, dims[i]);
    }
}

enum { CAUSAL_ROWS = VQR_ATTENTION_ROWS, CAUSAL_FIRST = TOKENS - CAUSAL_ROWS };

BENCH_RUN(hstu_causal_attention_f32, a->out, a->k, a->a, a->k, CAUSAL_FIRST, a->rows, a->b, a->d, TOKENS, a->k, a->k,
          a->c, TOKENS, alpha_of(a), 1.0f / TOKENS, a->scratch)

void bench_hstu_causal_attention_f32(struct bench_kernels *bench)
{
    const size_t pairs = CAUSAL_ROWS * CAUSAL_FIRST + CAUSAL_ROWS * (CAUSAL_ROWS + 1) / 2;
    for (size_t i = 0; i < DIMS; i++) {
        const struct bench_args args = head_args(bench, CAUSAL_ROWS, dims[i], CAUSAL_ROWS * TOKENS);
        const struct bench_work work =
            attention_work(CAUSAL_ROWS, pairs, dims[i], sizeof(float), CAUSAL_ROWS * TOKENS, true);
        bench_case(bench, run_hstu_causal_attention_f32, &args, &work, "last %d of %d tokens, head of %zu", CAUSAL_ROWS,
                   TOKENS, dims[i]);
    }
}

enum { HEADS = 4 };

BENCH_RUN(softmax_attention_f32, a->out, a->n, a->a, a->n, a->rows, HEADS, a->b, TOKENS * a->k, a->d, TOKENS * a->k,
          TOKENS, a->k, a->k, NULL, alpha_of(a), a->scratch)

void bench_softmax_attention_f32(struct bench_kernels *bench)
{
    static const size_t row_counts[] = {1, ROWS};
    for (size_t i = 0; i < DIMS; i++)
        for (size_t j = 0; j < 2; j++) {
            const size_t rows = row_counts[j], width = HEADS * dims[i];
            const struct bench_args args = {.rows = rows,
                                            .k = dims[i],
                                            .n = width,
                                            .a = bench_floats(bench, rows * width, -1, 1),
                                            .b = bench_floats(bench, TOKENS * width, -1, 1),
                                            .d = bench_floats(bench, TOKENS * width, -1, 1),
                                            .scratch = bench_room(bench, VQR_ATTENTION_ROWS * TOKENS * sizeof(float)),
                                            .out = bench_room(bench, rows * width * sizeof(float)),
                                            .out_bytes = rows * width * sizeof(float)};
            struct bench_work work = attention_work(rows, rows * TOKENS, dims[i], sizeof(float), 0, true);
            work.flops *= HEADS, work.exps *= HEADS, work.bytes *= HEADS, work.set *= HEADS;
            bench_case(bench, run_softmax_attention_f32, &args, &work, "rows %zu, tokens %d, %d heads of %zu", rows,
                       TOKENS, HEADS, dims[i]);
        }
}

BENCH_RUN(softmax_weights_f32, a->out, TOKENS, a->a, a->k, a->rows, a->b, TOKENS, a->k, NULL, alpha_of(a))

void bench_softmax_weights_f32(struct bench_kernels *bench)
{
    for (size_t i = 0; i < DIMS; i++) {
        struct bench_args args = head_args(bench, 1, dims[i], 0);
        args.out = bench_room(bench, TOKENS * sizeof(float));
        args.out_bytes = TOKENS * sizeof(float);
        const struct bench_work work = attention_work(1, TOKENS, dims[i], sizeof(float), 0, false);
        bench_case(bench, run_softmax_weights_f32, &args, &work, "rows 1, tokens %d, head of %zu", TOKENS, dims[i]);
    }
}

/* The same to keys and values of int8, whose products are of floats all the same. */
static struct bench_args int8_args(struct bench_kernels *bench, size_t rows, size_t dim, size_t out)
{
    return (struct bench_args){.rows = rows,
                               .k = dim,
                               .a = bench_floats(bench, rows * dim, -0.01f, 0.01f),
                               .b = bench_int8(bench, TOKENS * dim),
                               .c = bench_floats(bench, TOKENS, 0.01f, 1),
                               .d = bench_int8(bench, TOKENS * dim),
                               .scratch = bench_room(bench, VQR_ATTENTION_ROWS * TOKENS * sizeof(float)),
                               .out = bench_room(bench, rows * out * sizeof(float)),
                               .out_bytes = rows * out * sizeof(float)};
}

BENCH_RUN(softmax_attention_i8, a->out, a->k, a->a, a->k, a->rows, a->b, a->d, a->c, TOKENS, a->k, a->k, NULL,
          alpha_of(a), a->scratch)

void bench_softmax_attention_i8(struct bench_kernels *bench)
{
    for (size_t i = 0; i < DIMS; i++) {
        const struct bench_args args = int8_args(bench, ROWS, dims[i], dims[i]);
        const struct bench_work work = attention_work(ROWS, ROWS * TOKENS, dims[i], 1, TOKENS, true);
        bench_case(bench, run_softmax_attention_i8, &args, &work, "rows %d, tokens %d, head of %zu", ROWS, TOKENS,
                   dims[i]);
    }
}

BENCH_RUN(softmax_weights_i8, a->out, TOKENS, a->a, a->k, a->rows, a->b, TOKENS, a->k, NULL, alpha_of(a))

void bench_softmax_weights_i8(struct bench_kernels *bench)
{
    for (size_t i = 0; i < DIMS; i++) {
        const struct bench_args args = int8_args(bench, 1, dims[i], TOKENS);
        const struct bench_work work = attention_work(1, TOKENS, dims[i], 1, 0, false);
        bench_case(bench, run_softmax_weights_i8, &args, &work, "rows 1, tokens %d, head of %zu", TOKENS, dims[i]);
    }
}

/* ---- top ---- */

/* The second scratch lies after the first. */
BENCH_RUN(top_f32, a->out, a->a, a->n, a->k, a->scratch, (uint32_t *)a->scratch + vqr_padded(a->n))

void bench_top_f32(struct bench_kernels *bench)
{
    static const size_t counts[] = {128, 10000};
    for (size_t i = 0; i < 2; i++) {
        const size_t n = counts[i], top = 64;
        const struct bench_args args = {.k = top,
                                        .n = n,
                                        .a = bench_floats(bench, n, -1, 1),
                                        .scratch = bench_room(bench, 2 * vqr_padded(n) * sizeof(float)),
                                        .out = bench_room(bench, top * sizeof(uint32_t)),
                                        .out_bytes = top * sizeof(uint32_t)};
        const double bytes = (double)(sizeof(float) * (n + top));
        const struct bench_work work = {.bytes = bytes, .set = 3 * bytes};
        bench_case(bench, run_top_f32, &args, &work, "the %zu largest of %zu", top, n);
    }
}
