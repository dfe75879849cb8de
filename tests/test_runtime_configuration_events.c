/* Configurations of hashed events and of HSTU over the last events: those that do not fit their tensors are refused
 * with the reason, odd ones run. */
#include <stdlib.h>

#include "tests/hostile_run.h"

CHANGE(sdim_hashes_none, o->hashes = 0)
CHANGE(sdim_hashes_more, o->hashes++)
CHANGE(sdim_hashes_most, o->hashes = 1025)
CHANGE(sdim_bits_none, o->bits = 0)
CHANGE(sdim_bits_more, o->bits++)
CHANGE(sdim_bits_most, o->bits = 13)
CHANGE(all_last_none, o->hstu_last.last = 0)
CHANGE(all_last_more, o->hstu_last.last++)
CHANGE(all_last_most, o->hstu_last.last = UINT32_MAX)
CHANGE(all_buckets_none, o->hstu_last.buckets = 0)
CHANGE(all_buckets_fewer, o->hstu_last.buckets--)
CHANGE(all_buckets_most, o->hstu_last.buckets = 145)
CHANGE(all_positions, o->hstu_last.positions = false)
CHANGE(all_scale, o->hstu_last.scale = 2)
CHANGE(all_share, o->hstu_last.hstu.share = true)
CHANGE(all_bias_per_head, o->hstu_last.hstu.bias = VQR_BIAS_PER_HEAD)
CHANGE(all_bias_none, o->hstu_last.hstu.bias = VQR_BIAS_NONE)
CHANGE(all_layers, o->hstu_last.hstu.layers = 2)
CHANGE(all_no_layers, o->hstu_last.hstu.layers = 0)
CHANGE(all_eps, o->hstu_last.hstu.eps = -1)
CHANGE(all_attention_none, o->hstu_last.attention.kind = VQR_ATTENTION_NONE)
CHANGE(all_attention_both, o->hstu_last.attention.kind = VQR_ATTENTION_BOTH)
CHANGE(all_attention_share, o->hstu_last.attention.share = true)
CHANGE(all_attention_counts, o->hstu_last.attention.count_bias = true)

static const struct change changes[] = {
    {"hashes is 0, expected 1 to 1024", sdim_hashes_none},
    {"sdim.hash", sdim_hashes_more},
    {"hashes is 1025", sdim_hashes_most},
    {"bits is 0, expected 1 to 12", sdim_bits_none},
    {"sdim.hash", sdim_bits_more},
    {"bits is 13", sdim_bits_most},
    {"last is 0", all_last_none},
    {"sequences.all.", all_last_more},
    {"last is", all_last_most},
    {"tensors", all_buckets_none},
    {"time_edges", all_buckets_fewer},
    {"time_buckets is 145, expected 0 to 144", all_buckets_most},
    {"tensors", all_positions},
    {"scale is 2", all_scale},
    {"share or a bias per head", all_share},
    {"share or a bias per head", all_bias_per_head},
    {"tensors", all_bias_none},
    {"hstu.1", all_layers},
    {"tensors", all_no_layers},
    {"eps is -1", all_eps},
    {"head.0.weight", all_attention_none},
    {"found two", all_attention_both},
    {"share or count_bias", all_attention_share},
    {"share or count_bias", all_attention_counts},
};

static void test_configuration_unlike_tensors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct runtime_options tensors = runtime_options_default();
        tensors.sdim_sequences = tensors.hstu_sequences = 1;
        struct runtime_options says = tensors;
        changes[i].apply(&says);
        assert_refused(&tensors, &says, changes[i].says);
    }
}

static void assert_edge(size_t edge, uint64_t value, const char *says)
{
    struct runtime_options o = runtime_options_default();
    o.hstu_sequences = 1;
    o.hstu_last.wrong_edge = edge;
    o.hstu_last.edge_value = value;
    if (says)
        assert_refused(&o, &o, says);
    else
        hostile_run_good(runtime_build(&o));
}

/* Buckets of times begin at seconds that never descend: 2, 2, 3, 4, 5, 7, 9, ... */
static void test_time_edges(void **state)
{
    (void)state;
    assert_edge(0, 0, "tensor \"sequences.all.time_edges\": edge 0 is 0, expected at least 1");
    assert_edge(0, 1, NULL);
    assert_edge(0, 3, "edge 1 is 2, expected at least 3");
    assert_edge(2, 1, "edge 2 is 1, expected at least 2");
    assert_edge(2, 2, NULL);
    assert_edge(38, UINT64_MAX, "expected at least 18446744073709551615");
    assert_edge(39, UINT64_MAX, NULL);
}

/* A direction times an event, and no event within its tables' limits, may pass what chains hold. */
static void test_hashes_that_overflow(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    o.sdim_sequences = 1;
    struct runtime_file file = runtime_build(&o);
    hostile_floats(file, "sequences.hashed.sdim.hash")[8 * 16 + 3] = 0x1p115f; /* of price, at most 4096 */
    struct vqr_error error;
    vqr_model *model = NULL;
    vqr_model_close(open_model(file));
    hostile_floats(file, "sequences.hashed.sdim.hash")[8 * 16 + 3] = 0x1.8p115f;
    assert_refusal(VQR_ERROR_FORMAT, vqr_model_open_memory(file.data, file.size, &model, &error), &error);
    assert_says(&error, "product with direction 3 of sdim.hash may reach 2.55e+38");
    free(file.data);
}

/* Hash functions multiply with their buckets; last events with the width of u, v, q and k, and with one another. */
static void test_small_files_take_little(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    o.item_dim = o.word_dim = 1;
    o.sequences = 0;
    o.sdim_sequences = 1;
    o.hashes = 1024;
    o.bits = 12;
    assert_size_in_proportion(&o);
    o.sdim_sequences = 0;
    o.hstu_sequences = 1;
    o.hstu_last.positions = false;
    o.hstu_last.attention.kind = VQR_ATTENTION_NONE;
    o.hstu_last.hstu.bias = VQR_BIAS_NONE;
    o.hstu_last.last = 1 << 20;
    assert_size_in_proportion(&o);
    o.hstu_last.last = 8192;
    o.hstu_last.hstu.heads = 1024;
    assert_size_in_proportion(&o);
    o.hstu_last.hstu.heads = 8;
    o.hstu_last.last = 65536;
    o.hstu_last.buckets = 1;
    assert_refused(&o, &o, "computing a user's interests would take 9.62e+11");
}

/* The buckets of the times between events are searched for, pair by pair: longer where edges crowd. */
static void test_times_take_work(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    uint64_t crowd[144];
    for (size_t b = 0; b < 144; b++)
        crowd[b] = (UINT64_C(1) << 40) + b;
    o.sequences = 0;
    o.hstu_sequences = 1;
    o.hstu_last.hstu.heads = 1;
    o.hstu_last.last = 40000;
    o.hstu_last.buckets = 144;
    assert_refused(&o, &o, "computing a user's interests would take 3.27e+11");
    o.hstu_last.last = 12000;
    struct runtime_file file = runtime_build(&o);
    vqr_model_close(open_model(file));
    free(file.data);
    o.hstu_last.edges = crowd;
    assert_refused(&o, &o, "computing a user's interests would take 8.48e+10");
}

static void run(const struct runtime_options *options)
{
    hostile_run_good(runtime_build(options));
}

static void test_legal_extremes(void **state)
{
    (void)state;
    struct runtime_options o = runtime_options_default();
    o.scale = 0;
    o.sequences = 0;
    o.sdim_sequences = o.hstu_sequences = 2; /* every product is 0 */
    run(&o);
    o = runtime_options_default();
    o.sdim_sequences = o.hstu_sequences = 1;
    o.hashes = o.bits = o.hstu_last.last = o.hstu_last.buckets = 1;
    o.hstu_last.hstu.layers = 0;
    run(&o);
    o.hstu_last.hstu.layers = 1;
    o.hstu_last.attention.kind = VQR_ATTENTION_DIN;
    run(&o);
    o.hashes = 1024;
    o.bits = 1;
    o.hstu_last.attention.kind = VQR_ATTENTION_NONE;
    o.hstu_last.last = 1000;
    o.hstu_last.buckets = 144;
    o.hstu_last.wrong_edge = 143;
    o.hstu_last.edge_value = UINT64_MAX;
    run(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configuration_unlike_tensors),
        cmocka_unit_test(test_time_edges),
        cmocka_unit_test(test_hashes_that_overflow),
        cmocka_unit_test(test_small_files_take_little),
        cmocka_unit_test(test_times_take_work),
        cmocka_unit_test(test_legal_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
