#include "bench_kernels.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "simd/cpu.h"
#include "synthetic.h"

enum { ROOMS = 16, ALIGNMENT = 64, CALLS_MAX = 1 << 24 };

/* A sample takes at least as many milliseconds: a clock's own cost is then no part of it. */
static const double SAMPLE = 0.05;

struct bench_kernels {
    const struct bench_kernels_plan *plan;
    const struct vqr_isa *isa;
    struct vqr_kernels k;
    struct bench_peaks peaks;
    const char *kernel, *from; /* under way, and the ISA that writes it */
    struct bench_samples samples;
    uint64_t random;
    void *rooms[ROOMS];
    size_t room_count;
    bool exhausted; /* memory */
    bool differs;   /* some kernel, from the reference */
};

/* A kernel as its cases and the tables give it. */
struct entry {
    const char *name;
    void (*cases)(struct bench_kernels *bench);
    bool (*is_in)(const struct vqr_kernels *k);
};

#define VQR_KERNEL(name, ret, params)                     \
    static bool is_in_##name(const struct vqr_kernels *k) \
    {                                                     \
        return k->name != NULL;                           \
    }
#include "simd/kernels.def"
#undef VQR_KERNEL

static const struct entry entries[] = {
#define VQR_KERNEL(name, ret, params) {#name, bench_##name, is_in_##name},
#include "simd/kernels.def"
#undef VQR_KERNEL
};
enum { ENTRIES = sizeof entries / sizeof *entries };

/* ---- inputs ---- */

void *bench_room(struct bench_kernels *bench, size_t bytes)
{
    const size_t whole = (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    void *room = bench->room_count < ROOMS ? aligned_alloc(ALIGNMENT, whole) : NULL;
    if (room == NULL) {
        bench->exhausted = true;
        return NULL;
    }
    memset(room, 0, whole);
    bench->rooms[bench->room_count++] = room;
    return room;
}

static double draw(struct bench_kernels *bench)
{
    return (double)(synthetic_draw(&bench->random) >> 11) * 0x1p-53;
}

float *bench_floats(struct bench_kernels *bench, size_t n, float low, float high)
{
    float *x = bench_room(bench, n * sizeof *x);
    for (size_t i = 0; x != NULL && i < n; i++)
        x[i] = low + (high - low) * (float)draw(bench);
    return x;
}

double *bench_doubles(struct bench_kernels *bench, size_t n, double low, double high)
{
    double *x = bench_room(bench, n * sizeof *x);
    for (size_t i = 0; x != NULL && i < n; i++)
        x[i] = low + (high - low) * draw(bench);
    return x;
}

int8_t *bench_int8(struct bench_kernels *bench, size_t n)
{
    int8_t *x = bench_room(bench, n);
    for (size_t i = 0; x != NULL && i < n; i++)
        x[i] = (int8_t)((int)(synthetic_draw(&bench->random) % 255) - 127);
    return x;
}

uint32_t *bench_numbers(struct bench_kernels *bench, size_t n, uint32_t low, uint32_t below)
{
    uint32_t *x = bench_room(bench, n * sizeof *x);
    for (size_t i = 0; x != NULL && i < n; i++)
        x[i] = low + (uint32_t)(synthetic_draw(&bench->random) % (below - low));
    return x;
}

/* ---- cases ---- */

/* Whether kernel and reference turn the same outputs into the same bytes. */
static bool is_same(struct bench_kernels *bench, bench_run_fn *run, const struct bench_args *args)
{
    void *initial = bench_room(bench, args->out_bytes), *want = bench_room(bench, args->out_bytes);
    if (bench->exhausted)
        return false;
    memcpy(initial, args->out, args->out_bytes);
    run(&vqr_isas[0]->k, args);
    memcpy(want, args->out, args->out_bytes);
    memcpy(args->out, initial, args->out_bytes);
    run(&bench->k, args);
    return memcmp(want, args->out, args->out_bytes) == 0;
}

static double time_calls(struct bench_kernels *bench, bench_run_fn *run, const struct bench_args *args, size_t calls)
{
    const double start = bench_milliseconds();
    for (size_t i = 0; i < calls; i++)
        run(&bench->k, args);
    return bench_milliseconds() - start;
}

static struct bench_quartiles measure(struct bench_kernels *bench, bench_run_fn *run, const struct bench_args *args)
{
    size_t calls = 1;
    double total = 0.0;
    while (time_calls(bench, run, args, calls) < SAMPLE && calls < CALLS_MAX)
        calls *= 2;
    while (!bench_is_enough(bench->samples.count, total, bench->plan->seconds)) {
        const double taken = time_calls(bench, run, args, calls);
        total += taken;
        bench_samples_add(&bench->samples, taken / (double)calls);
    }
    return bench_samples_sum_up(&bench->samples);
}

void bench_case(struct bench_kernels *bench, bench_run_fn *run, const struct bench_args *args,
                const struct bench_work *work, const char *format, ...)
{
    char shape[96];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(shape, sizeof shape, format, arguments);
    va_end(arguments);
    if (!bench->exhausted && is_same(bench, run, args)) {
        const struct bench_kernel_result result = {.kernel = bench->kernel,
                                                   .isa = bench->from,
                                                   .shape = shape,
                                                   .work = *work,
                                                   .time = measure(bench, run, args)};
        bench->plan->report(&result, &bench->peaks, bench->plan->context);
    } else if (!bench->exhausted) {
        complain("%s, %s: expected the bits of ref, found others with %s; not timed", bench->kernel, shape,
                 bench->from);
        bench->differs = true;
    }
    while (bench->room_count > 0)
        free(bench->rooms[--bench->room_count]);
}

/* ---- all of them ---- */

/* The name that begins at *at, up to the next comma, which *at is moved past; *at NULL after the last. */
static size_t next_name(const char **at, const char **name)
{
    const size_t length = strcspn(*at, ",");
    *name = *at;
    *at = (*at)[length] == ',' ? *at + length + 1 : NULL;
    return length;
}

static bool is_named(const struct entry *entry, const char *name, size_t length)
{
    return strlen(entry->name) == length && memcmp(entry->name, name, length) == 0;
}

/* Whether a list "gemm_f32,exp_f32" has the kernel; "all" has each. */
static bool is_listed(const char *names, const struct entry *entry)
{
    bool listed = strcmp(names, "all") == 0;
    for (const char *at = names, *name; at != NULL && !listed;) {
        const size_t length = next_name(&at, &name);
        listed = is_named(entry, name, length);
    }
    return listed;
}

/* False after a complaint about the first name that no kernel has. */
static bool check_names(const char *names)
{
    if (strcmp(names, "all") == 0)
        return true;
    for (const char *at = names, *name; at != NULL;) {
        const size_t length = next_name(&at, &name);
        bool known = false;
        for (size_t i = 0; i < ENTRIES && !known; i++)
            known = is_named(&entries[i], name, length);
        if (!known) {
            complain("--kernels: no kernel is called \"%.*s\"; expected all, or names of simd/kernels.def such as "
                     "gemm_f32,exp_f32",
                     (int)(length < 100 ? length : 100), name);
            return false;
        }
    }
    return true;
}

/* The strongest ISA up to the chosen one whose own table has the kernel. */
static const char *find_writer(const struct bench_kernels *bench, const struct entry *entry)
{
    const char *writer = vqr_isas[0]->name;
    for (size_t i = 0; i < vqr_isa_count; i++) {
        if (vqr_isa_usable(vqr_isas[i], vqr_cpu_features()) && entry->is_in(&vqr_isas[i]->k))
            writer = vqr_isas[i]->name;
        if (vqr_isas[i] == bench->isa)
            break;
    }
    return writer;
}

static void run_entry(struct bench_kernels *bench, const struct entry *entry)
{
    bench->kernel = entry->name;
    bench->from = find_writer(bench, entry);
    bench->random = 1; /* one kernel alone sees what it saw among all */
    entry->cases(bench);
}

int bench_kernels_run(const struct bench_kernels_plan *plan)
{
    struct bench_kernels bench = {.plan = plan};
    if (!check_names(plan->names))
        return EXIT_UNUSABLE;
    bench.isa = vqr_simd_select(&bench.k, vqr_cpu_features(), plan->isa);
    if (bench.isa == NULL)
        return complain("this processor is too old for vqrank, which needs %s", vqr_isas[0]->wants);
    if (!bench_samples_take(&bench.samples) || !bench_peaks_measure(&bench.peaks, bench.isa->name, &bench.k)) {
        bench_samples_free(&bench.samples);
        return complain("out of memory");
    }
    plan->begin(bench.isa->name, &bench.peaks, plan->context);
    for (size_t i = 0; i < ENTRIES && !bench.exhausted; i++)
        if (is_listed(plan->names, &entries[i]))
            run_entry(&bench, &entries[i]);
    bench_samples_free(&bench.samples);
    if (bench.exhausted)
        return complain("out of memory");
    return bench.differs ? EXIT_REFUSED : EXIT_DONE;
}
