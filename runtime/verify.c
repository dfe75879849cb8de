/* Everything that opening leaves to the moment of use. */
#include <math.h>

#include "runtime/error.h"
#include "runtime/model.h"
#include "runtime/tensors.h"
#include "runtime/vocabulary.h"

/* The largest magnitude that every event feature on this table allows. */
static float table_limit(const struct vqr_model *model, const struct vqr_table *table)
{
    float limit = INFINITY;
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

static enum vqr_status verify_table(const struct vqr_model *model, const struct vqr_table *table,
                                    struct vqr_error *error)
{
    const size_t count = table->rows * table->dim;
    const float limit = table_limit(model, table);
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
    return status;
}
