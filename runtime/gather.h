/* Feature values -> embeddings. */
#ifndef VQR_GATHER_H
#define VQR_GATHER_H

#include "runtime/model.h"

/* Refuses rows that do not fit the group: too many columns, a column type that its feature does not take.
 * Errors: ARGUMENT, TYPE. */
enum vqr_status vqr_check_rows(const struct vqr_model *model, enum vqr_group group, const struct vqr_rows *rows,
                               struct vqr_error *error);

_Static_assert((int)VQR_CANDIDATE_BLOCK <= (int)VQR_EVENT_BLOCK, "the largest block is one of events");

/* What embedding needs beside its output; rows are those of the largest block, which is one of events. */
struct vqr_gather_scratch {
    uint32_t *index; /* [most features of a group, VQR_EVENT_BLOCK] table rows; the last call's are left of features of
                        kind id */
    uint32_t *code;  /* [rows] codes of one level, if the model has quantizers */
    float *residual; /* [rows, widest quantizer's dim] */
};

/* Embeds rows first ... first + count of checked rows: dst[count, stride], the group's width of columns. Ids are
 * counted in *stats. Errors: RANGE, TYPE, TABLE, OVERFLOW; the message names the row. */
enum vqr_status vqr_gather(const struct vqr_model *model, const struct vqr_kernels *k, enum vqr_group group,
                           const struct vqr_rows *rows, size_t first, size_t count, float *dst, size_t stride,
                           const struct vqr_gather_scratch *scratch, struct vqr_stats *stats, struct vqr_error *error);

/* Adds what a call counted to the caller's struct, which may be NULL. */
static inline void vqr_stats_add(struct vqr_stats *stats, const struct vqr_stats *counted)
{
    if (stats) {
        stats->ids += counted->ids;
        stats->unknown_ids += counted->unknown_ids;
    }
}

#endif
