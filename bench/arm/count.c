/* A fixed amount of work to count instructions of: what stands between two runs of this program is one stage.
 *
 *     count MODEL TIER EVENTS REFRESH CANDIDATES USER_ROWS EVENT_ROWS CANDIDATE_ROWS [step]
 *
 * First does everything once with 1024 events and candidates, so that nothing is left to be done for the first time.
 * Then, where EVENTS is not 0, empties the state, appends that many and, if REFRESH is 1, refreshes it; then scores
 * CANDIDATES candidates. *_ROWS: rows of the tables of the group's
 * features, all of them ids, separated by commas. With `step` it prints how many instructions that took, single-stepped
 * by its parent process: on any processor, any instructions, slowly. Without, a plugin of QEMU counts. */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vqrank/vqrank.h>

enum { ROWS_MAX = 1024, COLUMNS_MAX = 8 };

struct group {
    struct vqr_column columns[COLUMNS_MAX];
    size_t count;
};

struct work {
    vqr_session *session;
    vqr_state *state;
    struct group user, event, candidate;
    size_t events, candidates;
    int refresh;
    float *scores;
};

/* Columns of ids that are drawn evenly, the same on every machine; tables are read from "10000,1000,8". */
static struct group draw_group(const char *tables)
{
    struct group group = {.count = 0};
    uint64_t random = 1;
    while (*tables && group.count < COLUMNS_MAX) {
        char *end;
        const uint64_t rows = strtoull(tables, &end, 10);
        int64_t *ids = calloc(ROWS_MAX, sizeof *ids);
        for (size_t i = 0; ids && rows && i < ROWS_MAX; i++) {
            random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            ids[i] = (int64_t)((random >> 33) % rows);
        }
        group.columns[group.count++] = (struct vqr_column){VQR_COLUMN_INT64, ids, NULL};
        tables = *end == ',' ? end + 1 : end;
    }
    return group;
}

static void check(enum vqr_status status, const struct vqr_error *error)
{
    if (status != VQR_OK) {
        fprintf(stderr, "count: %s\n", error->message);
        exit(2);
    }
}

static struct vqr_rows rows_of(const struct group *group, size_t rows)
{
    return (struct vqr_rows){group->columns, group->count, rows};
}

static void do_work(struct work *w, size_t events, int refresh, size_t candidates)
{
    struct vqr_error error;
    const struct vqr_rows appended = rows_of(&w->event, events);
    if (events) {
        vqr_state_reset(w->state);
        check(vqr_append(w->session, w->state, &appended, NULL, &error), &error);
    }
    if (events && refresh)
        check(vqr_refresh(w->session, w->state, &error), &error);
    const struct vqr_request request = {.user = rows_of(&w->user, 1), .candidates = rows_of(&w->candidate, candidates)};
    if (candidates)
        check(vqr_score(w->session, w->state, &request, w->scores, NULL, &error), &error);
}

/* Instructions of the child between its two stops. */
static unsigned long long count_steps(pid_t child)
{
    unsigned long long steps = 0;
    int status;
    waitpid(child, &status, 0);
    for (;;) {
        if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 || waitpid(child, &status, 0) != child ||
            !WIFSTOPPED(status))
            return 0;
        if (WSTOPSIG(status) == SIGSTOP)
            break;
        steps++;
    }
    ptrace(PTRACE_KILL, child, NULL, NULL);
    waitpid(child, &status, 0);
    return steps;
}

static int step(struct work *w)
{
    const pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        do_work(w, w->events, w->refresh, w->candidates);
        raise(SIGSTOP);
        _exit(0);
    }
    printf("%llu\n", child < 0 ? 0ULL : count_steps(child));
    return child < 0;
}

int main(int argc, char **argv)
{
    struct vqr_error error = {VQR_OK, "usage: count MODEL TIER EVENTS REFRESH CANDIDATES ROWS ROWS ROWS [step]"};
    vqr_model *model = NULL;
    struct work w = {.session = NULL};
    if (argc < 9)
        return fprintf(stderr, "%s\n", error.message), 2;
    const struct vqr_session_options options = {.isa = argv[2]};
    w.events = strtoul(argv[3], NULL, 10), w.refresh = atoi(argv[4]), w.candidates = strtoul(argv[5], NULL, 10);
    w.user = draw_group(argv[6]), w.event = draw_group(argv[7]), w.candidate = draw_group(argv[8]);
    if (w.events > ROWS_MAX || w.candidates > ROWS_MAX)
        return fprintf(stderr, "count: at most %d events and candidates\n", ROWS_MAX), 2;
    check(vqr_model_open(argv[1], &model, &error), &error);
    check(vqr_session_create(model, &options, &w.session, &error), &error);
    check(vqr_state_create(model, NULL, 0, &w.state, &error), &error);
    w.scores = calloc(ROWS_MAX * vqr_model_outputs(model), sizeof *w.scores);
    if (w.scores == NULL)
        return fprintf(stderr, "count: out of memory\n"), 2;
    do_work(&w, ROWS_MAX, 1, ROWS_MAX);
    if (argc > 9)
        return step(&w);
    do_work(&w, w.events, w.refresh, w.candidates);
    return 0;
}
