/* Binding what sequences are made of: linear layers, norms, activations, and the ranges of their counts. */
#ifndef VQR_BIND_LAYERS_H
#define VQR_BIND_LAYERS_H

#include "runtime/activation.h"
#include "runtime/bind.h"
#include "runtime/weights.h"

/* Far above any real model; products of two counts stay far inside 64 bits. */
enum { VQR_COUNT_MAX = 1 << 20, VQR_LAYERS_MAX = 1024 };

/* Numbers in a row whose int8 products still add up to an int32: 2^17 * 127^2 < 2^31. */
enum { VQR_INT8_TERMS_MAX = 1 << 17 };

/* Half of what fp32 holds: no chain whose terms' magnitudes come to this much can round past it. */
#define VQR_CHAIN_MAX 0x1p127

/* Refuses a count outside low ... high: `sequence "long": codewords is 0, expected 1 to 1048576`. */
enum vqr_status vqr_check_range(struct vqr_binder *binder, const char *sequence, const char *what, uint32_t value,
                                uint32_t low, uint32_t high);

/* Binds one [stack, in, out] panels tensor by its whole name; stack 1 is shared by all codebooks, stack 0: [in, out].
 */
enum vqr_status vqr_bind_matrix(struct vqr_binder *binder, struct vqr_weights *weight, size_t stack, size_t in,
                                size_t out, const char *name);

/* Binds one [in, out] panels tensor by its whole name. */
enum vqr_status vqr_bind_flat_matrix(struct vqr_binder *binder, const float **data, size_t in, size_t out,
                                     const char *name);

/* The largest magnitude that an event's product with one column of a bound matrix [event width, ...] can reach: sum of
 * |weight| times what the event's column can reach. `panel` is where the column starts. */
double vqr_event_bound(const struct vqr_model *model, const float *panel);

/* Binds one [stack, n] rows tensor by its whole name; stack 0: [n]. */
enum vqr_status vqr_bind_row(struct vqr_binder *binder, struct vqr_weights *row, size_t stack, size_t n,
                             const char *name);

/* Binds NAME.weight and NAME.bias, [stack, n] each. */
enum vqr_status vqr_bind_norm(struct vqr_binder *binder, struct vqr_weights *weight, struct vqr_weights *bias,
                              size_t stack, size_t n, const char *name);

/* Refuses an activation that is not known, also where no layer uses it; `where` names whose it is. */
enum vqr_status vqr_check_activation(struct vqr_binder *binder, int kind, const char *where);

/* Binds the parameters that activation `kind`, which was checked, has beside layer NAME of n outputs. */
enum vqr_status vqr_bind_activation(struct vqr_binder *binder, struct vqr_activation_layer *layer, int kind,
                                    size_t stack, size_t n, const char *name);

#endif
