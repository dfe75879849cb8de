/* Codebooks, for people. */
#include <inttypes.h>
#include <stdio.h>

#include "inspect.h"
#include "text.h"

static void print_use(FILE *out, const struct codebook *codebook, const struct codebook_use *use)
{
    char least[TEXT_NUMBER_SIZE], most[TEXT_NUMBER_SIZE];
    const double codewords = (double)codebook->codewords;
    fprintf(out, "used %zu of %zu codewords (%.0f %%), perplexity %.1f (%.0f %%)\n", use->used, codebook->codewords,
            100 * (double)use->used / codewords, use->perplexity, 100 * use->perplexity / codewords);
    inspect_print_label(out, "");
    fprintf(out, "  events a cluster: least %s, median %g, most %s (%.0f %% of all)\n", text_grouped(least, use->least),
            use->median, text_grouped(most, use->most), 100 * (double)use->most / (double)use->total);
}

static void print_attention(FILE *out, const struct codebook *codebook)
{
    if (codebook->candidates == 0)
        return;
    char weight[TEXT_NUMBER_SIZE];
    inspect_print_label(out, "");
    fprintf(out, "  attention: a candidate's largest weight is %s on average",
            text_weight(weight, codebook->largest_weight_sum / (double)codebook->candidates));
    if (codebook->compared > 0)
        fprintf(out, "; %.0f %% put it on their user's usual cluster",
                100 * (double)codebook->usual / (double)codebook->compared);
    fputc('\n', out);
}

static void print_pairs(FILE *out, const struct codebook *codebook)
{
    char compared[TEXT_NUMBER_SIZE];
    if (codebook->pair_count == 0)
        return;
    inspect_print_label(out, "");
    if (codebook->compared_codewords < codebook->codewords)
        fprintf(out, "  nearest of the first %s clusters:", text_grouped(compared, codebook->compared_codewords));
    else
        fputs("  nearest clusters:", out);
    for (size_t i = 0; i < codebook->pair_count; i++) {
        const struct codebook_pair *pair = &codebook->pairs[i];
        fprintf(out, "%s %zu and %zu (%s%.4f)", i == 0 ? "" : ",", pair->a, pair->b, i == 0 ? "cosine " : "",
                pair->cosine);
    }
    fputc('\n', out);
}

static bool print_codebook(FILE *out, const struct codebook *codebook)
{
    char warnings[CODEBOOK_WARNINGS][CODEBOOK_WARNING];
    struct codebook_use use;
    if (!codebook_use(codebook, &use))
        return false;
    inspect_print_label(out, "");
    text_print_clean(out, codebook->sequence);
    fprintf(out, "/%zu  ", codebook->number);
    if (use.total > 0)
        print_use(out, codebook, &use);
    else
        fprintf(out, "%zu codewords\n", codebook->codewords);
    print_attention(out, codebook);
    print_pairs(out, codebook);
    const size_t count = codebook_warn(codebook, &use, warnings);
    for (size_t i = 0; i < count; i++) {
        inspect_print_label(out, "");
        fprintf(out, "  WARNING %s\n", warnings[i]);
    }
    return true;
}

bool codebooks_print_text(FILE *out, const struct codebooks *codebooks)
{
    char requests[TEXT_NUMBER_SIZE], events[TEXT_NUMBER_SIZE], candidates[TEXT_NUMBER_SIZE];
    inspect_print_label(out, "codebooks");
    if (codebooks->count == 0)
        fputs("none: no sequence of this model has any\n", out);
    else if (codebooks->requests == 0)
        fputs("as the file tells; give requests to see how they are used\n", out);
    else
        fprintf(out, "as used by %s requests with %s events and %s candidates\n",
                text_grouped(requests, codebooks->requests), text_grouped(events, codebooks->events),
                text_grouped(candidates, codebooks->candidates));
    for (size_t i = 0; i < codebooks->count; i++)
        if (!print_codebook(out, &codebooks->list[i]))
            return false;
    return true;
}
