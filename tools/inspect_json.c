/* A model file as one JSON object. Keys are a contract: docs/command.md lists them. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "inspect.h"
#include "json_values.h"

/* The shortest decimal that gives the same float: 1e-05, not 9.9999997473787516e-06. */
static json_t *real32(float value)
{
    char decimal[32];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(decimal, sizeof decimal, "%.*g", digits, (double)value);
        if (strtof(decimal, NULL) == value)
            break;
    }
    return json_real(strtod(decimal, NULL));
}

static json_t *describe_table(const struct vqr_header *header, size_t i)
{
    struct vqr_header_table table;
    vqr_header_table(header, i, &table);
    return json_pack("{s:o, s:o, s:i, s:s, s:s, s:o}", "name", json_from_text(table.name), "rows",
                     json_from_whole(table.rows), "dim", (int)table.dim, "type",
                     vqr_tensor_type_name(inspect_table_is_int8(header, table.name) ? VQR_TENSOR_I8 : VQR_TENSOR_F32),
                     "ids", inspect_word(WORDS_IDS, table.ids), "keys", json_from_whole(table.keys));
}

static json_t *describe_feature(const struct inspection *inspection, size_t group, size_t i)
{
    struct vqr_header_feature feature;
    vqr_header_feature(&inspection->header, group, i, &feature);
    json_t *object = json_pack("{s:o, s:s, s:i}", "name", json_from_text(feature.name), "kind",
                               inspect_word(WORDS_KIND, feature.kind), "width", (int)feature.width);
    const bool looked_up = feature.kind == VQR_KIND_ID || feature.kind == VQR_KIND_IDS;
    if (looked_up && feature.table >= 0 && (size_t)feature.table < inspection->info.tables) {
        struct vqr_header_table table;
        vqr_header_table(&inspection->header, (size_t)feature.table, &table);
        json_object_set_new(object, "table", json_from_text(table.name));
        if (feature.kind == VQR_KIND_IDS)
            json_object_set_new(object, "pool", json_string(inspect_word(WORDS_POOL, feature.pool)));
    } else if (feature.kind == VQR_KIND_FLOAT) {
        json_object_set_new(object, "mean", json_real(feature.mean));
        json_object_set_new(object, "std", json_real(feature.std));
    } else if (feature.kind == VQR_KIND_SEMANTIC_ID) {
        inspect_describe_semantic_id(object, &inspection->header, group, i);
    }
    const bool by_level = feature.kind == VQR_KIND_SEMANTIC_ID && feature.combine == VQR_COMBINE_CONCAT;
    if (group == VQR_EVENT && feature.width > 0 && !by_level)
        json_object_set_new(object, "exponent", json_integer(feature.exponent));
    return object;
}

/* Without `share`, which only codebooks can. */
static json_t *describe_block(const struct vqr_header_hstu *hstu)
{
    json_t *normalize = hstu->normalize == VQR_NORMALIZE_CONSTANT
                            ? json_pack("{s:I}", "constant", (json_int_t)hstu->normalize_constant)
                            : json_string(inspect_word(WORDS_NORMALIZE, hstu->normalize));
    return json_pack("{s:i, s:i, s:i, s:i, s:b, s:b, s:s, s:s, s:s, s:o, s:s, s:s, s:b, s:o}", "layers",
                     (int)hstu->layers, "heads", (int)hstu->heads, "qk_dim", (int)hstu->qk_dim, "v_dim",
                     (int)hstu->v_dim, "pre_norm", hstu->pre_norm, "affine", hstu->affine, "activate",
                     inspect_word(WORDS_ACTIVATE, hstu->activate), "alpha", inspect_word(WORDS_ALPHA, hstu->alpha),
                     "bias", inspect_word(WORDS_BIAS, hstu->bias), "normalize", normalize, "norm",
                     inspect_word(WORDS_NORM, hstu->norm), "output", inspect_word(WORDS_OUTPUT, hstu->output),
                     "residual", hstu->residual, "eps", real32(hstu->eps));
}

static json_t *describe_hstu(const struct vqr_header_hstu *hstu)
{
    json_t *object = describe_block(hstu);
    json_object_set_new(object, "share", json_boolean(hstu->share));
    return object;
}

/* The widths of the hidden layers of sequence i's attention. */
static json_t *describe_attention_hidden(const struct vqr_header *header, size_t i, size_t count)
{
    json_t *hidden = json_array();
    for (size_t layer = 0; layer < count; layer++)
        json_array_append_new(hidden, json_integer(vqr_header_attention_hidden(header, i, layer)));
    return hidden;
}

static json_t *describe_attention(const struct vqr_header *header, const struct vqr_header_sequence *sequence)
{
    const struct vqr_header_attention *attention = &sequence->attention;
    json_t *object;
    if (attention->kind == VQR_ATTENTION_DIN) {
        object = json_pack("{s:s, s:o, s:s, s:b}", "kind", "din", "hidden",
                           describe_attention_hidden(header, sequence->index, attention->hidden_count), "activation",
                           inspect_word(WORDS_ACTIVATION, attention->activation), "softmax", attention->softmax);
    } else if (attention->kind == VQR_ATTENTION_DOT) {
        object = json_pack("{s:s, s:i, s:i, s:b}", "kind", "dot", "heads", (int)attention->heads, "dim",
                           (int)attention->dim, "count_bias", attention->count_bias);
        json_object_set_new(object, "out", attention->out > 0 ? json_integer(attention->out) : json_null());
        json_object_set_new(object, "state", json_string(inspect_word(WORDS_KEPT, attention->state)));
    } else {
        return json_pack("{s:s}", "kind", "unknown");
    }
    if (sequence->kind == VQR_SEQUENCE_DMQN) /* sequences of last events have one set of weights anyway */
        json_object_set_new(object, "share", json_boolean(attention->share));
    return object;
}

static json_t *describe_group(const struct vqr_header *header, size_t i, size_t g)
{
    struct vqr_header_vql_group group;
    json_t *heads = json_array();
    vqr_header_vql_group(header, i, g, &group);
    for (size_t n = 0; n < group.heads; n++)
        json_array_append_new(heads, json_integer(vqr_header_vql_head(header, i, g, n)));
    return json_pack("{s:o, s:i}", "heads", heads, "codewords", (int)group.codewords);
}

static json_t *describe_vql(const struct vqr_header *header, const struct vqr_header_sequence *sequence)
{
    const struct vqr_header_vql *vql = &sequence->vql;
    json_t *groups = json_array(), *exponents = json_array();
    for (size_t g = 0; g < vql->groups; g++)
        json_array_append_new(groups, describe_group(header, sequence->index, g));
    for (size_t a = 0; a < vql->exponents; a++)
        json_array_append_new(exponents, json_integer(vqr_header_vql_exponent(header, sequence->index, a)));
    return json_pack("{s:o, s:s, s:s, s:i, s:i, s:i, s:o, s:i, s:o, s:o}", "name", json_from_text(sequence->name),
                     "kind", "vql", "scores", inspect_word(WORDS_SCORES, sequence->scores), "heads", (int)vql->heads,
                     "dim", (int)vql->dim, "v_dim", (int)vql->v_dim, "groups", groups, "decay_terms",
                     (int)vql->decay_terms, "out", vql->out > 0 ? json_integer(vql->out) : json_null(), "exponents",
                     exponents);
}

static json_t *describe_hstu_last(const struct vqr_header *header, const struct vqr_header_sequence *sequence)
{
    return json_pack("{s:o, s:s, s:i, s:s, s:b, s:i, s:o, s:o}", "name", json_from_text(sequence->name), "kind", "hstu",
                     "last", (int)sequence->last, "scale", sequence->scale == VQR_SCALE_SQRT ? "sqrt" : "one",
                     "positions", sequence->positions, "time_buckets", (int)sequence->time_buckets, "hstu",
                     describe_block(&sequence->hstu), "attention",
                     sequence->attention.kind == VQR_ATTENTION_NONE ? json_null()
                                                                    : describe_attention(header, sequence));
}

static json_t *describe_search(const struct vqr_header *header, const struct vqr_header_sequence *sequence)
{
    const int twin = sequence->kind == VQR_SEQUENCE_TWIN;
    json_t *object = json_pack("{s:o, s:s, s:i, s:i}", "name", json_from_text(sequence->name), "kind",
                               twin ? "twin" : "sim_hard", "last", (int)sequence->last, "top", (int)sequence->top);
    if (!twin) {
        struct vqr_header_feature event, candidate;
        vqr_header_feature(header, VQR_EVENT, sequence->match_event, &event);
        vqr_header_feature(header, VQR_CANDIDATE, sequence->match_candidate, &candidate);
        json_object_set_new(object, "match",
                            json_pack("{s:o, s:o}", "event", json_from_text(event.name), "candidate",
                                      json_from_text(candidate.name)));
    }
    json_object_set_new(object, "attention", describe_attention(header, sequence));
    return object;
}

static json_t *describe_kind(const struct vqr_header *header, size_t i)
{
    struct vqr_header_sequence sequence;
    vqr_header_sequence(header, i, &sequence);
    if (sequence.kind == VQR_SEQUENCE_VQL)
        return describe_vql(header, &sequence);
    if (sequence.kind == VQR_SEQUENCE_SDIM)
        return json_pack("{s:o, s:s, s:i, s:i}", "name", json_from_text(sequence.name), "kind", "sdim", "hashes",
                         (int)sequence.hashes, "bits", (int)sequence.bits);
    if (sequence.kind == VQR_SEQUENCE_HSTU)
        return describe_hstu_last(header, &sequence);
    if (sequence.kind == VQR_SEQUENCE_DIN)
        return json_pack("{s:o, s:s, s:i, s:o}", "name", json_from_text(sequence.name), "kind", "din", "last",
                         (int)sequence.last, "attention", describe_attention(header, &sequence));
    if (sequence.kind == VQR_SEQUENCE_SIM_HARD || sequence.kind == VQR_SEQUENCE_TWIN)
        return describe_search(header, &sequence);
    if (sequence.kind != VQR_SEQUENCE_DMQN)
        return json_pack("{s:o, s:s}", "name", json_from_text(sequence.name), "kind", "unknown");
    return json_pack("{s:o, s:s, s:s, s:i, s:i, s:s, s:o, s:o}", "name", json_from_text(sequence.name), "kind", "dmqn",
                     "scores", inspect_word(WORDS_SCORES, sequence.scores), "codebooks", (int)sequence.codebooks,
                     "codewords", (int)sequence.codewords, "empty", inspect_word(WORDS_EMPTY, sequence.empty), "hstu",
                     describe_hstu(&sequence.hstu), "attention", describe_attention(header, &sequence));
}

static json_t *describe_sequence(const struct inspection *inspection, size_t i)
{
    struct vqr_sequence_info info;
    json_t *object = describe_kind(&inspection->header, i);
    vqr_sequence_info(inspection->model, i, &info);
    json_object_set_new(object, "state_bytes", json_from_whole(info.state_bytes));
    json_object_set_new(object, "candidate_work", json_from_whole(info.candidate_work));
    return object;
}

static json_t *describe_sequences(const struct inspection *inspection)
{
    json_t *array = json_array();
    for (size_t i = 0; i < inspection->info.sequences; i++)
        json_array_append_new(array, describe_sequence(inspection, i));
    return array;
}

static json_t *describe_head(const struct vqr_header *header)
{
    struct vqr_header_head head;
    json_t *hidden = json_array(), *outputs = json_array();
    vqr_header_head(header, &head);
    for (size_t i = 0; i < head.hidden_count; i++)
        json_array_append_new(hidden, json_integer(vqr_header_hidden(header, i)));
    for (size_t i = 0; i < head.output_count; i++)
        json_array_append_new(outputs, json_from_text(vqr_header_output(header, i)));
    return json_pack("{s:o, s:s, s:o}", "hidden", hidden, "activation", inspect_word(WORDS_ACTIVATION, head.activation),
                     "outputs", outputs);
}

static json_t *describe_tensor(const struct vqr_header *header, size_t i)
{
    struct vqr_header_tensor tensor;
    json_t *shape = json_array();
    vqr_header_tensor(header, i, &tensor);
    for (size_t axis = 0; axis < tensor.rank; axis++)
        json_array_append_new(shape, json_from_whole(tensor.shape[axis]));
    return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o}", "name", json_from_text(tensor.name), "type",
                     vqr_tensor_type_name((int)tensor.type), "layout", inspect_word(WORDS_LAYOUT, (int)tensor.layout),
                     "shape", shape, "offset", json_from_whole(tensor.offset), "bytes", json_from_whole(tensor.length));
}

static json_t *describe_features(const struct inspection *inspection)
{
    json_t *groups = json_object();
    for (size_t group = 0; group < VQR_GROUPS; group++) {
        json_t *features = json_array();
        for (size_t i = 0; i < inspection->info.features[group]; i++)
            json_array_append_new(features, describe_feature(inspection, group, i));
        json_object_set_new(groups, inspect_groups[group], features);
    }
    return groups;
}

/* An array of what `describe` says of items 0 ... count - 1. */
static json_t *describe_all(const struct vqr_header *header, size_t count,
                            json_t *(*describe)(const struct vqr_header *header, size_t i))
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, describe(header, i));
    return array;
}

/* The checkpoint's configuration as the object that it is; null when the file has none. */
static json_t *describe_config(const char *config)
{
    json_t *value = config[0] == '\0' ? NULL : json_loads(config, 0, NULL);
    return value != NULL ? value : json_null();
}

static json_t *describe_verification(const struct inspection *inspection)
{
    if (inspection->verified == VQR_OK)
        return json_pack("{s:b}", "ok", 1);
    return json_pack("{s:b, s:s, s:o}", "ok", 0, "code", vqr_status_name(inspection->verified), "message",
                     json_from_text(inspection->error.message));
}

bool inspect_print_json(FILE *out, const struct inspection *inspection)
{
    const struct vqr_header *header = &inspection->header;
    const struct vqr_header_info *info = &inspection->info;
    json_t *root = json_pack("{s:o, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
                             "name", json_from_text(info->name), "format_version", (int)info->format_version,
                             "producer", json_from_text(info->producer), "file_bytes", json_from_whole(header->size),
                             "header_bytes", json_from_whole(info->header_bytes), "session_bytes",
                             json_from_whole(vqr_session_size(inspection->model)), "state_bytes",
                             json_from_whole(vqr_state_size(inspection->model)), "tables",
                             describe_all(header, info->tables, describe_table), "quantizers",
                             describe_all(header, info->quantizers, inspect_describe_quantizer), "features",
                             describe_features(inspection), "sequences", describe_sequences(inspection), "assignments",
                             inspect_describe_assignments(inspection), "head", describe_head(header), "tensors",
                             describe_all(header, info->tensors, describe_tensor), "golden_requests",
                             json_from_whole(info->goldens), "config", describe_config(info->config), "verified",
                             describe_verification(inspection));
    if (root != NULL && inspection->codebooks != NULL &&
        json_object_set_new(root, "codebooks", codebooks_describe(inspection->codebooks)) != 0) {
        json_decref(root);
        root = NULL;
    }
    const bool printed = root != NULL && json_dumpf(root, out, JSON_INDENT(2) | JSON_PRESERVE_ORDER) == 0;
    if (printed)
        fputc('\n', out);
    json_decref(root);
    return printed;
}
