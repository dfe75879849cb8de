#include "scorer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "options.h"

vqr_model *scorer_open_model(const char *path)
{
    vqr_model *model = NULL;
    struct vqr_error error;
    if (vqr_model_open(path, &model, &error) != VQR_OK) {
        const bool named = strstr(error.message, path) != NULL;
        complain("%s%s%s", named ? "" : path, named ? "" : ": ", error.message);
        return NULL;
    }
    return model;
}

/* The names and kinds of every feature, resolved once. */
static bool describe_features(struct scorer *scorer)
{
    for (int group = 0; group < VQR_GROUPS; group++) {
        const size_t count = vqr_feature_count(scorer->model, (enum vqr_group)group);
        scorer->features[group] = calloc(count + 1, sizeof *scorer->features[group]);
        if (scorer->features[group] == NULL) {
            complain("out of memory");
            return false;
        }
        for (size_t i = 0; i < count; i++) {
            struct vqr_feature *feature = &scorer->features[group][i];
            vqr_feature_info(scorer->model, (enum vqr_group)group, i, feature);
            if (feature->kind > VQR_FEATURE_SEMANTIC_ID) {
                complain("feature %s is of a kind that this command cannot read from JSON; use a newer vqrank",
                         feature->name);
                return false;
            }
        }
        scorer->schema.features[group] = scorer->features[group];
        scorer->schema.count[group] = count;
    }
    return true;
}

static bool describe_outputs(struct scorer *scorer)
{
    const size_t count = vqr_model_outputs(scorer->model);
    scorer->output_names = calloc(count + 1, sizeof *scorer->output_names);
    if (scorer->output_names == NULL) {
        complain("out of memory");
        return false;
    }
    for (size_t i = 0; i < count; i++)
        scorer->output_names[i] = vqr_model_output_name(scorer->model, i);
    scorer->outputs = (struct response_outputs){.names = scorer->output_names, .count = count};
    return true;
}

bool scorer_init(struct scorer *scorer, const vqr_model *model, const char *isa)
{
    struct vqr_error error;
    const struct vqr_session_options options = {.isa = isa};
    *scorer = (struct scorer){.model = model};
    if (vqr_session_create(model, &options, &scorer->session, &error) != VQR_OK ||
        vqr_state_create(model, NULL, 0, &scorer->state, &error) != VQR_OK) {
        complain("%s", error.message);
        return false;
    }
    if (!describe_features(scorer) || !describe_outputs(scorer))
        return false;
    if (!request_init(&scorer->request, &scorer->schema)) {
        complain("out of memory");
        return false;
    }
    return true;
}

static bool grow_scores(struct scorer *scorer, size_t candidates)
{
    const size_t width = scorer->outputs.count == 0 ? 1 : scorer->outputs.count;
    if (candidates > SIZE_MAX / sizeof(float) / width)
        return false;
    if (candidates * width > scorer->score_capacity) {
        float *scores = realloc(scorer->scores, candidates * width * sizeof *scores);
        if (scores == NULL)
            return false;
        scorer->scores = scores;
        scorer->score_capacity = candidates * width;
    }
    return true;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

bool refuse_library(struct refusal *refusal, enum vqr_status status, const struct vqr_error *error)
{
    return refuse(refusal, vqr_status_name(status), "%s", error->message);
}

bool scorer_run(struct scorer *scorer, char *line, size_t length, struct refusal *refusal)
{
    struct vqr_error error;
    const struct request *request = &scorer->request;
    if (!request_read(&scorer->request, line, length, refusal))
        return false;
    if (!grow_scores(scorer, request->score.candidates.rows)) {
        return refuse(refusal, "memory", "out of memory for the scores of %zu candidates",
                      request->score.candidates.rows);
    }
    const double start = seconds();
    enum vqr_status status = vqr_encode(scorer->session, scorer->state, &request->events, &scorer->stats, &error);
    const double encoded = seconds();
    if (status != VQR_OK)
        return refuse_library(refusal, status, &error);
    status = vqr_score(scorer->session, scorer->state, &request->score, scorer->scores, &scorer->stats, &error);
    scorer->encode_seconds = encoded - start;
    scorer->score_seconds = seconds() - encoded;
    return status == VQR_OK || refuse_library(refusal, status, &error);
}

void scorer_free(struct scorer *scorer)
{
    request_free(&scorer->request);
    for (int group = 0; group < VQR_GROUPS; group++)
        free(scorer->features[group]);
    free(scorer->output_names);
    free(scorer->scores);
    vqr_state_free(scorer->state);
    vqr_session_free(scorer->session);
}
