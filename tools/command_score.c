/* vqrank score: requests in, responses out, one JSON object a line. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lines.h"
#include "options.h"
#include "scorer.h"

/* What a run counts, for --stats. */
struct tally {
    unsigned long long requests, refused;
};

/* Someone who drives the command through a pipe waits for each answer; a file can wait. */
static bool is_driven(int descriptor)
{
    struct stat status;
    return fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode);
}

static void answer(struct scorer *scorer, struct line_reader *lines, enum line_status status, struct tally *tally)
{
    struct refusal refusal;
    tally->requests++;
    if (status == LINE_TOO_LONG) {
        refuse(&refusal, "limit", "the line is longer than %zu bytes", lines->limit);
        response_refusal(stdout, NULL, lines->number, &refusal);
        tally->refused++;
    } else if (scorer_run(scorer, lines->text, lines->length, &refusal)) {
        response_scores(stdout, scorer->request.id, &scorer->outputs, scorer->scores,
                        scorer->request.score.candidates.rows);
    } else {
        response_refusal(stdout, scorer->request.id, lines->number, &refusal);
        tally->refused++;
    }
}

/* Answers every line; returns the exit status. */
static int answer_all(struct scorer *scorer, int descriptor, const char *input, struct tally *tally)
{
    const bool driven = is_driven(descriptor);
    struct line_reader lines;
    enum line_status status;
    lines_init(&lines, descriptor, LINE_LENGTH_MAX);
    while ((status = lines_next(&lines)) == LINE_READ || status == LINE_TOO_LONG) {
        answer(scorer, &lines, status, tally);
        if (ferror(stdout) || (driven && fflush(stdout) != 0))
            break; /* close_output says why */
    }
    const int reason = errno;
    lines_free(&lines);
    if (status == LINE_FAILED)
        return complain("cannot read %s: %s", input != NULL ? input : "standard input", strerror(reason));
    return tally->refused > 0 ? EXIT_REFUSED : EXIT_DONE;
}

static void print_tally(const struct tally *tally, const struct scorer *scorer)
{
    fflush(stdout);
    fprintf(stderr, "vqrank: %llu requests, %llu refused; %llu ids looked up, %llu unknown; instruction set %s\n",
            tally->requests, tally->refused, (unsigned long long)scorer->stats.ids,
            (unsigned long long)scorer->stats.unknown_ids, vqr_session_isa(scorer->session));
}

static int score(const struct options *options, bool stats)
{
    const char *input = options->argument_count > 1 ? options->arguments[1] : NULL;
    struct tally tally = {0};
    struct scorer scorer;
    int status = EXIT_UNUSABLE;
    vqr_model *model = scorer_open_model(options->arguments[0]);
    const int descriptor = model == NULL ? -1 : open_input(input);
    if (descriptor >= 0) {
        if (scorer_init(&scorer, model, options->isa)) {
            status = answer_all(&scorer, descriptor, input, &tally);
            if (stats)
                print_tally(&tally, &scorer);
        }
        scorer_free(&scorer);
        close(descriptor);
    }
    vqr_model_close(model);
    return status;
}

static int run(const struct command *command, int argc, const char **argv)
{
    struct options options;
    int stats = 0, status = EXIT_UNUSABLE;
    struct poptOption table[] = {{"stats", '\0', POPT_ARG_NONE, &stats, 0,
                                  "count requests and unknown ids on standard error at the end", NULL},
                                 POPT_TABLEEND};
    if (options_parse(&options, command, table, argc, argv, &status))
        status = score(&options, stats != 0);
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
            "Example:\n"
            "  echo '{\"id\": \"r1\", \"events\": [{\"item\": 5}], \"candidates\": [{\"item\": 9}, {\"item\": 2}]}' |\n"
            "    vqrank score model.vqr\n"
            "  {\"id\": \"r1\", \"outputs\": {\"ctr\": [0.0711999983, 0.5]}}\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run,
};
