/* Codewords stored per item, for people and as JSON. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "inspect.h"
#include "json_values.h"
#include "text.h"

/* What is stored: how many combinations of ids, and the bytes of their codewords and of the items' rows. */
struct stored {
    struct vqr_header_assignments header;
    uint64_t combinations, bytes;
    uint64_t keys, listed; /* rows of the key's table, and for how many of them anything is stored; 0 without a key */
};

static void take_determined(struct stored *stored, const struct vqr_header *header)
{
    struct vqr_header_tensor tensor;
    if (!vqr_header_find_tensor(header, "assignments.determined", &tensor))
        return;
    const uint32_t *rows = (const uint32_t *)(const void *)(header->data + tensor.offset);
    stored->bytes += tensor.length;
    stored->keys = tensor.shape[0];
    for (uint64_t i = 0; i < tensor.shape[0]; i++)
        stored->listed += rows[i * tensor.shape[1]] != UINT32_MAX;
}

/* False if the file stores none. The library has opened it, so that tensors have the shapes that they must have. */
static bool find_stored(struct stored *stored, const struct inspection *inspection)
{
    *stored = (struct stored){0};
    if (!vqr_header_assignments(&inspection->header, &stored->header))
        return false;
    take_determined(stored, &inspection->header);
    for (size_t i = 0; i < inspection->info.sequences; i++) {
        struct vqr_header_sequence sequence;
        struct vqr_header_tensor tensor;
        char name[VQR_NAME_SIZE];
        vqr_header_sequence(&inspection->header, i, &sequence);
        snprintf(name, sizeof name, "sequences.%s.assignments", sequence.name);
        if (!vqr_header_find_tensor(&inspection->header, name, &tensor))
            continue;
        stored->combinations = tensor.shape[0];
        stored->bytes += tensor.length;
    }
    return true;
}

static const char *event_feature(const struct vqr_header *header, size_t i)
{
    struct vqr_header_feature feature;
    vqr_header_feature(header, VQR_EVENT, i, &feature);
    return feature.name;
}

static bool is_determined(const struct stored *stored, const struct vqr_header *header, size_t feature)
{
    for (size_t i = 0; i < stored->header.determined; i++)
        if (vqr_header_determined(header, i) == feature)
            return true;
    return false;
}

/* Whether event feature i counts among the combinations. */
static bool is_digit(const struct stored *stored, const struct inspection *inspection, size_t i)
{
    struct vqr_header_feature feature;
    vqr_header_feature(&inspection->header, VQR_EVENT, i, &feature);
    return feature.kind == VQR_KIND_ID && !is_determined(stored, &inspection->header, i);
}

void inspect_print_assignments(FILE *out, const struct inspection *inspection)
{
    struct stored stored;
    char number[TEXT_NUMBER_SIZE], keys[TEXT_NUMBER_SIZE];
    if (!find_stored(&stored, inspection))
        return;
    inspect_print_label(out, "assignments");
    fprintf(out, "codewords stored for %s combination%s of ", text_grouped(number, stored.combinations),
            inspect_plural(stored.combinations));
    for (size_t i = 0, printed = 0; i < inspection->info.features[VQR_EVENT]; i++) {
        if (!is_digit(&stored, inspection, i))
            continue;
        fputs(printed++ == 0 ? "" : " x ", out);
        text_print_clean(out, event_feature(&inspection->header, i));
    }
    fprintf(out, ", %s bytes\n", text_grouped(number, stored.bytes));
    if (stored.header.determined == 0)
        return;
    inspect_print_label(out, "");
    fprintf(out, "of %s of the %s ids of ", text_grouped(number, stored.listed), text_grouped(keys, stored.keys));
    text_print_clean(out, event_feature(&inspection->header, (size_t)stored.header.key));
    fputs(", where events have its ", out);
    for (size_t i = 0; i < stored.header.determined; i++) {
        fputs(i == 0 ? "" : ", ", out);
        text_print_clean(out, event_feature(&inspection->header, vqr_header_determined(&inspection->header, i)));
    }
    fputc('\n', out);
}

json_t *inspect_describe_assignments(const struct inspection *inspection)
{
    struct stored stored;
    const struct vqr_header *header = &inspection->header;
    if (!find_stored(&stored, inspection))
        return json_null();
    json_t *features = json_array(), *determined = json_array();
    for (size_t i = 0; i < inspection->info.features[VQR_EVENT]; i++)
        if (is_digit(&stored, inspection, i))
            json_array_append_new(features, json_from_text(event_feature(header, i)));
    for (size_t i = 0; i < stored.header.determined; i++)
        json_array_append_new(determined, json_from_text(event_feature(header, vqr_header_determined(header, i))));
    json_t *object = json_pack("{s:o, s:o, s:o, s:o}", "combinations", json_from_whole(stored.combinations), "bytes",
                               json_from_whole(stored.bytes), "features", features, "determined", determined);
    const bool keyed = stored.header.determined > 0;
    json_object_set_new(object, "key",
                        keyed ? json_from_text(event_feature(header, (size_t)stored.header.key)) : json_null());
    json_object_set_new(object, "keys_stored", json_from_whole(stored.listed));
    return object;
}
