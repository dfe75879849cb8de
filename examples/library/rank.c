#include <stdio.h>
#include <stdlib.h>
#include <vqrank/vqrank.h>

int main(int argc, char **argv)
{
    const int64_t touched[] = {25072, 54443, 25072}, files[] = {25072, 54443, 18760}; /* ids of the first feature */
    const struct vqr_column event = {VQR_COLUMN_INT64, touched, NULL}, file = {VQR_COLUMN_INT64, files, NULL};
    const struct vqr_rows events = {&event, 1, 3}; /* the other features are absent */
    const struct vqr_request request = {.candidates = {&file, 1, 3}};
    struct vqr_error error = {VQR_OK, "usage: rank MODEL"};
    vqr_model *model = NULL;
    vqr_session *session = NULL; /* kernels and scratch, one per thread */
    vqr_state *state = NULL;     /* one user's history, compressed */
    if (argc != 2 || vqr_model_open(argv[1], &model, &error) || vqr_session_create(model, NULL, &session, &error) ||
        vqr_state_create(model, NULL, 0, &state, &error) || vqr_encode(session, state, &events, NULL, &error))
        return fprintf(stderr, "%s\n", error.message), 1;
    const size_t outputs = vqr_model_outputs(model);
    float *scores = malloc(3 * outputs * sizeof *scores); /* [candidates][outputs] */
    if (!scores || vqr_score(session, state, &request, scores, NULL, &error))
        return fprintf(stderr, "%s\n", error.message), 1;
    for (size_t i = 0; i < 3; i++)
        printf("%lld %.9g\n", (long long)files[i], scores[i * outputs]);
    free(scores), vqr_state_free(state), vqr_session_free(session), vqr_model_close(model);
}
