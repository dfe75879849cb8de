/* Opening and closing: mapping the file, verifying its header, binding its tensors. */
#include "runtime/known_scores.h"
#include "runtime/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/bind.h"
#include "runtime/memory.h"
#include "simd/cpu.h"

/* The header asks for this alignment of the file's first byte (segments are aligned relative to it). */
static int is_aligned(const void *data)
{
    return (uintptr_t)data % VQR_SEGMENT_ALIGN == 0;
}

/* Moves bytes that start misaligned, such as a file inside an archive, into memory of our own. */
static enum vqr_status align_copy(vqr_model *model, const void **data, size_t size, struct vqr_error *error)
{
    if (is_aligned(*data))
        return VQR_OK;
    const size_t room = (size + VQR_SEGMENT_ALIGN - 1) / VQR_SEGMENT_ALIGN * VQR_SEGMENT_ALIGN;
    model->copy = room >= size ? aligned_alloc(VQR_SEGMENT_ALIGN, room) : NULL;
    if (!model->copy)
        return vqr_fail(error, VQR_ERROR_MEMORY,
                        "out of memory for a copy of the model's %zu bytes, which start "
                        "misaligned",
                        size);
    memcpy(model->copy, *data, size);
    *data = model->copy;
    return VQR_OK;
}

/* A file of a few kilobytes can name widths whose product is gigabytes. Real models need a few megabytes. */
static enum vqr_status check_memory(const vqr_model *model, struct vqr_error *error)
{
    /* Known scores came later: they count for nothing, so that what opened before still does. */
    const size_t most = (size_t)256 << 20, session = vqr_session_size(model), state = vqr_state_size(model);
    if (session > most + VQR_KNOWN_BYTES || state > most)
        return vqr_fail(
            error, VQR_ERROR_FORMAT,
            "a session of this model would take %zu bytes and a user's state %zu, expected at most %zu each", session,
            state, most);
    return VQR_OK;
}

/* Likewise the time that one refresh of the interests may take, about a second of one core, and one candidate. */
static enum vqr_status check_work(const vqr_model *model, struct vqr_error *error)
{
    const double most = 0x1p36, candidate_most = 0x1p30;
    double work = 0.0, candidate_work = 0.0;
    for (size_t i = 0; i < model->sequence_count; i++) {
        work += model->sequence[i].work;
        candidate_work += model->sequence[i].candidate_work;
    }
    if (work > most)
        return vqr_fail(error, VQR_ERROR_FORMAT,
                        "computing a user's interests would take %.3g multiply-adds, expected at most %.3g", work,
                        most);
    if (candidate_work > candidate_most)
        return vqr_fail(error, VQR_ERROR_FORMAT,
                        "a candidate's attention would take %.3g multiply-adds, expected at most %.3g", candidate_work,
                        candidate_most);
    return VQR_OK;
}

/* And the time that the semantic ids of one user, context, event or candidate may take. */
static enum vqr_status check_quantizers(const vqr_model *model, struct vqr_error *error)
{
    const double most = 0x1p28;
    for (size_t group = 0; group < VQR_GROUPS; group++) {
        double work = 0.0;
        for (size_t i = 0; i < model->inputs[group].count; i++) {
            const struct vqr_quantizer *quantizer = model->inputs[group].input[i].quantizer;
            work += quantizer ? (double)quantizer->levels * (double)quantizer->codes * (double)quantizer->dim : 0.0;
        }
        if (work > most)
            return vqr_fail(error, VQR_ERROR_FORMAT,
                            "the semantic ids of one %s would take %.3g multiply-adds, expected at most %.3g",
                            vqr_group_names[group], work, most);
    }
    return VQR_OK;
}

static enum vqr_status open_bytes(vqr_model *model, const void *data, size_t size, struct vqr_error *error)
{
    char message[VQR_ERROR_MESSAGE_SIZE];
    enum vqr_status status = align_copy(model, &data, size, error);
    if (status)
        return status;
    switch (vqr_header_open(&model->header, data, size, message, sizeof message)) {
    case VQR_HEADER_OK:
        break;
    case VQR_HEADER_NEWER:
        return vqr_fail(error, VQR_ERROR_VERSION, "%s", message);
    default:
        return vqr_fail(error, VQR_ERROR_FORMAT, "%s", message);
    }
    struct vqr_binder binder = {.model = model, .error = error, .bound = 0};
    const uint64_t host = vqr_fp_enter(); /* constants such as 1 / sqrt(d) are computed here */
    status = vqr_bind(&binder);
    vqr_fp_restore(host);
    if (!status)
        status = check_memory(model, error);
    if (!status)
        status = check_work(model, error);
    return status ? status : check_quantizers(model, error);
}

static enum vqr_status new_model(vqr_model **model, struct vqr_error *error)
{
    if (!model)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "model is NULL");
    *model = vqr_allocate(1, sizeof **model, error);
    return *model ? VQR_OK : VQR_ERROR_MEMORY;
}

/* Hands the model over, or closes it when opening failed. */
static enum vqr_status finish(vqr_model **model, enum vqr_status status)
{
    if (status) {
        vqr_model_close(*model);
        *model = NULL;
    }
    return status;
}

enum vqr_status vqr_model_open_memory(const void *data, size_t size, vqr_model **model, struct vqr_error *error)
{
    enum vqr_status status = new_model(model, error);
    if (status)
        return status;
    status = data ? open_bytes(*model, data, size, error) : vqr_fail(error, VQR_ERROR_ARGUMENT, "data is NULL");
    return finish(model, status);
}

/* The part of the descriptor to map: *length 0 becomes what is left from offset on. */
static enum vqr_status check_part(int fd, uint64_t offset, uint64_t *length, struct vqr_error *error)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return vqr_fail(error, VQR_ERROR_IO, "cannot read the descriptor's size: %s", strerror(errno));
    const uint64_t size = info.st_size > 0 ? (uint64_t)info.st_size : 0;
    if (!S_ISREG(info.st_mode))
        return vqr_fail(error, VQR_ERROR_IO, "not a regular file");
    if (offset > size || *length > size - offset)
        return vqr_fail(error, VQR_ERROR_IO, "%llu bytes from byte %llu on were asked for, the file has %llu",
                        (unsigned long long)*length, (unsigned long long)offset, (unsigned long long)size);
    if (*length == 0)
        *length = size - offset;
    if (*length == 0)
        return vqr_fail(error, VQR_ERROR_FORMAT, "the file is empty, expected a model file");
    if (*length > SIZE_MAX / 2)
        return vqr_fail(error, VQR_ERROR_MEMORY, "%llu bytes do not fit the address space",
                        (unsigned long long)*length);
    return VQR_OK;
}

static enum vqr_status open_fd(vqr_model *model, int fd, uint64_t offset, uint64_t length, struct vqr_error *error)
{
    const enum vqr_status status = check_part(fd, offset, &length, error);
    if (status)
        return status;
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), skip = offset % page;
    void *mapping = mmap(NULL, (size_t)(length + skip), PROT_READ, MAP_PRIVATE, fd, (off_t)(offset - skip));
    if (mapping == MAP_FAILED)
        return vqr_fail(error, VQR_ERROR_IO, "cannot map %llu bytes: %s", (unsigned long long)length, strerror(errno));
    model->mapping = mapping;
    model->mapping_size = (size_t)(length + skip);
    return open_bytes(model, (const uint8_t *)mapping + skip, (size_t)length, error);
}

enum vqr_status vqr_model_open_fd(int fd, uint64_t offset, uint64_t length, vqr_model **model, struct vqr_error *error)
{
    const enum vqr_status status = new_model(model, error);
    return status ? status : finish(model, open_fd(*model, fd, offset, length, error));
}

enum vqr_status vqr_model_open(const char *path, vqr_model **model, struct vqr_error *error)
{
    if (model)
        *model = NULL;
    if (!path || !model)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "path or model is NULL");
    /* Without O_NONBLOCK a named pipe would be waited for instead of refused. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return vqr_fail(error, VQR_ERROR_IO, "cannot open %.128s: %s", path, strerror(errno));
    const enum vqr_status status = vqr_model_open_fd(fd, 0, 0, model, error);
    close(fd);
    return status;
}

void vqr_model_close(vqr_model *model)
{
    if (!model)
        return;
    vqr_unbind(model);
    if (model->mapping)
        munmap(model->mapping, model->mapping_size);
    free(model->copy);
    free(model);
}
