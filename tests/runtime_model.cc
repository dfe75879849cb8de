// Files may be wrong on purpose, so FlatBuffers' assertions are off.
#define FLATBUFFERS_ASSERT(condition) ((void)0)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" // C lets a function be named like a struct; gcc warns of it in C++
#include "tests/runtime_model.h"
#pragma GCC diagnostic pop

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "model_generated.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace
{

namespace fb = vqrank_schema;
using flatbuffers::FlatBufferBuilder;
using flatbuffers::Offset;
using flatbuffers::Vector;

const vqr_id kWords[] = {
    {nullptr, -7},
    {"shoe", 4},
    {nullptr, 0},
    {"", 0},
    {"h\xc3\xa9", 3},
    {nullptr, INT64_MIN},
    {"0", 1},
    {nullptr, 1},
    {nullptr, INT64_MAX},
    {"a\0b", 3},
    {"-7", 2},
    {nullptr, -1},
    {"hat", 3},
    {nullptr, 1 << 20},
    {"a rather long key that passes one block of the hash function, and then some", 75},
};
constexpr size_t kWordCount = sizeof(kWords) / sizeof(kWords[0]);

constexpr size_t kSegmentAlign = 64;

size_t padded(size_t n)
{
    return (n + 15) / 16 * 16;
}

// splitmix64
struct Random {
    uint64_t state;

    uint64_t next()
    {
        uint64_t z = (state += UINT64_C(0x9e3779b97f4a7c15));
        z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
        return z ^ (z >> 31);
    }

    float between(float scale)
    {
        return ((float)(next() >> 40) * 0x1p-23f - 1.0f) * scale;
    }
};

struct Tensor {
    std::string name;
    fb::TensorType type;
    fb::Layout layout;
    std::vector<uint64_t> shape;
    std::vector<uint8_t> bytes;
    uint64_t offset;
};

// ---- the tensors of a configuration ----

struct Tensors {
    const runtime_options &o;
    Random random;
    std::vector<Tensor> list;
    uint32_t max_probe = 0;

    explicit Tensors(const runtime_options &options) : o(options), random{options.seed}
    {
    }

    void add(const std::string &name, fb::TensorType type, fb::Layout layout, const std::vector<uint64_t> &shape,
             const void *data, size_t size)
    {
        if (o.without_tensor != nullptr && name == o.without_tensor)
            return;
        const auto *bytes = static_cast<const uint8_t *>(data);
        list.push_back({name, type, layout, shape, std::vector<uint8_t>(bytes, bytes + size), 0});
    }

    void add_floats(const std::string &name, fb::Layout layout, const std::vector<uint64_t> &shape,
                    const std::vector<float> &x)
    {
        add(name, fb::TensorType_F32, layout, shape, x.data(), x.size() * sizeof(float));
    }

    void table(const std::string &name, uint64_t rows, uint64_t dim)
    {
        std::vector<float> x(rows * dim);
        for (float &value : x)
            value = random.between(1.0f);
        add_floats("tables." + name + ".weight", fb::Layout_Rows, {rows, dim}, x);
    }

    // [..., n], rows padded with zeros.
    void rows(const std::string &name, const std::vector<uint64_t> &shape)
    {
        size_t n = shape.back(), count = 1;
        for (size_t d = 0; d + 1 < shape.size(); d++)
            count *= shape[d];
        std::vector<float> x(count * padded(n));
        for (size_t i = 0; i < x.size(); i++)
            x[i] = i % padded(n) < n ? random.between(o.scale) : 0.0f;
        add_floats(name, fb::Layout_PaddedRows, shape, x);
    }

    // [..., in, out] in panels.
    void panels(const std::string &name, const std::vector<uint64_t> &shape)
    {
        size_t out = shape.back(), in = shape[shape.size() - 2], count = shape.size() == 3 ? shape[0] : 1;
        std::vector<float> x(count * in * padded(out));
        for (size_t i = 0; i < x.size(); i++) {
            size_t panel = i / (16 * in) % (padded(out) / 16);
            x[i] = panel * 16 + i % 16 < out ? random.between(o.scale) : 0.0f;
        }
        add_floats(name, fb::Layout_Panels, shape, x);
    }

    void linear(const std::string &name, uint64_t count, uint64_t in, uint64_t out)
    {
        panels(name + ".weight", {count, in, out});
        rows(name + ".bias", {count, out});
    }

    void norm(const std::string &name, uint64_t count, uint64_t n)
    {
        rows(name + ".weight", {count, n});
        rows(name + ".bias", {count, n});
    }

    static uint64_t hash(const vqr_id &id)
    {
        return id.string != nullptr ? XXH3_64bits(id.string, (size_t)id.value) : XXH3_64bits(&id.value, 8);
    }

    void vocabulary()
    {
        std::vector<uint32_t> keys, slots(o.slots);
        std::string text;
        for (size_t i = 0; i < kWordCount; i++) {
            const vqr_id &id = kWords[i];
            uint64_t value = id.string != nullptr ? text.size() : (uint64_t)id.value;
            keys.insert(keys.end(), {(uint32_t)value, (uint32_t)(value >> 32),
                                     id.string != nullptr ? (uint32_t)id.value : 0, id.string != nullptr});
            if (id.string != nullptr)
                text.append(id.string, (size_t)id.value);
            uint32_t probe = 0;
            size_t slot = (size_t)hash(id) & (o.slots - 1);
            for (; slots[slot] != 0; slot = (slot + 1) & (o.slots - 1))
                probe++;
            slots[slot] = (uint32_t)i + 1;
            max_probe = probe > max_probe ? probe : max_probe;
        }
        add("tables.word.keys", fb::TensorType_U32, fb::Layout_Rows, {kWordCount, 4}, keys.data(), 4 * keys.size());
        add("tables.word.text", fb::TensorType_U8, fb::Layout_Rows, {text.size()}, text.data(), text.size());
        add("tables.word.slots", fb::TensorType_U32, fb::Layout_Rows, {o.slots}, slots.data(), 4 * slots.size());
    }

    uint64_t tags_width() const
    {
        return o.tags ? o.item_dim : 0;
    }
    uint64_t event_width() const
    {
        return o.item_dim + o.word_dim + 1 + tags_width() + o.image_dim;
    }
    uint64_t candidate_width() const
    {
        return o.item_dim + 1 + tags_width() + o.image_dim;
    }
    uint64_t user_width() const
    {
        return 1 + o.word_dim + tags_width();
    }
    uint64_t context_width() const
    {
        return (o.context_kind == VQR_KIND_TIME ? 0 : o.item_dim) + o.image_dim;
    }

    // What an activation has beside its layer; `count` 0 leaves out the leading dimension.
    void activation(const std::string &at, int kind, uint64_t count, uint64_t n)
    {
        const std::vector<uint64_t> shape = count > 0 ? std::vector<uint64_t>{count, n} : std::vector<uint64_t>{n};
        if (kind == VQR_PRELU || kind == VQR_DICE)
            rows(at + ".alpha", shape);
        if (kind != VQR_DICE)
            return;
        rows(at + ".mean", shape);
        rows(at + ".inv_std", shape);
        for (size_t i = 0; !list.empty() && list.back().name == at + ".inv_std" && i < list.back().bytes.size(); i += 4)
            list.back().bytes[i + 3] &= 0x7f; // the sign
    }

    void hstu(const std::string &name, uint32_t layer)
    {
        const vqr_header_hstu &h = o.hstu;
        uint64_t count = h.share ? 1 : o.codebooks, d = event_width(), v = (uint64_t)h.heads * h.v_dim;
        std::string at = name + ".hstu." + std::to_string(layer);
        linear(at + ".f1", count, d, 2 * v + 2 * (uint64_t)h.heads * h.qk_dim);
        if (h.pre_norm && h.affine)
            norm(at + ".pre_norm", count, d);
        if (h.bias != VQR_BIAS_NONE)
            rows(at + ".bias", {count, h.bias == VQR_BIAS_PER_HEAD ? h.heads : 1, o.codewords, o.codewords});
        if (h.affine)
            norm(at + ".norm", count, v);
        linear(at + ".f2", count, h.output == VQR_OUTPUT_GATED ? v : 3 * v, d);
    }

    // Returns the width of what it gives for one codebook.
    uint64_t dot_attention(const std::string &at, const vqr_header_attention &a, uint64_t count)
    {
        uint64_t d = event_width(), width = (uint64_t)a.heads * a.dim;
        linear(at + ".q", count, candidate_width(), width);
        linear(at + ".k", count, d, width);
        linear(at + ".v", count, d, width);
        if (a.out > 0)
            linear(at + ".out", count, width, a.out);
        return a.out > 0 ? a.out : width;
    }

    uint64_t din_attention(const std::string &at, const vqr_header_attention &a, const uint32_t *widths, uint64_t count)
    {
        uint64_t d = event_width(), in = d;
        linear(at + ".q", count, candidate_width(), d);
        for (size_t i = 0; i <= a.hidden_count; i++) {
            uint64_t out = i < a.hidden_count ? widths[i] : 1;
            std::string layer = at + ".mlp." + std::to_string(i);
            if (i == 0)
                for (const char *part : {".target", ".event", ".product"})
                    panels(layer + part, {count, in, out});
            else
                panels(layer + ".weight", {count, in, out});
            rows(layer + ".bias", {count, out});
            if (i < a.hidden_count)
                activation(layer, a.activation, count, out);
            in = out;
        }
        return d;
    }

    uint64_t target_attention(const std::string &name, const vqr_header_attention &a, const uint32_t *widths,
                              uint64_t count)
    {
        return a.kind == VQR_ATTENTION_DIN ? din_attention(name + ".attention", a, widths, count)
                                           : dot_attention(name + ".attention", a, count);
    }

    // [rows, columns] without padding, values from low to high.
    void flat(const std::string &name, uint64_t rows, uint64_t columns, float low, float high)
    {
        std::vector<float> x(rows * columns);
        for (float &value : x)
            value = low + (random.between(0.5f) + 0.5f) * (high - low);
        add_floats(name, fb::Layout_Rows, {rows, columns}, x);
    }

    uint64_t vql_sequence(const std::string &sequence)
    {
        const runtime_vql &v = o.vql;
        const uint64_t values = (uint64_t)v.heads * v.v_dim;
        const std::string name = sequence + ".vql";
        for (size_t g = 0; g < v.groups; g++) {
            const std::string at = name + ".groups." + std::to_string(g);
            panels(at + ".fold", {event_width(), v.codewords[g]});
            rows(at + ".offset", {v.codewords[g]});
            flat(at + ".codebook", v.codewords[g], (uint64_t)v.group_heads[g] * v.dim, -o.scale, o.scale);
        }
        panels(name + ".v.weight", {event_width(), values});
        panels(name + ".q.weight", {candidate_width(), (uint64_t)v.heads * v.dim});
        if (v.out > 0)
            panels(name + ".out.weight", {values, v.out});
        if (v.terms > 0) {
            flat(name + ".decay", v.heads, v.terms, 0.0f, v.decay);
            flat(name + ".mix", v.heads, v.terms, 0x1p-24f, 2.0f);
        }
        return v.out > 0 ? v.out : values;
    }

    // Returns the width of its interests.
    uint64_t sequence(const std::string &name)
    {
        panels(name + ".fold", {o.codebooks, event_width(), o.codewords});
        for (uint32_t i = 0; i < o.hstu.layers; i++)
            hstu(name, i);
        return o.codebooks *
               target_attention(name, o.attention, o.attention_hidden, o.attention.share ? 1 : o.codebooks);
    }

    uint64_t short_sequence(const std::string &name)
    {
        return target_attention(name, o.short_attention, o.short_hidden, 1);
    }

    static std::string sequence_name(const char *base, uint32_t i)
    {
        return i == 0 ? base : base + std::to_string(i);
    }

    uint64_t short_sequences()
    {
        uint64_t width = 0;
        for (uint32_t i = 0; i < o.short_sequences; i++)
            width += short_sequence("sequences." + sequence_name("short", i));
        return width;
    }

    void all()
    {
        table("item", o.items, o.item_dim);
        table("word", kWordCount + 1 + o.spare_rows, o.word_dim);
        if (o.word_ids == VQR_IDS_VOCABULARY)
            vocabulary();
        uint64_t in = user_width() + context_width() + candidate_width();
        for (uint32_t i = 0; i < o.sequences; i++)
            in += sequence("sequences." + sequence_name("long", o.sequences_same_name ? 0 : i));
        for (uint32_t i = 0; i < o.vql_sequences; i++)
            in += vql_sequence("sequences." + sequence_name("keys", i));
        in += short_sequences();
        for (size_t i = 0; i <= o.hidden_count; i++) {
            uint64_t out = i < o.hidden_count ? o.hidden[i] : o.outputs;
            panels("head." + std::to_string(i) + ".weight", {in, out});
            rows("head." + std::to_string(i) + ".bias", {out});
            if (i < o.hidden_count)
                activation("head." + std::to_string(i), o.activation, 0, out);
            in = out;
        }
        if (o.extra_tensor != nullptr)
            rows(o.extra_tensor, {3});
    }

    // Places the segments after a header of that size; returns the file's size.
    size_t place(size_t header)
    {
        size_t at = header;
        for (Tensor &tensor : list) {
            at = (at + kSegmentAlign - 1) / kSegmentAlign * kSegmentAlign;
            tensor.offset = at;
            at += tensor.bytes.size();
        }
        return at;
    }
};

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

    Features events()
    {
        const uint32_t widths[RUNTIME_EVENTS_MAX] = {o.item_dim, o.word_dim, 1, 0, o.item_dim, o.image_dim};
        const bool there[RUNTIME_EVENTS_MAX] = {true, true, true, true, o.tags, o.image_dim > 0};
        Features list;
        for (size_t i = 0; i < RUNTIME_EVENTS_MAX; i++) {
            uint32_t width = o.event_widths[i] == UINT32_MAX ? widths[i] : o.event_widths[i];
            if (there[i])
                list.push_back(
                    feature(o.event_names[i], o.event_kinds[i], width, o.event_tables[i], o.event_exponents[i]));
        }
        return list;
    }

    // The group's own features, then tags and image where the group may have them and the options say so.
    Offset<Vector<Offset<fb::Feature>>> group(Features list, bool tags, bool image)
    {
        if (tags && o.tags)
            list.push_back(feature("tags", VQR_KIND_IDS, o.item_dim, 0));
        if (image && o.image_dim > 0)
            list.push_back(feature("image", VQR_KIND_VECTOR, o.image_dim, -1));
        return out.CreateVector(list);
    }

    Offset<fb::Hstu> hstu()
    {
        const vqr_header_hstu &h = o.hstu;
        return fb::CreateHstu(out, h.layers, h.heads, h.qk_dim, h.v_dim, h.pre_norm, h.affine, (fb::Activate)h.activate,
                              (fb::Alpha)h.alpha, (fb::AttentionBias)h.bias, (fb::Normalize)h.normalize,
                              h.normalize_constant, (fb::Norm)h.norm, (fb::Output)h.output, h.residual, h.eps, h.share);
    }

    // One of the two, and none of the other.
    struct Attention {
        Offset<fb::DotAttention> dot;
        Offset<fb::DinAttention> din;
    };

    Attention attention(const vqr_header_attention &a, const uint32_t *widths)
    {
        if (a.kind == VQR_ATTENTION_DIN) {
            auto hidden = out.CreateVector(widths, a.hidden_count);
            return {0, fb::CreateDinAttention(out, hidden, (fb::Activation)a.activation, a.softmax, a.share)};
        }
        return {fb::CreateDotAttention(out, a.heads, a.dim, a.share, a.out, a.count_bias), 0};
    }

    Offset<fb::Sequence> sequence(uint32_t i)
    {
        auto name = out.CreateString(Tensors::sequence_name("long", o.sequences_same_name ? 0 : i));
        Attention a = attention(o.attention, o.attention_hidden);
        auto dmqn = fb::CreateDmqn(out, o.codebooks, o.codewords, (fb::Empty)o.empty, hstu(), a.dot, a.din);
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
        auto vql = fb::CreateVql(out, v.heads, v.dim, v.v_dim, list, v.terms, v.out, out.CreateVector(exponents));
        return fb::CreateSequence(out, name, fb::SequenceKind_Vql, vql.Union());
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
        auto tables = out.CreateVector(
            std::vector<Offset<fb::EmbeddingTable>>{table("item", o.items, o.item_dim, o.item_ids),
                                                    table(o.tables_same_name ? "item" : "word",
                                                          o.words + 1 + o.spare_rows, o.word_dim, o.word_ids)});
        auto user =
            group({feature("age", VQR_KIND_FLOAT, 1, -1), feature("word", VQR_KIND_ID, o.word_dim, 1)}, true, false);
        uint32_t context_width = o.context_kind == VQR_KIND_TIME ? 0 : o.item_dim;
        auto context = group({feature("item", o.context_kind, context_width, 0)}, false, true);
        auto event = group(events(), false, false);
        auto candidate =
            group({feature("item", VQR_KIND_ID, o.item_dim, 0), feature("price", VQR_KIND_FLOAT, 1, -1)}, true, true);
        auto sequence_list = sequences();
        auto head_part = head();
        auto tensor_list = directory();
        auto model = fb::CreateModel(out, o.format_version, name, 0, tables, user, context, event, candidate,
                                     sequence_list, head_part, tensor_list, file_length);
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
    o.last = 5;
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
