// Opening: the checks that stand between hostile bytes and the accessors of views.cc (reader.h says what they promise).
//
// The only C++ of the library, with views.cc. Compiled without exceptions and RTTI and with NDEBUG, and written without
// the standard library, so that it links against nothing but libc: no new, no std::string, no static object with a
// constructor.
//
// FlatBuffers' verifier proves that every table, vector and string lies inside the header, that required fields are
// there and that strings are terminated; elements of its vectors are offsets, never null. It does not prove that
// vectors of 8-byte elements are aligned, that strings hold no NUL before their end, or anything about numbers: that is
// done here. Once vqr_header_open has returned VQR_HEADER_OK the accessors trust the bytes, which must not change, and
// their callers' indices, which must be below the counts that vqr_header_info and vqr_header_head give.
#include "schema/parts.hh"

#include <cinttypes>
#include <cstring>

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
using vqrank_parts::at;
using vqrank_parts::count;
using vqrank_parts::header_bytes;
using vqrank_parts::multiply;
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
static_assert(int(VQR_TENSOR_U16) == int(fb::TensorType_MAX), "TensorType");
static_assert(int(VQR_QUADS) == int(fb::Layout_MAX), "Layout");
static_assert(int(VQR_SCORES_INT8_EXACT) == int(fb::Scores_MAX), "Scores");
static_assert(int(VQR_KEPT_INT8) == int(fb::Kept_MAX), "Kept");
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
static_assert(int(VQR_SCALE_SQRT) == int(fb::Scale_MAX), "Scale");
static_assert(int(VQR_SEQUENCE_HSTU) == int(fb::SequenceKind_MAX), "SequenceKind");
static_assert(int(VQR_COMBINE_SUM) == int(fb::Combine_MAX), "Combine");
static_assert(int(VQR_RQ_KMEANS) == int(fb::QuantizerKind_MAX), "QuantizerKind");
static_assert(int(VQR_POOL_MEAN) == int(fb::Pool_MAX), "Pool");

// ---- the frame: what comes before FlatBuffers ----

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
           check_names("quantizer", model->quantizers(), message) &&
           check_names("sequence", model->sequences(), message) &&
           check_names("output", model->head()->outputs(), message) && check_names("tensor", model->tensors(), message);
}

// ---- tensors ----

uint64_t element_bytes(fb::TensorType type)
{
    if (type == fb::TensorType_U8 || type == fb::TensorType_I8)
        return 1;
    return type == fb::TensorType_U16 ? 2 : 4;
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
        bool matrix = tensor->layout() == fb::Layout_Panels || tensor->layout() == fb::Layout_Quads;
        size_t rank_min = matrix ? 2 : 1;
        if (rank < rank_min || rank > VQR_TENSOR_RANK_MAX)
            return no("rank %zu, expected %zu to %d for %s", rank, rank_min, (int)VQR_TENSOR_RANK_MAX, layout);
        if (tensor->layout() == fb::Layout_Quads && tensor->type() != fb::TensorType_I8)
            return no("type %s, expected I8 for %s", vqr_tensor_type_name(tensor->type()), layout);
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
        uint64_t bytes = multiply(elements, element_bytes(tensor->type()));
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

} // namespace

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
