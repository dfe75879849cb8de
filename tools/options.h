/* What every command shares: options, help, messages, exit statuses. */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include <popt.h>
#include <stdbool.h>

enum exit_status {
    EXIT_DONE = 0,
    EXIT_REFUSED = 1, /* some request was refused, or a self-test failed */
    EXIT_UNUSABLE = 2 /* arguments, model, processor or a file */
};

/* One command, as its help teaches it. */
struct command {
    const char *name;      /* "score" */
    const char *arguments; /* "MODEL [REQUESTS.jsonl]" */
    const char *summary;   /* one line, for the list of commands */
    const char *text;      /* what it does and an example, printed under the options */
    int arguments_min, arguments_max;
    int (*run)(const struct command *command, int argc, const char **argv); /* argv[0] is the command's name */
};

extern const struct command command_score, command_rank, command_inspect, command_selftest, command_bench,
    command_clusters, command_quantize;

struct options {
    char *isa; /* NULL: the best here */
    int help;
    const char *const *arguments; /* [argument_count], valid until options_free */
    int argument_count;

    poptContext context; /* the rest is options.c's own; popt keeps pointers to it */
    char name[64], usage[128];
    struct poptOption shared[3], table[3];
};

/* Parses the command's arguments, its own `table` (NULL for none) among them. True if the command should go on; else
 * *status is its exit status: help was printed, or what is wrong was said. Call options_free in either case. */
bool options_parse(struct options *options, const struct command *command, struct poptOption *table, int argc,
                   const char **argv, int *status);

void options_free(struct options *options);

/* One line on standard error: "vqrank: ...". Returns EXIT_UNUSABLE. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What the user named REQUESTS.jsonl, as a descriptor: standard input for NULL and "-"; -1 after a complaint. */
int open_input(const char *path);

/* Flushes standard output; complains and returns EXIT_UNUSABLE if anything written to it was lost, else `status`. */
int close_output(int status);

#endif
