#include "runtime/tensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/model.h"

enum { SHAPE_SIZE = 96 };

/* "[4, 56, 128]" */
static void format_shape(char *text, size_t size, size_t rank, const uint64_t *shape)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < rank && used < size; i++) {
        const int n =
            snprintf(text + used, size - used, "%s%" PRIu64 "%s", i ? ", " : "[", shape[i], i + 1 == rank ? "]" : "");
        used += n > 0 ? (size_t)n : 0;
    }
}

static enum vqr_status check_kind(const struct vqr_header_tensor *found, const struct vqr_expected *expected,
                                  struct vqr_error *error)
{
    if (found->type != expected->type || found->layout != expected->layout)
        return vqr_fail(error, VQR_ERROR_FORMAT, "tensor \"%s\": expected %s in layout %s, found %s in layout %s",
                        found->name, vqr_tensor_type_name((int)expected->type), vqr_layout_name((int)expected->layout),
                        vqr_tensor_type_name((int)found->type), vqr_layout_name((int)found->layout));
    if (found->rank != expected->rank ||
        memcmp(found->shape, expected->shape, expected->rank * sizeof *found->shape) != 0) {
        char want[SHAPE_SIZE], have[SHAPE_SIZE];
        format_shape(want, sizeof want, expected->rank, expected->shape);
        format_shape(have, sizeof have, found->rank, found->shape);
        return vqr_fail(error, VQR_ERROR_FORMAT, "tensor \"%s\": expected shape %s, found %s", found->name, want, have);
    }
    return VQR_OK;
}

/* Numbers are looked at in blocks without branches, as almost all are sound. */
enum { BLOCK = 1024 };

size_t vqr_first_not_finite(const float *x, size_t count)
{
    /* Exponent bits all set: infinity or NaN. */
    for (size_t start = 0; start < count; start += BLOCK) {
        const size_t end = count - start < BLOCK ? count : start + BLOCK;
        uint32_t bad = 0;
        for (size_t i = start; i < end; i++) {
            uint32_t bits;
            memcpy(&bits, &x[i], sizeof bits);
            bad |= (bits & 0x7f800000u) == 0x7f800000u;
        }
        if (bad)
            for (size_t i = start; i < end; i++)
                if (!isfinite(x[i]))
                    return i;
    }
    return count;
}

/* Whether the floats that pad the last dimension (the panels' lanes, or the rows' ends) are zero. */
static bool padding_is_zero(const float *x, const struct vqr_header_tensor *t)
{
    const size_t n = (size_t)t->shape[t->rank - 1], tail = n % VQR_PANEL;
    if (t->layout == VQR_ROWS || tail == 0)
        return true;
    const size_t last = n / VQR_PANEL; /* the number of whole panels, or of whole 16s in a row */
    size_t matrices = 1, depth = 1;
    for (size_t i = 0; i + 1 < t->rank; i++)
        matrices *= (size_t)t->shape[i];
    if (t->layout == VQR_PANELS) {
        depth = (size_t)t->shape[t->rank - 2];
        matrices /= depth;
    }
    const size_t stride = (last + 1) * depth * VQR_PANEL;
    for (size_t m = 0; m < matrices; m++)
        for (size_t i = 0; i < depth; i++)
            for (size_t l = tail; l < VQR_PANEL; l++)
                if (x[m * stride + (last * depth + i) * VQR_PANEL + l] != 0.0f)
                    return false;
    return true;
}

size_t vqr_first_not_int8(const int8_t *x, size_t count)
{
    for (size_t start = 0; start < count; start += BLOCK) {
        const size_t end = count - start < BLOCK ? count : start + BLOCK;
        uint8_t bad = 0;
        for (size_t i = start; i < end; i++)
            bad |= x[i] == INT8_MIN;
        if (bad)
            for (size_t i = start; i < end; i++)
                if (x[i] == INT8_MIN)
                    return i;
    }
    return count;
}

/* Whether the numbers that pad a matrix [in, out] of quads to whole fours of inputs and 16s of outputs are zero: in the
 * last quad of each panel those past the inputs, in the last panel those past the outputs. */
static bool quad_padding_is_zero(const int8_t *x, size_t in, size_t out)
{
    const size_t quads = (in + 3) / 4, panels = (out + (VQR_PANEL - 1)) / VQR_PANEL, each = 4 * VQR_PANEL;
    uint8_t padding = 0;
    for (size_t p = 0; in % 4 != 0 && p < panels; p++)
        for (size_t l = 0; l < VQR_PANEL; l++)
            for (size_t i = in % 4; i < 4; i++)
                padding |= (uint8_t)x[(p * quads + quads - 1) * each + 4 * l + i];
    for (size_t q = 0; out % VQR_PANEL != 0 && q < quads; q++)
        for (size_t i = 4 * (out % VQR_PANEL); i < each; i++)
            padding |= (uint8_t)x[((panels - 1) * quads + q) * each + i];
    return padding == 0;
}

static enum vqr_status check_bytes(const int8_t *x, const struct vqr_header_tensor *t, struct vqr_error *error)
{
    const size_t count = (size_t)t->length, bad = vqr_first_not_int8(x, count);
    if (bad < count)
        return vqr_fail(error, VQR_ERROR_FORMAT, "tensor \"%s\": byte %zu of %zu is -128, expected -127 to 127",
                        t->name, bad, count);
    if (t->layout != VQR_QUADS)
        return VQR_OK;
    const size_t in = (size_t)t->shape[t->rank - 2], out = (size_t)t->shape[t->rank - 1];
    const size_t each = (in + 3) / 4 * 4 * ((out + (VQR_PANEL - 1)) / VQR_PANEL * VQR_PANEL);
    for (size_t at = 0; at < count; at += each)
        if (!quad_padding_is_zero(x + at, in, out))
            return vqr_fail(error, VQR_ERROR_FORMAT,
                            "tensor \"%s\": its padding to 4 inputs and %d outputs holds values other than 0", t->name,
                            VQR_PANEL);
    return VQR_OK;
}

static enum vqr_status check_values(const void *data, const struct vqr_header_tensor *t, struct vqr_error *error)
{
    if (t->type == VQR_TENSOR_I8)
        return check_bytes(data, t, error);
    if (t->type != VQR_TENSOR_F32)
        return VQR_OK;
    const float *x = data;
    const size_t count = (size_t)t->length / sizeof *x, bad = vqr_first_not_finite(x, count);
    if (bad < count)
        return vqr_fail(error, VQR_ERROR_FORMAT, "tensor \"%s\": value %zu of %zu is %g, expected a finite number",
                        t->name, bad, count, (double)x[bad]);
    if (!padding_is_zero(x, t))
        return vqr_fail(error, VQR_ERROR_FORMAT, "tensor \"%s\": its padding to %d holds values other than 0", t->name,
                        VQR_PANEL);
    return VQR_OK;
}

static enum vqr_status bind_named(struct vqr_binder *binder, const struct vqr_expected *expected, const void **data,
                                  const char *name)
{
    const struct vqr_header *header = &binder->model->header;
    struct vqr_header_tensor found;
    if (!vqr_header_find_tensor(header, name, &found))
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "tensor \"%s\" is missing", name);
    enum vqr_status status = check_kind(&found, expected, binder->error);
    if (status)
        return status;
    *data = header->data + found.offset;
    binder->bound++;
    return expected->lazy ? VQR_OK : check_values(*data, &found, binder->error);
}

/* Formats the name or refuses: a longer one cannot be in a file that the reader accepted. */
static enum vqr_status bind_format(struct vqr_binder *binder, const struct vqr_expected *expected, const void **data,
                                   const char *format, va_list arguments)
{
    char name[VQR_NAME_SIZE];
    const int n = vsnprintf(name, sizeof name, format, arguments);
    if (n < 0 || n >= (int)sizeof name)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT, "a tensor name starting \"%.64s\" is too long", name);
    return bind_named(binder, expected, data, name);
}

enum vqr_status vqr_bind_tensor(struct vqr_binder *binder, const struct vqr_expected *expected, const void **data,
                                const char *name_format, ...)
{
    va_list arguments;
    va_start(arguments, name_format);
    const enum vqr_status status = bind_format(binder, expected, data, name_format, arguments);
    va_end(arguments);
    return status;
}

/* An fp32 tensor whose name is formatted from the caller's arguments. */
static enum vqr_status bind_floats(struct vqr_binder *binder, const struct vqr_expected *expected, const float **data,
                                   const char *format, va_list arguments)
{
    const void *found = NULL;
    const enum vqr_status status = bind_format(binder, expected, &found, format, arguments);
    *data = found;
    return status;
}

enum vqr_status vqr_bind_panels(struct vqr_binder *binder, const float **data, size_t count, size_t in, size_t out,
                                const char *name_format, ...)
{
    const struct vqr_expected expected = {.type = VQR_TENSOR_F32,
                                          .layout = VQR_PANELS,
                                          .rank = 3,
                                          .shape = {count, in, out}};
    va_list arguments;
    va_start(arguments, name_format);
    const enum vqr_status status = bind_floats(binder, &expected, data, name_format, arguments);
    va_end(arguments);
    return status;
}

enum vqr_status vqr_bind_rows(struct vqr_binder *binder, const float **data, size_t count, size_t n,
                              const char *name_format, ...)
{
    const struct vqr_expected expected = {.type = VQR_TENSOR_F32,
                                          .layout = VQR_PADDED_ROWS,
                                          .rank = 2,
                                          .shape = {count, n}};
    va_list arguments;
    va_start(arguments, name_format);
    const enum vqr_status status = bind_floats(binder, &expected, data, name_format, arguments);
    va_end(arguments);
    return status;
}

enum vqr_status vqr_refuse_unknown(struct vqr_binder *binder, int value, const char *what_format, ...)
{
    char what[VQR_ERROR_MESSAGE_SIZE / 2];
    va_list arguments;
    va_start(arguments, what_format);
    vsnprintf(what, sizeof what, what_format, arguments);
    va_end(arguments);
    return vqr_fail(binder->error, VQR_ERROR_FORMAT, "%s is %d, which this vqrank (%s) does not know", what, value,
                    vqr_version());
}
