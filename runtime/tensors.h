/* Finding a model's tensors by name and proving their shapes and values, while the model is being opened. */
#ifndef VQR_TENSORS_H
#define VQR_TENSORS_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/error.h"
#include "schema/reader.h"

struct vqr_model;

struct vqr_binder {
    struct vqr_model *model;
    struct vqr_error *error;
    size_t bound; /* tensors found so far; names are distinct, so a file with more holds some that nothing reads */
};

/* What a tensor must be. */
struct vqr_expected {
    enum vqr_tensor_type type;
    enum vqr_layout layout;
    size_t rank;
    uint64_t shape[VQR_TENSOR_RANK_MAX];
    bool lazy; /* an embedding table: values are not read now */
};

/* Finds tensor `name`, checks type, layout and shape, and unless lazy that every value is finite and all padding is
 * zero. *data points into the mapping. Errors: FORMAT. */
enum vqr_status vqr_bind_tensor(struct vqr_binder *binder, const struct vqr_expected *expected, const void **data,
                                const char *name_format, ...) __attribute__((format(printf, 4, 5)));

/* The same for fp32 [in, out] matrices, `count` of them, in panels; and for [count, n] rows, padded. */
enum vqr_status vqr_bind_panels(struct vqr_binder *binder, const float **data, size_t count, size_t in, size_t out,
                                const char *name_format, ...) __attribute__((format(printf, 6, 7)));
enum vqr_status vqr_bind_rows(struct vqr_binder *binder, const float **data, size_t count, size_t n,
                              const char *name_format, ...) __attribute__((format(printf, 5, 6)));

/* Refuses a number in the configuration that a later version may have given a meaning: `what` is what it stands for,
 * as in "sequence \"long\": hstu alpha". */
enum vqr_status vqr_refuse_unknown(struct vqr_binder *binder, int value, const char *what_format, ...)
    __attribute__((format(printf, 3, 4)));

/* The first value of an fp32 tensor that is not finite, or `count`; of an int8 tensor that is -128, or `count`. */
size_t vqr_first_not_finite(const float *x, size_t count);
size_t vqr_first_not_int8(const int8_t *x, size_t count);

#endif
