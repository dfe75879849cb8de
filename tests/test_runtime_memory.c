/* Memory: sessions and states fit in exactly the bytes they ask for, and working with them takes no allocation, no lock
 * and no system call. */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/runtime_calls.h"
#include "tests/runtime_support.h"

/* ---- models that use every piece of scratch ---- */

enum { CONFIGURATIONS = 4 };

static struct runtime_options configuration(size_t i)
{
    struct runtime_options o = runtime_options_default();
    o.seed = 40 + i;
    o.hstu.pre_norm = o.hstu.residual = true;
    o.hstu.bias = VQR_BIAS_PER_HEAD;
    o.attention.count_bias = true;
    if (i == 1) { /* widths that fill their last panel, so that one float too many leaves the padding */
        o.item_dim = 8;
        o.word_dim = 7;
        o.codewords = 16;
        o.hstu.qk_dim = 8;
        o.hstu.v_dim = 16;
        o.attention.dim = 8;
        o.attention.out = 16;
        o.hidden[0] = 16;
        o.outputs = 16;
    } else if (i == 2) {
        o.sequences = 2;
        o.codewords = 33;
        o.hstu.output = VQR_OUTPUT_CONCAT;
        o.hstu.v_dim = 17;
        o.attention.dim = 17;
        o.empty = VQR_EMPTY_ZERO;
        o.hidden_count = 0;
        o.search.sim_hards = o.search.twins = 1;
        o.search.last = 33;
        o.search.twin.dim = 17;
    } else if (i == 3) {
        o.search.sim_hards = o.search.twins = 1;
        o.search.last = o.search.top = 1;
        o.codewords = o.codebooks = o.item_dim = o.word_dim = 1;
        o.hstu.layers = 0;
        o.attention.heads = o.attention.dim = 1;
        o.attention.out = 1;
        o.hidden[0] = 1;
        o.outputs = 1;
    }
    return o;
}

/* ---- buffers between pages that fault ---- */

struct guarded {
    uint8_t *mapping, *start, *end; /* start and end lie at guard pages */
    size_t size;
};

static struct guarded guarded_new(size_t room)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inside = (room + page - 1) / page * page;
    struct guarded g = {.size = inside + 2 * page};
    void *mapping = mmap(NULL, g.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(mapping != MAP_FAILED);
    g.mapping = mapping;
    g.start = g.mapping + page;
    g.end = g.start + inside;
    assert_int_equal(mprotect(g.mapping, page, PROT_NONE) | mprotect(g.end, page, PROT_NONE), 0);
    memset(g.start, 0xa5, inside); /* nothing may rely on fresh memory being zero: these are NaNs and huge counts */
    return g;
}

static void guarded_free(struct guarded g)
{
    assert_int_equal(munmap(g.mapping, g.size), 0);
}

enum { SLACK = 64 };

/* That the bytes around [used, used + size) still hold what guarded_new wrote, `reach` bytes far. */
static void assert_untouched(struct guarded g, const uint8_t *used, size_t size, size_t reach)
{
    for (size_t i = 0; i < reach; i++) {
        if (used - g.start > (ptrdiff_t)i)
            assert_int_equal(used[-1 - (ptrdiff_t)i], 0xa5);
        if (g.end - (used + size) > (ptrdiff_t)i)
            assert_int_equal(used[size + i], 0xa5);
    }
}

/* Runs a world's requests with session and state at the given places; returns the scores. */
static float *scores_in(struct world *w, const struct values *events, uint8_t *session_at, size_t session_size,
                        uint8_t *state_at, size_t state_size)
{
    struct vqr_error error;
    struct world placed = *w;
    const struct vqr_session_options options = {.buffer = session_at, .buffer_size = session_size};
    assert_int_equal(vqr_session_create(w->model, &options, &placed.session, &error), VQR_OK);
    assert_int_equal(vqr_state_create(w->model, state_at, state_size, &placed.state, &error), VQR_OK);
    assert_int_equal(vqr_state_events(placed.state), 0);
    free(scores(&placed)); /* a user with no events */
    encode(&placed, &events->rows);
    float *found = scores(&placed);
    vqr_session_free(placed.session);
    vqr_state_free(placed.state);
    return found;
}

static void test_exact_sizes(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIGURATIONS; i++) {
        const struct runtime_options options = configuration(i);
        struct world w = world_new(&options, NULL, 100);
        struct values *events = values_new(w.model, VQR_EVENT, 150, i);
        encode(&w, &events->rows);
        float *expected = scores(&w);
        const size_t session_size = vqr_session_size(w.model), state_size = vqr_state_size(w.model);
        struct guarded session = guarded_new(session_size + SLACK), user = guarded_new(state_size + SLACK);

        uint8_t *session_at = session.end - session_size, *user_at = user.end - state_size;
        float *found = scores_in(&w, events, session_at, session_size, user_at, state_size);
        assert_same_scores(&w, expected, found);
        assert_untouched(session, session_at, session_size, SLACK);
        assert_untouched(user, user_at, state_size, SLACK);
        free(found);
        guarded_free(session);
        guarded_free(user);
        for (size_t off = 0; off < 64; off += VQR_TESTS_EMULATED ? 21 : 1) { /* off 0 starts at a guard page */
            session = guarded_new(session_size + SLACK);
            user = guarded_new(state_size + SLACK);
            found = scores_in(&w, events, session.start + off, session_size, user.start + off, state_size);
            assert_same_scores(&w, expected, found);
            assert_untouched(session, session.start + off, session_size, SLACK);
            assert_untouched(user, user.start + off, state_size, SLACK);
            free(found);
            guarded_free(session);
            guarded_free(user);
        }
        free(expected);
        values_free(events);
        world_free(&w);
    }
}

static void test_one_byte_too_few(void **state)
{
    (void)state;
    const struct runtime_options options = configuration(0);
    struct runtime_file file = runtime_build(&options);
    vqr_model *model = open_model(file);
    const size_t session_size = vqr_session_size(model), state_size = vqr_state_size(model);
    uint8_t *buffer = malloc(session_size + state_size);
    assert_non_null(buffer);
    struct vqr_error error;
    char number[32];
    const size_t less[] = {session_size - 1, 1, 0};
    for (size_t i = 0; i < 3; i++) {
        vqr_session *session = (vqr_session *)&error;
        const struct vqr_session_options few = {.buffer = buffer, .buffer_size = less[i]};
        assert_refusal(VQR_ERROR_MEMORY, vqr_session_create(model, &few, &session, &error), &error);
        snprintf(number, sizeof number, "%zu", session_size);
        assert_says(&error, number);
        snprintf(number, sizeof number, "%zu", less[i]);
        assert_says(&error, number);
        assert_null(session);
    }
    vqr_state *user = (vqr_state *)&error;
    assert_refusal(VQR_ERROR_MEMORY, vqr_state_create(model, buffer, state_size - 1, &user, &error), &error);
    snprintf(number, sizeof number, "%zu", state_size);
    assert_says(&error, number);
    snprintf(number, sizeof number, "%zu", state_size - 1);
    assert_says(&error, number);
    assert_null(user);
    free(buffer);
    vqr_model_close(model);
    free(file.data);
}

/* ---- the work ---- */

enum { EVENT_COUNTS = 3, CANDIDATE_COUNTS = 3, CANDIDATES_MOST = 300 };

/* Everything that is done per user and per request, prepared so that the calls are all that is left. */
struct work {
    struct world world;
    struct values *events[EVENT_COUNTS];
    struct vqr_request requests[CANDIDATE_COUNTS];
    struct vqr_column columns[CANDIDATE_COUNTS][VALUES_COLUMNS];
    struct values *bad_events;
    size_t outputs; /* of one run of the work */
};

static struct work work_new(size_t i)
{
    const struct runtime_options options = configuration(i);
    struct work work = {.world = world_new(&options, NULL, CANDIDATES_MOST)};
    const size_t events[EVENT_COUNTS] = {0, 1, VQR_TESTS_EMULATED ? 200 : 5000};
    for (size_t j = 0; j < EVENT_COUNTS; j++)
        work.events[j] = values_new(work.world.model, VQR_EVENT, events[j], j);
    work.bad_events = values_new(work.world.model, VQR_EVENT, 100, 1);
    work.bad_events->present[2][99] = 1;
    ((double *)work.bad_events->column_values[2])[99] = 1e300;
    work.outputs = EVENT_COUNTS * (1 + CANDIDATES_MOST) * vqr_model_outputs(work.world.model);
    return work;
}

/* To be called where `work` will stay: requests point into it. */
static void work_fill(struct work *work)
{
    const size_t candidates[CANDIDATE_COUNTS] = {0, 1, CANDIDATES_MOST};
    for (size_t i = 0; i < CANDIDATE_COUNTS; i++) {
        work->requests[i] = request_of(&work->world);
        work->requests[i].candidates = values_part(work->world.candidates, 0, candidates[i], work->columns[i]);
    }
}

static void work_free(struct work *work)
{
    for (size_t i = 0; i < EVENT_COUNTS; i++)
        values_free(work->events[i]);
    values_free(work->bad_events);
    world_free(&work->world);
}

/* Every call that promises to take nothing from the system. Returns 0 if one went wrong. */
static int do_work(struct work *work, float *outputs)
{
    const struct world *w = &work->world;
    const size_t width = vqr_model_outputs(w->model);
    struct vqr_stats stats = {0, 0};
    struct vqr_error error;
    int good = 1;
    for (size_t e = 0; e < EVENT_COUNTS; e++) {
        vqr_state_reset(w->state);
        good &= vqr_append(w->session, w->state, &work->events[e]->rows, &stats, &error) == VQR_OK;
        good &= vqr_append(w->session, w->state, &work->bad_events->rows, &stats, &error) == VQR_ERROR_RANGE;
        good &= vqr_refresh(w->session, w->state, &error) == VQR_OK;
        good &= vqr_encode(w->session, w->state, &work->events[e]->rows, &stats, &error) == VQR_OK;
        for (size_t c = 0; c < CANDIDATE_COUNTS; c++) {
            good &= vqr_score(w->session, w->state, &work->requests[c], outputs, &stats, &error) == VQR_OK;
            outputs += work->requests[c].candidates.rows * width;
        }
    }
    return good;
}

/* ---- no allocation, no lock ---- */

static void test_counters_count(void **state)
{
    (void)state;
    runtime_calls_reset();
    void *volatile memory = malloc(1); /* volatile: not to be optimised away */
    free(memory);
    assert_int_equal(runtime_calls(), 2);
    const struct runtime_options options = runtime_options_default();
    struct runtime_file file = runtime_build(&options);
    runtime_calls_reset();
    vqr_model_close(open_model(file)); /* what the library itself calls is counted, too */
    assert_true(runtime_calls() > 4);
    free(file.data);
}

static void test_no_allocation_and_no_lock(void **state)
{
    (void)state;
    for (size_t i = 0; i < CONFIGURATIONS; i++) {
        struct work work = work_new(i);
        work_fill(&work);
        float *outputs = calloc(work.outputs, sizeof *outputs);
        assert_non_null(outputs);
        runtime_calls_reset();
        const int good = do_work(&work, outputs);
        const size_t calls = runtime_calls();
        assert_int_equal(calls, 0);
        assert_true(good);
        free(outputs);
        work_free(&work);
    }
}

/* ---- no system call ---- */

enum { CHILD_GOOD = 0, CHILD_WRONG = 1, CHILD_NO_SECCOMP = 2 };

static void write_all(int fd, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        const ssize_t n = write(fd, (const char *)data + done, size - done);
        if (n <= 0)
            break;
        done += (size_t)n;
    }
}

/* In strict mode the kernel kills at any system call but read, write, exit and sigreturn. */
static void child(struct work *work, float *outputs, int fd)
{
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
        _exit(CHILD_NO_SECCOMP);
    const int good = do_work(work, outputs);
    write_all(fd, outputs, work->outputs * sizeof *outputs);
    syscall(SYS_exit, good ? CHILD_GOOD : CHILD_WRONG);
}

/* Runs the work in a child; returns its exit status, or -1 if a signal ended it. */
static int work_in_child(struct work *work, float *outputs, float *found)
{
    int ends[2], status = 0;
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child(work, outputs, ends[1]);
    assert_int_equal(close(ends[1]), 0);
    size_t size = work->outputs * sizeof *found, got = 0;
    for (ssize_t n; got < size && (n = read(ends[0], (char *)found + got, size - got)) > 0;)
        got += (size_t)n;
    assert_int_equal(close(ends[0]), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        print_message("the child was ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_no_system_call(void **state)
{
    (void)state;
    if (VQR_TESTS_EMULATED || VQR_TESTS_SANITIZED) {
        print_message("system calls are not counted under an emulator or the sanitizers, which make their own\n");
        skip();
    }
    for (size_t i = 0; i < CONFIGURATIONS; i++) {
        struct work work = work_new(i);
        work_fill(&work);
        float *outputs = calloc(work.outputs, sizeof *outputs), *found = calloc(work.outputs, sizeof *found);
        assert_non_null(outputs);
        assert_non_null(found);
        const int status = work_in_child(&work, outputs, found);
        if (status == CHILD_NO_SECCOMP) {
            print_message("this kernel refuses seccomp's strict mode\n");
            skip();
        }
        assert_int_equal(status, CHILD_GOOD);
        assert_true(do_work(&work, outputs));
        assert_memory_equal(found, outputs, work.outputs * sizeof *found);
        free(outputs);
        free(found);
        work_free(&work);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_sizes),    cmocka_unit_test(test_one_byte_too_few),
        cmocka_unit_test(test_counters_count), cmocka_unit_test(test_no_allocation_and_no_lock),
        cmocka_unit_test(test_no_system_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
