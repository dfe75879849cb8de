/* Opening a model from a path, from memory and from a descriptor, and what it then says about itself. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/runtime_support.h"

/* ---- files ---- */

static char directory[] = "/tmp/vqrank-open-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

/* Writes `before` bytes of something else, the data, and `after` more. */
static const char *write_file(const char *name, size_t before, const void *data, size_t size, size_t after)
{
    const char *path = path_of(name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (size_t i = 0; i < before; i++)
        fputc(0xa5, file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    for (size_t i = 0; i < after; i++)
        fputc(0x5a, file);
    assert_int_equal(fclose(file), 0);
    return path;
}

static int make_directory(void **state)
{
    (void)state;
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    static const char *const names[] = {"model", "inside", "empty", "text", "secret", "short", "pipe"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(path_of(names[i]));
    return rmdir(directory);
}

/* ---- what an open model computes ---- */

enum { CANDIDATES = 20 };

static struct runtime_file default_file(void)
{
    const struct runtime_options options = runtime_options_default();
    return runtime_build(&options);
}

/* The scores of a fixed request; closes the model. */
static void scores_of(vqr_model *model, float outputs[2 * CANDIDATES])
{
    struct world w = {.file = {NULL, 0, 0}, .model = model, .outputs = 2 * CANDIDATES};
    w.session = new_session(model, NULL);
    w.state = new_state(model);
    w.user = values_new(model, VQR_USER, 1, 1);
    w.context = values_new(model, VQR_CONTEXT, 1, 2);
    w.candidates = values_new(model, VQR_CANDIDATE, CANDIDATES, 3);
    struct values *events = values_new(model, VQR_EVENT, 60, 4);
    encode(&w, &events->rows);
    float *found = scores(&w);
    memcpy(outputs, found, w.outputs * sizeof *outputs);
    free(found);
    values_free(events);
    world_free(&w);
}

static void assert_model_is(vqr_model *model, const float expected[2 * CANDIDATES])
{
    float found[2 * CANDIDATES];
    struct vqr_error error;
    assert_int_equal(vqr_model_verify(model, &error), VQR_OK);
    scores_of(model, found);
    assert_memory_equal(found, expected, sizeof found);
}

static void expected_scores(struct runtime_file file, float outputs[2 * CANDIDATES])
{
    scores_of(open_model(file), outputs);
}

/* ---- the three ways ---- */

static void test_from_path(void **state)
{
    (void)state;
    struct runtime_file file = default_file();
    float expected[2 * CANDIDATES];
    expected_scores(file, expected);
    struct vqr_error error;
    vqr_model *model = NULL;
    const char *path = write_file("model", 0, file.data, file.size, 0);
    assert_int_equal(vqr_model_open(path, &model, &error), VQR_OK);
    assert_int_equal(unlink(path), 0); /* replaced or removed: the mapping stays */
    size_t size;
    assert_memory_equal(vqr_model_data(model, &size), file.data, file.size);
    assert_int_equal(size, file.size);
    assert_ptr_equal(vqr_model_data(model, NULL), vqr_model_data(model, &size));
    assert_model_is(model, expected);
    free(file.data);
}

static void test_from_memory_of_any_alignment(void **state)
{
    (void)state;
    struct runtime_file file = default_file();
    float expected[2 * CANDIDATES];
    expected_scores(file, expected);
    for (size_t off = 0; off < 64; off++) {
        void *room = NULL;
        assert_int_equal(posix_memalign(&room, 64, file.size + off), 0);
        uint8_t *data = (uint8_t *)room + off;
        memcpy(data, file.data, file.size);
        struct vqr_error error;
        vqr_model *model = NULL;
        assert_int_equal(vqr_model_open_memory(data, file.size, &model, &error), VQR_OK);
        size_t size;
        const void *used = vqr_model_data(model, &size);
        assert_int_equal(used == data, off == 0); /* in place where it can be */
        assert_int_equal(size, file.size);
        assert_memory_equal(used, file.data, size);
        assert_model_is(model, expected);
        free(room);
    }
    free(file.data);
}

static void test_from_descriptor(void **state)
{
    (void)state;
    struct runtime_file file = default_file();
    float expected[2 * CANDIDATES];
    expected_scores(file, expected);
    static const size_t offsets[] = {0, 1, 3, 63, 64, 65, 100, 4032, 4095, 4096, 4097, 8209, 65536, 65600, 100001};
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
        for (size_t after = 0; after < 2; after++) {
            const char *path = write_file("inside", offsets[i], file.data, file.size, after * 777);
            const int fd = open(path, O_RDONLY);
            assert_true(fd >= 0);
            assert_int_equal(lseek(fd, 5, SEEK_SET), 5); /* where the descriptor stands does not matter */
            struct vqr_error error;
            vqr_model *model = NULL;
            assert_int_equal(vqr_model_open_fd(fd, offsets[i], after ? file.size : 0, &model, &error), VQR_OK);
            assert_int_equal(lseek(fd, 0, SEEK_CUR), 5);
            assert_int_equal(close(fd), 0);
            assert_model_is(model, expected);
        }
    free(file.data);
}

/* ---- refusals ---- */

static void assert_open_refused(const char *path, enum vqr_status status, const char *says)
{
    struct vqr_error error;
    vqr_model *model = (vqr_model *)&error; /* must be overwritten */
    assert_refusal(status, vqr_model_open(path, &model, &error), &error);
    assert_says(&error, says);
    assert_null(model);
    model = (vqr_model *)&error;
    assert_int_equal(vqr_model_open(path, &model, NULL), status);
    assert_null(model);
}

static void test_bad_paths(void **state)
{
    (void)state;
    struct runtime_file file = default_file();
    assert_open_refused(path_of("missing"), VQR_ERROR_IO, "missing");
    assert_open_refused("", VQR_ERROR_IO, "");
    assert_open_refused("no\nsuch\tfile", VQR_ERROR_IO, "such"); /* the message is still one line */
    assert_open_refused(directory, VQR_ERROR_IO, "");
    assert_open_refused("/dev/null", VQR_ERROR_IO, "");
    assert_open_refused(write_file("empty", 0, "", 0, 0), VQR_ERROR_FORMAT, "empty");
    assert_open_refused(write_file("text", 0, "hello\n", 6, 0), VQR_ERROR_FORMAT, "6 bytes");
    assert_open_refused(write_file("text", 0, "hello, is this a model file?", 28, 0), VQR_ERROR_FORMAT, "not a model");
    assert_open_refused(write_file("short", 0, file.data, file.size - 1, 0), VQR_ERROR_FORMAT, "truncated");
    assert_open_refused(write_file("short", 0, file.data, file.size, 1), VQR_ERROR_FORMAT, "after the end");
    const char *secret = write_file("secret", 0, file.data, file.size, 0);
    assert_int_equal(chmod(secret, 0), 0);
    if (access(secret, R_OK) == 0)
        print_message("unreadable files: not tried, this user reads everything\n");
    else
        assert_open_refused(secret, VQR_ERROR_IO, "ermission");
    free(file.data);
}

static void do_nothing(int signal)
{
    (void)signal;
}

/* A pipe with a name is refused at once, not waited for. The alarm ends a wait, which then shows in the message. */
static void test_named_pipe(void **state)
{
    (void)state;
    const struct sigaction action = {.sa_handler = do_nothing};
    struct sigaction before;
    assert_int_equal(mkfifo(path_of("pipe"), 0600), 0);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    alarm(3);
    assert_open_refused(path_of("pipe"), VQR_ERROR_IO, "regular");
    alarm(0);
    assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
}

static void assert_fd_refused(int fd, uint64_t offset, uint64_t length, enum vqr_status status, const char *says)
{
    struct vqr_error error;
    vqr_model *model = (vqr_model *)&error;
    assert_refusal(status, vqr_model_open_fd(fd, offset, length, &model, &error), &error);
    assert_says(&error, says);
    assert_null(model);
}

static void test_bad_descriptors(void **state)
{
    (void)state;
    struct runtime_file file = default_file();
    const uint64_t size = file.size;
    const char *path = write_file("model", 0, file.data, file.size, 0);
    int fd = open(path, O_RDONLY), ends[2];
    assert_true(fd >= 0);
    assert_fd_refused(fd, size, 0, VQR_ERROR_FORMAT, "empty");
    assert_fd_refused(fd, size + 1, 0, VQR_ERROR_IO, "");
    assert_fd_refused(fd, 0, size + 1, VQR_ERROR_IO, "");
    assert_fd_refused(fd, 1, size, VQR_ERROR_IO, "");
    assert_fd_refused(fd, UINT64_MAX, 0, VQR_ERROR_IO, "");
    assert_fd_refused(fd, UINT64_MAX, UINT64_MAX, VQR_ERROR_IO, "");
    assert_fd_refused(fd, 0, UINT64_MAX, VQR_ERROR_IO, "");
    assert_fd_refused(fd, 64, UINT64_MAX - 32, VQR_ERROR_IO, "");
    assert_fd_refused(fd, 1, 0, VQR_ERROR_FORMAT, "");
    assert_fd_refused(fd, 0, 1, VQR_ERROR_FORMAT, "1 byte");
    assert_fd_refused(fd, 0, size - 1, VQR_ERROR_FORMAT, "truncated");
    assert_int_equal(close(fd), 0);
    assert_fd_refused(-1, 0, 0, VQR_ERROR_IO, "");
    assert_fd_refused(fd, 0, 0, VQR_ERROR_IO, "");
    fd = open(path, O_WRONLY);
    assert_fd_refused(fd, 0, 0, VQR_ERROR_IO, "");
    assert_int_equal(close(fd), 0);
    assert_int_equal(pipe(ends), 0);
    assert_fd_refused(ends[0], 0, 0, VQR_ERROR_IO, "");
    assert_int_equal(close(ends[0]) | close(ends[1]), 0);
    free(file.data);
}

static void assert_memory_refused(const void *data, size_t size, enum vqr_status status, const char *says)
{
    struct vqr_error error;
    vqr_model *model = (vqr_model *)&error;
    assert_refusal(status, vqr_model_open_memory(data, size, &model, &error), &error);
    assert_says(&error, says);
    assert_null(model);
}

static void test_null_arguments(void **state)
{
    (void)state;
    struct runtime_file file = default_file();
    struct vqr_error error;
    assert_open_refused(NULL, VQR_ERROR_ARGUMENT, "NULL");
    assert_memory_refused(NULL, file.size, VQR_ERROR_ARGUMENT, "NULL");
    assert_memory_refused(NULL, 0, VQR_ERROR_ARGUMENT, "NULL");
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_model_open("x", NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_model_open_memory(file.data, file.size, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_model_open_fd(0, 0, 0, NULL, &error), &error);
    vqr_model_close(NULL);
    vqr_session_free(NULL);
    vqr_state_free(NULL);
    vqr_session *session = NULL;
    vqr_state *user = NULL;
    vqr_model *model = open_model(file);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_session_create(NULL, NULL, &session, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_session_create(model, NULL, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_state_create(NULL, NULL, 0, &user, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_state_create(model, NULL, 0, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_model_verify(NULL, &error), &error);
    struct vqr_feature feature;
    struct vqr_sequence_info sequence;
    assert_int_equal(vqr_feature_info(NULL, VQR_EVENT, 0, &feature), VQR_ERROR_ARGUMENT);
    assert_int_equal(vqr_feature_info(model, VQR_EVENT, 0, NULL), VQR_ERROR_ARGUMENT);
    assert_int_equal(vqr_sequence_info(NULL, 0, &sequence), VQR_ERROR_ARGUMENT);
    assert_int_equal(vqr_sequence_info(model, 0, NULL), VQR_ERROR_ARGUMENT);
    vqr_model_close(model);
    free(file.data);
}

static void test_bad_memory(void **state)
{
    (void)state;
    struct runtime_file file = default_file();
    for (size_t size = 0; size < file.size; size += size < 200 ? 1 : 97)
        for (size_t off = 0; off < 2; off++) { /* in place and copied */
            void *room = NULL;
            assert_int_equal(posix_memalign(&room, 64, size + off + 1), 0);
            memcpy((uint8_t *)room + off, file.data, size);
            assert_memory_refused((uint8_t *)room + off, size, VQR_ERROR_FORMAT, "");
            free(room);
        }
    free(file.data);
}

static void test_newer_version(void **state)
{
    (void)state;
    struct runtime_options options = runtime_options_default();
    const uint32_t versions[] = {VQR_FORMAT_VERSION + 1, 77, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        options.format_version = versions[i];
        struct runtime_file file = runtime_build(&options);
        char number[16];
        snprintf(number, sizeof number, "%u", versions[i]);
        assert_memory_refused(file.data, file.size, VQR_ERROR_VERSION, number);
        free(file.data);
    }
    options.format_version = 0;
    struct runtime_file file = runtime_build(&options);
    assert_memory_refused(file.data, file.size, VQR_ERROR_FORMAT, "version");
    free(file.data);
}

/* ---- sessions by ISA ---- */

static void test_isas(void **state)
{
    (void)state;
    struct runtime_file file = default_file();
    vqr_model *model = open_model(file);
    size_t count = 0;
    int usable;
    for (const char *name; (name = vqr_isa_name(count, &usable)) != NULL; count++) {
        assert_ptr_equal(vqr_isa_name(count, NULL), name);
        struct vqr_error error;
        vqr_session *session = NULL;
        const struct vqr_session_options options = {.isa = name};
        const enum vqr_status status = vqr_session_create(model, &options, &session, &error);
        if (usable) {
            assert_int_equal(status, VQR_OK);
            assert_string_equal(vqr_session_isa(session), name);
        } else {
            assert_refusal(VQR_ERROR_UNSUPPORTED, status, &error);
            assert_says(&error, name);
            print_message("this processor cannot run %s: not tried\n", name);
        }
        vqr_session_free(session);
    }
    assert_string_equal(vqr_isa_name(0, NULL), "ref");
    assert_null(vqr_isa_name(SIZE_MAX, &usable));
    static const char *const wrong[] = {"", "REF", "sse2", "avx",
                                        "a name far longer than any instruction set has ever had, or will"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct vqr_error error;
        vqr_session *session = (vqr_session *)&error;
        const struct vqr_session_options options = {.isa = wrong[i]};
        assert_refusal(VQR_ERROR_UNSUPPORTED, vqr_session_create(model, &options, &session, &error), &error);
        assert_says(&error, wrong[i]);
        assert_null(session);
    }
    struct vqr_error error;
    vqr_session *none = NULL;
    const struct vqr_session_options two_lines = {.isa = "avx2\n"};
    assert_refusal(VQR_ERROR_UNSUPPORTED, vqr_session_create(model, &two_lines, &none, &error), &error);
    vqr_session *best = new_session(model, NULL);
    size_t last = 0;
    while (usable_isa(last + 1))
        last++;
    assert_string_equal(vqr_session_isa(best), usable_isa(last));
    vqr_session_free(best);
    vqr_model_close(model);
    free(file.data);
}

/* ---- names ---- */

static void test_names(void **state)
{
    (void)state;
    struct runtime_options options = runtime_options_default();
    options.name = "a model, \xc3\xa9t\xc3\xa9";
    options.outputs = 3;
    struct runtime_file file = runtime_build(&options);
    vqr_model *model = open_model(file);
    assert_string_equal(vqr_model_name(model), options.name);
    assert_int_equal(vqr_model_outputs(model), 3);
    assert_string_equal(vqr_model_output_name(model, 0), "output0");
    assert_string_equal(vqr_model_output_name(model, 2), "output2");
    assert_null(vqr_model_output_name(model, 3));
    assert_null(vqr_model_output_name(model, SIZE_MAX));

    static const struct {
        size_t count;
        struct vqr_feature features[4];
    } groups[VQR_GROUPS] = {
        {2, {{"age", VQR_FEATURE_FLOAT, 1, 1}, {"word", VQR_FEATURE_ID, 3, 1}}},
        {1, {{"item", VQR_FEATURE_ID, 5, 1}}},
        {4,
         {{"item", VQR_FEATURE_ID, 5, 1},
          {"word", VQR_FEATURE_ID, 3, 1},
          {"price", VQR_FEATURE_FLOAT, 1, 1},
          {"time", VQR_FEATURE_TIME, 0, 1}}},
        {2, {{"item", VQR_FEATURE_ID, 5, 1}, {"price", VQR_FEATURE_FLOAT, 1, 1}}},
    };
    for (size_t g = 0; g < VQR_GROUPS; g++) {
        const enum vqr_group group = (enum vqr_group)g;
        assert_int_equal(vqr_feature_count(model, group), groups[g].count);
        for (size_t i = 0; i < groups[g].count; i++) {
            struct vqr_feature info;
            assert_int_equal(vqr_feature_info(model, group, i, &info), VQR_OK);
            assert_string_equal(info.name, groups[g].features[i].name);
            assert_int_equal(info.kind, groups[g].features[i].kind);
            assert_int_equal(info.width, groups[g].features[i].width);
            assert_int_equal(vqr_feature_index(model, group, info.name), i);
        }
        struct vqr_feature info;
        assert_int_equal(vqr_feature_info(model, group, groups[g].count, &info), VQR_ERROR_ARGUMENT);
        assert_int_equal(vqr_feature_info(model, group, SIZE_MAX, &info), VQR_ERROR_ARGUMENT);
        assert_int_equal(vqr_feature_index(model, group, "nothing"), -1);
        assert_int_equal(vqr_feature_index(model, group, ""), -1);
    }
    struct vqr_feature info;
    assert_int_equal(vqr_feature_count(model, (enum vqr_group)4), 0);
    assert_int_equal(vqr_feature_count(model, (enum vqr_group) - 1), 0);
    assert_int_equal(vqr_feature_info(model, (enum vqr_group)4, 0, &info), VQR_ERROR_ARGUMENT);
    vqr_model_close(model);
    free(file.data);
}

static void test_status_names(void **state)
{
    (void)state;
    for (int i = VQR_OK; i <= VQR_ERROR_TABLE; i++) {
        const char *name = vqr_status_name((enum vqr_status)i);
        assert_string_not_equal(name, "unknown");
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz"), strlen(name));
        for (int j = 0; j < i; j++)
            assert_string_not_equal(name, vqr_status_name((enum vqr_status)j));
    }
    assert_string_equal(vqr_status_name((enum vqr_status)13), "unknown");
    assert_string_equal(vqr_status_name((enum vqr_status) - 1), "unknown");
    char version[32];
    snprintf(version, sizeof version, "%d.%d.%d", VQR_VERSION_MAJOR, VQR_VERSION_MINOR, VQR_VERSION_PATCH);
    assert_string_equal(vqr_version(), version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_path),       cmocka_unit_test(test_from_memory_of_any_alignment),
        cmocka_unit_test(test_from_descriptor), cmocka_unit_test(test_bad_paths),
        cmocka_unit_test(test_named_pipe),      cmocka_unit_test(test_bad_descriptors),
        cmocka_unit_test(test_null_arguments),  cmocka_unit_test(test_bad_memory),
        cmocka_unit_test(test_newer_version),   cmocka_unit_test(test_isas),
        cmocka_unit_test(test_names),           cmocka_unit_test(test_status_names),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
