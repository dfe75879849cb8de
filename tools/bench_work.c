/* What the parts of the stages do, counted from shapes. */
#include "bench_parts.h"
#include "runtime/assignments.h"
#include "runtime/dmqn.h"
#include "runtime/session.h"
#include "runtime/state.h"

static const double F32 = sizeof(float), I64 = sizeof(int64_t), I32 = sizeof(int32_t);

/* Traffic that touches no new bytes, and traffic through new ones. */
static void add_bytes(struct bench_work *work, double bytes)
{
    work->bytes += bytes;
}

static void add_set(struct bench_work *work, double bytes)
{
    work->bytes += bytes;
    work->set += bytes;
}

/* A product [rows, in] by [in, out], in fp32 or int8, whose weights are read once; `own`: they are no other's. */
static void add_product(struct bench_work *work, double rows, double in, double out, bool int8, double kept, bool own)
{
    const double weights = int8 ? in * out + F32 * (kept + 1) * out : F32 * in * out;
    work->flops += 2 * rows * (int8 ? kept : in) * out;
    work->iops += int8 ? 2 * rows * (in - kept) * out : 0;
    work->set += own ? weights : 0;
    add_bytes(work,
              weights + rows * F32 * (in + out) + (int8 ? 2 * rows * in : 0)); /* rows become int8, and are read */
}

static void add_linear(struct bench_work *work, const struct vqr_linear *linear, double rows, bool own)
{
    add_product(work, rows, (double)linear->in, (double)linear->out, linear->int8.quads != NULL,
                (double)linear->int8.kept, own);
}

/* Whether codebook j's weights are its own. */
static bool is_own(const struct vqr_linear *linear, size_t j)
{
    return j == 0 || (linear->int8.quads != NULL ? linear->int8.quads_step : linear->weight.step) != 0;
}

/* ---- rows of tables ---- */

/* Values, and a row of a table for each id. Of lists one id is counted, of semantic ids no quantizer. */
static void add_gather(struct bench_work *work, const struct vqr_inputs *inputs, double rows)
{
    for (size_t i = 0; i < inputs->count; i++) {
        const struct vqr_input *input = &inputs->input[i];
        const double width = (double)input->width;
        const double row = input->table != NULL && input->table->weight8 != NULL ? width + F32 : F32 * width;
        const double table = input->table != NULL ? row * (double)input->table->rows : 0;
        add_set(work, rows * I64);
        add_bytes(work, rows * (row + F32 * width));
        work->set += input->table != NULL && table < rows * row ? table : rows * row;
    }
}

/* Codewords that the file stores, and the rows that events' keys determine. */
static void look_up(struct bench_work *work, const vqr_model *model, double rows)
{
    const struct vqr_assignments *a = model->assignments;
    const double combinations = (double)a->combinations, touched = rows < combinations ? rows : combinations;
    for (size_t i = 0; i < model->sequence_count; i++)
        if (a->sequence[i].codewords != NULL) {
            const double each = (double)model->sequence[i].codebooks * (a->sequence[i].z8 != NULL ? 1 : 2);
            add_bytes(work, rows * each);
            work->set += touched * each;
        }
    add_bytes(work, rows * I32 * (double)a->determined_count);
}

static void gather_events(struct bench_work *work, const vqr_model *model, double rows)
{
    const double width = (double)model->inputs[VQR_EVENT].width;
    add_gather(work, &model->inputs[VQR_EVENT], rows);
    if (model->assignments != NULL)
        look_up(work, model, rows);
    work->set += VQR_EVENT_BLOCK * F32 * width;
}

static void gather_candidates(struct bench_work *work, const vqr_model *model, double rows)
{
    add_gather(work, &model->inputs[VQR_USER], 1);
    add_gather(work, &model->inputs[VQR_CONTEXT], 1);
    add_gather(work, &model->inputs[VQR_CANDIDATE], rows);
    work->set += VQR_CANDIDATE_BLOCK * F32 * (double)model->inputs[VQR_CANDIDATE].width;
}

/* ---- clusters ---- */

/* A block's events meet every codebook: that is read again for each block. int8-exact counts as scoring all in fp32.
 * Known chains are not multiplied but read, a feature's for each event, once there are more events than table rows. */
static void assign(struct bench_work *work, const struct vqr_dmqn *dmqn, double rows)
{
    const struct vqr_codebook *codebook = &dmqn->codebook;
    const bool is_int8 = codebook->scores == VQR_SCORES_INT8;
    struct vqr_codebook_needs needs = {0};
    vqr_codebook_need(&needs, codebook);
    const size_t known = is_int8 ? 0 : vqr_known_width(codebook->events, &needs.known);
    const double in = (double)(codebook->width - known), out = (double)codebook->codewords;
    for (size_t f = 0; known && f < codebook->events->count; f++) {
        const struct vqr_input *input = &codebook->events->input[f];
        const bool kept = vqr_known_is_kept(codebook->events, f, &needs.known);
        const double table = kept ? (double)input->table->rows : 0, each = F32 * (double)needs.known.columns;
        add_bytes(work, kept ? rows * each : 0);
        work->set += (table < rows ? table : rows) * each;
    }
    for (size_t j = 0; j < codebook->count; j++)
        for (double left = rows; left > 0; left -= VQR_EVENT_BLOCK) {
            const double here = left < VQR_EVENT_BLOCK ? left : VQR_EVENT_BLOCK;
            add_product(work, here, in, out, is_int8, (double)codebook->int8.kept, left == rows);
            add_bytes(work, here * (I32 - F32 * out)); /* scores stay in registers, codewords do not */
        }
    work->set += VQR_EVENT_BLOCK * F32 * in;
}

/* Sums are read from where they all fit, and written to where they were read to: only that is counted. A block's events
 * are read for the first codebook, and near from then on. */
static void accumulate(struct bench_work *work, const struct vqr_dmqn *dmqn, double rows)
{
    const double n = (double)dmqn->codebooks, w = (double)dmqn->codewords, d = (double)dmqn->width;
    work->flops += rows * d; /* to fixed point */
    add_bytes(work, rows * (n * (I64 * d + 2 * I32) + F32 * d));
    work->set += n * w * (I64 * d + I32) + VQR_EVENT_BLOCK * F32 * d;
}

static void means(struct bench_work *work, const struct vqr_dmqn *dmqn, double tokens)
{
    const double numbers = tokens * (double)dmqn->width;
    work->flops += 2 * numbers;
    add_set(work, numbers * I64);
    add_bytes(work, numbers * F32);
}

/* ---- HSTU, keys and values ---- */

static void hstu_layer(struct bench_work *work, const struct vqr_hstu *hstu, const struct vqr_hstu_layer *layer,
                       size_t j, double tokens)
{
    const struct vqr_header_hstu *c = &hstu->config;
    const double d = (double)hstu->width, v = (double)hstu->v_width, z = (double)hstu->z_width;
    const double heads = (double)c->heads, dims = (double)(c->qk_dim + c->v_dim), pairs = tokens * tokens;
    const double activated = c->activate == VQR_ACTIVATE_ALL ? (double)hstu->uvqk_width : v;
    if (c->pre_norm) {
        work->flops += 8 * tokens * d;
        add_bytes(work, 2 * F32 * tokens * d);
    }
    add_linear(work, &layer->f1, tokens, is_own(&layer->f1, j));
    work->exps += tokens * activated;
    add_bytes(work, 2 * F32 * tokens * activated);
    work->flops += 2 * heads * pairs * dims;
    work->exps += heads * pairs;
    add_bytes(work, heads * F32 * tokens * (3 * dims + (double)c->v_dim)); /* packed, read twice; written */
    if (c->bias != VQR_BIAS_NONE) {
        const double biases = (c->bias == VQR_BIAS_PER_HEAD ? heads : 1) * F32 * pairs;
        add_bytes(work, heads * F32 * pairs);
        work->set += j == 0 || layer->bias.step != 0 ? biases : 0;
    }
    work->flops += 9 * tokens * v; /* normalized, gated */
    add_bytes(work, F32 * tokens * (4 * v + z));
    add_linear(work, &layer->f2, tokens, is_own(&layer->f2, j));
    if (c->residual) {
        work->flops += tokens * d;
        add_bytes(work, 3 * F32 * tokens * d);
    }
}

static void hstu(struct bench_work *work, const struct vqr_dmqn *dmqn, size_t j, double tokens)
{
    const struct vqr_hstu *h = &dmqn->hstu;
    for (size_t i = 0; i < h->config.layers; i++)
        hstu_layer(work, h, &h->layer[i], j, tokens);
    if (j == 0) /* scratch: x, its normalized copy, u v q k, o and z */
        work->set += F32 * tokens * (double)(2 * h->width + h->uvqk_width + h->v_width + h->z_width);
}

/* Bytes of one key's or value's number. */
static double element(const struct vqr_target_attention *attention)
{
    return attention->dot.int8 ? 1 : F32;
}

static void keys_values(struct bench_work *work, const struct vqr_dmqn *dmqn, size_t j, double tokens)
{
    const struct vqr_target_attention *a = &dmqn->attention;
    const double kept = 2 * element(a) * tokens * (double)a->dot.width;
    add_linear(work, &a->dot.k, tokens, is_own(&a->dot.k, j));
    add_linear(work, &a->dot.v, tokens, is_own(&a->dot.v, j));
    add_bytes(work, 2 * F32 * tokens * (double)a->dot.width); /* read to be packed */
    add_set(work, kept);
    work->set += j == 0 ? F32 * tokens * (double)(a->width + a->dot.width) : 0;
}

/* ---- candidates ---- */

static void attend_block(struct bench_work *work, const struct vqr_dmqn *dmqn, size_t j, double tokens, double rows,
                         bool first)
{
    const struct vqr_target_attention *a = &dmqn->attention;
    const double width = (double)a->dot.width, heads = (double)a->config.heads;
    const double kept = 2 * element(a) * tokens * width;
    if (j == 0 || !a->asks_once)
        add_linear(work, &a->dot.q, rows, first && is_own(&a->dot.q, j));
    work->flops += 4 * rows * tokens * width;
    work->exps += heads * rows * tokens;
    add_bytes(work, kept + 2 * F32 * rows * width);
    work->set += first ? kept : 0;
    if (a->config.out)
        add_linear(work, &a->dot.out, rows, first && is_own(&a->dot.out, j));
}

static void head_block(struct bench_work *work, const struct vqr_head *head, double rows, bool first)
{
    for (size_t i = 0; i < head->layers; i++)
        add_linear(work, &head->layer[i], rows, first);
    work->exps += rows * (double)head->layer[head->layers - 1].out;
}

/* Blocks of candidates, each of which reads what it needs again. */
static void score(struct bench_work *work, const vqr_model *model, const vqr_state *state, bool is_head, double rows)
{
    if (is_head)
        add_product(work, 1, (double)model->head.shared_in, (double)model->head.layer[0].out, false, 0, true);
    for (double left = rows; left > 0; left -= VQR_CANDIDATE_BLOCK) {
        const double here = left < VQR_CANDIDATE_BLOCK ? left : VQR_CANDIDATE_BLOCK;
        if (is_head)
            head_block(work, &model->head, here, left == rows);
        for (size_t i = 0; !is_head && i < model->sequence_count; i++) {
            const struct vqr_dmqn *dmqn = model->sequence[i].self;
            const struct vqr_dmqn_state *st = state->sequence[i];
            for (size_t j = 0; j < dmqn->codebooks; j++)
                attend_block(work, dmqn, j, (double)st->interests[j].tokens, here, left == rows);
        }
    }
}

/* ---- all ---- */

static void sequence_work(struct bench_work *work, const struct vqr_dmqn *dmqn, const struct vqr_dmqn_state *state,
                          bool stored, enum bench_part_number part, double rows)
{
    if (part == PART_ASSIGN && stored) /* they came with the events, and are copied */
        add_bytes(work, 2 * I32 * rows * (double)dmqn->codebooks);
    else if (part == PART_ASSIGN)
        assign(work, dmqn, rows);
    else if (part == PART_ACCUMULATE)
        accumulate(work, dmqn, rows);
    for (size_t j = 0; j < dmqn->codebooks; j++) {
        const double tokens = (double)state->interests[j].tokens;
        if (part == PART_MEANS)
            means(work, dmqn, tokens);
        else if (part == PART_HSTU)
            hstu(work, dmqn, j, tokens);
        else if (part == PART_KEYS_VALUES)
            keys_values(work, dmqn, j, tokens);
    }
}

bool bench_part_work(const vqr_model *model, const vqr_state *state, enum bench_part_number part, size_t rows,
                     struct bench_work *work)
{
    *work = (struct bench_work){0};
    if (part == PART_GATHER_EVENTS)
        gather_events(work, model, (double)rows);
    else if (part == PART_GATHER_CANDIDATES)
        gather_candidates(work, model, (double)rows);
    else if (part == PART_ATTENTION || part == PART_HEAD)
        score(work, model, state, part == PART_HEAD, (double)rows);
    bool known = true;
    for (size_t i = 0; i < model->sequence_count; i++) {
        const struct vqr_dmqn *dmqn = model->sequence[i].self;
        const bool stored = model->assignments != NULL && model->assignments->sequence[i].codewords != NULL;
        sequence_work(work, dmqn, state->sequence[i], stored, part, (double)rows);
        known = known && dmqn->attention.config.kind == VQR_ATTENTION_DOT;
    }
    return known || (part != PART_KEYS_VALUES && part != PART_ATTENTION);
}
