/* Every request of an input, one after another, for commands that show people something about each. */
#ifndef TOOLS_EACH_REQUEST_H
#define TOOLS_EACH_REQUEST_H

#include "scorer.h"

/* What to do with the scorer's last request, which was answered: EXIT_DONE; EXIT_REFUSED with the reason in *refusal,
 * and the next request follows; or EXIT_UNUSABLE to end. */
typedef int request_visitor(struct scorer *scorer, void *context, struct refusal *refusal);

/* Scores every line of `descriptor`, which `input` names in messages (NULL: standard input), and hands it to `visit`.
 * Refused requests are named on standard error. Returns the exit status. */
int each_request(struct scorer *scorer, int descriptor, const char *input, request_visitor *visit, void *context);

#endif
