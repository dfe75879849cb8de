/* vqrank bench: how long the library's stages take here. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "bench.h"
#include "bench_report.h"
#include "bench_stages.h"
#include "bench_threads.h"
#include "options.h"
#include "scorer.h"

enum { EVENTS_MAX = 1 << 24, CANDIDATES_MAX = 1 << 24 };

/* The command's own options, as popt fills them. */
struct bench_options {
    char *events, *candidates, *kernels;
    double seconds;
    int json, stages, threads; /* threads 0: no batches */
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

static enum bench_mode mode_of(const struct bench_options *own)
{
    return own->stages ? BENCH_STAGES : own->threads != 0 ? BENCH_THREADS : BENCH_WHOLE;
}

/* False after a complaint about options that do not go together, or about none. */
static bool check_options(const struct options *options, const struct bench_options *own)
{
    if (!(own->seconds >= 0 && own->seconds <= 3600))
        complain("--seconds %g: expected 0 to 3600", own->seconds);
    else if (own->threads < 0 || own->threads > BENCH_THREADS_MAX || own->threads == 1)
        complain("--threads %d: expected 2 to %d", own->threads, BENCH_THREADS_MAX);
    else if ((own->kernels != NULL) + (own->stages != 0) + (own->threads != 0) > 1)
        complain("--kernels, --stages and --threads measure different things: expected one of them");
    else if (own->kernels != NULL && options->argument_count != 0)
        complain("--kernels: expected no model, found %s", options->arguments[0]);
    else if (own->kernels == NULL && options->argument_count == 0)
        complain("bench: expected a model, or --kernels all; vqrank bench --help gives examples");
    else
        return true;
    return false;
}

static int bench(const struct options *options, const struct bench_options *own)
{
    struct bench_plan plan = {.seconds = own->seconds};
    const struct vqr_session_options with = {.isa = options->isa};
    vqr_session *session = NULL;
    struct vqr_error error;
    int status = EXIT_UNUSABLE;
    if (!check_options(options, own))
        return EXIT_UNUSABLE;
    if (own->kernels != NULL) /* there are a hundred cases: a tenth of the time each */
        return bench_report_kernels(own->kernels, options->isa, own->seconds / 10, own->json != 0);
    if (!read_sizes(&plan.events, "--events", own->events != NULL ? own->events : "1000,10000", 0,
                    own->stages ? EVENTS_MAX - BENCH_STAGES_MORE : EVENTS_MAX) ||
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
        status = bench_report_model(model, session, &plan, mode_of(own), (size_t)own->threads, own->json != 0);
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
                                 {"stages", '\0', POPT_ARG_NONE, &own.stages, 0,
                                  "split each stage into parts, beside what this machine can do at most", NULL},
                                 {"threads", '\0', POPT_ARG_INT, &own.threads, 0,
                                  "encode batches of histories with one thread and with N", "N"},
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
    .arguments = "MODEL",
    .summary = "measure how long encoding, scoring and their parts take on this machine",
    .text =
        "Measures one thread, with random histories and candidates that are the same on every machine: append (events\n"
        "into the exact sums), refresh (sums into interests, once per state) and score. Shows the median and the\n"
        "quartiles of many repeats, in processor time, so that other processes count only by what they do to caches\n"
        "and clock rate.\n"
        "\n"
        "--stages splits the stages of a model whose sequences are of kind dmqn into parts, and tells of each the\n"
        "operations and bytes a second and the time that the machine's peaks, measured first, allow: its roofline.\n"
        "--threads compares batches on the wall's clock, where other processes count. --kernels needs no MODEL: it\n"
        "times each kernel once it has given the bits of ref on the same inputs.\n"
        "\n"
        "Examples:\n"
        "  vqrank bench model.vqr --events 1000,10000 --candidates 1,100,1000 --isa avx2\n"
        "  vqrank bench model.vqr --stages --events 10000\n"
        "  vqrank bench model.vqr --threads 2 --events 1000\n"
        "  vqrank bench --kernels gemm_f32,quantize_f32\n",
    .arguments_min = 0,
    .arguments_max = 1,
    .run = run,
};
