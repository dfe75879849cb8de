#include "bench_report.h"

#include <stdio.h>

#include "json_values.h"
#include "options.h"

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

json_t *bench_report_root(const vqr_model *model, const char *isa, double seconds)
{
    json_t *root = json_object();
    if (model != NULL)
        json_object_set_new(root, "model", json_from_text(vqr_model_name(model)));
    json_object_set_new(root, "version", json_string(vqr_version()));
    json_object_set_new(root, "compiler", json_string(COMPILER));
    json_object_set_new(root, "isa", json_string(isa));
    json_object_set_new(root, "seconds", json_real(seconds));
    return root;
}

void bench_report_time(json_t *object, const struct bench_quartiles *time, const char *unit, double scale)
{
    const struct {
        const char *name;
        double value;
    } parts[] = {{"median", time->median},
                 {"lower_quartile", time->lower},
                 {"upper_quartile", time->upper},
                 {"least", time->least}};
    json_object_set_new(object, "repeats", json_integer((json_int_t)time->repeats));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char name[32];
        snprintf(name, sizeof name, "%s_%s", parts[i].name, unit);
        json_object_set_new(object, name, json_real(scale * parts[i].value));
    }
}

int bench_report_finish(json_t *root)
{
    const bool printed = root != NULL && json_dumpf(root, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0;
    json_decref(root);
    putchar('\n');
    return printed ? EXIT_DONE : complain("out of memory");
}

/* ---- kernels ---- */

struct kernels_output {
    json_t *root, *kernels; /* NULL: a table */
    double seconds;
};

static void begin_kernels(const char *isa, const struct bench_peaks *peaks, void *context)
{
    struct kernels_output *output = context;
    if (output->kernels != NULL) {
        output->root = bench_report_root(NULL, isa, output->seconds);
        json_object_set_new(output->root, "peaks", bench_peaks_json(peaks));
        json_object_set(output->root, "kernels", output->kernels);
        return;
    }
    printf("instruction set %s, one thread; each for %g s, once its bits are those of ref; nanoseconds of processor "
           "time\n",
           isa, output->seconds);
    bench_peaks_print(peaks);
    printf("%-26s %-10s %-34s %11s %9s %9s %9s  %-10s\n", "kernel", "written in", "shape", "median ns", "GFLOP/s",
           "Gop/s int", "GB/s", "share of roofline");
}

static void take_kernel(const struct bench_kernel_result *result, const struct bench_peaks *peaks, void *context)
{
    struct kernels_output *output = context;
    const double seconds = 1e-3 * result->time.median;
    if (output->kernels != NULL) {
        json_t *object =
            json_pack("{s:s, s:s, s:s}", "kernel", result->kernel, "isa", result->isa, "shape", result->shape);
        bench_report_time(object, &result->time, "ns", 1e6);
        bench_work_json(object, peaks, &result->work, seconds);
        json_array_append_new(output->kernels, object);
        return;
    }
    const struct bench_roof roof = bench_roof(peaks, &result->work);
    const struct bench_work *work = &result->work;
    char share[32];
    snprintf(share, sizeof share, "%.0f %% of %s", 100 * roof.seconds / seconds,
             roof.bound[0] == 'b' ? roof.level->name : roof.bound);
    printf("%-26s %-10s %-34s %11.1f %9.2f %9.2f %9.2f  %-10s\n", result->kernel, result->isa, result->shape,
           1e9 * seconds, 1e-9 * work->flops / seconds, 1e-9 * work->iops / seconds, 1e-9 * work->bytes / seconds,
           share);
    fflush(stdout);
}

int bench_report_kernels(const char *names, const char *isa, double seconds, bool json)
{
    struct kernels_output output = {.kernels = json ? json_array() : NULL, .seconds = seconds};
    const struct bench_kernels_plan plan = {.isa = isa,
                                            .names = names,
                                            .seconds = seconds,
                                            .begin = begin_kernels,
                                            .report = take_kernel,
                                            .context = &output};
    int status = bench_kernels_run(&plan);
    json_decref(output.kernels);
    if (json && status == EXIT_DONE)
        status = bench_report_finish(output.root);
    else
        json_decref(output.root);
    return status;
}
