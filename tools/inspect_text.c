/* A model file, for people. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "inspect.h"
#include "text.h"

enum { SHAPE_SIZE = 96 };

void inspect_print_label(FILE *out, const char *label)
{
    fprintf(out, "%-11s ", label);
}

const char *inspect_plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static void print_file(FILE *out, const struct inspection *inspection)
{
    char file[TEXT_NUMBER_SIZE], header[TEXT_NUMBER_SIZE];
    const struct vqr_header_info *info = &inspection->info;
    inspect_print_label(out, "model");
    text_print_clean(out, info->name);
    fprintf(out, ", format version %u", (unsigned)info->format_version);
    if (info->producer[0] != '\0') {
        fputs(", written by ", out);
        text_print_clean(out, info->producer);
    }
    fputc('\n', out);
    inspect_print_label(out, "file");
    fprintf(out, "%s bytes, of them header %s; %zu tensor%s, %zu golden request%s\n",
            text_grouped(file, inspection->header.size), text_grouped(header, info->header_bytes), info->tensors,
            inspect_plural(info->tensors), info->goldens, inspect_plural(info->goldens));
}

static void print_memory(FILE *out, const struct inspection *inspection)
{
    char session[TEXT_NUMBER_SIZE], state[TEXT_NUMBER_SIZE];
    inspect_print_label(out, "memory");
    fprintf(out, "%s bytes a session (one per thread), %s bytes a state (one per user)\n",
            text_grouped(session, vqr_session_size(inspection->model)),
            text_grouped(state, vqr_state_size(inspection->model)));
}

static void print_tables(FILE *out, const struct inspection *inspection)
{
    for (size_t i = 0; i < inspection->info.tables; i++) {
        struct vqr_header_table table;
        char rows[TEXT_NUMBER_SIZE], bytes[TEXT_NUMBER_SIZE], keys[TEXT_NUMBER_SIZE];
        vqr_header_table(&inspection->header, i, &table);
        inspect_print_label(out, i == 0 ? "tables" : "");
        text_print_padded(out, table.name, 16);
        const bool int8 = inspect_table_is_int8(&inspection->header, table.name);
        const uint64_t row = int8 ? table.dim + sizeof(float) : table.dim * sizeof(float);
        fprintf(out, " %s rows x %u%s, %s bytes, ids %s", text_grouped(rows, table.rows), (unsigned)table.dim,
                int8 ? " in int8" : "", text_grouped(bytes, table.rows * row), inspect_word(WORDS_IDS, table.ids));
        if (table.ids == VQR_IDS_VOCABULARY)
            fprintf(out, " of %s keys", text_grouped(keys, table.keys));
        fputc('\n', out);
    }
}

static void print_feature(FILE *out, const struct inspection *inspection, size_t group, size_t i,
                          const struct vqr_header_feature *feature)
{
    text_print_padded(out, feature->name, 16);
    fprintf(out, " %s", inspect_word(WORDS_KIND, feature->kind));
    const bool looked_up = feature->kind == VQR_KIND_ID || feature->kind == VQR_KIND_IDS;
    if (feature->kind == VQR_KIND_IDS)
        fprintf(out, ", %s of rows", inspect_word(WORDS_POOL, feature->pool));
    if (looked_up && feature->table >= 0 && (size_t)feature->table < inspection->info.tables) {
        struct vqr_header_table table;
        vqr_header_table(&inspection->header, (size_t)feature->table, &table);
        fputs(" in table ", out);
        text_print_clean(out, table.name);
    } else if (feature->kind == VQR_KIND_FLOAT) {
        fprintf(out, ", mean %g, std %g", feature->mean, feature->std);
    } else if (feature->kind == VQR_KIND_SEMANTIC_ID) {
        inspect_print_semantic_id(out, inspection, group, i);
    }
    fprintf(out, ", width %u\n", (unsigned)feature->width);
}

static void print_features(FILE *out, const struct inspection *inspection)
{
    for (size_t group = 0; group < VQR_GROUPS; group++) {
        if (inspection->info.features[group] == 0) {
            inspect_print_label(out, inspect_groups[group]);
            fputs("no features\n", out);
        }
        for (size_t i = 0; i < inspection->info.features[group]; i++) {
            struct vqr_header_feature feature;
            vqr_header_feature(&inspection->header, group, i, &feature);
            inspect_print_label(out, i == 0 ? inspect_groups[group] : "");
            print_feature(out, inspection, group, i, &feature);
        }
    }
}

static void print_head(FILE *out, const struct inspection *inspection)
{
    struct vqr_header_head head;
    vqr_header_head(&inspection->header, &head);
    inspect_print_label(out, "head");
    for (size_t i = 0; i < head.hidden_count; i++)
        fprintf(out, "%s%u", i == 0 ? "" : "-", (unsigned)vqr_header_hidden(&inspection->header, i));
    if (head.hidden_count > 0)
        fprintf(out, " %s, ", inspect_word(WORDS_ACTIVATION, head.activation));
    fprintf(out, "output%s", inspect_plural(head.output_count));
    for (size_t i = 0; i < head.output_count; i++) {
        fputs(i == 0 ? " " : ", ", out);
        text_print_clean(out, vqr_header_output(&inspection->header, i));
    }
    fputc('\n', out);
}

static const char *describe_shape(char text[SHAPE_SIZE], const struct vqr_header_tensor *tensor)
{
    int used = snprintf(text, SHAPE_SIZE, "[");
    for (size_t i = 0; i < tensor->rank && i < VQR_TENSOR_RANK_MAX; i++)
        used += snprintf(text + used, (size_t)(SHAPE_SIZE - used), "%s%" PRIu64, i == 0 ? "" : ", ", tensor->shape[i]);
    snprintf(text + used, (size_t)(SHAPE_SIZE - used), "]");
    return text;
}

static void print_tensors(FILE *out, const struct inspection *inspection)
{
    int width = 0;
    for (size_t i = 0; i < inspection->info.tensors; i++) {
        struct vqr_header_tensor tensor;
        vqr_header_tensor(&inspection->header, i, &tensor);
        const int length = (int)strlen(tensor.name);
        width = length > width && length <= 60 ? length : width;
    }
    for (size_t i = 0; i < inspection->info.tensors; i++) {
        struct vqr_header_tensor tensor;
        char shape[SHAPE_SIZE], bytes[TEXT_NUMBER_SIZE];
        vqr_header_tensor(&inspection->header, i, &tensor);
        inspect_print_label(out, i == 0 ? "tensors" : "");
        text_print_padded(out, tensor.name, width);
        fprintf(out, "  %-3s %-11s %-22s %15s bytes\n", vqr_tensor_type_name((int)tensor.type),
                inspect_word(WORDS_LAYOUT, (int)tensor.layout), describe_shape(shape, &tensor),
                text_grouped(bytes, tensor.length));
    }
}

static void print_verification(FILE *out, const struct inspection *inspection)
{
    inspect_print_label(out, "verified");
    if (inspection->verified == VQR_OK) {
        fputs("all of the file was read, every value is sound\n", out);
    } else {
        fputs("FAILED: ", out);
        text_print_clean(out, inspection->error.message);
        fputc('\n', out);
    }
}

bool inspect_print_text(FILE *out, const struct inspection *inspection)
{
    bool printed = true;
    print_file(out, inspection);
    if (inspection->codebooks != NULL) {
        printed = codebooks_print_text(out, inspection->codebooks);
    } else {
        print_memory(out, inspection);
        print_tables(out, inspection);
        inspect_print_quantizers(out, inspection);
        print_features(out, inspection);
        inspect_print_sequences(out, inspection);
        inspect_print_assignments(out, inspection);
        print_head(out, inspection);
        print_tensors(out, inspection);
    }
    print_verification(out, inspection);
    return printed;
}
