#include "each_request.h"

#include <errno.h>
#include <string.h>

#include "lines.h"
#include "options.h"

int each_request(struct scorer *scorer, int descriptor, const char *input, request_visitor *visit, void *context)
{
    struct line_reader lines;
    enum line_status status;
    int result = EXIT_DONE, visited = EXIT_DONE;
    lines_init(&lines, descriptor, LINE_LENGTH_MAX);
    while (visited != EXIT_UNUSABLE && ((status = lines_next(&lines)) == LINE_READ || status == LINE_TOO_LONG)) {
        struct refusal refusal;
        if (status == LINE_TOO_LONG)
            refuse(&refusal, "limit", "longer than %zu bytes", lines.limit);
        else if (scorer_run(scorer, lines.text, lines.length, &refusal) &&
                 (visited = visit(scorer, context, &refusal)) != EXIT_REFUSED)
            continue;
        complain("line %llu refused, %s: %s", (unsigned long long)lines.number, refusal.code, refusal.message);
        result = EXIT_REFUSED;
    }
    const int reason = errno;
    lines_free(&lines);
    if (visited == EXIT_UNUSABLE)
        return visited;
    return status != LINE_FAILED
               ? result
               : complain("cannot read %s: %s", input != NULL ? input : "standard input", strerror(reason));
}
