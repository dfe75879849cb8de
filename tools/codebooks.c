#include "codebooks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explain.h"

/* Thresholds of the warnings; docs/command.md says them. Codewords that are merely neighbours are no fault: 128 points
 * evenly on a circle, as codewords for how long ago an event was lie, have a cosine of 0.9988. */
static const double DUPLICATE_COSINE = 0.9999, COLLAPSED_PERPLEXITY = 0.05, COLLAPSED_SHARE = 0.5, USUAL_SHARE = 0.99;
enum {
    EVENTS_PER_CODEWORD = 10, /* fewer say nothing about how even a codebook's use is */
    CODEWORDS_MIN = 4,        /* of fewer, one holds half of the events easily */
    COMPARED_MIN = 100        /* candidates, to say that attention ignores them */
};

/* ---- the file ---- */

static bool find_fold(const struct vqr_header *header, const char *sequence, struct vqr_header_tensor *tensor)
{
    char name[VQR_NAME_SIZE];
    snprintf(name, sizeof name, "sequences.%s.fold", sequence);
    return vqr_header_find_tensor(header, name, tensor) && tensor->rank == 3 && tensor->layout == VQR_PANELS &&
           tensor->type == VQR_TENSOR_F32;
}

/* Column w of a codebook's panels [D][16], at unit length; zeros stay zeros. */
static void unit_column(double *column, const float *panels, size_t width, size_t w)
{
    double square = 0;
    for (size_t i = 0; i < width; i++) {
        column[i] = (double)panels[(w / VQR_PANEL * width + i) * VQR_PANEL + w % VQR_PANEL];
        square += column[i] * column[i];
    }
    const double scale = square > 0 ? 1 / sqrt(square) : 0;
    for (size_t i = 0; i < width; i++)
        column[i] *= scale;
}

/* Keeps the closest pairs, closest first. */
static void offer_pair(struct codebook *codebook, const struct codebook_pair *pair)
{
    size_t place = codebook->pair_count;
    while (place > 0 && codebook->pairs[place - 1].cosine < pair->cosine)
        place--;
    if (place == CODEBOOK_PAIRS)
        return;
    codebook->pair_count += codebook->pair_count < CODEBOOK_PAIRS;
    memmove(&codebook->pairs[place + 1], &codebook->pairs[place],
            (codebook->pair_count - place - 1) * sizeof codebook->pairs[0]);
    codebook->pairs[place] = *pair;
}

static bool compare_codewords(struct codebook *codebook, const float *panels, size_t width)
{
    const size_t codewords = codebook->codewords;
    double *columns = calloc(codewords * width + 1, sizeof *columns);
    if (columns == NULL)
        return false;
    for (size_t w = 0; w < codewords; w++) {
        unit_column(columns + w * width, panels, width, w);
        codebook->nearest_cosine[w] = -1;
    }
    for (size_t b = 1; b < codewords; b++) {
        for (size_t a = 0; a < b; a++) {
            struct codebook_pair pair = {.a = a, .b = b};
            for (size_t i = 0; i < width; i++)
                pair.cosine += columns[a * width + i] * columns[b * width + i];
            codebook->nearest_cosine[a] = fmax(codebook->nearest_cosine[a], pair.cosine);
            codebook->nearest_cosine[b] = fmax(codebook->nearest_cosine[b], pair.cosine);
            offer_pair(codebook, &pair);
        }
    }
    free(columns);
    return true;
}

/* The codebooks of one sequence, at `list`. */
static bool init_sequence(struct codebook *list, const struct vqr_header *header,
                          const struct vqr_header_sequence *sequence)
{
    struct vqr_header_tensor fold = {0};
    const bool found = find_fold(header, sequence->name, &fold);
    for (size_t j = 0; j < sequence->codebooks; j++) {
        struct codebook *codebook = &list[j];
        *codebook = (struct codebook){.sequence = sequence->name,
                                      .sequence_index = sequence->index,
                                      .number = j,
                                      .codewords = sequence->codewords};
        codebook->nearest_cosine = calloc(sequence->codewords, sizeof *codebook->nearest_cosine);
        codebook->events = calloc(sequence->codewords, sizeof *codebook->events);
        if (codebook->nearest_cosine == NULL || codebook->events == NULL)
            return false;
        const size_t padded = (sequence->codewords + VQR_PANEL - 1) / VQR_PANEL * VQR_PANEL;
        const float *panels = (const float *)(const void *)(header->data + fold.offset) + j * fold.shape[1] * padded;
        if (found && !compare_codewords(codebook, panels, fold.shape[1]))
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
        total += sequence.kind == VQR_SEQUENCE_DMQN ? sequence.codebooks : 0;
    }
    *codebooks = (struct codebooks){.list = calloc(total + 1, sizeof *codebooks->list)};
    if (codebooks->list == NULL)
        return false;
    codebooks->count = total;
    for (size_t i = 0, first = 0; i < info.sequences; i++) {
        vqr_header_sequence(header, i, &sequence);
        if (sequence.kind != VQR_SEQUENCE_DMQN)
            continue;
        if (!init_sequence(codebooks->list + first, header, &sequence))
            return false;
        first += sequence.codebooks;
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

static bool add_events(struct codebook *codebooks, size_t count, struct scorer *scorer)
{
    const struct vqr_rows *events = &scorer->request.events;
    uint32_t *clusters = calloc(count * events->rows + 1, sizeof *clusters);
    if (clusters == NULL || vqr_assign(scorer->session, codebooks->sequence_index, events, clusters, NULL) != VQR_OK) {
        free(clusters);
        return false;
    }
    for (size_t j = 0; j < count; j++)
        for (size_t i = 0; i < events->rows; i++)
            codebooks[j].events[clusters[j * events->rows + i]]++;
    free(clusters);
    return true;
}

static size_t heaviest(const float *weights, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (fabsf(weights[i]) > fabsf(weights[best]))
            best = i;
    return best;
}

/* Looks at every candidate's weights; first[j][w] counts the candidates whose heaviest cluster of codebook j is w. */
static bool add_weights(struct codebook *codebooks, size_t count, struct scorer *scorer, float *weights,
                        uint64_t *first)
{
    const size_t codewords = codebooks->codewords, candidates = scorer->request.score.candidates.rows;
    for (size_t row = 0; row < candidates; row++) {
        if (explain_row(scorer, codebooks->sequence_index, row, weights) != VQR_OK)
            return false;
        for (size_t j = 0; j < count; j++) {
            const size_t best = heaviest(weights + j * codewords, codewords);
            codebooks[j].largest_weight_sum += fabs((double)weights[j * codewords + best]);
            first[j * codewords + best]++;
        }
    }
    for (size_t j = 0; j < count; j++) {
        uint64_t usual = 0;
        for (size_t w = 0; w < codewords; w++)
            usual = first[j * codewords + w] > usual ? first[j * codewords + w] : usual;
        codebooks[j].candidates += candidates;
        codebooks[j].compared += candidates > 1 ? candidates : 0;
        codebooks[j].usual += candidates > 1 ? usual : 0;
    }
    return true;
}

static bool add_attention(struct codebook *codebooks, size_t count, struct scorer *scorer)
{
    float *weights = calloc(count * codebooks->codewords, sizeof *weights);
    uint64_t *first = calloc(count * codebooks->codewords, sizeof *first);
    const bool added = weights != NULL && first != NULL && add_weights(codebooks, count, scorer, weights, first);
    free(weights);
    free(first);
    return added;
}

bool codebooks_add(struct codebooks *codebooks, struct scorer *scorer)
{
    codebooks->requests++;
    codebooks->events += scorer->request.events.rows;
    codebooks->candidates += scorer->request.score.candidates.rows;
    if (scorer->request.events.rows == 0)
        return true;
    for (size_t i = 0; i < codebooks->count;) {
        struct codebook *first = &codebooks->list[i];
        const size_t count = vqr_sequence_codebooks(scorer->model, first->sequence_index);
        if (!add_events(first, count, scorer) || !add_attention(first, count, scorer))
            return false;
        i += count;
    }
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
    for (size_t w = 0; w < codebook->codewords; w++)
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
