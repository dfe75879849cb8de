#include "bench_threads.h"

#include <math.h>
#include <pthread.h>

#include "bench_inputs.h"
#include "options.h"

/* Milliseconds that a batch takes one thread, if a history for each does not take longer: long enough for the system to
 * spread the threads over processors, and short, so that on a machine with other work some meet none of it. */
static const double BATCH = 100.0;

struct worker {
    vqr_session *session;
    vqr_state *state;
    struct bench_inputs inputs;
    size_t histories;       /* to encode */
    double start, end, cpu; /* milliseconds: on the wall, and what this took of the processor */
    struct vqr_error error;
};

struct team {
    const vqr_model *model;
    struct worker worker[BENCH_THREADS_MAX];
    size_t count;
    struct bench_samples one, many, ratio, one_cpu, many_cpu;
};

static void *work(void *argument)
{
    struct worker *w = argument;
    const double start = bench_milliseconds();
    w->start = bench_wall_milliseconds();
    w->error.status = VQR_OK;
    for (size_t i = 0; i < w->histories && w->error.status == VQR_OK; i++)
        vqr_encode(w->session, w->state, &w->inputs.events.rows, NULL, &w->error);
    w->end = bench_wall_milliseconds();
    w->cpu = bench_milliseconds() - start;
    return NULL;
}

/* `histories` histories by the first `threads` workers. Wall milliseconds from the first one's start to the last one's
 * end; negative after a complaint. */
static double run_batch(struct team *team, size_t threads, size_t histories, double *cpu)
{
    pthread_t thread[BENCH_THREADS_MAX];
    size_t started = 0;
    for (; started < threads; started++) {
        team->worker[started].histories = histories / threads;
        if (pthread_create(&thread[started], NULL, work, &team->worker[started]) != 0)
            break;
    }
    double first = HUGE_VAL, last = 0.0;
    *cpu = 0.0;
    const char *failure = started < threads ? "cannot start a thread" : NULL;
    for (size_t i = 0; i < started; i++) {
        pthread_join(thread[i], NULL);
        const struct worker *w = &team->worker[i];
        *cpu += w->cpu / (double)histories;
        first = w->start < first ? w->start : first;
        last = w->end > last ? w->end : last;
        failure = w->error.status != VQR_OK ? w->error.message : failure;
    }
    if (failure != NULL)
        complain("%s", failure);
    return failure != NULL ? -1.0 : last - first;
}

static bool run_round(struct team *team, size_t histories)
{
    double one_cpu, many_cpu;
    const double one = run_batch(team, 1, histories, &one_cpu);
    const double many = one >= 0.0 ? run_batch(team, team->count, histories, &many_cpu) : -1.0;
    if (many < 0.0)
        return false;
    bench_samples_add(&team->one, one);
    bench_samples_add(&team->many, many);
    bench_samples_add(&team->ratio, many > 0.0 ? one / many : 0.0);
    bench_samples_add(&team->one_cpu, one_cpu);
    bench_samples_add(&team->many_cpu, many_cpu);
    return true;
}

/* How many histories a batch has, the same number for each thread; 0 after a complaint. */
static size_t batch_size(struct team *team)
{
    double cpu;
    if (run_batch(team, team->count, team->count, &cpu) < 0.0) /* warms all of them up */
        return 0;
    const double wanted = BATCH / (cpu > 1e-4 ? cpu : 1e-4) / (double)team->count;
    return team->count * (wanted > 1.0 ? (size_t)wanted : 1);
}

static bool measure(struct team *team, const struct vqr_header *header, size_t events, double seconds,
                    struct bench_batch *batch)
{
    for (size_t i = 0; i < team->count; i++)
        if (!bench_inputs_draw_events(&team->worker[i].inputs, header, events)) {
            complain("out of memory");
            return false;
        }
    const size_t histories = batch_size(team);
    while (histories != 0 && !bench_is_enough(team->one.count, team->one.total, seconds))
        if (!run_round(team, histories))
            return false;
    if (histories == 0)
        return false;
    *batch = (struct bench_batch){.threads = team->count, .events = events, .histories = histories};
    batch->one = bench_samples_sum_up(&team->one);
    batch->many = bench_samples_sum_up(&team->many);
    batch->ratio = bench_samples_sum_up(&team->ratio);
    batch->one_cpu = bench_samples_sum_up(&team->one_cpu).median;
    batch->many_cpu = bench_samples_sum_up(&team->many_cpu).median;
    return true;
}

static bool init(struct team *team, const struct vqr_header *header, const char *isa)
{
    const struct vqr_session_options options = {.isa = isa};
    bool taken = bench_samples_take(&team->one) && bench_samples_take(&team->many) &&
                 bench_samples_take(&team->ratio) && bench_samples_take(&team->one_cpu) &&
                 bench_samples_take(&team->many_cpu);
    for (size_t i = 0; taken && i < team->count; i++) {
        struct worker *w = &team->worker[i];
        taken = bench_inputs_init(&w->inputs, header, 0) &&
                vqr_session_create(team->model, &options, &w->session, NULL) == VQR_OK &&
                vqr_state_create(team->model, NULL, 0, &w->state, NULL) == VQR_OK;
    }
    return taken;
}

static void release(struct team *team)
{
    struct bench_samples *const samples[] = {&team->one, &team->many, &team->ratio, &team->one_cpu, &team->many_cpu};
    for (size_t i = 0; i < sizeof samples / sizeof *samples; i++)
        bench_samples_free(samples[i]);
    for (size_t i = 0; i < team->count; i++) {
        vqr_session_free(team->worker[i].session);
        vqr_state_free(team->worker[i].state);
        bench_inputs_free(&team->worker[i].inputs);
    }
}

bool bench_threads_run(const vqr_model *model, const struct vqr_header *header, const char *isa, size_t threads,
                       const struct bench_plan *plan, void (*report)(const struct bench_batch *batch, void *context),
                       void *context)
{
    struct team team = {.model = model, .count = threads};
    bool measured = init(&team, header, isa);
    if (!measured)
        complain("out of memory for %zu sessions and states", threads);
    for (size_t i = 0; measured && i < plan->events.count; i++) {
        struct bench_batch batch;
        measured = measure(&team, header, plan->events.of[i], plan->seconds, &batch);
        if (measured)
            report(&batch, context);
    }
    release(&team);
    return measured;
}
