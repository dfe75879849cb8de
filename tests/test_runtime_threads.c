/* Threads: one model for all, a session and a state for each, and one state that all of them score with. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tests/runtime_support.h"

enum { THREADS = 4, ROUNDS = 20, CANDIDATES = 60 };

struct job {
    struct world world;      /* session and state of its own; the rest is shared */
    const vqr_state *shared; /* of the whole history */
    const float *expected;   /* the whole history's scores */
    const struct values *events;
    int good;
};

static int scores_match(const struct job *job, const vqr_state *state)
{
    const struct vqr_request request = request_of(&job->world);
    float *found = calloc(job->world.outputs, sizeof *found);
    const int same = found && vqr_score(job->world.session, state, &request, found, NULL, NULL) == VQR_OK &&
                     memcmp(found, job->expected, job->world.outputs * sizeof *found) == 0;
    free(found);
    return same;
}

static void *run(void *argument)
{
    struct job *job = argument;
    const struct world *w = &job->world;
    for (int round = 0; round < ROUNDS; round++) {
        job->good &= vqr_encode(w->session, w->state, &job->events->rows, NULL, NULL) == VQR_OK;
        job->good &= scores_match(job, w->state) && scores_match(job, job->shared);
    }
    return NULL;
}

static void test_threads_share_a_model_and_a_state(void **state)
{
    (void)state;
    const struct runtime_options options = random_options(2);
    struct world w = world_new(&options, NULL, CANDIDATES);
    struct values *events = values_new(w.model, VQR_EVENT, 100, 1);
    encode(&w, &events->rows);
    float *expected = scores(&w);
    struct job jobs[THREADS];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){.world = w, .shared = w.state, .expected = expected, .events = events, .good = 1};
        jobs[i].world.session = new_session(w.model, NULL);
        jobs[i].world.state = new_state(w.model);
    }
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, &jobs[i]), 0);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (size_t i = 0; i < THREADS; i++) {
        assert_true(jobs[i].good);
        vqr_session_free(jobs[i].world.session);
        vqr_state_free(jobs[i].world.state);
    }
    free(expected);
    values_free(events);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_share_a_model_and_a_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
