#include "answer.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"
#include "options.h"
#include "ordered.h"
#include "scorer.h"

/* What the threads share. */
struct answering {
    pthread_mutex_t input; /* held while reading, also while waiting for input: guards the four below */
    struct line_reader lines;
    uint64_t taken; /* lines handed out, so the number of the next answer */
    bool ended;     /* there are no more lines to hand out */
    int read_error; /* errno of what ended them, 0: nothing did */
    struct ordered output;
    int wake;            /* closing it wakes the thread that waits for input; -1: nobody could be waiting */
    atomic_bool stopped; /* there is no point in going on */
    atomic_bool out_of_memory;
};

struct worker {
    struct answering *shared;
    struct scorer scorer;
    unsigned long long requests, refused;
    pthread_t thread;

    /* The line at hand. */
    char *line;
    size_t length, capacity;
    bool too_long;
    uint64_t line_number; /* as people count, blank lines too */
    uint64_t number;      /* of the answer */
};

static void stop(struct answering *shared)
{
    if (!atomic_exchange(&shared->stopped, true)) {
        ordered_fail(&shared->output);
        if (shared->wake >= 0)
            close(shared->wake);
    }
}

static void stop_without_memory(struct answering *shared)
{
    atomic_store(&shared->out_of_memory, true);
    stop(shared);
}

/* ---- one line ---- */

static bool keep_line(struct worker *worker, const struct line_reader *lines)
{
    if (lines->length + 1 > worker->capacity) {
        char *line = realloc(worker->line, lines->length + 1);
        if (line == NULL)
            return false;
        worker->line = line;
        worker->capacity = lines->length + 1;
    }
    memcpy(worker->line, lines->text, lines->length);
    worker->length = lines->length;
    return true;
}

/* Takes the next line; false when there is none. */
static bool take_line(struct worker *worker)
{
    struct answering *shared = worker->shared;
    bool taken = false;
    pthread_mutex_lock(&shared->input);
    if (!shared->ended) {
        const enum line_status status = lines_next(&shared->lines);
        worker->too_long = status == LINE_TOO_LONG;
        if (status == LINE_READ && !keep_line(worker, &shared->lines))
            stop_without_memory(shared);
        else if (status == LINE_READ || status == LINE_TOO_LONG)
            taken = true;
        else if (status == LINE_FAILED)
            shared->read_error = errno;
        shared->ended = !taken;
    }
    if (taken) {
        worker->line_number = shared->lines.number;
        worker->number = shared->taken++;
    }
    pthread_mutex_unlock(&shared->input);
    return taken;
}

static void answer_line(struct worker *worker, FILE *out)
{
    struct scorer *scorer = &worker->scorer;
    const json_t *id = NULL;
    struct refusal refusal;
    worker->requests++;
    if (worker->too_long) {
        refuse(&refusal, "limit", "the line is longer than %zu bytes", worker->shared->lines.limit);
    } else if (scorer_run(scorer, worker->line, worker->length, &refusal)) {
        response_scores(out, scorer->request.id, &scorer->outputs, scorer->scores,
                        scorer->request.score.candidates.rows);
        return;
    } else {
        id = scorer->request.id;
    }
    response_refusal(out, id, worker->line_number, &refusal);
    worker->refused++;
}

/* ---- threads ---- */

/* Answers lines until there are no more. */
static void *work(void *argument)
{
    struct worker *worker = argument;
    struct answering *shared = worker->shared;
    while (!atomic_load(&shared->stopped) && take_line(worker)) {
        char *text = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&text, &size);
        if (out != NULL)
            answer_line(worker, out);
        if (out == NULL || fclose(out) != 0) {
            free(text);
            stop_without_memory(shared);
        } else if (!ordered_put(&shared->output, worker->number, text, size)) {
            stop(shared);
        }
    }
    return NULL;
}

/* Works with the first worker on this thread, and with the others on threads of their own. */
static void work_all(struct worker *workers, size_t count)
{
    size_t started = 1;
    int reason = 0;
    while (started < count && reason == 0) {
        reason = pthread_create(&workers[started].thread, NULL, work, &workers[started]);
        started += reason == 0;
    }
    if (reason != 0)
        complain("works on %zu instead of %zu threads: %s", started, count, strerror(reason));
    work(&workers[0]);
    while (started > 1)
        pthread_join(workers[--started].thread, NULL);
}

static void add_up(struct answer_tally *tally, const struct worker *workers, size_t count)
{
    *tally = (struct answer_tally){.isa = vqr_session_isa(workers[0].scorer.session)};
    for (size_t i = 0; i < count; i++) {
        tally->requests += workers[i].requests;
        tally->refused += workers[i].refused;
        tally->stats.ids += workers[i].scorer.stats.ids;
        tally->stats.unknown_ids += workers[i].scorer.stats.unknown_ids;
    }
}

static int answer_with(struct worker *workers, size_t count, int descriptor, const char *input, FILE *out, bool driven)
{
    struct answering shared = {.wake = -1};
    int ends[2] = {-1, -1};
    if (count > 1 && pipe(ends) != 0)
        return complain("cannot start threads: %s", strerror(errno));
    pthread_mutex_init(&shared.input, NULL);
    ordered_init(&shared.output, out, driven);
    lines_init(&shared.lines, descriptor, LINE_LENGTH_MAX);
    shared.lines.wake = ends[0];
    shared.wake = ends[1];
    for (size_t i = 0; i < count; i++)
        workers[i].shared = &shared;
    work_all(workers, count);
    if (ends[0] >= 0)
        close(ends[0]);
    if (ends[1] >= 0 && !atomic_load(&shared.stopped))
        close(ends[1]);
    lines_free(&shared.lines);
    ordered_free(&shared.output);
    pthread_mutex_destroy(&shared.input);
    if (atomic_load(&shared.out_of_memory))
        return complain("out of memory");
    if (shared.read_error != 0)
        return complain("cannot read %s: %s", input != NULL ? input : "standard input", strerror(shared.read_error));
    return EXIT_DONE;
}

int answer_all(const vqr_model *model, int descriptor, const char *input, FILE *out,
               const struct answer_options *options, struct answer_tally *tally)
{
    struct worker *workers = calloc(options->threads, sizeof *workers);
    size_t ready = 0;
    int status = EXIT_UNUSABLE;
    if (workers == NULL)
        return complain("out of memory");
    while (ready < options->threads && scorer_init(&workers[ready].scorer, model, options->isa))
        ready++;
    if (ready == options->threads) {
        status = answer_with(workers, ready, descriptor, input, out, options->driven);
        add_up(tally, workers, ready);
        status = status == EXIT_DONE && tally->refused > 0 ? EXIT_REFUSED : status;
    } else {
        scorer_free(&workers[ready].scorer);
    }
    for (size_t i = 0; i < ready; i++) {
        scorer_free(&workers[i].scorer);
        free(workers[i].line);
    }
    free(workers);
    return status;
}
