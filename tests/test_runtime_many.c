/* Many users in one call: the bits and refusals of one by one. */
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "tests/runtime_support.h"

enum { JOBS = 23 };

/* Users of one model with histories and candidates of their own. */
struct crowd {
    struct world world; /* model and session */
    vqr_state *state[JOBS];
    struct values *user[JOBS], *context[JOBS], *candidates[JOBS];
    struct vqr_job job[JOBS];
};

/* Numbers of candidates on both sides of a block's size, 48, and none. */
static size_t candidates_of(size_t i)
{
    static const size_t counts[] = {3, 0, 48, 1, 47, 49, 96, 5, 130, 2};
    return counts[i % (sizeof counts / sizeof *counts)];
}

static struct crowd crowd_new(const struct runtime_options *options, const char *isa)
{
    struct crowd c = {.world = world_new(options, isa, 1)};
    struct vqr_error error;
    for (size_t i = 0; i < JOBS; i++) {
        c.state[i] = new_state(c.world.model);
        struct values *events = values_new(c.world.model, VQR_EVENT, 7 * i, 100 + i);
        assert_int_equal(vqr_encode(c.world.session, c.state[i], &events->rows, NULL, &error), VQR_OK);
        values_free(events);
        c.user[i] = values_new(c.world.model, VQR_USER, 1, 200 + i);
        c.context[i] = values_new(c.world.model, VQR_CONTEXT, 1, 300 + i);
        c.candidates[i] = values_new(c.world.model, VQR_CANDIDATE, candidates_of(i), 400 + i);
        const size_t outputs = candidates_of(i) * vqr_model_outputs(c.world.model);
        c.job[i] = (struct vqr_job){.state = c.state[i],
                                    .request = {.user = c.user[i]->rows,
                                                .context = c.context[i]->rows,
                                                .candidates = c.candidates[i]->rows},
                                    .outputs = calloc(outputs + 1, sizeof(float))};
        assert_non_null(c.job[i].outputs);
    }
    return c;
}

static void crowd_free(struct crowd *c)
{
    for (size_t i = 0; i < JOBS; i++) {
        vqr_state_free(c->state[i]);
        values_free(c->user[i]);
        values_free(c->context[i]);
        values_free(c->candidates[i]);
        free(c->job[i].outputs);
    }
    world_free(&c->world);
}

/* Job i, done before, has the outputs and counts of a call of its own. */
static void assert_as_alone(struct crowd *c, size_t i)
{
    const size_t count = candidates_of(i) * vqr_model_outputs(c->world.model);
    float *alone = calloc(count + 1, sizeof *alone);
    struct vqr_stats stats = {0, 0};
    assert_non_null(alone);
    assert_int_equal(c->job[i].status, VQR_OK);
    assert_int_equal(vqr_score(c->world.session, c->state[i], &c->job[i].request, alone, &stats, NULL), VQR_OK);
    assert_memory_equal(c->job[i].outputs, alone, count * sizeof *alone);
    assert_int_equal(stats.ids, c->job[i].stats.ids);
    assert_int_equal(stats.unknown_ids, c->job[i].stats.unknown_ids);
    free(alone);
}

static void test_same_as_one_by_one(void **state)
{
    (void)state;
    struct runtime_options options = runtime_options_default();
    const char *isa;
    for (size_t i = 0; (isa = usable_isa(i)) != NULL; i++)
        for (size_t hidden = 0; hidden < 2; hidden++) {
            options.hidden_count = hidden;
            options.sequences = 2;
            options.sdim_sequences = options.hstu_sequences = options.search.sim_hards = options.search.twins = 1;
            struct crowd c = crowd_new(&options, isa);
            struct vqr_error error;
            assert_int_equal(vqr_score_many(c.world.session, c.job, JOBS, &error), VQR_OK);
            for (size_t j = 0; j < JOBS; j++)
                assert_as_alone(&c, j);
            assert_int_equal(vqr_score_many(c.world.session, c.job, 0, &error), VQR_OK);
            assert_int_equal(vqr_score_many(c.world.session, NULL, 0, &error), VQR_OK);
            crowd_free(&c);
        }
}

/* A job that cannot be answered is named, and leaves the others as they are; the block that it shares is scored. */
static void test_refused_jobs(void **state)
{
    (void)state;
    const struct runtime_options options = runtime_options_default();
    struct crowd c = crowd_new(&options, NULL);
    struct vqr_error error;
    struct values *events = values_new(c.world.model, VQR_EVENT, 3, 1);
    ((double *)c.candidates[3]->column_values[1])[0] = DBL_MAX; /* its only candidate */
    c.candidates[3]->present[1][0] = 1;
    ((double *)c.candidates[8]->column_values[1])[129] = DBL_MAX; /* the last, when blocks of it have been scored */
    c.candidates[8]->present[1][129] = 1;
    assert_int_equal(vqr_append(c.world.session, c.state[10], &events->rows, NULL, NULL), VQR_OK); /* stale */
    const enum vqr_status status = vqr_score_many(c.world.session, c.job, JOBS, &error);
    assert_refusal(VQR_ERROR_RANGE, status, &error);
    assert_says(&error, "job 3: candidate 0, feature \"price\"");
    for (size_t j = 0; j < JOBS; j++)
        if (j == 3 || j == 8)
            assert_int_equal(c.job[j].status, VQR_ERROR_RANGE);
        else if (j == 10)
            assert_int_equal(c.job[j].status, VQR_ERROR_STALE);
        else
            assert_as_alone(&c, j);
    values_free(events);
    crowd_free(&c);
}

/* Values so large that a logit is not finite: the row's job is refused, not its neighbours in the block. */
static void test_overflow_names_its_job(void **state)
{
    (void)state;
    struct runtime_options options = runtime_options_default();
    options.hidden_count = 0;
    options.scale = 100;
    options.price_std = 1;
    struct crowd c = crowd_new(&options, NULL);
    struct vqr_error error;
    const double huge = (double)FLT_MAX;
    ((double *)c.candidates[5]->column_values[1])[20] = huge;
    c.candidates[5]->present[1][20] = 1;
    const enum vqr_status status = vqr_score_many(c.world.session, c.job, JOBS, &error);
    assert_refusal(VQR_ERROR_OVERFLOW, status, &error);
    assert_says(&error, "job 5: candidate 20:");
    for (size_t j = 0; j < JOBS; j++)
        if (j != 5)
            assert_as_alone(&c, j);
    assert_int_equal(c.job[5].status, VQR_ERROR_OVERFLOW);
    crowd_free(&c);
}

/* Job 8, whose 130 candidates start in the middle of a block here, is told the same alone. */
static void assert_same_fault(struct crowd *c, enum vqr_status status, const char *says)
{
    struct vqr_error alone, many;
    struct vqr_job *job = &c->job[8];
    const enum vqr_status found = vqr_score(c->world.session, job->state, &job->request, job->outputs, NULL, &alone);
    assert_refusal(status, found, &alone);
    assert_says(&alone, says);
    assert_refusal(status, vqr_score_many(c->world.session, c->job, JOBS, &many), &many);
    assert_string_equal(many.message + strlen("job 8: "), alone.message);
}

/* Of several faults of a job the first candidate's is told, by whatever step it is found, and its first feature's. */
static void test_which_fault_is_told(void **state)
{
    (void)state;
    struct runtime_options options = runtime_options_default();
    options.hidden_count = 0;
    options.scale = 100;
    options.price_std = 1;
    struct crowd c = crowd_new(&options, NULL);
    double *prices = c.candidates[8]->column_values[1];
    prices[20] = (double)FLT_MAX; /* overflows in the head */
    prices[40] = DBL_MAX;
    c.candidates[8]->present[1][20] = c.candidates[8]->present[1][40] = 1;
    assert_same_fault(&c, VQR_ERROR_OVERFLOW, "candidate 20: ");
    struct vqr_id items[130] = {{NULL, 0}};
    items[45].string = "no integer";
    c.candidates[8]->columns[0] = (struct vqr_column){.type = VQR_COLUMN_ID, .values = items};
    prices[10] = DBL_MAX;
    c.candidates[8]->present[1][10] = 1;
    assert_same_fault(&c, VQR_ERROR_RANGE, "candidate 10, feature \"price\"");
    /* What it looked up is what the sound candidates before it take, once. */
    const uint64_t refused = c.job[8].stats.ids;
    c.job[8].request.candidates.rows = 10;
    vqr_score_many(c.world.session, c.job, JOBS, NULL);
    assert_int_equal(c.job[8].status, VQR_OK);
    assert_int_equal(refused, c.job[8].stats.ids);
    crowd_free(&c);
}

static void test_arguments(void **state)
{
    (void)state;
    const struct runtime_options options = runtime_options_default();
    struct crowd c = crowd_new(&options, NULL);
    struct vqr_error error;
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_score_many(NULL, c.job, JOBS, &error), &error);
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_score_many(c.world.session, NULL, 1, &error), &error);
    float *outputs = c.job[2].outputs;
    c.job[2].outputs = NULL;
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_score_many(c.world.session, c.job, JOBS, &error), &error);
    assert_says(&error, "job 2: outputs is NULL");
    c.job[2].outputs = outputs;
    c.job[4].state = NULL;
    assert_refusal(VQR_ERROR_ARGUMENT, vqr_score_many(c.world.session, c.job, JOBS, &error), &error);
    assert_says(&error, "job 4:");
    crowd_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_one_by_one),
        cmocka_unit_test(test_refused_jobs),
        cmocka_unit_test(test_overflow_names_its_job),
        cmocka_unit_test(test_which_fault_is_told),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
