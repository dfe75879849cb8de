/* What both kinds of target attention share, and the choice between them. */
#include "runtime/target_attention.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/model.h"

enum vqr_status vqr_target_bind(struct vqr_binder *binder, const struct vqr_header_sequence *header, size_t stack,
                                size_t tokens, struct vqr_target_attention *attention)
{
    attention->config = header->attention;
    attention->width = binder->model->inputs[VQR_EVENT].width;
    attention->candidate_width = binder->model->inputs[VQR_CANDIDATE].width;
    attention->tokens = tokens;
    switch (attention->config.kind) {
    case VQR_ATTENTION_DOT:
        attention->kind = &vqr_dot_attention_ops;
        break;
    case VQR_ATTENTION_DIN:
        attention->kind = &vqr_din_attention_ops;
        break;
    default:
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "sequence \"%s\": expected one target attention, found %s",
                        header->name, attention->config.kind == VQR_ATTENTION_NONE ? "none" : "two");
    }
    const enum vqr_status status = attention->kind->bind(binder, header, stack, attention);
    /* Queries to keys in int8 take the steps of each codebook's keys. */
    attention->asks_once = stack <= 1 && !attention->dot.int8;
    return status;
}

enum vqr_status vqr_refuse_int8_state(struct vqr_binder *binder, const char *sequence,
                                      const struct vqr_target_attention *attention)
{
    if (!attention->dot.int8)
        return VQR_OK;
    return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                    "sequence \"%s\": a state in int8, expected fp32 where a candidate chooses among the events",
                    sequence);
}

void vqr_target_unbind(struct vqr_target_attention *attention)
{
    free(attention->dot.fine_start);
    free(attention->din.layer);
    free(attention->din.activation);
}

double vqr_target_work(const struct vqr_target_attention *attention)
{
    return (double)attention->tokens * attention->work;
}

void vqr_target_take_scratch(const struct vqr_target_attention *attention, struct vqr_target_scratch *scratch,
                             struct vqr_arena *arena)
{
    *scratch = (struct vqr_target_scratch){0};
    scratch->scores = vqr_take(arena, vqr_times(VQR_ATTENTION_ROWS, vqr_padded(attention->tokens)), sizeof(float));
    attention->kind->take_scratch(attention, scratch, arena);
}

void vqr_interests_take(const struct vqr_target_attention *attention, struct vqr_interests *interests,
                        struct vqr_arena *arena)
{
    *interests = (struct vqr_interests){0};
    attention->kind->take_interests(attention, interests, arena);
}

int vqr_interests_compute(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                          struct vqr_target_scratch *scratch, size_t codebook, const float *x, size_t tokens,
                          const uint32_t *counts, struct vqr_interests *interests)
{
    interests->tokens = tokens;
    return tokens == 0 || attention->kind->compute(attention, k, scratch, codebook, x, counts, interests);
}

void vqr_token_rows_take(const struct vqr_target_attention *attention, size_t tokens, struct vqr_token_rows *rows,
                         struct vqr_arena *arena)
{
    *rows = (struct vqr_token_rows){0};
    attention->kind->take_rows(attention, tokens, rows, arena);
}

int vqr_token_rows_project(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                           struct vqr_target_scratch *scratch, const float *x, size_t tokens,
                           const struct vqr_token_rows *rows)
{
    return tokens == 0 || attention->kind->project(attention, k, scratch, x, tokens, rows);
}

void vqr_interests_pack(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                        const struct vqr_token_rows *rows, size_t first, size_t count, struct vqr_interests *interests)
{
    interests->tokens = count;
    if (count != 0)
        attention->kind->pack(attention, k, rows, first, interests);
}

void vqr_interests_ask(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                       struct vqr_target_scratch *scratch, size_t codebook, const float *t, size_t t_stride,
                       size_t rows)
{
    attention->kind->ask(attention, k, scratch, codebook, t, t_stride, rows);
}

void vqr_interests_attend(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                          struct vqr_target_scratch *scratch, size_t codebook, const struct vqr_interests *interests,
                          size_t rows, float *out, size_t out_stride)
{
    if (interests->tokens == 0)
        for (size_t r = 0; r < rows; r++)
            memset(out + r * out_stride, 0, attention->out_width * sizeof *out);
    else
        attention->kind->attend(attention, k, scratch, codebook, interests, rows, out, out_stride);
}

void vqr_interests_weigh(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                         struct vqr_target_scratch *scratch, size_t codebook, const struct vqr_interests *interests,
                         float *weights)
{
    if (interests->tokens != 0)
        attention->kind->weigh(attention, k, scratch, codebook, interests, weights);
}
