/* The command's other parts that need no model: lines, names, relevance, responses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lines.h"
#include "names.h"
#include "relevance.h"
#include "response.h"
#include "text.h"

/* ---- helpers ---- */

/* A file with `length` bytes of `text`, open at its start; `path` is filled for those who open it by name. */
static int make_file(char path[64], const char *text, size_t length)
{
    strcpy(path, "/tmp/vqrank-test-XXXXXX");
    const int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, text, length), length);
    assert_int_equal(lseek(descriptor, 0, SEEK_SET), 0);
    return descriptor;
}

static bool load_names(struct names *names, const char *text, struct refusal *refusal)
{
    char path[64];
    close(make_file(path, text, strlen(text)));
    const bool loaded = names_load(names, path, refusal);
    unlink(path);
    return loaded;
}

static bool load_relevance(struct relevance *relevance, const char *text, struct refusal *refusal)
{
    char path[64];
    close(make_file(path, text, strlen(text)));
    const bool loaded = relevance_load(relevance, path, refusal);
    unlink(path);
    return loaded;
}

static const char *name_of(const struct names *names, const char *string, int64_t value)
{
    const struct vqr_id id = {.string = string, .value = value};
    return names_find(names, &id);
}

/* ---- lines ---- */

static void expect_line(struct line_reader *reader, const char *text, uint64_t number)
{
    assert_int_equal(lines_next(reader), LINE_READ);
    assert_int_equal(reader->length, strlen(text));
    assert_memory_equal(reader->text, text, strlen(text));
    assert_int_equal(reader->number, number);
}

static void test_lines(void **state)
{
    static const char text[] = "one\n\n \t\r\ntwo\r\nthree";
    struct line_reader reader;
    char path[64];
    (void)state;
    const int descriptor = make_file(path, text, sizeof text - 1);
    lines_init(&reader, descriptor, 100);
    expect_line(&reader, "one", 1);
    expect_line(&reader, "two\r", 4);
    expect_line(&reader, "three", 5);
    assert_int_equal(lines_next(&reader), LINE_END);
    assert_int_equal(lines_next(&reader), LINE_END);
    lines_free(&reader);
    close(descriptor);
    unlink(path);
}

/* Lines longer than the buffer, as long as the limit, and longer; those after them are still read. */
static void test_long_lines(void **state)
{
    enum { LIMIT = 300000 };
    char *text = malloc(3 * LIMIT + 64), path[64];
    struct line_reader reader;
    (void)state;
    assert_non_null(text);
    for (size_t extra = 0; extra < 2; extra++) {
        memset(text, 'a', LIMIT + extra);
        strcpy(text + LIMIT + extra, "\nb\n");
        memset(text + LIMIT + extra + 3, 'c', LIMIT + 200000 * extra);
        const int descriptor = make_file(path, text, 2 * LIMIT + 3 + extra + 200000 * extra);
        lines_init(&reader, descriptor, LIMIT);
        assert_int_equal(lines_next(&reader), extra == 0 ? LINE_READ : LINE_TOO_LONG);
        expect_line(&reader, "b", 2);
        assert_int_equal(lines_next(&reader), extra == 0 ? LINE_READ : LINE_TOO_LONG);
        assert_int_equal(reader.number, 3);
        assert_int_equal(lines_next(&reader), LINE_END);
        lines_free(&reader);
        close(descriptor);
        unlink(path);
    }
    free(text);
}

/* What is written into a pipe is handed on before the pipe is closed. */
static void test_lines_of_a_pipe(void **state)
{
    struct line_reader reader;
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    lines_init(&reader, ends[0], 100);
    assert_int_equal(write(ends[1], "one\ntw", 6), 6);
    expect_line(&reader, "one", 1);
    assert_int_equal(write(ends[1], "o\n", 2), 2);
    expect_line(&reader, "two", 2);
    close(ends[1]);
    assert_int_equal(lines_next(&reader), LINE_END);
    lines_free(&reader);
    close(ends[0]);
}

static void test_lines_unreadable(void **state)
{
    struct line_reader reader;
    (void)state;
    lines_init(&reader, -1, 100);
    assert_int_equal(lines_next(&reader), LINE_FAILED);
    lines_free(&reader);
}

/* ---- names ---- */

static void test_names(void **state)
{
    struct names names;
    struct refusal refusal;
    (void)state;
    assert_true(load_names(&names,
                           "id,name,more\r\n10,ten\n9,\"a, \"\"b\"\"\",x,y\r\n\n-1,\nx,\"two\nlines\"\n\"7\",seven",
                           &refusal));
    assert_string_equal(name_of(&names, NULL, 10), "ten");
    assert_string_equal(name_of(&names, NULL, 9), "a, \"b\"");
    assert_string_equal(name_of(&names, NULL, -1), "");
    assert_string_equal(name_of(&names, "x", 1), "two\nlines");
    assert_string_equal(name_of(&names, NULL, 7), "seven");
    assert_string_equal(name_of(&names, "7", 1), "seven");
    assert_null(name_of(&names, NULL, 1));
    names_free(&names);
    assert_true(load_names(&names, "id,name", &refusal));
    assert_null(name_of(&names, NULL, 1));
    names_free(&names);
}

static void test_names_refused(void **state)
{
    static const struct {
        const char *text, *part;
    } cases[] = {{"", "id,name"},
                 {"name,id\n", "id,name"},
                 {"id\n5\n", "id,name"},
                 {"id,name\n5\n", "record 2"},
                 {"id,name\n5,five\n6,\"six\n", "record 3"},
                 {"id,name\n5,\"five\"x\n", "record 2"},
                 {"id,name\n5,a\n6,b\n5,c\n", "id 5 appears twice"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct names names;
        struct refusal refusal;
        assert_false(load_names(&names, cases[i].text, &refusal));
        assert_non_null(strstr(refusal.message, cases[i].part));
        names_free(&names);
    }
    struct names names;
    struct refusal refusal;
    assert_false(names_load(&names, "/nowhere/names.csv", &refusal));
    assert_non_null(strstr(refusal.message, "/nowhere/names.csv"));
    names_free(&names);
}

/* ---- relevance ---- */

static void test_relevance(void **state)
{
    struct relevance relevance;
    struct refusal refusal;
    (void)state;
    assert_true(load_relevance(&relevance, "{\"id\": 5, \"relevant\": [1, \"1\"]}\n{\"id\": \"5\", \"relevant\": []}\n",
                               &refusal));
    json_t *integer = json_integer(5), *string = json_string("5"), *other = json_integer(6);
    const json_t *found = relevance_find(&relevance, integer);
    assert_int_equal(json_array_size(found), 2);
    assert_int_equal(json_array_size(relevance_find(&relevance, string)), 0);
    assert_non_null(relevance_find(&relevance, string));
    assert_null(relevance_find(&relevance, other));
    const struct vqr_id one = {.string = NULL, .value = 1}, text = {.string = "1", .value = 1};
    assert_true(relevance_equal(json_array_get(found, 0), &one));
    assert_false(relevance_equal(json_array_get(found, 0), &text));
    assert_true(relevance_equal(json_array_get(found, 1), &text));
    assert_false(relevance_equal(json_array_get(found, 1), &one));
    json_decref(integer);
    json_decref(string);
    json_decref(other);
    relevance_free(&relevance);
}

static void test_relevance_refused(void **state)
{
    static const char *const texts[] = {"x\n",
                                        "[]\n",
                                        "{\"id\": 5}\n",
                                        "{\"id\": 5.5, \"relevant\": []}\n",
                                        "{\"id\": 5, \"relevant\": {}}\n",
                                        "{\"id\": 5, \"relevant\": [1.5]}\n",
                                        "{\"id\": 5, \"relevant\": [], \"more\": 1}\n",
                                        "{\"id\": 5, \"relevant\": [99999999999999999999]}\n",
                                        "{\"id\": 5, \"relevant\": []}\n{\"id\": 5, \"relevant\": []}\n"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct relevance relevance;
        struct refusal refusal;
        assert_false(load_relevance(&relevance, texts[i], &refusal));
        assert_non_null(strstr(refusal.message, " line "));
        relevance_free(&relevance);
    }
}

/* ---- responses ---- */

static void expect_scores(const json_t *id, const struct response_outputs *outputs, const float *scores,
                          size_t candidates, const char *expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    response_scores(out, id, outputs, scores, candidates);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void expect_refusal(const json_t *id, const struct refusal *refusal, const char *expected)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    response_refusal(out, id, 3, refusal);
    fclose(out);
    assert_string_equal(text, expected);
    free(text);
}

static void test_scores(void **state)
{
    static const char *const names[] = {"ctr", "a \"b\""};
    static const float scores[] = {0.0711999983f, 0.5f, 1.0f, 1e-30f, 0.1f, 0.0f};
    const struct response_outputs one = {.names = names, .count = 1}, two = {.names = names, .count = 2};
    json_t *string = json_string("r\"1\n\xc3\xa9"), *integer = json_integer(INT64_MIN);
    (void)state;
    expect_scores(string, &one, scores, 1, "{\"id\": \"r\\\"1\\n\xc3\xa9\", \"outputs\": {\"ctr\": [0.0711999983]}}\n");
    expect_scores(integer, &two, scores, 3,
                  "{\"id\": -9223372036854775808, \"outputs\": {\"ctr\": [0.0711999983, 1, 0.100000001],"
                  " \"a \\\"b\\\"\": [0.5, 1e-30, 0]}}\n");
    expect_scores(string, &two, NULL, 0,
                  "{\"id\": \"r\\\"1\\n\xc3\xa9\", \"outputs\": {\"ctr\": [], \"a \\\"b\\\"\": []}}\n");
    json_decref(string);
    json_decref(integer);
}

static void test_refusals(void **state)
{
    struct refusal refusal;
    json_t *id = json_integer(5);
    (void)state;
    refuse(&refusal, "type", "a \"key\"\n%d", 7);
    expect_refusal(id, &refusal, "{\"id\": 5, \"error\": {\"code\": \"type\", \"message\": \"a \\\"key\\\"\\n7\"}}\n");
    expect_refusal(NULL, &refusal,
                   "{\"id\": null, \"error\": {\"code\": \"type\", \"message\": \"line 3: a \\\"key\\\"\\n7\"}}\n");
    refuse(&refusal, "io", "bad \xff byte");
    expect_refusal(id, &refusal, "{\"id\": 5, \"error\": {\"code\": \"io\", \"message\": \"bad ? byte\"}}\n");
    json_decref(id);
}

/* A message is cut, never overrun. */
static void test_long_message(void **state)
{
    char text[2 * REFUSAL_MESSAGE_SIZE];
    struct refusal refusal;
    (void)state;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_false(refuse(&refusal, "json", "%s", text));
    assert_int_equal(strlen(refusal.message), REFUSAL_MESSAGE_SIZE - 1);
    assert_int_equal(text_quoted_length("abc", 2), 2);
    assert_int_equal(text_quoted_length("a\xe2\x82\xac", 3), 1);
    assert_int_equal(text_quoted_length("a\xe2\x82\xac", 4), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),           cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_lines_of_a_pipe), cmocka_unit_test(test_lines_unreadable),
        cmocka_unit_test(test_names),           cmocka_unit_test(test_names_refused),
        cmocka_unit_test(test_relevance),       cmocka_unit_test(test_relevance_refused),
        cmocka_unit_test(test_scores),          cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_long_message),
    };
    return cmocka_run_group_tests_name("tools", tests, NULL, NULL);
}
