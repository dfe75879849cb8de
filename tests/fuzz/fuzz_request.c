/* Lines of JSON from a descriptor -> arrays, as `vqrank score` reads them: the first byte picks the features that the
 * model would have, the rest is read line by line. What is accepted must be arrays that the library can take. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"
#include "request.h"
#include "response.h"
#include "tests/fuzz/fuzz.h"

/* Longer lines are skipped; the reader's buffer grows on the way. */
enum { LINE_MAX_HERE = 1 << 15 };

static const struct vqr_feature everything[] = {
    {"item", VQR_FEATURE_ID, 4, 1},      {"price", VQR_FEATURE_FLOAT, 1, 1},       {"tags", VQR_FEATURE_IDS, 4, 1},
    {"image", VQR_FEATURE_VECTOR, 3, 3}, {"thumb", VQR_FEATURE_SEMANTIC_ID, 4, 1}, {"action", VQR_FEATURE_ID, 2, 1},
    {"genres", VQR_FEATURE_IDS, 2, 1},   {"time", VQR_FEATURE_TIME, 0, 1}};
static const struct vqr_feature lists[] = {{"a", VQR_FEATURE_IDS, 1, 1}, {"b", VQR_FEATURE_IDS, 1, 1}};
static const struct vqr_feature wide[] = {{"v", VQR_FEATURE_VECTOR, 70, 70}};

/* A time belongs to events. */
enum { ALL = sizeof everything / sizeof *everything, TIMELESS = ALL - 1 };

static const struct request_schema schemas[] = {
    {{everything, everything, everything, everything}, {TIMELESS, TIMELESS, ALL, TIMELESS}},
    {{everything, everything, everything, everything}, {0, 1, 2, 1}},
    {{lists, NULL, lists, lists}, {2, 0, 2, 1}},
    {{NULL, wide, wide, wide}, {0, 1, 1, 1}},
    {{NULL, NULL, NULL, NULL}, {0, 0, 0, 0}},
};

static volatile uint64_t sink;

static void read_id(const struct vqr_id *id)
{
    uint64_t sum = (uint64_t)id->value;
    for (int64_t i = 0; id->string && i < id->value; i++)
        sum += (unsigned char)id->string[i];
    sink = sink + sum;
}

static void check_lists(const struct vqr_lists *values, size_t rows)
{
    if (values->type != VQR_COLUMN_ID)
        fuzz_fail("lists of column type %d", (int)values->type);
    for (size_t row = 0; row < rows; row++)
        if (values->offsets[row] > values->offsets[row + 1])
            fuzz_fail("offset %zu is above the next", row);
    for (uint64_t i = values->offsets[0]; i < values->offsets[rows]; i++)
        read_id((const struct vqr_id *)values->values + i);
}

static void check_numbers(const struct vqr_column *column, size_t row, size_t width)
{
    for (size_t i = row * width; i < (row + 1) * width; i++) {
        const double value = column->type == VQR_COLUMN_FLOAT32 ? (double)((const float *)column->values)[i]
                                                                : ((const double *)column->values)[i];
        if (!isfinite(value))
            fuzz_fail("number %zu of row %zu is %g", i - row * width, row, value);
    }
}

static void check_column(const struct vqr_feature *feature, const struct vqr_column *column, size_t rows)
{
    static const enum vqr_column_type expected[] = {
        [VQR_FEATURE_ID] = VQR_COLUMN_ID,          [VQR_FEATURE_FLOAT] = VQR_COLUMN_FLOAT64,
        [VQR_FEATURE_TIME] = VQR_COLUMN_INT64,     [VQR_FEATURE_IDS] = VQR_COLUMN_LISTS,
        [VQR_FEATURE_VECTOR] = VQR_COLUMN_FLOAT64, [VQR_FEATURE_SEMANTIC_ID] = VQR_COLUMN_FLOAT64};
    if (column->type == VQR_COLUMN_ABSENT)
        return;
    if (column->type != expected[feature->kind] &&
        !(feature->kind == VQR_FEATURE_VECTOR && column->type == VQR_COLUMN_FLOAT32))
        fuzz_fail("feature \"%s\": column type %d", feature->name, (int)column->type);
    if (column->type == VQR_COLUMN_LISTS)
        check_lists(column->values, rows);
    for (size_t row = 0; row < rows; row++) {
        if (column->present && !column->present[row])
            continue;
        if (column->type == VQR_COLUMN_ID)
            read_id((const struct vqr_id *)column->values + row);
        else if (column->type == VQR_COLUMN_INT64)
            sink = sink + (uint64_t)((const int64_t *)column->values)[row];
        else if (column->type != VQR_COLUMN_LISTS)
            check_numbers(column, row, feature->numbers);
    }
}

static void check_rows(const struct request_schema *schema, int group, const struct vqr_rows *rows)
{
    if (rows->column_count > schema->count[group])
        fuzz_fail("group %d: %zu columns for %zu features", group, rows->column_count, schema->count[group]);
    for (size_t i = 0; i < rows->column_count; i++)
        check_column(&schema->features[group][i], &rows->columns[i], rows->rows);
}

/* What the command answers is one line of JSON, whatever the request holds. */
static void check_refusal(const struct request *request, const struct refusal *refusal)
{
    char *text = NULL;
    size_t size = 0;
    json_error_t error;
    if (!refusal->code || !*refusal->code)
        fuzz_fail("refused without a code");
    fuzz_check_message(refusal->message, sizeof refusal->message);
    FILE *out = open_memstream(&text, &size);
    if (!out)
        fuzz_fail("no memory for a response");
    response_refusal(out, request->id, 1, refusal);
    fclose(out);
    json_t *response = json_loadb(text, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (!response || memchr(text, '\n', size) != text + size - 1)
        fuzz_fail("the response is not one line of JSON: %s", text);
    const json_t *id = json_object_get(response, "id");
    if (request->id ? !json_equal(id, request->id) : !json_is_null(id))
        fuzz_fail("the response has another id: %s", text);
    json_decref(response);
    free(text);
}

static void read_line(struct request *request, const char *text, size_t length)
{
    struct refusal refusal = {0};
    char *line = fuzz_allocate(length, 1); /* ends where its memory ends, unlike the reader's buffer */
    memcpy(line, text, length);
    const bool accepted = request_read(request, line, length, &refusal);
    free(line); /* what was read must not point there */
    if (request->id && !json_is_string(request->id) && !json_is_integer(request->id))
        fuzz_fail("the id is neither a string nor an integer");
    if (!accepted) {
        check_refusal(request, &refusal);
        return;
    }
    if (!request->id)
        fuzz_fail("accepted without an id");
    check_rows(request->schema, VQR_USER, &request->score.user);
    check_rows(request->schema, VQR_CONTEXT, &request->score.context);
    check_rows(request->schema, VQR_EVENT, &request->events);
    check_rows(request->schema, VQR_CANDIDATE, &request->score.candidates);
}

/* Whatever came before, this request reads. */
static void check_recovery(struct request *request)
{
    static const char good[] = "{\"id\": \"r\", \"candidates\": [{}, {}], \"events\": [{}]}";
    struct refusal refusal;
    char line[sizeof good];
    memcpy(line, good, sizeof good);
    if (!request_read(request, line, sizeof good - 1, &refusal))
        fuzz_fail("a good request is refused: %s", refusal.message);
    if (request->events.rows != 1 || request->score.candidates.rows != 2 || request->score.user.rows != 0)
        fuzz_fail("a good request reads as %zu events, %zu candidates", request->events.rows,
                  request->score.candidates.rows);
    for (size_t i = 0; i < request->score.candidates.column_count; i++)
        if (request->score.candidates.columns[i].type != VQR_COLUMN_ABSENT)
            fuzz_fail("a value of an earlier request shows");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct request request;
    struct line_reader reader;
    const size_t schema = fuzz_below(&input, sizeof schemas / sizeof *schemas);
    const int descriptor = fuzz_file(input.data, input.size);
    if (!request_init(&request, &schemas[schema]))
        fuzz_fail("no memory for a request");
    lines_init(&reader, descriptor, LINE_MAX_HERE);
    for (enum line_status status; (status = lines_next(&reader)) != LINE_END;) {
        if (status == LINE_FAILED)
            fuzz_fail("a line could not be read");
        if (status == LINE_READ)
            read_line(&request, reader.text, reader.length);
    }
    lines_free(&reader);
    close(descriptor);
    check_recovery(&request);
    request_free(&request);
    return 0;
}
