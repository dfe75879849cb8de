/* The command's other parts that need no model: lines, names, relevance, responses, answers in order, values. */
#include <pthread.h>
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
#include "ordered.h"
#include "relevance.h"
#include "response.h"
#include "text.h"
#include "values.h"

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

/* A reader that waits for its input is woken by the other descriptor: data and hang-up alike. */
static void test_lines_woken(void **state)
{
    (void)state;
    for (int hang_up = 0; hang_up < 2; hang_up++) {
        struct line_reader reader;
        int ends[2], wake[2];
        assert_int_equal(pipe(ends), 0);
        assert_int_equal(pipe(wake), 0);
        lines_init(&reader, ends[0], 100);
        reader.wake = wake[0];
        assert_int_equal(write(ends[1], "one\ntw", 6), 6);
        expect_line(&reader, "one", 1);
        if (hang_up)
            close(wake[1]);
        else
            assert_int_equal(write(wake[1], "x", 1), 1);
        assert_int_equal(lines_next(&reader), LINE_END);
        lines_free(&reader);
        if (!hang_up)
            close(wake[1]);
        close(wake[0]);
        close(ends[0]);
        close(ends[1]);
    }
}

/* ---- answers in order ---- */

enum { THREADS = 5, TEXTS = 3000 };

/* One of THREADS threads: it has every THREADS-th text. */
struct writer {
    struct ordered *ordered;
    pthread_t thread;
    uint64_t first;
    uint64_t written; /* texts that ordered_put took */
};

static char *numbered(uint64_t number)
{
    char *text = malloc(32);
    assert_non_null(text);
    snprintf(text, 32, "%llu\n", (unsigned long long)number);
    return text;
}

static void *write_texts(void *argument)
{
    struct writer *writer = argument;
    for (uint64_t number = writer->first; number < TEXTS; number += THREADS) {
        char *text = numbered(number);
        writer->written += ordered_put(writer->ordered, number, text, strlen(text));
    }
    return NULL;
}

/* Runs the writers; returns how many texts were taken. */
static uint64_t write_all(struct ordered *ordered)
{
    struct writer writers[THREADS];
    uint64_t written = 0;
    for (uint64_t i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.ordered = ordered, .first = THREADS - 1 - i};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_texts, &writers[i]), 0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        written += writers[i].written;
    }
    return written;
}

static void test_ordered(void **state)
{
    struct ordered ordered;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    (void)state;
    assert_non_null(out);
    ordered_init(&ordered, out, false);
    assert_int_equal(write_all(&ordered), TEXTS);
    ordered_free(&ordered);
    fclose(out);
    const char *next = text;
    for (uint64_t number = 0; number < TEXTS; number++) {
        char *end;
        assert_int_equal(strtoull(next, &end, 10), number);
        assert_int_equal(*end, '\n');
        next = end + 1;
    }
    assert_int_equal(next - text, size);
    free(text);
}

static void *fail_ordered(void *ordered)
{
    ordered_fail(ordered);
    return NULL;
}

/* A text too far ahead waits for those before it; when one of them will never come, it is let go. */
static void test_ordered_fails(void **state)
{
    struct ordered ordered;
    pthread_t thread;
    char *text = numbered(1);
    (void)state;
    ordered_init(&ordered, stdout, false);
    assert_true(ordered_put(&ordered, 1, text, strlen(text))); /* kept, and freed at the end */
    assert_int_equal(pthread_create(&thread, NULL, fail_ordered, &ordered), 0);
    assert_false(ordered_put(&ordered, ORDERED_WAITING, numbered(ORDERED_WAITING), 1));
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_false(ordered_put(&ordered, 0, numbered(0), 1));
    ordered_free(&ordered);
}

/* Writers are told when nothing can be written any more. */
static void test_ordered_full(void **state)
{
    struct ordered ordered;
    FILE *full = fopen("/dev/full", "w");
    (void)state;
    if (full == NULL)
        skip();
    ordered_init(&ordered, full, true);
    assert_true(write_all(&ordered) < TEXTS);
    ordered_free(&ordered);
    fclose(full);
}

/* ---- values and text ---- */

static void expect_printed(FILE *out, char **text, const char *expected)
{
    fclose(out);
    assert_string_equal(*text, expected);
    free(*text);
    *text = NULL;
}

static void test_values(void **state)
{
    static const struct vqr_id ids[] = {{NULL, 5}, {"b\n\0c", 4}, {"a", 1}, {NULL, -7}, {"ab", 2}, {NULL, 6}};
    static const uint64_t offsets[] = {0, 1, 6, 6};
    static const double numbers[] = {0.5, -2, 3, 4, 5, 1e9};
    static const uint8_t present[] = {1, 0, 1};
    const struct vqr_feature id = {.name = "id", .kind = VQR_FEATURE_ID, .width = 4};
    const struct vqr_feature list = {.name = "ids", .kind = VQR_FEATURE_IDS, .width = 4};
    const struct vqr_feature vector = {.name = "v", .kind = VQR_FEATURE_VECTOR, .width = 2, .numbers = 2};
    const struct vqr_lists lists = {.type = VQR_COLUMN_ID, .values = ids, .offsets = offsets};
    const struct vqr_column columns[] = {{.type = VQR_COLUMN_ID, .values = ids, .present = present},
                                         {.type = VQR_COLUMN_LISTS, .values = &lists},
                                         {.type = VQR_COLUMN_FLOAT64, .values = numbers}};
    struct vqr_lists own;
    char *text = NULL;
    size_t size = 0;
    (void)state;
    assert_ptr_equal(value_id(&columns[0], 2), &ids[2]);
    assert_null(value_id(&columns[0], 1));
    assert_null(value_id(&columns[1], 0));
    /* Row 2 of each column, as a column of its own and where it stands. */
    struct vqr_column row = value_row(&id, &columns[0], 2, &own);
    assert_ptr_equal(row.values, &ids[2]);
    assert_ptr_equal(row.present, &present[2]);
    row = value_row(&vector, &columns[2], 2, &own);
    assert_ptr_equal(row.values, &numbers[4]);
    row = value_row(&list, &columns[1], 1, &own);
    assert_ptr_equal(row.values, &own);
    FILE *out = open_memstream(&text, &size);
    value_print(out, &id, &columns[0], 0);
    fputc(' ', out);
    value_print(out, &list, &columns[1], 1);
    fputc(' ', out);
    value_print(out, &list, &row, 0);
    fputc(' ', out);
    value_print(out, &list, &columns[1], 2);
    fputc(' ', out);
    value_print(out, &vector, &columns[2], 2);
    expect_printed(out, &text, "5 [b??c, a, -7, ab, ...] [b??c, a, -7, ab, ...] [] [5, 1e+09]");
    /* Integers before strings; strings by bytes, a beginning before what it begins. */
    static const int order[] = {3, 0, 5, 2, 4, 1};
    for (size_t i = 0; i < 6; i++)
        for (size_t k = 0; k < 6; k++)
            assert_int_equal(value_compare_ids(&ids[order[i]], &ids[order[k]]) > 0, i > k);
}

static void test_short_text(void **state)
{
    char number[TEXT_NUMBER_SIZE], *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    (void)state;
    text_print_short(out, "ten bytes!", 10);
    fputc('|', out);
    text_print_short(out, "src/long/path/name.c", 12);
    fputc('|', out);
    text_print_short(out, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 6);
    fputc('|', out);
    text_print_short(out, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 6);
    fputc('|', out);
    text_print_short(out, "a\x1b[31m red and long", 9);
    expect_printed(
        out, &text,
        "ten bytes!|src...name.c|\xc3\xa9...\xc3\xa9\xc3\xa9|\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9|"
        "a?...long");
    assert_string_equal(text_weight(number, 0.4773), "0.477");
    assert_string_equal(text_weight(number, -12.3456), "-12.35");
    assert_string_equal(text_weight(number, 12345.6), "1e+04");
    assert_string_equal(text_weight(number, -3.4e38), "-3e+38");
    assert_string_equal(text_grouped(number, 0), "0");
    assert_string_equal(text_grouped(number, 999), "999");
    assert_string_equal(text_grouped(number, 1000), "1,000");
    assert_string_equal(text_grouped(number, UINT64_MAX), "18,446,744,073,709,551,615");
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
    assert_null(name_of(&names, "x\0y", 3));
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

/* Ids that hold U+0000 are told apart past it, and long ones are ids like others. */
static void test_relevance_of_odd_ids(void **state)
{
    struct relevance relevance;
    struct refusal refusal;
    char lines[2000], long_id[601];
    (void)state;
    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    snprintf(
        lines, sizeof lines,
        "{\"id\": \"a\\u0000b\", \"relevant\": [1]}\n{\"id\": \"a\", \"relevant\": []}\n{\"id\": \"%s\", \"relevant\": []}",
        long_id);
    assert_true(load_relevance(&relevance, lines, &refusal));
    json_t *with_nul = json_stringn("a\0b", 3), *other = json_stringn("a\0c", 3), *start = json_string("a");
    json_t *longest = json_string(long_id);
    assert_int_equal(json_array_size(relevance_find(&relevance, with_nul)), 1);
    assert_null(relevance_find(&relevance, other));
    assert_int_equal(json_array_size(relevance_find(&relevance, start)), 0);
    assert_non_null(relevance_find(&relevance, start));
    assert_non_null(relevance_find(&relevance, longest));
    json_decref(with_nul);
    json_decref(other);
    json_decref(start);
    json_decref(longest);
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
        cmocka_unit_test(test_lines_woken),     cmocka_unit_test(test_ordered),
        cmocka_unit_test(test_ordered_fails),   cmocka_unit_test(test_ordered_full),
        cmocka_unit_test(test_values),          cmocka_unit_test(test_short_text),
        cmocka_unit_test(test_names),           cmocka_unit_test(test_names_refused),
        cmocka_unit_test(test_relevance),       cmocka_unit_test(test_relevance_refused),
        cmocka_unit_test(test_scores),          cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_long_message),    cmocka_unit_test(test_relevance_of_odd_ids),
    };
    return cmocka_run_group_tests_name("tools", tests, NULL, NULL);
}
