/* Configuration and tensors of a DMQN sequence being opened. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/bind_layers.h"
#include "runtime/dmqn.h"
#include "runtime/memory.h"

/* "sequences.long.hstu.0.f1" */
static const char *layer_name(char name[VQR_NAME_SIZE], const char *sequence, size_t layer, const char *part)
{
    snprintf(name, VQR_NAME_SIZE, "sequences.%s.hstu.%zu.%s", sequence, layer, part);
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
    const size_t stack = c->share ? 1 : codebooks;
    char name[VQR_NAME_SIZE];
    enum vqr_status status = vqr_bind_linear(binder, &layer->f1, &layer->b1, stack, hstu->width, hstu->uvqk_width,
                                             layer_name(name, sequence, i, "f1"));
    if (!status && c->pre_norm && c->affine)
        status = vqr_bind_norm(binder, &layer->pre_norm_weight, &layer->pre_norm_bias, stack, hstu->width,
                               layer_name(name, sequence, i, "pre_norm"));
    if (!status && c->bias != VQR_BIAS_NONE)
        status = bind_attention_bias(binder, sequence, i, codebooks, hstu, layer);
    if (!status && c->affine)
        status = vqr_bind_norm(binder, &layer->norm_weight, &layer->norm_bias, stack, hstu->v_width,
                               layer_name(name, sequence, i, "norm"));
    if (!status)
        status = vqr_bind_linear(binder, &layer->f2, &layer->b2, stack, hstu->z_width, hstu->width,
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
    enum vqr_status status = vqr_check_range(binder, sequence, "hstu heads", c->heads, 1, VQR_COUNT_MAX);
    if (!status)
        status = vqr_check_range(binder, sequence, "hstu qk_dim", c->qk_dim, 1, VQR_COUNT_MAX);
    if (!status)
        status = vqr_check_range(binder, sequence, "hstu v_dim", c->v_dim, 1, VQR_COUNT_MAX);
    if (!status && c->normalize == VQR_NORMALIZE_CONSTANT)
        status = vqr_check_range(binder, sequence, "hstu normalize_constant", c->normalize_constant, 1, UINT32_MAX);
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
    enum vqr_status status = vqr_check_range(binder, header->name, "hstu layers", c->layers, 0, VQR_LAYERS_MAX);
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

static enum vqr_status bind_dmqn(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                                 struct vqr_dmqn *dmqn)
{
    const struct vqr_model *model = binder->model;
    enum vqr_status status = vqr_check_range(binder, header->name, "codebooks", header->codebooks, 1, VQR_COUNT_MAX);
    if (!status)
        status = vqr_check_range(binder, header->name, "codewords", header->codewords, 1, VQR_COUNT_MAX);
    if (!status && header->empty != VQR_EMPTY_MASKED && header->empty != VQR_EMPTY_ZERO)
        status = vqr_refuse_unknown(binder, header->empty, "sequence \"%s\": empty", header->name);
    if (status)
        return status;
    dmqn->codebooks = header->codebooks;
    dmqn->codewords = header->codewords;
    dmqn->masked = header->empty == VQR_EMPTY_MASKED;
    dmqn->width = model->inputs[VQR_EVENT].width;
    dmqn->widths = model->event_columns.widths;
    dmqn->features = model->inputs[VQR_EVENT].count;
    dmqn->unit = model->event_columns.unit;
    status = vqr_bind_panels(binder, &dmqn->fold, dmqn->codebooks, dmqn->width, dmqn->codewords, "sequences.%s.fold",
                             header->name);
    if (!status)
        status = vqr_hstu_bind(binder, header, dmqn->width, &dmqn->hstu);
    if (!status)
        status = vqr_target_bind(binder, header, header->attention.share ? 1 : dmqn->codebooks, dmqn->codewords,
                                 &dmqn->attention);
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
    return (double)dmqn->codebooks * (layers + vqr_target_work(&dmqn->attention));
}

enum vqr_status vqr_dmqn_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                              struct vqr_sequence *sequence)
{
    struct vqr_dmqn *dmqn = sequence->self = vqr_allocate(1, sizeof *dmqn, binder->error);
    if (!dmqn)
        return VQR_ERROR_MEMORY;
    const enum vqr_status status = bind_dmqn(binder, header, dmqn);
    sequence->work = refresh_work(dmqn);
    sequence->candidate_work = (double)dmqn->codebooks * dmqn->attention.candidate_work;
    sequence->codebooks = dmqn->codebooks;
    sequence->tokens = dmqn->codewords;
    sequence->interest_width = dmqn->codebooks * dmqn->attention.out_width;
    return status;
}

void vqr_dmqn_unbind(struct vqr_sequence *sequence)
{
    struct vqr_dmqn *dmqn = sequence->self;
    if (dmqn) {
        free(dmqn->hstu.layer);
        vqr_target_unbind(&dmqn->attention);
    }
    free(dmqn);
    sequence->self = NULL;
}
