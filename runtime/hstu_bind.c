/* Configuration and tensors of an HSTU stack being opened. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/bind_layers.h"
#include "runtime/hstu.h"
#include "runtime/memory.h"

/* "sequences.long.hstu.0.f1" */
static const char *layer_name(char name[VQR_NAME_SIZE], const char *sequence, size_t layer, const char *part)
{
    snprintf(name, VQR_NAME_SIZE, "sequences.%s.hstu.%zu.%s", sequence, layer, part);
    return name;
}

/* Sets of weights. */
static size_t stack_of(const struct vqr_hstu *hstu)
{
    return hstu->config.share ? 1 : hstu->codebooks;
}

static enum vqr_status bind_cluster_bias(struct vqr_binder *binder, const char *sequence, size_t i,
                                         const struct vqr_hstu *hstu, struct vqr_hstu_layer *layer)
{
    const struct vqr_header_hstu *c = &hstu->config;
    const size_t heads = c->bias == VQR_BIAS_PER_HEAD ? c->heads : 1, w = hstu->tokens;
    const struct vqr_expected expected = {.type = VQR_TENSOR_F32,
                                          .layout = VQR_PADDED_ROWS,
                                          .rank = 4,
                                          .shape = {stack_of(hstu), heads, w, w}};
    const void *data = NULL;
    const enum vqr_status status = vqr_bind_tensor(binder, &expected, &data, "sequences.%s.hstu.%zu.bias", sequence, i);
    layer->bias.data = data;
    layer->bias.step = c->share ? 0 : heads * w * vqr_padded(w);
    return status;
}

static enum vqr_status bind_causal_bias(struct vqr_binder *binder, const char *sequence, size_t i,
                                        const struct vqr_hstu *hstu, struct vqr_hstu_layer *layer)
{
    char name[VQR_NAME_SIZE];
    enum vqr_status status = VQR_OK;
    if (hstu->config.bias != VQR_BIAS_NONE)
        status = vqr_bind_row(binder, &layer->bias, 0, 2 * hstu->tokens - 1, layer_name(name, sequence, i, "bias"));
    if (!status && hstu->buckets)
        status =
            vqr_bind_row(binder, &layer->time_bias, 0, hstu->buckets + 1, layer_name(name, sequence, i, "time_bias"));
    return status;
}

static enum vqr_status bind_hstu_layer(struct vqr_binder *binder, const char *sequence, size_t i,
                                       const struct vqr_hstu *hstu, struct vqr_hstu_layer *layer)
{
    const struct vqr_header_hstu *c = &hstu->config;
    const size_t stack = stack_of(hstu);
    char name[VQR_NAME_SIZE];
    enum vqr_status status =
        vqr_bind_linear(binder, &layer->f1, stack, hstu->width, hstu->uvqk_width, layer_name(name, sequence, i, "f1"));
    if (!status && c->pre_norm && c->affine)
        status = vqr_bind_norm(binder, &layer->pre_norm_weight, &layer->pre_norm_bias, stack, hstu->width,
                               layer_name(name, sequence, i, "pre_norm"));
    if (!status && hstu->causal)
        status = bind_causal_bias(binder, sequence, i, hstu, layer);
    else if (!status && c->bias != VQR_BIAS_NONE)
        status = bind_cluster_bias(binder, sequence, i, hstu, layer);
    if (!status && c->affine)
        status = vqr_bind_norm(binder, &layer->norm_weight, &layer->norm_bias, stack, hstu->v_width,
                               layer_name(name, sequence, i, "norm"));
    if (!status)
        status =
            vqr_bind_linear(binder, &layer->f2, stack, hstu->z_width, hstu->width, layer_name(name, sequence, i, "f2"));
    return status;
}

static enum vqr_status check_hstu(struct vqr_binder *binder, const char *sequence, const struct vqr_header_hstu *c,
                                  bool causal)
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
    if (!status && causal && (c->share || c->bias == VQR_BIAS_PER_HEAD))
        status = vqr_fail(binder->error, VQR_ERROR_FORMAT,
                          "sequence \"%s\": its hstu says share or a bias per head, expected neither over last events",
                          sequence);
    if (!status && !(isfinite(c->eps) && c->eps >= 0.0f))
        status = vqr_fail(binder->error, VQR_ERROR_FORMAT, "sequence \"%s\": hstu eps is %g, expected 0 or more",
                          sequence, (double)c->eps);
    return status;
}

/* Where find_bucket starts and how many steps it takes. A power of two holds two or three of a converter's edges, but
 * of a file made to be slow it may hold all. */
static void index_edges(struct vqr_hstu *hstu)
{
    size_t b = 0, most = 0;
    for (size_t o = 0; o < sizeof hstu->octave / sizeof *hstu->octave; o++) {
        const size_t first = b;
        hstu->octave[o] = (uint32_t)first;
        while (b < hstu->buckets && hstu->edge[b] >> o <= 1)
            b++;
        most = b - first > most ? b - first : most;
    }
    while ((size_t)1 << hstu->steps <= most)
        hstu->steps++;
}

/* The buckets' edges, {low, high} halves in the file: what find_bucket takes for granted is made sure here. Small
 * buckets may be empty, as no whole number of seconds lies in them: edges may be equal. */
static enum vqr_status bind_edges(struct vqr_binder *binder, const char *sequence, struct vqr_hstu *hstu)
{
    const struct vqr_expected expected = {.type = VQR_TENSOR_U32,
                                          .layout = VQR_ROWS,
                                          .rank = 2,
                                          .shape = {hstu->buckets, 2}};
    const void *data = NULL;
    const enum vqr_status status = vqr_bind_tensor(binder, &expected, &data, "sequences.%s.time_edges", sequence);
    const uint32_t *half = data;
    if (status)
        return status;
    const size_t room = 3 * hstu->buckets; /* 2^steps is at most twice the edges */
    hstu->edge = vqr_allocate(room, sizeof *hstu->edge, binder->error);
    if (!hstu->edge)
        return VQR_ERROR_MEMORY;
    memset(hstu->edge, 0xff, room * sizeof *hstu->edge);
    for (size_t b = 0; b < hstu->buckets; b++) {
        hstu->edge[b] = (uint64_t)half[2 * b + 1] << 32 | half[2 * b];
        if (hstu->edge[b] < (b ? hstu->edge[b - 1] : 1))
            return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                            "tensor \"sequences.%s.time_edges\": edge %zu is %llu, expected at least %llu", sequence, b,
                            (unsigned long long)hstu->edge[b], (unsigned long long)(b ? hstu->edge[b - 1] : 1));
    }
    index_edges(hstu);
    return VQR_OK;
}

enum vqr_status vqr_hstu_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header,
                              struct vqr_hstu *hstu)
{
    const struct vqr_header_hstu *c = &header->hstu;
    hstu->config = *c;
    enum vqr_status status = hstu->buckets ? bind_edges(binder, header->name, hstu) : VQR_OK;
    if (status || c->layers == 0)
        return status;
    status = vqr_check_range(binder, header->name, "hstu layers", c->layers, 0, VQR_LAYERS_MAX);
    if (!status)
        status = check_hstu(binder, header->name, c, hstu->causal);
    if (status)
        return status;
    hstu->v_width = (size_t)c->heads * c->v_dim;
    hstu->uvqk_width = 2 * hstu->v_width + 2 * (size_t)c->heads * c->qk_dim;
    hstu->z_width = c->output == VQR_OUTPUT_GATED ? hstu->v_width : 3 * hstu->v_width;
    hstu->alpha = c->alpha == VQR_ALPHA_RSQRT ? (float)(1.0 / sqrt((double)c->qk_dim)) : 1.0f;
    hstu->layer = vqr_allocate(c->layers, sizeof *hstu->layer, binder->error);
    status = hstu->layer ? VQR_OK : VQR_ERROR_MEMORY;
    for (size_t i = 0; !status && i < c->layers; i++)
        status = bind_hstu_layer(binder, header->name, i, hstu, &hstu->layer[i]);
    return status;
}

void vqr_hstu_unbind(struct vqr_hstu *hstu)
{
    free(hstu->layer);
    free(hstu->edge);
}

/* In order, a block of rows goes as far as its last row sees. Of every pair's time the bucket is searched unless its
 * neighbours share it, which times can be drawn for: a step counts, as measured, as 128. */
double vqr_hstu_work(const struct vqr_hstu *hstu)
{
    const struct vqr_header_hstu *c = &hstu->config;
    const double w = (double)hstu->tokens, d = (double)hstu->width;
    const double pairs = hstu->causal ? w * (w + VQR_ATTENTION_ROWS) / 2.0 : w * w;
    const double attention = (double)c->heads * pairs * ((double)c->qk_dim + (double)c->v_dim + 16.0);
    const double times = hstu->buckets ? pairs * 128.0 * (1.0 + hstu->steps) : 0.0;
    const double linear = w * d * ((double)hstu->uvqk_width + (double)hstu->z_width);
    return (double)c->layers * (attention + times + linear);
}
