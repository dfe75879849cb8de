/* Residual quantizers: vectors -> codes, and the features that use them (docs/model.md). */
#ifndef VQR_QUANTIZER_H
#define VQR_QUANTIZER_H

#include "runtime/bind.h"
#include "runtime/model.h"
#include "simd/simd.h"

/* Binds all quantizers of the file. Errors: FORMAT, MEMORY. */
enum vqr_status vqr_bind_quantizers(struct vqr_binder *binder);

/* Fills a semantic id, feature `feature` of its group: its quantizer, and per level a table with a row for every code.
 * Limits stay those of fp32. Errors: FORMAT, MEMORY. */
enum vqr_status vqr_bind_semantic_id(struct vqr_binder *binder, size_t group, size_t feature,
                                     const struct vqr_header_feature *header, struct vqr_input *input);

/* The widest quantizer's numbers, 0 without quantizers: what a row of scratch needs. */
size_t vqr_quantizers_dim(const struct vqr_model *model);

/* Level `level` for `rows` residuals r[rows, dim], which become those of the next level: their codes z[rows]. Returns
 * the first row that no component takes, as its distances overflow, or `rows`. */
size_t vqr_quantizer_level(const struct vqr_quantizer *quantizer, const struct vqr_kernels *k, size_t level,
                           uint32_t *z, float *r, size_t rows);

#endif
