// Files may be wrong on purpose, so FlatBuffers' assertions are off.
#define FLATBUFFERS_ASSERT(condition) ((void)0)
#include "tests/runtime_tensors.h"

#include <cmath>
#include <cstdlib>

namespace
{

// ---- the header ----

struct Header {
    FlatBufferBuilder out;
    const runtime_options &o;
    const Tensors &tensors;

    Header(const runtime_options &says, const Tensors &placed) : o(says), tensors(placed)
    {
    }

    Offset<fb::EmbeddingTable> table(const char *name, uint64_t rows, uint32_t dim, uint8_t ids)
    {
        uint32_t probe = o.max_probe == UINT32_MAX ? tensors.max_probe : o.max_probe;
        bool vocabulary = ids == VQR_IDS_VOCABULARY;
        return fb::CreateEmbeddingTable(out, out.CreateString(name), rows, dim, (fb::IdMapping)ids,
                                        vocabulary ? o.words : 0, vocabulary ? probe : 0);
    }

    Offset<fb::Feature> feature(const char *name, uint8_t kind, uint32_t width, int32_t table, int32_t exponent = 0)
    {
        bool is_float = kind == VQR_KIND_FLOAT;
        return fb::CreateFeature(out, out.CreateString(name), (fb::FeatureKind)kind, width, table,
                                 is_float ? o.price_mean : 0, is_float ? o.price_std : 1, exponent,
                                 kind == VQR_KIND_IDS ? (fb::Pool)o.tags_pool : fb::Pool_Sum);
    }

    using Features = std::vector<Offset<fb::Feature>>;

    // `wrong`: with what the options say of it, where that is not right.
    Offset<fb::Feature> semantic_id(bool wrong)
    {
        const runtime_quantizer &q = o.content;
        const bool sum = q.combine == VQR_COMBINE_SUM;
        std::vector<int32_t> levels, exponents;
        for (uint32_t l = 0; l < (wrong && q.listed != UINT32_MAX ? q.listed : q.levels); l++)
            levels.push_back(2 + (int32_t)l);
        if (wrong && q.table != -1 && !levels.empty())
            levels.back() = q.table;
        const size_t count = !wrong ? 0 : q.exponents != SIZE_MAX ? q.exponents : sum ? 0 : q.levels;
        exponents.assign(count, q.exponent);
        const uint32_t width = wrong && q.width != UINT32_MAX ? q.width : (uint32_t)tensors.content_width();
        const auto name = out.CreateString("content");
        const auto level_list = out.CreateVector(levels), exponent_list = out.CreateVector(exponents);
        return fb::CreateFeature(out, name, fb::FeatureKind_SemanticId, width, -1, 0, 1, sum ? q.exponent : 0,
                                 fb::Pool_Sum, wrong ? q.quantizer : 0, level_list, (fb::Combine)q.combine,
                                 exponent_list);
    }

    Features events()
    {
        const uint32_t widths[RUNTIME_EVENTS_MAX] = {o.item_dim, o.word_dim, 1, 0, o.item_dim, o.image_dim};
        const bool there[RUNTIME_EVENTS_MAX] = {true, true, !o.ids_only, true, o.tags, o.image_dim > 0};
        Features list;
        for (size_t i = 0; i < RUNTIME_EVENTS_MAX; i++) {
            uint32_t width = o.event_widths[i] == UINT32_MAX ? widths[i] : o.event_widths[i];
            if (there[i])
                list.push_back(
                    feature(o.event_names[i], o.event_kinds[i], width, o.event_tables[i], o.event_exponents[i]));
        }
        if (o.content.levels > 0)
            list.push_back(semantic_id(true));
        return list;
    }

    // The group's own features, then tags, image and content where the group may have them and the options say so.
    Offset<Vector<Offset<fb::Feature>>> group(Features list, bool tags, bool image, bool content)
    {
        if (tags && o.tags)
            list.push_back(feature("tags", VQR_KIND_IDS, o.item_dim, 0));
        if (image && o.image_dim > 0)
            list.push_back(feature("image", VQR_KIND_VECTOR, o.image_dim, -1));
        if (content && o.content.levels > 0)
            list.push_back(semantic_id(false));
        return out.CreateVector(list);
    }

    Offset<fb::Hstu> hstu(const vqr_header_hstu &h)
    {
        return fb::CreateHstu(out, h.layers, h.heads, h.qk_dim, h.v_dim, h.pre_norm, h.affine, (fb::Activate)h.activate,
                              (fb::Alpha)h.alpha, (fb::AttentionBias)h.bias, (fb::Normalize)h.normalize,
                              h.normalize_constant, (fb::Norm)h.norm, (fb::Output)h.output, h.residual, h.eps, h.share);
    }

    // Those of the two that there are.
    struct Attention {
        Offset<fb::DotAttention> dot;
        Offset<fb::DinAttention> din;
    };

    Attention attention(const vqr_header_attention &a, const uint32_t *widths)
    {
        Attention both = {0, 0};
        if (a.kind & VQR_ATTENTION_DIN) {
            auto hidden = out.CreateVector(widths, a.hidden_count);
            both.din = fb::CreateDinAttention(out, hidden, (fb::Activation)a.activation, a.softmax, a.share);
        }
        if (a.kind & VQR_ATTENTION_DOT)
            both.dot = fb::CreateDotAttention(out, a.heads, a.dim, a.share, a.out, a.count_bias, (fb::Kept)a.state);
        return both;
    }

    Offset<fb::Sequence> sequence(uint32_t i)
    {
        auto name = out.CreateString(Tensors::sequence_name("long", o.sequences_same_name ? 0 : i));
        Attention a = attention(o.attention, o.attention_hidden);
        auto dmqn = fb::CreateDmqn(out, o.codebooks, o.codewords, (fb::Empty)o.empty, hstu(o.hstu), a.dot, a.din,
                                   (fb::Scores)o.int8.scores);
        return fb::CreateSequence(out, name, (fb::SequenceKind)o.sequence_kind, dmqn.Union());
    }

    // The largest exponent under which no value of a vql sequence passes 2^30, whatever the weights within `scale` are.
    int32_t value_exponent() const
    {
        const uint32_t widths[RUNTIME_EVENTS_MAX] = {o.item_dim, o.word_dim, 1, 0, o.tags ? o.item_dim : 0,
                                                     o.image_dim};
        double bound = 0;
        for (size_t i = 0; i < RUNTIME_EVENTS_MAX; i++)
            bound += widths[i] * std::ldexp(1.5, 30 - o.event_exponents[i]) * (double)o.scale;
        bound += (double)tensors.content_width() * std::ldexp(1.5, 30 - o.content.exponent) * (double)o.scale;
        const int s = bound > 0 ? 30 - (std::ilogb(bound) + 1) : 0;
        return s < -98 ? -98 : s > 120 ? 120 : s;
    }

    Offset<fb::Sequence> vql_sequence(uint32_t i)
    {
        const runtime_vql &v = o.vql;
        auto name = out.CreateString(Tensors::sequence_name("keys", i));
        std::vector<Offset<fb::VqlGroup>> groups;
        std::vector<int32_t> exponents;
        const uint32_t *head = v.head;
        for (size_t g = 0; g < v.groups; head += v.group_heads[g], g++)
            groups.push_back(fb::CreateVqlGroup(out, out.CreateVector(head, v.group_heads[g]), v.codewords[g]));
        for (size_t a = 0; a < v.exponents; a++)
            exponents.push_back(v.exponent[a] == INT32_MAX ? value_exponent() : v.exponent[a]);
        auto list = out.CreateVector(groups);
        auto vql = fb::CreateVql(out, v.heads, v.dim, v.v_dim, list, v.terms, v.out, out.CreateVector(exponents),
                                 (fb::Scores)o.int8.scores);
        return fb::CreateSequence(out, name, fb::SequenceKind_Vql, vql.Union());
    }

    Offset<fb::Sequence> sdim_sequence(uint32_t i)
    {
        auto name = out.CreateString(Tensors::sequence_name("hashed", i));
        return fb::CreateSequence(out, name, fb::SequenceKind_Sdim, fb::CreateSdim(out, o.hashes, o.bits).Union());
    }

    Offset<fb::Sequence> hstu_sequence(uint32_t i)
    {
        const runtime_hstu_last &l = o.hstu_last;
        auto name = out.CreateString(Tensors::sequence_name("all", i));
        Attention a = attention(l.attention, l.hidden);
        auto hstu_last =
            fb::CreateHstuLast(out, l.last, (fb::Scale)l.scale, l.positions, l.buckets, hstu(l.hstu), a.dot, a.din);
        return fb::CreateSequence(out, name, fb::SequenceKind_HstuLast, hstu_last.Union());
    }

    Offset<fb::Sequence> sim_hard(uint32_t i)
    {
        const runtime_search &s = o.search;
        auto name = out.CreateString(Tensors::sequence_name("same", i));
        Attention a = attention(s.attention, s.hidden);
        auto sim = fb::CreateSimHard(out, s.last, s.top, s.event, s.candidate, a.dot, a.din);
        return fb::CreateSequence(out, name, fb::SequenceKind_SimHard, sim.Union());
    }

    Offset<fb::Sequence> twin(uint32_t i)
    {
        auto name = out.CreateString(Tensors::sequence_name("far", i));
        auto twin = fb::CreateTwin(out, o.search.last, o.search.top, attention(o.search.twin, o.search.hidden).dot);
        return fb::CreateSequence(out, name, fb::SequenceKind_Twin, twin.Union());
    }

    Offset<fb::Sequence> short_sequence(uint32_t i)
    {
        auto name = out.CreateString(Tensors::sequence_name("short", i));
        Attention a = attention(o.short_attention, o.short_hidden);
        auto din = fb::CreateDin(out, o.last, a.dot, a.din);
        return fb::CreateSequence(out, name, fb::SequenceKind_Din, din.Union());
    }

    Offset<Vector<Offset<fb::Sequence>>> sequences()
    {
        std::vector<Offset<fb::Sequence>> longs, shorts;
        for (uint32_t i = 0; i < o.sequences; i++)
            longs.push_back(sequence(i));
        for (uint32_t i = 0; i < o.vql_sequences; i++)
            longs.push_back(vql_sequence(i));
        for (uint32_t i = 0; i < o.sdim_sequences; i++)
            longs.push_back(sdim_sequence(i));
        for (uint32_t i = 0; i < o.hstu_sequences; i++)
            longs.push_back(hstu_sequence(i));
        for (uint32_t i = 0; i < o.search.sim_hards; i++)
            longs.push_back(sim_hard(i));
        for (uint32_t i = 0; i < o.search.twins; i++)
            longs.push_back(twin(i));
        for (uint32_t i = 0; i < o.short_sequences; i++)
            shorts.push_back(short_sequence(i));
        std::vector<Offset<fb::Sequence>> &first = o.short_first ? shorts : longs,
                                          &last = o.short_first ? longs : shorts;
        first.insert(first.end(), last.begin(), last.end());
        return out.CreateVector(first);
    }

    Offset<fb::Head> head()
    {
        std::vector<Offset<flatbuffers::String>> names;
        for (size_t i = 0; i < o.outputs; i++)
            names.push_back(out.CreateString("output" + std::to_string(i)));
        auto hidden = out.CreateVector(o.hidden, o.hidden_count);
        return fb::CreateHead(out, hidden, (fb::Activation)o.activation, out.CreateVector(names));
    }

    Offset<Vector<Offset<fb::Tensor>>> directory()
    {
        std::vector<Offset<fb::Tensor>> list;
        for (const Tensor &t : tensors.list) {
            auto name = out.CreateString(t.name);
            auto shape = out.CreateVector(t.shape);
            list.push_back(fb::CreateTensor(out, name, t.type, t.layout, shape, t.offset, t.bytes.size()));
        }
        return out.CreateVector(list);
    }

    void build(uint64_t file_length)
    {
        out.ForceDefaults(true); // the header's size does not depend on the numbers in it
        auto name = out.CreateString(o.name);
        std::vector<Offset<fb::EmbeddingTable>> table_list = {table("item", o.items, o.item_dim, o.item_ids),
                                                              table(o.tables_same_name ? "item" : "word",
                                                                    o.words + 1 + o.spare_rows, o.word_dim,
                                                                    o.word_ids)};
        std::vector<Offset<fb::Quantizer>> quantizer_list;
        const uint32_t claimed = o.content.claimed == UINT32_MAX ? o.content.levels : o.content.claimed;
        for (uint32_t l = 0; l < o.content.levels; l++)
            table_list.push_back(
                table(("c" + std::to_string(l)).c_str(), tensors.content_rows(), o.item_dim, o.content.ids));
        for (int i = 0; o.content.levels > 0 && i < (o.content.same_name ? 2 : 1); i++)
            quantizer_list.push_back(fb::CreateQuantizer(out, out.CreateString("content"),
                                                         (fb::QuantizerKind)o.content.kind, claimed, o.content.codes,
                                                         o.content.dim));
        auto tables = out.CreateVector(table_list);
        auto quantizers = out.CreateVector(quantizer_list);
        auto user = group({feature("age", VQR_KIND_FLOAT, 1, -1), feature("word", VQR_KIND_ID, o.word_dim, 1)}, true,
                          false, false);
        uint32_t context_width = o.context_kind == VQR_KIND_TIME ? 0 : o.item_dim;
        auto context = group({feature("item", o.context_kind, context_width, 0)}, false, true, true);
        auto event = group(events(), false, false, false);
        auto candidate = group({feature("item", VQR_KIND_ID, o.item_dim, 0), feature("price", VQR_KIND_FLOAT, 1, -1)},
                               true, true, true);
        auto sequence_list = sequences();
        auto head_part = head();
        auto tensor_list = directory();
        Offset<fb::Assignments> stored;
        if (o.assignments.stored)
            stored = fb::CreateAssignments(out, o.assignments.key,
                                           out.CreateVector(o.assignments.determined, o.assignments.determined_count));
        auto model = fb::CreateModel(out, o.format_version, name, 0, tables, user, context, event, candidate,
                                     sequence_list, head_part, tensor_list, file_length, 0, 0, quantizers, stored);
        fb::FinishSizePrefixedModelBuffer(out, model);
    }
};

} // namespace

const struct vqr_id *runtime_words(size_t *count)
{
    *count = kWordCount;
    return kWords;
}

struct runtime_options runtime_options_default(void)
{
    runtime_options o = {};
    o.seed = 1;
    o.scale = 0.5f;
    o.format_version = 1;
    o.name = "runtime";
    o.items = 40;
    o.item_dim = 5;
    o.word_dim = 3;
    o.item_ids = VQR_IDS_DIRECT;
    o.word_ids = VQR_IDS_VOCABULARY;
    o.words = kWordCount;
    o.max_probe = UINT32_MAX;
    o.slots = 32;
    const uint8_t kinds[RUNTIME_EVENTS_MAX] = {VQR_KIND_ID,   VQR_KIND_ID,  VQR_KIND_FLOAT,
                                               VQR_KIND_TIME, VQR_KIND_IDS, VQR_KIND_VECTOR};
    const int32_t tables[RUNTIME_EVENTS_MAX] = {0, 1, -1, -1, 0, -1};
    const int32_t exponents[RUNTIME_EVENTS_MAX] = {30, 30, 18, 0, 22, 18};
    const char *const names[RUNTIME_EVENTS_MAX] = {"item", "word", "price", "time", "tags", "image"};
    for (size_t i = 0; i < RUNTIME_EVENTS_MAX; i++) {
        o.event_kinds[i] = kinds[i];
        o.event_tables[i] = tables[i];
        o.event_widths[i] = UINT32_MAX;
        o.event_exponents[i] = exponents[i];
        o.event_names[i] = names[i];
    }
    o.price_mean = 3;
    o.price_std = 1.5;
    o.context_kind = VQR_KIND_ID;
    o.content = {};
    o.content.dim = 3;
    o.content.codes = 17;
    o.content.width = o.content.listed = o.content.claimed = UINT32_MAX;
    o.content.table = -1;
    o.content.exponents = SIZE_MAX;
    o.content.exponent = 30;
    o.sequences = 1;
    o.sequence_kind = VQR_SEQUENCE_DMQN;
    o.codebooks = 2;
    o.codewords = 20;
    o.empty = VQR_EMPTY_MASKED;
    o.hstu.layers = 1;
    o.hstu.heads = 2;
    o.hstu.qk_dim = 3;
    o.hstu.v_dim = 5;
    o.hstu.affine = true;
    o.hstu.bias = VQR_BIAS_SHARED;
    o.hstu.normalize_constant = 50;
    o.hstu.eps = 1e-5f;
    o.attention.kind = VQR_ATTENTION_DOT;
    o.attention.heads = 2;
    o.attention.dim = 6;
    o.vql = {};
    o.vql.heads = 3;
    o.vql.dim = 4;
    o.vql.v_dim = 5;
    o.vql.groups = 2;
    o.vql.group_heads[0] = 2;
    o.vql.group_heads[1] = 1;
    o.vql.codewords[0] = 17;
    o.vql.codewords[1] = 6;
    o.vql.head[0] = 2;
    o.vql.head[1] = 0;
    o.vql.head[2] = 1;
    o.vql.exponents = 3;
    for (int32_t &exponent : o.vql.exponent)
        exponent = INT32_MAX;
    o.vql.decay = 0.1f;
    o.hashes = 5;
    o.bits = 3;
    o.hstu_last = {};
    o.hstu_last.last = 30;
    o.hstu_last.buckets = 40;
    o.hstu_last.positions = true;
    o.hstu_last.scale = VQR_SCALE_SQRT;
    o.hstu_last.hstu = o.hstu;
    o.hstu_last.hstu.pre_norm = o.hstu_last.hstu.residual = true;
    o.hstu_last.attention = o.attention;
    o.hstu_last.wrong_edge = SIZE_MAX;
    o.search = {};
    o.search.last = 9;
    o.search.top = 3;
    o.search.attention = o.search.twin = o.attention;
    o.last = 5;
    o.assignments.determined_count = 1;
    o.assignments.determined[0] = 1;
    o.assignments.unlisted = 7;
    o.short_attention = o.attention;
    o.hidden[0] = 18;
    o.hidden_count = 1;
    o.outputs = 2;
    o.activation = VQR_RELU;
    return o;
}

struct runtime_file runtime_build_saying(const struct runtime_options *options, const struct runtime_options *says)
{
    Tensors tensors(*options);
    tensors.all();
    Header trial(*says, tensors);
    trial.build(1);
    size_t header = trial.out.GetSize(), size = tensors.place(header);
    Header placed(*says, tensors);
    placed.build(size);
    void *data = nullptr;
    if (placed.out.GetSize() != header || posix_memalign(&data, kSegmentAlign, size) != 0)
        abort();
    memset(data, 0, size);
    auto *bytes = static_cast<uint8_t *>(data);
    memcpy(bytes, placed.out.GetBufferPointer(), header);
    for (const Tensor &tensor : tensors.list)
        if (!tensor.bytes.empty())
            memcpy(bytes + tensor.offset, tensor.bytes.data(), tensor.bytes.size());
    return {bytes, size, header};
}

struct runtime_file runtime_build(const struct runtime_options *options)
{
    return runtime_build_saying(options, options);
}
