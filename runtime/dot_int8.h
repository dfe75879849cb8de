/* Target attention of kind "dot" whose keys and values are kept in int8 (docs/int8.md): a quarter of the memory, and of
 * what a candidate has to read. */
#ifndef VQR_DOT_INT8_H
#define VQR_DOT_INT8_H

#include "runtime/target_attention.h"

void vqr_dot_int8_take_scratch(const struct vqr_target_attention *attention, struct vqr_target_scratch *scratch,
                               struct vqr_arena *arena);
void vqr_dot_int8_take_interests(const struct vqr_target_attention *attention, struct vqr_interests *interests,
                                 struct vqr_arena *arena);

/* Keys or values of interests->tokens tokens, rows in scratch->kv, into the interests. */
void vqr_dot_int8_keep_keys(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                            struct vqr_target_scratch *scratch, struct vqr_interests *interests);
void vqr_dot_int8_keep_values(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                              struct vqr_target_scratch *scratch, struct vqr_interests *interests);

/* The `rows` queries in scratch->q take the keys' steps, of all heads: before the two below. */
void vqr_dot_int8_queries(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                          struct vqr_target_scratch *scratch, const struct vqr_interests *interests, size_t rows);

/* Head h for the `rows` queries in scratch->q: o[rows, o_stride], whole panels. */
void vqr_dot_int8_attend(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                         struct vqr_target_scratch *scratch, const struct vqr_interests *interests, size_t h,
                         size_t rows, float *o, size_t o_stride);

/* The weights of head h for the first query in scratch->q, into scratch->scores[padded(tokens)]. */
void vqr_dot_int8_weigh(const struct vqr_target_attention *attention, const struct vqr_kernels *k,
                        struct vqr_target_scratch *scratch, const struct vqr_interests *interests, size_t h);

#endif
