/* vqrank quantize: vectors of items -> semantic ids, as scoring computes them. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "npy.h"
#include "options.h"
#include "scorer.h"
#include "text.h"

enum { BLOCK = 4096, UINT16_CODES = 1 << 16 };

/* The command's own options, as popt fills them. */
struct quantize_options {
    char *output, *quantizer;
};

/* What one run works with. */
struct job {
    vqr_session *session;
    size_t quantizer;
    struct vqr_quantizer_info info;
    struct npy_reader items;
    float *x;        /* [BLOCK][dim] */
    uint32_t *codes; /* [BLOCK][levels] */
    void *numbers;   /* the same as the file holds them */
};

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* ---- which quantizer ---- */

/* "content, image": for messages. */
static void list_quantizers(const vqr_model *model, char *list, size_t size)
{
    struct vqr_quantizer_info info;
    size_t used = 0;
    list[0] = '\0';
    for (size_t i = 0; i < vqr_quantizer_count(model) && used < size; i++) {
        vqr_quantizer_info(model, i, &info);
        const int length = snprintf(list + used, size - used, "%s%s", i == 0 ? "" : ", ", info.name);
        used += length < 0 ? 0 : (size_t)length;
    }
}

static bool find_quantizer(struct job *job, const vqr_model *model, const char *name, const char *path)
{
    char list[256];
    const size_t count = vqr_quantizer_count(model);
    list_quantizers(model, list, sizeof list);
    for (job->quantizer = 0; job->quantizer < count; job->quantizer++) {
        vqr_quantizer_info(model, job->quantizer, &job->info);
        if (name == NULL ? count == 1 : strcmp(job->info.name, name) == 0)
            return true;
    }
    if (count == 0)
        complain("%s: expected a model with a quantizer, found none", path);
    else if (name == NULL)
        complain("%s has several quantizers: choose one with --quantizer NAME, of %s", path, list);
    else
        complain("--quantizer %s: expected one of %s", name, list);
    return false;
}

/* ---- items in, codes out ---- */

/* Complains of what errno says and returns false. */
static bool fail_to_write(const char *target)
{
    complain("cannot write %s: %s", target, strerror(errno));
    return false;
}

/* The codes of `rows` items as the file holds them. */
static size_t narrow(struct job *job, size_t rows)
{
    const size_t count = rows * job->info.levels;
    if (job->info.codes > UINT16_CODES) { /* below 2^20: as int32 the same bits */
        memcpy(job->numbers, job->codes, count * sizeof(int32_t));
        return sizeof(int32_t);
    }
    uint16_t *numbers = job->numbers;
    for (size_t i = 0; i < count; i++)
        numbers[i] = (uint16_t)job->codes[i];
    return sizeof *numbers;
}

static void show_progress(size_t done, size_t all, double *shown)
{
    char total[TEXT_NUMBER_SIZE];
    const double now = seconds();
    if (now - *shown < 0.2 && done < all)
        return;
    *shown = now;
    fprintf(stderr, "\r%3.0f %% of %s items%s", 100.0 * (double)done / (double)all, text_grouped(total, all),
            done == all ? "\r\033[K" : "");
}

/* Everything from the first item to the last; false after a complaint. */
static bool write_codes(struct job *job, FILE *out, const char *path, const char *target)
{
    struct refusal refusal;
    struct vqr_error error;
    double shown = seconds();
    const bool terminal = isatty(STDERR_FILENO) != 0;
    if (!npy_write_header(out, job->info.codes > UINT16_CODES ? "<i4" : "<u2", job->items.rows, job->info.levels))
        return fail_to_write(target);
    for (size_t first = 0; first < job->items.rows; first += BLOCK) {
        const size_t left = job->items.rows - first, rows = left < BLOCK ? left : BLOCK;
        if (!npy_read(&job->items, job->x, rows, &refusal)) {
            complain("%s: %s", path, refusal.message);
            return false;
        }
        if (vqr_quantize(job->session, job->quantizer, job->x, rows, job->codes, &error) != VQR_OK) {
            complain("%s: counted from item %zu on, %s", path, first, error.message);
            return false;
        }
        const size_t size = narrow(job, rows), count = rows * job->info.levels;
        if (fwrite(job->numbers, size, count, out) != count)
            return fail_to_write(target);
        if (terminal)
            show_progress(first + rows, job->items.rows, &shown);
    }
    return true;
}

/* What anybody who may create a file may do with it. */
static bool publish(int descriptor)
{
    const mode_t mask = umask(0);
    umask(mask);
    return fchmod(descriptor, 0666 & ~mask) == 0;
}

static bool write_file(struct job *job, int descriptor, const char *path, const char *target)
{
    FILE *out = fdopen(descriptor, "wb");
    if (out == NULL) {
        close(descriptor);
        return fail_to_write(target);
    }
    const bool written = write_codes(job, out, path, target) && (publish(descriptor) || fail_to_write(target));
    const bool closed = fclose(out) == 0;
    return written && (closed || fail_to_write(target));
}

/* Writes beside the target and renames, so that no half a file is ever found there. */
static bool replace_target(struct job *job, const char *path, const char *target)
{
    const size_t size = strlen(target) + sizeof ".XXXXXX";
    char *temporary = malloc(size);
    if (temporary == NULL) {
        complain("out of memory");
        return false;
    }
    snprintf(temporary, size, "%s.XXXXXX", target);
    const int descriptor = mkstemp(temporary);
    bool done = descriptor >= 0 || fail_to_write(target);
    done = done && write_file(job, descriptor, path, target);
    done = done && (rename(temporary, target) == 0 || fail_to_write(target));
    if (!done && descriptor >= 0)
        unlink(temporary);
    free(temporary);
    return done;
}

static bool quantize_items(struct job *job, const char *path, const char *target)
{
    struct refusal refusal;
    if (!npy_open(&job->items, path, &refusal)) {
        complain("%s", refusal.message);
        return false;
    }
    if (job->items.columns != job->info.dim) {
        complain("%s: expected vectors of %zu numbers, as quantizer %s has, found %zu", path, job->info.dim,
                 job->info.name, job->items.columns);
        return false;
    }
    job->x = malloc(BLOCK * job->info.dim * sizeof *job->x);
    job->codes = malloc(BLOCK * job->info.levels * sizeof *job->codes);
    job->numbers = malloc(BLOCK * job->info.levels * sizeof(int32_t));
    if (job->x == NULL || job->codes == NULL || job->numbers == NULL) {
        complain("out of memory");
        return false;
    }
    return replace_target(job, path, target);
}

static void print_throughput(const struct job *job, double took)
{
    char items[TEXT_NUMBER_SIZE], rate[TEXT_NUMBER_SIZE];
    const double per_second = took > 0 ? (double)job->items.rows / took : 0;
    fprintf(stderr, "vqrank: %s items in %.2f s, %s a second; instruction set %s\n",
            text_grouped(items, job->items.rows), took, text_grouped(rate, (uint64_t)per_second),
            vqr_session_isa(job->session));
}

static int quantize(const struct options *options, const struct quantize_options *own)
{
    struct job job = {0};
    struct vqr_error error;
    const char *path = options->arguments[0], *items = options->arguments[1];
    const struct vqr_session_options with = {.isa = options->isa};
    const double start = seconds();
    bool done = false;
    if (own->output == NULL)
        return complain("quantize needs -o CODES.npy, the file to write");
    vqr_model *model = scorer_open_model(path);
    if (model == NULL)
        return EXIT_UNUSABLE;
    if (find_quantizer(&job, model, own->quantizer, path)) {
        if (vqr_session_create(model, &with, &job.session, &error) != VQR_OK)
            complain("%s", error.message);
        else
            done = quantize_items(&job, items, own->output);
    }
    if (done)
        print_throughput(&job, seconds() - start);
    npy_close(&job.items);
    free(job.x);
    free(job.codes);
    free(job.numbers);
    vqr_session_free(job.session);
    vqr_model_close(model);
    return done ? EXIT_DONE : EXIT_UNUSABLE;
}

static int run(const struct command *command, int argc, const char **argv)
{
    struct options options;
    struct quantize_options own = {NULL, NULL};
    int status = EXIT_UNUSABLE;
    struct poptOption table[] = {{"output", 'o', POPT_ARG_STRING, &own.output, 0,
                                  "the file to write, replaced as a whole", "CODES.npy"},
                                 {"quantizer", '\0', POPT_ARG_STRING, &own.quantizer, 0,
                                  "which of the model's quantizers (default: the only one)", "NAME"},
                                 POPT_TABLEEND};
    if (options_parse(&options, command, table, argc, argv, &status))
        status = quantize(&options, &own);
    options_free(&options);
    free(own.output);
    free(own.quantizer);
    return status;
}

const struct command command_quantize = {
    .name = "quantize",
    .arguments = "MODEL ITEMS.npy",
    .summary = "turn vectors of items into semantic ids, as scoring does",
    .text =
        "Reads a NumPy array [items, numbers] of little-endian float32 or float64 and writes the codes of every item,\n"
        "[items, levels], as uint16 or, with more than 65536 codes a level, int32. They are the codes that a feature\n"
        "of kind semantic_id gets for the same vector, on any processor.\n"
        "\n"
        "Example:\n"
        "  vqrank quantize model.vqr items.npy -o codes.npy\n",
    .arguments_min = 2,
    .arguments_max = 2,
    .run = run,
};
