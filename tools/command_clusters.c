/* vqrank clusters: which codeword each event of each request falls to. */
#include <stdlib.h>
#include <unistd.h>

#include "each_request.h"
#include "explain.h"
#include "json_values.h"
#include "options.h"
#include "scorer.h"

/* The codewords of one sequence, an array for each of its codebooks; NULL when out of memory or refused. */
static json_t *list_sequence(struct scorer *scorer, size_t sequence, size_t codebooks, struct refusal *refusal)
{
    const size_t rows = scorer->request.events.rows;
    uint32_t *clusters = calloc(codebooks * rows + 1, sizeof *clusters);
    json_t *list = clusters != NULL ? json_array() : NULL;
    if (list == NULL) {
        refuse_memory(refusal, "the clusters of a request");
    } else if (!explain_clusters(scorer, sequence, clusters, refusal)) {
        json_decref(list);
        list = NULL;
    }
    for (size_t j = 0; list != NULL && j < codebooks; j++) {
        json_t *own = json_array();
        for (size_t i = 0; i < rows; i++)
            json_array_append_new(own, json_integer(clusters[j * rows + i]));
        json_array_append_new(list, own);
    }
    free(clusters);
    return list;
}

/* Prints one line for the scorer's last request. */
static int print_clusters(struct scorer *scorer, void *out, struct refusal *refusal)
{
    json_t *sequences = json_object();
    int status = EXIT_DONE;
    for (size_t i = 0; status == EXIT_DONE && i < vqr_sequence_count(scorer->model); i++) {
        struct vqr_sequence_info info;
        vqr_sequence_info(scorer->model, i, &info);
        if (info.codebooks == 0)
            continue;
        json_t *list = list_sequence(scorer, i, info.codebooks, refusal);
        if (list == NULL || json_object_set_new(sequences, info.name, list) != 0)
            status = EXIT_REFUSED;
    }
    json_t *line = json_pack("{s:O?, s:o}", "id", scorer->request.id, "clusters", sequences);
    if (status == EXIT_DONE && (line == NULL || json_dumpf(line, out, JSON_COMPACT | JSON_PRESERVE_ORDER) != 0)) {
        refuse_memory(refusal, "the clusters of a request");
        status = EXIT_REFUSED;
    }
    if (status == EXIT_DONE)
        fputc('\n', out);
    json_decref(line);
    return status;
}

static int list_clusters(const struct options *options)
{
    struct scorer scorer;
    int status = EXIT_UNUSABLE;
    const char *input = options->argument_count > 1 ? options->arguments[1] : NULL;
    vqr_model *model = scorer_open_model(options->arguments[0]);
    const int descriptor = model == NULL ? -1 : open_input(input);
    if (descriptor >= 0) {
        if (scorer_init(&scorer, model, options->isa))
            status = each_request(&scorer, descriptor, input, print_clusters, stdout);
        scorer_free(&scorer);
        close(descriptor);
    }
    vqr_model_close(model);
    return status;
}

static int run(const struct command *command, int argc, const char **argv)
{
    struct options options;
    int status = EXIT_UNUSABLE;
    struct poptOption table[] = {POPT_TABLEEND};
    if (options_parse(&options, command, table, argc, argv, &status))
        status = list_clusters(&options);
    options_free(&options);
    return status;
}

const struct command command_clusters = {
    .name = "clusters",
    .arguments = "MODEL [REQUESTS.jsonl]",
    .summary = "list the codeword that each event falls to",
    .text =
        "Reads requests as `score` does and writes one line for each: the sequences that have codebooks (of kind\n"
        "sdim: hashes), and for each codebook the codewords of the request's events, in their order. Refused\n"
        "requests are named on standard error. Exit status: 0; 1 some request was refused; 2 unusable arguments,\n"
        "model or processor.\n"
        "\n"
        "Example:\n"
        "  vqrank clusters model.vqr requests.jsonl\n"
        "  {\"id\":\"r1\",\"clusters\":{\"long\":[[17,17],[4,101]]}}   two events in the two codebooks of \"long\"\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .run = run,
};
