/* What is done to rows number by number, sums of clusters, and rows of tables. */
#include <float.h>

#include "bench_kernels.h"
#include "runtime/sequence.h"

enum { BLOCK = VQR_EVENT_BLOCK, WIDTH = 64, CODEBOOKS = 4, CLUSTERS = 128, WIDEST = 256 };

static struct bench_work bytes_work(double flops, double bytes)
{
    return (struct bench_work){.flops = flops, .bytes = bytes, .set = bytes};
}

/* ---- sums of clusters ---- */

/* Sums grow from call to call, 2^20 at a time at most: 64 bits hold as many as there is time for. */
BENCH_RUN(accumulate_f32, a->out, a->more, CODEBOOKS, CLUSTERS, a->a, a->n, a->rows, a->n, a->b, a->c, BLOCK, 1)

void bench_accumulate_f32(struct bench_kernels *bench)
{
    const size_t n = BLOCK * WIDTH, sums = CODEBOOKS * CLUSTERS * WIDTH * sizeof(int64_t);
    const size_t counts = CODEBOOKS * CLUSTERS * sizeof(uint32_t);
    struct bench_args args = {.rows = BLOCK,
                              .n = WIDTH,
                              .a = bench_floats(bench, n, -4, 4),
                              .b = bench_floats(bench, WIDTH, 0x1p18f, 0x1p18f),
                              .c = bench_numbers(bench, CODEBOOKS * BLOCK, 0, CLUSTERS),
                              .out = bench_room(bench, sums + counts),
                              .out_bytes = sums + counts};
    args.more = (int64_t *)args.out + (args.out != NULL ? CODEBOOKS * CLUSTERS * WIDTH : 0);
    /* What is written lies where it was read to. */
    const double bytes =
        (double)(n * (sizeof(float) + CODEBOOKS * sizeof(int64_t)) + CODEBOOKS * BLOCK * 2 * sizeof(uint32_t));
    const struct bench_work work = {.flops = (double)n,
                                    .bytes = bytes,
                                    .set = (double)(sums + counts + n * sizeof(float))};
    bench_case(bench, run_accumulate_f32, &args, &work, "rows %d, width %d, clusters %d x %d", BLOCK, WIDTH, CODEBOOKS,
               CLUSTERS);
}

BENCH_RUN(cluster_mean_f32, a->out, a->n, a->a, a->b, a->c, a->rows, a->n, a->d)

void bench_cluster_mean_f32(struct bench_kernels *bench)
{
    const size_t n = CLUSTERS * WIDTH;
    uint32_t *tokens = bench_numbers(bench, CLUSTERS, 0, 1);
    for (uint32_t i = 0; tokens != NULL && i < CLUSTERS; i++)
        tokens[i] = i;
    const struct bench_args args = {.rows = CLUSTERS,
                                    .n = WIDTH,
                                    .a = bench_numbers(bench, 2 * n, 0, 1u << 10), /* of 64 bits each */
                                    .b = bench_numbers(bench, CLUSTERS, 1, 200),
                                    .c = tokens,
                                    .d = bench_doubles(bench, WIDTH, 0x1p-18, 0x1p-18),
                                    .out = bench_room(bench, n * sizeof(float)),
                                    .out_bytes = n * sizeof(float)};
    const struct bench_work work = bytes_work(2.0 * (double)n, 12.0 * (double)n);
    bench_case(bench, run_cluster_mean_f32, &args, &work, "tokens %d, width %d", CLUSTERS, WIDTH);
}

enum { HEADS = 2, V_DIM = 16 };

BENCH_RUN(accumulate_decayed_f64, a->out, a->more, a->a, a->n, a->rows, HEADS, V_DIM, a->c, a->b)

void bench_accumulate_decayed_f64(struct bench_kernels *bench)
{
    const size_t n = BLOCK * HEADS * V_DIM, sums = CLUSTERS * HEADS * V_DIM, counts = CLUSTERS * HEADS;
    struct bench_args args = {.rows = BLOCK,
                              .n = HEADS * V_DIM,
                              .a = bench_floats(bench, n, -1, 1),
                              .b = bench_numbers(bench, BLOCK, 0, CLUSTERS),
                              .c = bench_doubles(bench, BLOCK * HEADS, 0, 1),
                              .out = bench_room(bench, (sums + counts) * sizeof(double)),
                              .out_bytes = (sums + counts) * sizeof(double)};
    args.more = (double *)args.out + (args.out != NULL ? sums : 0);
    const double bytes = (double)(n * (sizeof(float) + 2 * sizeof(double)));
    const struct bench_work work = {.flops = 2.0 * (double)n, .bytes = bytes, .set = (double)args.out_bytes};
    bench_case(bench, run_accumulate_decayed_f64, &args, &work, "rows %d, %d heads of %d", BLOCK, HEADS, V_DIM);
}

BENCH_RUN(scale_f64, a->out, a->a, a->rows, HEADS, V_DIM)

void bench_scale_f64(struct bench_kernels *bench)
{
    const size_t n = CLUSTERS * HEADS * V_DIM;
    const struct bench_args args = {.rows = CLUSTERS,
                                    .a = bench_doubles(bench, HEADS, 1, 1), /* so that sums stay what they are */
                                    .out = bench_doubles(bench, n, -1, 1),
                                    .out_bytes = n * sizeof(double)};
    const struct bench_work work = {.flops = (double)n, .bytes = 16.0 * (double)n, .set = 8.0 * (double)n};
    bench_case(bench, run_scale_f64, &args, &work, "rows %d, %d heads of %d", CLUSTERS, HEADS, V_DIM);
}

/* ---- norm ---- */

BENCH_RUN(layer_norm_f32, a->out, a->n, a->a, a->n, a->rows, a->n, 1e-5f, a->b, a->c)

/* A number is added, squared and added, normalized with two operations, scaled and shifted: 8. */
void bench_layer_norm_f32(struct bench_kernels *bench)
{
    const size_t n = CLUSTERS * WIDTH;
    const struct bench_args args = {.rows = CLUSTERS,
                                    .n = WIDTH,
                                    .a = bench_floats(bench, n, -1, 1),
                                    .b = bench_floats(bench, WIDTH, 0.5f, 1.5f),
                                    .c = bench_floats(bench, WIDTH, -1, 1),
                                    .out = bench_room(bench, n * sizeof(float)),
                                    .out_bytes = n * sizeof(float)};
    const struct bench_work work = bytes_work(8.0 * (double)n, 8.0 * (double)n);
    bench_case(bench, run_layer_norm_f32, &args, &work, "rows %d, n %d", CLUSTERS, WIDTH);
}

BENCH_RUN(unit_rows_f32, a->out, a->n, a->a, a->n, a->rows, a->n)

void bench_unit_rows_f32(struct bench_kernels *bench)
{
    const size_t n = BLOCK * WIDTH;
    const struct bench_args args = {.rows = BLOCK,
                                    .n = WIDTH,
                                    .a = bench_floats(bench, n, -1, 1),
                                    .out = bench_room(bench, n * sizeof(float)),
                                    .out_bytes = n * sizeof(float)};
    const struct bench_work work = bytes_work(3.0 * (double)n, 8.0 * (double)n);
    bench_case(bench, run_unit_rows_f32, &args, &work, "rows %d, n %d", BLOCK, WIDTH);
}

/* ---- number by number ---- */

/* y = f(a, b, c, d) over n numbers of `element` bytes, of which `inputs` arrays are read. */
static void elementwise_case(struct bench_kernels *bench, bench_run_fn *run, struct bench_args *args, size_t element,
                             size_t inputs, double flops, double exps)
{
    const double n = (double)args->n;
    const struct bench_work work = {.flops = flops * n,
                                    .exps = exps * n,
                                    .bytes = n * (double)((inputs + 1) * element),
                                    .set = n * (double)((inputs + 1) * element)};
    args->out = bench_room(bench, args->n * element);
    args->out_bytes = args->n * element;
    bench_case(bench, run, args, &work, "n %zu", args->n);
}

/* Functions of one number. Where neither operations nor exponentials are counted, the bytes tell how many numbers. */
#define FUNCTION(name, low, high, flops, exps)                                               \
    BENCH_RUN(name, a->out, a->a, a->n)                                                      \
    void bench_##name(struct bench_kernels *bench)                                           \
    {                                                                                        \
        struct bench_args args = {.n = WIDEST, .a = bench_floats(bench, WIDEST, low, high)}; \
        elementwise_case(bench, run_##name, &args, sizeof(float), 1, flops, exps);           \
    }

FUNCTION(exp_f32, -8, 0, 0, 1)
FUNCTION(log_f32, 1, 1000, 0, 0)
FUNCTION(tanh_f32, -4, 4, 0, 0)
FUNCTION(silu_f32, -4, 4, 0, 1)
FUNCTION(sigmoid_f32, -4, 4, 0, 1)
FUNCTION(relu_f32, -4, 4, 1, 0)
FUNCTION(gelu_f32, -4, 4, 0, 0)
FUNCTION(leaky_relu_f32, -4, 4, 1, 0)

#define FUNCTION64(name, low, high)                                                           \
    BENCH_RUN(name, a->out, a->a, a->n)                                                       \
    void bench_##name(struct bench_kernels *bench)                                            \
    {                                                                                         \
        struct bench_args args = {.n = WIDEST, .a = bench_doubles(bench, WIDEST, low, high)}; \
        elementwise_case(bench, run_##name, &args, sizeof(double), 1, 0, 0);                  \
    }

FUNCTION64(exp_f64, -8, 0)
FUNCTION64(log_f64, 1, 1000)

/* Numbers with one of their own each: `a` and others. */
static struct bench_args arrays(struct bench_kernels *bench, size_t n)
{
    return (struct bench_args){.n = n,
                               .a = bench_floats(bench, n, -4, 4),
                               .b = bench_floats(bench, n, -1, 1),
                               .c = bench_floats(bench, n, 0.5f, 1.5f),
                               .d = bench_floats(bench, n, 0, 1)};
}

#define ARRAYS(name, inputs, flops, exps, ...)                                          \
    BENCH_RUN(name, a->out, __VA_ARGS__, a->n)                                          \
    void bench_##name(struct bench_kernels *bench)                                      \
    {                                                                                   \
        struct bench_args args = arrays(bench, WIDEST);                                 \
        elementwise_case(bench, run_##name, &args, sizeof(float), inputs, flops, exps); \
    }

ARRAYS(mul_f32, 2, 1, 0, a->a, a->b)
ARRAYS(add_f32, 2, 1, 0, a->a, a->b)
ARRAYS(prelu_f32, 2, 1, 0, a->a, a->d)
ARRAYS(dice_f32, 4, 0, 1, a->a, a->b, a->c, a->d)

BENCH_RUN(scale_columns_f32, a->out, a->n, a->rows, a->n, a->a)

void bench_scale_columns_f32(struct bench_kernels *bench)
{
    const size_t n = CLUSTERS * WIDTH;
    const struct bench_args args = {.rows = CLUSTERS,
                                    .n = WIDTH,
                                    .a = bench_floats(bench, WIDTH, 1, 1), /* so that rows stay what they are */
                                    .out = bench_floats(bench, n, -1, 1),
                                    .out_bytes = n * sizeof(float)};
    const struct bench_work work = {.flops = (double)n, .bytes = 8.0 * (double)n, .set = 4.0 * (double)n};
    bench_case(bench, run_scale_columns_f32, &args, &work, "rows %d, n %d", CLUSTERS, WIDTH);
}

static void run_finite_f32(const struct vqr_kernels *kernels, const struct bench_args *a)
{
    *(int *)a->out = kernels->finite_f32(a->a, a->n);
}

void bench_finite_f32(struct bench_kernels *bench)
{
    const struct bench_args args = {.n = CLUSTERS * WIDTH,
                                    .a = bench_floats(bench, CLUSTERS * WIDTH, -1, 1),
                                    .out = bench_room(bench, sizeof(int)),
                                    .out_bytes = sizeof(int)};
    const struct bench_work work = bytes_work(0, (double)(args.n * sizeof(float)));
    bench_case(bench, run_finite_f32, &args, &work, "n %zu", args.n);
}

/* ---- rows of tables ---- */

/* paper's table of items; a call takes a block of events, and blocks come from all over the table. */
enum { ITEMS = 10000, DIM = 32, EVENTS = 100 * BLOCK };

/* Of `count` rows each: an element read, an index, an element written. */
static void embed_case(struct bench_kernels *bench, bench_run_fn *run, bool int8, size_t count, size_t written)
{
    const struct bench_args args = {.rows = count,
                                    .n = DIM,
                                    .a = int8 ? (void *)bench_int8(bench, ITEMS * DIM)
                                              : (void *)bench_floats(bench, ITEMS * DIM, -1, 1),
                                    .b = bench_floats(bench, ITEMS, 0.01f, 1),
                                    .c = bench_numbers(bench, EVENTS, 0, ITEMS),
                                    .out = bench_room(bench, count * DIM * sizeof(float)),
                                    .out_bytes = written * DIM * sizeof(float)};
    const size_t row = int8 ? DIM + sizeof(float) : DIM * sizeof(float), calls = EVENTS / count;
    const double bytes = (double)(calls * (count * (row + sizeof(uint32_t)) + written * DIM * sizeof(float)));
    const struct bench_work work = {.bytes = bytes, .set = (double)(ITEMS * row + EVENTS * sizeof(uint32_t))};
    bench_case(bench, run, &args, &work, "%zu times %zu of %d rows of %d", calls, count, ITEMS, DIM);
}

#define EACH_CALL(a) for (size_t i = 0; i + (a)->rows <= EVENTS; i += (a)->rows)

static void run_embed_f32(const struct vqr_kernels *kernels, const struct bench_args *a)
{
    const uint32_t *index = a->c;
    EACH_CALL(a)
    (void)kernels->embed_f32(a->out, a->n, a->a, a->n, index + i, a->rows, FLT_MAX);
}

static void run_embed_i8(const struct vqr_kernels *kernels, const struct bench_args *a)
{
    const uint32_t *index = a->c;
    EACH_CALL(a)
    (void)kernels->embed_i8(a->out, a->n, a->a, a->b, a->n, index + i, a->rows, FLT_MAX);
}

static void run_embed_add_f32(const struct vqr_kernels *kernels, const struct bench_args *a)
{
    const uint32_t *index = a->c;
    EACH_CALL(a)
    (void)kernels->embed_add_f32(a->out, a->a, a->n, index + i, a->rows, FLT_MAX);
}

static void run_embed_add_i8(const struct vqr_kernels *kernels, const struct bench_args *a)
{
    const uint32_t *index = a->c;
    EACH_CALL(a)
    (void)kernels->embed_add_i8(a->out, a->a, a->b, a->n, index + i, a->rows, FLT_MAX);
}

void bench_embed_f32(struct bench_kernels *bench)
{
    embed_case(bench, run_embed_f32, false, BLOCK, BLOCK);
}

void bench_embed_i8(struct bench_kernels *bench)
{
    embed_case(bench, run_embed_i8, true, BLOCK, BLOCK);
}

/* Sums of 8 rows each grow slowly enough to stay numbers. */
void bench_embed_add_f32(struct bench_kernels *bench)
{
    embed_case(bench, run_embed_add_f32, false, 8, 1);
}

void bench_embed_add_i8(struct bench_kernels *bench)
{
    embed_case(bench, run_embed_add_i8, true, 8, 1);
}
