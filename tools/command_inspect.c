/* vqrank inspect: what a model file holds. */
#include "inspect.h"

#include <stddef.h>

#include "options.h"
#include "scorer.h"

const char *const inspect_groups[VQR_GROUPS] = {"user", "context", "event", "candidate"};

enum { WORDS_MAX = 7 };

static const char *const word_lists[WORDS_COUNT][WORDS_MAX] = {
    [WORDS_IDS] = {"direct", "vocabulary", "hash"},
    [WORDS_KIND] = {"id", "float", "time", "ids", "vector", "semantic_id"},
    [WORDS_ACTIVATE] = {"all", "u"},
    [WORDS_ALPHA] = {"one", "rsqrt"},
    [WORDS_BIAS] = {"none", "shared", "per_head"},
    [WORDS_NORMALIZE] = {"one", "tokens", "attended", "constant"},
    [WORDS_NORM] = {"layer", "group"},
    [WORDS_OUTPUT] = {"gated", "concat", "concat_raw"},
    [WORDS_EMPTY] = {"masked", "zero"},
    [WORDS_ACTIVATION] = {"relu", "silu", "leaky_relu", "prelu", "gelu", "tanh", "dice"},
    [WORDS_LAYOUT] = {"rows", "padded_rows", "panels"},
    [WORDS_POOL] = {"sum", "mean"},
};

const char *inspect_word(enum inspect_words words, int value)
{
    const char *word = value < 0 || value >= WORDS_MAX ? NULL : word_lists[words][value];
    return word != NULL ? word : "unknown";
}

static int inspect(const char *path, const vqr_model *model, bool json)
{
    struct inspection inspection = {.model = model};
    char message[256];
    size_t size = 0;
    const void *data = vqr_model_data(model, &size);
    if (vqr_header_open(&inspection.header, data, size, message, sizeof message) != VQR_HEADER_OK)
        return complain("%s: %s", path, message);
    vqr_header_info(&inspection.header, &inspection.info);
    inspection.verified = vqr_model_verify(model, &inspection.error);
    if (!json)
        inspect_print_text(stdout, &inspection);
    else if (!inspect_print_json(stdout, &inspection))
        return complain("out of memory");
    if (inspection.verified != VQR_OK)
        return complain("%s: %s", path, inspection.error.message);
    return EXIT_DONE;
}

static int run(const struct command *command, int argc, const char **argv)
{
    struct options options;
    int json = 0, status = EXIT_UNUSABLE;
    struct poptOption table[] = {{"json", '\0', POPT_ARG_NONE, &json, 0, "print one JSON object", NULL}, POPT_TABLEEND};
    if (options_parse(&options, command, table, argc, argv, &status)) {
        vqr_model *model = scorer_open_model(options.arguments[0]);
        status = model == NULL ? EXIT_UNUSABLE : inspect(options.arguments[0], model, json != 0);
        vqr_model_close(model);
    }
    options_free(&options);
    return status;
}

const struct command command_inspect = {
    .name = "inspect",
    .arguments = "MODEL",
    .summary = "show what a model file holds, and check all of it",
    .text = "Prints tables, features, sequences, head and tensors, and what a session and a user's state take. Reads\n"
            "all of the file and checks every value: a damaged file exits with status 2 and says what is wrong.\n"
            "\n"
            "Example:\n"
            "  vqrank inspect model.vqr\n"
            "  vqrank inspect model.vqr --json\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .run = run,
};
