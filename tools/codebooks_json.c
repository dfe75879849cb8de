/* Codebooks, for programs: the key `codebooks` of `vqrank inspect --json`. docs/command.md lists what is in it. */
#include <jansson.h>

#include "inspect.h"
#include "json_values.h"

static json_t *describe_pairs(const struct codebook *codebook)
{
    json_t *pairs = json_array();
    for (size_t i = 0; i < codebook->pair_count; i++) {
        const struct codebook_pair *pair = &codebook->pairs[i];
        json_array_append_new(pairs, json_pack("{s:[o, o], s:f}", "clusters", json_from_whole(pair->a),
                                               json_from_whole(pair->b), "cosine", pair->cosine));
    }
    return pairs;
}

static json_t *describe_cosines(const struct codebook *codebook)
{
    json_t *cosines = json_array();
    for (size_t w = 0; codebook->codewords > 1 && w < codebook->compared_codewords; w++)
        json_array_append_new(cosines, json_real(codebook->nearest_cosine[w]));
    return cosines;
}

/* How events fall over the clusters; null where there were none. */
static json_t *describe_use(const struct codebook *codebook, const struct codebook_use *use)
{
    json_t *events = json_array();
    const double codewords = (double)codebook->codewords;
    if (use->total == 0) {
        json_decref(events);
        return json_null();
    }
    for (size_t w = 0; w < codebook->codewords; w++)
        json_array_append_new(events, json_from_whole(codebook->events[w]));
    return json_pack("{s:o, s:f, s:f, s:f, s:o, s:f, s:o, s:f, s:o}", "events", json_from_whole(use->total),
                     "used_share", (double)use->used / codewords, "perplexity", use->perplexity, "perplexity_share",
                     use->perplexity / codewords, "least", json_from_whole(use->least), "median", use->median, "most",
                     json_from_whole(use->most), "largest_share", (double)use->most / (double)use->total,
                     "events_per_cluster", events);
}

/* What candidates look at; null where none could look at anything. */
static json_t *describe_attention(const struct codebook *codebook)
{
    if (codebook->candidates == 0)
        return json_null();
    return json_pack("{s:o, s:f, s:o}", "candidates", json_from_whole(codebook->candidates), "mean_largest_weight",
                     codebook->largest_weight_sum / (double)codebook->candidates, "usual_cluster_share",
                     codebook->compared > 0 ? json_real((double)codebook->usual / (double)codebook->compared)
                                            : json_null());
}

static json_t *describe_codebook(const struct codebook *codebook)
{
    char warnings[CODEBOOK_WARNINGS][CODEBOOK_WARNING];
    struct codebook_use use;
    json_t *words = json_array();
    if (!codebook_use(codebook, &use)) {
        json_decref(words);
        return NULL;
    }
    const size_t count = codebook_warn(codebook, &use, warnings);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(words, json_string(warnings[i]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "sequence", json_from_text(codebook->sequence),
                     "codebook", json_from_whole(codebook->number), "codewords", json_from_whole(codebook->codewords),
                     "use", describe_use(codebook, &use), "attention", describe_attention(codebook),
                     "compared_codewords", json_from_whole(codebook->compared_codewords), "nearest_pairs",
                     describe_pairs(codebook), "nearest_cosine", describe_cosines(codebook), "warnings", words);
}

json_t *codebooks_describe(const struct codebooks *codebooks)
{
    json_t *list = json_array();
    for (size_t i = 0; i < codebooks->count; i++) {
        if (json_array_append_new(list, describe_codebook(&codebooks->list[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "requests", json_from_whole(codebooks->requests), "events",
                     json_from_whole(codebooks->events), "candidates", json_from_whole(codebooks->candidates), "list",
                     list);
}
