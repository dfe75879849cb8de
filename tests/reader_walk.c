#include "tests/reader_walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct span {
    const uint8_t *begin, *end;
};

static void check_string(struct span header, const char *string)
{
    const uint8_t *at = (const uint8_t *)string;
    if (*string == '\0' && (at < header.begin || at >= header.end))
        return; /* absent: the reader's own "" */
    assert_true(at >= header.begin && at < header.end);
    assert_non_null(memchr(at, 0, (size_t)(header.end - at)));
}

static uint64_t walk_features(const struct vqr_header *file, const struct vqr_header_info *info, struct span header)
{
    uint64_t sum = 0;
    for (size_t group = 0; group < 4; group++) {
        for (size_t i = 0; i < info->features[group]; i++) {
            struct vqr_header_feature feature;
            vqr_header_feature(file, group, i, &feature);
            check_string(header, feature.name);
            for (size_t l = 0; l < feature.levels; l++)
                sum += (uint64_t)vqr_header_feature_level(file, group, i, l);
            for (size_t l = 0; l < feature.exponents; l++)
                sum += (uint64_t)vqr_header_feature_exponent(file, group, i, l);
            sum += (uint64_t)feature.quantizer + (uint64_t)feature.combine;
            sum += (uint64_t)feature.kind + feature.width + (uint64_t)feature.table + (uint64_t)feature.exponent;
        }
    }
    return sum;
}

static uint64_t walk_tensors(const struct vqr_header *file, const struct vqr_header_info *info, struct span header)
{
    uint64_t sum = 0, free_from = info->header_bytes;
    for (size_t i = 0; i < info->tensors; i++) {
        struct vqr_header_tensor tensor;
        vqr_header_tensor(file, i, &tensor);
        check_string(header, tensor.name);
        assert_in_range(tensor.rank, 1, VQR_TENSOR_RANK_MAX);
        assert_string_not_equal(vqr_tensor_type_name((int)tensor.type), "unknown");
        assert_string_not_equal(vqr_layout_name((int)tensor.layout), "unknown");
        assert_true(tensor.offset % VQR_SEGMENT_ALIGN == 0 && tensor.offset >= free_from);
        free_from = tensor.offset + tensor.length;
        assert_true(free_from >= tensor.offset && free_from <= file->size);
        uint64_t elements = vqr_layout_elements(tensor.layout, tensor.rank, tensor.shape);
        assert_true(tensor.length == elements * (tensor.type == VQR_TENSOR_U8 ? 1 : 4));
        if (tensor.length > 0)
            sum += file->data[tensor.offset] + file->data[free_from - 1];
        for (size_t d = tensor.rank; d < VQR_TENSOR_RANK_MAX; d++)
            assert_true(tensor.shape[d] == 1);
    }
    return sum;
}

static uint64_t walk_goldens(const struct vqr_header *file, const struct vqr_header_info *info, struct span header)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < info->goldens; i++) {
        struct vqr_header_golden golden;
        vqr_header_golden(file, i, &golden);
        check_string(header, golden.request);
        for (size_t j = 0; j < golden.count; j++)
            sum += golden.bits[j] + (golden.float64[j] > 0);
    }
    return sum;
}

uint64_t reader_walk(const struct vqr_header *file)
{
    struct vqr_header_info info;
    vqr_header_info(file, &info);
    struct span header = {file->data, file->data + info.header_bytes};
    assert_true(info.header_bytes <= file->size && info.format_version >= 1 &&
                info.format_version <= VQR_FORMAT_VERSION);
    check_string(header, info.name);
    check_string(header, info.producer);
    check_string(header, info.config);
    uint64_t sum = walk_features(file, &info, header) + walk_tensors(file, &info, header);
    sum += walk_goldens(file, &info, header);
    for (size_t i = 0; i < info.tables; i++) {
        struct vqr_header_table table;
        vqr_header_table(file, i, &table);
        check_string(header, table.name);
        sum += table.rows + table.dim + (uint64_t)table.ids + table.keys + table.max_probe;
    }
    for (size_t i = 0; i < info.quantizers; i++) {
        struct vqr_header_quantizer quantizer;
        vqr_header_quantizer(file, i, &quantizer);
        check_string(header, quantizer.name);
        sum += (uint64_t)quantizer.kind + quantizer.levels + quantizer.codes + quantizer.dim;
    }
    for (size_t i = 0; i < info.sequences; i++) {
        struct vqr_header_sequence sequence;
        vqr_header_sequence(file, i, &sequence);
        check_string(header, sequence.name);
        sum += (uint64_t)sequence.kind + sequence.codebooks + sequence.hstu.layers + sequence.attention.out;
        sum += (uint64_t)sequence.hstu.pre_norm + sequence.hstu.share + sequence.attention.count_bias;
    }
    struct vqr_header_assignments stored;
    if (vqr_header_assignments(file, &stored))
        for (size_t i = 0; i < stored.determined; i++)
            sum += (uint64_t)stored.key + vqr_header_determined(file, i);
    struct vqr_header_head head;
    vqr_header_head(file, &head);
    for (size_t i = 0; i < head.hidden_count; i++)
        sum += vqr_header_hidden(file, i);
    for (size_t i = 0; i < head.output_count; i++)
        check_string(header, vqr_header_output(file, i));
    return sum;
}

bool reader_open_any(const uint8_t *data, size_t size)
{
    struct vqr_header header;
    char message[512] = "";
    enum vqr_header_status status = vqr_header_open(&header, data, size, message, sizeof(message));
    if (status == VQR_HEADER_OK) {
        volatile uint64_t sum = reader_walk(&header);
        (void)sum;
        return true;
    }
    assert_null(header.root);
    assert_true(message[0] != '\0');
    for (const char *c = message; *c != '\0'; c++)
        assert_true(*c >= 0x20 && *c < 0x7f);
    return false;
}
