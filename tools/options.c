#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "text.h"
#include "vqrank/vqrank.h"

int complain(const char *format, ...)
{
    char line[1024];
    va_list arguments;
    fflush(stdout);
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    fputs("vqrank: ", stderr);
    text_print_clean(stderr, line);
    fputc('\n', stderr);
    return EXIT_UNUSABLE;
}

int open_input(const char *path)
{
    if (path == NULL || strcmp(path, "-") == 0)
        return STDIN_FILENO;
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        complain("cannot open %s: %s", path, strerror(errno));
    return descriptor;
}

int close_output(int status)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return complain("cannot write to standard output: %s", strerror(errno));
    return status;
}

/* The usable instruction sets, "ref, avx2", into list[size]. */
static void list_usable(char *list, size_t size)
{
    size_t used = 0;
    int usable = 0;
    const char *name;
    snprintf(list, size, "none");
    for (size_t i = 0; (name = vqr_isa_name(i, &usable)) != NULL; i++) {
        if (usable && used < size) {
            const int length = snprintf(list + used, size - used, "%s%s", used == 0 ? "" : ", ", name);
            used += length < 0 ? 0 : (size_t)length;
        }
    }
}

static bool check_isa(const char *isa)
{
    char list[128];
    int usable = 0;
    const char *name;
    for (size_t i = 0; (name = vqr_isa_name(i, &usable)) != NULL; i++)
        if (strcmp(name, isa) == 0 && usable)
            return true;
    list_usable(list, sizeof list);
    complain("--isa %s cannot be used on this machine; usable here: %s", isa, list);
    return false;
}

static void print_help(const struct command *command, poptContext context)
{
    poptPrintHelp(context, stdout, 0);
    printf("\n%s", command->text);
}

/* Checks what popt left over; false after a complaint. */
static bool check_arguments(struct options *options, const struct command *command)
{
    options->arguments = (const char *const *)poptGetArgs(options->context);
    options->argument_count = 0;
    while (options->arguments != NULL && options->arguments[options->argument_count] != NULL)
        options->argument_count++;
    if (options->argument_count < command->arguments_min) {
        complain("%s needs more arguments; usage: vqrank %s [OPTION...] %s", command->name, command->name,
                 command->arguments);
        return false;
    }
    if (options->argument_count > command->arguments_max) {
        complain("%s cannot use the argument %s; usage: vqrank %s [OPTION...] %s", command->name,
                 options->arguments[command->arguments_max], command->name, command->arguments);
        return false;
    }
    return options->isa == NULL || check_isa(options->isa);
}

bool options_parse(struct options *options, const struct command *command, struct poptOption *table, int argc,
                   const char **argv, int *status)
{
    static struct poptOption none[] = {POPT_TABLEEND};
    *options =
        (struct options){.shared = {{"isa", '\0', POPT_ARG_STRING, &options->isa, 0,
                                     "the strongest instruction set to use (ref, avx2, ...)", "NAME"},
                                    {"help", 'h', POPT_ARG_NONE, &options->help, 0, "show this help and an example",
                                     NULL},
                                    POPT_TABLEEND},
                         .table = {{NULL, '\0', POPT_ARG_INCLUDE_TABLE, table != NULL ? table : none, 0, NULL, NULL},
                                   {NULL, '\0', POPT_ARG_INCLUDE_TABLE, options->shared, 0, NULL, NULL},
                                   POPT_TABLEEND}};
    snprintf(options->name, sizeof options->name, "vqrank %s", command->name);
    snprintf(options->usage, sizeof options->usage, "[OPTION...] %s", command->arguments);
    argv[0] = options->name;
    options->context = poptGetContext(NULL, argc, argv, options->table, 0);
    if (options->context == NULL) {
        *status = complain("out of memory");
        return false;
    }
    poptSetOtherOptionHelp(options->context, options->usage);
    const int result = poptGetNextOpt(options->context);
    if (result < -1) {
        *status =
            complain("%s: %s; vqrank %s --help lists the options",
                     poptBadOption(options->context, POPT_BADOPTION_NOALIAS), poptStrerror(result), command->name);
        return false;
    }
    if (options->help) {
        print_help(command, options->context);
        *status = close_output(EXIT_DONE);
        return false;
    }
    *status = EXIT_UNUSABLE;
    return check_arguments(options, command);
}

void options_free(struct options *options)
{
    free(options->isa);
    poptFreeContext(options->context);
}
