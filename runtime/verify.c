/* Everything that opening leaves to the moment of use. */
#include <float.h>
#include <math.h>

#include "runtime/assignments.h"
#include "runtime/error.h"
#include "runtime/model.h"
#include "runtime/tensors.h"
#include "runtime/vocabulary.h"

/* The largest magnitude that every event feature on this table allows, a finite one where there is none: the product of
 * an int8 number and its scale may not be finite. */
static float table_limit(const struct vqr_model *model, const struct vqr_table *table)
{
    float limit = FLT_MAX;
    const struct vqr_inputs *events = &model->inputs[VQR_EVENT];
    for (size_t i = 0; i < events->count; i++) {
        const struct vqr_input *input = &events->input[i];
        if (input->table == table && input->limit < limit)
            limit = input->limit;
        for (size_t l = 0; input->quantizer && l < input->quantizer->levels; l++)
            if (input->level[l].table == table && input->level[l].limit < limit)
                limit = input->level[l].limit;
    }
    return limit;
}

/* Of an int8 table: no -128, scales that are 0 or more, and no element beyond `limit`. */
static enum vqr_status verify_int8(const struct vqr_table *table, float limit, struct vqr_error *error)
{
    const size_t count = table->rows * table->dim, bad = vqr_first_not_int8(table->weight8, count);
    if (bad < count)
        return vqr_fail(error, VQR_ERROR_TABLE, "table \"%s\", row %zu, column %zu: -128, expected -127 to 127",
                        table->name, bad / table->dim, bad % table->dim);
    for (size_t r = 0; r < table->rows; r++) {
        if (!(table->scale[r] >= 0.0f && table->scale[r] < INFINITY))
            return vqr_fail(error, VQR_ERROR_TABLE,
                            "table \"%s\", row %zu: its scale is %g, expected a finite number of at least 0",
                            table->name, r, (double)table->scale[r]);
        for (size_t i = 0; i < table->dim; i++) {
            const float x = (float)table->weight8[r * table->dim + i] * table->scale[r];
            if (!(fabsf(x) <= limit))
                return vqr_fail(error, VQR_ERROR_TABLE,
                                "table \"%s\", row %zu, column %zu: %g, expected at most %g in magnitude", table->name,
                                r, i, (double)x, (double)limit);
        }
    }
    return VQR_OK;
}

static enum vqr_status verify_table(const struct vqr_model *model, const struct vqr_table *table,
                                    struct vqr_error *error)
{
    const size_t count = table->rows * table->dim;
    const float limit = table_limit(model, table);
    if (table->weight8) {
        const enum vqr_status status = verify_int8(table, limit, error);
        return status ? status : vqr_vocabulary_verify(table, error);
    }
    size_t bad = vqr_first_not_finite(table->weight, count);
    for (size_t i = 0; bad == count && i < count; i++)
        if (fabsf(table->weight[i]) > limit)
            bad = i;
    if (bad < count)
        return vqr_fail(error, VQR_ERROR_TABLE,
                        "table \"%s\", row %zu, column %zu: %g, expected a finite number of at "
                        "most %g in magnitude",
                        table->name, bad / table->dim, bad % table->dim, (double)table->weight[bad], (double)limit);
    return vqr_vocabulary_verify(table, error);
}

enum vqr_status vqr_model_verify(const vqr_model *model, struct vqr_error *error)
{
    if (!model)
        return vqr_fail(error, VQR_ERROR_ARGUMENT, "vqr_model_verify: model is NULL");
    enum vqr_status status = VQR_OK;
    for (size_t i = 0; !status && i < model->table_count; i++)
        status = verify_table(model, &model->table[i], error);
    return status ? status : vqr_assignments_verify(model, error);
}
