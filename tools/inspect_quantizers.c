/* Quantizers and semantic ids, for people and as JSON. */
#include <jansson.h>
#include <stdio.h>

#include "inspect.h"
#include "json_values.h"
#include "text.h"

void inspect_print_quantizers(FILE *out, const struct inspection *inspection)
{
    for (size_t i = 0; i < inspection->info.quantizers; i++) {
        struct vqr_header_quantizer quantizer;
        vqr_header_quantizer(&inspection->header, i, &quantizer);
        inspect_print_label(out, i == 0 ? "quantizers" : "");
        text_print_padded(out, quantizer.name, 16);
        fprintf(out, " %s of vectors of %u: %u code%s a vector, each of %u\n",
                inspect_word(WORDS_QUANTIZER, quantizer.kind), (unsigned)quantizer.dim, (unsigned)quantizer.levels,
                quantizer.levels == 1 ? "" : "s", (unsigned)quantizer.codes);
    }
}

void inspect_print_semantic_id(FILE *out, const struct inspection *inspection, size_t group, size_t i)
{
    struct vqr_header_feature feature;
    vqr_header_feature(&inspection->header, group, i, &feature);
    struct vqr_header_quantizer quantizer;
    vqr_header_quantizer(&inspection->header, (size_t)feature.quantizer, &quantizer);
    fputs(" by quantizer ", out);
    text_print_clean(out, quantizer.name);
    fprintf(out, ", %s of rows in tables", inspect_word(WORDS_COMBINE, feature.combine));
    for (size_t l = 0; l < feature.levels; l++) {
        struct vqr_header_table table;
        vqr_header_table(&inspection->header, (size_t)vqr_header_feature_level(&inspection->header, group, i, l),
                         &table);
        fputs(l == 0 ? " " : ", ", out);
        text_print_clean(out, table.name);
    }
}

json_t *inspect_describe_quantizer(const struct vqr_header *header, size_t i)
{
    struct vqr_header_quantizer quantizer;
    vqr_header_quantizer(header, i, &quantizer);
    return json_pack("{s:o, s:s, s:i, s:i, s:i}", "name", json_from_text(quantizer.name), "kind",
                     inspect_word(WORDS_QUANTIZER, quantizer.kind), "levels", (int)quantizer.levels, "codes",
                     (int)quantizer.codes, "dim", (int)quantizer.dim);
}

void inspect_describe_semantic_id(json_t *object, const struct vqr_header *header, size_t group, size_t i)
{
    struct vqr_header_feature feature;
    vqr_header_feature(header, group, i, &feature);
    struct vqr_header_quantizer quantizer;
    json_t *tables = json_array();
    vqr_header_quantizer(header, (size_t)feature.quantizer, &quantizer);
    for (size_t l = 0; l < feature.levels; l++) {
        struct vqr_header_table table;
        vqr_header_table(header, (size_t)vqr_header_feature_level(header, group, i, l), &table);
        json_array_append_new(tables, json_from_text(table.name));
    }
    json_object_set_new(object, "quantizer", json_from_text(quantizer.name));
    json_object_set_new(object, "tables", tables);
    json_object_set_new(object, "combine", json_string(inspect_word(WORDS_COMBINE, feature.combine)));
    if (group != VQR_EVENT || feature.combine != VQR_COMBINE_CONCAT)
        return;
    json_t *exponents = json_array();
    for (size_t l = 0; l < feature.exponents; l++)
        json_array_append_new(exponents, json_integer(vqr_header_feature_exponent(header, group, i, l)));
    json_object_set_new(object, "exponents", exponents);
}
