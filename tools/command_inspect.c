/* vqrank inspect: what a model file holds. */
#include "inspect.h"

#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "each_request.h"
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
    [WORDS_LAYOUT] = {"rows", "padded_rows", "panels", "quads"},
    [WORDS_SCORES] = {"fp32", "int8", "int8_exact"},
    [WORDS_KEPT] = {"fp32", "int8"},
    [WORDS_POOL] = {"sum", "mean"},
    [WORDS_COMBINE] = {"concat", "sum"},
    [WORDS_QUANTIZER] = {"rq_gmm", "rq_kmeans"},
};

const char *inspect_word(enum inspect_words words, int value)
{
    const char *word = value < 0 || value >= WORDS_MAX ? NULL : word_lists[words][value];
    return word != NULL ? word : "unknown";
}

bool inspect_table_is_int8(const struct vqr_header *header, const char *table)
{
    struct vqr_header_tensor tensor;
    char name[VQR_NAME_SIZE];
    snprintf(name, sizeof name, "tables.%s.weight", table);
    return vqr_header_find_tensor(header, name, &tensor) && tensor.type == VQR_TENSOR_I8;
}

/* The command's own options, as popt fills them. */
struct inspect_options {
    int json, codebooks;
};

static int add_request(struct scorer *scorer, void *context, struct refusal *refusal)
{
    return codebooks_add(context, scorer, refusal) ? EXIT_DONE : EXIT_REFUSED;
}

/* Fills *codebooks from the file and, where requests are given, from them. Returns the exit status. */
static int look_at_codebooks(struct codebooks *codebooks, const struct inspection *inspection,
                             const struct options *options)
{
    struct scorer scorer;
    int status = EXIT_UNUSABLE;
    const char *input = options->argument_count > 1 ? options->arguments[1] : NULL;
    if (!codebooks_init(codebooks, &inspection->header))
        return complain("out of memory");
    if (input == NULL)
        return EXIT_DONE;
    const int descriptor = open_input(input);
    if (descriptor < 0)
        return EXIT_UNUSABLE;
    if (scorer_init(&scorer, inspection->model, options->isa))
        status = each_request(&scorer, descriptor, input, add_request, codebooks);
    scorer_free(&scorer);
    close(descriptor);
    return status;
}

static int print(const struct inspection *inspection, const char *path, bool json)
{
    const bool printed = json ? inspect_print_json(stdout, inspection) : inspect_print_text(stdout, inspection);
    if (!printed)
        return complain("out of memory");
    if (inspection->verified != VQR_OK)
        return complain("%s: %s", path, inspection->error.message);
    return EXIT_DONE;
}

static int inspect(const vqr_model *model, const struct options *options, const struct inspect_options *own)
{
    struct inspection inspection = {.model = model};
    struct codebooks codebooks = {0};
    const char *path = options->arguments[0];
    char message[256];
    size_t size = 0;
    int status = EXIT_DONE;
    const void *data = vqr_model_data(model, &size);
    if (vqr_header_open(&inspection.header, data, size, message, sizeof message) != VQR_HEADER_OK)
        return complain("%s: %s", path, message);
    vqr_header_info(&inspection.header, &inspection.info);
    if (own->codebooks) {
        status = look_at_codebooks(&codebooks, &inspection, options);
        inspection.codebooks = &codebooks;
    }
    if (status != EXIT_UNUSABLE) {
        inspection.verified = vqr_model_verify(model, &inspection.error);
        const int printed = print(&inspection, path, own->json != 0);
        status = printed > status ? printed : status;
    }
    codebooks_free(&codebooks);
    return status;
}

static int run(const struct command *command, int argc, const char **argv)
{
    struct options options;
    struct inspect_options own = {0};
    int status = EXIT_UNUSABLE;
    struct poptOption table[] = {
        {"json", '\0', POPT_ARG_NONE, &own.json, 0, "print one JSON object", NULL},
        {"codebooks", '\0', POPT_ARG_NONE, &own.codebooks, 0,
         "show how alike the codewords are and, over REQUESTS.jsonl, how events and attention use them", NULL},
        POPT_TABLEEND};
    if (options_parse(&options, command, table, argc, argv, &status)) {
        if (options.argument_count > 1 && !own.codebooks) {
            status = complain("inspect looks at requests only with --codebooks; found %s", options.arguments[1]);
        } else {
            vqr_model *model = scorer_open_model(options.arguments[0]);
            status = model == NULL ? EXIT_UNUSABLE : inspect(model, &options, &own);
            vqr_model_close(model);
        }
    }
    options_free(&options);
    return status;
}

const struct command command_inspect = {
    .name = "inspect",
    .arguments = "MODEL [REQUESTS.jsonl]",
    .summary = "show what a model file holds, and check all of it",
    .text =
        "Prints tables, quantizers, features, sequences, head and tensors, and what a session and a user's state take. Reads\n"
        "all of the file and checks every value: a damaged file exits with status 2 and says what is wrong.\n"
        "\n"
        "--codebooks looks at the codebooks instead (with --json, too): which codewords repeat each other, and,\n"
        "over the users and candidates of REQUESTS.jsonl, how evenly events fall to clusters and whether attention\n"
        "tells candidates apart. What looks wrong is marked WARNING.\n"
        "\n"
        "Examples:\n"
        "  vqrank inspect model.vqr\n"
        "  vqrank inspect model.vqr --json\n"
        "  vqrank inspect model.vqr --codebooks requests.jsonl\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run,
};
