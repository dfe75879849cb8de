#include "codebooks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"

/* Thresholds of the warnings; docs/command.md says them. Codewords that are merely neighbours are no fault: 128 points
 * evenly on a circle, as codewords for how long ago an event was lie, have a cosine of 0.9988. */
static const double DUPLICATE_COSINE = 0.9999, COLLAPSED_PERPLEXITY = 0.05, COLLAPSED_SHARE = 0.5, USUAL_SHARE = 0.99;

/* What comparing every two codewords of all codebooks may cost: some seconds. Thousands of codewords fit. */
static const double PRODUCTS_MAX = 0x1p32;

enum {
    EVENTS_PER_CODEWORD = 10, /* fewer say nothing about how even a codebook's use is */
    CODEWORDS_MIN = 4,        /* of fewer, one holds half of the events easily */
    COMPARED_MIN = 100        /* candidates, to say that attention ignores them */
};

/* ---- the file ---- */

/* The tensor of this name and type; NULL if the file has none. */
static const void *find_tensor(const struct vqr_header *header, enum vqr_tensor_type type, const char *name)
{
    struct vqr_header_tensor tensor;
    const bool found = vqr_header_find_tensor(header, name, &tensor) && tensor.type == type;
    return found ? header->data + tensor.offset : NULL;
}

/* Numbers that the int8 fold NAME keeps in fp32, of codebook `j`. */
static void find_kept(struct codebook_columns *columns, const struct vqr_header *header, const char *name, size_t j,
                      size_t padded)
{
    struct vqr_header_tensor tensor;
    char kept[VQR_NAME_SIZE];
    snprintf(kept, sizeof kept, "%.240s.kept", name);
    if (!vqr_header_find_tensor(header, kept, &tensor))
        return;
    columns->kept = (size_t)tensor.shape[0];
    columns->kept_column = find_tensor(header, VQR_TENSOR_U32, kept);
    snprintf(kept, sizeof kept, "%.240s.kept.weight", name);
    columns->kept_panels = find_tensor(header, VQR_TENSOR_F32, kept);
    if (columns->kept_column == NULL || columns->kept_panels == NULL)
        columns->kept = 0;
    else
        columns->kept_panels += j * columns->kept * padded;
}

/* The fold of codebook `j`, of those in the tensor, in fp32 or int8. */
static void find_fold(struct codebook_columns *columns, const struct vqr_header *header, const char *name, size_t j,
                      size_t codewords)
{
    const size_t padded = (codewords + VQR_PANEL - 1) / VQR_PANEL * VQR_PANEL;
    char scale[VQR_NAME_SIZE];
    columns->panels = find_tensor(header, VQR_TENSOR_F32, name);
    if (columns->panels != NULL) {
        columns->panels += j * columns->width * padded;
        return;
    }
    snprintf(scale, sizeof scale, "%.240s.scale", name);
    columns->quads = find_tensor(header, VQR_TENSOR_I8, name);
    columns->scale = find_tensor(header, VQR_TENSOR_F32, scale);
    if (columns->quads == NULL || columns->scale == NULL) {
        columns->quads = NULL;
        return;
    }
    columns->quads += j * ((columns->width + 3) / 4 * 4) * padded;
    columns->scale += j * padded;
    find_kept(columns, header, name, j, padded);
}

/* What an event is multiplied with to choose its cluster in codebook j of a sequence. */
static struct codebook_columns find_columns(const struct vqr_header *header, const struct vqr_header_sequence *sequence,
                                            size_t j, size_t codewords, size_t width)
{
    struct codebook_columns columns = {.width = width};
    char name[VQR_NAME_SIZE];
    if (sequence->kind == VQR_SEQUENCE_VQL) {
        snprintf(name, sizeof name, "sequences.%s.vql.groups.%zu.offset", sequence->name, j);
        columns.offset = find_tensor(header, VQR_TENSOR_F32, name);
        snprintf(name, sizeof name, "sequences.%s.vql.groups.%zu.fold", sequence->name, j);
        find_fold(&columns, header, name, 0, codewords);
    } else {
        snprintf(name, sizeof name, "sequences.%s.fold", sequence->name);
        find_fold(&columns, header, name, j, codewords);
    }
    return columns;
}

static size_t event_width(const struct vqr_header *header)
{
    struct vqr_header_info info;
    size_t width = 0;
    vqr_header_info(header, &info);
    for (size_t i = 0; i < info.features[VQR_EVENT]; i++) {
        struct vqr_header_feature feature;
        vqr_header_feature(header, VQR_EVENT, i, &feature);
        width += feature.width;
    }
    return width;
}

static size_t codebooks_of(const struct vqr_header_sequence *sequence)
{
    return sequence->kind == VQR_SEQUENCE_DMQN  ? sequence->codebooks
           : sequence->kind == VQR_SEQUENCE_VQL ? sequence->vql.groups
                                                : 0;
}

static size_t codewords_of(const struct vqr_header *header, const struct vqr_header_sequence *sequence, size_t j)
{
    struct vqr_header_vql_group group;
    if (sequence->kind != VQR_SEQUENCE_VQL)
        return sequence->codewords;
    vqr_header_vql_group(header, sequence->index, j, &group);
    return group.codewords;
}

/* The codebooks of one sequence, at `list`. */
static bool init_sequence(struct codebook *list, const struct vqr_header *header,
                          const struct vqr_header_sequence *sequence, double products)
{
    for (size_t j = 0; j < codebooks_of(sequence); j++) {
        const size_t codewords = codewords_of(header, sequence, j);
        struct codebook *codebook = &list[j];
        *codebook = (struct codebook){.sequence = sequence->name,
                                      .sequence_index = sequence->index,
                                      .number = j,
                                      .codewords = codewords};
        codebook->nearest_cosine = calloc(codewords, sizeof *codebook->nearest_cosine);
        codebook->events = calloc(codewords, sizeof *codebook->events);
        if (codebook->nearest_cosine == NULL || codebook->events == NULL)
            return false;
        const struct codebook_columns columns = find_columns(header, sequence, j, codewords, event_width(header));
        if ((columns.panels != NULL || columns.quads != NULL) && !codebook_compare(codebook, &columns, products))
            return false;
    }
    return true;
}

bool codebooks_init(struct codebooks *codebooks, const struct vqr_header *header)
{
    struct vqr_header_info info;
    struct vqr_header_sequence sequence;
    size_t total = 0;
    vqr_header_info(header, &info);
    for (size_t i = 0; i < info.sequences; i++) {
        vqr_header_sequence(header, i, &sequence);
        total += codebooks_of(&sequence);
    }
    *codebooks = (struct codebooks){.list = calloc(total + 1, sizeof *codebooks->list)};
    if (codebooks->list == NULL)
        return false;
    codebooks->count = total;
    for (size_t i = 0, first = 0; i < info.sequences; i++) {
        vqr_header_sequence(header, i, &sequence);
        if (!init_sequence(codebooks->list + first, header, &sequence, PRODUCTS_MAX / (double)total))
            return false;
        first += codebooks_of(&sequence);
    }
    return true;
}

void codebooks_free(struct codebooks *codebooks)
{
    for (size_t i = 0; i < codebooks->count; i++) {
        free(codebooks->list[i].nearest_cosine);
        free(codebooks->list[i].events);
    }
    free(codebooks->list);
    *codebooks = (struct codebooks){0};
}

/* ---- requests ---- */

/* The counts of codebook i of a model, as one request alone has them. */
static struct codebook *tally_new(const struct codebooks *codebooks)
{
    struct codebook *tally = calloc(codebooks->count + 1, sizeof *tally);
    for (size_t i = 0; tally != NULL && i < codebooks->count; i++) {
        tally[i] = (struct codebook){.codewords = codebooks->list[i].codewords,
                                     .sequence_index = codebooks->list[i].sequence_index};
        tally[i].events = calloc(tally[i].codewords, sizeof *tally[i].events);
    }
    return tally;
}

static void tally_free(struct codebook *tally, size_t count)
{
    for (size_t i = 0; tally != NULL && i < count; i++)
        free(tally[i].events);
    free(tally);
}

static void add_tally(struct codebook *codebook, const struct codebook *tally)
{
    for (size_t w = 0; w < codebook->codewords; w++)
        codebook->events[w] += tally->events[w];
    codebook->candidates += tally->candidates;
    codebook->largest_weight_sum += tally->largest_weight_sum;
    codebook->compared += tally->compared;
    codebook->usual += tally->usual;
}

static bool add_events(struct codebook *codebooks, size_t count, struct scorer *scorer, struct refusal *refusal)
{
    const size_t rows = scorer->request.events.rows;
    uint32_t *clusters = calloc(count * rows + 1, sizeof *clusters);
    const bool found = clusters != NULL ? explain_clusters(scorer, codebooks->sequence_index, clusters, refusal)
                                        : refuse_memory(refusal, "what a request says of codebooks");
    for (size_t j = 0; found && j < count; j++)
        for (size_t i = 0; i < rows; i++)
            codebooks[j].events[clusters[j * rows + i]]++;
    free(clusters);
    return found;
}

/* Looks at every candidate's weights[j][step]; first[j][w] counts the candidates whose heaviest cluster of codebook j
 * is w. */
static bool add_weights(struct codebook *codebooks, size_t count, size_t step, struct scorer *scorer, float *weights,
                        uint64_t *first, struct refusal *refusal)
{
    const size_t candidates = scorer->request.score.candidates.rows;
    for (size_t row = 0; row < candidates; row++) {
        if (!explain_row(scorer, codebooks->sequence_index, row, weights, refusal))
            return false;
        for (size_t j = 0; j < count; j++) {
            const size_t best = explain_heaviest(weights + j * step, codebooks[j].codewords);
            codebooks[j].largest_weight_sum += fabs((double)weights[j * step + best]);
            first[j * step + best]++;
        }
    }
    for (size_t j = 0; j < count; j++) {
        uint64_t usual = 0;
        for (size_t w = 0; w < codebooks[j].codewords; w++)
            usual = first[j * step + w] > usual ? first[j * step + w] : usual;
        codebooks[j].candidates += candidates;
        codebooks[j].compared += candidates > 1 ? candidates : 0;
        codebooks[j].usual += candidates > 1 ? usual : 0;
    }
    return true;
}

static bool add_attention(struct codebook *codebooks, size_t count, struct scorer *scorer, struct refusal *refusal)
{
    struct vqr_sequence_info info;
    vqr_sequence_info(scorer->model, codebooks->sequence_index, &info);
    float *weights = calloc(count * info.tokens, sizeof *weights);
    uint64_t *first = calloc(count * info.tokens, sizeof *first);
    const bool added = weights != NULL && first != NULL
                           ? add_weights(codebooks, count, info.tokens, scorer, weights, first, refusal)
                           : refuse_memory(refusal, "what a request says of codebooks");
    free(weights);
    free(first);
    return added;
}

/* Fills the tally of a request that has events. */
static bool tally_request(const struct codebooks *codebooks, struct codebook *tally, struct scorer *scorer,
                          struct refusal *refusal)
{
    for (size_t i = 0; i < codebooks->count; i++)
        if (tally == NULL || tally[i].events == NULL)
            return refuse_memory(refusal, "what a request says of codebooks");
    for (size_t i = 0; i < codebooks->count;) {
        const size_t count = vqr_sequence_codebooks(scorer->model, tally[i].sequence_index);
        if (!add_events(&tally[i], count, scorer, refusal) || !add_attention(&tally[i], count, scorer, refusal))
            return false;
        i += count;
    }
    return true;
}

bool codebooks_add(struct codebooks *codebooks, struct scorer *scorer, struct refusal *refusal)
{
    const size_t events = scorer->request.events.rows;
    if (events > 0) {
        struct codebook *tally = tally_new(codebooks);
        const bool told = tally_request(codebooks, tally, scorer, refusal);
        for (size_t i = 0; told && i < codebooks->count; i++)
            add_tally(&codebooks->list[i], &tally[i]);
        tally_free(tally, codebooks->count);
        if (!told)
            return false;
    }
    codebooks->requests++;
    codebooks->events += events;
    codebooks->candidates += scorer->request.score.candidates.rows;
    return true;
}

/* ---- what it comes to ---- */

static int compare_counts(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

bool codebook_use(const struct codebook *codebook, struct codebook_use *use)
{
    const size_t n = codebook->codewords;
    uint64_t *sorted = calloc(n, sizeof *sorted);
    if (sorted == NULL)
        return false;
    memcpy(sorted, codebook->events, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_counts);
    *use = (struct codebook_use){.least = sorted[0],
                                 .most = sorted[n - 1],
                                 .median = 0.5 * ((double)sorted[(n - 1) / 2] + (double)sorted[n / 2])};
    double entropy = 0;
    for (size_t w = 0; w < n; w++)
        use->total += sorted[w];
    for (size_t w = 0; w < n; w++) {
        const double share = (double)sorted[w] / (double)use->total;
        use->used += sorted[w] > 0;
        entropy -= sorted[w] > 0 ? share * log(share) : 0;
    }
    use->perplexity = use->total > 0 ? exp(entropy) : 0;
    free(sorted);
    return true;
}

static size_t count_duplicates(const struct codebook *codebook)
{
    size_t count = 0;
    for (size_t w = 0; w < codebook->compared_codewords; w++)
        count += codebook->nearest_cosine[w] >= DUPLICATE_COSINE;
    return count;
}

size_t codebook_warn(const struct codebook *codebook, const struct codebook_use *use,
                     char warnings[CODEBOOK_WARNINGS][CODEBOOK_WARNING])
{
    const double total = (double)use->total, codewords = (double)codebook->codewords;
    const bool judged = codebook->codewords >= CODEWORDS_MIN && total >= EVENTS_PER_CODEWORD * codewords;
    const size_t duplicates = count_duplicates(codebook);
    size_t count = 0;
    if (judged && (double)use->most > COLLAPSED_SHARE * total)
        snprintf(warnings[count++], CODEBOOK_WARNING, "collapsed: one cluster holds %.0f %% of the events",
                 100 * (double)use->most / total);
    if (judged && use->perplexity < COLLAPSED_PERPLEXITY * codewords)
        snprintf(warnings[count++], CODEBOOK_WARNING,
                 "collapsed: events spread as over %.1f equal clusters (perplexity), of %zu", use->perplexity,
                 codebook->codewords);
    if (codebook->codewords > 1 && codebook->compared >= COMPARED_MIN &&
        (double)codebook->usual >= USUAL_SHARE * (double)codebook->compared)
        snprintf(warnings[count++], CODEBOOK_WARNING,
                 "attention always picks one cluster: %.1f %% of a user's candidates weigh the same one most",
                 100 * (double)codebook->usual / (double)codebook->compared);
    if (duplicates > 0)
        snprintf(warnings[count++], CODEBOOK_WARNING, "%zu codewords nearly repeat another one (cosine at least %.4f)",
                 duplicates, DUPLICATE_COSINE);
    return count;
}
