// The accessors of reader.h: what is in a header that vqr_header_open accepted. They trust its bytes, and their
// callers' indices, as reader.cc says.
#include "schema/parts.hh"

#include <cstring>

namespace
{

namespace fb = vqrank_schema;
using flatbuffers::Offset;
using flatbuffers::String;
using flatbuffers::Vector;
using vqrank_parts::at;
using vqrank_parts::count;
using vqrank_parts::multiply;

const fb::Model *model_of(const vqr_header *header)
{
    return static_cast<const fb::Model *>(header->root);
}

const char *text_or_empty(const String *string)
{
    return string == nullptr ? "" : string->c_str();
}

const Vector<Offset<fb::Feature>> *features_of(const fb::Model *model, size_t group)
{
    switch (group) {
    case 0:
        return model->user();
    case 1:
        return model->context();
    case 2:
        return model->event();
    default:
        return model->candidate();
    }
}

vqr_header_hstu view_hstu(const fb::Hstu *hstu)
{
    vqr_header_hstu view = {};
    view.layers = hstu->layers();
    view.heads = hstu->heads();
    view.qk_dim = hstu->qk_dim();
    view.v_dim = hstu->v_dim();
    view.pre_norm = hstu->pre_norm();
    view.affine = hstu->affine();
    view.residual = hstu->residual();
    view.share = hstu->share();
    view.activate = hstu->activate();
    view.alpha = hstu->alpha();
    view.bias = hstu->bias();
    view.normalize = hstu->normalize();
    view.norm = hstu->norm();
    view.output = hstu->output();
    view.normalize_constant = hstu->normalize_constant();
    view.eps = hstu->eps();
    return view;
}

vqr_header_attention view_attention(const fb::DotAttention *dot, const fb::DinAttention *din)
{
    vqr_header_attention view = {};
    view.kind = (dot != nullptr ? VQR_ATTENTION_DOT : 0) | (din != nullptr ? VQR_ATTENTION_DIN : 0);
    if (dot != nullptr) {
        view.heads = dot->heads();
        view.dim = dot->dim();
        view.out = dot->out();
        view.share = dot->share();
        view.count_bias = dot->count_bias();
        view.state = dot->state();
    }
    if (din != nullptr) {
        view.share = din->share();
        view.softmax = din->softmax();
        view.activation = din->activation();
        view.hidden_count = count(din->hidden());
    }
    return view;
}

// The kinds of the papers' baselines.
void view_baseline(const fb::Sequence *stored, struct vqr_header_sequence *sequence)
{
    if (const fb::Sdim *sdim = stored->kind_as_Sdim()) {
        sequence->hashes = sdim->hashes();
        sequence->bits = sdim->bits();
    } else if (const fb::SimHard *sim = stored->kind_as_SimHard()) {
        sequence->last = sim->last();
        sequence->top = sim->top();
        sequence->match_event = sim->event();
        sequence->match_candidate = sim->candidate();
        sequence->attention = view_attention(sim->attention(), sim->din());
    } else if (const fb::Twin *twin = stored->kind_as_Twin()) {
        sequence->last = twin->last();
        sequence->top = twin->top();
        sequence->attention = view_attention(twin->attention(), nullptr);
    } else if (const fb::HstuLast *hstu = stored->kind_as_HstuLast()) {
        sequence->last = hstu->last();
        sequence->scale = hstu->scale();
        sequence->positions = hstu->positions();
        sequence->time_buckets = hstu->time_buckets();
        sequence->hstu = view_hstu(hstu->hstu());
        sequence->attention = view_attention(hstu->attention(), hstu->din());
    }
}

// A sequence's attention of kind "din", wherever it stands; the callers know that there is one.
const fb::DinAttention *din_of(const fb::Sequence *stored)
{
    if (const fb::Dmqn *dmqn = stored->kind_as_Dmqn())
        return dmqn->din();
    if (const fb::SimHard *sim = stored->kind_as_SimHard())
        return sim->din();
    if (const fb::HstuLast *hstu = stored->kind_as_HstuLast())
        return hstu->din();
    return stored->kind_as_Din()->din();
}

// A multiple of `step`, or 0 when it does not fit.
uint64_t round_up(uint64_t n, uint64_t step)
{
    return n > UINT64_MAX - (step - 1) ? 0 : (n + (step - 1)) / step * step;
}

} // namespace

void vqr_header_info(const struct vqr_header *header, struct vqr_header_info *info)
{
    const fb::Model *model = model_of(header);
    info->name = model->name()->c_str();
    info->producer = text_or_empty(model->producer());
    info->config = text_or_empty(model->config());
    info->format_version = model->format_version();
    info->header_bytes = vqrank_parts::header_bytes(header->data);
    info->tables = count(model->tables());
    info->quantizers = count(model->quantizers());
    info->sequences = count(model->sequences());
    info->tensors = count(model->tensors());
    info->goldens = count(model->golden());
    for (size_t group = 0; group < 4; group++)
        info->features[group] = count(features_of(model, group));
}

void vqr_header_tensor(const struct vqr_header *header, size_t i, struct vqr_header_tensor *tensor)
{
    const fb::Tensor *stored = at(model_of(header)->tensors(), i);
    tensor->name = stored->name()->c_str();
    tensor->type = (enum vqr_tensor_type)stored->type();
    tensor->layout = (enum vqr_layout)stored->layout();
    tensor->rank = count(stored->shape());
    for (size_t d = 0; d < VQR_TENSOR_RANK_MAX; d++)
        tensor->shape[d] = d < tensor->rank ? at(stored->shape(), d) : 1;
    tensor->offset = stored->offset();
    tensor->length = stored->length();
}

bool vqr_header_find_tensor(const struct vqr_header *header, const char *name, struct vqr_header_tensor *tensor)
{
    const Vector<Offset<fb::Tensor>> *tensors = model_of(header)->tensors();
    for (size_t i = 0; i < count(tensors); i++) {
        if (strcmp(at(tensors, i)->name()->c_str(), name) == 0) {
            vqr_header_tensor(header, i, tensor);
            return true;
        }
    }
    return false;
}

void vqr_header_table(const struct vqr_header *header, size_t i, struct vqr_header_table *table)
{
    const fb::EmbeddingTable *stored = at(model_of(header)->tables(), i);
    table->name = stored->name()->c_str();
    table->rows = stored->rows();
    table->dim = stored->dim();
    table->ids = stored->ids();
    table->keys = stored->keys();
    table->max_probe = stored->max_probe();
}

void vqr_header_feature(const struct vqr_header *header, size_t group, size_t i, struct vqr_header_feature *feature)
{
    const fb::Feature *stored = at(features_of(model_of(header), group), i);
    feature->name = stored->name()->c_str();
    feature->kind = stored->kind();
    feature->width = stored->width();
    feature->table = stored->table();
    feature->mean = stored->mean();
    feature->std = stored->std();
    feature->exponent = stored->exponent();
    feature->pool = stored->pool();
    feature->quantizer = stored->quantizer();
    feature->combine = stored->combine();
    feature->levels = count(stored->levels());
    feature->exponents = count(stored->exponents());
}

int32_t vqr_header_feature_level(const struct vqr_header *header, size_t group, size_t i, size_t l)
{
    return at(at(features_of(model_of(header), group), i)->levels(), l);
}

int32_t vqr_header_feature_exponent(const struct vqr_header *header, size_t group, size_t i, size_t l)
{
    return at(at(features_of(model_of(header), group), i)->exponents(), l);
}

void vqr_header_quantizer(const struct vqr_header *header, size_t i, struct vqr_header_quantizer *quantizer)
{
    const fb::Quantizer *stored = at(model_of(header)->quantizers(), i);
    *quantizer = {stored->name()->c_str(), stored->kind(), stored->levels(), stored->codes(), stored->dim()};
}

void vqr_header_sequence(const struct vqr_header *header, size_t i, struct vqr_header_sequence *sequence)
{
    const fb::Sequence *stored = at(model_of(header)->sequences(), i);
    *sequence = {};
    sequence->name = stored->name()->c_str();
    sequence->index = i;
    sequence->kind = stored->kind_type();
    if (const fb::Dmqn *dmqn = stored->kind_as_Dmqn()) {
        sequence->codebooks = dmqn->codebooks();
        sequence->codewords = dmqn->codewords();
        sequence->empty = dmqn->empty();
        sequence->scores = dmqn->scores();
        sequence->hstu = view_hstu(dmqn->hstu());
        sequence->attention = view_attention(dmqn->attention(), dmqn->din());
    } else if (const fb::Din *din = stored->kind_as_Din()) {
        sequence->last = din->last();
        sequence->attention = view_attention(din->attention(), din->din());
    } else if (const fb::Vql *vql = stored->kind_as_Vql()) {
        sequence->vql = {vql->heads(), vql->dim(),           vql->v_dim(),           vql->decay_terms(),
                         vql->out(),   count(vql->groups()), count(vql->exponents())};
        sequence->scores = vql->scores();
    } else {
        view_baseline(stored, sequence);
    }
}

void vqr_header_vql_group(const struct vqr_header *header, size_t i, size_t g, struct vqr_header_vql_group *group)
{
    const fb::VqlGroup *stored = at(at(model_of(header)->sequences(), i)->kind_as_Vql()->groups(), g);
    group->heads = count(stored->heads());
    group->codewords = stored->codewords();
}

uint32_t vqr_header_vql_head(const struct vqr_header *header, size_t i, size_t g, size_t n)
{
    return at(at(at(model_of(header)->sequences(), i)->kind_as_Vql()->groups(), g)->heads(), n);
}

int32_t vqr_header_vql_exponent(const struct vqr_header *header, size_t i, size_t a)
{
    return at(at(model_of(header)->sequences(), i)->kind_as_Vql()->exponents(), a);
}

uint32_t vqr_header_attention_hidden(const struct vqr_header *header, size_t i, size_t layer)
{
    const fb::Sequence *stored = at(model_of(header)->sequences(), i);
    return at(din_of(stored)->hidden(), layer);
}

bool vqr_header_assignments(const struct vqr_header *header, struct vqr_header_assignments *assignments)
{
    const fb::Assignments *stored = model_of(header)->assignments();
    if (stored != nullptr)
        *assignments = {stored->key(), count(stored->determined())};
    return stored != nullptr;
}

uint32_t vqr_header_determined(const struct vqr_header *header, size_t i)
{
    return at(model_of(header)->assignments()->determined(), i);
}

void vqr_header_head(const struct vqr_header *header, struct vqr_header_head *head)
{
    const fb::Head *stored = model_of(header)->head();
    head->hidden_count = count(stored->hidden());
    head->output_count = count(stored->outputs());
    head->activation = stored->activation();
}

uint32_t vqr_header_hidden(const struct vqr_header *header, size_t i)
{
    return at(model_of(header)->head()->hidden(), i);
}

const char *vqr_header_output(const struct vqr_header *header, size_t i)
{
    return at(model_of(header)->head()->outputs(), i)->c_str();
}

void vqr_header_golden(const struct vqr_header *header, size_t i, struct vqr_header_golden *golden)
{
    const fb::Golden *stored = at(model_of(header)->golden(), i);
    golden->request = stored->request()->c_str();
    golden->bits = stored->bits()->data();
    golden->float64 = stored->float64()->data();
    golden->count = stored->bits()->size();
    golden->bound = stored->bound();
}

uint64_t vqr_layout_elements(enum vqr_layout layout, size_t rank, const uint64_t *shape)
{
    size_t rank_min = layout == VQR_PANELS || layout == VQR_QUADS ? 2 : 1;
    if (rank < rank_min || rank > VQR_TENSOR_RANK_MAX || (unsigned)layout > (unsigned)VQR_QUADS)
        return 0;
    uint64_t elements = layout == VQR_ROWS ? shape[rank - 1] : round_up(shape[rank - 1], VQR_PANEL);
    for (size_t d = 0; d + 1 < rank; d++)
        elements = multiply(elements, layout == VQR_QUADS && d + 2 == rank ? round_up(shape[d], 4) : shape[d]);
    return elements;
}

const char *vqr_tensor_type_name(int type)
{
    bool known = type >= 0 && type <= fb::TensorType_MAX;
    return known ? fb::EnumNameTensorType((fb::TensorType)type) : "unknown";
}

const char *vqr_layout_name(int layout)
{
    bool known = layout >= 0 && layout <= fb::Layout_MAX;
    return known ? fb::EnumNameLayout((fb::Layout)layout) : "unknown";
}
