#include "rank_table.h"

#include <stdlib.h>

#include "text.h"
#include "values.h"

struct ranked {
    float score;
    size_t row;
};

/* One row of the table. */
struct place {
    struct ranked ranked;
    size_t number; /* from 1 */
    bool mark;     /* known to be right */
};

/* Highest score first; equal scores in the request's order, so that the same request gives the same table. */
static int compare_ranked(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->row < b->row ? -1 : a->row > b->row;
}

static struct ranked *rank(const struct scorer *scorer, size_t output)
{
    const size_t rows = scorer->request.score.candidates.rows;
    struct ranked *ranked = calloc(rows + 1, sizeof *ranked);
    for (size_t row = 0; ranked != NULL && row < rows; row++)
        ranked[row] = (struct ranked){.score = scorer->scores[row * scorer->outputs.count + output], .row = row};
    if (ranked != NULL && rows > 1)
        qsort(ranked, rows, sizeof *ranked, compare_ranked);
    return ranked;
}

/* ---- values of candidates ---- */

/* The id of candidate `row`, NULL if it has none. */
static const struct vqr_id *candidate_id(const struct scorer *scorer, size_t feature, size_t row)
{
    return value_id(&scorer->request.score.candidates.columns[feature], row);
}

/* "item=9 directory=2", values that are absent left out. */
static void print_values(FILE *out, const struct scorer *scorer, size_t row)
{
    const struct vqr_rows *candidates = &scorer->request.score.candidates;
    const char *separator = "";
    for (size_t i = 0; i < candidates->column_count; i++) {
        if (!value_is_present(&candidates->columns[i], row))
            continue;
        fprintf(out, "%s%s=", separator, scorer->schema.features[VQR_CANDIDATE][i].name);
        value_print(out, &scorer->schema.features[VQR_CANDIDATE][i], &candidates->columns[i], row);
        separator = " ";
    }
    fputs(*separator == '\0' ? "(no values)" : "", out);
}

/* The names of a candidate, or "item=9" where a file does not have it. */
static void print_names(FILE *out, const struct scorer *scorer, const struct rank_style *style, size_t row)
{
    for (size_t i = 0; i < style->name_count; i++) {
        const struct rank_names *names = &style->names[i];
        const struct vqr_id *id = candidate_id(scorer, names->feature, row);
        const char *name = id != NULL ? names_find(&names->names, id) : NULL;
        fputs(i == 0 ? "" : "  ", out);
        if (name != NULL) {
            text_print_clean(out, name);
        } else if (id != NULL) {
            fprintf(out, "%s=", scorer->schema.features[VQR_CANDIDATE][names->feature].name);
            value_print_id(out, id);
        } else {
            fprintf(out, "(no %s)", scorer->schema.features[VQR_CANDIDATE][names->feature].name);
        }
    }
}

/* ---- relevance ---- */

static const json_t *find_relevant(const struct scorer *scorer, const struct rank_style *style)
{
    return style->relevance == NULL ? NULL : relevance_find(style->relevance, scorer->request.id);
}

static bool is_relevant(const struct scorer *scorer, const struct rank_style *style, const json_t *relevant, size_t row)
{
    const struct vqr_id *id = candidate_id(scorer, (size_t)style->relevant_feature, row);
    size_t i;
    json_t *value;
    if (id == NULL)
        return false;
    json_array_foreach(relevant, i, value)
    {
        if (relevance_equal(value, id))
            return true;
    }
    return false;
}

/* How many of the relevant ids are among the first `shown` rows; an id that is listed by two rows counts once. */
static size_t count_found(const struct scorer *scorer, const struct rank_style *style, const json_t *relevant,
                          const struct ranked *ranked, size_t shown)
{
    size_t found = 0, i;
    json_t *value;
    json_array_foreach(relevant, i, value)
    {
        for (size_t place = 0; place < shown; place++) {
            const struct vqr_id *id = candidate_id(scorer, (size_t)style->relevant_feature, ranked[place].row);
            if (id != NULL && relevance_equal(value, id)) {
                found++;
                break;
            }
        }
    }
    return found;
}

/* ---- the table ---- */

static void print_request_id(FILE *out, const json_t *id)
{
    if (json_is_string(id))
        text_print_clean_bytes(out, json_string_value(id), json_string_length(id));
    else
        fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
}

static void print_heading(FILE *out, const struct scorer *scorer, const struct rank_style *style,
                          const json_t *relevant, const struct ranked *ranked, size_t shown)
{
    const size_t events = scorer->request.events.rows, candidates = scorer->request.score.candidates.rows;
    fputs(style->terminal ? "\033[1m" : "", out);
    fputs("request ", out);
    print_request_id(out, scorer->request.id);
    fprintf(out, ": %zu event%s, %zu candidate%s, encode %.3f ms, score %.3f ms", events, events == 1 ? "" : "s",
            candidates, candidates == 1 ? "" : "s", 1e3 * scorer->encode_seconds, 1e3 * scorer->score_seconds);
    if (relevant != NULL) {
        fprintf(out, ", %zu of %zu relevant in the top %zu", count_found(scorer, style, relevant, ranked, shown),
                json_array_size(relevant), style->top);
    }
    fprintf(out, "%s\n", style->terminal ? "\033[0m" : "");
}

/* The place, the score and the candidate's names, then what carried the score if that was asked for. */
static bool print_place(FILE *out, const struct scorer *scorer, const struct rank_style *style,
                        const struct place *place, struct explanation *explanation, struct refusal *refusal)
{
    fprintf(out, "%s%6zu  %c  %-10.6f ", place->mark && style->terminal ? "\033[32m" : "", place->number,
            place->mark ? '*' : ' ', (double)place->ranked.score);
    if (style->name_count > 0)
        print_names(out, scorer, style, place->ranked.row);
    else
        print_values(out, scorer, place->ranked.row);
    fprintf(out, "%s\n", place->mark && style->terminal ? "\033[0m" : "");
    return explanation == NULL || explanation_print(out, explanation, place->ranked.row, refusal);
}

static bool print_places(FILE *out, struct scorer *scorer, const struct rank_style *style, const json_t *relevant,
                         const struct ranked *ranked, size_t shown, struct refusal *refusal)
{
    struct explanation explanation;
    bool printed = true;
    const bool explain = style->explain.top > 0 && shown > 0;
    if (explain)
        printed = explanation_init(&explanation, scorer, &style->explain, refusal);
    for (size_t i = 0; printed && i < shown; i++) {
        const struct place place = {.ranked = ranked[i],
                                    .number = i + 1,
                                    .mark = relevant != NULL && is_relevant(scorer, style, relevant, ranked[i].row)};
        printed = print_place(out, scorer, style, &place, explain ? &explanation : NULL, refusal);
    }
    if (explain)
        explanation_free(&explanation);
    return printed;
}

bool rank_table_print(FILE *out, struct scorer *scorer, const struct rank_style *style, struct refusal *refusal)
{
    const size_t rows = scorer->request.score.candidates.rows;
    const size_t shown = rows < style->top ? rows : style->top;
    const json_t *relevant = find_relevant(scorer, style);
    struct ranked *ranked = rank(scorer, style->output);
    if (ranked == NULL)
        return refuse_memory(refusal, "a ranking");
    print_heading(out, scorer, style, relevant, ranked, shown);
    if (shown > 0) {
        fputs("  rank     ", out);
        text_print_padded(out, scorer->outputs.names[style->output], 10);
        fputs(" candidate\n", out);
    }
    const bool printed = print_places(out, scorer, style, relevant, ranked, shown, refusal);
    free(ranked);
    return printed;
}
