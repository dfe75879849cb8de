/* What carried a score: the weights of target attention by cluster. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/runtime_support.h"

enum { CANDIDATES = 9, EVENTS = 30 };

struct told {
    struct vqr_sequence_info info;
    float *weights; /* [CANDIDATES][step] */
    size_t step;
};

static struct told explain(const struct world *w, vqr_session *session, size_t sequence)
{
    struct told told;
    struct vqr_error error;
    assert_int_equal(vqr_sequence_info(w->model, sequence, &told.info), VQR_OK);
    told.step = (told.info.codebooks ? told.info.codebooks : 1) * told.info.tokens;
    told.weights = malloc(CANDIDATES * told.step * sizeof(float));
    assert_non_null(told.weights);
    memset(told.weights, 0x5a, CANDIDATES * told.step * sizeof(float));
    const struct vqr_request request = {.candidates = w->candidates->rows};
    assert_int_equal(vqr_explain(session, w->state, sequence, &request, told.weights, &error), VQR_OK);
    return told;
}

/* Whether any event falls to cluster c of codebook j. */
static int occupied(const uint32_t *clusters, size_t events, size_t j, size_t c)
{
    for (size_t i = 0; i < events; i++)
        if (clusters[j * events + i] == c)
            return 1;
    return 0;
}

static void check_weights(const struct world *w, size_t sequence, const uint32_t *clusters, size_t events, int masked)
{
    struct told told = explain(w, w->session, sequence);
    for (size_t i = 0; i < CANDIDATES * told.info.codebooks; i++) {
        const float *weights = told.weights + i * told.info.tokens;
        double sum = 0;
        for (size_t c = 0; c < told.info.tokens; c++) {
            assert_true(weights[c] >= 0 && weights[c] <= 1.000001f);
            if (masked && !occupied(clusters, events, i % told.info.codebooks, c))
                assert_true(weights[c] == 0);
            sum += (double)weights[c];
        }
        assert_true(fabs(sum - (events ? 1.0 : 0.0)) < 1e-5);
    }
    const char *isa;
    for (size_t i = 0; (isa = usable_isa(i)) != NULL; i++) {
        vqr_session *session = new_session(w->model, isa);
        struct told other = explain(w, session, sequence);
        assert_memory_equal(told.weights, other.weights, CANDIDATES * told.step * sizeof(float));
        free(other.weights);
        vqr_session_free(session);
    }
    free(told.weights);
}

static void test_weights_by_cluster(void **state)
{
    (void)state;
    struct runtime_options options = runtime_options_default();
    for (int i = 0; i < 4; i++) {
        options.sequences = 2;
        options.empty = i % 2 ? VQR_EMPTY_ZERO : VQR_EMPTY_MASKED;
        options.attention.count_bias = i / 2;
        struct world w = world_new(&options, NULL, CANDIDATES);
        assert_int_equal(vqr_sequence_count(w.model), 2);
        check_weights(&w, 1, NULL, 0, 1);
        struct values *events = values_new(w.model, VQR_EVENT, EVENTS, 1);
        encode(&w, &events->rows);
        for (size_t sequence = 0; sequence < 2; sequence++) {
            uint32_t clusters[8 * EVENTS];
            assert_true(vqr_sequence_codebooks(w.model, sequence) <= 8);
            assert_int_equal(vqr_assign(w.session, sequence, &events->rows, clusters, NULL), VQR_OK);
            check_weights(&w, sequence, clusters, EVENTS, options.empty == VQR_EMPTY_MASKED);
        }
        values_free(events);
        world_free(&w);
    }
}

/* With one event there is one token in a codebook, and all of the weight is its. */
static void test_single_event(void **state)
{
    (void)state;
    const struct runtime_options options = runtime_options_default();
    struct world w = world_new(&options, NULL, CANDIDATES);
    struct values *events = values_new(w.model, VQR_EVENT, 1, 5);
    uint32_t clusters[8];
    encode(&w, &events->rows);
    assert_int_equal(vqr_assign(w.session, 0, &events->rows, clusters, NULL), VQR_OK);
    struct told told = explain(&w, w.session, 0);
    for (size_t i = 0; i < CANDIDATES; i++)
        for (size_t j = 0; j < told.info.codebooks; j++)
            assert_true(told.weights[i * told.step + j * told.info.tokens + clusters[j]] == 1);
    free(told.weights);
    values_free(events);
    world_free(&w);
}

static void test_refusals(void **state)
{
    (void)state;
    const struct runtime_options options = runtime_options_default();
    struct world w = world_new(&options, NULL, CANDIDATES);
    struct values *events = values_new(w.model, VQR_EVENT, 2, 5);
    struct vqr_sequence_info info;
    struct vqr_error error;
    float weight = 0;
    const struct vqr_request request = {.candidates = w.candidates->rows}, *asked = &request;
    assert_int_equal(vqr_sequence_info(w.model, 1, &info), VQR_ERROR_ARGUMENT);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_explain(w.session, w.state, 1, asked, &weight, &error), &error);
    assert_says(&error, "there is no sequence 1, the model has 1");
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_explain(w.session, w.state, 0, asked, NULL, &error), &error);
    assert_says(&error, "weights is NULL");
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_explain(NULL, w.state, 0, asked, &weight, &error), &error);
    assert_says(&error, "session is NULL");
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_explain(w.session, w.state, 0, NULL, &weight, &error), &error);
    assert_says(&error, "request is NULL");
    uint32_t cluster;
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_assign(w.session, 1, &events->rows, &cluster, &error), &error);
    assert_says(&error, "there is no sequence 1, the model has 1");
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_assign(w.session, 0, &events->rows, NULL, &error), &error);
    assert_says(&error, "clusters is NULL");
    append(&w, &events->rows);
    assert_refusal(VQR_ERROR_STALE, vqr_explain(w.session, w.state, 0, asked, &weight, &error), &error);
    values_free(events);
    world_free(&w);
}

/* Keys in int8, some of them twice, move weights by little beside what these differ by. */
static void test_keys_in_int8(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    struct told told[2];
    double spread = 0, moved = 0;
    o.attention.count_bias = true;
    o.attention.dim = 24;
    o.int8.fine = 5;
    for (int i = 0; i < 2; i++) {
        o.attention.state = i;
        struct world w = world_new(&o, NULL, CANDIDATES);
        struct values *events = values_new(w.model, VQR_EVENT, EVENTS, 3);
        encode(&w, &events->rows);
        told[i] = explain(&w, w.session, 0);
        values_free(events);
        world_free(&w);
    }
    for (size_t i = 0; i < CANDIDATES * told[0].step; i++) {
        spread = fmax(spread, fabs((double)told[0].weights[i] - (double)told[0].weights[i % told[0].step]));
        moved = fmax(moved, fabs((double)told[0].weights[i] - (double)told[1].weights[i]));
    }
    assert_true(moved > 0 && moved < 0.05 * spread);
    free(told[0].weights);
    free(told[1].weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_by_cluster),
        cmocka_unit_test(test_single_event),
        cmocka_unit_test(test_keys_in_int8),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
