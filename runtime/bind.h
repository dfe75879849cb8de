/* Turning a verified header into an open model. */
#ifndef VQR_BIND_H
#define VQR_BIND_H

#include "runtime/tensors.h"

/* Fills the model's tables, inputs, sequences and head, and refuses what does not fit together, including tensors that
 * nothing reads. On failure the caller still calls vqr_unbind. Errors: FORMAT, MEMORY. */
enum vqr_status vqr_bind(struct vqr_binder *binder);

/* Frees what vqr_bind allocated. */
void vqr_unbind(struct vqr_model *model);

/* Steps of vqr_bind in files of their own. */
enum vqr_status vqr_bind_tables(struct vqr_binder *binder);
enum vqr_status vqr_bind_inputs(struct vqr_binder *binder);
enum vqr_status vqr_bind_head(struct vqr_binder *binder);

#endif
