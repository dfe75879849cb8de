#include "tests/fuzz/draw_model.h"

enum { ACTIVATIONS = VQR_DICE + 1 };

static uint32_t one_to(struct fuzz_input *input, size_t n)
{
    return 1 + (uint32_t)fuzz_below(input, n);
}

static void draw_inputs(struct runtime_options *o, struct fuzz_input *input)
{
    const uint8_t bits = fuzz_byte(input);
    o->item_dim = one_to(input, 20);
    o->word_dim = one_to(input, 6);
    o->tags = bits & 1;
    o->tags_pool = bits & 2 ? VQR_POOL_MEAN : VQR_POOL_SUM;
    o->event_exponents[4] = bits & 2 ? 30 : 22;
    o->image_dim = bits & 4 ? one_to(input, 20) : 0;
    o->item_ids = bits & 8 ? VQR_IDS_HASH : VQR_IDS_DIRECT;
    o->word_ids = bits & 16 ? VQR_IDS_HASH : VQR_IDS_VOCABULARY;
    if (!(bits & 32))
        return;
    o->content.levels = one_to(input, 3);
    o->content.codes = one_to(input, 40);
    o->content.dim = one_to(input, 20);
    o->content.kind = bits >> 6 & 1;
    o->content.combine = bits >> 7;
    o->content.exponent = o->content.combine == VQR_COMBINE_SUM ? 28 : 30;
}

static void draw_hstu(struct vqr_header_hstu *h, struct fuzz_input *input)
{
    const uint8_t bits = fuzz_byte(input), more = fuzz_byte(input);
    h->layers = bits % 3;
    h->pre_norm = bits & 4;
    h->affine = bits & 8;
    h->residual = bits & 16;
    h->share = bits & 32;
    h->activate = bits >> 6 & 1;
    h->alpha = bits >> 7;
    h->bias = more % 3;
    h->normalize = more >> 2 & 3;
    h->norm = more >> 4 & 1;
    h->output = more / 32 % 3;
    h->heads = one_to(input, 3);
    h->qk_dim = one_to(input, 18);
    h->v_dim = one_to(input, 18);
}

/* Of last events, an attention has neither `share` nor `count_bias`. */
static void draw_attention(struct vqr_header_attention *a, uint32_t *hidden, int codebooks, struct fuzz_input *input)
{
    const uint8_t bits = fuzz_byte(input);
    a->kind = bits & 1 ? VQR_ATTENTION_DIN : VQR_ATTENTION_DOT;
    a->share = codebooks && bits & 2;
    a->count_bias = codebooks && bits & 4;
    a->softmax = bits & 8;
    a->out = bits & 16 ? one_to(input, 20) : 0;
    a->activation = (bits >> 5) % ACTIVATIONS;
    a->heads = one_to(input, 3);
    a->dim = one_to(input, 18);
    a->hidden_count = a->heads - 1;
    hidden[0] = a->dim;
    hidden[1] = a->dim % 7 + 1;
}

/* Heads from `first` on, once around, in groups of `each`. */
static void draw_vql(struct runtime_vql *v, struct fuzz_input *input)
{
    static const float decays[] = {0.0f, 0.1f, 1e-18f, 3e38f};
    const uint8_t bits = fuzz_byte(input);
    const uint32_t each = 1 + (bits >> 2 & 1), first = bits >> 3 & 3;
    v->heads = one_to(input, RUNTIME_GROUPS_MAX);
    v->exponents = v->heads;
    v->terms = bits % 4 == 3 ? 0 : bits % 4;
    v->decay = decays[bits >> 5 & 3];
    v->dim = one_to(input, 18);
    v->v_dim = one_to(input, 18);
    v->out = bits & 128 ? one_to(input, 20) : 0;
    v->groups = (v->heads + each - 1) / each;
    for (uint32_t a = 0; a < v->heads; a++)
        v->head[a] = (a + first) % v->heads;
    for (uint32_t g = 0; g < v->groups; g++) {
        v->group_heads[g] = v->heads - g * each < each ? v->heads - g * each : each;
        v->codewords[g] = one_to(input, 40);
    }
}

static void draw_hstu_last(struct runtime_hstu_last *l, struct fuzz_input *input)
{
    const uint8_t bits = fuzz_byte(input);
    draw_hstu(&l->hstu, input);
    draw_attention(&l->attention, l->hidden, 0, input);
    if (bits % 3 == 0)
        l->attention.kind = VQR_ATTENTION_NONE;
    l->hstu.share = false;
    l->hstu.bias = l->hstu.bias == VQR_BIAS_PER_HEAD ? VQR_BIAS_SHARED : l->hstu.bias;
    l->last = one_to(input, 40);
    l->buckets = bits & 64 ? one_to(input, 144) : 0;
    l->positions = bits & 128;
    l->scale = bits >> 5 & 1;
}

static void draw_hashed_and_last(struct runtime_options *o, struct fuzz_input *input)
{
    const uint32_t kinds = one_to(input, 3);
    o->sdim_sequences = kinds & 1;
    o->hstu_sequences = kinds >> 1;
    if (o->sdim_sequences) {
        o->hashes = one_to(input, 20);
        o->bits = one_to(input, 6);
    }
    if (o->hstu_sequences)
        draw_hstu_last(&o->hstu_last, input);
}

/* "price" is no id and "word" of another table, which opening refuses: only "item" is drawn. */
static void draw_search(struct runtime_search *s, struct fuzz_input *input)
{
    const uint8_t bits = fuzz_byte(input);
    s->sim_hards = bits & 1;
    s->twins = bits >> 1 & 1;
    s->last = one_to(input, 70);
    s->top = bits & 4 ? s->last : one_to(input, s->last);
    draw_attention(&s->attention, s->hidden, 0, input);
    s->twin.heads = one_to(input, 3);
    s->twin.dim = one_to(input, 18);
    s->twin.out = bits & 8 ? one_to(input, 20) : 0;
}

static void draw_int8(struct runtime_options *o, struct fuzz_input *input)
{
    const uint8_t bits = fuzz_byte(input);
    o->int8.tables = bits & 1;
    o->int8.weights = bits & 2;
    o->int8.scores = (bits >> 2) % 3;
    o->int8.kept = bits & 4 ? one_to(input, 5) : 0;
    o->int8.fine = bits & 32 ? one_to(input, 5) : 0;
    o->attention.state = bits >> 5 & 1;
    o->short_attention.state = bits >> 6 & 1;
    o->hstu_last.attention.state = bits >> 7;
}

/* Where all that events have are ids. */
static void draw_assignments(struct runtime_options *o, struct fuzz_input *input)
{
    const uint8_t bits = fuzz_byte(input);
    if (o->tags || o->image_dim > 0 || o->content.levels > 0)
        return;
    o->ids_only = o->assignments.stored = true;
    o->assignments.determined_count = bits & 1;
    o->assignments.key = bits & 1 ? bits >> 1 & 1 : -1;
    o->assignments.determined[0] = !(bits >> 1 & 1);
    o->assignments.unlisted = bits >> 2 & 7;
}

struct runtime_options fuzz_draw_model(struct fuzz_input *input)
{
    static const float scales[] = {0.5f, 0.05f, 3.0f, 1e4f, 1e19f};
    struct runtime_options o = runtime_options_default();
    const uint8_t bits = fuzz_byte(input);
    o.format_version = 6;
    o.seed = fuzz_byte(input);
    o.scale = scales[fuzz_below(input, sizeof scales / sizeof *scales)];
    draw_inputs(&o, input);
    o.sequences = bits & 3;
    o.short_sequences = bits >> 2 & 3;
    o.short_first = bits & 16;
    o.empty = bits & 32 ? VQR_EMPTY_ZERO : VQR_EMPTY_MASKED;
    o.codebooks = one_to(input, 3);
    o.codewords = one_to(input, 40);
    o.last = one_to(input, 20);
    draw_hstu(&o.hstu, input);
    draw_attention(&o.attention, o.attention_hidden, 1, input);
    draw_attention(&o.short_attention, o.short_hidden, 0, input);
    o.hidden_count = (bits >> 6) % 3;
    o.hidden[0] = one_to(input, 20);
    o.hidden[1] = one_to(input, 40);
    o.activation = (uint8_t)fuzz_below(input, ACTIVATIONS);
    o.outputs = one_to(input, 20);
    if (o.seed >= 0x80) {
        o.vql_sequences = 1 + o.seed % 2;
        draw_vql(&o.vql, input);
    }
    if (bits >> 6 == 3)
        draw_hashed_and_last(&o, input);
    if (o.seed % 8 == 5) /* seldom, so that most inputs mean what they did */
        draw_search(&o.search, input);
    if (o.seed % 4 == 2)
        draw_int8(&o, input);
    if (o.seed % 8 == 3)
        draw_assignments(&o, input);
    return o;
}
