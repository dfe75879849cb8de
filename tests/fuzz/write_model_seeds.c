/* write_model_seeds FOLDER: writes the seeds of fuzz_model, one small file for each part that models can have. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/fuzz.h"
#include "tests/runtime_model.h"

/* As narrow as a model can be: what libFuzzer changes should matter. */
static struct runtime_options smallest(void)
{
    struct runtime_options o = runtime_options_default();
    o.format_version = 2;
    o.items = 5;
    o.item_dim = o.word_dim = 1;
    o.codebooks = 1;
    o.codewords = 2;
    o.hstu.layers = 0;
    o.hstu.heads = o.hstu.qk_dim = o.hstu.v_dim = 1;
    o.attention.heads = o.attention.dim = 1;
    o.last = 2;
    o.short_attention = o.attention;
    o.hidden_count = 0;
    o.outputs = 1;
    return o;
}

static void write_file(const char *folder, const char *name, const struct runtime_options *options)
{
    char path[4096];
    struct runtime_file file = runtime_build(options);
    snprintf(path, sizeof path, "%s/seed-%s", folder, name);
    FILE *out = fopen(path, "wb");
    if (!out || fwrite(file.data, 1, file.size, out) != file.size || fclose(out) != 0)
        fuzz_fail("%s: not written", path);
    free(file.data);
}

static void write_attentions(const char *folder)
{
    struct runtime_options o = smallest();
    o.attention.count_bias = o.attention.share = true;
    o.attention.out = 2;
    write_file(folder, "dot", &o);
    o = smallest();
    o.empty = VQR_EMPTY_ZERO;
    o.attention.kind = VQR_ATTENTION_DIN;
    o.attention.activation = VQR_DICE;
    o.attention.hidden_count = 2;
    o.attention_hidden[0] = o.attention_hidden[1] = 2;
    write_file(folder, "din", &o);
    o = smallest();
    o.sequences = 0;
    o.short_sequences = 2;
    o.short_attention.kind = VQR_ATTENTION_DIN;
    o.short_attention.softmax = true;
    write_file(folder, "last-din", &o);
    o.short_attention = o.attention;
    o.sequences = 1;
    o.short_first = true;
    write_file(folder, "last-dot", &o);
}

static void write_vqls(const char *folder)
{
    struct runtime_options o = smallest();
    o.format_version = 3;
    o.sequences = 0;
    o.vql_sequences = 1;
    o.vql.dim = o.vql.v_dim = 1;
    o.vql.codewords[0] = o.vql.codewords[1] = 2;
    write_file(folder, "vql", &o);
    o.vql.terms = o.vql.out = 2;
    write_file(folder, "vql-fading", &o);
}

static void write_hashed_and_last(const char *folder)
{
    struct runtime_options o = smallest();
    o.format_version = 4;
    o.sequences = 0;
    o.sdim_sequences = 1;
    o.hashes = 2;
    o.bits = 1;
    write_file(folder, "sdim", &o);
    o.sdim_sequences = 0;
    o.hstu_sequences = 1;
    o.hstu_last.last = o.hstu_last.buckets = 2;
    o.hstu_last.hstu = o.hstu;
    o.hstu_last.hstu.layers = 1;
    o.hstu_last.attention = o.attention;
    write_file(folder, "hstu-last", &o);
    o.hstu_last.attention.kind = VQR_ATTENTION_NONE;
    o.hstu_last.positions = false;
    o.hstu_last.buckets = 0;
    write_file(folder, "hstu-last-alone", &o);
}

static void write_searches(const char *folder)
{
    struct runtime_options o = smallest();
    o.format_version = 4;
    o.sequences = 0;
    o.search.sim_hards = 1;
    o.search.last = 3;
    o.search.top = 2;
    o.search.attention = o.search.twin = o.attention;
    write_file(folder, "sim-hard", &o);
    o.search.attention.kind = VQR_ATTENTION_DIN;
    write_file(folder, "sim-hard-din", &o);
    o.search.sim_hards = 0;
    o.search.twins = 1;
    o.search.twin.out = 2;
    write_file(folder, "twin", &o);
}

static void write_hstus(const char *folder)
{
    struct runtime_options o = smallest();
    o.hstu.layers = 1;
    write_file(folder, "hstu", &o);
    o.hstu.pre_norm = o.hstu.residual = o.hstu.share = true;
    o.hstu.heads = 2;
    o.hstu.bias = VQR_BIAS_PER_HEAD;
    o.hstu.normalize = VQR_NORMALIZE_CONSTANT;
    o.hstu.norm = VQR_NORM_GROUP;
    o.hstu.output = VQR_OUTPUT_CONCAT_RAW;
    write_file(folder, "hstu-other", &o);
}

static void write_inputs(const char *folder)
{
    struct runtime_options o = smallest();
    o.sequences = 0;
    o.tags = true;
    o.image_dim = 2;
    write_file(folder, "tags-sum-image", &o);
    o.tags_pool = VQR_POOL_MEAN;
    o.item_ids = o.word_ids = VQR_IDS_HASH;
    write_file(folder, "tags-mean-hash", &o);
}

static void write_quantizers(const char *folder)
{
    struct runtime_options o = smallest();
    o.format_version = 3;
    o.sequences = 0;
    o.content.levels = o.content.codes = o.content.dim = 2;
    write_file(folder, "semantic-id", &o);
    o.content.kind = VQR_RQ_KMEANS;
    o.content.combine = VQR_COMBINE_SUM;
    o.content.exponent = 29;
    write_file(folder, "semantic-id-sum", &o);
}

static void write_assignments(const char *folder)
{
    struct runtime_options o = smallest();
    o.format_version = 6;
    o.ids_only = o.assignments.stored = true;
    o.assignments.unlisted = 3;
    write_file(folder, "assignments", &o);
    o.assignments.determined_count = 0;
    o.assignments.key = -1;
    o.vql_sequences = 1;
    o.vql.dim = o.vql.v_dim = 1;
    o.vql.codewords[0] = 2;
    o.vql.codewords[1] = 300;
    write_file(folder, "assignments-wide", &o);
}

static void write_heads(const char *folder)
{
    struct runtime_options o = smallest();
    o.sequences = 0;
    o.hidden_count = 1;
    for (uint8_t activation = VQR_RELU; activation <= VQR_DICE; activation++) {
        char name[32];
        o.activation = activation;
        snprintf(name, sizeof name, "head-%d", activation);
        write_file(folder, name, &o);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        fuzz_fail("usage: write_model_seeds FOLDER");
    write_attentions(argv[1]);
    write_vqls(argv[1]);
    write_hashed_and_last(argv[1]);
    write_searches(argv[1]);
    write_hstus(argv[1]);
    write_inputs(argv[1]);
    write_quantizers(argv[1]);
    write_assignments(argv[1]);
    write_heads(argv[1]);
    return 0;
}
