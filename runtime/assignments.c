#include "runtime/assignments.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/memory.h"
#include "runtime/tensors.h"

/* ---- opening ---- */

/* What is stored is found by rows of tables, so every feature that a codeword depends on has to have one. */
static enum vqr_status check_features(struct vqr_binder *binder)
{
    const struct vqr_inputs *events = &binder->model->inputs[VQR_EVENT];
    for (size_t i = 0; i < events->count; i++)
        if (events->input[i].kind != VQR_FEATURE_ID && events->input[i].kind != VQR_FEATURE_TIME)
            return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                            "assignments: event feature \"%s\" is not an id, expected ids and a time where codewords "
                            "are stored",
                            events->input[i].name);
    return VQR_OK;
}

static bool is_id(const struct vqr_inputs *events, uint32_t feature)
{
    return feature < events->count && events->input[feature].kind == VQR_FEATURE_ID;
}

/* Who determines which features; marks those in is_determined[the events' features]. */
static enum vqr_status bind_determined(struct vqr_binder *binder, const struct vqr_header_assignments *header,
                                       struct vqr_assignments *a, uint8_t *is_determined)
{
    const struct vqr_inputs *events = &binder->model->inputs[VQR_EVENT];
    const size_t count = header->determined;
    if ((header->key < 0) != (count == 0) || (count && !is_id(events, (uint32_t)header->key)) || count > events->count)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                        "assignments: feature %" PRId32
                        " determines %zu others, expected an event's id that determines some, or -1 for none",
                        header->key, count);
    a->key = (size_t)header->key;
    a->determined_count = count;
    a->determined = vqr_allocate(count, sizeof *a->determined, binder->error);
    if (!a->determined)
        return VQR_ERROR_MEMORY;
    for (size_t i = 0; i < count; i++) {
        const uint32_t feature = vqr_header_determined(&binder->model->header, i);
        if (!is_id(events, feature) || feature == (uint32_t)header->key ||
            (i && feature <= a->determined[i - 1].feature))
            return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                            "assignments: determined feature %zu is %" PRIu32
                            ", expected ids of events in ascending order, without the key",
                            i, feature);
        a->determined[i] = (struct vqr_digit){feature, (uint32_t)events->input[feature].table->rows};
        is_determined[feature] = 1;
    }
    if (count == 0)
        return VQR_OK;
    const struct vqr_expected expected = {.type = VQR_TENSOR_U32,
                                          .layout = VQR_ROWS,
                                          .rank = 2,
                                          .shape = {events->input[a->key].table->rows, count},
                                          .lazy = true};
    const void *rows = NULL;
    const enum vqr_status status = vqr_bind_tensor(binder, &expected, &rows, "assignments.determined");
    a->determined_rows = rows;
    return status;
}

static enum vqr_status bind_digits(struct vqr_binder *binder, struct vqr_assignments *a, const uint8_t *is_determined)
{
    const struct vqr_inputs *events = &binder->model->inputs[VQR_EVENT];
    uint64_t combinations = 1;
    a->digit = vqr_allocate(events->count, sizeof *a->digit, binder->error);
    if (!a->digit)
        return VQR_ERROR_MEMORY;
    for (size_t i = 0; i < events->count; i++) {
        if (events->input[i].kind != VQR_FEATURE_ID || is_determined[i])
            continue;
        a->digit[a->digits++] = (struct vqr_digit){i, (uint32_t)events->input[i].table->rows};
        combinations *= events->input[i].table->rows; /* both below 2^32 */
        if (combinations > UINT32_MAX)
            return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                            "assignments: more than 2^32 - 1 combinations of the events' ids");
    }
    a->combinations = (size_t)combinations;
    return VQR_OK;
}

static enum vqr_status bind_stored_sequence(struct vqr_binder *binder, size_t i, struct vqr_assignments *a)
{
    const struct vqr_sequence *sequence = &binder->model->sequence[i];
    struct vqr_stored_sequence *own = &a->sequence[i];
    size_t most = 0;
    if (!sequence->kind->codewords)
        return VQR_OK;
    own->first = a->codebooks;
    own->codewords = vqr_allocate(sequence->codebooks, sizeof *own->codewords, binder->error);
    if (!own->codewords)
        return VQR_ERROR_MEMORY;
    for (size_t j = 0; j < sequence->codebooks; j++) {
        own->codewords[j] = (uint32_t)sequence->kind->codewords(sequence, j);
        most = own->codewords[j] > most ? own->codewords[j] : most;
    }
    if (most > UINT16_MAX + 1)
        return vqr_fail(binder->error, VQR_ERROR_FORMAT,
                        "assignments: sequence \"%s\" has a codebook of %zu codewords, expected at most 65536",
                        sequence->name, most);
    const struct vqr_expected expected = {.type = most > UINT8_MAX + 1 ? VQR_TENSOR_U16 : VQR_TENSOR_U8,
                                          .layout = VQR_ROWS,
                                          .rank = 2,
                                          .shape = {a->combinations, sequence->codebooks},
                                          .lazy = true};
    const void *z = NULL;
    const enum vqr_status status = vqr_bind_tensor(binder, &expected, &z, "sequences.%s.assignments", sequence->name);
    own->z8 = expected.type == VQR_TENSOR_U8 ? z : NULL;
    own->z16 = expected.type == VQR_TENSOR_U16 ? z : NULL;
    a->codebooks += sequence->codebooks;
    return status;
}

enum vqr_status vqr_bind_assignments(struct vqr_binder *binder)
{
    struct vqr_model *model = binder->model;
    struct vqr_header_assignments header;
    if (!vqr_header_assignments(&model->header, &header))
        return VQR_OK;
    struct vqr_assignments *a = model->assignments = vqr_allocate(1, sizeof *a, binder->error);
    uint8_t *is_determined = vqr_allocate(model->inputs[VQR_EVENT].count, 1, binder->error);
    if (a)
        a->sequence = vqr_allocate(model->sequence_count, sizeof *a->sequence, binder->error);
    enum vqr_status status = a && is_determined && a->sequence ? check_features(binder) : VQR_ERROR_MEMORY;
    if (!status)
        status = bind_determined(binder, &header, a, is_determined);
    if (!status)
        status = bind_digits(binder, a, is_determined);
    for (size_t i = 0; !status && i < model->sequence_count; i++)
        status = bind_stored_sequence(binder, i, a);
    free(is_determined);
    return status;
}

void vqr_unbind_assignments(struct vqr_model *model)
{
    struct vqr_assignments *a = model->assignments;
    if (!a)
        return;
    for (size_t i = 0; a->sequence && i < model->sequence_count; i++)
        free(a->sequence[i].codewords);
    free(a->sequence);
    free(a->determined);
    free(a->digit);
    free(a);
    model->assignments = NULL;
}

/* ---- blocks of events ---- */

void vqr_assignments_take(const struct vqr_model *model, size_t e_stride, struct vqr_stored_codewords *stored,
                          struct vqr_arena *arena)
{
    const size_t rows = model->assignments ? VQR_EVENT_BLOCK : 0;
    *stored = (struct vqr_stored_codewords){0};
    stored->z = vqr_take(arena, rows ? vqr_times(model->assignments->codebooks, rows) : 0, sizeof *stored->z);
    stored->missing = vqr_take(arena, rows, sizeof *stored->missing);
    stored->missing_e = vqr_take(arena, vqr_times(rows, e_stride), sizeof *stored->missing_e);
    stored->missing_row = vqr_take(arena, vqr_times(rows, model->inputs[VQR_EVENT].count), sizeof *stored->missing_row);
}

/* Lists the rows whose determined features are not those that the key's row determines: seldom any. */
static size_t list_missing(const struct vqr_assignments *a, const uint32_t *index, size_t count, uint32_t *missing)
{
    const uint32_t *key = index + a->key * VQR_EVENT_BLOCK;
    uint32_t differs[VQR_EVENT_BLOCK] = {0}, any = 0;
    size_t listed = 0;
    for (size_t i = 0; i < a->determined_count; i++) {
        const uint32_t *own = index + a->determined[i].feature * VQR_EVENT_BLOCK;
        for (size_t r = 0; r < count; r++) {
            differs[r] |= a->determined_rows[(size_t)key[r] * a->determined_count + i] ^ own[r];
            any |= differs[r];
        }
    }
    for (size_t r = 0; any && r < count; r++) {
        missing[listed] = (uint32_t)r;
        listed += differs[r] != 0;
    }
    return listed;
}

static void number_combinations(const struct vqr_assignments *a, const uint32_t *index, size_t count,
                                uint32_t *combination)
{
    memset(combination, 0, count * sizeof *combination);
    for (size_t i = 0; i < a->digits; i++) {
        const uint32_t *row = index + a->digit[i].feature * VQR_EVENT_BLOCK;
        for (size_t r = 0; r < count; r++)
            combination[r] = combination[r] * a->digit[i].rows + row[r];
    }
}

/* The rows of one sequence's codewords lie anywhere in what is stored: they are asked for before they are needed. */
static void prefetch(const struct vqr_stored_sequence *own, size_t codebooks, const uint32_t *combination, size_t count)
{
    for (size_t r = 0; own->z8 && r < count; r++)
        __builtin_prefetch(own->z8 + (size_t)combination[r] * codebooks);
    for (size_t r = 0; own->z16 && r < count; r++)
        __builtin_prefetch(own->z16 + (size_t)combination[r] * codebooks);
}

/* The compiler unrolls the inner loop where `codebooks` is a number. */
static inline void copy8(const uint8_t *stored, const size_t codebooks, const uint32_t *combination, size_t count,
                         uint32_t *z)
{
    for (size_t r = 0; r < count; r++) {
        const uint8_t *own = stored + (size_t)combination[r] * codebooks;
        for (size_t j = 0; j < codebooks; j++)
            z[j * VQR_EVENT_BLOCK + r] = own[j];
    }
}

static void copy16(const uint16_t *stored, size_t codebooks, const uint32_t *combination, size_t count, uint32_t *z)
{
    for (size_t r = 0; r < count; r++) {
        const uint16_t *own = stored + (size_t)combination[r] * codebooks;
        for (size_t j = 0; j < codebooks; j++)
            z[j * VQR_EVENT_BLOCK + r] = own[j];
    }
}

/* z[codebooks, VQR_EVENT_BLOCK] of one sequence's codewords; returns whether all of them are codewords, those of rows
 * that are missing included. */
static bool look_up(const struct vqr_stored_sequence *own, size_t codebooks, const uint32_t *combination, size_t count,
                    uint32_t *z)
{
    int32_t bad = 0;
    if (own->z8 && codebooks == 4)
        copy8(own->z8, 4, combination, count, z);
    else if (own->z8 && codebooks == 2)
        copy8(own->z8, 2, combination, count, z);
    else if (own->z8)
        copy8(own->z8, codebooks, combination, count, z);
    else
        copy16(own->z16, codebooks, combination, count, z);
    for (size_t j = 0; j < codebooks; j++)
        for (size_t r = 0; r < count; r++) /* both below 2^17; vectors of any processor compare these */
            bad |= (int32_t)z[j * VQR_EVENT_BLOCK + r] >= (int32_t)own->codewords[j];
    return !bad;
}

/* The first codeword of a row that is not missing that there is not, or VQR_OK if only missing rows had any. */
static enum vqr_status refuse_codeword(const struct vqr_sequence *sequence, const struct vqr_stored_sequence *own,
                                       const uint32_t *z, size_t first, size_t count,
                                       const struct vqr_stored_codewords *stored, struct vqr_error *error)
{
    size_t m = 0;
    for (size_t r = 0; r < count; r++) {
        if (m < stored->missing_rows && stored->missing[m] == r) {
            m++;
            continue;
        }
        for (size_t j = 0; j < sequence->codebooks; j++)
            if (z[j * VQR_EVENT_BLOCK + r] >= own->codewords[j])
                return vqr_fail(error, VQR_ERROR_TABLE,
                                "event %zu: sequence \"%.64s\", codebook %zu: codeword %" PRIu32
                                " is stored, expected less than %" PRIu32 "; the model file is damaged",
                                first + r, sequence->name, j, z[j * VQR_EVENT_BLOCK + r], own->codewords[j]);
    }
    return VQR_OK;
}

enum vqr_status vqr_assignments_load(const struct vqr_model *model, const uint32_t *index, const float *e,
                                     size_t stride, size_t first, size_t count, struct vqr_stored_codewords *stored,
                                     struct vqr_error *error)
{
    const struct vqr_assignments *a = model->assignments;
    uint32_t combination[VQR_EVENT_BLOCK];
    number_combinations(a, index, count, combination);
    for (size_t i = 0; i < model->sequence_count; i++)
        prefetch(&a->sequence[i], model->sequence[i].codebooks, combination, count);
    stored->missing_rows = a->determined_count ? list_missing(a, index, count, stored->missing) : 0;
    for (size_t i = 0; i < stored->missing_rows; i++)
        memcpy(stored->missing_e + i * stride, e + stored->missing[i] * stride, stride * sizeof *e);
    for (size_t f = 0; f < model->inputs[VQR_EVENT].count; f++)
        for (size_t i = 0; i < stored->missing_rows; i++)
            stored->missing_row[f * VQR_EVENT_BLOCK + i] = index[f * VQR_EVENT_BLOCK + stored->missing[i]];
    for (size_t i = 0; i < model->sequence_count; i++) {
        const struct vqr_stored_sequence *own = &a->sequence[i];
        const struct vqr_sequence *sequence = &model->sequence[i];
        uint32_t *z = stored->z + own->first * VQR_EVENT_BLOCK;
        if (!own->codewords || look_up(own, sequence->codebooks, combination, count, z))
            continue;
        const enum vqr_status status = refuse_codeword(sequence, own, z, first, count, stored, error);
        if (status)
            return status;
    }
    return VQR_OK;
}

const uint32_t *vqr_assignments_of(const struct vqr_model *model, size_t i, const struct vqr_stored_codewords *stored)
{
    const struct vqr_assignments *a = model->assignments;
    return a && a->sequence[i].codewords ? stored->z + a->sequence[i].first * VQR_EVENT_BLOCK : NULL;
}

/* ---- all of it ---- */

static enum vqr_status verify_determined(const struct vqr_model *model, struct vqr_error *error)
{
    const struct vqr_assignments *a = model->assignments;
    const size_t count = a->determined_count, keys = count ? model->inputs[VQR_EVENT].input[a->key].table->rows : 0;
    for (size_t r = 0; r < keys; r++)
        for (size_t i = 0; i < count; i++) {
            const uint32_t row = a->determined_rows[r * count + i];
            const bool none = a->determined_rows[r * count] == VQR_NOT_STORED;
            if (none ? row != VQR_NOT_STORED : row >= a->determined[i].rows)
                return vqr_fail(error, VQR_ERROR_TABLE,
                                "assignments: row %zu of event feature \"%.64s\" determines row %" PRIu32
                                " of \"%.64s\", expected less than %" PRIu32,
                                r, model->inputs[VQR_EVENT].input[a->key].name, row,
                                model->inputs[VQR_EVENT].input[a->determined[i].feature].name, a->determined[i].rows);
        }
    return VQR_OK;
}

enum vqr_status vqr_assignments_verify(const struct vqr_model *model, struct vqr_error *error)
{
    const struct vqr_assignments *a = model->assignments;
    enum vqr_status status = a ? verify_determined(model, error) : VQR_OK;
    for (size_t i = 0; a && !status && i < model->sequence_count; i++) {
        const struct vqr_stored_sequence *own = &a->sequence[i];
        const size_t codebooks = own->codewords ? model->sequence[i].codebooks : 0;
        for (size_t at = 0; at < a->combinations * codebooks; at++) {
            const uint32_t z = own->z8 ? own->z8[at] : own->z16[at], codewords = own->codewords[at % codebooks];
            if (z >= codewords)
                return vqr_fail(error, VQR_ERROR_TABLE,
                                "sequence \"%s\": combination %zu has codeword %" PRIu32
                                " stored in codebook %zu, expected less than %" PRIu32,
                                model->sequence[i].name, at / codebooks, z, at % codebooks, codewords);
        }
    }
    return status;
}
