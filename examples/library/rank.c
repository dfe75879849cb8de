#include <stdio.h>
#include <vqrank/vqrank.h>

int main(int argc, char **argv)
{
    const int64_t touched[] = {7, 8, 7}, files[] = {7, 8, 9}; /* ids of the first feature; the others are absent */
    const struct vqr_column event = {VQR_COLUMN_INT64, touched, NULL}, file = {VQR_COLUMN_INT64, files, NULL};
    const struct vqr_rows events = {&event, 1, 3};
    const struct vqr_request request = {.candidates = {&file, 1, 3}};
    struct vqr_error error = {VQR_OK, "usage: rank MODEL"};
    vqr_model *model = NULL;
    vqr_session *session = NULL; /* kernels and scratch, one per thread */
    vqr_state *state = NULL;     /* one user's history, compressed */
    float scores[3];
    if (argc != 2 || vqr_model_open(argv[1], &model, &error) || vqr_session_create(model, NULL, &session, &error) ||
        vqr_state_create(model, NULL, 0, &state, &error) || vqr_encode(session, state, &events, NULL, &error) ||
        vqr_score(session, state, &request, scores, NULL, &error))
        return fprintf(stderr, "%s\n", error.message), 1;
    for (int i = 0; i < 3; i++)
        printf("%lld %.9g\n", (long long)files[i], scores[i]);
    vqr_state_free(state), vqr_session_free(session), vqr_model_close(model);
}
