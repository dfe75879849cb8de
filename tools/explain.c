#include "explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"
#include "values.h"

enum { NAMES_SHOWN = 3 };

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

/* Numbers the distinct ids of the naming feature. */
static bool number_values(struct explanation *explanation)
{
    const struct vqr_rows *events = &explanation->scorer->request.events;
    const ptrdiff_t feature = explanation->style->feature;
    struct event_id *ids = calloc(events->rows + 1, sizeof *ids);
    size_t count = 0;
    explanation->values = calloc(events->rows + 1, sizeof *explanation->values);
    explanation->ids = calloc(events->rows + 1, sizeof(const struct vqr_id *));
    explanation->counts = calloc(events->rows + 1, sizeof *explanation->counts);
    if (ids == NULL || explanation->values == NULL || explanation->ids == NULL || explanation->counts == NULL) {
        free(ids);
        return false;
    }
    for (size_t i = 0; i < events->rows; i++) {
        const struct vqr_id *id = feature < 0 ? NULL : value_id(&events->columns[feature], i);
        explanation->values[i] = UINT32_MAX;
        if (id != NULL)
            ids[count++] = (struct event_id){.id = id, .event = i};
    }
    if (count > 1)
        qsort(ids, count, sizeof *ids, compare_event_ids);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || value_compare_ids(ids[i - 1].id, ids[i].id) != 0)
            explanation->ids[explanation->value_count++] = ids[i].id;
        explanation->values[ids[i].event] = (uint32_t)(explanation->value_count - 1);
    }
    free(ids);
    return true;
}

/* Finds the clusters of every event in sequence i, and makes room for one candidate's weights in it. */
static bool assign_sequence(struct explanation *explanation, size_t i, size_t *weights)
{
    struct scorer *scorer = explanation->scorer;
    const struct vqr_rows *events = &scorer->request.events;
    struct vqr_sequence_info info;
    vqr_sequence_info(scorer->model, i, &info);
    const size_t wanted = (info.codebooks == 0 ? 1 : info.codebooks) * info.tokens;
    *weights = wanted > *weights ? wanted : *weights;
    if (info.codebooks == 0)
        return true;
    explanation->clusters[i] = calloc(info.codebooks * events->rows + 1, sizeof *explanation->clusters[i]);
    return explanation->clusters[i] != NULL &&
           vqr_assign(scorer->session, i, events, explanation->clusters[i], NULL) == VQR_OK;
}

bool explanation_init(struct explanation *explanation, struct scorer *scorer, const struct explain_style *style)
{
    const size_t sequences = vqr_sequence_count(scorer->model);
    size_t weights = 1;
    *explanation = (struct explanation){.scorer = scorer, .style = style};
    explanation->clusters = calloc(sequences + 1, sizeof *explanation->clusters);
    if (explanation->clusters == NULL || !number_values(explanation))
        return false;
    for (size_t i = 0; i < sequences; i++)
        if (!assign_sequence(explanation, i, &weights))
            return false;
    explanation->weights = calloc(weights, sizeof *explanation->weights);
    return explanation->weights != NULL;
}

void explanation_free(struct explanation *explanation)
{
    const size_t sequences = explanation->clusters == NULL ? 0 : vqr_sequence_count(explanation->scorer->model);
    for (size_t i = 0; i < sequences; i++)
        free(explanation->clusters[i]);
    free(explanation->clusters);
    free(explanation->values);
    free(explanation->ids);
    free(explanation->counts);
    free(explanation->weights);
}

/* ---- names ---- */

static void print_value(FILE *out, const struct explanation *explanation, uint32_t value)
{
    const struct explain_style *style = explanation->style;
    const struct vqr_id *id = explanation->ids[value];
    const char *name = style->names != NULL ? names_find(style->names, id) : NULL;
    if (name != NULL) {
        text_print_clean(out, name);
        return;
    }
    text_print_clean(out, explanation->scorer->schema.features[VQR_EVENT][style->feature].name);
    fputc('=', out);
    value_print_id(out, id);
}

/* Adds cluster `cluster`'s events to `counts` by their ids, or takes them out again; returns how many there are. */
static size_t count_values(struct explanation *explanation, const uint32_t *clusters, size_t cluster, bool add)
{
    size_t events = 0;
    for (size_t i = 0; i < explanation->scorer->request.events.rows; i++) {
        const uint32_t value = explanation->values[i];
        if (clusters[i] != cluster)
            continue;
        events++;
        if (value != UINT32_MAX)
            explanation->counts[value] = add ? explanation->counts[value] + 1 : 0;
    }
    return events;
}

/* "31 % src/decode.c, 12 % src/tile.c": what the counted events mostly are. Of equal counts the lower id first. */
static void print_most_frequent(FILE *out, struct explanation *explanation, size_t events)
{
    for (int place = 0; place < NAMES_SHOWN; place++) {
        size_t best = explanation->value_count; /* counts[value_count] is 0 */
        for (size_t value = 0; value < explanation->value_count; value++)
            if (explanation->counts[value] > explanation->counts[best])
                best = value;
        if (explanation->counts[best] == 0)
            break;
        fprintf(out, "%s%.0f %% ", place == 0 ? ": " : ", ",
                100.0 * (double)explanation->counts[best] / (double)events);
        print_value(out, explanation, (uint32_t)best);
        explanation->counts[best] = 0;
    }
}

static void print_cluster(FILE *out, struct explanation *explanation, size_t sequence, size_t codebook, size_t cluster)
{
    const uint32_t *clusters = explanation->clusters[sequence] + codebook * explanation->scorer->request.events.rows;
    const size_t events = count_values(explanation, clusters, cluster, true);
    fprintf(out, "cluster %zu/%zu, ", codebook, cluster);
    fprintf(out, events == 0 ? "no events" : events == 1 ? "%zu event" : "%zu events", events);
    print_most_frequent(out, explanation, events);
    count_values(explanation, clusters, cluster, false);
}

/* Token `token` of `tokens`: the last one is the newest event. */
static void print_event(FILE *out, const struct explanation *explanation, size_t token, size_t tokens)
{
    const size_t ago = tokens - token, events = explanation->scorer->request.events.rows;
    const uint32_t value = explanation->values[events - ago];
    if (ago == 1)
        fputs("the newest event", out);
    else
        fprintf(out, "%zu events ago", ago);
    if (value != UINT32_MAX) {
        fputs(": ", out);
        print_value(out, explanation, value);
    }
}

/* ---- weights ---- */

/* The weight furthest from 0 (an attention network may give negative ones), the first of equal ones; taken out, so that
 * the next call finds the next. NaN is never found. */
static size_t take_heaviest(float *weights, size_t count, float *weight)
{
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (fabsf(weights[i]) > fabsf(weights[best]))
            best = i;
    *weight = weights[best];
    weights[best] = 0;
    return best;
}

static enum vqr_status explain(struct explanation *explanation, size_t sequence, size_t row)
{
    struct scorer *scorer = explanation->scorer;
    const struct vqr_rows *candidates = &scorer->request.score.candidates;
    struct vqr_column *columns = calloc(candidates->column_count + 1, sizeof *columns);
    struct vqr_lists *lists = calloc(candidates->column_count + 1, sizeof *lists);
    enum vqr_status status = VQR_ERROR_MEMORY;
    if (columns != NULL && lists != NULL) {
        for (size_t i = 0; i < candidates->column_count; i++)
            columns[i] = value_row(&scorer->schema.features[VQR_CANDIDATE][i], &candidates->columns[i], row, &lists[i]);
        const struct vqr_rows one = {.columns = columns, .column_count = candidates->column_count, .rows = 1};
        status = vqr_explain(scorer->session, scorer->state, sequence, &one, explanation->weights, NULL);
    }
    free(columns);
    free(lists);
    return status;
}

static bool print_sequence(FILE *out, struct explanation *explanation, size_t sequence, size_t row, int width)
{
    struct vqr_sequence_info info;
    float weight;
    vqr_sequence_info(explanation->scorer->model, sequence, &info);
    if (explain(explanation, sequence, row) != VQR_OK)
        return false;
    const size_t count = (info.codebooks == 0 ? 1 : info.codebooks) * info.tokens;
    for (size_t place = 0; place < explanation->style->top && place < count; place++) {
        const size_t best = take_heaviest(explanation->weights, count, &weight);
        if (weight == 0)
            break;
        fprintf(out, "%11s", "");
        text_print_padded(out, place == 0 ? info.name : "", width);
        fprintf(out, "  %6.3f  ", (double)weight);
        if (info.codebooks > 0)
            print_cluster(out, explanation, sequence, best / info.tokens, best % info.tokens);
        else
            print_event(out, explanation, best, info.tokens);
        fputc('\n', out);
    }
    return true;
}

bool explanation_print(FILE *out, struct explanation *explanation, size_t row)
{
    const vqr_model *model = explanation->scorer->model;
    struct vqr_sequence_info info;
    int width = 0;
    if (explanation->scorer->request.events.rows == 0)
        return true;
    for (size_t i = 0; vqr_sequence_info(model, i, &info) == VQR_OK; i++)
        width = (int)strlen(info.name) > width ? (int)strlen(info.name) : width;
    for (size_t i = 0; vqr_sequence_info(model, i, &info) == VQR_OK; i++)
        if (!print_sequence(out, explanation, i, row, width))
            return false;
    return true;
}
