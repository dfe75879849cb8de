/* vqrank bench: how long the library's stages take here. */
#include <ctype.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench.h"
#include "json_values.h"
#include "options.h"
#include "scorer.h"
#include "text.h"

enum { EVENTS_MAX = 1 << 24, CANDIDATES_MAX = 1 << 24 };

/* The command's own options, as popt fills them. */
struct bench_options {
    char *events, *candidates;
    double seconds;
    int json;
};

/* Where results go: a table as they come, or a JSON array that is printed at the end. */
struct bench_output {
    json_t *results; /* NULL: a table */
    size_t events;   /* of the last line of the table */
};

/* "1000,10000" -> sizes from `least` to `most`; false after a complaint. */
static bool read_sizes(struct bench_sizes *sizes, const char *option, const char *text, size_t least, size_t most)
{
    const char *next = text;
    sizes->count = 0;
    do {
        char *end;
        errno = 0;
        const unsigned long long size = strtoull(next, &end, 10);
        if (!isdigit((unsigned char)*next) || errno != 0 || size < least || size > most ||
            (*end != '\0' && *end != ',') || sizes->count == BENCH_SIZES_MAX) {
            complain("%s %s: expected up to %d numbers from %zu to %zu, such as 1000,10000", option, text,
                     BENCH_SIZES_MAX, least, most);
            return false;
        }
        sizes->of[sizes->count++] = (size_t)size;
        next = *end == ',' ? end + 1 : NULL;
    } while (next != NULL);
    return true;
}

static void print_result(const struct bench_result *result, struct bench_output *output, bool first)
{
    char events[TEXT_NUMBER_SIZE], candidates[TEXT_NUMBER_SIZE], stage[64];
    snprintf(stage, sizeof stage, "%s", result->stage);
    if (result->candidates > 0)
        snprintf(stage, sizeof stage, "%s %s candidate%s", result->stage, text_grouped(candidates, result->candidates),
                 result->candidates == 1 ? "" : "s");
    printf("%12s  %-26s %10.4f  %10.4f - %-10.4f %7zu\n", first ? text_grouped(events, result->events) : "", stage,
           result->median, result->lower, result->upper, result->repeats);
    fflush(stdout);
    output->events = result->events;
}

static void take_result(const struct bench_result *result, void *context)
{
    struct bench_output *output = context;
    if (output->results == NULL) {
        print_result(result, output, output->events != result->events);
        return;
    }
    json_t *object =
        json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f}", "stage", result->stage, "events", (json_int_t)result->events,
                  "repeats", (json_int_t)result->repeats, "median_ms", result->median, "lower_quartile_ms",
                  result->lower, "upper_quartile_ms", result->upper, "least_ms", result->least);
    if (result->candidates > 0)
        json_object_set_new(object, "candidates", json_integer((json_int_t)result->candidates));
    json_array_append_new(output->results, object);
}

static void print_heading(const vqr_model *model, const vqr_session *session, const struct bench_plan *plan)
{
    text_print_clean(stdout, vqr_model_name(model));
    printf(", instruction set %s, one thread; encoding and scoring for %g s each; milliseconds of processor time\n",
           vqr_session_isa(session), plan->seconds);
    printf("%12s  %-26s %10s  %23s %7s\n", "events", "stage", "median", "quartiles      ", "repeats");
}

static int print_json(const vqr_model *model, const vqr_session *session, const struct bench_plan *plan,
                      json_t *results)
{
    json_t *root =
        json_pack("{s:o, s:s, s:s, s:f, s:O}", "model", json_from_text(vqr_model_name(model)), "version", vqr_version(),
                  "isa", vqr_session_isa(session), "seconds", plan->seconds, "results", results);
    const bool printed = root != NULL && json_dumpf(root, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0;
    json_decref(root);
    putchar('\n');
    return printed ? EXIT_DONE : complain("out of memory");
}

static int measure(const vqr_model *model, vqr_session *session, const struct bench_plan *plan, bool json)
{
    struct vqr_header header;
    char message[256];
    size_t size = 0;
    const void *data = vqr_model_data(model, &size);
    struct bench_output output = {.results = json ? json_array() : NULL, .events = SIZE_MAX};
    if (vqr_header_open(&header, data, size, message, sizeof message) != VQR_HEADER_OK)
        return complain("%s", message);
    if (!json)
        print_heading(model, session, plan);
    int status = EXIT_UNUSABLE;
    if (bench_run(model, &header, session, plan, take_result, &output))
        status = json ? print_json(model, session, plan, output.results) : EXIT_DONE;
    json_decref(output.results);
    return status;
}

static int bench(const struct options *options, const struct bench_options *own)
{
    struct bench_plan plan = {.seconds = own->seconds};
    const struct vqr_session_options with = {.isa = options->isa};
    vqr_session *session = NULL;
    struct vqr_error error;
    int status = EXIT_UNUSABLE;
    if (!(own->seconds >= 0 && own->seconds <= 3600))
        return complain("--seconds %g: expected 0 to 3600", own->seconds);
    if (!read_sizes(&plan.events, "--events", own->events != NULL ? own->events : "1000,10000", 0, EVENTS_MAX) ||
        !read_sizes(&plan.candidates, "--candidates", own->candidates != NULL ? own->candidates : "1,100,1000", 1,
                    CANDIDATES_MAX))
        return EXIT_UNUSABLE;
    vqr_model *model = scorer_open_model(options->arguments[0]);
    if (model == NULL)
        return EXIT_UNUSABLE;
    /* Values are drawn from the file's own vocabularies, which opening leaves unread. */
    if (vqr_model_verify(model, &error) != VQR_OK)
        complain("%s: %s", options->arguments[0], error.message);
    else if (vqr_session_create(model, &with, &session, &error) == VQR_OK)
        status = measure(model, session, &plan, own->json != 0);
    else
        complain("%s", error.message);
    vqr_session_free(session);
    vqr_model_close(model);
    return status;
}

static int run(const struct command *command, int argc, const char **argv)
{
    struct options options;
    struct bench_options own = {.seconds = 0.5};
    int status = EXIT_UNUSABLE;
    struct poptOption table[] = {{"events", '\0', POPT_ARG_STRING, &own.events, 0,
                                  "lengths of history to encode (default: 1000,10000)", "L,L,..."},
                                 {"candidates", '\0', POPT_ARG_STRING, &own.candidates, 0,
                                  "numbers of candidates to score (default: 1,100,1000)", "C,C,..."},
                                 {"seconds", '\0', POPT_ARG_DOUBLE | POPT_ARGFLAG_SHOW_DEFAULT, &own.seconds, 0,
                                  "how long to measure each; at least 5 repeats", "S"},
                                 {"json", '\0', POPT_ARG_NONE, &own.json, 0, "print one JSON object", NULL},
                                 POPT_TABLEEND};
    if (options_parse(&options, command, table, argc, argv, &status))
        status = bench(&options, &own);
    options_free(&options);
    free(own.events);
    free(own.candidates);
    return status;
}

const struct command command_bench = {
    .name = "bench",
    .arguments = "MODEL",
    .summary = "measure how long encoding and scoring take on this machine",
    .text =
        "Measures one thread, with random histories and candidates that are the same on every machine: append (events\n"
        "into the exact sums), refresh (sums into interests, once per state) and score. Shows the median and the\n"
        "quartiles of many repeats, in processor time, so that other processes count only by what they do to caches\n"
        "and clock rate.\n"
        "\n"
        "Example:\n"
        "  vqrank bench model.vqr --events 1000,10000 --candidates 1,100,1000 --isa avx2\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
