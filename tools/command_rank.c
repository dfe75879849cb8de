/* vqrank rank: the best candidates of each request, as a table for people. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "each_request.h"
#include "options.h"
#include "rank_table.h"
#include "scorer.h"

/* The command's own options, as popt fills them. */
struct rank_options {
    long top, explain;
    char **names;   /* "FEATURE=FILE", NULL-terminated, or NULL */
    char *relevant; /* path or NULL */
    char *output;   /* name or NULL */
};

/* What the options name, loaded. */
struct rank_inputs {
    struct rank_names *names;
    size_t name_count;
    struct explain_feature *explain;
    size_t explain_count;
    struct relevance relevance;
};

static bool find_output(const struct scorer *scorer, const char *name, size_t *output)
{
    for (*output = 0; *output < scorer->outputs.count; ++*output)
        if (name == NULL || strcmp(scorer->outputs.names[*output], name) == 0)
            return true;
    complain("--output %s: the model has no such output; vqrank inspect lists them", name != NULL ? name : "");
    return false;
}

/* Loads one "FEATURE=FILE". */
static bool load_names(const struct scorer *scorer, const char *argument, struct rank_names *names)
{
    char feature[256];
    struct refusal refusal;
    const char *equals = strchr(argument, '=');
    const size_t length = equals == NULL ? 0 : (size_t)(equals - argument);
    if (length == 0 || length >= sizeof feature) {
        complain("--names %s: expected FEATURE=FILE.csv", argument);
        return false;
    }
    memcpy(feature, argument, length);
    feature[length] = '\0';
    const ptrdiff_t index = vqr_feature_index(scorer->model, VQR_CANDIDATE, feature);
    if (index < 0 || scorer->features[VQR_CANDIDATE][index].kind != VQR_FEATURE_ID) {
        complain("--names %s: the model's candidates have no id feature %s; vqrank inspect lists them", argument,
                 feature);
        return false;
    }
    names->feature = (size_t)index;
    if (!names_load(&names->names, equals + 1, &refusal)) {
        complain("--names: %s", refusal.message);
        return false;
    }
    return true;
}

/* The first feature of a group that is an id; -1 if there is none. */
static ptrdiff_t first_id(const struct scorer *scorer, enum vqr_group group)
{
    for (size_t i = 0; i < scorer->schema.count[group]; i++)
        if (scorer->features[group][i].kind == VQR_FEATURE_ID)
            return (ptrdiff_t)i;
    return -1;
}

/* Finds what explanations call events: the named features that events have too, else their first id. */
static void find_explain_features(const struct scorer *scorer, struct rank_inputs *inputs)
{
    const struct vqr_feature *features = scorer->schema.features[VQR_EVENT];
    for (size_t i = 0; i < inputs->name_count; i++) {
        const struct rank_names *names = &inputs->names[i];
        const ptrdiff_t index =
            vqr_feature_index(scorer->model, VQR_EVENT, scorer->schema.features[VQR_CANDIDATE][names->feature].name);
        if (index >= 0 && features[index].kind == VQR_FEATURE_ID)
            inputs->explain[inputs->explain_count++] =
                (struct explain_feature){.index = (size_t)index, .names = &names->names};
    }
    const ptrdiff_t first = first_id(scorer, VQR_EVENT);
    if (inputs->explain_count == 0 && first >= 0)
        inputs->explain[inputs->explain_count++] = (struct explain_feature){.index = (size_t)first};
}

static bool load_inputs(const struct scorer *scorer, const struct rank_options *options, struct rank_inputs *inputs)
{
    struct refusal refusal;
    size_t count = 0;
    while (options->names != NULL && options->names[count] != NULL)
        count++;
    inputs->names = calloc(count + 1, sizeof *inputs->names);
    inputs->explain = calloc(count + 1, sizeof *inputs->explain);
    if (inputs->names == NULL || inputs->explain == NULL) {
        complain("out of memory");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        inputs->name_count = i + 1;
        if (!load_names(scorer, options->names[i], &inputs->names[i]))
            return false;
    }
    find_explain_features(scorer, inputs);
    if (options->relevant != NULL && !relevance_load(&inputs->relevance, options->relevant, &refusal)) {
        complain("--relevant: %s", refusal.message);
        return false;
    }
    return true;
}

static void free_inputs(struct rank_inputs *inputs)
{
    for (size_t i = 0; i < inputs->name_count; i++)
        names_free(&inputs->names[i].names);
    free(inputs->names);
    free(inputs->explain);
    relevance_free(&inputs->relevance);
}

/* The candidate feature whose ids --relevant lists: the first named one, else the first id; -1 if there is none. */
static ptrdiff_t relevant_feature(const struct scorer *scorer, const struct rank_inputs *inputs)
{
    return inputs->name_count > 0 ? (ptrdiff_t)inputs->names[0].feature : first_id(scorer, VQR_CANDIDATE);
}

/* https://no-color.org */
static bool wants_colour(void)
{
    const char *no_colour = getenv("NO_COLOR");
    return (no_colour == NULL || no_colour[0] == '\0') && isatty(STDOUT_FILENO);
}

/* What printing one table needs of the ones before it. */
struct rank_printing {
    const struct rank_style *style;
    bool printed; /* some table */
};

static int print_table(struct scorer *scorer, void *context, struct refusal *refusal)
{
    struct rank_printing *printing = context;
    fputs(printing->printed ? "\n" : "", stdout);
    printing->printed = true;
    if (!rank_table_print(stdout, scorer, printing->style, refusal))
        return EXIT_REFUSED;
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_UNUSABLE; /* close_output says why */
}

static int rank_input(struct scorer *scorer, const struct options *options, const struct rank_options *own,
                      const struct rank_inputs *inputs)
{
    const char *input = options->argument_count > 1 ? options->arguments[1] : NULL;
    struct rank_style style = {.top = (size_t)own->top,
                               .names = inputs->names,
                               .name_count = inputs->name_count,
                               .relevance = own->relevant != NULL ? &inputs->relevance : NULL,
                               .relevant_feature = relevant_feature(scorer, inputs),
                               .explain = {.top = (size_t)own->explain,
                                           .features = inputs->explain,
                                           .feature_count = inputs->explain_count},
                               .terminal = wants_colour()};
    if (!find_output(scorer, own->output, &style.output))
        return EXIT_UNUSABLE;
    if (style.relevance != NULL && style.relevant_feature < 0)
        return complain("--relevant needs a candidate feature that is an id; this model has none");
    const int descriptor = open_input(input);
    if (descriptor < 0)
        return EXIT_UNUSABLE;
    struct rank_printing printing = {.style = &style};
    const int status = each_request(scorer, descriptor, input, print_table, &printing);
    close(descriptor);
    return status;
}

static int rank(const struct options *options, const struct rank_options *own)
{
    struct scorer scorer;
    struct rank_inputs inputs = {0};
    int status = EXIT_UNUSABLE;
    if (own->top < 1)
        return complain("--top must be at least 1");
    if (own->explain < 0)
        return complain("--explain=%ld: expected how many clusters to show, at least 0", own->explain);
    vqr_model *model = scorer_open_model(options->arguments[0]);
    if (model == NULL)
        return EXIT_UNUSABLE;
    if (scorer_init(&scorer, model, options->isa) && load_inputs(&scorer, own, &inputs))
        status = rank_input(&scorer, options, own, &inputs);
    free_inputs(&inputs);
    scorer_free(&scorer);
    vqr_model_close(model);
    return status;
}

/* popt would take what follows a bare --explain for its value, which may be left out. */
static void default_explain(int argc, const char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--explain") == 0)
            argv[i] = "--explain=3";
}

static int run(const struct command *command, int argc, const char **argv)
{
    struct options options;
    struct rank_options own = {.top = 10};
    int status = EXIT_UNUSABLE;
    struct poptOption table[] = {
        {"top", '\0', POPT_ARG_LONG | POPT_ARGFLAG_SHOW_DEFAULT, &own.top, 0, "how many candidates to show", "K"},
        {"names", '\0', POPT_ARG_ARGV, &own.names, 0,
         "show the names of a candidate id feature; CSV with the header id,name; may be given again",
         "FEATURE=FILE.csv"},
        {"relevant", '\0', POPT_ARG_STRING, &own.relevant, 0,
         "mark candidates known to be right; lines {\"id\": request id, \"relevant\": [ids]}", "FILE.jsonl"},
        {"explain", '\0', POPT_ARG_LONG, &own.explain, 0,
         "say what in the history carried each score: the 3, or K, weightiest clusters of every sequence", "K"},
        {"output", '\0', POPT_ARG_STRING, &own.output, 0, "the output to rank by (default: the model's first)", "NAME"},
        POPT_TABLEEND};
    default_explain(argc, argv);
    if (options_parse(&options, command, table, argc, argv, &status))
        status = rank(&options, &own);
    options_free(&options);
    for (size_t i = 0; own.names != NULL && own.names[i] != NULL; i++)
        free(own.names[i]);
    free(own.names);
    free(own.relevant);
    free(own.output);
    return status;
}

const struct command command_rank = {
    .name = "rank",
    .arguments = "MODEL [REQUESTS.jsonl]",
    .summary = "show the best candidates of each request as a table",
    .text =
        "Scores each request (default: standard input) and prints its best candidates. --relevant lists ids of\n"
        "the first --names feature, or else of the first candidate feature that is an id. Refused requests are\n"
        "named on standard error; exit status 1 says that there were some.\n"
        "\n"
        "--explain adds, below each candidate, the clusters of the user's history that its attention weighed most,\n"
        "named by what their events mostly are. --explain=K shows K of each sequence.\n"
        "\n"
        "Examples:\n"
        "  vqrank rank model.vqr requests.jsonl --top 5 --names item=items.csv --relevant relevant.jsonl\n"
        "  vqrank rank model.vqr requests.jsonl --top 3 --names item=items.csv --explain\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run,
};
