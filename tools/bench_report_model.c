#include "bench_report.h"

#include <stdio.h>

#include "bench_stages.h"
#include "bench_threads.h"
#include "options.h"
#include "text.h"

/* Where results go: a table as they come, or a JSON object that is printed at the end. */
struct output {
    const vqr_model *model;
    const vqr_session *session;
    const struct bench_plan *plan;
    enum bench_mode mode;
    size_t threads;
    json_t *root, *results, *ones; /* root NULL: a table */
    size_t events;                 /* of the last line of the table */
};

/* The number of events where it is not that of the line above. */
static const char *changed_events(struct output *output, size_t events, char text[TEXT_NUMBER_SIZE])
{
    const bool changed = output->events != events;
    output->events = events;
    return changed ? text_grouped(text, events) : "";
}

static const char *stage_name(const char *stage, size_t candidates, char text[64])
{
    char number[TEXT_NUMBER_SIZE];
    if (candidates > 0)
        snprintf(text, 64, "%s %s candidate%s", stage, text_grouped(number, candidates), candidates == 1 ? "" : "s");
    else
        snprintf(text, 64, "%s", stage);
    return text;
}

/* A result's first members. */
static json_t *result_json(const char *stage, size_t events, size_t candidates)
{
    json_t *object = json_pack("{s:s, s:I}", "stage", stage, "events", (json_int_t)events);
    if (candidates > 0)
        json_object_set_new(object, "candidates", json_integer((json_int_t)candidates));
    return object;
}

static void print_heading(const struct output *output)
{
    text_print_clean(stdout, vqr_model_name(output->model));
    printf(", instruction set %s, ", vqr_session_isa(output->session));
    if (output->mode == BENCH_THREADS) {
        printf("batches of histories by one thread and by %zu, for %g s; milliseconds on the wall\n", output->threads,
               output->plan->seconds);
        printf("%12s %9s %10s %10s %7s %15s %9s %19s\n", "events", "histories", "one", "all", "times", "quartiles   ",
               "fastest", "processor ms each");
        return;
    }
    printf("one thread; encoding and scoring for %g s each; milliseconds of processor time\n", output->plan->seconds);
    if (output->mode == BENCH_WHOLE)
        printf("%12s  %-26s %10s  %23s %7s\n", "events", "stage", "median", "quartiles      ", "repeats");
}

/* ---- stages as a whole ---- */

static void take_result(const struct bench_result *result, void *context)
{
    struct output *output = context;
    char events[TEXT_NUMBER_SIZE], stage[64];
    if (output->root != NULL) {
        json_t *object = result_json(result->stage, result->events, result->candidates);
        bench_report_time(object, &result->time, "ms", 1);
        json_array_append_new(output->results, object);
        return;
    }
    printf("%12s  %-26s %10.4f  %10.4f - %-10.4f %7zu\n", changed_events(output, result->events, events),
           stage_name(result->stage, result->candidates, stage), result->time.median, result->time.lower,
           result->time.upper, result->time.repeats);
    fflush(stdout);
}

/* ---- their parts ---- */

static void begin_parts(const struct bench_peaks *peaks, void *context)
{
    struct output *output = context;
    if (output->root != NULL) {
        json_object_set_new(output->root, "peaks", bench_peaks_json(peaks));
        output->ones = json_array();
        json_object_set(output->root, "one_event", output->ones);
        return;
    }
    print_heading(output);
    bench_peaks_print(peaks);
    printf("%10s  %-22s %-13s %9s  %9s %9s %9s  %9s %7s\n", "events", "stage", "part", "median ms", "GFLOP/s",
           "Gop/s int", "GB/s", "roofline", "times");
}

static void part_json(json_t *object, const struct bench_part *part, const struct bench_peaks *peaks)
{
    const double seconds = 1e-3 * part->time.median;
    json_object_set_new(object, "part", json_string(part->part));
    bench_report_time(object, &part->time, "ms", 1);
    bench_work_json(object, peaks, &part->work, seconds);
    json_object_set_new(object, "bound", json_string(part->bound));
    json_object_set_new(object, "counted", json_boolean(part->counted));
    json_object_set_new(object, "roofline_ms", part->counted ? json_real(part->roofline) : json_null());
    json_object_set_new(object, "serial_ms", part->counted ? json_real(part->serial) : json_null());
    json_object_set_new(object, "share",
                        part->counted && seconds > 0.0 ? json_real(1e-3 * part->roofline / seconds) : json_null());
    if (part->parts > 0.0)
        json_object_set_new(object, "parts_ms", json_real(part->parts));
}

static void take_part(const struct bench_part *part, const struct bench_peaks *peaks, void *context)
{
    struct output *output = context;
    char events[TEXT_NUMBER_SIZE], stage[64], roofline[64] = "not known";
    const double seconds = part->time.median > 0.0 ? 1e-3 * part->time.median : 1e-12;
    if (output->root != NULL) {
        json_t *object = result_json(part->stage, part->events, part->candidates);
        part_json(object, part, peaks);
        json_array_append_new(output->results, object);
        return;
    }
    if (part->counted && part->roofline > 0.0)
        snprintf(roofline, sizeof roofline, "%9.4f %7.2f  %s", part->roofline, part->time.median / part->roofline,
                 part->bound);
    printf("%10s  %-22s %-13s %9.4f  %9.2f %9.2f %9.2f  %s\n", changed_events(output, part->events, events),
           part->parts > 0.0 ? stage_name(part->stage, part->candidates, stage) : "", part->part, part->time.median,
           1e-9 * part->work.flops / seconds, 1e-9 * part->work.iops / seconds, 1e-9 * part->work.bytes / seconds,
           roofline);
    fflush(stdout);
}

static void take_one(size_t events, const struct bench_quartiles *time, double needed, void *context)
{
    struct output *output = context;
    const double ratio = needed > 0.0 ? time->median / needed : 0.0;
    if (output->root != NULL) {
        json_t *object =
            json_pack("{s:I, s:f, s:f}", "events", (json_int_t)events, "hstu_keys_values_ms", needed, "ratio", ratio);
        bench_report_time(object, time, "ms", 1);
        json_array_append_new(output->ones, object);
        return;
    }
    printf("%10s  %-36s %9.4f  %.2f times HSTU and keys, values\n", "", "one event more, and refresh", time->median,
           ratio);
}

/* ---- several threads ---- */

/* That of the fastest batches of each: what other processes disturbed least. */
static double least_ratio(const struct bench_batch *batch)
{
    return batch->many.least > 0.0 ? batch->one.least / batch->many.least : 0.0;
}

static void take_batch(const struct bench_batch *batch, void *context)
{
    struct output *output = context;
    char events[TEXT_NUMBER_SIZE];
    if (output->root == NULL) {
        printf("%12s %9zu %10.2f %10.2f %7.2f %6.2f - %-6.2f %9.2f %9.4f %9.4f\n", text_grouped(events, batch->events),
               batch->histories, batch->one.median, batch->many.median, batch->ratio.median, batch->ratio.lower,
               batch->ratio.upper, least_ratio(batch), batch->one_cpu, batch->many_cpu);
        fflush(stdout);
        return;
    }
    json_t *object = json_pack("{s:s, s:I, s:I, s:I}", "stage", "encode_batch", "threads", (json_int_t)batch->threads,
                               "events", (json_int_t)batch->events, "histories", (json_int_t)batch->histories);
    const struct {
        const char *name;
        const struct bench_quartiles *time;
    } parts[] = {{"one_thread", &batch->one}, {"all_threads", &batch->many}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        json_t *times = json_object();
        bench_report_time(times, parts[i].time, "ms", 1);
        json_object_set_new(object, parts[i].name, times);
    }
    json_object_set_new(object, "ratio", json_real(batch->ratio.median));
    json_object_set_new(object, "lower_quartile_ratio", json_real(batch->ratio.lower));
    json_object_set_new(object, "upper_quartile_ratio", json_real(batch->ratio.upper));
    json_object_set_new(object, "least_ratio", json_real(least_ratio(batch)));
    json_object_set_new(object, "one_thread_processor_ms", json_real(batch->one_cpu));
    json_object_set_new(object, "all_threads_processor_ms", json_real(batch->many_cpu));
    json_array_append_new(output->results, object);
}

/* ---- all ---- */

static bool run(struct output *output, const struct vqr_header *header, vqr_session *session)
{
    const struct bench_stages_plan stages = {
        .plan = output->plan, .begin = begin_parts, .report = take_part, .report_one = take_one, .context = output};
    if (output->root == NULL && output->mode != BENCH_STAGES)
        print_heading(output);
    switch (output->mode) {
    case BENCH_STAGES:
        return bench_stages_run(output->model, header, session, &stages);
    case BENCH_THREADS:
        return bench_threads_run(output->model, header, vqr_session_isa(session), output->threads, output->plan,
                                 take_batch, output);
    default:
        return bench_run(output->model, header, session, output->plan, take_result, output);
    }
}

int bench_report_model(const vqr_model *model, vqr_session *session, const struct bench_plan *plan,
                       enum bench_mode mode, size_t threads, bool json)
{
    struct vqr_header header;
    struct output output = {
        .model = model, .session = session, .plan = plan, .mode = mode, .threads = threads, .events = SIZE_MAX};
    char message[256];
    size_t size = 0;
    const void *data = vqr_model_data(model, &size);
    if (vqr_header_open(&header, data, size, message, sizeof message) != VQR_HEADER_OK)
        return complain("%s", message);
    if (json) {
        output.root = bench_report_root(model, vqr_session_isa(session), plan->seconds);
        output.results = json_array();
    }
    int status = run(&output, &header, session) ? EXIT_DONE : EXIT_UNUSABLE;
    if (json && status == EXIT_DONE) {
        json_object_set(output.root, "results", output.results);
        status = bench_report_finish(output.root);
    } else {
        json_decref(output.root);
    }
    json_decref(output.results);
    json_decref(output.ones);
    return status;
}
