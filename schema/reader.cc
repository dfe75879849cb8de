// The C face on FlatBuffers' generated reader (reader.h says what it promises).
//
// The only C++ of the library. Compiled without exceptions and RTTI and with NDEBUG, and written without the standard
// library, so that it links against nothing but libc: no new, no std::string, no static object with a constructor.
//
// FlatBuffers' verifier proves that every table, vector and string lies inside the header, that required fields are
// there and that strings are terminated; elements of its vectors are offsets, never null. It does not prove that
// vectors of 8-byte elements are aligned, that strings hold no NUL before their end, or anything about numbers: that is
// done here. Once vqr_header_open has returned VQR_HEADER_OK the accessors trust the bytes, which must not change, and
// their callers' indices, which must be below the counts that vqr_header_info and vqr_header_head give.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" // C lets a function be named like a struct; gcc warns of it in C++
#include "schema/reader.h"
#pragma GCC diagnostic pop

#include <cinttypes>
#include <cstring>

#include "model_generated.h"
#include "schema/refuse.hh"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "vqrank reads model files in place, which takes a little-endian processor"
#endif

namespace
{

namespace fb = vqrank_schema;
using flatbuffers::Offset;
using flatbuffers::String;
using flatbuffers::Vector;
using vqrank_refuse::Message;
using vqrank_refuse::Quoted;
using vqrank_refuse::refuse;
using vqrank_refuse::ShapeText;

constexpr size_t kFrameBytes = 12; // size prefix, root offset, identifier
constexpr size_t kIdentifierAt = 8;
constexpr size_t kIdentifierBytes = 4;
constexpr uint64_t kHeaderBytesMax = 64u << 20;
constexpr size_t kNameMax = 200;
constexpr size_t kTextMax = 1000;
// Strings are scanned, and a hostile file can list one string many times.
constexpr size_t kOutputsMax = 4096;
constexpr size_t kGoldensMax = 64;

// Bounds on the verifier's work. Model > Sequence > Dmqn > Hstu is 4 deep; a vector can list one table many times.
constexpr flatbuffers::uoffset_t kDepthMax = 16;
constexpr flatbuffers::uoffset_t kTablesMax = 1u << 17;

static_assert(int(VQR_TENSOR_RANK_MAX) == vqrank_refuse::kRankShown, "messages show whole shapes");

// reader.h repeats the schema's enums by number; a value appended to one only must not compile.
static_assert(int(VQR_TENSOR_U32) == int(fb::TensorType_MAX), "TensorType");
static_assert(int(VQR_PANELS) == int(fb::Layout_MAX), "Layout");
static_assert(int(VQR_IDS_HASH) == int(fb::IdMapping_MAX), "IdMapping");
static_assert(int(VQR_KIND_SEMANTIC_ID) == int(fb::FeatureKind_MAX), "FeatureKind");
static_assert(int(VQR_ACTIVATE_U) == int(fb::Activate_MAX), "Activate");
static_assert(int(VQR_ALPHA_RSQRT) == int(fb::Alpha_MAX), "Alpha");
static_assert(int(VQR_BIAS_PER_HEAD) == int(fb::AttentionBias_MAX), "AttentionBias");
static_assert(int(VQR_NORMALIZE_CONSTANT) == int(fb::Normalize_MAX), "Normalize");
static_assert(int(VQR_NORM_GROUP) == int(fb::Norm_MAX), "Norm");
static_assert(int(VQR_OUTPUT_CONCAT_RAW) == int(fb::Output_MAX), "Output");
static_assert(int(VQR_EMPTY_ZERO) == int(fb::Empty_MAX), "Empty");
static_assert(int(VQR_DICE) == int(fb::Activation_MAX), "Activation");
static_assert(int(VQR_SEQUENCE_DIN) == int(fb::SequenceKind_MAX), "SequenceKind");
static_assert(int(VQR_POOL_MEAN) == int(fb::Pool_MAX), "Pool");

// ---- the frame: what comes before FlatBuffers ----

// Of the whole header, its size prefix included.
uint64_t header_bytes(const uint8_t *data)
{
    uint32_t prefix;
    memcpy(&prefix, data, sizeof(prefix));
    return sizeof(prefix) + (uint64_t)prefix;
}

bool check_frame(const uint8_t *data, size_t size, const Message &message)
{
    if (size < kFrameBytes)
        return refuse(message, "%zu bytes, too short for a model file", size);
    if (data == nullptr || (uintptr_t)data % VQR_SEGMENT_ALIGN != 0) {
        return refuse(message, "the caller's bytes start at an address that is not a multiple of %d",
                      (int)VQR_SEGMENT_ALIGN);
    }
    if (memcmp(data + kIdentifierAt, fb::ModelIdentifier(), kIdentifierBytes) != 0) {
        return refuse(message, "not a model file: identifier \"%s\", expected \"%s\"",
                      Quoted(data + kIdentifierAt, kIdentifierBytes).text, fb::ModelIdentifier());
    }
    uint64_t header = header_bytes(data);
    if (header < kFrameBytes || header > kHeaderBytesMax) {
        return refuse(message, "damaged: the header says it takes %" PRIu64 " bytes, expected %zu to %" PRIu64, header,
                      kFrameBytes, kHeaderBytesMax);
    }
    if (header > size)
        return refuse(message, "truncated: %zu bytes, the header alone takes %" PRIu64, size, header);
    return true;
}

bool verify(const uint8_t *data, uint64_t header, const Message &message)
{
    flatbuffers::Verifier::Options options;
    options.max_depth = kDepthMax;
    options.max_tables = kTablesMax;
    flatbuffers::Verifier verifier(data, (size_t)header, options);
    if (!fb::VerifySizePrefixedModelBuffer(verifier))
        return refuse(message, "damaged: the header of %" PRIu64 " bytes is not a well-formed FlatBuffer", header);
    return true;
}

// The first field of every version's root table, read before the rest is verified: what this version requires, a newer
// one may have dropped, and a newer file should be called newer, not damaged.
struct VersionOnly : private flatbuffers::Table {
    bool Verify(flatbuffers::Verifier &verifier) const
    {
        return VerifyTableStart(verifier) && VerifyField<uint32_t>(verifier, fb::Model::VT_FORMAT_VERSION, 4) &&
               verifier.EndTable();
    }

    uint32_t version() const
    {
        return GetField<uint32_t>(fb::Model::VT_FORMAT_VERSION, 0);
    }
};

vqr_header_status check_version(const uint8_t *data, uint64_t header, const Message &message)
{
    flatbuffers::Verifier verifier(data, (size_t)header);
    if (!verifier.VerifySizePrefixedBuffer<VersionOnly>(fb::ModelIdentifier())) {
        refuse(message, "damaged: the header of %" PRIu64 " bytes is not a well-formed FlatBuffer", header);
        return VQR_HEADER_DAMAGED;
    }
    uint32_t version = flatbuffers::GetSizePrefixedRoot<VersionOnly>(data)->version();
    if (version == 0) {
        refuse(message, "damaged: format version 0, expected 1 to %d", (int)VQR_FORMAT_VERSION);
        return VQR_HEADER_DAMAGED;
    }
    if (version > VQR_FORMAT_VERSION) {
        refuse(message, "format version %" PRIu32 ", this vqrank reads up to %d: update vqrank", version,
               (int)VQR_FORMAT_VERSION);
        return VQR_HEADER_NEWER;
    }
    return VQR_HEADER_OK;
}

bool check_file_length(const fb::Model *model, size_t size, const Message &message)
{
    uint64_t length = model->file_length();
    if (size < length)
        return refuse(message, "truncated: %zu bytes, the header says %" PRIu64, size, length);
    if (size > length) {
        return refuse(message, "%" PRIu64 " bytes after the end: %zu bytes, the header says %" PRIu64,
                      (uint64_t)size - length, size, length);
    }
    return true;
}

// ---- vectors ----

// The verifier aligns the count of a vector, not elements wider than it. Builders leave empty vectors unaligned.
template <typename Element> bool is_aligned(const Vector<Element> *vector)
{
    return vector->size() == 0 || (uintptr_t)vector->Data() % sizeof(Element) == 0;
}

template <typename Element> size_t count(const Vector<Element> *vector)
{
    return vector == nullptr ? 0 : vector->size();
}

template <typename Element> auto at(const Vector<Element> *vector, size_t i)
{
    return vector->Get((flatbuffers::uoffset_t)i);
}

// ---- strings ----

// What names may be: they are looked up, joined to make tensors' names and printed.
bool is_name(const String *name)
{
    if (name->size() < 1 || name->size() > kNameMax)
        return false;
    for (flatbuffers::uoffset_t i = 0; i < name->size(); i++) {
        uint8_t byte = name->Get(i);
        if (byte <= 0x20 || byte >= 0x7f)
            return false;
    }
    return true;
}

const String *name_of(const String *string)
{
    return string;
}

template <typename Named> const String *name_of(const Named *named)
{
    return named->name();
}

template <typename Named> bool check_names(const char *what, const Vector<Offset<Named>> *list, const Message &message)
{
    for (size_t i = 0; i < count(list); i++) {
        const String *name = name_of(at(list, i));
        if (!is_name(name)) {
            const Quoted found(name->c_str(), name->size());
            return refuse(message, "%s %zu: name \"%s\", expected 1 to %zu printable ASCII characters without spaces",
                          what, i, found.text, kNameMax);
        }
    }
    return true;
}

// One line for people, in any script, or absent.
bool check_line(const char *what, const String *text, const Message &message)
{
    if (text == nullptr)
        return true;
    if (text->size() > kTextMax)
        return refuse(message, "%s: %" PRIu32 " bytes, expected at most %zu", what, text->size(), kTextMax);
    for (flatbuffers::uoffset_t i = 0; i < text->size(); i++) {
        uint8_t byte = text->Get(i);
        if (byte < 0x20 || byte == 0x7f)
            return refuse(message, "%s: control character 0x%02x at byte %" PRIu32, what, byte, i);
    }
    return true;
}

// A C string ends at the first NUL: the rest would be dropped in silence.
bool check_no_nul(const char *what, const String *text, const Message &message)
{
    if (text != nullptr && memchr(text->c_str(), 0, text->size()) != nullptr)
        return refuse(message, "%s: a NUL inside its %" PRIu32 " bytes", what, text->size());
    return true;
}

bool check_strings(const fb::Model *model, const Message &message)
{
    size_t outputs = count(model->head()->outputs());
    if (outputs > kOutputsMax)
        return refuse(message, "%zu outputs, expected at most %zu", outputs, kOutputsMax);
    return check_line("model name", model->name(), message) && check_line("producer", model->producer(), message) &&
           check_no_nul("config", model->config(), message) && check_names("table", model->tables(), message) &&
           check_names("user feature", model->user(), message) &&
           check_names("context feature", model->context(), message) &&
           check_names("event feature", model->event(), message) &&
           check_names("candidate feature", model->candidate(), message) &&
           check_names("sequence", model->sequences(), message) &&
           check_names("output", model->head()->outputs(), message) && check_names("tensor", model->tensors(), message);
}

// ---- tensors ----

// The product, or 0 when it does not fit: dimensions are not 0 here.
uint64_t multiply(uint64_t a, uint64_t b)
{
    return b != 0 && a > UINT64_MAX / b ? 0 : a * b;
}

uint64_t round_up_to_panel(uint64_t n)
{
    return n > UINT64_MAX - (VQR_PANEL - 1) ? 0 : (n + (VQR_PANEL - 1)) / VQR_PANEL * VQR_PANEL;
}

struct TensorCheck {
    const fb::Tensor *tensor;
    size_t i;
    const Message &message;

    // refuse() with the tensor named first.
    __attribute__((format(printf, 2, 3))) bool no(const char *format, ...) const
    {
        char text[256];
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        return refuse(message, "tensor %zu \"%s\": %s", i, tensor->name()->c_str(), text);
    }

    bool form() const
    {
        if (tensor->type() > fb::TensorType_MAX)
            return no("unknown type %d", (int)tensor->type());
        if (tensor->layout() > fb::Layout_MAX)
            return no("unknown layout %d", (int)tensor->layout());
        const char *layout = vqr_layout_name(tensor->layout());
        const Vector<uint64_t> &shape = *tensor->shape();
        size_t rank = shape.size();
        size_t rank_min = tensor->layout() == fb::Layout_Panels ? 2 : 1;
        if (rank < rank_min || rank > VQR_TENSOR_RANK_MAX)
            return no("rank %zu, expected %zu to %d for %s", rank, rank_min, (int)VQR_TENSOR_RANK_MAX, layout);
        if (!is_aligned(&shape))
            return no("damaged: its shape is not aligned to 8 bytes");
        // Only the first dimension, a count of rows, may be 0, and only where rows are not packed.
        for (size_t d = 0; d < rank; d++) {
            if (at(&shape, d) == 0 && (d > 0 || tensor->layout() != fb::Layout_Rows)) {
                const ShapeText found(shape.data(), rank);
                return no("dimension %zu of %s is 0, expected at least 1 for %s", d, found.text, layout);
            }
        }
        return true;
    }

    bool length() const
    {
        uint64_t shape[VQR_TENSOR_RANK_MAX] = {};
        size_t rank = tensor->shape()->size();
        for (size_t d = 0; d < rank; d++)
            shape[d] = at(tensor->shape(), d);
        // Of an empty tensor the rest must fit too, as if there were one row: it gets multiplied elsewhere.
        bool empty = shape[0] == 0;
        shape[0] += empty;
        uint64_t elements = vqr_layout_elements((enum vqr_layout)tensor->layout(), rank, shape);
        uint64_t bytes = multiply(elements, tensor->type() == fb::TensorType_U8 ? 1 : 4);
        const ShapeText shape_text(tensor->shape()->data(), rank);
        if (bytes == 0)
            return no("shape %s is too large", shape_text.text);
        uint64_t expected = empty ? 0 : bytes;
        if (tensor->length() != expected) {
            return no("%" PRIu64 " bytes, expected %" PRIu64 " for %s %s %s", tensor->length(), expected,
                      vqr_tensor_type_name(tensor->type()), vqr_layout_name(tensor->layout()), shape_text.text);
        }
        return true;
    }

    bool place(uint64_t free_from, uint64_t header, uint64_t size) const
    {
        uint64_t offset = tensor->offset();
        if (offset % VQR_SEGMENT_ALIGN != 0)
            return no("starts at byte %" PRIu64 ", expected a multiple of %d", offset, (int)VQR_SEGMENT_ALIGN);
        if (offset < header)
            return no("starts at byte %" PRIu64 ", inside the header of %" PRIu64 " bytes", offset, header);
        if (offset < free_from)
            return no("starts at byte %" PRIu64 ", the one before ends at %" PRIu64, offset, free_from);
        if (offset > size || tensor->length() > size - offset)
            return no("%" PRIu64 " bytes at byte %" PRIu64 ", the file has %" PRIu64, tensor->length(), offset, size);
        return true;
    }
};

bool check_tensors(const fb::Model *model, uint64_t header, size_t size, const Message &message)
{
    const Vector<Offset<fb::Tensor>> *tensors = model->tensors();
    if (tensors->size() > VQR_TENSORS_MAX)
        return refuse(message, "%" PRIu32 " tensors, expected at most %d", tensors->size(), (int)VQR_TENSORS_MAX);
    uint64_t free_from = header;
    for (size_t i = 0; i < tensors->size(); i++) {
        TensorCheck check = {at(tensors, i), i, message};
        if (!check.form() || !check.length() || !check.place(free_from, header, size))
            return false;
        free_from = check.tensor->offset() + check.tensor->length();
    }
    return true;
}

// ---- golden requests ----

bool check_golden(const fb::Golden *golden, size_t i, const Message &message)
{
    if (golden->bits()->size() != golden->float64()->size()) {
        return refuse(message, "golden request %zu: %" PRIu32 " bits and %" PRIu32 " float64, expected as many", i,
                      golden->bits()->size(), golden->float64()->size());
    }
    if (!is_aligned(golden->float64()))
        return refuse(message, "golden request %zu: damaged: its outputs are not aligned", i);
    if (!(golden->bound() >= 0.0 && golden->bound() <= 1.0))
        return refuse(message, "golden request %zu: its bound is %g, expected 0 to 1", i, golden->bound());
    return check_no_nul("golden request", golden->request(), message);
}

bool check_goldens(const fb::Model *model, const Message &message)
{
    size_t n = count(model->golden());
    if (n > kGoldensMax)
        return refuse(message, "%zu golden requests, expected at most %zu", n, kGoldensMax);
    for (size_t i = 0; i < n; i++)
        if (!check_golden(at(model->golden(), i), i, message))
            return false;
    return true;
}

// ---- views ----

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
    }
    if (din != nullptr) {
        view.share = din->share();
        view.softmax = din->softmax();
        view.activation = din->activation();
        view.hidden_count = count(din->hidden());
    }
    return view;
}

} // namespace

// ---- the functions of reader.h, which gives them C linkage ----

enum vqr_header_status vqr_header_open(struct vqr_header *header, const void *data, size_t size, char *message,
                                       size_t message_size)
{
    *header = vqr_header{};
    const Message to = {message, message_size};
    const auto *bytes = static_cast<const uint8_t *>(data);
    if (!check_frame(bytes, size, to))
        return VQR_HEADER_DAMAGED;
    vqr_header_status status = check_version(bytes, header_bytes(bytes), to);
    if (status != VQR_HEADER_OK)
        return status;
    if (!verify(bytes, header_bytes(bytes), to))
        return VQR_HEADER_DAMAGED;
    const fb::Model *model = fb::GetSizePrefixedModel(bytes);
    if (!check_file_length(model, size, to) || !check_strings(model, to) ||
        !check_tensors(model, header_bytes(bytes), size, to) || !check_goldens(model, to))
        return VQR_HEADER_DAMAGED;
    *header = vqr_header{bytes, size, model};
    return VQR_HEADER_OK;
}

void vqr_header_info(const struct vqr_header *header, struct vqr_header_info *info)
{
    const fb::Model *model = model_of(header);
    info->name = model->name()->c_str();
    info->producer = text_or_empty(model->producer());
    info->config = text_or_empty(model->config());
    info->format_version = model->format_version();
    info->header_bytes = header_bytes(header->data);
    info->tables = count(model->tables());
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
        sequence->hstu = view_hstu(dmqn->hstu());
        sequence->attention = view_attention(dmqn->attention(), dmqn->din());
    } else if (const fb::Din *din = stored->kind_as_Din()) {
        sequence->last = din->last();
        sequence->attention = view_attention(din->attention(), din->din());
    }
}

uint32_t vqr_header_attention_hidden(const struct vqr_header *header, size_t i, size_t layer)
{
    const fb::Sequence *stored = at(model_of(header)->sequences(), i);
    const fb::Dmqn *dmqn = stored->kind_as_Dmqn();
    const fb::DinAttention *din = dmqn != nullptr ? dmqn->din() : stored->kind_as_Din()->din();
    return at(din->hidden(), layer);
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
    size_t rank_min = layout == VQR_PANELS ? 2 : 1;
    if (rank < rank_min || rank > VQR_TENSOR_RANK_MAX || (unsigned)layout > (unsigned)VQR_PANELS)
        return 0;
    uint64_t elements = layout == VQR_ROWS ? shape[rank - 1] : round_up_to_panel(shape[rank - 1]);
    for (size_t d = 0; d + 1 < rank; d++)
        elements = multiply(elements, shape[d]);
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
