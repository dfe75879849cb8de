#include "bench_inputs.h"

enum { SEED = 1 };

bool bench_inputs_init(struct bench_inputs *inputs, const struct vqr_header *header, size_t candidates)
{
    *inputs = (struct bench_inputs){.most = candidates};
    return synthetic_init(&inputs->user, header, VQR_USER, 1, SEED + VQR_USER) &&
           synthetic_init(&inputs->circumstances, header, VQR_CONTEXT, 1, SEED + VQR_CONTEXT) &&
           synthetic_init(&inputs->candidates, header, VQR_CANDIDATE, candidates, SEED + VQR_CANDIDATE);
}

bool bench_inputs_draw_events(struct bench_inputs *inputs, const struct vqr_header *header, size_t count)
{
    synthetic_free(&inputs->events);
    return synthetic_init(&inputs->events, header, VQR_EVENT, count, SEED + VQR_EVENT);
}

void bench_inputs_free(struct bench_inputs *inputs)
{
    synthetic_free(&inputs->user);
    synthetic_free(&inputs->circumstances);
    synthetic_free(&inputs->events);
    synthetic_free(&inputs->candidates);
}

struct vqr_request bench_inputs_request(const struct bench_inputs *inputs, size_t candidates)
{
    struct vqr_request request = {.user = inputs->user.rows, .context = inputs->circumstances.rows};
    request.candidates = inputs->candidates.rows;
    request.candidates.rows = candidates;
    return request;
}
