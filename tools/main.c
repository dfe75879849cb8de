/* The command vqrank: a table of commands, each in its own file. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "vqrank/vqrank.h"

static const struct command *const commands[] = {&command_score, &command_rank,     &command_inspect, &command_selftest,
                                                 &command_bench, &command_quantize, &command_clusters};
enum { COMMAND_COUNT = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *out)
{
    fputs("Usage: vqrank COMMAND [OPTION...] ARGUMENT...\n"
          "\n"
          "Ranks candidates against a user's whole behaviour history, on this processor.\n"
          "\n"
          "Commands:\n",
          out);
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n"
          "Options:\n"
          "  --version  show the version\n"
          "  --help     show this help\n"
          "\n"
          "vqrank COMMAND --help explains a command and gives an example.\n"
          "\n"
          "Example: score the requests of a file, one JSON object a line\n"
          "  vqrank score model.vqr requests.jsonl > responses.jsonl\n",
          out);
}

/* vqrank without a command: --version and --help. */
static int run_options(int argc, const char **argv)
{
    int version = 0, help = 0;
    struct poptOption table[] = {{"version", 'V', POPT_ARG_NONE, &version, 0, NULL, NULL},
                                 {"help", 'h', POPT_ARG_NONE, &help, 0, NULL, NULL},
                                 POPT_TABLEEND};
    int status = EXIT_DONE;
    poptContext context = poptGetContext(NULL, argc, argv, table, POPT_CONTEXT_POSIXMEHARDER);
    const int result = poptGetNextOpt(context);
    if (result < -1) {
        status = complain("%s: %s; vqrank --help lists the commands, options go after the command",
                          poptBadOption(context, POPT_BADOPTION_NOALIAS), poptStrerror(result));
    } else if (help) {
        print_usage(stdout);
    } else if (version) {
        printf("vqrank %s\n", vqr_version());
    } else {
        print_usage(stderr);
        status = EXIT_UNUSABLE;
    }
    poptFreeContext(context);
    return status;
}

static int run_command(int argc, const char **argv)
{
    if (argc < 2 || argv[1][0] == '-')
        return run_options(argc, argv);
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(commands[i], argc - 1, argv + 1);
    return complain("no command is called %s; vqrank --help lists the commands", argv[1]);
}

int main(int argc, char **argv)
{
    /* popt takes const strings, and C converts `char **` to that by copying only. */
    const char **arguments = calloc((size_t)argc + 1, sizeof *arguments);
    if (arguments == NULL)
        return complain("out of memory");
    for (int i = 0; i < argc; i++)
        arguments[i] = argv[i];
    const int status = close_output(run_command(argc, arguments));
    free(arguments);
    return status;
}
