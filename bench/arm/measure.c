/* The truth beside the predictions: cycles that hot loops of kernels really take on this machine.
 *
 *     measure TIER REPEATS        prints lines: kernel, loop, cycles per unit of one repeat
 *
 * A unit is a multiply-add of a product, or one element. Each kernel runs at two lengths of its inner loop, and what
 * the longer run takes more is the loop's own: entry, exit and stores of a tile fall away. A cycle is the time of one
 * addition in a chain of dependent ones, measured in the same repeat, so that a changing clock rate does not matter.
 * Everything fits the first-level cache. */
#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "simd/cpu.h"
#include "simd/simd.h"

enum { CHAIN = 100, CHAIN_ROUNDS = 4000, ROWS = 24, LENGTH_MAX = 1024, PANELS_MAX = 16 };
/* Multiply-adds and elements of one repeat: a fraction of a millisecond, in which no other process gets a turn. */
enum { MULTIPLY_ADDS = 6000000, ELEMENTS = 600000 };
/* Numbers from one row to the next: no power of two, which would put all rows into the same sets of the cache. */
enum { STRIDE = LENGTH_MAX + 48 };
/* Columns that are added up for each codebook; codebooks are what the inner loop of accumulate_f32 runs over. A power
 * of two would place every other codebook's sums where, by the lower bits of its address, a store just before went. */
enum { SUM_WIDTH = 320, CODEBOOKS_MAX = 6 };

static _Alignas(64) float a[ROWS * STRIDE], b[LENGTH_MAX * 16 * 2], c[ROWS * PANELS_MAX * 16], scale[LENGTH_MAX];
static _Alignas(64) int8_t a8[ROWS * STRIDE], b8[LENGTH_MAX * 16 * 2];
static _Alignas(64) int64_t sums[CODEBOOKS_MAX * SUM_WIDTH];
static uint32_t z[ROWS], counts[CODEBOOKS_MAX];
static float row_scale[ROWS];
static struct vqr_kernels k;

/* A kernel at one length n of its inner loop, with `rows` rows and `panels` panels where it has them. */
struct subject {
    const char *kernel, *loop;
    void (*run)(size_t n, size_t rows, size_t panels);
    size_t rows, panels, small, large; /* lengths, in numbers of k or in elements */
};

static void run_gemm_f32(size_t n, size_t rows, size_t panels)
{
    k.gemm_f32(c, panels * 16, a, STRIDE, rows, b, n * 16, n, panels, NULL);
}

static void run_quantize_f32(size_t n, size_t rows, size_t panels)
{
    const uint32_t width = (uint32_t)n;
    k.quantize_f32(z, a, STRIDE, rows, b, NULL, &width, NULL, 1, panels * 16);
}

static void run_gemm_i8(size_t n, size_t rows, size_t panels)
{
    k.gemm_i8(c, panels * 16, a8, STRIDE, row_scale, rows, b8, scale, n / 4, panels, NULL, 0);
}

static void run_quantize_i8(size_t n, size_t rows, size_t panels)
{
    k.quantize_i8(z, a8, STRIDE, row_scale, rows, b8, scale, n / 4, NULL, 0, panels * 16);
}

static void run_to_int8(size_t n, size_t rows, size_t panels)
{
    (void)panels;
    k.to_int8_f32(a8, STRIDE, row_scale, a, STRIDE, rows, n);
}

static void run_silu(size_t n, size_t rows, size_t panels)
{
    (void)rows, (void)panels;
    k.silu_f32(c, a, n);
}

static void run_exp(size_t n, size_t rows, size_t panels)
{
    (void)rows, (void)panels;
    k.exp_f32(c, a, n);
}

static void run_accumulate(size_t n, size_t rows, size_t panels)
{
    static const uint32_t clusters[CODEBOOKS_MAX];
    (void)panels;
    k.accumulate_f32(sums, counts, n / SUM_WIDTH, 1, a, SUM_WIDTH, rows, SUM_WIDTH, scale, clusters, 1, 1);
}

static void run_embed(size_t n, size_t rows, size_t panels)
{
    static const uint32_t index[1] = {0};
    (void)panels;
    k.embed_f32(c, n, a, n, index, rows, 1e30f);
}

static const struct subject subjects[] = {
    {"gemm_f32", "full tile", run_gemm_f32, ROWS, 2, 32, 96},
    {"gemm_f32", "one row", run_gemm_f32, 1, 8, 16, 48},
    {"quantize_f32", "full tile", run_quantize_f32, ROWS, 2, 32, 96},
    {"quantize_f32", "one row", run_quantize_f32, 1, 8, 16, 48},
    {"gemm_i8", "full tile", run_gemm_i8, ROWS, 2, 128, 384},
    {"gemm_i8", "one row", run_gemm_i8, 1, 8, 64, 192},
    {"quantize_i8", "full tile", run_quantize_i8, ROWS, 2, 128, 384},
    {"quantize_i8", "one row", run_quantize_i8, 1, 8, 64, 192},
    {"to_int8_f32", "magnitude + steps", run_to_int8, 1, 0, 256, 768},
    {"silu_f32", "silu", run_silu, 1, 0, 256, 768},
    {"exp_f32", "exp", run_exp, 1, 0, 256, 768},
    {"accumulate_f32", "add", run_accumulate, 1, 0, 2 * SUM_WIDTH, CODEBOOKS_MAX *SUM_WIDTH},
    {"embed_f32", "copy", run_embed, 1, 0, 256, 768},
};

/* Processor time of this thread in nanoseconds. */
static double nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

/* Nanoseconds of a cycle: an integer addition waits for the one before and takes one. */
static double cycle(void)
{
    unsigned long x = 0;
    const double start = nanoseconds();
    for (int i = 0; i < CHAIN_ROUNDS; i++)
        __asm__ volatile(".rept 100\n\tadd %1, %0\n\t.endr" : "+r"(x) : "r"(1UL));
    return (nanoseconds() - start) / ((double)CHAIN * CHAIN_ROUNDS);
}

/* Nanoseconds of one run. */
static double time_runs(const struct subject *s, size_t n, size_t runs)
{
    const double start = nanoseconds();
    for (size_t i = 0; i < runs; i++)
        s->run(n, s->rows, s->panels);
    return (nanoseconds() - start) / (double)runs;
}

static void measure(const struct subject *s)
{
    const double lanes = s->panels ? 16.0 * (double)s->panels : 1.0;
    const double units = (double)(s->large - s->small) * (double)s->rows * lanes;
    const double work = s->panels ? MULTIPLY_ADDS : ELEMENTS;
    const size_t runs = (size_t)(work / ((double)s->large * (double)s->rows * lanes)) + 1;
    const double tick = cycle();
    const double small = time_runs(s, s->small, runs), large = time_runs(s, s->large, runs);
    printf("%s,%s,%.9g\n", s->kernel, s->loop, (large - small) / units / tick);
}

int main(int argc, char **argv)
{
    if (argc != 3 || !vqr_simd_select(&k, vqr_cpu_features(), argv[1]))
        return fprintf(stderr, "usage: measure TIER REPEATS, TIER being one that this machine has\n"), 2;
    for (size_t i = 0; i < sizeof a / sizeof *a; i++)
        a[i] = (float)(i % 89) / 89.0f - 0.5f, a8[i] = (int8_t)((int)(i % 255) - 127);
    for (size_t i = 0; i < sizeof b / sizeof *b; i++)
        b[i] = (float)(i % 97) / 97.0f - 0.5f, b8[i] = (int8_t)((int)(i % 251) - 125);
    for (size_t i = 0; i < LENGTH_MAX; i++)
        scale[i] = 0.01f + (float)(i % 7) * 0.001f;
    for (size_t i = 0; i < ROWS; i++)
        row_scale[i] = 0.01f;
    for (int repeat = 0; repeat < atoi(argv[2]); repeat++)
        for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++)
            measure(&subjects[i]);
}
