/* What both kinds of target attention share, and the choice between them. */
#include "runtime/target_attention.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/model.h"

static int is_din(const struct vqr_target_attention *attention)
{
    return attention->config.kind == VQR_ATTENTION_DIN;
}

enum vqr_status vqr_target_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header, size_t stack,
                                size_t tokens, struct vqr_target_attention *attention)
{
    attention->config = header->attention;
    attention->width = binder->model->inputs[VQR_EVENT].width;
    attention->candidate_width = binder->model->inputs[VQR_CANDIDATE].width;
    attention->tokens = tokens;
    if (attention->config.kind != VQR_ATTENTION_DOT && !is_din(attention))
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "sequence \"%s\": expected one target attention, found %s",
                        header->name, attention->config.kind == VQR_ATTENTION_NONE ? "none" : "two");
    return is_din(attention) ? vqr_din_bind(binder, header, stack, attention)
                             : vqr_dot_bind(binder, header, stack, attention);
}

void vqr_target_unbind(struct vqr_target_attention *attention)
{
    free(attention->din.layer);
    free(attention->din.activation);
}

double vqr_target_work(const struct vqr_target_attention *attention)
{
    /* dot projects keys and values; din only copies the tokens */
    const double wide = is_din(attention) ? 1.0 : 2.0 * (double)attention->dot.width;
    return (double)attention->tokens * (double)attention->width * wide;
}

void vqr_target_take_scratch(const struct vqr_target_attention *attention, struct vqr_target_scratch *scratch,
                             struct vqr_arena *arena)
{
    *scratch = (struct vqr_target_scratch){0};
    scratch->scores = vqr_take(arena, vqr_times(VQR_ATTENTION_ROWS, vqr_padded(attention->tokens)), sizeof(float));
    if (is_din(attention))
        vqr_din_take_scratch(attention, scratch, arena);
    else
        vqr_dot_take_scratch(attention, scratch, arena);
}

void vqr_interests_take(const struct vqr_target_attention *attention, struct vqr_interests *interests,
                        struct vqr_arena *arena)
{
    *interests = (struct vqr_interests){0};
    if (is_din(attention))
        vqr_din_take(attention, interests, arena);
    else
        vqr_dot_take(attention, interests, arena);
}

int vqr_interests_compute(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                          struct vqr_target_scratch *scratch, size_t codebook, const float *x, size_t tokens,
                          const uint32_t *counts, struct vqr_interests *interests)
{
    interests->tokens = tokens;
    if (tokens == 0)
        return 1;
    return is_din(attention) ? vqr_din_compute(attention, k, x, interests)
                             : vqr_dot_compute(attention, k, scratch, codebook, x, counts, interests);
}

void vqr_interests_attend(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                          struct vqr_target_scratch *scratch, size_t codebook, const struct vqr_interests *interests,
                          const float *t, size_t t_stride, size_t rows, float *out, size_t out_stride)
{
    if (interests->tokens == 0)
        for (size_t r = 0; r < rows; r++)
            memset(out + r * out_stride, 0, attention->out_width * sizeof *out);
    else if (is_din(attention))
        vqr_din_attend(attention, k, scratch, codebook, interests, t, t_stride, rows, out, out_stride);
    else
        vqr_dot_attend(attention, k, scratch, codebook, interests, t, t_stride, rows, out, out_stride);
}

void vqr_interests_weigh(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                         struct vqr_target_scratch *scratch, size_t codebook, const struct vqr_interests *interests,
                         const float *t, float *weights)
{
    if (interests->tokens == 0)
        return;
    if (is_din(attention))
        vqr_din_weigh(attention, k, scratch, codebook, interests, t, weights);
    else
        vqr_dot_weigh(attention, k, scratch, codebook, interests, t, weights);
}
