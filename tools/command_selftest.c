/* vqrank selftest: does this machine compute what the model file says it must? */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "schema/reader.h"
#include "scorer.h"
#include "text.h"

/* What every replay needs. */
struct selftest {
    const vqr_model *model;
    struct vqr_header header;
    size_t goldens;
};

/* One instruction set's result over all golden requests. */
struct replay {
    size_t values;
    double max_error;
    char problem[REFUSAL_MESSAGE_SIZE + 64]; /* "" when all is well; else the first thing that is not */
};

static void compare(struct replay *replay, size_t number, const struct vqr_header_golden *golden, const float *scores)
{
    double worst = 0;
    for (size_t i = 0; i < golden->count; i++) {
        uint32_t bits;
        memcpy(&bits, &scores[i], sizeof bits);
        const double error = fabs((double)scores[i] - golden->float64[i]);
        if (!(error <= worst))
            worst = error; /* a NaN stays: it fails the bound */
        if (replay->problem[0] == '\0' && bits != golden->bits[i]) {
            float expected;
            memcpy(&expected, &golden->bits[i], sizeof expected);
            snprintf(replay->problem, sizeof replay->problem,
                     "golden request %zu, value %zu: found %.9g (%08x), expected %.9g (%08x)", number, i,
                     (double)scores[i], (unsigned)bits, (double)expected, (unsigned)golden->bits[i]);
        }
    }
    if (replay->problem[0] == '\0' && !(worst <= golden->bound)) {
        snprintf(replay->problem, sizeof replay->problem,
                 "golden request %zu: error against float64 is %.1e, allowed %.1e", number, worst, golden->bound);
    }
    replay->max_error = worst > replay->max_error ? worst : replay->max_error;
    replay->values += golden->count;
}

static void replay_golden(struct scorer *scorer, struct replay *replay, size_t number,
                          const struct vqr_header_golden *golden)
{
    struct refusal refusal;
    const size_t length = strlen(golden->request);
    char *line = malloc(length + 1); /* reading a request may overwrite it */
    if (line == NULL) {
        snprintf(replay->problem, sizeof replay->problem, "out of memory");
        return;
    }
    memcpy(line, golden->request, length + 1);
    if (!scorer_run(scorer, line, length, &refusal)) {
        snprintf(replay->problem, sizeof replay->problem, "golden request %zu refused, %s: %s", number, refusal.code,
                 refusal.message);
    } else if (scorer->request.score.candidates.rows * scorer->outputs.count != golden->count) {
        snprintf(replay->problem, sizeof replay->problem,
                 "golden request %zu has %zu candidates, but the file %zu values", number,
                 scorer->request.score.candidates.rows, golden->count);
    } else {
        compare(replay, number, golden, scorer->scores);
    }
    free(line);
}

/* Replays every golden request with one instruction set and prints its line. Returns the exit status. */
static int replay_isa(const struct selftest *selftest, const char *isa)
{
    struct scorer scorer;
    struct replay replay = {0};
    if (!scorer_init(&scorer, selftest->model, isa)) {
        scorer_free(&scorer);
        return EXIT_UNUSABLE;
    }
    for (size_t i = 0; i < selftest->goldens && replay.problem[0] == '\0'; i++) {
        struct vqr_header_golden golden;
        vqr_header_golden(&selftest->header, i, &golden);
        replay_golden(&scorer, &replay, i, &golden);
    }
    scorer_free(&scorer);
    if (replay.problem[0] != '\0') {
        printf("%s FAILED ", isa);
        text_print_clean(stdout, replay.problem); /* it may quote the file */
        putchar('\n');
        return EXIT_REFUSED;
    }
    printf("%s ok %zu values, max error against float64 %.1e\n", isa, replay.values, replay.max_error);
    return EXIT_DONE;
}

/* Fills *selftest. Returns EXIT_DONE, or EXIT_UNUSABLE after a complaint. */
static int find_goldens(struct selftest *selftest, const vqr_model *model, const char *path)
{
    struct vqr_header_info info;
    char message[256];
    size_t size = 0;
    const void *data = vqr_model_data(model, &size);
    if (vqr_header_open(&selftest->header, data, size, message, sizeof message) != VQR_HEADER_OK)
        return complain("%s: %s", path, message);
    vqr_header_info(&selftest->header, &info);
    if (info.goldens == 0)
        return complain("%s holds no golden request to replay; convert it again with vqrank-convert", path);
    selftest->model = model;
    selftest->goldens = info.goldens;
    return EXIT_DONE;
}

static int replay_all(const struct selftest *selftest, const char *only)
{
    int status = EXIT_DONE, usable = 0;
    const char *isa;
    for (size_t i = 0; (isa = vqr_isa_name(i, &usable)) != NULL; i++) {
        if (only != NULL && strcmp(isa, only) != 0)
            continue;
        if (!usable) {
            printf("%s not run: this machine lacks it\n", isa);
            continue;
        }
        const int result = replay_isa(selftest, isa);
        status = result > status ? result : status;
    }
    return status;
}

static int run_selftest(const struct options *options)
{
    struct selftest selftest = {0};
    vqr_model *model = scorer_open_model(options->arguments[0]);
    if (model == NULL)
        return EXIT_UNUSABLE;
    int status = find_goldens(&selftest, model, options->arguments[0]);
    if (status == EXIT_DONE)
        status = replay_all(&selftest, options->isa);
    vqr_model_close(model);
    return status;
}

static int run(const struct command *command, int argc, const char **argv)
{
    struct options options;
    int status = EXIT_UNUSABLE;
    struct poptOption table[] = {POPT_TABLEEND};
    if (options_parse(&options, command, table, argc, argv, &status))
        status = run_selftest(&options);
    options_free(&options);
    return status;
}

const struct command command_selftest = {
    .name = "selftest",
    .arguments = "MODEL",
    .summary = "check that this machine computes what the model file says it must",
    .text =
        "Replays the golden requests of the model file with every instruction set of this machine (with --isa,\n"
        "only that one): each must give the same bits as the scalar reference did at conversion, and be as\n"
        "close to float64 as the file says. Exit status: 0; 1 a comparison failed; 2 the model is unusable or has no\n"
        "golden request.\n"
        "\n"
        "Example:\n"
        "  vqrank selftest model.vqr\n"
        "  ref ok 12 values, max error against float64 3.1e-08\n"
        "  avx2 ok 12 values, max error against float64 3.1e-08\n"
        "  avx512 not run: this machine lacks it\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
