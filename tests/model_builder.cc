// Models that break the schema's rules are built here on purpose, so FlatBuffers' assertions are off.
#define FLATBUFFERS_ASSERT(condition) ((void)0)
#include "tests/model_builder.h"

#include <cstdlib>
#include <cstring>
#include <vector>

#include "model_generated.h"

namespace
{

namespace fb = vqrank_schema;
using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
using flatbuffers::String;
using flatbuffers::Vector;

struct Builder {
    FlatBufferBuilder out;
    const model_options &options;

    explicit Builder(const model_options &chosen) : options(chosen)
    {
    }

    bool has(model_part part) const
    {
        return (options.leave_out >> part & 1) == 0;
    }

    // A null offset, which add_ functions leave out, when `part` is to be absent.
    Offset<String> text(const model_text &value, bool wanted = true)
    {
        return wanted && value.bytes != nullptr ? out.CreateString(value.bytes, value.size) : Offset<String>();
    }

    template <typename T> Offset<Vector<Offset<T>>> list(const std::vector<Offset<T>> &items)
    {
        if (options.lists_absent)
            return {};
        return out.CreateVector(options.lists_empty ? std::vector<Offset<T>>() : items);
    }

    // A vector of 8-byte elements that starts 4 bytes off: the words of [count, elements] inside a vector of words.
    // Positions are counted from the buffer's end, whose length is a multiple of 8.
    template <typename T> Offset<Vector<T>> off_by_4(const std::vector<T> &items)
    {
        std::vector<uint32_t> words(2 + 2 * items.size());
        Offset<Vector<uint32_t>> whole;
        for (size_t at = 0; at < 2; at++) {
            words[at] = (uint32_t)items.size();
            if (!items.empty())
                memcpy(&words[at + 1], items.data(), items.size() * sizeof(T));
            whole = out.CreateVector(words);
            uint32_t start = whole.o - 4 - 4 * (uint32_t)at; // of the count
            if (start % 8 == 0)
                return Offset<Vector<T>>(start); // the elements are 4 bytes on
        }
        abort();
    }

    Offset<fb::EmbeddingTable> table()
    {
        auto name = text(options.table_name, has(MODEL_TABLE_NAME));
        fb::EmbeddingTableBuilder table(out);
        table.add_name(name);
        table.add_rows(5);
        table.add_dim(3);
        table.add_ids((fb::IdMapping)options.ids);
        table.add_keys(4);
        table.add_max_probe(2);
        return table.Finish();
    }

    Offset<Vector<Offset<fb::Feature>>> features(size_t group)
    {
        auto name = text(options.feature_name[group], has(MODEL_FEATURE_NAME));
        fb::FeatureBuilder feature(out);
        feature.add_name(name);
        feature.add_kind((fb::FeatureKind)options.feature_kind);
        feature.add_width((uint32_t)(3 + group));
        feature.add_table(0);
        feature.add_mean(0.5);
        feature.add_std(2);
        feature.add_exponent(18);
        return list<fb::Feature>({feature.Finish()});
    }

    Offset<fb::Hstu> hstu()
    {
        fb::HstuBuilder hstu(out);
        hstu.add_layers(1);
        hstu.add_heads(2);
        hstu.add_qk_dim(3);
        hstu.add_v_dim(4);
        hstu.add_pre_norm(true);
        hstu.add_affine(false);
        hstu.add_activate((fb::Activate)options.activate);
        hstu.add_alpha((fb::Alpha)options.alpha);
        hstu.add_bias((fb::AttentionBias)options.bias);
        hstu.add_normalize((fb::Normalize)options.normalize);
        hstu.add_normalize_constant(128);
        hstu.add_norm((fb::Norm)options.norm);
        hstu.add_output((fb::Output)options.output);
        hstu.add_residual(true);
        hstu.add_eps(0.25f);
        hstu.add_share(true);
        return hstu.Finish();
    }

    Offset<fb::DotAttention> attention()
    {
        fb::DotAttentionBuilder attention(out);
        attention.add_heads(5);
        attention.add_dim(6);
        attention.add_share(true);
        attention.add_out(7);
        attention.add_count_bias(true);
        return attention.Finish();
    }

    Offset<fb::Sequence> sequence()
    {
        auto name = text(options.sequence_name, has(MODEL_SEQUENCE_NAME));
        auto hstu_part = has(MODEL_HSTU) ? hstu() : Offset<fb::Hstu>();
        auto attention_part = has(MODEL_ATTENTION) ? attention() : Offset<fb::DotAttention>();
        fb::DmqnBuilder dmqn(out);
        dmqn.add_codebooks(2);
        dmqn.add_codewords(20);
        dmqn.add_empty((fb::Empty)options.empty);
        dmqn.add_hstu(hstu_part);
        dmqn.add_attention(attention_part);
        auto kind = dmqn.Finish().Union();
        fb::SequenceBuilder sequence(out);
        sequence.add_name(name);
        sequence.add_kind_type((fb::SequenceKind)options.sequence_kind);
        if (has(MODEL_SEQUENCE_KIND))
            sequence.add_kind(kind);
        return sequence.Finish();
    }

    Offset<fb::Head> head()
    {
        std::vector<Offset<String>> names(options.output_times, text(options.output_name));
        if (options.lists_empty || options.lists_absent)
            names.clear();
        auto outputs = has(MODEL_OUTPUTS) ? out.CreateVector(names) : Offset<Vector<Offset<String>>>();
        std::vector<uint32_t> widths = {8, 4};
        if (options.lists_empty)
            widths.clear();
        auto hidden = options.lists_absent ? Offset<Vector<uint32_t>>() : out.CreateVector(widths);
        fb::HeadBuilder head(out);
        head.add_hidden(hidden);
        head.add_activation((fb::Activation)options.activation);
        head.add_outputs(outputs);
        return head.Finish();
    }

    Offset<fb::Tensor> tensor(const model_tensor &chosen)
    {
        auto name = text(chosen.name, has(MODEL_TENSOR_NAME));
        std::vector<uint64_t> dimensions(chosen.shape, chosen.shape + chosen.rank);
        Offset<Vector<uint64_t>> shape;
        if (has(MODEL_TENSOR_SHAPE))
            shape = chosen.shape_off_by_4 ? off_by_4(dimensions) : out.CreateVector(dimensions);
        fb::TensorBuilder tensor(out);
        tensor.add_name(name);
        tensor.add_type((fb::TensorType)chosen.type);
        tensor.add_layout((fb::Layout)chosen.layout);
        tensor.add_shape(shape);
        tensor.add_offset(chosen.offset);
        tensor.add_length(chosen.length);
        return tensor.Finish();
    }

    Offset<Vector<Offset<fb::Tensor>>> tensors()
    {
        std::vector<Offset<fb::Tensor>> tensors;
        for (const model_tensor &chosen : options.tensors)
            tensors.push_back(tensor(chosen));
        tensors.insert(tensors.begin(), options.tensor_times - 1, tensors[0]);
        if (options.lists_empty || options.lists_absent)
            tensors.clear();
        return has(MODEL_TENSOR_LIST) ? out.CreateVector(tensors) : Offset<Vector<Offset<fb::Tensor>>>();
    }

    // Indices that no feature has: what they may be is for the runtime to say.
    Offset<fb::Assignments> assignments()
    {
        auto determined = options.lists_absent  ? Offset<Vector<uint32_t>>()
                          : options.lists_empty ? out.CreateVector(std::vector<uint32_t>())
                                                : out.CreateVector(std::vector<uint32_t>({3, UINT32_MAX}));
        return fb::CreateAssignments(out, -7, determined);
    }

    Offset<fb::Golden> golden()
    {
        std::vector<uint32_t> bit_values;
        std::vector<double> double_values;
        for (size_t i = 0; i < options.bits; i++)
            bit_values.push_back(0x3f000000u + (uint32_t)i);
        for (size_t i = 0; i < options.float64; i++)
            double_values.push_back(0.5 + (double)i);
        auto request = text(options.request, has(MODEL_REQUEST));
        auto bits = has(MODEL_BITS) ? out.CreateVector(bit_values) : Offset<Vector<uint32_t>>();
        Offset<Vector<double>> float64;
        if (has(MODEL_FLOAT64))
            float64 = options.float64_off_by_4 ? off_by_4(double_values) : out.CreateVector(double_values);
        fb::GoldenBuilder golden(out);
        golden.add_request(request);
        golden.add_bits(bits);
        golden.add_float64(float64);
        return golden.Finish();
    }

    void model(uint64_t file_length)
    {
        auto name = text(options.name, has(MODEL_NAME));
        auto producer = text(options.producer);
        auto config = text(options.config);
        auto tables = list(std::vector<Offset<fb::EmbeddingTable>>(options.table_times, table()));
        Offset<Vector<Offset<fb::Feature>>> groups[4];
        for (size_t group = 0; group < 4; group++)
            groups[group] = features(group);
        auto sequences = list<fb::Sequence>({sequence()});
        auto head_part = has(MODEL_HEAD) ? head() : Offset<fb::Head>();
        auto tensor_list = tensors();
        auto goldens = list(std::vector<Offset<fb::Golden>>(options.golden_times, golden()));
        auto stored = has(MODEL_ASSIGNMENTS) ? assignments() : Offset<fb::Assignments>();
        fb::ModelBuilder model(out);
        model.add_format_version(options.format_version);
        model.add_name(name);
        model.add_producer(producer);
        model.add_tables(tables);
        model.add_user(groups[0]);
        model.add_context(groups[1]);
        model.add_event(groups[2]);
        model.add_candidate(groups[3]);
        model.add_sequences(sequences);
        model.add_head(head_part);
        model.add_tensors(tensor_list);
        model.add_file_length(file_length);
        model.add_config(config);
        model.add_golden(goldens);
        if (!stored.IsNull())
            model.add_assignments(stored);
        fb::FinishSizePrefixedModelBuffer(out, model.Finish());
    }
};

uint8_t *allocate(size_t size)
{
    void *data = nullptr;
    if (posix_memalign(&data, 64, size) != 0)
        abort();
    memset(data, 0, size);
    return static_cast<uint8_t *>(data);
}

} // namespace

struct model_options model_options_default(void)
{
    model_options options = {};
    options.format_version = 1;
    options.name = MODEL_TEXT("an example");
    options.producer = MODEL_TEXT("model_builder");
    options.config = MODEL_TEXT("{\n}");
    options.table_name = MODEL_TEXT("item");
    options.feature_name[0] = MODEL_TEXT("age");
    options.feature_name[1] = MODEL_TEXT("place");
    options.feature_name[2] = MODEL_TEXT("item");
    options.feature_name[3] = MODEL_TEXT("candidate-item");
    options.sequence_name = MODEL_TEXT("long");
    options.output_name = MODEL_TEXT("click");
    options.request = MODEL_TEXT("{\"id\": 1}");
    options.ids = fb::IdMapping_Vocabulary;
    options.sequence_kind = fb::SequenceKind_Dmqn;
    options.bias = fb::AttentionBias_PerHead;
    options.tensors[0] = {
        MODEL_TEXT("tables.item.weight"), fb::TensorType_F32, fb::Layout_Rows, 2, {5, 3}, MODEL_SEGMENTS, 60, false};
    options.tensors[1] = {
        MODEL_TEXT("tables.item.keys"), fb::TensorType_U32, fb::Layout_Rows, 2, {4, 4}, MODEL_SEGMENTS + 64, 64, false};
    options.tensors[2] = {
        MODEL_TEXT("tables.item.text"), fb::TensorType_U8, fb::Layout_Rows, 1, {0}, MODEL_SEGMENTS + 128, 0, false};
    options.tensors[3] = {MODEL_TEXT("long.fold"),
                          fb::TensorType_F32,
                          fb::Layout_Panels,
                          3,
                          {2, 3, 20},
                          MODEL_SEGMENTS + 128,
                          768,
                          false};
    options.tensors[4] = {MODEL_TEXT("head.0.bias"),
                          fb::TensorType_F32,
                          fb::Layout_PaddedRows,
                          2,
                          {2, 20},
                          MODEL_SEGMENTS + 896,
                          256,
                          false};
    options.bits = 2;
    options.float64 = 2;
    options.table_times = options.output_times = options.golden_times = options.tensor_times = 1;
    return options;
}

// Of the file: the header where there are no segments, else the end of the default's last one. Cases move one segment
// and stay within.
static size_t file_size(const model_options &options, size_t header)
{
    size_t segments = options.lists_empty || options.lists_absent ? 0 : MODEL_SEGMENTS + 896 + 256;
    return header > segments ? header : segments;
}

struct model_file model_build(const struct model_options *options)
{
    Builder trial(*options); // its size is the header's whatever the length in it, as long as that is not 0
    trial.model(1);
    size_t header = trial.out.GetSize();
    size_t size = file_size(*options, header);
    Builder builder(*options);
    builder.model(options->file_length != 0 ? options->file_length : size);
    model_file file = {allocate(size), size, header};
    memcpy(file.data, builder.out.GetBufferPointer(), header);
    return file;
}
