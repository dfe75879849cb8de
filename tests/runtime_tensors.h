// The tensors of a model that runtime_model.cc builds, with seeded random weights.
#ifndef VQR_TESTS_RUNTIME_TENSORS_H
#define VQR_TESTS_RUNTIME_TENSORS_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" // C lets a function be named like a struct; gcc warns of it in C++
#include "tests/runtime_model.h"
#pragma GCC diagnostic pop

#include <algorithm>
#include <cmath>
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

    // `scale` times up to 1 / 127: the steps of int8 numbers.
    void steps(const std::string &name, fb::Layout layout, const std::vector<uint64_t> &shape, float scale)
    {
        size_t n = shape.back(), count = 1, stride = layout == fb::Layout_Rows ? n : padded(n);
        for (size_t d = 0; d + 1 < shape.size(); d++)
            count *= shape[d];
        std::vector<float> x(count * stride);
        for (size_t i = 0; i < x.size(); i++)
            x[i] = i % stride < n ? std::fabs(random.between(scale)) / 127.0f : 0.0f;
        add_floats(name, layout, shape, x);
    }

    int8_t byte()
    {
        return (int8_t)((int)(random.next() % 255) - 127);
    }

    void table(const std::string &name, uint64_t rows, uint64_t dim)
    {
        if (o.int8.tables) {
            std::vector<int8_t> q(rows * dim);
            for (int8_t &value : q)
                value = byte();
            add("tables." + name + ".weight", fb::TensorType_I8, fb::Layout_Rows, {rows, dim}, q.data(), q.size());
            steps("tables." + name + ".scale", fb::Layout_Rows, {rows}, 1.0f);
            return;
        }
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

    // Up to `most` of `all` columns, evenly spread; returns how many.
    uint64_t columns(const std::string &name, uint64_t all, uint64_t most)
    {
        const uint64_t count = most < all ? most : all;
        std::vector<uint32_t> number(count);
        for (size_t i = 0; i < count; i++)
            number[i] = (uint32_t)(i * all / count);
        if (count > 0)
            add(name, fb::TensorType_U32, fb::Layout_Rows, {count}, number.data(), 4 * count);
        return count;
    }

    // Columns of the input of int8 matrix NAME that are kept in fp32, and their weights.
    void kept(const std::string &name, const std::vector<uint64_t> &shape)
    {
        const uint64_t count = columns(name + ".kept", shape[shape.size() - 2], o.int8.kept);
        std::vector<uint64_t> weight(shape);
        weight[weight.size() - 2] = count;
        if (count > 0)
            panels(name + ".kept.weight", weight);
    }

    // The int8 matrix NAME [..., in, out]: quads, their steps [..., out], and what is kept in fp32.
    void quads(const std::string &weight, const std::string &name, const std::vector<uint64_t> &shape)
    {
        const size_t out = shape.back(), in = shape[shape.size() - 2], count = shape.size() == 3 ? shape[0] : 1;
        const size_t panel = (in + 3) / 4 * 64, matrix = panel * (padded(out) / 16);
        std::vector<int8_t> q(count * matrix);
        for (size_t i = 0; i < q.size(); i++) {
            const size_t column = i % matrix / panel * 16 + i / 4 % 16, k = i % panel / 64 * 4 + i % 4;
            q[i] = column < out && k < in ? byte() : 0;
        }
        std::vector<uint64_t> steps_shape(shape.begin(), shape.end() - 2);
        steps_shape.push_back(out);
        add(weight, fb::TensorType_I8, fb::Layout_Quads, shape, q.data(), q.size());
        steps(name + ".scale", fb::Layout_PaddedRows, steps_shape, o.scale);
        kept(name, shape);
    }

    // A layer without a bias, in fp32 or int8.
    void product(const std::string &name, const std::vector<uint64_t> &shape)
    {
        if (o.int8.weights)
            quads(name + ".weight", name, shape);
        else
            panels(name + ".weight", shape);
    }

    void linear(const std::string &name, uint64_t count, uint64_t in, uint64_t out)
    {
        product(name, {count, in, out});
        rows(name + ".bias", {count, out});
    }

    void fold(const std::string &name, const std::vector<uint64_t> &shape)
    {
        if (o.int8.scores == VQR_SCORES_INT8)
            quads(name, name, shape);
        else
            panels(name, shape);
    }

    // The head's first layer: in int8, what candidates share is a part of its own.
    void first_of_head(uint64_t in, uint64_t out)
    {
        const uint64_t shared = user_width() + context_width();
        if (o.int8.weights)
            panels("head.0.shared", {shared, out});
        product("head.0", {o.int8.weights ? in - shared : in, out});
        rows("head.0.bias", {out});
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

    uint64_t content_width() const
    {
        return (o.content.combine == VQR_COMBINE_SUM && o.content.levels > 0 ? 1 : o.content.levels) * o.item_dim;
    }
    uint64_t content_rows() const
    {
        return o.content.rows > 0 ? o.content.rows : (uint64_t)o.content.codes + 1;
    }
    // A quantizer and its levels' tables.
    void content()
    {
        const runtime_quantizer &q = o.content;
        for (uint32_t l = 0; l < q.levels; l++)
            table("c" + std::to_string(l), content_rows(), o.item_dim);
        if (q.levels == 0)
            return;
        panels("quantizers.content.mean", {q.levels, q.dim, q.codes});
        if (q.kind != VQR_RQ_GMM)
            return;
        panels("quantizers.content.inverse_variance", {q.levels, q.dim, q.codes});
        if (!list.empty() && list.back().name == "quantizers.content.inverse_variance")
            for (size_t i = 3; i < list.back().bytes.size(); i += 4)
                list.back().bytes[i] &= 0x7f; // the sign
        rows("quantizers.content.bias", {q.levels, q.codes});
    }

    uint64_t tags_width() const
    {
        return o.tags ? o.item_dim : 0;
    }
    uint64_t event_width() const
    {
        return o.item_dim + o.word_dim + !o.ids_only + tags_width() + o.image_dim + content_width();
    }
    uint64_t candidate_width() const
    {
        return o.item_dim + 1 + tags_width() + o.image_dim + content_width();
    }
    uint64_t user_width() const
    {
        return 1 + o.word_dim + tags_width();
    }
    uint64_t context_width() const
    {
        return (o.context_kind == VQR_KIND_TIME ? 0 : o.item_dim) + o.image_dim + content_width();
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

    // One layer's tensors but for the biases of its scores, which `bias` adds among them.
    template <typename Bias> void hstu(const std::string &at, const vqr_header_hstu &h, uint64_t count, Bias bias)
    {
        uint64_t d = event_width(), v = (uint64_t)h.heads * h.v_dim;
        linear(at + ".f1", count, d, 2 * v + 2 * (uint64_t)h.heads * h.qk_dim);
        if (h.pre_norm && h.affine)
            norm(at + ".pre_norm", count, d);
        bias();
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
        if (a.state == VQR_KEPT_INT8)
            columns(at + ".k.fine", width, o.int8.fine);
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
                product(layer, {count, in, out});
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
            fold(at + ".fold", {event_width(), v.codewords[g]});
            rows(at + ".offset", {v.codewords[g]});
            flat(at + ".codebook", v.codewords[g], (uint64_t)v.group_heads[g] * v.dim, -o.scale, o.scale);
        }
        panels(name + ".v.weight", {event_width(), values});
        product(name + ".q", {candidate_width(), (uint64_t)v.heads * v.dim});
        if (v.out > 0)
            product(name + ".out", {values, v.out});
        if (v.terms > 0) {
            flat(name + ".decay", v.heads, v.terms, 0.0f, v.decay);
            flat(name + ".mix", v.heads, v.terms, 0x1p-24f, 2.0f);
        }
        return v.out > 0 ? v.out : values;
    }

    // The least seconds of bucket 1, 2, ... as the converter has them, but for a unit now and then.
    void time_edges(const std::string &name)
    {
        const runtime_hstu_last &l = o.hstu_last;
        std::vector<uint32_t> halves;
        for (uint32_t b = 1; b <= l.buckets; b++) {
            const double first = std::exp(0.301 * b);
            const uint64_t usual = first < 0x1p63 ? (uint64_t)first + 1 : 1;
            const uint64_t edge = b - 1 == l.wrong_edge ? l.edge_value : l.edges != nullptr ? l.edges[b - 1] : usual;
            halves.insert(halves.end(), {(uint32_t)edge, (uint32_t)(edge >> 32)});
        }
        add(name, fb::TensorType_U32, fb::Layout_Rows, {l.buckets, 2}, halves.data(), 4 * halves.size());
    }

    uint64_t hstu_sequence(const std::string &name)
    {
        const runtime_hstu_last &l = o.hstu_last;
        if (l.buckets > 0)
            time_edges(name + ".time_edges");
        if (l.positions)
            rows(name + ".position", {l.last, event_width()});
        for (uint32_t i = 0; i < l.hstu.layers; i++) {
            std::string at = name + ".hstu." + std::to_string(i);
            hstu(at, l.hstu, 1, [&] {
                if (l.hstu.bias != VQR_BIAS_NONE)
                    rows(at + ".bias", {2 * (uint64_t)l.last - 1});
                if (l.buckets > 0)
                    rows(at + ".time_bias", {(uint64_t)l.buckets + 1});
            });
        }
        return l.attention.kind == VQR_ATTENTION_NONE ? event_width()
                                                      : target_attention(name, l.attention, l.hidden, 1);
    }

    uint64_t sdim_sequence(const std::string &name)
    {
        panels(name + ".sdim.hash", {event_width(), (uint64_t)o.hashes * o.bits});
        panels(name + ".sdim.q.weight", {candidate_width(), event_width()});
        rows(name + ".sdim.q.bias", {event_width()});
        return event_width();
    }

    // Returns the width of its interests.
    uint64_t sequence(const std::string &name)
    {
        fold(name + ".fold", {o.codebooks, event_width(), o.codewords});
        for (uint32_t i = 0; i < o.hstu.layers; i++)
            hstu(name + ".hstu." + std::to_string(i), o.hstu, o.hstu.share ? 1 : o.codebooks, [&] {
                const uint64_t heads = o.hstu.bias == VQR_BIAS_PER_HEAD ? o.hstu.heads : 1;
                if (o.hstu.bias != VQR_BIAS_NONE)
                    rows(name + ".hstu." + std::to_string(i) + ".bias",
                         {o.hstu.share ? 1 : o.codebooks, heads, o.codewords, o.codewords});
            });
        return o.codebooks *
               target_attention(name, o.attention, o.attention_hidden, o.attention.share ? 1 : o.codebooks);
    }

    uint64_t short_sequence(const std::string &name)
    {
        return target_attention(name, o.short_attention, o.short_hidden, 1);
    }

    uint64_t search_sequences()
    {
        const runtime_search &s = o.search;
        uint64_t width = 0;
        for (uint32_t i = 0; i < s.sim_hards; i++)
            width += target_attention("sequences." + sequence_name("same", i), s.attention, s.hidden, 1);
        for (uint32_t i = 0; i < s.twins; i++)
            width += target_attention("sequences." + sequence_name("far", i), s.twin, s.hidden, 1);
        return width;
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

    // Rows of features item and word.
    uint64_t rows_of(uint32_t feature) const
    {
        return feature == 0 ? o.items : kWordCount + 1 + o.spare_rows;
    }

    bool is_determined(uint32_t feature) const
    {
        const uint32_t *end = o.assignments.determined + o.assignments.determined_count;
        return std::find(o.assignments.determined, end, feature) != end;
    }

    void stored_codewords(const std::string &name, uint64_t combinations, uint64_t codebooks, uint32_t codewords)
    {
        const bool wide = codewords > 256;
        const std::vector<uint8_t> zeros(combinations * codebooks * (wide ? 2 : 1));
        add("sequences." + name + ".assignments", wide ? fb::TensorType_U16 : fb::TensorType_U8, fb::Layout_Rows,
            {combinations, codebooks}, zeros.data(), zeros.size());
    }

    void assignments()
    {
        const runtime_assignments &a = o.assignments;
        Random own = {o.seed + 1}; // so that the other tensors are what they are without
        if (a.determined_count > 0) {
            const uint64_t keys = rows_of((uint32_t)a.key);
            std::vector<uint32_t> rows;
            for (uint64_t i = 0; i < keys; i++)
                for (size_t d = 0; d < a.determined_count; d++) {
                    const auto row = (uint32_t)(own.next() % rows_of(a.determined[d]));
                    rows.push_back(a.unlisted != 0 && i % a.unlisted == 0 ? UINT32_MAX : row);
                }
            add("assignments.determined", fb::TensorType_U32, fb::Layout_Rows, {keys, a.determined_count}, rows.data(),
                rows.size() * sizeof(uint32_t));
        }
        uint64_t combinations = 1;
        for (uint32_t feature = 0; feature < 2; feature++)
            combinations *= is_determined(feature) ? 1 : rows_of(feature);
        const runtime_vql &v = o.vql;
        for (uint32_t i = 0; i < o.sequences; i++)
            stored_codewords(sequence_name("long", i), combinations, o.codebooks, o.codewords);
        for (uint32_t i = 0; i < o.vql_sequences; i++)
            stored_codewords(sequence_name("keys", i), combinations, v.groups,
                             *std::max_element(v.codewords, v.codewords + v.groups));
    }

    void all()
    {
        table("item", o.items, o.item_dim);
        table("word", kWordCount + 1 + o.spare_rows, o.word_dim);
        if (o.word_ids == VQR_IDS_VOCABULARY)
            vocabulary();
        content();
        uint64_t in = user_width() + context_width() + candidate_width();
        for (uint32_t i = 0; i < o.sequences; i++)
            in += sequence("sequences." + sequence_name("long", o.sequences_same_name ? 0 : i));
        for (uint32_t i = 0; i < o.vql_sequences; i++)
            in += vql_sequence("sequences." + sequence_name("keys", i));
        for (uint32_t i = 0; i < o.sdim_sequences; i++)
            in += sdim_sequence("sequences." + sequence_name("hashed", i));
        for (uint32_t i = 0; i < o.hstu_sequences; i++)
            in += hstu_sequence("sequences." + sequence_name("all", i));
        in += search_sequences();
        in += short_sequences();
        for (size_t i = 0; i <= o.hidden_count; i++) {
            uint64_t out = i < o.hidden_count ? o.hidden[i] : o.outputs;
            const std::string name = "head." + std::to_string(i);
            if (i == 0) {
                first_of_head(in, out);
            } else {
                product(name, {in, out});
                rows(name + ".bias", {out});
            }
            if (i < o.hidden_count)
                activation(name, o.activation, 0, out);
            in = out;
        }
        if (o.assignments.stored)
            assignments();
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

} // namespace

#endif
