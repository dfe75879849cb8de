/* One user's sums and interests. */
#ifndef VQR_STATE_H
#define VQR_STATE_H

#include "runtime/error.h"
#include "runtime/session.h"

/* Counts stay exact as floats, and sums of that many integers of at most 1.5 * 2^30 far inside 64 bits. */
#define VQR_EVENTS_MAX ((uint64_t)1 << 24)

struct vqr_state {
    const struct vqr_model *model;
    void *owned; /* what to free, or NULL for a caller's buffer */
    uint64_t events;
    int stale;       /* events came or went since the interests were computed */
    void **sequence; /* [model->sequence_count] each kind's own */
};

/* Refuses NULL, of `input` by its name, and a session of another model. */
static inline enum vqr_status vqr_check_pair(const vqr_session *session, const vqr_state *state, const void *input,
                                             const char *input_name, struct vqr_error *error)
{
    if (!session || !state || !input)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "%s is NULL", !session ? "session" : !state ? "state" : input_name);
    if (session->model != state->model)
        return vqr_fail(error, VQR_ERROR_ARGUMENT,
                        "the session and the state belong to different models, \"%.64s\" and \"%.64s\"",
                        vqr_model_name(session->model), vqr_model_name(state->model));
    return VQR_OK;
}

#endif
