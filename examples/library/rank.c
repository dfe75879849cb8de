#include <stdio.h>
#include <vqrank/vqrank.h>

int main(int argc, char **argv)
{
    struct vqr_error error = {VQR_OK, ""};
    vqr_model *model = NULL;
    vqr_session *session = NULL; /* kernels and scratch, one per thread */
    vqr_state *state = NULL;     /* one user's history, compressed */
    if (argc < 2 || vqr_model_open(argv[1], &model, &error) || vqr_session_create(model, NULL, &session, &error) ||
        vqr_state_create(model, NULL, 0, &state, &error))
        return fprintf(stderr, "%s\n", argc < 2 ? "usage: rank MODEL" : error.message), 1;

    const int64_t touched[] = {7, 8, 7}, files[] = {7, 8, 9}; /* ids of the first feature; the others stay absent */
    struct vqr_column event[16] = {{VQR_COLUMN_INT64, touched, NULL}},
                      candidate[16] = {{VQR_COLUMN_INT64, files, NULL}};
    const struct vqr_rows events = {event, vqr_feature_count(model, VQR_EVENT), 3};
    const struct vqr_request request = {.candidates = {candidate, vqr_feature_count(model, VQR_CANDIDATE), 3}};
    float scores[3];
    if (vqr_encode(session, state, &events, NULL, &error) || vqr_score(session, state, &request, scores, NULL, &error))
        return fprintf(stderr, "%s\n", error.message), 1;
    for (int i = 0; i < 3; i++)
        printf("%lld %.9g\n", (long long)files[i], scores[i]);
}
