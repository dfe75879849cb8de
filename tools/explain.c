#include "explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "values.h"

enum {
    NAMES_SHOWN = 3,
    NAME_WIDTH = 40, /* three names beside a cluster still fit a wide terminal */
};

/* A feature says what a cluster is about if one of its values makes up this part of the events. */
static const double TELLING_SHARE = 0.25;

/* ---- the history, once per request ---- */

struct event_id {
    const struct vqr_id *id;
    size_t event;
};

static int compare_event_ids(const void *left, const void *right)
{
    const struct event_id *a = left, *b = right;
    const int order = value_compare_ids(a->id, b->id);
    return order != 0 ? order : (a->event > b->event) - (a->event < b->event);
}

/* Numbers the distinct ids of a feature, in ascending order. */
static bool number_values(const struct vqr_rows *events, size_t feature, struct explain_values *values)
{
    struct event_id *ids = calloc(events->rows + 1, sizeof *ids);
    size_t count = 0;
    values->of = calloc(events->rows + 1, sizeof *values->of);
    values->ids = calloc(events->rows + 1, sizeof(const struct vqr_id *));
    values->frequency = calloc(events->rows + 1, sizeof *values->frequency);
    if (ids == NULL || values->of == NULL || values->ids == NULL || values->frequency == NULL) {
        free(ids);
        return false;
    }
    for (size_t i = 0; i < events->rows; i++) {
        const struct vqr_id *id = value_id(&events->columns[feature], i);
        values->of[i] = UINT32_MAX;
        if (id != NULL)
            ids[count++] = (struct event_id){.id = id, .event = i};
    }
    if (count > 1)
        qsort(ids, count, sizeof *ids, compare_event_ids);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || value_compare_ids(ids[i - 1].id, ids[i].id) != 0)
            values->ids[values->count++] = ids[i].id;
        values->of[ids[i].event] = (uint32_t)(values->count - 1);
    }
    free(ids);
    return true;
}

bool explain_clusters(struct scorer *scorer, size_t sequence, uint32_t *clusters, struct refusal *refusal)
{
    struct vqr_error error;
    const enum vqr_status status = vqr_assign(scorer->session, sequence, &scorer->request.events, clusters, &error);
    return status == VQR_OK || refuse_library(refusal, status, &error);
}

/* Finds the clusters of every event in sequence i, and makes room for one candidate's weights in it. */
static bool assign_sequence(struct explanation *explanation, size_t i, size_t *weights, struct refusal *refusal)
{
    struct scorer *scorer = explanation->scorer;
    struct vqr_sequence_info info;
    vqr_sequence_info(scorer->model, i, &info);
    const size_t wanted = (info.codebooks == 0 ? 1 : info.codebooks) * info.tokens;
    *weights = wanted > *weights ? wanted : *weights;
    if (info.codebooks == 0)
        return true;
    explanation->clusters[i] =
        calloc(info.codebooks * scorer->request.events.rows + 1, sizeof *explanation->clusters[i]);
    if (explanation->clusters[i] == NULL)
        return refuse_memory(refusal, "what explains a score");
    return explain_clusters(scorer, i, explanation->clusters[i], refusal);
}

bool explanation_init(struct explanation *explanation, struct scorer *scorer, const struct explain_style *style,
                      struct refusal *refusal)
{
    const size_t sequences = vqr_sequence_count(scorer->model);
    size_t weights = 1;
    *explanation = (struct explanation){.scorer = scorer, .style = style};
    explanation->clusters = calloc(sequences + 1, sizeof *explanation->clusters);
    explanation->values = calloc(style->feature_count + 1, sizeof *explanation->values);
    if (explanation->clusters == NULL || explanation->values == NULL)
        return refuse_memory(refusal, "what explains a score");
    for (size_t i = 0; i < style->feature_count; i++)
        if (!number_values(&scorer->request.events, style->features[i].index, &explanation->values[i]))
            return refuse_memory(refusal, "what explains a score");
    for (size_t i = 0; i < sequences; i++)
        if (!assign_sequence(explanation, i, &weights, refusal))
            return false;
    explanation->weights = calloc(weights, sizeof *explanation->weights);
    return explanation->weights != NULL || refuse_memory(refusal, "what explains a score");
}

void explanation_free(struct explanation *explanation)
{
    const size_t sequences = explanation->clusters == NULL ? 0 : vqr_sequence_count(explanation->scorer->model);
    for (size_t i = 0; i < sequences; i++)
        free(explanation->clusters[i]);
    for (size_t i = 0; explanation->values != NULL && i < explanation->style->feature_count; i++) {
        free(explanation->values[i].of);
        free(explanation->values[i].ids);
        free(explanation->values[i].frequency);
    }
    free(explanation->clusters);
    free(explanation->values);
    free(explanation->weights);
}

/* ---- names ---- */

static void print_value(FILE *out, const struct explanation *explanation, size_t feature, uint32_t value)
{
    const struct explain_feature *style = &explanation->style->features[feature];
    const struct vqr_id *id = explanation->values[feature].ids[value];
    const char *name = style->names != NULL ? names_find(style->names, id) : NULL;
    if (name != NULL) {
        text_print_short(out, name, NAME_WIDTH);
        return;
    }
    text_print_clean(out, explanation->scorer->schema.features[VQR_EVENT][style->index].name);
    fputc('=', out);
    value_print_id(out, id);
}

/* Counts the values of cluster `cluster`'s events. */
static void count_values(struct explain_values *values, const uint32_t *clusters, size_t events, size_t cluster)
{
    memset(values->frequency, 0, (values->count + 1) * sizeof *values->frequency);
    for (size_t i = 0; i < events; i++)
        if (clusters[i] == cluster && values->of[i] != UINT32_MAX)
            values->frequency[values->of[i]]++;
}

/* The value of the highest frequency, of equal ones the lowest id; `count`, whose frequency is 0, if there is none. */
static size_t most_frequent(const struct explain_values *values)
{
    size_t best = values->count;
    for (size_t value = 0; value < values->count; value++)
        if (values->frequency[value] > values->frequency[best])
            best = value;
    return best;
}

/* ": 31 % src/decode.c, 12 % src/tile.c": what the counted events mostly are. */
static void print_most_frequent(FILE *out, struct explanation *explanation, size_t feature, size_t events)
{
    struct explain_values *values = &explanation->values[feature];
    for (int place = 0; place < NAMES_SHOWN; place++) {
        const size_t best = most_frequent(values);
        if (values->frequency[best] == 0)
            break;
        fprintf(out, "%s%.0f %% ", place == 0 ? ": " : ", ", 100.0 * values->frequency[best] / (double)events);
        print_value(out, explanation, feature, (uint32_t)best);
        values->frequency[best] = 0;
    }
}

static void print_cluster(FILE *out, struct explanation *explanation, size_t sequence, size_t codebook, size_t cluster)
{
    const size_t rows = explanation->scorer->request.events.rows;
    const uint32_t *clusters = explanation->clusters[sequence] + codebook * rows;
    size_t events = 0;
    for (size_t i = 0; i < rows; i++)
        events += clusters[i] == cluster;
    fprintf(out, "cluster %zu/%zu, ", codebook, cluster);
    if (events == 0) {
        fputs("empty", out);
        return;
    }
    fprintf(out, "%zu event%s", events, events == 1 ? "" : "s");
    for (size_t i = 0; i < explanation->style->feature_count; i++) {
        struct explain_values *values = &explanation->values[i];
        count_values(values, clusters, rows, cluster);
        if (i + 1 == explanation->style->feature_count ||
            values->frequency[most_frequent(values)] >= TELLING_SHARE * (double)events) {
            print_most_frequent(out, explanation, i, events);
            return;
        }
    }
}

/* Token `token` of `tokens`: the last one is the newest event. */
static void print_event(FILE *out, const struct explanation *explanation, size_t token, size_t tokens)
{
    const size_t ago = tokens - token, events = explanation->scorer->request.events.rows;
    if (ago == 1)
        fputs("the newest event", out);
    else
        fprintf(out, "%zu events ago", ago);
    for (size_t i = 0; i < explanation->style->feature_count; i++) {
        const uint32_t value = explanation->values[i].of[events - ago];
        if (value != UINT32_MAX) {
            fputs(": ", out);
            print_value(out, explanation, i, value);
            break;
        }
    }
}

/* ---- weights ---- */

size_t explain_heaviest(const float *weights, size_t count)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (fabsf(weights[i]) > fabsf(weights[best]))
            best = i;
    return best;
}

/* The heaviest; taken out, so that the next call finds the next. */
static size_t take_heaviest(float *weights, size_t count, float *weight)
{
    const size_t best = explain_heaviest(weights, count);
    *weight = weights[best];
    weights[best] = 0;
    return best;
}

bool explain_row(struct scorer *scorer, size_t sequence, size_t row, float *weights, struct refusal *refusal)
{
    const struct vqr_rows *candidates = &scorer->request.score.candidates;
    bool explained;
    struct vqr_column *columns = calloc(candidates->column_count + 1, sizeof *columns);
    struct vqr_lists *lists = calloc(candidates->column_count + 1, sizeof *lists);
    if (columns == NULL || lists == NULL) {
        explained = refuse_memory(refusal, "what explains a score");
    } else {
        struct vqr_error error;
        for (size_t i = 0; i < candidates->column_count; i++)
            columns[i] = value_row(&scorer->schema.features[VQR_CANDIDATE][i], &candidates->columns[i], row, &lists[i]);
        const struct vqr_request one = {.candidates = {.columns = columns,
                                                       .column_count = candidates->column_count,
                                                       .rows = 1},
                                        .time = scorer->request.score.time};
        const enum vqr_status status = vqr_explain(scorer->session, scorer->state, sequence, &one, weights, &error);
        explained = status == VQR_OK || refuse_library(refusal, status, &error);
    }
    free(columns);
    free(lists);
    return explained;
}

static bool print_sequence(FILE *out, struct explanation *explanation, size_t sequence, size_t row, int width,
                           struct refusal *refusal)
{
    struct vqr_sequence_info info;
    char text[TEXT_NUMBER_SIZE];
    float weight;
    vqr_sequence_info(explanation->scorer->model, sequence, &info);
    if (!explain_row(explanation->scorer, sequence, row, explanation->weights, refusal))
        return false;
    const size_t count = (info.codebooks == 0 ? 1 : info.codebooks) * info.tokens;
    for (size_t place = 0; place < explanation->style->top && place < count; place++) {
        const size_t best = take_heaviest(explanation->weights, count, &weight);
        if (weight == 0)
            break;
        fprintf(out, "%10s", "");
        text_print_padded(out, place == 0 ? info.name : "", width);
        fprintf(out, "  %6s  ", text_weight(text, (double)weight));
        if (info.codebooks > 0)
            print_cluster(out, explanation, sequence, best / info.tokens, best % info.tokens);
        else
            print_event(out, explanation, best, info.tokens);
        fputc('\n', out);
    }
    return true;
}

bool explanation_print(FILE *out, struct explanation *explanation, size_t row, struct refusal *refusal)
{
    const vqr_model *model = explanation->scorer->model;
    struct vqr_sequence_info info;
    int width = 0;
    if (explanation->scorer->request.events.rows == 0)
        return true;
    for (size_t i = 0; vqr_sequence_info(model, i, &info) == VQR_OK; i++)
        width = (int)strlen(info.name) > width ? (int)strlen(info.name) : width;
    for (size_t i = 0; vqr_sequence_info(model, i, &info) == VQR_OK; i++)
        if (!print_sequence(out, explanation, i, row, width, refusal))
            return false;
    return true;
}
