/* What a VQL sequence takes of a session's scratch and of a user's state. */
#include "runtime/vql.h"

static size_t most_heads(const struct vqr_vql *vql)
{
    size_t most = 0;
    for (size_t g = 0; g < vql->groups; g++)
        most = vql->group[g].heads > most ? vql->group[g].heads : most;
    return most;
}

static struct vqr_vql_values *take_values(const struct vqr_vql *vql, struct vqr_arena *arena)
{
    struct vqr_vql_values *values = vqr_take(arena, vql->heads, sizeof *values);
    for (size_t a = 0; a < vql->heads; a++) {
        const size_t w = vql->group[vql->head[a].group].codewords;
        float *v = vqr_take(arena, vqr_times(w, vqr_padded(vql->v_dim)), sizeof *v);
        float *bias = vqr_take(arena, vqr_padded(w), sizeof *bias);
        if (values)
            values[a] = (struct vqr_vql_values){v, bias};
    }
    return values;
}

void *vqr_vql_take_scratch(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct vqr_vql *vql = sequence->self;
    struct vqr_vql_scratch counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    const size_t heads = most_heads(vql), widest = vql->dim > vql->v_dim ? vql->dim : vql->v_dim;
    s->v_stride = vqr_padded(vql->heads * vql->v_dim);
    s->row_stride = vqr_padded(heads * widest);
    s->q_stride = vqr_padded(vql->heads * vql->dim);
    s->o_stride = s->v_stride + VQR_LANES;
    s->z = vqr_take(arena, VQR_EVENT_BLOCK, sizeof *s->z);
    s->v = vqr_take(arena, vqr_times(VQR_EVENT_BLOCK, s->v_stride), sizeof *s->v);
    s->factor = vqr_take(arena, vqr_times(heads, vql->terms + 1), sizeof *s->factor);
    s->rows = vqr_take(arena, vqr_times(vql->most, s->row_stride), sizeof *s->rows);
    s->total = vqr_take(arena, vql->most, sizeof *s->total);
    s->q = vqr_take(arena, vqr_times(VQR_CANDIDATE_BLOCK, s->q_stride), sizeof *s->q);
    s->o = vqr_take(arena, vqr_times(VQR_CANDIDATE_BLOCK, s->o_stride), sizeof *s->o);
    s->scores = vqr_take(arena, vqr_times(VQR_ATTENTION_ROWS, vqr_padded(vql->most)), sizeof *s->scores);
    s->weights = vqr_take(arena, vqr_padded(vql->most), sizeof *s->weights);
    struct vqr_codebook_needs codes = {0};
    for (size_t g = 0; g < vql->groups; g++)
        vqr_codebook_need(&codes, &vql->group[g].codes);
    vqr_codebook_take_scratch(&vql->group[0].codes, &codes, &s->codebook, arena);
    struct vqr_int8_needs needs = {0, 0, 0};
    vqr_int8_need(&needs, &vql->q.int8);
    vqr_int8_need(&needs, &vql->out_product.int8);
    vqr_int8_rows_take(&needs, &s->int8, arena);
    s->values = vql->terms ? take_values(vql, arena) : NULL;
    s->kept_sums = vqr_take(arena, vqr_times(vql->terms, vql->sums), sizeof *s->kept_sums);
    s->kept_weights = vqr_take(arena, vqr_times(vql->terms, vql->sums / vql->v_dim), sizeof *s->kept_weights);
    return taken;
}

void *vqr_vql_take_state(const struct vqr_sequence *sequence, struct vqr_arena *arena)
{
    const struct vqr_vql *vql = sequence->self;
    struct vqr_vql_state counting, *taken = vqr_take(arena, 1, sizeof *taken), *s = taken ? taken : &counting;
    s->sums = vqr_take(arena, vql->sums, sizeof *s->sums);
    s->counts = vqr_take(arena, vql->codewords, sizeof *s->counts);
    s->events = vqr_take(arena, vql->codewords, sizeof *s->events);
    s->decayed = vqr_take(arena, vqr_times(vql->terms, vql->sums), sizeof *s->decayed);
    s->weights = vqr_take(arena, vqr_times(vql->terms, vql->sums / vql->v_dim), sizeof *s->weights);
    s->token = vqr_take(arena, vql->codewords, sizeof *s->token);
    s->tokens = vqr_take(arena, vql->groups, sizeof *s->tokens);
    s->k = vqr_take(arena, vql->heads, sizeof *s->k);
    for (size_t a = 0; a < vql->heads; a++) {
        const size_t w = vql->group[vql->head[a].group].codewords;
        float *k = vqr_take(arena, vqr_times(vqr_padded(w), vql->dim), sizeof *k);
        if (s->k)
            s->k[a] = k;
    }
    s->values = vql->terms ? NULL : take_values(vql, arena);
    return taken;
}
