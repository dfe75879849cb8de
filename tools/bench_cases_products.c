/* Matrix products and codewords, in fp32 and int8. Shapes are those of bench/workloads: paper has events of 64 numbers
 * in features of 32, 16 and 16, codebooks of 128, layers up to 256 wide; mobile half of each. */
#include "bench_kernels.h"
#include "runtime/codebook.h"

enum { OUTPUTS = 128, BLOCK = VQR_EVENT_BLOCK };

static const size_t row_counts[] = {1, 12, 64, 256};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct bench_work product_work(size_t rows, size_t k, size_t n, double element, bool integers)
{
    const double products = 2.0 * (double)rows * (double)k * (double)n;
    const double bytes = element * (double)(rows * k + k * n) + sizeof(float) * (double)(rows * n);
    return (struct bench_work){.flops = integers ? 0.0 : products,
                               .iops = integers ? products : 0.0,
                               .bytes = bytes,
                               .set = bytes};
}

/* ---- gemm ---- */

BENCH_RUN(gemm_f32, a->out, a->n, a->a, a->k, a->rows, a->b, a->k *VQR_LANES, a->k, vqr_panels(a->n), a->c)

void bench_gemm_f32(struct bench_kernels *bench)
{
    static const size_t depths[] = {16, 48, 64, 128, 256};
    for (size_t i = 0; i < COUNT(row_counts); i++)
        for (size_t j = 0; j < COUNT(depths); j++) {
            const size_t rows = row_counts[i], k = depths[j], n = OUTPUTS;
            const struct bench_args args = {.rows = rows,
                                            .k = k,
                                            .n = n,
                                            .a = bench_floats(bench, rows * k, -1, 1),
                                            .b = bench_floats(bench, k * n, -1, 1),
                                            .c = bench_floats(bench, n, -1, 1),
                                            .out = bench_room(bench, rows * n * sizeof(float)),
                                            .out_bytes = rows * n * sizeof(float)};
            const struct bench_work work = product_work(rows, k, n, sizeof(float), false);
            bench_case(bench, run_gemm_f32, &args, &work, "rows %zu, k %zu, n %zu", rows, k, n);
        }
}

/* What packing reads is written once. */
static void pack_case(struct bench_kernels *bench, bench_run_fn *run, void *src, size_t k, size_t n, size_t element)
{
    const struct bench_args args = {
        .k = k, .n = n, .a = src, .out = bench_room(bench, k * n * element), .out_bytes = k * n * element};
    const double bytes = 2.0 * (double)(k * n * element);
    const struct bench_work work = {.bytes = bytes, .set = bytes};
    bench_case(bench, run, &args, &work, "k %zu, n %zu", k, n);
}

BENCH_RUN(pack_f32, a->out, a->a, a->n, a->k, a->n)
BENCH_RUN(pack_transposed_f32, a->out, a->a, a->k, a->k, a->n)

void bench_pack_f32(struct bench_kernels *bench)
{
    pack_case(bench, run_pack_f32, bench_floats(bench, 128 * 16, -1, 1), 128, 16, sizeof(float));
}

void bench_pack_transposed_f32(struct bench_kernels *bench)
{
    pack_case(bench, run_pack_transposed_f32, bench_floats(bench, 16 * 128, -1, 1), 16, 128, sizeof(float));
}

BENCH_RUN(madd_panels_f32, a->out, a->a, a->b, a->c, a->k, vqr_panels(a->n))

void bench_madd_panels_f32(struct bench_kernels *bench)
{
    const size_t k = 64, n = OUTPUTS;
    const struct bench_args args = {.k = k,
                                    .n = n,
                                    .a = bench_floats(bench, k, -1, 1),
                                    .b = bench_floats(bench, k * n, -1, 1),
                                    .c = bench_floats(bench, k * n, -1, 1),
                                    .out = bench_room(bench, k * n * sizeof(float)),
                                    .out_bytes = k * n * sizeof(float)};
    const double bytes = 3.0 * sizeof(float) * (double)(k * n);
    const struct bench_work work = {.flops = 2.0 * (double)(k * n), .bytes = bytes, .set = bytes};
    bench_case(bench, run_madd_panels_f32, &args, &work, "k %zu, n %zu", k, n);
}

/* ---- codewords ---- */

static const uint32_t paper_widths[] = {32, 16, 16}, mobile_widths[] = {16, 8, 8};

/* An event's width and the codebook's size; of three features each. */
static const struct shape {
    size_t width, codewords;
    const uint32_t *widths;
} shapes[] = {{64, 128, paper_widths}, {32, 64, mobile_widths}};
enum { FEATURES = 3 };

static struct bench_args codebook_args(struct bench_kernels *bench, const struct shape *shape)
{
    return (struct bench_args){.rows = BLOCK,
                               .k = shape->width,
                               .n = shape->codewords,
                               .a = bench_floats(bench, BLOCK * shape->width, -1, 1),
                               .b = bench_floats(bench, shape->width * shape->codewords, -1, 1),
                               .c = shape->widths,
                               .out = bench_room(bench, BLOCK * sizeof(uint32_t)),
                               .out_bytes = BLOCK * sizeof(uint32_t)};
}

BENCH_RUN(quantize_f32, a->out, a->a, a->k, a->rows, a->b, NULL, a->c, NULL, FEATURES, a->n)

void bench_quantize_f32(struct bench_kernels *bench)
{
    for (size_t i = 0; i < COUNT(shapes); i++) {
        const struct bench_args args = codebook_args(bench, &shapes[i]);
        struct bench_work work = product_work(args.rows, args.k, args.n, sizeof(float), false);
        work.bytes = work.set = (double)(sizeof(float) * (args.rows * args.k + args.k * args.n + args.rows));
        bench_case(bench, run_quantize_f32, &args, &work, "rows %zu, k %zu, codewords %zu", args.rows, args.k, args.n);
    }
}

static void run_quantize_exact_f32(const struct vqr_kernels *kernels, const struct bench_args *a)
{
    const struct vqr_codebook *codebook = a->d;
    (void)kernels->quantize_exact_f32(a->out, a->a, a->k, a->rows, a->b, NULL, a->c, NULL, FEATURES, a->n,
                                      codebook->screen, a->scratch);
}

/* Work is that of scoring all in fp32, whose codewords it gives: what is left out depends on the numbers. */
void bench_quantize_exact_f32(struct bench_kernels *bench)
{
    for (size_t i = 0; i < COUNT(shapes); i++) {
        struct bench_args args = codebook_args(bench, &shapes[i]);
        struct vqr_codebook codebook = {.count = 1,
                                        .codewords = args.n,
                                        .width = args.k,
                                        .fold = {args.b, 0},
                                        .widths = args.c,
                                        .features = FEATURES};
        const size_t panels = vqr_panels(args.n), row = (args.k + 3) / 4 * 4;
        struct vqr_screen_scratch scratch = {.q = bench_room(bench, VQR_SCREEN_ROWS * row),
                                             .bounds = bench_room(bench,
                                                                  VQR_SCREEN_ROWS * vqr_padded(panels) * sizeof(float)),
                                             .scores = bench_room(bench,
                                                                  VQR_SCREEN_TILE * vqr_padded(args.n) * sizeof(float)),
                                             .needed = bench_room(bench, VQR_SCREEN_ROWS * panels),
                                             .e = bench_room(bench, VQR_SCREEN_ROWS * args.k * sizeof(float))};
        args.d = &codebook;
        args.scratch = &scratch;
        const struct bench_work work = product_work(args.rows, args.k, args.n, sizeof(float), false);
        if (scratch.e != NULL && vqr_codebook_measure(&codebook, NULL) == VQR_OK)
            bench_case(bench, run_quantize_exact_f32, &args, &work, "rows %zu, k %zu, codewords %zu", args.rows, args.k,
                       args.n);
        vqr_codebook_unbind(&codebook);
    }
}

BENCH_RUN(sign_codes_f32, a->out, a->a, a->n, a->rows, a->n)

void bench_sign_codes_f32(struct bench_kernels *bench)
{
    const size_t rows = BLOCK, bits = 16;
    const struct bench_args args = {.rows = rows,
                                    .n = bits,
                                    .a = bench_floats(bench, rows * bits, -1, 1),
                                    .out = bench_room(bench, rows * sizeof(uint32_t)),
                                    .out_bytes = rows * sizeof(uint32_t)};
    const double bytes = (double)(sizeof(float) * rows * (bits + 1));
    const struct bench_work work = {.bytes = bytes, .set = bytes};
    bench_case(bench, run_sign_codes_f32, &args, &work, "rows %zu, bits %zu", rows, bits);
}

/* Residuals drift from call to call, which costs no more or less. Of a component and number: a difference, two products
 * and a sum. */
BENCH_RUN(gmm_f32, a->more, a->out, a->k, a->rows, a->k, a->a, a->b, a->c, a->n)

void bench_gmm_f32(struct bench_kernels *bench)
{
    const size_t rows = BLOCK, n = 32, codes = 256, floats = rows * n * sizeof(float);
    struct bench_args args = {.rows = rows,
                              .k = n,
                              .n = codes,
                              .a = bench_floats(bench, n * codes, -1, 1),
                              .b = bench_floats(bench, n * codes, 0.5f, 2),
                              .c = bench_floats(bench, codes, -1, 1),
                              .out = bench_floats(bench, rows * (n + 1), -1, 1),
                              .out_bytes = floats + rows * sizeof(uint32_t)};
    args.more = (float *)args.out + (args.out != NULL ? rows * n : 0);
    const double bytes = (double)(sizeof(float) * (2 * n * codes + codes + 2 * rows * n + rows));
    const struct bench_work work = {.flops = 4.0 * (double)(rows * n * codes), .bytes = bytes, .set = bytes};
    bench_case(bench, run_gmm_f32, &args, &work, "rows %zu, numbers %zu, codes %zu", rows, n, codes);
}

/* ---- int8 ---- */

BENCH_RUN(to_int8_f32, a->out, a->k, a->more, a->a, a->k, a->rows, a->k)

void bench_to_int8_f32(struct bench_kernels *bench)
{
    const size_t rows = BLOCK, k = 64;
    struct bench_args args = {.rows = rows,
                              .k = k,
                              .a = bench_floats(bench, rows * k, -1, 1),
                              .out = bench_room(bench, rows * (k + sizeof(float))),
                              .out_bytes = rows * (k + sizeof(float))};
    args.more = (int8_t *)args.out + (args.out != NULL ? rows * k : 0);
    const double bytes = (double)(rows * (5 * k + sizeof(float)));
    const struct bench_work work = {.bytes = bytes, .set = bytes};
    bench_case(bench, run_to_int8_f32, &args, &work, "rows %zu, k %zu", rows, k);
}

BENCH_RUN(columns_to_int8_f32, a->out, a->more, a->a, a->k, a->n, a->k)

void bench_columns_to_int8_f32(struct bench_kernels *bench)
{
    const size_t n = 128, k = 16;
    struct bench_args args = {.k = k,
                              .n = n,
                              .a = bench_floats(bench, n * k, -1, 1),
                              .out = bench_room(bench, n * k + k * sizeof(float)),
                              .out_bytes = n * k + k * sizeof(float)};
    args.more = (int8_t *)args.out + (args.out != NULL ? n * k : 0);
    const double bytes = (double)(5 * n * k + k * sizeof(float));
    const struct bench_work work = {.bytes = bytes, .set = bytes};
    bench_case(bench, run_columns_to_int8_f32, &args, &work, "tokens %zu, k %zu", n, k);
}

/* Rows by a matrix [k, n], both of int8, each with its steps. */
static struct bench_args int8_args(struct bench_kernels *bench, size_t rows, size_t k, size_t n, size_t out_bytes)
{
    return (struct bench_args){.rows = rows,
                               .k = k,
                               .n = n,
                               .a = bench_int8(bench, rows * k),
                               .b = bench_int8(bench, k * n),
                               .c = bench_floats(bench, rows, 0.01f, 1),
                               .d = bench_floats(bench, n, 0.01f, 1),
                               .out = bench_room(bench, out_bytes),
                               .out_bytes = out_bytes};
}

BENCH_RUN(gemm_i8, a->out, a->n, a->a, a->k, a->c, a->rows, a->b, a->d, a->k / 4, vqr_panels(a->n), NULL, 0)

void bench_gemm_i8(struct bench_kernels *bench)
{
    static const size_t depths[] = {64, 128, 256};
    for (size_t i = 0; i < COUNT(row_counts); i++)
        for (size_t j = 0; j < COUNT(depths); j++) {
            const size_t rows = row_counts[i], k = depths[j], n = OUTPUTS;
            const struct bench_args args = int8_args(bench, rows, k, n, rows * n * sizeof(float));
            const struct bench_work work = product_work(rows, k, n, 1, true);
            bench_case(bench, run_gemm_i8, &args, &work, "rows %zu, k %zu, n %zu", rows, k, n);
        }
}

BENCH_RUN(pack_panels_i8, a->out, a->a, a->n, a->k, a->n)

void bench_pack_panels_i8(struct bench_kernels *bench)
{
    pack_case(bench, run_pack_panels_i8, bench_int8(bench, 128 * 16), 128, 16, 1);
}

BENCH_RUN(quantize_i8, a->out, a->a, a->k, a->c, a->rows, a->b, a->d, a->k / 4, NULL, 0, a->n)

void bench_quantize_i8(struct bench_kernels *bench)
{
    for (size_t i = 0; i < COUNT(shapes); i++) {
        const size_t rows = BLOCK, k = shapes[i].width, n = shapes[i].codewords;
        const struct bench_args args = int8_args(bench, rows, k, n, rows * sizeof(uint32_t));
        struct bench_work work = product_work(rows, k, n, 1, true);
        work.bytes = work.set = (double)(rows * k + k * n + rows * sizeof(uint32_t));
        bench_case(bench, run_quantize_i8, &args, &work, "rows %zu, k %zu, codewords %zu", rows, k, n);
    }
}
