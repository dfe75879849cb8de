/* Scoring: the same bits for a candidate whatever its company, the processor's instruction set and the host's
 * floating-point mode. */
#include <fenv.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/processor/flush.h"
#include "tests/runtime_support.h"

enum { CANDIDATES = 100, EVENTS = 300 };

static size_t events_here(void)
{
    return VQR_TESTS_EMULATED ? EVENTS / 4 : EVENTS;
}

/* ---- candidates apart and together ---- */

static void score_part(struct world *w, size_t first, size_t count, float *outputs)
{
    struct vqr_column columns[VALUES_COLUMNS];
    struct vqr_error error;
    const struct vqr_request request = {.user = w->user->rows,
                                        .context = w->context->rows,
                                        .candidates = values_part(w->candidates, first, count, columns)};
    assert_int_equal(vqr_score(w->session, w->state, &request, outputs, NULL, &error), VQR_OK);
}

static void check_company(struct world *w)
{
    const size_t n = vqr_model_outputs(w->model);
    float *expected = scores(w), *found = calloc(w->outputs, sizeof *found);
    assert_non_null(found);
    for (size_t i = 0; i < CANDIDATES; i++)
        score_part(w, i, 1, found + i * n);
    assert_same_scores(w, expected, found);

    for (size_t count = 1; count <= CANDIDATES; count++) { /* what follows the outputs is left alone */
        memset(found, 0x5a, w->outputs * sizeof *found);
        const float untouched = found[0];
        score_part(w, CANDIDATES - count, count, found);
        assert_memory_equal(found, expected + (CANDIDATES - count) * n, count * n * sizeof *found);
        for (size_t i = count * n; i < w->outputs; i++)
            assert_memory_equal(&found[i], &untouched, sizeof untouched);
    }

    size_t order[CANDIDATES];
    for (size_t i = 0; i < CANDIDATES; i++)
        order[i] = CANDIDATES - 1 - i;
    struct values *forward = w->candidates;
    w->candidates = values_ordered(forward, order, CANDIDATES);
    float *reversed = scores(w);
    for (size_t i = 0; i < CANDIDATES; i++)
        assert_memory_equal(reversed + i * n, expected + (CANDIDATES - 1 - i) * n, n * sizeof *found);
    values_free(w->candidates);
    w->candidates = forward;
    free(reversed);
    free(found);
    free(expected);
}

static void test_candidates_in_any_company(void **state)
{
    (void)state;
    struct runtime_options options = runtime_options_default();
    for (int i = 0; i < 3; i++) {
        options.sequences = i == 1 ? 2 : 1;
        options.attention.out = i == 1 ? 5 : 0;
        options.outputs = i == 2 ? 1 : 3;
        options.hidden_count = i == 2 ? 0 : 1; /* one layer: hoisted chains go straight to the outputs */
        struct world w = world_new(&options, NULL, CANDIDATES);
        struct values *events = values_new(w.model, VQR_EVENT, events_here(), 1);
        check_company(&w); /* no events */
        encode(&w, &events->rows);
        check_company(&w);
        values_free(events);
        world_free(&w);
    }
}

static void test_no_candidates(void **state)
{
    (void)state;
    const struct runtime_options options = runtime_options_default();
    struct world w = world_new(&options, NULL, 0);
    struct vqr_request request = request_of(&w);
    struct vqr_stats stats = {0, 0};
    struct vqr_error error;
    float output = 7;
    assert_int_equal(vqr_score(w.session, w.state, &request, NULL, &stats, &error), VQR_OK);
    assert_int_equal(vqr_score(w.session, w.state, &request, &output, &stats, NULL), VQR_OK);
    assert_true(output == 7);
    request.candidates = (struct vqr_rows){NULL, 0, 0};
    assert_int_equal(vqr_score(w.session, w.state, &request, NULL, NULL, &error), VQR_OK);
    world_free(&w);
}

/* ---- user and context ---- */

static void test_absent_user_and_context(void **state)
{
    (void)state;
    const struct runtime_options options = runtime_options_default();
    struct world w = world_new(&options, NULL, CANDIDATES);
    w.user->present[0][0] = w.user->present[1][0] = w.context->present[0][0] = 1;
    ((double *)w.user->column_values[0])[0] = 99;
    float *with = scores(&w);
    w.user->present[0][0] = w.user->present[1][0] = w.context->present[0][0] = 0;
    float *expected = scores(&w);
    assert_memory_not_equal(with, expected, w.outputs * sizeof *with);

    const struct vqr_rows forms[] = {
        {NULL, 0, 0},                                    /* not there */
        {NULL, 0, 1},                                    /* one row of nothing */
        {w.user->columns, w.user->rows.column_count, 0}, /* columns, no row */
        {(struct vqr_column[2]){{VQR_COLUMN_ABSENT, NULL, NULL}}, 2, 1},
    };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        for (size_t j = 0; j < 2; j++) {
            const struct vqr_request request = {.user = forms[i],
                                                .context = forms[j],
                                                .candidates = w.candidates->rows};
            w.user->present[0][0] = w.user->present[1][0] = w.context->present[0][0] = 1;
            float *found = scores(&w); /* leaves the session with other values than the absent ones */
            assert_same_scores(&w, with, found);
            w.user->present[0][0] = w.user->present[1][0] = w.context->present[0][0] = 0;
            assert_int_equal(vqr_score(w.session, w.state, &request, found, NULL, NULL), VQR_OK);
            assert_same_scores(&w, expected, found);
            free(found);
        }
    free(with);
    free(expected);
    world_free(&w);
}

/* Features past the columns that came are absent. */
static void test_fewer_columns(void **state)
{
    (void)state;
    const struct runtime_options options = runtime_options_default();
    struct world w = world_new(&options, NULL, CANDIDATES);
    const size_t size = CANDIDATES * vqr_model_outputs(w.model) * sizeof(float);
    float *expected = malloc(size), *found = malloc(size);
    struct vqr_request request = request_of(&w);
    for (size_t i = 1; i < w.candidates->rows.column_count; i++)
        w.candidates->columns[i].type = VQR_COLUMN_ABSENT;
    assert_int_equal(vqr_score(w.session, w.state, &request, expected, NULL, NULL), VQR_OK);
    request.candidates.column_count = 1;
    assert_int_equal(vqr_score(w.session, w.state, &request, found, NULL, NULL), VQR_OK);
    assert_memory_equal(found, expected, size);
    free(found);
    free(expected);
    world_free(&w);
}

static void test_refused_requests(void **state)
{
    (void)state;
    const struct runtime_options options = runtime_options_default();
    struct world w = world_new(&options, NULL, CANDIDATES);
    struct vqr_error error;
    float outputs[2 * CANDIDATES];
    const struct vqr_request right = request_of(&w);
    struct vqr_request request = right;
    request.user.rows = 2;
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_score(w.session, w.state, &request, outputs, NULL, &error), &error);
    assert_says(&error, "user");
    request = right;
    request.context.rows = 3;
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_score(w.session, w.state, &request, outputs, NULL, &error), &error);
    assert_says(&error, "context");
    request = right;
    request.candidates.column_count = vqr_feature_count(w.model, VQR_CANDIDATE) + 1;
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_score(w.session, w.state, &request, outputs, NULL, &error), &error);
    assert_says(&error, "candidate");
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_score(w.session, w.state, &right, NULL, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_score(w.session, w.state, NULL, outputs, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_score(w.session, NULL, &right, outputs, NULL, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_score(NULL, w.state, &right, outputs, NULL, &error), &error);

    w.candidates->present[1][77] = 1;
    ((double *)w.candidates->column_values[1])[77] = (double)NAN;
    assert_refusal(VQR_ERROR_RANGE, vqr_score(w.session, w.state, &right, outputs, NULL, &error), &error);
    assert_says(&error, "candidate 77,");
    assert_says(&error, "price");
    w.candidates->present[1][77] = 0;
    w.user->present[0][0] = 1;
    ((double *)w.user->column_values[0])[0] = 1e300; /* finite, but not as a float */
    assert_refusal(VQR_ERROR_RANGE, vqr_score(w.session, w.state, &right, outputs, NULL, &error), &error);
    assert_says(&error, "user");
    assert_says(&error, "age");
    w.user->present[0][0] = 0;
    free(scores(&w)); /* the session is as good as before */
    world_free(&w);
}

/* A float is normalised in double: the difference of two large numbers keeps what fp32 would have lost. */
static void test_float_in_double(void **state)
{
    (void)state;
    struct runtime_options options = runtime_options_default();
    float *found[2];
    for (size_t i = 0; i < 2; i++) {
        options.price_mean = i == 0 ? 1000 : 0;
        options.price_std = i == 0 ? 0.7 : 1;
        struct world w = world_new(&options, NULL, 1);
        w.user->present[0][0] = 0; /* normalised like the price */
        w.candidates->present[1][0] = 1;
        ((double *)w.candidates->column_values[1])[0] = i == 0 ? 1000.1 : (1000.1 - 1000) / 0.7;
        found[i] = scores(&w);
        world_free(&w);
    }
    assert_memory_equal(found[0], found[1], options.outputs * sizeof(float));
    free(found[0]);
    free(found[1]);
}

/* ---- statistics ---- */

static void test_stats(void **state)
{
    (void)state;
    const struct runtime_options options = runtime_options_default();
    struct world w = world_new(&options, NULL, 2);
    struct values *events = values_new(w.model, VQR_EVENT, 4, 1);
    const int64_t items[] = {0, 39, 40, -1};
    const struct vqr_id words[] = {{"shoe", 4}, {"SHOE", 4}, {NULL, -7}, {"-7", 2}};
    for (size_t i = 0; i < 4; i++) {
        ((int64_t *)events->column_values[0])[i] = items[i];
        ((struct vqr_id *)events->column_values[1])[i] = words[i];
        events->present[0][i] = 1;
        events->present[1][i] = i != 3;
    }
    struct vqr_stats stats = {100, 10};
    assert_int_equal(vqr_append(w.session, w.state, &events->rows, &stats, NULL), VQR_OK);
    assert_int_equal(stats.ids, 107);
    assert_int_equal(stats.unknown_ids, 13);
    assert_int_equal(vqr_encode(w.session, w.state, &events->rows, &stats, NULL), VQR_OK);
    assert_int_equal(stats.ids, 114);
    assert_int_equal(stats.unknown_ids, 16);

    stats = (struct vqr_stats){0, 0};
    w.user->present[1][0] = w.context->present[0][0] = w.candidates->present[0][0] = 1;
    w.candidates->present[0][1] = 0;
    ((struct vqr_id *)w.user->column_values[1])[0] = (struct vqr_id){"nobody", 6};
    ((int64_t *)w.context->column_values[0])[0] = INT64_MIN;
    ((int64_t *)w.candidates->column_values[0])[0] = 3;
    const struct vqr_request request = request_of(&w);
    float outputs[4];
    assert_int_equal(vqr_score(w.session, w.state, &request, outputs, &stats, NULL), VQR_OK);
    assert_int_equal(stats.ids, 3);
    assert_int_equal(stats.unknown_ids, 2);
    values_free(events);
    world_free(&w);
}

/* Every key of the vocabulary is found, and only as what it is; an unknown id is row 0. */
static void test_vocabulary(void **state)
{
    (void)state;
    struct runtime_options options = runtime_options_default();
    for (options.slots = 32; options.slots <= 128; options.slots *= 2) {
        struct world w = world_new(&options, NULL, 1);
        w.candidates->present[0][0] = 0; /* counts no id of its own */
        struct vqr_id id;
        struct vqr_column columns[2] = {{VQR_COLUMN_ABSENT, NULL, NULL}, {VQR_COLUMN_ID, &id, NULL}};
        struct vqr_request request = {.user = {columns, 2, 1}, .candidates = w.candidates->rows};
        size_t count;
        const struct vqr_id *words = runtime_words(&count);
        float outputs[2], unknown[2], known[2];
        id = (struct vqr_id){"nobody", 6};
        assert_int_equal(vqr_score(w.session, w.state, &request, unknown, NULL, NULL), VQR_OK);
        for (size_t i = 0; i < count; i++) {
            struct vqr_stats stats = {0, 0};
            id = words[i];
            assert_int_equal(vqr_score(w.session, w.state, &request, known, &stats, NULL), VQR_OK);
            assert_true(stats.ids == 1 && stats.unknown_ids == 0);
            assert_memory_not_equal(known, unknown, sizeof known);
            if (!id.string) { /* a column of integers says the same */
                columns[1] = (struct vqr_column){VQR_COLUMN_INT64, &id.value, NULL};
                assert_int_equal(vqr_score(w.session, w.state, &request, outputs, &stats, NULL), VQR_OK);
                assert_memory_equal(known, outputs, sizeof known);
                columns[1] = (struct vqr_column){VQR_COLUMN_ID, &id, NULL};
            }
        }
        const struct vqr_id others[] = {{NULL, 7}, {"sho", 3},  {"shoes", 5},
                                        {"1", 1},  {"a\0c", 3}, {NULL, INT64_MIN + 1}};
        for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
            struct vqr_stats stats = {0, 0};
            id = others[i];
            assert_int_equal(vqr_score(w.session, w.state, &request, outputs, &stats, NULL), VQR_OK);
            assert_int_equal(stats.unknown_ids, 1);
            assert_memory_equal(outputs, unknown, sizeof unknown);
        }
        world_free(&w);
    }
}

/* ---- the same bits ---- */

/* Random models, small enough to try on every ISA. */
static size_t models_here(void)
{
    return VQR_TESTS_EMULATED ? 40 : VQR_TESTS_SANITIZED ? 40 : 200;
}

static void test_every_isa(void **state)
{
    (void)state;
    for (size_t i = 0; i < models_here(); i++) {
        const struct runtime_options options = random_options(i);
        struct world w = world_new(&options, "ref", 30);
        struct values *events = values_new(w.model, VQR_EVENT, events_here() / 3, i);
        encode(&w, &events->rows);
        float *expected = scores(&w);
        for (size_t isa = 1; usable_isa(isa); isa++) {
            vqr_session_free(w.session);
            w.session = new_session(w.model, usable_isa(isa));
            assert_string_equal(vqr_session_isa(w.session), usable_isa(isa));
            float *mixed = scores(&w); /* a state of one ISA, scored with another */
            assert_same_scores(&w, expected, mixed);
            encode(&w, &events->rows);
            float *found = scores(&w);
            assert_same_scores(&w, expected, found);
            free(mixed);
            free(found);
        }
        free(expected);
        values_free(events);
        world_free(&w);
    }
}

/* FNV-1a */
static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const uint8_t *)data)[i]) * UINT64_C(0x100000001b3);
    return hash;
}

/* The outputs of fixed models, as every processor and compiler must give them. A change of the numerics, or of what
 * random_options draws, changes the number: say why in the commit that does. */
static void test_every_processor(void **state)
{
    (void)state;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < 25; i++) {
        const struct runtime_options options = random_options(500 + i);
        struct world w = world_new(&options, NULL, 20);
        struct values *events = values_new(w.model, VQR_EVENT, 60, i);
        encode(&w, &events->rows);
        float *found = scores(&w);
        hash = hash_bytes(hash, found, w.outputs * sizeof *found);
        free(found);
        values_free(events);
        world_free(&w);
    }
    if (hash != UINT64_C(0xcea2e7122d111784))
        fail_msg("the outputs hash to 0x%016" PRIx64, hash);
}

/* Weights that make denormals on the way, so that flushing them would show. */
static struct runtime_options denormal_options(void)
{
    struct runtime_options options = runtime_options_default();
    options.scale = 0x1p-13f;
    options.hstu.affine = false; /* LayerNorm with eps 0 blows what is left of the denormals up */
    options.hstu.eps = 0;
    options.hstu.alpha = VQR_ALPHA_RSQRT;
    options.hstu.normalize = VQR_NORMALIZE_CONSTANT;
    options.hstu.normalize_constant = 4000000000u;
    options.hstu.heads = 1;
    options.attention.dim = 3;
    return options;
}

/* A floating-point mode of the host. */
struct mode {
    int rounding, flush;
};

static void enter_mode(struct mode mode)
{
    assert_int_equal(set_flush_to_zero(mode.flush) || !mode.flush, 1);
    assert_int_equal(fesetround(mode.rounding), 0);
}

static void leave_mode(void)
{
    fesetround(FE_TONEAREST);
    set_flush_to_zero(0);
}

static int flushes(void)
{
    volatile float tiny = 0x1p-140f;
    volatile float doubled = tiny * 2.0f;
    return doubled == 0.0f;
}

static void check_calls_in_mode(const struct runtime_options *options, struct mode mode)
{
    struct world w = world_new(options, NULL, CANDIDATES);
    struct values *events = values_new(w.model, VQR_EVENT, events_here(), 3);
    struct vqr_error error;
    const struct vqr_request request = request_of(&w);
    encode(&w, &events->rows);
    float *expected = scores(&w), *found = calloc(w.outputs, sizeof *found);
    assert_non_null(found);
    vqr_state_reset(w.state);

    enter_mode(mode);
    enum vqr_status status = vqr_append(w.session, w.state, &events->rows, NULL, &error);
    int kept = fegetround() == mode.rounding && flushes() == mode.flush;
    status = status ? status : vqr_refresh(w.session, w.state, &error);
    kept &= fegetround() == mode.rounding && flushes() == mode.flush;
    status = status ? status : vqr_encode(w.session, w.state, &events->rows, NULL, &error);
    kept &= fegetround() == mode.rounding && flushes() == mode.flush;
    status = status ? status : vqr_score(w.session, w.state, &request, found, NULL, &error);
    kept &= fegetround() == mode.rounding && flushes() == mode.flush;
    leave_mode();

    assert_int_equal(status, VQR_OK);
    assert_true(kept);
    assert_same_scores(&w, expected, found);
    free(expected);
    free(found);
    values_free(events);
    world_free(&w);
}

static void check_opened_in_mode(const struct runtime_options *options, struct mode mode)
{
    struct world w = world_new(options, NULL, CANDIDATES);
    struct values *events = values_new(w.model, VQR_EVENT, events_here(), 3);
    encode(&w, &events->rows);
    float *expected = scores(&w);
    vqr_state_free(w.state);
    vqr_session_free(w.session);
    vqr_model_close(w.model);

    struct vqr_error error;
    w.model = NULL;
    enter_mode(mode);
    const enum vqr_status opened = vqr_model_open_memory(w.file.data, w.file.size, &w.model, &error);
    const enum vqr_status verified = opened ? opened : vqr_model_verify(w.model, &error);
    const int kept = fegetround() == mode.rounding && flushes() == mode.flush;
    leave_mode();

    assert_int_equal(opened, VQR_OK);
    assert_int_equal(verified, VQR_OK);
    assert_true(kept);
    w.session = new_session(w.model, NULL);
    w.state = new_state(w.model);
    encode(&w, &events->rows);
    float *found = scores(&w);
    assert_same_scores(&w, expected, found);
    free(expected);
    free(found);
    values_free(events);
    world_free(&w);
}

static void in_every_mode(void (*check)(const struct runtime_options *options, struct mode mode))
{
    static const int roundings[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
    struct runtime_options options[] = {runtime_options_default(), denormal_options()};
    options[0].hstu.alpha = VQR_ALPHA_RSQRT; /* 1 / sqrt(3) takes a rounding */
    options[0].attention.dim = 7;
    const int can_flush = set_flush_to_zero(1);
    set_flush_to_zero(0);
    for (size_t o = 0; o < sizeof options / sizeof *options; o++)
        for (size_t r = 0; r < sizeof roundings / sizeof *roundings; r++)
            for (int flush = 0; flush <= can_flush; flush++)
                check(&options[o], (struct mode){roundings[r], flush});
}

static void test_calls_in_any_mode(void **state)
{
    (void)state;
    in_every_mode(check_calls_in_mode);
}

static void test_opened_in_any_mode(void **state)
{
    (void)state;
    in_every_mode(check_opened_in_mode);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_candidates_in_any_company),
        cmocka_unit_test(test_no_candidates),
        cmocka_unit_test(test_absent_user_and_context),
        cmocka_unit_test(test_fewer_columns),
        cmocka_unit_test(test_refused_requests),
        cmocka_unit_test(test_float_in_double),
        cmocka_unit_test(test_stats),
        cmocka_unit_test(test_vocabulary),
        cmocka_unit_test(test_every_isa),
        cmocka_unit_test(test_every_processor),
        cmocka_unit_test(test_calls_in_any_mode),
        cmocka_unit_test(test_opened_in_any_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
