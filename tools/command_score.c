/* vqrank score: requests in, responses out, one JSON object a line. */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "answer.h"
#include "options.h"
#include "scorer.h"

/* The command's own options, as popt fills them. */
struct score_options {
    long threads;
    int stats;
};

/* Someone who drives the command through a pipe waits for each answer; a file can wait. */
static bool is_driven(int descriptor)
{
    struct stat status;
    return fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode);
}

static void print_tally(const struct answer_tally *tally)
{
    fflush(stdout);
    fprintf(stderr, "vqrank: %llu requests, %llu refused; %llu ids looked up, %llu unknown; instruction set %s\n",
            tally->requests, tally->refused, (unsigned long long)tally->stats.ids,
            (unsigned long long)tally->stats.unknown_ids, tally->isa);
}

static int score(const struct options *options, const struct score_options *own)
{
    const char *input = options->argument_count > 1 ? options->arguments[1] : NULL;
    struct answer_tally tally = {0};
    int status = EXIT_UNUSABLE;
    if (own->threads < 1 || own->threads > ANSWER_THREADS_MAX)
        return complain("--threads %ld: expected 1 to %d", own->threads, ANSWER_THREADS_MAX);
    vqr_model *model = scorer_open_model(options->arguments[0]);
    const int descriptor = model == NULL ? -1 : open_input(input);
    if (descriptor >= 0) {
        const struct answer_options answer = {.threads = (size_t)own->threads,
                                              .isa = options->isa,
                                              .driven = is_driven(descriptor)};
        status = answer_all(model, descriptor, input, stdout, &answer, &tally);
        if (own->stats && tally.isa != NULL)
            print_tally(&tally);
        close(descriptor);
    }
    vqr_model_close(model);
    return status;
}

static int run(const struct command *command, int argc, const char **argv)
{
    struct options options;
    struct score_options own = {.threads = 1};
    int status = EXIT_UNUSABLE;
    struct poptOption table[] = {
        {"threads", '\0', POPT_ARG_LONG | POPT_ARGFLAG_SHOW_DEFAULT, &own.threads, 0,
         "how many requests to work on at once; the answers are the same bytes in the same order", "N"},
        {"stats", '\0', POPT_ARG_NONE, &own.stats, 0, "count requests and unknown ids on standard error at the end",
         NULL},
        POPT_TABLEEND};
    if (options_parse(&options, command, table, argc, argv, &status))
        status = score(&options, &own);
    options_free(&options);
    return status;
}

const struct command command_score = {
    .name = "score",
    .arguments = "MODEL [REQUESTS.jsonl]",
    .summary = "score requests: one JSON object a line in, one out",
    .text = "Reads requests, one JSON object a line (default: standard input), and writes one response a line in the\n"
            "same order. A refused request answers with an error; the others are still answered. Exit status: 0;\n"
            "1 some request was refused; 2 unusable arguments, model or processor.\n"
            "\n"
            "Examples:\n"
            "  echo '{\"id\": \"r1\", \"events\": [{\"item\": 5}], \"candidates\": [{\"item\": 9}, {\"item\": 2}]}' |\n"
            "    vqrank score model.vqr\n"
            "  {\"id\": \"r1\", \"outputs\": {\"ctr\": [0.0711999983, 0.5]}}\n"
            "\n"
            "  vqrank score model.vqr requests.jsonl --threads 8 > responses.jsonl\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run,
};
