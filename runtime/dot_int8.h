/* Target attention of kind "dot" whose keys and values are kept in int8 (docs/int8.md): a quarter of the memory, and of
 * what a candidate has to read. */
#ifndef VQR_DOT_INT8_H
#define VQR_DOT_INT8_H

#include "runtime/target_attention.h"

/* Which columns of keys are kept twice, once the rest of the attention is bound; vqr_target_unbind frees.
 * Errors: FORMAT, MEMORY. */
enum vqr_status vqr_dot_int8_bind(struct vqr_binder *binder, const char *sequence,
                                  struct vqr_target_attention *attention);

void vqr_dot_int8_take_scratch(const struct vqr_target_attention *attention, struct vqr_target_scratch *scratch,
                               struct vqr_arena *arena);
void vqr_dot_int8_take_interests(const struct vqr_target_attention *attention, struct vqr_interests *interests,
                                 struct vqr_arena *arena);

/* Keys or values of interests->tokens tokens, rows in scratch->kv, into the interests. */
void vqr_dot_int8_keep_keys(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                            struct vqr_target_scratch *scratch, struct vqr_interests *interests);
void vqr_dot_int8_keep_values(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                              struct vqr_target_scratch *scratch, struct vqr_interests *interests);

/* Head h for the `rows` queries in scratch->q, whose part of them it may overwrite: o[rows, o_stride], whole panels. */
void vqr_dot_int8_attend(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                         struct vqr_target_scratch *scratch, const struct vqr_interests *interests, size_t h,
                         size_t rows, float *o, size_t o_stride);

/* The weights of head h for the first query in scratch->q, into scratch->scores[padded(tokens)]. */
void vqr_dot_int8_weigh(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                        struct vqr_target_scratch *scratch, const struct vqr_interests *interests, size_t h);

#endif
