/* Requests: what is read, and every refusal with its code and a message that names the key (docs/command.md). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "request.h"

static const struct vqr_feature user_features[] = {{"age", VQR_FEATURE_FLOAT, 1, 1}};
static const struct vqr_feature context_features[] = {{"repository", VQR_FEATURE_ID, 8, 1}};
static const struct vqr_feature event_features[] = {
    {"item", VQR_FEATURE_ID, 8, 1},   {"action", VQR_FEATURE_ID, 4, 1}, {"price", VQR_FEATURE_FLOAT, 1, 1},
    {"time", VQR_FEATURE_TIME, 0, 1}, {"tags", VQR_FEATURE_IDS, 6, 1},  {"image", VQR_FEATURE_VECTOR, 3, 3}};
static const struct vqr_feature candidate_features[] = {{"item", VQR_FEATURE_ID, 8, 1},
                                                        {"weight", VQR_FEATURE_FLOAT, 1, 1}};

static const struct request_schema schema = {.features = {user_features, context_features, event_features,
                                                          candidate_features},
                                             .count = {1, 1, 6, 2}};

enum { ITEM = 0, ACTION = 1, PRICE = 2, TIME = 3, TAGS = 4, IMAGE = 5, WEIGHT = 1 };

/* ---- helpers ---- */

static int set_up(void **state)
{
    struct request *request = malloc(sizeof *request);
    if (request == NULL || !request_init(request, &schema))
        return -1;
    *state = request;
    return 0;
}

static int tear_down(void **state)
{
    request_free(*state);
    free(*state);
    return 0;
}

/* Requests and messages are written with ' for " below, to be readable. */
static void use_quotes(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        text[i] = text[i] == '\'' ? '"' : text[i];
}

/* Reads a copy that ends where its memory ends, as sanitizers want to see it: no terminator to lean on. */
static bool read_bytes(struct request *request, const char *text, size_t length, struct refusal *refusal)
{
    char *line = malloc(length == 0 ? 1 : length);
    assert_non_null(line);
    memcpy(line, text, length);
    use_quotes(line, length);
    const bool done = request_read(request, line, length, refusal);
    free(line);
    return done;
}

static void accept(struct request *request, const char *text)
{
    struct refusal refusal = {.code = "", .message = ""};
    if (!read_bytes(request, text, strlen(text), &refusal))
        fail_msg("%s\nrefused: %s: %s", text, refusal.code, refusal.message);
}

/* Expects a refusal by `code` whose message has `part` in it, and the id "r" to be known. */
static void refuse_with(struct request *request, const char *text, const char *code, const char *part)
{
    struct refusal refusal = {.code = "accepted", .message = ""};
    char expected[256];
    const bool accepted = read_bytes(request, text, strlen(text), &refusal);
    snprintf(expected, sizeof expected, "%s", part);
    use_quotes(expected, strlen(expected));
    if (accepted || strcmp(refusal.code, code) != 0 || strstr(refusal.message, expected) == NULL)
        fail_msg("%s\nexpected %s: ...%s...\nfound %s: %s", text, code, part, refusal.code, refusal.message);
    assert_true(strlen(refusal.message) < REFUSAL_MESSAGE_SIZE);
    if (strstr(text, "'id': 'r'") != NULL) {
        assert_non_null(request->id);
        assert_string_equal(json_string_value(request->id), "r");
    }
}

static const struct vqr_id *ids(const struct vqr_rows *rows, size_t column)
{
    assert_int_equal(rows->columns[column].type, VQR_COLUMN_ID);
    return rows->columns[column].values;
}

static const double *floats(const struct vqr_rows *rows, size_t column)
{
    assert_int_equal(rows->columns[column].type, VQR_COLUMN_FLOAT64);
    return rows->columns[column].values;
}

static const int64_t *times(const struct vqr_rows *rows, size_t column)
{
    assert_int_equal(rows->columns[column].type, VQR_COLUMN_INT64);
    return rows->columns[column].values;
}

static void expect_text(const struct vqr_id *id, const char *text)
{
    assert_non_null(id->string);
    assert_int_equal(id->value, strlen(text));
    assert_memory_equal(id->string, text, strlen(text));
}

/* ---- what is read ---- */

/* Lists lie one after another, rows without one are empty, and the buffers serve longer requests later. */
static void test_lists(void **state)
{
    struct request *request = *state;
    accept(request, "{'id': 'r', 'events': [{'item': 1}, {'tags': [7, 'x', 7]}, {'tags': []}, {'tags': null}, {},"
                    " {'tags': [-3]}], 'candidates': []}");
    const struct vqr_column *column = &request->events.columns[TAGS];
    assert_int_equal(column->type, VQR_COLUMN_LISTS);
    const struct vqr_lists *lists = column->values;
    const uint64_t offsets[] = {0, 0, 3, 3, 3, 3, 4};
    const uint8_t present[] = {0, 1, 1, 0, 0, 1};
    assert_int_equal(lists->type, VQR_COLUMN_ID);
    assert_memory_equal(lists->offsets, offsets, sizeof offsets);
    assert_memory_equal(column->present, present, sizeof present);
    const struct vqr_id *values = lists->values;
    assert_true(!values[0].string && values[0].value == 7 && !values[2].string && values[2].value == 7);
    expect_text(&values[1], "x");
    assert_true(!values[3].string && values[3].value == -3);

    char line[4096] = "{'id': 'r', 'events': [{'tags': [0";
    for (int i = 1; i < 500; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), ",%d", i);
    snprintf(line + strlen(line), sizeof line - strlen(line), "]}, {'tags': [1]}], 'candidates': []}");
    accept(request, line);
    lists = request->events.columns[TAGS].values;
    assert_null(request->events.columns[TAGS].present);
    assert_true(lists->offsets[0] == 0 && lists->offsets[1] == 500 && lists->offsets[2] == 501);
    for (int i = 0; i < 500; i++)
        assert_true(((const struct vqr_id *)lists->values)[i].value == i);
    accept(request, "{'id': 'r', 'events': [{}, {}], 'candidates': []}");
    assert_int_equal(request->events.columns[TAGS].type, VQR_COLUMN_ABSENT);
}

static void test_vectors(void **state)
{
    struct request *request = *state;
    accept(request, "{'id': 'r', 'events': [{'image': [1, -2.5, 1e300]}, {}, {'image': [0, 0, 3]}], 'candidates': []}");
    const struct vqr_column *column = &request->events.columns[IMAGE];
    const double *values = column->values;
    const uint8_t present[] = {1, 0, 1};
    assert_int_equal(column->type, VQR_COLUMN_FLOAT64);
    assert_memory_equal(column->present, present, sizeof present);
    assert_true(values[0] == 1 && values[1] == -2.5 && values[2] == 1e300 && values[8] == 3);
}

static void test_refuses_elements(void **state)
{
    static const struct {
        const char *event, *code, *part;
    } cases[] = {
        {"{'tags': 5}", "type", "events[0].tags: expected an array of ids, found an integer"},
        {"{'tags': {}}", "type", "events[0].tags: expected an array of ids, found an object"},
        {"{'tags': [1, 5.0]}", "type", "events[0].tags[1]: expected an integer or a string, found a real number"},
        {"{'tags': [null]}", "type", "events[0].tags[0]: expected an integer or a string, found null"},
        {"{'tags': [[1]]}", "type", "events[0].tags[0]: expected an integer or a string, found an array"},
        {"{'tags': [99999999999999999999]}", "range", "events[0].tags[0]:"},
        {"{'image': 'x'}", "type", "events[0].image: expected an array of 3 numbers, found a string"},
        {"{'image': [1, 2]}", "type", "events[0].image: expected an array of 3 numbers, found one of 2"},
        {"{'image': [1, 2, 3, 4]}", "type", "events[0].image: expected an array of 3 numbers, found one of 4"},
        {"{'image': []}", "type", "events[0].image: expected an array of 3 numbers, found one of 0"},
        {"{'image': [1, true, 3]}", "type", "events[0].image[1]: expected a number, found a boolean"},
        {"{'image': [1, 2, null]}", "type", "events[0].image[2]: expected a number, found null"},
        {"{'image': [1, 2, 1e999]}", "range", "events[0].image[2]:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[256];
        snprintf(line, sizeof line, "{'id': 'r', 'events': [%s], 'candidates': []}", cases[i].event);
        refuse_with(*state, line, cases[i].code, cases[i].part);
    }
}

static void test_everything(void **state)
{
    struct request *request = *state;
    accept(request, "{'id': 'r', 'time': 1700000100, 'user': {'age': 31}, 'context': {'repository': 3},"
                    " 'events': [{'item': 5, 'action': 'M', 'price': 1.5, 'time': 1700000000},"
                    " {'time': -1, 'price': 2, 'action': 'A', 'item': 6}],"
                    " 'candidates': [{'item': 9, 'weight': -0.25}]}");
    assert_string_equal(json_string_value(request->id), "r");
    assert_true(request->has_time);
    assert_int_equal(request->time, 1700000100);

    const struct vqr_rows *events = &request->events;
    assert_int_equal(events->rows, 2);
    assert_int_equal(events->column_count, 6);
    assert_null(ids(events, ITEM)[0].string);
    assert_int_equal(ids(events, ITEM)[0].value, 5);
    assert_int_equal(ids(events, ITEM)[1].value, 6);
    expect_text(&ids(events, ACTION)[0], "M");
    expect_text(&ids(events, ACTION)[1], "A");
    assert_true(floats(events, PRICE)[0] == 1.5 && floats(events, PRICE)[1] == 2);
    assert_int_equal(times(events, TIME)[0], 1700000000);
    assert_int_equal(times(events, TIME)[1], -1);
    for (size_t i = 0; i < 4; i++)
        assert_null(events->columns[i].present);

    assert_int_equal(request->score.user.rows, 1);
    assert_true(floats(&request->score.user, 0)[0] == 31);
    assert_int_equal(request->score.context.rows, 1);
    assert_int_equal(ids(&request->score.context, 0)[0].value, 3);
    assert_int_equal(request->score.candidates.rows, 1);
    assert_true(floats(&request->score.candidates, WEIGHT)[0] == -0.25);
}

static void test_least(void **state)
{
    struct request *request = *state;
    accept(request, "{'id': 7, 'candidates': []}");
    assert_int_equal(json_integer_value(request->id), 7);
    assert_false(request->has_time);
    assert_int_equal(request->events.rows, 0);
    assert_int_equal(request->score.user.rows, 0);
    assert_int_equal(request->score.context.rows, 0);
    assert_int_equal(request->score.candidates.rows, 0);
    accept(request, "\t {'candidates': [], 'id': '', 'user': {}, 'context': {}, 'events': []} \r");
    assert_int_equal(request->score.user.rows, 1);
    assert_int_equal(request->score.user.columns[0].type, VQR_COLUMN_ABSENT);
}

static void test_absent_values(void **state)
{
    struct request *request = *state;
    accept(request, "{'id': 1, 'events': [{'item': 5, 'price': null}, {}, {'item': null, 'price': 0.5}],"
                    " 'candidates': [{}, {'weight': null}]}");
    const struct vqr_rows *events = &request->events;
    const uint8_t items[] = {1, 0, 0}, prices[] = {0, 0, 1};
    assert_memory_equal(events->columns[ITEM].present, items, 3);
    assert_memory_equal(events->columns[PRICE].present, prices, 3);
    assert_int_equal(events->columns[ACTION].type, VQR_COLUMN_ABSENT);
    assert_int_equal(request->score.candidates.rows, 2);
    assert_int_equal(request->score.candidates.columns[WEIGHT].type, VQR_COLUMN_ABSENT);
}

static void test_integers_survive(void **state)
{
    struct request *request = *state;
    accept(request, "{'id': -9223372036854775808, 'time': 9223372036854775807, 'candidates':"
                    " [{'item': 9223372036854775807}, {'item': -9223372036854775808}, {'item': 9007199254740993}]}");
    assert_true(json_integer_value(request->id) == INT64_MIN);
    assert_true(request->time == INT64_MAX);
    const struct vqr_id *items = ids(&request->score.candidates, ITEM);
    assert_true(items[0].value == INT64_MAX && items[1].value == INT64_MIN && items[2].value == 9007199254740993);
}

static void test_strings_survive(void **state)
{
    struct request *request = *state;
    accept(request, "{'id': 'a\\'\\u00e9', 'candidates': [{'item': '5'}, {'item': 5}, {'item': ''},"
                    " {'item': 'a\\u0000b'}, {'item': '\\ud83d\\ude00'}, {'item': '\xef\xbf\xbf'}]}");
    const struct vqr_id *items = ids(&request->score.candidates, ITEM);
    assert_string_equal(json_string_value(request->id), "a\"\xc3\xa9");
    expect_text(&items[0], "5");
    assert_null(items[1].string);
    assert_non_null(items[2].string);
    assert_int_equal(items[2].value, 0);
    assert_int_equal(items[3].value, 3);
    assert_memory_equal(items[3].string, "a\0b", 3);
    expect_text(&items[4], "\xf0\x9f\x98\x80");
    expect_text(&items[5], "\xef\xbf\xbf");
}

/* A long request after a short one, a short one after it: nothing of an earlier request shows in a later one. */
static void test_buffers_are_reused(void **state)
{
    struct request *request = *state;
    enum { EVENTS = 1000, EVENT_SIZE = 64 };
    char *text = malloc(EVENTS * EVENT_SIZE + 64);
    assert_non_null(text);
    for (int round = 0; round < 2; round++) {
        size_t used = (size_t)sprintf(text, "{'id': 1, 'candidates': [], 'events': [");
        for (int i = 0; i < EVENTS; i++)
            used += (size_t)sprintf(text + used, "%s{'item': %d, 'price': %d.5}", i == 0 ? "" : ", ", i, i);
        strcpy(text + used, "]}");
        accept(request, text);
        assert_int_equal(request->events.rows, EVENTS);
        for (int i = 0; i < EVENTS; i++) {
            assert_int_equal(ids(&request->events, ITEM)[i].value, i);
            assert_true(floats(&request->events, PRICE)[i] == i + 0.5);
        }
        accept(request, "{'id': 1, 'events': [{}, {'item': 'x'}], 'candidates': []}");
        assert_int_equal(request->events.rows, 2);
        assert_int_equal(request->events.columns[PRICE].type, VQR_COLUMN_ABSENT);
        assert_int_equal(request->events.columns[ITEM].present[0], 0);
        expect_text(&ids(&request->events, ITEM)[1], "x");
    }
    free(text);
}

/* ---- refusals ---- */

static void test_json(void **state)
{
    static const char *const texts[] = {"",
                                        "nonsense",
                                        "{",
                                        "{'id': 'x'",
                                        "{'id': 'x', 'candidates': []} x",
                                        "{'id': 1,}",
                                        "{'id': 1, 'candidates': [{'weight': NaN}]}",
                                        "{'id': 1, 'candidates': [{'weight': Infinity}]}",
                                        "{'id': 1, 'candidates': [{'weight': -Infinity}]}",
                                        "{'id': 1, 'candidates': [{'weight': .5}]}",
                                        "{'id': 1, 'candidates': [{'item': 007}]}",
                                        "{'id': 1, 'candidates': [{'item': +7}]}",
                                        "{'id': '\\ud800', 'candidates': []}",
                                        "{'id': 'a\tb', 'candidates': []}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        refuse_with(*state, texts[i], "json", "not JSON: ");
        assert_null(((struct request *)*state)->id);
    }
}

static void test_utf8(void **state)
{
    static const char *const texts[] = {"{'id': '\xff', 'candidates': []}",
                                        "{'id': '\xc0\x80', 'candidates': []}",
                                        "{'id': '\xed\xa0\x80', 'candidates': []}",
                                        "{'id': '\xe2\x82', 'candidates': []}",
                                        "{'id': '\xf4\x90\x80\x80', 'candidates': []}",
                                        "{'id': 1, 'candidates': [{'\xff': 1}]}",
                                        "\xef\xbb\xbf{}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        refuse_with(*state, texts[i], "json", "not JSON: ");
    struct refusal refusal;
    assert_false(read_bytes(*state, "{'id': 1, \0'candidates': []}", 28, &refusal));
    assert_string_equal(refusal.code, "json");
}

static void test_nesting(void **state)
{
    enum { DEEP = 100000, SHALLOW = 500 };
    char *text = malloc(DEEP + 64);
    assert_non_null(text);
    memset(text, '[', DEEP);
    text[DEEP] = '\0';
    refuse_with(*state, text, "json", "depth");
    size_t used = (size_t)sprintf(text, "{'id': 'r', 'candidates': [{'item': ");
    memset(text + used, '[', SHALLOW);
    memset(text + used + SHALLOW, ']', SHALLOW);
    strcpy(text + used + 2 * (size_t)SHALLOW, "}]}");
    refuse_with(*state, text, "type", "candidates[0].item");
    free(text);
}

static void test_duplicates(void **state)
{
    refuse_with(*state, "{'id': 'r', 'events': [], 'events': [], 'candidates': []}", "duplicate", "'events'");
    refuse_with(*state, "{'id': 'r', 'candidates': [{'item': 1, 'item': 1}]}", "duplicate", "'item'");
    refuse_with(*state, "{'id': 'r', 'candidates': [{'a key that is rather long': 1, 'a key that is rather long': 1}]}",
                "duplicate", "'a key that is rather long'");
    refuse_with(*state, "{'candidates': [{'item': 1, 'item': 1}], 'id': 'r'}", "duplicate", "'item'");
    refuse_with(*state, "{'id': 1, 'id': 2, 'candidates': []}", "duplicate", "'id'");
    assert_null(((struct request *)*state)->id);
    /* A later syntax error means that the line is no JSON at all. */
    refuse_with(*state, "{'id': 1, 'events': [], 'events': [}", "json", "not JSON");
    assert_null(((struct request *)*state)->id);
}

static void test_unknown_keys(void **state)
{
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'canditates': []}", "unknown", "'canditates'");
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'user': {'sex': 1}}", "unknown", "user: unknown key 'sex'");
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'context': {'item': 1}}", "unknown",
                "context: unknown key 'item', the model has repository");
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'events': [{}, {'item': 1, 'itme': 1}]}", "unknown",
                "events[1]: unknown key 'itme', the model has item, action, price, time");
    refuse_with(*state, "{'id': 'r', 'candidates': [{'time': null}]}", "unknown", "candidates[0]: unknown key 'time'");
    /* Keys are quoted up to a bound, whole characters only. */
    refuse_with(*state, "{'id': 'r', 'candidates': [], '': 1}", "unknown", "''");
    refuse_with(*state,
                "{'id': 'r', 'candidates': [], '012345678901234567890123456789012345678901234567890123456789012"
                "\xe2\x82\xac and more': 1}",
                "unknown", "789012',");
}

static void test_missing(void **state)
{
    refuse_with(*state, "{'id': 'r'}", "missing", "'candidates'");
    refuse_with(*state, "{'candidates': []}", "missing", "'id'");
    refuse_with(*state, "{}", "missing", "'id'");
    assert_null(((struct request *)*state)->id);
}

static void test_types_of_parts(void **state)
{
    refuse_with(*state, "[]", "type", "expected an object, found an array");
    refuse_with(*state, "5", "type", "found an integer");
    refuse_with(*state, "'r'", "type", "found a string");
    refuse_with(*state, "null", "type", "found null");
    refuse_with(*state, "{'id': 'r', 'candidates': {}}", "type",
                "candidates: expected an array of objects, found an object");
    refuse_with(*state, "{'id': 'r', 'candidates': null}", "type", "candidates: ");
    refuse_with(*state, "{'id': 'r', 'candidates': [5]}", "type",
                "candidates[0]: expected an object, found an integer");
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'events': 'x'}", "type", "events: ");
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'events': [{}, null]}", "type", "events[1]: ");
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'user': []}", "type", "user: ");
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'context': null}", "type", "context: ");
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'time': 1.5}", "type", "time: expected integer unix seconds");
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'time': null}", "type", "time: ");
}

static void test_types_of_request_ids(void **state)
{
    static const char *const values[] = {"5.0", "1e3", "true", "null", "[]", "{}"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[64];
        snprintf(text, sizeof text, "{'id': %s, 'candidates': []}", values[i]);
        refuse_with(*state, text, "type", "id: expected a string or an integer");
        assert_null(((struct request *)*state)->id);
    }
}

static void test_types_of_values(void **state)
{
    static const struct {
        const char *key, *value, *expected;
    } cases[] = {{"item", "5.0", "an integer or a string, found a real number"},
                 {"item", "1e3", "an integer or a string, found a real number"},
                 {"item", "true", "an integer or a string, found a boolean"},
                 {"item", "[5]", "an integer or a string, found an array"},
                 {"item", "{}", "an integer or a string, found an object"},
                 {"price", "'1.5'", "a number, found a string"},
                 {"price", "false", "a number, found a boolean"},
                 {"price", "[]", "a number, found an array"},
                 {"time", "1700000000.0", "integer unix seconds, found a real number"},
                 {"time", "'2026-11-22'", "integer unix seconds, found a string"},
                 {"time", "true", "integer unix seconds, found a boolean"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128], part[128];
        snprintf(text, sizeof text, "{'id': 'r', 'candidates': [], 'events': [{}, {'%s': %s}]}", cases[i].key,
                 cases[i].value);
        snprintf(part, sizeof part, "events[1].%s: expected %s", cases[i].key, cases[i].expected);
        refuse_with(*state, text, "type", part);
    }
}

static void test_range(void **state)
{
    refuse_with(*state, "{'id': 'r', 'candidates': [{'item': 9223372036854775808}]}", "range", "candidates[0].item");
    refuse_with(*state, "{'id': 'r', 'candidates': [{'item': -9223372036854775809}]}", "range", "candidates[0].item");
    refuse_with(*state, "{'id': 'r', 'candidates': [{'weight': 1e999}]}", "range", "candidates[0].weight");
    refuse_with(*state, "{'id': 'r', 'candidates': [{'weight': 9e308}]}", "range", "candidates[0].weight");
    refuse_with(*state, "{'candidates': [{'weight': -1E+999}], 'id': 'r'}", "range", "candidates[0].weight");
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'events': [{'time': 99999999999999999999}]}", "range",
                "events[0].time");
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'time': 99999999999999999999}", "range", "time");
    refuse_with(*state, "{'id': 'r', 'candidates': 99999999999999999999}", "range", "candidates");
    refuse_with(*state, "{'id': 'r', 'candidates': [], 'events': [{'item': 1e999}, {'item': 99999999999999999999}]}",
                "range", "events[0].item");
    refuse_with(*state, "{'id': 99999999999999999999, 'candidates': []}", "range", "id");
    assert_null(((struct request *)*state)->id);
    refuse_with(*state, "99999999999999999999", "range", "request");
    /* A number too large where nothing may be is still unknown, and in a broken line still no JSON. */
    refuse_with(*state, "{'id': 'r', 'candidates': [{'itme': 1e999}]}", "unknown", "itme");
    refuse_with(*state, "{'id': 1, 'candidates': [{'item': 1e999}", "json", "not JSON");
    /* With more of them than are marked one by one, the line is refused all the same. */
    refuse_with(*state, "{'id': 1, 'candidates': [1e999,1e999,1e999,1e999,1e999,1e999,1e999,1e999,1e999,1e999,1e999]}",
                "range", "too large");
}

/* An integer beyond int64 is a matter of ids; a float feature takes any finite number, small ones included. */
static void test_float_values(void **state)
{
    struct request *request = *state;
    accept(request, "{'id': 1, 'candidates': [{'weight': 1.7976931348623157e308}, {'weight': 1e-400},"
                    " {'weight': 5e-324}, {'weight': -0.0}, {'weight': 9223372036854775807}]}");
    const double *weights = floats(&request->score.candidates, WEIGHT);
    assert_true(weights[0] == 1.7976931348623157e308 && weights[1] == 0 && weights[2] > 0 && weights[3] == 0);
    assert_true(weights[4] == 9223372036854775808.0);
}

/* After any refusal the next request reads as if nothing had happened. */
static void test_recovery(void **state)
{
    struct request *request = *state;
    refuse_with(request, "{'id': 'r', 'events': [{'item': 5}, {'item': 5.5}], 'candidates': []}", "type",
                "events[1].item");
    accept(request, "{'id': 'r', 'events': [{}, {'item': 6}], 'candidates': []}");
    assert_int_equal(request->events.columns[ITEM].present[0], 0);
    assert_int_equal(ids(&request->events, ITEM)[1].value, 6);
    accept(request, "{'id': 'r', 'candidates': []}");
    assert_int_equal(request->events.rows, 0);
}

/* A model without features in a group takes empty objects there and nothing else. */
static void test_no_features(void **state)
{
    const struct request_schema bare = {.features = {NULL, NULL, event_features, candidate_features},
                                        .count = {0, 0, 4, 2}};
    struct request request;
    struct refusal refusal;
    (void)state;
    assert_true(request_init(&request, &bare));
    const char *good = "{'id': 1, 'user': {}, 'context': {}, 'candidates': [{'item': 1}]}";
    assert_true(read_bytes(&request, good, strlen(good), &refusal));
    assert_int_equal(request.score.user.column_count, 0);
    const char *bad = "{'id': 1, 'user': {'age': null}, 'candidates': []}";
    assert_false(read_bytes(&request, bad, strlen(bad), &refusal));
    assert_string_equal(refusal.code, "unknown");
    assert_non_null(strstr(refusal.message, "user: unknown key \"age\", the model has no features here"));
    request_free(&request);
}

#define REQUEST_TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REQUEST_TEST(test_everything),
        REQUEST_TEST(test_lists),
        REQUEST_TEST(test_vectors),
        REQUEST_TEST(test_refuses_elements),
        REQUEST_TEST(test_least),
        REQUEST_TEST(test_absent_values),
        REQUEST_TEST(test_integers_survive),
        REQUEST_TEST(test_strings_survive),
        REQUEST_TEST(test_buffers_are_reused),
        REQUEST_TEST(test_json),
        REQUEST_TEST(test_utf8),
        REQUEST_TEST(test_nesting),
        REQUEST_TEST(test_duplicates),
        REQUEST_TEST(test_unknown_keys),
        REQUEST_TEST(test_missing),
        REQUEST_TEST(test_types_of_parts),
        REQUEST_TEST(test_types_of_request_ids),
        REQUEST_TEST(test_types_of_values),
        REQUEST_TEST(test_range),
        REQUEST_TEST(test_float_values),
        REQUEST_TEST(test_recovery),
        cmocka_unit_test(test_no_features),
    };
    return cmocka_run_group_tests_name("request", tests, NULL, NULL);
}
