/* Names of a model's features and outputs. */
#include <string.h>

#include "runtime/model.h"

const char *const vqr_group_names[VQR_GROUPS] = {"user", "context", "event", "candidate"};

size_t vqr_feature_count(const vqr_model *model, enum vqr_group group)
{
    return (size_t)group < VQR_GROUPS ? model->inputs[group].count : 0;
}

enum vqr_status vqr_feature_info(const vqr_model *model, enum vqr_group group, size_t index, struct vqr_feature *info)
{
    if (!model || !info || index >= vqr_feature_count(model, group))
        return VQR_ERROR_ARGUMENT;
    const struct vqr_input *input = &model->inputs[group].input[index];
    *info = (struct vqr_feature){.name = input->name, .kind = input->kind, .width = input->width, .numbers = 1};
    if (input->kind == VQR_FEATURE_VECTOR)
        info->numbers = input->width;
    else if (input->kind == VQR_FEATURE_SEMANTIC_ID)
        info->numbers = input->quantizer->dim;
    return VQR_OK;
}

ptrdiff_t vqr_feature_index(const vqr_model *model, enum vqr_group group, const char *name)
{
    for (size_t i = 0; i < vqr_feature_count(model, group); i++)
        if (strcmp(model->inputs[group].input[i].name, name) == 0)
            return (ptrdiff_t)i;
    return -1;
}

const char *vqr_model_name(const vqr_model *model)
{
    struct vqr_header_info info;
    vqr_header_info(&model->header, &info);
    return info.name;
}

size_t vqr_model_outputs(const vqr_model *model)
{
    return model->outputs;
}

const char *vqr_model_output_name(const vqr_model *model, size_t i)
{
    return i < model->outputs ? vqr_header_output(&model->header, i) : NULL;
}

const void *vqr_model_data(const vqr_model *model, size_t *size)
{
    if (size)
        *size = model->header.size;
    return model->header.data;
}
