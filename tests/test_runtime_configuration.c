/* Configurations that do not fit the tensors, or that this library does not know: each is refused with the reason. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/hostile_run.h"

CHANGE(item_rows, o->items++)
CHANGE(item_no_rows, o->items = 0)
CHANGE(item_many_rows, o->items = (uint64_t)1 << 32)
CHANGE(item_all_rows, o->items = UINT64_MAX)
CHANGE(item_dim, o->item_dim++)
CHANGE(item_no_dim, o->item_dim = 0)
CHANGE(item_hash_one_row, (o->item_ids = VQR_IDS_HASH, o->items = 1))
CHANGE(item_unknown_ids, o->item_ids = 99)
CHANGE(item_vocabulary, o->item_ids = VQR_IDS_VOCABULARY)
CHANGE(word_direct, o->word_ids = VQR_IDS_DIRECT)
CHANGE(word_keys, o->words--)
CHANGE(word_all_keys, o->words = UINT64_MAX - 1)
CHANGE(word_spare_row, o->spare_rows = 1)
CHANGE(word_probe, o->max_probe = 32)
CHANGE(tables_alike, o->tables_same_name = true)

CHANGE(event_kind_vector, o->event_kinds[0] = VQR_KIND_VECTOR)
CHANGE(event_kind_semantic, o->event_kinds[0] = VQR_KIND_SEMANTIC_ID)
CHANGE(event_kind_unknown, o->event_kinds[2] = 200)
CHANGE(event_two_times, (o->event_kinds[2] = VQR_KIND_TIME, o->event_widths[2] = 0))
CHANGE(context_time, o->context_kind = VQR_KIND_TIME)
CHANGE(context_float, o->context_kind = VQR_KIND_FLOAT)
CHANGE(table_none, o->event_tables[0] = -1)
CHANGE(table_far, o->event_tables[0] = 2)
CHANGE(table_farthest, o->event_tables[0] = INT32_MAX)
CHANGE(table_lowest, o->event_tables[0] = INT32_MIN)
CHANGE(table_other, o->event_tables[0] = 1)
CHANGE(width_id, o->event_widths[0] = 6)
CHANGE(width_id_none, o->event_widths[0] = 0)
CHANGE(width_id_huge, o->event_widths[0] = UINT32_MAX - 1)
CHANGE(width_float, o->event_widths[2] = 2)
CHANGE(width_time, o->event_widths[3] = 1)
CHANGE(exponent_high, o->event_exponents[0] = 121)
CHANGE(exponent_low, o->event_exponents[0] = -99)
CHANGE(exponent_highest, o->event_exponents[1] = INT32_MAX)
CHANGE(exponent_lowest, o->event_exponents[1] = INT32_MIN)
CHANGE(exponent_float, o->event_exponents[2] = 17)
CHANGE(mean_nan, o->price_mean = (double)NAN)
CHANGE(mean_infinite, o->price_mean = -(double)INFINITY)
CHANGE(std_zero, o->price_std = 0)
CHANGE(std_negative, o->price_std = -1)
CHANGE(std_nan, o->price_std = (double)NAN)
CHANGE(std_infinite, o->price_std = (double)INFINITY)
CHANGE(name_twice, o->event_names[3] = "item")

CHANGE(kind_none, o->sequence_kind = VQR_SEQUENCE_NONE)
CHANGE(kind_unknown, o->sequence_kind = 9)
CHANGE(codebooks_none, o->codebooks = 0)
CHANGE(codebooks_more, o->codebooks++)
CHANGE(codebooks_most, o->codebooks = UINT32_MAX)
CHANGE(codewords_none, o->codewords = 0)
CHANGE(codewords_more, o->codewords++)
CHANGE(codewords_most, o->codewords = UINT32_MAX)
CHANGE(empty_unknown, o->empty = 2)
CHANGE(layers_none, o->hstu.layers = 0)
CHANGE(layers_more, o->hstu.layers = 2)
CHANGE(layers_most, o->hstu.layers = UINT32_MAX)
CHANGE(heads_none, o->hstu.heads = 0)
CHANGE(heads_more, o->hstu.heads = 3)
CHANGE(heads_most, o->hstu.heads = UINT32_MAX)
CHANGE(qk_none, o->hstu.qk_dim = 0)
CHANGE(qk_more, o->hstu.qk_dim++)
CHANGE(qk_most, o->hstu.qk_dim = 1 << 20)
CHANGE(v_none, o->hstu.v_dim = 0)
CHANGE(v_more, o->hstu.v_dim++)
CHANGE(v_most, o->hstu.v_dim = 1 << 20)
CHANGE(pre_norm, o->hstu.pre_norm = true)
CHANGE(not_affine, o->hstu.affine = false)
CHANGE(hstu_share, o->hstu.share = true)
CHANGE(activate_unknown, o->hstu.activate = 2)
CHANGE(alpha_unknown, o->hstu.alpha = 2)
CHANGE(bias_unknown, o->hstu.bias = 3)
CHANGE(bias_none, o->hstu.bias = VQR_BIAS_NONE)
CHANGE(bias_per_head, o->hstu.bias = VQR_BIAS_PER_HEAD)
CHANGE(normalize_unknown, o->hstu.normalize = 4)
CHANGE(normalize_by_zero, (o->hstu.normalize = VQR_NORMALIZE_CONSTANT, o->hstu.normalize_constant = 0))
CHANGE(norm_unknown, o->hstu.norm = 255)
CHANGE(output_unknown, o->hstu.output = 3)
CHANGE(output_wider, o->hstu.output = VQR_OUTPUT_CONCAT)
CHANGE(eps_negative, o->hstu.eps = -1e-5f)
CHANGE(eps_nan, o->hstu.eps = NAN)
CHANGE(eps_infinite, o->hstu.eps = INFINITY)
CHANGE(attention_heads_none, o->attention.heads = 0)
CHANGE(attention_heads_more, o->attention.heads++)
CHANGE(attention_heads_most, o->attention.heads = UINT32_MAX)
CHANGE(attention_dim_none, o->attention.dim = 0)
CHANGE(attention_dim_most, o->attention.dim = UINT32_MAX)
CHANGE(attention_out, o->attention.out = 4)
CHANGE(attention_out_most, o->attention.out = UINT32_MAX)
CHANGE(attention_share, o->attention.share = true)
CHANGE(no_sequences, o->sequences = 0)
CHANGE(more_sequences, o->sequences = 2)
CHANGE(same_sequences, (o->sequences = 2, o->sequences_same_name = true))

CHANGE(vql_heads_none, o->vql.heads = 0)
CHANGE(vql_heads_fewer, o->vql.heads--)
CHANGE(vql_heads_more, o->vql.heads++)
CHANGE(vql_heads_most, o->vql.heads = UINT32_MAX)
CHANGE(vql_head_missing, (o->vql.heads = 4, o->vql.exponents = 4))
CHANGE(vql_dim_none, o->vql.dim = 0)
CHANGE(vql_dim_more, o->vql.dim++)
CHANGE(vql_dim_most, o->vql.dim = UINT32_MAX)
CHANGE(vql_v_none, o->vql.v_dim = 0)
CHANGE(vql_v_more, o->vql.v_dim++)
CHANGE(vql_v_most, o->vql.v_dim = UINT32_MAX)
CHANGE(vql_terms, o->vql.terms = 1)
CHANGE(vql_terms_most, o->vql.terms = 65)
CHANGE(vql_out, o->vql.out = 3)
CHANGE(vql_out_most, o->vql.out = UINT32_MAX)
CHANGE(vql_groups_none, o->vql.groups = 0)
CHANGE(vql_groups_fewer, o->vql.groups = 1)
CHANGE(vql_groups_more, (o->vql.groups = 3, o->vql.group_heads[2] = 1, o->vql.codewords[2] = 4))
CHANGE(vql_groups_many, (o->vql.groups = 4, o->vql.group_heads[2] = o->vql.group_heads[3] = 1))
CHANGE(vql_group_empty, o->vql.group_heads[1] = 0)
CHANGE(vql_group_heads, (o->vql.group_heads[0] = 1, o->vql.group_heads[1] = 2))
CHANGE(vql_codewords_none, o->vql.codewords[1] = 0)
CHANGE(vql_codewords_more, o->vql.codewords[1]++)
CHANGE(vql_codewords_most, o->vql.codewords[1] = UINT32_MAX)
CHANGE(vql_head_twice, o->vql.head[2] = 0)
CHANGE(vql_head_twice_in_a_group, o->vql.head[1] = 2)
CHANGE(vql_head_far, o->vql.head[2] = 3)
CHANGE(vql_head_farthest, o->vql.head[0] = UINT32_MAX)
CHANGE(vql_exponents_none, o->vql.exponents = 0)
CHANGE(vql_exponents_more, o->vql.exponents = 4)
CHANGE(vql_exponent_high, o->vql.exponent[1] = 121)
CHANGE(vql_exponent_low, o->vql.exponent[2] = -99)
CHANGE(vql_exponent_large, o->vql.exponent[0] = 22) /* a price of 4096 alone passes 2^30 */
CHANGE(vql_exponent_lowest, o->vql.exponent[0] = INT32_MIN)

CHANGE(hidden_width, o->hidden[0]++)
CHANGE(hidden_zero, o->hidden[0] = 0)
CHANGE(hidden_most, o->hidden[0] = UINT32_MAX)
CHANGE(hidden_none, o->hidden_count = 0)
CHANGE(hidden_more, (o->hidden_count = 2, o->hidden[1] = 4))
CHANGE(outputs_none, o->outputs = 0)
CHANGE(outputs_more, o->outputs++)
CHANGE(activation_dice, o->activation = VQR_DICE)
CHANGE(activation_unknown, o->activation = 100)

static const struct change changes[] = {
    {"item", item_rows},
    {"item", item_no_rows},
    {"item", item_many_rows},
    {"item", item_all_rows},
    {"item", item_dim},
    {"item", item_no_dim},
    {"item", item_hash_one_row},
    {"mapping is 99", item_unknown_ids},
    {"item", item_vocabulary},
    {"", word_direct},
    {"word", word_keys},
    {"word", word_all_keys},
    {"word", word_spare_row},
    {"probe 32", word_probe},
    {"item", tables_alike},

    {"exponent", event_kind_vector},
    {"quantizer is not in the file", event_kind_semantic},
    {"kind is 200", event_kind_unknown},
    {"time", event_two_times},
    {"item", context_time},
    {"item", context_float},
    {"item", table_none},
    {"item", table_far},
    {"item", table_farthest},
    {"item", table_lowest},
    {"item", table_other},
    {"item", width_id},
    {"item", width_id_none},
    {"item", width_id_huge},
    {"price", width_float},
    {"time", width_time},
    {"exponent", exponent_high},
    {"exponent", exponent_low},
    {"exponent", exponent_highest},
    {"exponent", exponent_lowest},
    {"exponent", exponent_float},
    {"finite mean", mean_nan},
    {"finite mean", mean_infinite},
    {"std above 0", std_zero},
    {"std above 0", std_negative},
    {"std above 0", std_nan},
    {"std above 0", std_infinite},
    {"twice", name_twice},

    {"kind is 0", kind_none},
    {"kind is 9", kind_unknown},
    {"codebooks", codebooks_none},
    {"fold", codebooks_more},
    {"codebooks", codebooks_most},
    {"codewords", codewords_none},
    {"fold", codewords_more},
    {"codewords", codewords_most},
    {"empty is 2", empty_unknown},
    {"", layers_none},
    {"hstu.1.f1", layers_more},
    {"layers", layers_most},
    {"heads", heads_none},
    {"f1", heads_more},
    {"heads", heads_most},
    {"qk_dim", qk_none},
    {"f1", qk_more},
    {"f1", qk_most},
    {"v_dim", v_none},
    {"f1", v_more},
    {"f1", v_most},
    {"pre_norm", pre_norm},
    {"", not_affine},
    {"f1", hstu_share},
    {"activate is 2", activate_unknown},
    {"alpha is 2", alpha_unknown},
    {"bias is 3", bias_unknown},
    {"", bias_none},
    {"bias", bias_per_head},
    {"normalize is 4", normalize_unknown},
    {"normalize_constant", normalize_by_zero},
    {"norm is 255", norm_unknown},
    {"output is 3", output_unknown},
    {"f2", output_wider},
    {"eps", eps_negative},
    {"eps", eps_nan},
    {"eps", eps_infinite},
    {"attention heads", attention_heads_none},
    {"attention", attention_heads_more},
    {"attention heads", attention_heads_most},
    {"attention dim", attention_dim_none},
    {"attention dim", attention_dim_most},
    {"attention.out", attention_out},
    {"attention out", attention_out_most},
    {"attention", attention_share},
    {"", no_sequences},
    {"long1", more_sequences},
    {"", same_sequences},

    {"head.0", hidden_width},
    {"head.0", hidden_zero},
    {"head.0", hidden_most},
    {"head.0", hidden_none},
    {"head.1", hidden_more},
    {"outputs", outputs_none},
    {"head.1", outputs_more},
    {"head.0.alpha", activation_dice},
    {"activation is 100", activation_unknown},
};

static const struct change vql_changes[] = {
    {"heads is 0", vql_heads_none},
    {"value exponents", vql_heads_fewer},
    {"value exponents", vql_heads_more},
    {"heads is", vql_heads_most},
    {"list 3 heads, expected each of 4 once", vql_head_missing},
    {"dim is 0", vql_dim_none},
    {"codebook", vql_dim_more},
    {"dim is", vql_dim_most},
    {"v_dim is 0", vql_v_none},
    {"v.weight", vql_v_more},
    {"v_dim is", vql_v_most},
    {"vql.decay", vql_terms},
    {"decay_terms is 65, expected 0 to 64", vql_terms_most},
    {"out.weight", vql_out},
    {"out is", vql_out_most},
    {"0 groups, expected 1 to 3", vql_groups_none},
    {"list 2 heads, expected each of 3 once", vql_groups_fewer},
    {"group 2 lists head 0", vql_groups_more},
    {"4 groups, expected 1 to 3", vql_groups_many},
    {"group 1 has 0 heads, expected 1 to 3", vql_group_empty},
    {"codebook", vql_group_heads},
    {"codewords of a group is 0", vql_codewords_none},
    {"groups.1.offset", vql_codewords_more},
    {"codewords of a group is", vql_codewords_most},
    {"group 1 lists head 0, expected every head from 0 to 2 in exactly one group", vql_head_twice},
    {"group 0 lists head 2", vql_head_twice_in_a_group},
    {"group 1 lists head 3", vql_head_far},
    {"group 0 lists head 4294967295", vql_head_farthest},
    {"0 value exponents for 3 heads", vql_exponents_none},
    {"4 value exponents for 3 heads", vql_exponents_more},
    {"head 1 have exponent 121, expected -98 to 120", vql_exponent_high},
    {"head 2 have exponent -99", vql_exponent_low},
    {"head 0 have exponent 22", vql_exponent_large},
    {"head 0 have exponent", vql_exponent_lowest},
};

static void test_configuration_unlike_tensors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const struct runtime_options tensors = runtime_options_default();
        struct runtime_options says = tensors;
        changes[i].apply(&says);
        assert_refused(&tensors, &says, changes[i].says);
    }
}

static void test_vql_configuration_unlike_tensors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof vql_changes / sizeof *vql_changes; i++) {
        struct runtime_options tensors = runtime_options_default();
        tensors.vql_sequences = 1;
        struct runtime_options says = tensors;
        vql_changes[i].apply(&says);
        assert_refused(&tensors, &says, vql_changes[i].says);
    }
}

/* Tables may hold anything finite, and weights be large: values past what fp32 holds are refused before any exponent.
 */
static void test_vql_values_that_overflow(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    o.sequences = 0;
    o.vql_sequences = 1;
    o.event_exponents[0] = o.event_exponents[1] = -90; /* rows to 2^120 */
    o.scale = 2;
    hostile_run_good(runtime_build(&o));
    o.scale = 200;
    assert_refused(&o, &o, "values of head 2 may reach");
}

/* What the library cannot know stays refused when the tensors are there. */
static void test_unknown_with_their_tensors(void **state)
{
    (void)state;
    void (*const unknown[])(struct runtime_options *) = {
        event_kind_semantic, event_kind_unknown, item_hash_one_row, item_unknown_ids, word_spare_row,
        context_time,        kind_unknown,       empty_unknown,     activate_unknown, alpha_unknown,
        normalize_unknown,   normalize_by_zero,  norm_unknown,      eps_negative,     eps_nan,
        exponent_high,       exponent_low,       mean_nan,          std_zero,         name_twice,
    };
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        struct runtime_options options = runtime_options_default();
        unknown[i](&options);
        assert_refused(&options, &options, "");
    }
}

/* An activation that no layer uses is refused all the same: it is part of what the file means. */
static void test_unknown_activation_without_hidden_layers(void **state)
{
    (void)state;
    struct runtime_options options = runtime_options_default();
    options.hidden_count = 0;
    options.activation = 100;
    assert_refused(&options, &options, "the head: activation is 100");
    options = runtime_options_default();
    options.attention = (struct vqr_header_attention){.kind = VQR_ATTENTION_DIN, .activation = 99};
    assert_refused(&options, &options, "sequence \"long\": attention: activation is 99");
}

/* Every tensor is needed, and none more. */
static void test_missing_and_extra_tensors(void **state)
{
    (void)state;
    struct runtime_options says = runtime_options_default();
    says.hstu.pre_norm = true;
    says.attention.out = 3;
    says.sdim_sequences = says.hstu_sequences = 1;
    says.vql_sequences = 1;
    says.vql.terms = 2;
    says.vql.out = 3;
    says.search.sim_hards = says.search.twins = 1;
    struct runtime_file file = runtime_build(&says);
    struct vqr_header header;
    struct vqr_header_info info;
    char message[256];
    assert_int_equal(vqr_header_open(&header, file.data, file.size, message, sizeof message), VQR_HEADER_OK);
    vqr_header_info(&header, &info);
    assert_true(info.tensors > 20);
    for (size_t i = 0; i < info.tensors; i++) {
        struct vqr_header_tensor tensor;
        vqr_header_tensor(&header, i, &tensor);
        struct runtime_options tensors = says;
        tensors.without_tensor = tensor.name;
        assert_refused(&tensors, &says, strstr(tensor.name, "slots") ? "slots" : tensor.name);
    }
    free(file.data);
    static const char *const extra[] = {"unread", "head.2.weight", "sequences.long.hstu.1.bias", "tables.other.weight"};
    for (size_t i = 0; i < sizeof extra / sizeof *extra; i++) {
        struct runtime_options tensors = says;
        tensors.extra_tensor = extra[i];
        assert_refused(&tensors, &says, "tensors");
    }
    struct runtime_options twice = says; /* one more of the same name, which would never be read */
    twice.extra_tensor = "head.0.bias";
    assert_refused(&twice, &says, "");
}

/* Two sequences or tables of one name read the same tensors, so nothing may hide behind the second. */
static void test_names_that_are_used_twice(void **state)
{
    (void)state;
    struct runtime_options says = runtime_options_default();
    says.sequences = 2;
    says.sequences_same_name = true;
    struct runtime_options tensors = says;
    assert_refused(&tensors, &says, ""); /* the tensors twice */

    tensors = runtime_options_default(); /* the tensors once; the head fits */
    says = tensors;
    says.sequences = 2;
    says.sequences_same_name = true;
    assert_refused(&tensors, &says, "");
}

/* ---- sizes ---- */

static void test_small_files_take_little_memory(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    o.item_dim = o.word_dim = 1;
    o.codebooks = 1;
    o.hstu.bias = VQR_BIAS_NONE;
    o.codewords = 65536; /* nothing in the file is W * W */
    assert_size_in_proportion(&o);
    o.codewords = 8192; /* times the width of u, v, q and k */
    o.hstu.heads = 1024;
    o.hstu.qk_dim = 4;
    o.hstu.v_dim = 8;
    assert_size_in_proportion(&o);
    o.codebooks = 64; /* times the keys and values of shared attention */
    o.codewords = 4096;
    o.hstu.layers = 0;
    o.attention.heads = 1024;
    o.attention.dim = 4;
    o.attention.out = 1;
    o.attention.share = true;
    assert_size_in_proportion(&o);
}

/* Attention by a network runs once for every token and candidate: a few wide layers, times many last events. */
static void test_small_files_take_little_time_a_candidate(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    o.short_sequences = 1;
    o.short_attention = (struct vqr_header_attention){.kind = VQR_ATTENTION_DIN, .hidden_count = 2};
    o.short_hidden[0] = 256;
    o.short_hidden[1] = 64;
    o.last = 65536;
    assert_refused(&o, &o, "a candidate's attention would take 1.");
    o.last = 30000; /* half of what may be: of two such sequences together it is too much */
    struct runtime_file half = runtime_build(&o);
    vqr_model_close(open_model(half));
    free(half.data);
    o.short_sequences = 2;
    assert_refused(&o, &o, "a candidate's attention would take 1.");
    o.short_sequences = 0;
    o.search.sim_hards = 1; /* only the events that may be found count */
    o.search.attention = o.short_attention;
    memcpy(o.search.hidden, o.short_hidden, sizeof o.search.hidden);
    o.search.last = o.search.top = 65536;
    assert_refused(&o, &o, "a candidate's attention would take 1.");
    o.search.top = 100;
    assert_size_in_proportion(&o);
    o.search.sim_hards = 0;
    o.search.twins = 1; /* all are scored, but keys and values take more than a state may have before that takes long */
    o.search.last = 1 << 20;
    assert_size_in_proportion(&o);
    o.search.twin.heads = 1024;
    o.search.twin.dim = 1;
    assert_size_in_proportion(&o);
    o.search.twins = 0;
    o.short_sequences = 1;
    o.last = 4096;
    assert_size_in_proportion(&o);
    struct runtime_file file = runtime_build(&o);
    vqr_model_close(open_model(file));
    free(file.data);
}

/* Decayed sums are kept for every term, and heads share codewords: what multiplies are numbers in the header. */
static void test_small_files_with_vql_take_little_memory(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    o.item_dim = o.word_dim = 1;
    o.sequences = 0;
    o.vql_sequences = 1;
    o.vql.v_dim = 2048;
    o.vql.codewords[0] = 16384;
    assert_size_in_proportion(&o);
    o.vql.v_dim = 64;
    o.vql.codewords[0] = 4096;
    o.vql.terms = 64;
    assert_size_in_proportion(&o);
}

/* ---- what is legal, though odd ---- */

static void run(const struct runtime_options *options)
{
    hostile_run_good(runtime_build(options));
}

static void test_legal_extremes(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    o.sequences = 0; /* no history at all */
    run(&o);
    o.hidden_count = 0;
    run(&o);
    o = runtime_options_default();
    o.codewords = o.codebooks = o.item_dim = o.word_dim = 1;
    run(&o);
    o = runtime_options_default();
    o.items = 1; /* nothing but the unknown row */
    run(&o);
    o = runtime_options_default();
    o.hstu.eps = 0;
    run(&o);
    o.hstu.eps = FLT_MAX;
    run(&o);
    o = runtime_options_default();
    o.hstu.normalize = VQR_NORMALIZE_CONSTANT;
    o.hstu.normalize_constant = UINT32_MAX;
    run(&o);
    o = runtime_options_default();
    o.price_std = DBL_MIN;
    o.price_mean = DBL_MAX;
    run(&o);
    o = runtime_options_default();
    o.event_exponents[0] = o.event_exponents[1] = -98; /* any finite row fits */
    run(&o);
    o = runtime_options_default();
    o.scale = 0;
    o.vql_sequences = 2;
    run(&o);
    o = runtime_options_default();
    o.vql_sequences = 1;
    o.vql.terms = 64;
    o.vql.decay = FLT_MAX;
    run(&o);
    o.vql.decay = 0;
    run(&o);
    o.vql.terms = 0;
    for (size_t a = 0; a < 3; a++)
        o.vql.exponent[a] = -98; /* every value rounds to nothing */
    run(&o);
    o = runtime_options_default();
    o.hidden_count = 4;
    o.hidden[0] = o.hidden[1] = o.hidden[2] = o.hidden[3] = 1;
    o.outputs = 300;
    run(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configuration_unlike_tensors),
        cmocka_unit_test(test_vql_configuration_unlike_tensors),
        cmocka_unit_test(test_vql_values_that_overflow),
        cmocka_unit_test(test_unknown_with_their_tensors),
        cmocka_unit_test(test_missing_and_extra_tensors),
        cmocka_unit_test(test_names_that_are_used_twice),
        cmocka_unit_test(test_small_files_take_little_memory),
        cmocka_unit_test(test_small_files_with_vql_take_little_memory),
        cmocka_unit_test(test_legal_extremes),
        cmocka_unit_test(test_unknown_activation_without_hidden_layers),
        cmocka_unit_test(test_small_files_take_little_time_a_candidate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
