/* vqrank bench: how long the library's stages take here. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "bench.h"
#include "bench_report.h"
#include "options.h"
#include "scorer.h"

enum { EVENTS_MAX = 1 << 24, CANDIDATES_MAX = 1 << 24 };

/* The command's own options, as popt fills them. */
struct bench_options {
    char *events, *candidates, *kernels;
    double seconds;
    int json;
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

static int bench(const struct options *options, const struct bench_options *own)
{
    struct bench_plan plan = {.seconds = own->seconds};
    const struct vqr_session_options with = {.isa = options->isa};
    vqr_session *session = NULL;
    struct vqr_error error;
    int status = EXIT_UNUSABLE;
    if (!(own->seconds >= 0 && own->seconds <= 3600))
        return complain("--seconds %g: expected 0 to 3600", own->seconds);
    if (own->kernels != NULL && options->argument_count != 0)
        return complain("--kernels takes no model, found %s", options->arguments[0]);
    if (own->kernels != NULL) /* there are a hundred: a tenth of the time each */
        return bench_report_kernels(own->kernels, options->isa, own->seconds / 10, own->json != 0);
    if (options->argument_count == 0)
        return complain("bench needs a model, or --kernels all; vqrank bench --help gives examples");
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
        status = bench_report_stages(model, session, &plan, own->json != 0);
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
                                 {"kernels", '\0', POPT_ARG_STRING, &own.kernels, 0,
                                  "time kernels in place of a model, \"all\" or some, for S / 10 each", "NAME,..."},
                                 {"json", '\0', POPT_ARG_NONE, &own.json, 0, "print one JSON object", NULL},
                                 POPT_TABLEEND};
    if (options_parse(&options, command, table, argc, argv, &status))
        status = bench(&options, &own);
    options_free(&options);
    free(own.events);
    free(own.candidates);
    free(own.kernels);
    return status;
}

const struct command command_bench = {
    .name = "bench",
    .arguments = "[MODEL]",
    .summary = "measure how long encoding and scoring take on this machine",
    .text =
        "Measures one thread, with random histories and candidates that are the same on every machine: append (events\n"
        "into the exact sums), refresh (sums into interests, once per state) and score. Shows the median and the\n"
        "quartiles of many repeats, in processor time, so that other processes count only by what they do to caches\n"
        "and clock rate.\n"
        "\n"
        "Example:\n"
        "  vqrank bench model.vqr --events 1000,10000 --candidates 1,100,1000 --isa avx2\n",
    .arguments_min = 0,
    .arguments_max = 1,
    .run = run,
};
