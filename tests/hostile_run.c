#include "tests/hostile_run.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 7 };

/* Columns that no caller should send, but may. */
struct odd_rows {
    int64_t ints[ROWS];
    struct vqr_id ids[ROWS];
    double doubles[ROWS];
    uint8_t present[ROWS];
};

static const struct odd_rows odd = {
    {INT64_MIN, -1, 0, 1, 39, 40, INT64_MAX},
    {{NULL, INT64_MIN}, {"shoe", 4}, {"", 0}, {NULL, -7}, {NULL, INT64_MAX}, {"h\xc3\xa9", 3}, {"nobody at all", 13}},
    {0, -0.0, 5e-324, 100, -100, 1e-30, 3},
    {1, 1, 0, 255, 1, 2, 1},
};

static enum vqr_column_type type_for(enum vqr_feature_kind kind, int strings)
{
    if (kind == VQR_FEATURE_FLOAT)
        return VQR_COLUMN_FLOAT64;
    return kind == VQR_FEATURE_ID && strings ? VQR_COLUMN_ID : VQR_COLUMN_INT64;
}

/* `form` 0: nothing is there; 1: integers; 2: strings, too. columns has room for the group. */
static struct vqr_rows odd_rows(const vqr_model *model, enum vqr_group group, size_t rows, int form,
                                struct vqr_column *columns)
{
    const size_t count = vqr_feature_count(model, group);
    for (size_t i = 0; i < count; i++) {
        struct vqr_feature info;
        assert_int_equal(vqr_feature_info(model, group, i, &info), VQR_OK);
        assert_int_equal(vqr_feature_index(model, group, info.name) >= 0, 1);
        const enum vqr_column_type type = type_for(info.kind, form == 2);
        const void *const values[] = {NULL, odd.ints, odd.ids, odd.doubles};
        columns[i] = (struct vqr_column){.type = type, .values = values[type], .present = odd.present};
    }
    return (struct vqr_rows){.columns = form ? columns : NULL, .column_count = form ? count : 0, .rows = rows};
}

static void check(enum vqr_status status, const struct vqr_error *error)
{
    if (status)
        assert_refusal(status, status, error);
}

static void run_request(const vqr_model *model, vqr_session *session, vqr_state *state, int form)
{
    struct vqr_column *columns[VQR_GROUPS];
    for (size_t g = 0; g < VQR_GROUPS; g++) {
        columns[g] = calloc(vqr_feature_count(model, (enum vqr_group)g) + 1, sizeof **columns);
        assert_non_null(columns[g]);
    }
    struct vqr_error error;
    struct vqr_stats stats = {0, 0};
    const struct vqr_rows events = odd_rows(model, VQR_EVENT, ROWS, form, columns[VQR_EVENT]);
    const struct vqr_request request = {odd_rows(model, VQR_USER, 1, form, columns[VQR_USER]),
                                        odd_rows(model, VQR_CONTEXT, 1, form, columns[VQR_CONTEXT]),
                                        odd_rows(model, VQR_CANDIDATE, ROWS, form, columns[VQR_CANDIDATE])};
    const size_t count = ROWS * vqr_model_outputs(model);
    float *outputs = calloc(count, sizeof *outputs);
    assert_non_null(outputs);
    check(vqr_encode(session, state, &events, &stats, &error), &error);
    check(vqr_append(session, state, &events, &stats, &error), &error);
    check(vqr_refresh(session, state, &error), &error);
    const enum vqr_status status = vqr_score(session, state, &request, outputs, &stats, &error);
    check(status, &error);
    for (size_t i = 0; !status && i < count; i++)
        if (!(outputs[i] >= 0.0f && outputs[i] <= 1.0f))
            fail_msg("output %zu is %g", i, (double)outputs[i]);
    free(outputs);
    const size_t codebooks = vqr_sequence_codebooks(model, 0);
    uint32_t *clusters = calloc(codebooks * ROWS + 1, sizeof *clusters);
    assert_non_null(clusters);
    if (codebooks > 0)
        check(vqr_assign(session, 0, &events, clusters, &error), &error);
    free(clusters);
    for (size_t g = 0; g < VQR_GROUPS; g++)
        free(columns[g]);
}

static void run_model(vqr_model *model)
{
    struct vqr_error error;
    vqr_session *session = NULL;
    vqr_state *state = NULL;
    const size_t bytes = vqr_session_size(model), more = vqr_state_size(model);
    if (bytes > HOSTILE_BYTES_MAX || more > HOSTILE_BYTES_MAX - bytes)
        fail_msg("a session takes %zu bytes, a state %zu", bytes, more);
    for (size_t i = 0; i < vqr_model_outputs(model); i++)
        assert_non_null(vqr_model_output_name(model, i));
    assert_non_null(vqr_model_name(model));
    check(vqr_model_verify(model, &error), &error);
    assert_int_equal(vqr_session_create(model, NULL, &session, &error), VQR_OK);
    assert_int_equal(vqr_state_create(model, NULL, 0, &state, &error), VQR_OK);
    for (int form = 0; form < 3; form++)
        run_request(model, session, state, form);
    vqr_state_free(state);
    vqr_session_free(session);
}

int hostile_run(const void *data, size_t size)
{
    struct vqr_error error;
    vqr_model *model = NULL;
    const enum vqr_status status = vqr_model_open_memory(data, size, &model, &error);
    if (status) {
        assert_refusal(status, status, &error);
        assert_null(model);
        assert_true(status == VQR_ERROR_FORMAT || status == VQR_ERROR_VERSION);
        return 0;
    }
    run_model(model);
    vqr_model_close(model);
    return 1;
}

struct runtime_file hostile_copy(struct runtime_file file)
{
    void *data = NULL;
    assert_int_equal(posix_memalign(&data, 64, file.size), 0);
    memcpy(data, file.data, file.size);
    file.data = data;
    return file;
}

struct vqr_header_tensor hostile_tensor(struct runtime_file file, const char *name)
{
    struct vqr_header header;
    struct vqr_header_info info;
    struct vqr_header_tensor tensor = {0};
    char message[256];
    assert_int_equal(vqr_header_open(&header, file.data, file.size, message, sizeof message), VQR_HEADER_OK);
    vqr_header_info(&header, &info);
    for (size_t i = 0; i < info.tensors; i++) {
        vqr_header_tensor(&header, i, &tensor);
        if (strcmp(tensor.name, name) == 0)
            return tensor;
    }
    fail_msg("no tensor \"%s\"", name);
    return tensor;
}

float *hostile_floats(struct runtime_file file, const char *name)
{
    return (float *)(void *)(file.data + hostile_tensor(file, name).offset);
}

uint32_t *hostile_words(struct runtime_file file, const char *name)
{
    return (uint32_t *)(void *)(file.data + hostile_tensor(file, name).offset);
}

void hostile_run_good(struct runtime_file file)
{
    struct vqr_error error;
    vqr_model *model = open_model(file);
    if (vqr_model_verify(model, &error) != VQR_OK)
        fail_msg("%s", error.message);
    vqr_model_close(model);
    assert_int_equal(hostile_run(file.data, file.size), 1);
    free(file.data);
}
