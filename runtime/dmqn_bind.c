/* Configuration and tensors of a DMQN sequence being opened. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/bind.h"
#include "runtime/dmqn.h"
#include "runtime/memory.h"

/* Far above any real model; products of two of them stay far inside 64 bits. */
enum { COUNT_MAX = 1 << 20 };

static enum vqr_status check_range(struct vqr_binder *binder, const char *sequence, const char *what, uint32_t value,
                                   uint32_t low, uint32_t high)
{
    if (value >= low && value <= high)
        return VQR_OK;
    return vqr_fail(binder->error, VQR_ERROR_FORMAT, "sequence \"%s\": %s is %u, expected %u to %u", sequence, what,
                    value, low, high);
}

/* Binds [J, in, out] panels and [J, out] rows, J = 1 when shared. */
static enum vqr_status bind_linear(struct vqr_binder *binder, struct vqr_weights *weight, struct vqr_weights *bias,
                                   bool share, size_t codebooks, size_t in, size_t out, const char *name)
{
    const size_t count = share ? 1 : codebooks;
    enum vqr_status status = vqr_bind_panels(binder, &weight->data, count, in, out, "%s.weight", name);
    if (!status)
        status = vqr_bind_rows(binder, &bias->data, count, out, "%s.bias", name);
    weight->step = share ? 0 : in * vqr_padded(out);
    bias->step = share ? 0 : vqr_padded(out);
    return status;
}

static enum vqr_status bind_norm(struct vqr_binder *binder, struct vqr_weights *weight, struct vqr_weights *bias,
                                 bool share, size_t codebooks, size_t n, const char *name)
{
    const size_t count = share ? 1 : codebooks;
    enum vqr_status status = vqr_bind_rows(binder, &weight->data, count, n, "%s.weight", name);
    if (!status)
        status = vqr_bind_rows(binder, &bias->data, count, n, "%s.bias", name);
    weight->step = bias->step = share ? 0 : vqr_padded(n);
    return status;
}

enum { NAME_SIZE = 256 };

/* "sequences.long.hstu.0.f1" */
static const char *layer_name(char name[NAME_SIZE], const char *sequence, size_t layer, const char *part)
{
    snprintf(name, NAME_SIZE, "sequences.%s.hstu.%zu.%s", sequence, layer, part);
    return name;
}

static enum vqr_status bind_attention_bias(struct vqr_binder *binder, const char *sequence, size_t i, size_t codebooks,
                                           const struct vqr_hstu *hstu, struct vqr_hstu_layer *layer)
{
    const struct vqr_header_hstu *c = &hstu->config;
    const size_t heads = c->bias == VQR_BIAS_PER_HEAD ? c->heads : 1, w = hstu->tokens;
    const struct vqr_expected expected = {.type = VQR_TENSOR_F32,
                                          .layout = VQR_PADDED_ROWS,
                                          .rank = 4,
                                          .shape = {c->share ? 1 : codebooks, heads, w, w}};
    const void *data = NULL;
    const enum vqr_status status = vqr_bind_tensor(binder, &expected, &data, "sequences.%s.hstu.%zu.bias", sequence, i);
    layer->bias.data = data;
    layer->bias.step = c->share ? 0 : heads * w * vqr_padded(w);
    return status;
}

static enum vqr_status bind_hstu_layer(struct vqr_binder *binder, const char *sequence, size_t i, size_t codebooks,
                                       const struct vqr_hstu *hstu, struct vqr_hstu_layer *layer)
{
    const struct vqr_header_hstu *c = &hstu->config;
    char name[NAME_SIZE];
    enum vqr_status status = bind_linear(binder, &layer->f1, &layer->b1, c->share, codebooks, hstu->width,
                                         hstu->uvqk_width, layer_name(name, sequence, i, "f1"));
    if (!status && c->pre_norm && c->affine)
        status = bind_norm(binder, &layer->pre_norm_weight, &layer->pre_norm_bias, c->share, codebooks, hstu->width,
                           layer_name(name, sequence, i, "pre_norm"));
    if (!status && c->bias != VQR_BIAS_NONE)
        status = bind_attention_bias(binder, sequence, i, codebooks, hstu, layer);
    if (!status && c->affine)
        status = bind_norm(binder, &layer->norm_weight, &layer->norm_bias, c->share, codebooks, hstu->v_width,
                           layer_name(name, sequence, i, "norm"));
    if (!status)
        status = bind_linear(binder, &layer->f2, &layer->b2, c->share, codebooks, hstu->z_width, hstu->width,
                             layer_name(name, sequence, i, "f2"));
    return status;
}

static enum vqr_status check_hstu(struct vqr_binder *binder, const char *sequence, const struct vqr_header_hstu *c)
{
    const struct {
        const char *what;
        int value, last;
    } switches[] = {
        {"hstu activate", c->activate, VQR_ACTIVATE_U}, {"hstu alpha", c->alpha, VQR_ALPHA_RSQRT},
        {"hstu bias", c->bias, VQR_BIAS_PER_HEAD},      {"hstu normalize", c->normalize, VQR_NORMALIZE_CONSTANT},
        {"hstu norm", c->norm, VQR_NORM_GROUP},         {"hstu output", c->output, VQR_OUTPUT_CONCAT_RAW},
    };
    enum vqr_status status = check_range(binder, sequence, "hstu heads", c->heads, 1, COUNT_MAX);
    if (!status)
        status = check_range(binder, sequence, "hstu qk_dim", c->qk_dim, 1, COUNT_MAX);
    if (!status)
        status = check_range(binder, sequence, "hstu v_dim", c->v_dim, 1, COUNT_MAX);
    if (!status && c->normalize == VQR_NORMALIZE_CONSTANT)
        status = check_range(binder, sequence, "hstu normalize_constant", c->normalize_constant, 1, UINT32_MAX);
    for (size_t i = 0; !status && i < sizeof switches / sizeof *switches; i++)
        if (switches[i].value < 0 || switches[i].value > switches[i].last)
            status = vqr_refuse_unknown(binder, switches[i].value, "sequence \"%s\": %s", sequence, switches[i].what);
    if (!status && !(isfinite(c->eps) && c->eps >= 0.0f))
        status = vqr_fail(binder->error, VQR_ERROR_FORMAT, "sequence \"%s\": hstu eps is %g, expected 0 or more",
                          sequence, (double)c->eps);
    return status;
}

enum vqr_status vqr_hstu_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header, size_t width,
                              struct vqr_hstu *hstu)
{
    const struct vqr_header_hstu *c = &header->hstu;
    hstu->config = *c;
    hstu->width = width;
    hstu->tokens = header->codewords;
    if (c->layers == 0)
        return VQR_OK;
    enum vqr_status status = check_range(binder, header->name, "hstu layers", c->layers, 0, 1024);
    if (!status)
        status = check_hstu(binder, header->name, c);
    if (status)
        return status;
    hstu->v_width = (size_t)c->heads * c->v_dim;
    hstu->uvqk_width = 2 * hstu->v_width + 2 * (size_t)c->heads * c->qk_dim;
    hstu->z_width = c->output == VQR_OUTPUT_GATED ? hstu->v_width : 3 * hstu->v_width;
    hstu->alpha = c->alpha == VQR_ALPHA_RSQRT ? (float)(1.0 / sqrt((double)c->qk_dim)) : 1.0f;
    hstu->layer = vqr_allocate(c->layers, sizeof *hstu->layer, binder->error);
    status = hstu->layer ? VQR_OK : VQR_ERROR_MEMORY;
    for (size_t i = 0; !status && i < c->layers; i++)
        status = bind_hstu_layer(binder, header->name, i, header->codebooks, hstu, &hstu->layer[i]);
    return status;
}

static enum vqr_status bind_attention(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                                      struct vqr_dmqn *dmqn)
{
    struct vqr_dot_attention *a = &dmqn->attention;
    const struct vqr_header_attention *c = &header->attention;
    const struct {
        const char *part;
        struct vqr_weights *weight, *bias;
        size_t in;
    } linears[] = {
        {"q", &a->q, &a->q_bias, dmqn->candidate_width},
        {"k", &a->k, &a->k_bias, dmqn->width},
        {"v", &a->v, &a->v_bias, dmqn->width},
    };
    char name[NAME_SIZE];
    enum vqr_status status = check_range(binder, header->name, "attention heads", c->heads, 1, COUNT_MAX);
    if (!status)
        status = check_range(binder, header->name, "attention dim", c->dim, 1, COUNT_MAX);
    if (!status)
        status = check_range(binder, header->name, "attention out", c->out, 0, COUNT_MAX);
    a->config = *c;
    a->width = (size_t)c->heads * c->dim;
    a->alpha = (float)(1.0 / sqrt((double)c->dim));
    for (size_t i = 0; !status && i < sizeof linears / sizeof *linears; i++) {
        snprintf(name, sizeof name, "sequences.%s.attention.%s", header->name, linears[i].part);
        status = bind_linear(binder, linears[i].weight, linears[i].bias, c->share, dmqn->codebooks, linears[i].in,
                             a->width, name);
    }
    if (!status && c->out) {
        snprintf(name, sizeof name, "sequences.%s.attention.out", header->name);
        status = bind_linear(binder, &a->out, &a->out_bias, c->share, dmqn->codebooks, a->width, c->out, name);
    }
    dmqn->out_width = c->out ? c->out : a->width;
    return status;
}

static enum vqr_status bind_dmqn(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                                 struct vqr_dmqn *dmqn)
{
    const struct vqr_model *model = binder->model;
    enum vqr_status status = check_range(binder, header->name, "codebooks", header->codebooks, 1, COUNT_MAX);
    if (!status)
        status = check_range(binder, header->name, "codewords", header->codewords, 1, COUNT_MAX);
    if (!status && header->empty != VQR_EMPTY_MASKED && header->empty != VQR_EMPTY_ZERO)
        status = vqr_refuse_unknown(binder, header->empty, "sequence \"%s\": empty", header->name);
    if (status)
        return status;
    dmqn->codebooks = header->codebooks;
    dmqn->codewords = header->codewords;
    dmqn->masked = header->empty == VQR_EMPTY_MASKED;
    dmqn->width = model->inputs[VQR_EVENT].width;
    dmqn->candidate_width = model->inputs[VQR_CANDIDATE].width;
    dmqn->widths = model->event_columns.widths;
    dmqn->features = model->inputs[VQR_EVENT].count;
    dmqn->unit = model->event_columns.unit;
    status = vqr_bind_panels(binder, &dmqn->fold, dmqn->codebooks, dmqn->width, dmqn->codewords, "sequences.%s.fold",
                             header->name);
    if (!status)
        status = vqr_hstu_bind(binder, header, dmqn->width, &dmqn->hstu);
    if (!status)
        status = bind_attention(binder, header, dmqn);
    return status;
}

/* Multiply-adds of one refresh with every cluster occupied; an exponential counts as 16. */
static double refresh_work(const struct vqr_dmqn *dmqn)
{
    const struct vqr_header_hstu *c = &dmqn->hstu.config;
    const double w = (double)dmqn->codewords, d = (double)dmqn->width;
    const double attention = (double)c->heads * w * w * ((double)c->qk_dim + (double)c->v_dim + 16.0);
    const double linear = w * d * ((double)dmqn->hstu.uvqk_width + (double)dmqn->hstu.z_width);
    const double layers = c->layers ? (double)c->layers * (attention + linear) : 0.0;
    return (double)dmqn->codebooks * (layers + 2.0 * w * d * (double)dmqn->attention.width);
}

enum vqr_status vqr_dmqn_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                              struct vqr_sequence *sequence)
{
    struct vqr_dmqn *dmqn = sequence->self = vqr_allocate(1, sizeof *dmqn, binder->error);
    if (!dmqn)
        return VQR_ERROR_MEMORY;
    const enum vqr_status status = bind_dmqn(binder, header, dmqn);
    sequence->work = refresh_work(dmqn);
    sequence->codebooks = dmqn->codebooks;
    sequence->interest_width = dmqn->codebooks * dmqn->out_width;
    return status;
}

void vqr_dmqn_unbind(struct vqr_sequence *sequence)
{
    struct vqr_dmqn *dmqn = sequence->self;
    if (dmqn)
        free(dmqn->hstu.layer);
    free(dmqn);
    sequence->self = NULL;
}
