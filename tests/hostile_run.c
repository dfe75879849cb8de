#include "tests/hostile_run.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 7 };

/* Columns that no caller should send, but may. */
struct odd_values {
    int64_t ints[ROWS];
    struct vqr_id ids[ROWS];
    double doubles[ROWS];
    uint8_t present[ROWS];
    uint64_t offsets[ROWS + 1];
};

static const struct odd_values odd = {
    {INT64_MIN, -1, 0, 1, 39, 40, INT64_MAX},
    {{NULL, INT64_MIN}, {"shoe", 4}, {"", 0}, {NULL, -7}, {NULL, INT64_MAX}, {"h\xc3\xa9", 3}, {"nobody at all", 13}},
    {0, -0.0, 5e-324, 100, -100, 1e-30, 3},
    {1, 1, 0, 255, 1, 2, 1},
    {0, 0, 1, 3, 3, 3, 6, 7},
};

static const struct vqr_lists odd_lists[] = {{VQR_COLUMN_INT64, odd.ints, odd.offsets},
                                             {VQR_COLUMN_ID, odd.ids, odd.offsets}};

/* What one model's requests are made of. */
struct odd_world {
    const vqr_model *model;
    vqr_session *session;
    vqr_state *state;
    int form;        /* 0: nothing is there; 1: integers, doubles; 2: strings too, floats */
    double *doubles; /* [ROWS][the widest vector] */
    float *floats;   /* the same */
};

static void take_vectors(struct odd_world *w)
{
    size_t widest = 1;
    struct vqr_feature info;
    for (size_t g = 0; g < VQR_GROUPS; g++)
        for (size_t i = 0; vqr_feature_info(w->model, (enum vqr_group)g, i, &info) == VQR_OK; i++)
            widest = info.numbers > widest ? info.numbers : widest;
    w->doubles = calloc(ROWS * widest, sizeof *w->doubles);
    w->floats = calloc(ROWS * widest, sizeof *w->floats);
    assert_non_null(w->doubles);
    assert_non_null(w->floats);
    for (size_t i = 0; i < ROWS * widest; i++) {
        w->doubles[i] = odd.doubles[i % ROWS];
        w->floats[i] = (float)odd.doubles[i % ROWS];
    }
}

static struct vqr_column odd_column(const struct odd_world *w, enum vqr_feature_kind kind)
{
    const int strings = w->form == 2;
    struct vqr_column column = {VQR_COLUMN_INT64, odd.ints, odd.present};
    if (kind == VQR_FEATURE_FLOAT)
        column = (struct vqr_column){VQR_COLUMN_FLOAT64, odd.doubles, odd.present};
    else if (kind == VQR_FEATURE_IDS)
        column = (struct vqr_column){VQR_COLUMN_LISTS, &odd_lists[strings], odd.present};
    else if ((kind == VQR_FEATURE_VECTOR || kind == VQR_FEATURE_SEMANTIC_ID) && strings)
        column = (struct vqr_column){VQR_COLUMN_FLOAT32, w->floats, odd.present};
    else if (kind == VQR_FEATURE_VECTOR || kind == VQR_FEATURE_SEMANTIC_ID)
        column = (struct vqr_column){VQR_COLUMN_FLOAT64, w->doubles, odd.present};
    else if (kind == VQR_FEATURE_ID && strings)
        column = (struct vqr_column){VQR_COLUMN_ID, odd.ids, odd.present};
    return column;
}

/* columns has room for the group. */
static struct vqr_rows odd_rows(const struct odd_world *w, enum vqr_group group, size_t rows,
                                struct vqr_column *columns)
{
    const size_t count = vqr_feature_count(w->model, group);
    for (size_t i = 0; i < count; i++) {
        struct vqr_feature info;
        assert_int_equal(vqr_feature_info(w->model, group, i, &info), VQR_OK);
        assert_int_equal(vqr_feature_index(w->model, group, info.name) >= 0, 1);
        columns[i] = odd_column(w, info.kind);
    }
    return (struct vqr_rows){.columns = w->form ? columns : NULL, .column_count = w->form ? count : 0, .rows = rows};
}

static void check(enum vqr_status status, const struct vqr_error *error)
{
    if (status)
        assert_refusal(status, status, error);
}

static void run_scores(const struct odd_world *w, const struct vqr_request *request)
{
    struct vqr_error error;
    struct vqr_stats stats = {0, 0};
    const size_t count = ROWS * vqr_model_outputs(w->model);
    float *outputs = calloc(2 * count, sizeof *outputs);
    assert_non_null(outputs);
    const enum vqr_status status = vqr_score(w->session, w->state, request, outputs, &stats, &error);
    check(status, &error);
    for (size_t i = 0; !status && i < count; i++)
        if (!(outputs[i] >= 0.0f && outputs[i] <= 1.0f))
            fail_msg("output %zu is %g", i, (double)outputs[i]);
    struct vqr_job jobs[2] = {{.state = w->state, .request = *request, .outputs = outputs + count},
                              {.state = w->state, .request = *request, .outputs = outputs + count}};
    check(vqr_score_many(w->session, jobs, 2, &error), &error);
    assert_int_equal(jobs[0].status, status);
    assert_int_equal(jobs[1].status, status);
    if (!status)
        assert_memory_equal(outputs, outputs + count, count * sizeof *outputs);
    free(outputs);
}

static void run_sequences(const struct odd_world *w, const struct vqr_rows *events, const struct vqr_request *request)
{
    struct vqr_error error;
    for (size_t i = 0; i < vqr_sequence_count(w->model); i++) {
        struct vqr_sequence_info info;
        assert_int_equal(vqr_sequence_info(w->model, i, &info), VQR_OK);
        uint32_t *clusters = calloc(info.codebooks * ROWS + 1, sizeof *clusters);
        float *weights = calloc(ROWS * (info.codebooks ? info.codebooks : 1) * info.tokens + 1, sizeof *weights);
        assert_non_null(clusters);
        assert_non_null(weights);
        assert_int_equal(vqr_sequence_codebooks(w->model, i), info.codebooks);
        if (info.codebooks > 0)
            check(vqr_assign(w->session, i, events, clusters, &error), &error);
        check(vqr_explain(w->session, w->state, i, request, weights, &error), &error);
        free(clusters);
        free(weights);
    }
}

static void run_quantizers(const struct odd_world *w)
{
    struct vqr_error error;
    for (size_t i = 0; i < vqr_quantizer_count(w->model); i++) {
        struct vqr_quantizer_info info;
        assert_int_equal(vqr_quantizer_info(w->model, i, &info), VQR_OK);
        float *x = calloc(ROWS * info.dim, sizeof *x);
        uint32_t *codes = calloc(ROWS * info.levels, sizeof *codes);
        assert_non_null(x);
        assert_non_null(codes);
        for (size_t k = 0; k < ROWS * info.dim; k++)
            x[k] = (float)odd.doubles[k % ROWS];
        const enum vqr_status status = vqr_quantize(w->session, i, x, ROWS, codes, &error);
        check(status, &error);
        for (size_t k = 0; !status && k < ROWS * info.levels; k++)
            assert_true(codes[k] < info.codes);
        free(x);
        free(codes);
    }
}

static void run_request(const struct odd_world *w)
{
    struct vqr_column *columns[VQR_GROUPS];
    for (size_t g = 0; g < VQR_GROUPS; g++) {
        columns[g] = calloc(vqr_feature_count(w->model, (enum vqr_group)g) + 1, sizeof **columns);
        assert_non_null(columns[g]);
    }
    struct vqr_error error;
    struct vqr_stats stats = {0, 0};
    const struct vqr_rows events = odd_rows(w, VQR_EVENT, ROWS, columns[VQR_EVENT]);
    const struct vqr_request request = {.user = odd_rows(w, VQR_USER, 1, columns[VQR_USER]),
                                        .context = odd_rows(w, VQR_CONTEXT, 1, columns[VQR_CONTEXT]),
                                        .candidates = odd_rows(w, VQR_CANDIDATE, ROWS, columns[VQR_CANDIDATE]),
                                        .time = w->form ? &odd.ints[w->form == 1 ? ROWS - 1 : 0] : NULL};
    check(vqr_encode(w->session, w->state, &events, &stats, &error), &error);
    check(vqr_append(w->session, w->state, &events, &stats, &error), &error);
    check(vqr_refresh(w->session, w->state, &error), &error);
    run_scores(w, &request);
    run_sequences(w, &events, &request);
    for (size_t g = 0; g < VQR_GROUPS; g++)
        free(columns[g]);
}

static void run_model(vqr_model *model)
{
    struct vqr_error error;
    struct odd_world w = {.model = model};
    const size_t bytes = vqr_session_size(model), more = vqr_state_size(model);
    if (bytes > HOSTILE_BYTES_MAX || more > HOSTILE_BYTES_MAX - bytes)
        fail_msg("a session takes %zu bytes, a state %zu", bytes, more);
    for (size_t i = 0; i < vqr_model_outputs(model); i++)
        assert_non_null(vqr_model_output_name(model, i));
    assert_non_null(vqr_model_name(model));
    check(vqr_model_verify(model, &error), &error);
    assert_int_equal(vqr_session_create(model, NULL, &w.session, &error), VQR_OK);
    assert_int_equal(vqr_state_create(model, NULL, 0, &w.state, &error), VQR_OK);
    take_vectors(&w);
    for (w.form = 0; w.form < 3; w.form++)
        run_request(&w);
    run_quantizers(&w);
    free(w.doubles);
    free(w.floats);
    vqr_state_free(w.state);
    vqr_session_free(w.session);
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

/* Shared weights and wide tokens multiply: the file may hold W and M numbers apart and ask for W * M. */
void assert_size_in_proportion(const struct runtime_options *options)
{
    struct runtime_file file = runtime_build(options);
    struct vqr_error error;
    vqr_model *model = NULL;
    assert_true(file.size < (size_t)4 << 20);
    const enum vqr_status status = vqr_model_open_memory(file.data, file.size, &model, &error);
    if (status) {
        assert_refusal(VQR_ERROR_FORMAT, status, &error);
    } else {
        const size_t session = vqr_session_size(model), state = vqr_state_size(model);
        if (session > HOSTILE_BYTES_MAX || state > HOSTILE_BYTES_MAX)
            fail_msg("a file of %zu bytes: a session takes %zu, a state %zu", file.size, session, state);
    }
    vqr_model_close(model);
    free(file.data);
}
