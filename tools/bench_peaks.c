#include "bench_peaks.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench_samples.h"
#include "simd/peak.h"

enum { RUNS = 9, EXPS = 1024, STEP = VQR_PEAK_SEEDS, DRAM_FLOATS = 1 << 25, LINE = 64 };

/* Milliseconds of one run: far longer than the clock's own cost, and shorter than a turn of the processor. */
static const double RUN = 2.0;

/* What a measurement runs on. */
struct machine {
    const struct vqr_peak *peak;
    const struct vqr_kernels *k;
    float seeds[VQR_PEAK_SEEDS];
    float *memory; /* [DRAM_FLOATS], from a cache line's start */
    size_t floats; /* of them to touch, a multiple of 3 STEP */
    float sink;    /* what loops leave; written through a pointer, so they are not left out */
};

/* Does `times` rounds of one thing; returns how much that was. */
typedef double round_fn(struct machine *m, size_t times);

static double run_fma(struct machine *m, size_t times)
{
    return m->peak->fma(times, m->seeds, &m->sink);
}

static double run_dot(struct machine *m, size_t times)
{
    return m->peak->dot(times, m->seeds, &m->sink);
}

static double run_read(struct machine *m, size_t times)
{
    return m->peak->read(m->memory, m->floats, times, &m->sink);
}

static double run_mixed(struct machine *m, size_t times)
{
    const size_t third = m->floats / 3;
    for (size_t i = 0; i < times; i++)
        m->k->mul_f32(m->memory + 2 * third, m->memory, m->memory + third, third);
    return (double)(m->floats * sizeof(float)) * (double)times;
}

static double run_exp(struct machine *m, size_t times)
{
    for (size_t i = 0; i < times; i++)
        m->k->exp_f32(m->memory + EXPS, m->memory, EXPS);
    return (double)EXPS * (double)times;
}

/* The most a second. */
static double best_rate(struct machine *m, round_fn *run)
{
    size_t times = 1;
    double best = 0.0;
    for (int i = 0; i < RUNS;) {
        const double start = bench_milliseconds(), done = run(m, times), taken = bench_milliseconds() - start;
        if (taken < RUN && times < SIZE_MAX / 2) {
            times *= 2;
            continue;
        }
        const double rate = done / taken * 1e3;
        best = rate > best ? rate : best;
        i++;
    }
    return best;
}

/* The line that Linux tells of cache `i` of the first processor, in `text`; "" where it tells none. */
static const char *read_cache(int i, const char *what, char text[32])
{
    char path[80];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", i, what);
    FILE *file = fopen(path, "r");
    if (file == NULL || fgets(text, 32, file) == NULL)
        text[0] = '\0';
    if (file != NULL)
        fclose(file);
    return text;
}

/* Sizes that are common, or what the system knows better. */
static void find_levels(struct bench_level level[BENCH_LEVELS])
{
    enum { CACHES = 8 }; /* more than there are */
    char text[32];
    level[0] = (struct bench_level){.name = "L1", .holds = 0x1p15};
    level[1] = (struct bench_level){.name = "L2", .holds = 0x1p19};
    level[2] = (struct bench_level){.name = "L3", .holds = 0x1p22};
    level[3] = (struct bench_level){.name = "DRAM", .holds = 0x1p62};
    for (int i = 0; i < CACHES; i++) {
        const long number = strtol(read_cache(i, "level", text), NULL, 10);
        if (number < 1 || number >= BENCH_LEVELS || read_cache(i, "type", text)[0] == 'I') /* of instructions */
            continue;
        char *unit;
        const double size = (double)strtol(read_cache(i, "size", text), &unit, 10);
        if (size > 0)
            level[number - 1].holds = size * (*unit == 'K' ? 0x1p10 : *unit == 'M' ? 0x1p20 : 1.0);
    }
}

/* Half of a cache is read, so that it all stays there; of DRAM as much as there is, which is more than caches hold. */
static void measure_levels(struct machine *m, struct bench_level level[BENCH_LEVELS])
{
    find_levels(level);
    for (size_t i = 0; i < BENCH_LEVELS; i++) {
        const double holds = level[i].holds / 2 / sizeof(float);
        const size_t floats = holds < DRAM_FLOATS ? (size_t)holds : DRAM_FLOATS;
        m->floats = floats / (3 * STEP) * (3 * STEP);
        m->floats = m->floats != 0 ? m->floats : 3 * STEP;
        level[i].read = best_rate(m, run_read);
        level[i].mixed = best_rate(m, run_mixed);
    }
}

bool bench_peaks_measure(struct bench_peaks *peaks, const char *isa, const struct vqr_kernels *k)
{
    struct machine m = {.peak = vqr_peak_of(isa), .k = k};
    m.memory = aligned_alloc(LINE, DRAM_FLOATS * sizeof *m.memory);
    if (m.peak == NULL || m.memory == NULL) {
        free(m.memory);
        return false;
    }
    for (size_t i = 0; i < VQR_PEAK_SEEDS; i++)
        m.seeds[i] = 0.25f + 0.5f * (float)i / VQR_PEAK_SEEDS;
    for (size_t i = 0; i < DRAM_FLOATS; i++)
        m.memory[i] = (float)(i % 64) / 64.0f - 0.5f;
    *peaks = (struct bench_peaks){.fma = best_rate(&m, run_fma)};
    peaks->dot = m.peak->dot != NULL ? best_rate(&m, run_dot) : 0.0;
    peaks->exps = best_rate(&m, run_exp);
    measure_levels(&m, peaks->level);
    free(m.memory);
    return true;
}

/* ---- rooflines ---- */

static void raise(struct bench_roof *roof, const char *bound, double amount, double rate)
{
    if (amount <= 0.0 || amount / rate <= roof->seconds)
        return;
    roof->seconds = amount / rate;
    roof->bound = bound;
}

static double rate_of(const struct bench_level *level)
{
    return level->read > level->mixed ? level->read : level->mixed;
}

/* Bytes a second of a set that level `i` is the first to hold. */
static double set_rate(const struct bench_peaks *peaks, size_t i, double set)
{
    if (i == 0)
        return rate_of(&peaks->level[0]);
    const double near = peaks->level[i - 1].holds / set;
    return 1.0 / (near / rate_of(&peaks->level[i - 1]) + (1.0 - near) / rate_of(&peaks->level[i]));
}

struct bench_roof bench_roof(const struct bench_peaks *peaks, const struct bench_work *work)
{
    size_t i = 0;
    while (i + 1 < BENCH_LEVELS && work->set > peaks->level[i].holds)
        i++;
    struct bench_roof roof = {.bound = "none", .level = &peaks->level[i]};
    raise(&roof, "bytes", work->bytes, set_rate(peaks, i, work->set));
    const double flops = work->flops + (peaks->dot > 0.0 ? 0.0 : work->iops);
    raise(&roof, "exp", work->exps, peaks->exps);
    if (peaks->dot > 0.0)
        raise(&roof, "dot", work->iops, peaks->dot);
    raise(&roof, "fma", flops, peaks->fma);
    roof.serial = flops / peaks->fma + work->exps / peaks->exps + (peaks->dot > 0.0 ? work->iops / peaks->dot : 0.0);
    return roof;
}

/* ---- output ---- */

json_t *bench_peaks_json(const struct bench_peaks *peaks)
{
    json_t *levels = json_array();
    for (size_t i = 0; i < BENCH_LEVELS; i++) {
        json_t *level = json_pack("{s:s, s:f, s:f}", "name", peaks->level[i].name, "read_gbytes_s",
                                  1e-9 * peaks->level[i].read, "mixed_gbytes_s", 1e-9 * peaks->level[i].mixed);
        if (i + 1 < BENCH_LEVELS)
            json_object_set_new(level, "holds_bytes", json_integer((json_int_t)peaks->level[i].holds));
        json_array_append_new(levels, level);
    }
    json_t *object = json_pack("{s:f, s:f, s:o}", "fma_gflops", 1e-9 * peaks->fma, "exp_gexps", 1e-9 * peaks->exps,
                               "levels", levels);
    json_object_set_new(object, "dot_gops", peaks->dot > 0.0 ? json_real(1e-9 * peaks->dot) : json_null());
    return object;
}

void bench_peaks_print(const struct bench_peaks *peaks)
{
    printf("peaks: %.1f GFLOP/s of fused multiply-adds", 1e-9 * peaks->fma);
    if (peaks->dot > 0.0)
        printf(", %.1f Gop/s of integer products", 1e-9 * peaks->dot);
    printf(", %.2f G/s of exp;", 1e-9 * peaks->exps);
    for (size_t i = 0; i < BENCH_LEVELS; i++)
        printf("%s %s %.1f/%.1f", i == 0 ? "" : ",", peaks->level[i].name, 1e-9 * peaks->level[i].read,
               1e-9 * peaks->level[i].mixed);
    puts(" GB/s read/mixed");
}

void bench_work_json(json_t *object, const struct bench_peaks *peaks, const struct bench_work *work, double seconds)
{
    const struct bench_roof roof = bench_roof(peaks, work);
    const struct {
        const char *name, *rate;
        double amount;
    } parts[] = {{"flops", "gflops", work->flops},
                 {"int8_ops", "gops", work->iops},
                 {"exps", "gexps", work->exps},
                 {"bytes", "gbytes_s", work->bytes}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        json_object_set_new(object, parts[i].name, json_real(parts[i].amount));
        json_object_set_new(object, parts[i].rate, json_real(seconds > 0.0 ? 1e-9 * parts[i].amount / seconds : 0.0));
    }
    json_object_set_new(object, "set_bytes", json_real(work->set));
    json_object_set_new(object, "level", json_string(roof.level->name));
    json_object_set_new(object, "bound", json_string(roof.bound));
    json_object_set_new(object, "roofline_ms", json_real(1e3 * roof.seconds));
    json_object_set_new(object, "serial_ms", json_real(1e3 * roof.serial));
    json_object_set_new(object, "share", json_real(seconds > 0.0 ? roof.seconds / seconds : 0.0));
}
