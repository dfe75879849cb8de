#include "tests/runtime_support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64 */
uint64_t random_next(uint64_t *random)
{
    uint64_t z = (*random += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

size_t random_below(uint64_t *random, size_t n)
{
    return (size_t)(random_next(random) % n);
}

/* ---- models ---- */

/* Heads in any order, in one group after another until none is left. */
static void random_vql(struct runtime_vql *vql, uint64_t *random)
{
    vql->heads = 1 + (uint32_t)random_below(random, RUNTIME_HEADS_MAX);
    vql->dim = 1 + (uint32_t)random_below(random, 19);
    vql->v_dim = 1 + (uint32_t)random_below(random, 19);
    vql->terms = (uint32_t)random_below(random, 3);
    vql->out = random_below(random, 2) ? 1 + (uint32_t)random_below(random, 40) : 0;
    vql->exponents = vql->heads;
    for (uint32_t a = 0; a < vql->heads; a++) {
        const size_t place = random_below(random, a + 1);
        vql->head[a] = vql->head[place];
        vql->head[place] = a;
    }
    vql->groups = 0;
    for (uint32_t left = vql->heads; left > 0; vql->groups++) {
        const uint32_t own = 1 + (uint32_t)random_below(random, left);
        vql->group_heads[vql->groups] = vql->groups + 1 < RUNTIME_GROUPS_MAX ? own : left;
        vql->codewords[vql->groups] = 1 + (uint32_t)random_below(random, 40);
        left -= vql->group_heads[vql->groups];
    }
}

/* With what the model's other parts say where that fits. */
static void random_hstu_last(struct runtime_options *o, uint64_t *random)
{
    struct runtime_hstu_last *l = &o->hstu_last;
    static const int kinds[] = {VQR_ATTENTION_NONE, VQR_ATTENTION_DOT, VQR_ATTENTION_DIN};
    l->hstu = o->hstu;
    l->hstu.share = false;
    l->hstu.bias = random_below(random, 3) ? VQR_BIAS_SHARED : VQR_BIAS_NONE;
    l->last = 1 + (uint32_t)random_below(random, 40);
    l->buckets = random_below(random, 2) ? (uint32_t)random_below(random, 145) : 0;
    l->positions = random_below(random, 2);
    l->scale = (uint8_t)random_below(random, 2);
    l->attention.kind = kinds[random_below(random, 3)];
    l->attention.hidden_count = random_below(random, 2);
    l->hidden[0] = 1 + (uint32_t)random_below(random, 20);
}

static void random_search(struct runtime_search *search, uint64_t *random)
{
    search->sim_hards = (uint32_t)random_below(random, 2);
    search->twins = (uint32_t)random_below(random, 2);
    search->last = 1 + (uint32_t)random_below(random, 60);
    search->top = 1 + (uint32_t)random_below(random, search->last < 20 ? search->last : 20);
    search->attention.kind = random_below(random, 2) ? VQR_ATTENTION_DIN : VQR_ATTENTION_DOT;
    search->attention.softmax = random_below(random, 2);
    search->attention.hidden_count = random_below(random, 3);
    search->hidden[0] = 1 + (uint32_t)random_below(random, 20);
    search->hidden[1] = 1 + (uint32_t)random_below(random, 20);
    search->twin.heads = 1 + (uint32_t)random_below(random, 3);
    search->twin.dim = 1 + (uint32_t)random_below(random, 35);
    search->twin.out = random_below(random, 2) ? 1 + (uint32_t)random_below(random, 20) : 0;
}

struct runtime_options random_options(uint64_t i)
{
    struct runtime_options o = runtime_options_default();
    uint64_t random = 1000 + i;
    o.seed = random;
    o.sequences = 1 + (uint32_t)random_below(&random, 2);
    o.codebooks = 1 + (uint32_t)random_below(&random, 3);
    o.codewords = 1 + (uint32_t)random_below(&random, 40);
    o.item_dim = 1 + (uint32_t)random_below(&random, 20);
    o.word_dim = 1 + (uint32_t)random_below(&random, 6);
    o.empty = random_below(&random, 2) ? VQR_EMPTY_ZERO : VQR_EMPTY_MASKED;
    o.hstu.layers = (uint32_t)random_below(&random, 3);
    o.hstu.heads = 1 + (uint32_t)random_below(&random, 3);
    o.hstu.qk_dim = 1 + (uint32_t)random_below(&random, 9);
    o.hstu.v_dim = 2 + (uint32_t)random_below(&random, 18);
    o.hstu.pre_norm = random_below(&random, 2);
    o.hstu.affine = random_below(&random, 2);
    o.hstu.residual = random_below(&random, 2);
    o.hstu.share = random_below(&random, 2);
    o.hstu.activate = (int)random_below(&random, 2);
    o.hstu.alpha = (int)random_below(&random, 2);
    o.hstu.bias = (int)random_below(&random, 3);
    o.hstu.normalize = (int)random_below(&random, 4);
    o.hstu.norm = (int)random_below(&random, 2);
    o.hstu.output = (int)random_below(&random, 3);
    o.attention.heads = 1 + (uint32_t)random_below(&random, 3);
    o.attention.dim = 1 + (uint32_t)random_below(&random, 19);
    o.attention.out = random_below(&random, 2) ? 1 + (uint32_t)random_below(&random, 40) : 0;
    o.attention.share = random_below(&random, 2);
    o.attention.count_bias = random_below(&random, 2);
    o.hidden_count = random_below(&random, 3);
    o.hidden[1] = 1 + (uint32_t)random_below(&random, 40);
    o.activation = random_below(&random, 2) ? VQR_SILU : VQR_RELU;
    o.outputs = 1 + random_below(&random, 20);
    o.vql_sequences = (uint32_t)random_below(&random, 2);
    random_vql(&o.vql, &random);
    o.sdim_sequences = (uint32_t)random_below(&random, 2);
    o.hashes = 1 + (uint32_t)random_below(&random, 20);
    o.bits = 1 + (uint32_t)random_below(&random, 6);
    o.hstu_sequences = (uint32_t)random_below(&random, 2);
    random_hstu_last(&o, &random);
    random_search(&o.search, &random);
    if (i % 2 == 0) {
        o.int8.tables = random_below(&random, 2);
        o.int8.weights = random_below(&random, 2);
        o.int8.scores = (uint8_t)random_below(&random, 3);
        o.int8.kept = random_below(&random, 2) ? (uint32_t)random_below(&random, 6) : 0;
        o.int8.fine = (uint32_t)random_below(&random, 5);
        o.attention.state = (int)random_below(&random, 2);
        o.hstu_last.attention.state = (int)random_below(&random, 2);
    }
    return o;
}

/* ---- values ---- */

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    assert_non_null(memory);
    return memory;
}

static struct vqr_id random_word(uint64_t *random)
{
    size_t count;
    const struct vqr_id *words = runtime_words(&count);
    const struct vqr_id unknown[] = {{NULL, 12345}, {"nobody", 6}, {NULL, -8}, {"", 0}};
    return random_below(random, 8) ? words[random_below(random, count)] : unknown[random_below(random, 4)];
}

static void fill_value(struct values *v, size_t column, size_t row, uint64_t *random)
{
    switch (v->columns[column].type) {
    case VQR_COLUMN_ID:
        ((struct vqr_id *)v->column_values[column])[row] = random_word(random);
        break;
    case VQR_COLUMN_FLOAT64:
        ((double *)v->column_values[column])[row] = (double)(int64_t)random_below(random, 2000001) * 1e-5 - 8.0;
        break;
    default:
        ((int64_t *)v->column_values[column])[row] = (int64_t)random_below(random, 43) - 1;
    }
    v->present[column][row] = random_below(random, 8) != 0;
}

static struct values *values_empty(size_t columns, size_t rows)
{
    struct values *v = allocate(1, sizeof *v);
    assert_in_range(columns, 0, VALUES_COLUMNS);
    v->rows = (struct vqr_rows){.columns = v->columns, .column_count = columns, .rows = rows};
    return v;
}

static void add_column(struct values *v, size_t column, enum vqr_column_type type, size_t size)
{
    v->sizes[column] = size;
    v->column_values[column] = allocate(v->rows.rows, size);
    v->present[column] = allocate(v->rows.rows, 1);
    v->columns[column] =
        (struct vqr_column){.type = type, .values = v->column_values[column], .present = v->present[column]};
}

struct values *values_new(const vqr_model *model, enum vqr_group group, size_t rows, uint64_t seed)
{
    struct values *v = values_empty(vqr_feature_count(model, group), rows);
    for (size_t i = 0; i < v->rows.column_count; i++) {
        struct vqr_feature feature;
        assert_int_equal(vqr_feature_info(model, group, i, &feature), VQR_OK);
        if (feature.kind == VQR_FEATURE_FLOAT)
            add_column(v, i, VQR_COLUMN_FLOAT64, sizeof(double));
        else if (strcmp(feature.name, "word") == 0)
            add_column(v, i, VQR_COLUMN_ID, sizeof(struct vqr_id));
        else
            add_column(v, i, VQR_COLUMN_INT64, sizeof(int64_t));
        for (size_t row = 0; row < rows; row++)
            fill_value(v, i, row, &seed);
    }
    return v;
}

void values_free(struct values *v)
{
    for (size_t i = 0; v && i < VALUES_COLUMNS; i++) {
        free(v->column_values[i]);
        free(v->present[i]);
    }
    free(v);
}

struct values *values_ordered(const struct values *from, const size_t *order, size_t count)
{
    struct values *v = values_empty(from->rows.column_count, count);
    for (size_t i = 0; i < v->rows.column_count; i++) {
        const size_t size = from->sizes[i];
        add_column(v, i, from->columns[i].type, size);
        for (size_t row = 0; row < count; row++) {
            memcpy((char *)v->column_values[i] + row * size, (const char *)from->column_values[i] + order[row] * size,
                   size);
            v->present[i][row] = from->present[i][order[row]];
        }
    }
    return v;
}

struct vqr_rows values_part(const struct values *v, size_t first, size_t count, struct vqr_column *columns)
{
    for (size_t i = 0; i < v->rows.column_count; i++)
        columns[i] = (struct vqr_column){.type = v->columns[i].type,
                                         .values = (const char *)v->column_values[i] + first * v->sizes[i],
                                         .present = v->present[i] + first};
    return (struct vqr_rows){.columns = columns, .column_count = v->rows.column_count, .rows = count};
}

/* ---- calls that must succeed ---- */

static void assert_ok(enum vqr_status status, const struct vqr_error *error)
{
    if (status)
        fail_msg("%s: %s", vqr_status_name(status), error->message);
}

vqr_model *open_model(struct runtime_file file)
{
    struct vqr_error error;
    vqr_model *model = NULL;
    assert_ok(vqr_model_open_memory(file.data, file.size, &model, &error), &error);
    return model;
}

vqr_session *new_session(const vqr_model *model, const char *isa)
{
    struct vqr_error error;
    vqr_session *session = NULL;
    const struct vqr_session_options options = {.isa = isa};
    assert_ok(vqr_session_create(model, &options, &session, &error), &error);
    return session;
}

vqr_state *new_state(const vqr_model *model)
{
    struct vqr_error error;
    vqr_state *state = NULL;
    assert_ok(vqr_state_create(model, NULL, 0, &state, &error), &error);
    return state;
}

struct world world_new(const struct runtime_options *options, const char *isa, size_t candidates)
{
    struct world w = {.file = runtime_build(options)};
    w.model = open_model(w.file);
    w.session = new_session(w.model, isa);
    w.state = new_state(w.model);
    w.user = values_new(w.model, VQR_USER, 1, 101);
    w.context = values_new(w.model, VQR_CONTEXT, 1, 102);
    w.candidates = values_new(w.model, VQR_CANDIDATE, candidates, 103);
    w.outputs = candidates * vqr_model_outputs(w.model);
    return w;
}

void world_free(struct world *w)
{
    values_free(w->user);
    values_free(w->context);
    values_free(w->candidates);
    vqr_state_free(w->state);
    vqr_session_free(w->session);
    vqr_model_close(w->model);
    free(w->file.data);
}

void append(struct world *w, const struct vqr_rows *events)
{
    struct vqr_error error;
    assert_ok(vqr_append(w->session, w->state, events, NULL, &error), &error);
}

void encode(struct world *w, const struct vqr_rows *events)
{
    struct vqr_error error;
    assert_ok(vqr_encode(w->session, w->state, events, NULL, &error), &error);
}

struct vqr_request request_of(const struct world *w)
{
    return (struct vqr_request){.user = w->user->rows, .context = w->context->rows, .candidates = w->candidates->rows};
}

float *scores(struct world *w)
{
    struct vqr_error error;
    float *outputs = allocate(w->outputs, sizeof *outputs);
    const struct vqr_request request = request_of(w);
    memset(outputs, 0x5a, w->outputs * sizeof *outputs);
    assert_ok(vqr_refresh(w->session, w->state, &error), &error);
    assert_ok(vqr_score(w->session, w->state, &request, outputs, NULL, &error), &error);
    for (size_t i = 0; i < w->outputs; i++)
        if (!(outputs[i] >= 0.0f && outputs[i] <= 1.0f))
            fail_msg("output %zu is %g", i, (double)outputs[i]);
    return outputs;
}

/* ---- checks ---- */

void assert_same_scores(const struct world *w, const float *a, const float *b)
{
    assert_memory_equal(a, b, w->outputs * sizeof *a);
}

void assert_refusal(enum vqr_status expected, enum vqr_status found, const struct vqr_error *error)
{
    if (found != expected)
        fail_msg("expected status %s, found %s: %s", vqr_status_name(expected), vqr_status_name(found),
                 found ? error->message : "");
    assert_int_equal(error->status, expected);
    assert_true(memchr(error->message, 0, sizeof error->message) != NULL);
    assert_true(strlen(error->message) > 0);
    for (const char *c = error->message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            fail_msg("a control character in \"%s\"", error->message);
}

void assert_says(const struct vqr_error *error, const char *text)
{
    if (!strstr(error->message, text))
        fail_msg("expected \"%s\" in \"%s\"", text, error->message);
}

void assert_refused(const struct runtime_options *tensors, const struct runtime_options *says, const char *text)
{
    struct runtime_file file = runtime_build_saying(tensors, says);
    struct vqr_error error;
    vqr_model *model = NULL;
    const enum vqr_status status = vqr_model_open_memory(file.data, file.size, &model, &error);
    assert_refusal(VQR_ERROR_FORMAT, status, &error);
    assert_says(&error, text);
    assert_null(model);
    free(file.data);
}

/* ---- ISAs ---- */

const char *usable_isa(size_t i)
{
    int usable;
    const char *name;
    for (size_t number = 0, seen = 0; (name = vqr_isa_name(number, &usable)) != NULL; number++)
        if (usable && seen++ == i)
            return name;
    return NULL;
}
