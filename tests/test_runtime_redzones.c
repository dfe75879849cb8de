/* Every piece of a session's and a state's memory is as long as its users think: models of many shapes, on every ISA,
 * with the pieces set apart (redzone_arena.h). */
#include <stdlib.h>

#include "simd/simd.h"
#include "tests/runtime_support.h"

enum { MODELS = 60, EVENTS = 60, CANDIDATES = 55 };

static void run(const struct runtime_options *options, const char *isa, uint64_t seed)
{
    struct world w = world_new(options, isa, CANDIDATES);
    struct values *events = values_new(w.model, VQR_EVENT, EVENTS, seed);
    free(scores(&w)); /* no events */
    encode(&w, &events->rows);
    free(scores(&w));
    values_free(events);
    world_free(&w);
}

/* Widths that fill their panels, and one more or fewer. */
static struct runtime_options at_the_edge(size_t i)
{
    struct runtime_options o = random_options(i);
    const uint32_t width = 15 + (uint32_t)i % 3;
    o.codewords = width;
    o.item_dim = width - 4;
    o.word_dim = 3;
    o.hstu.qk_dim = o.hstu.v_dim = width;
    o.hstu.heads = 1 + i % 2;
    o.attention.dim = width;
    o.vql_sequences = 1;
    o.vql.dim = width;
    o.vql.v_dim = 15 + (uint32_t)(i / 3) % 3;
    o.vql.out = i % 2 ? 0 : width;
    for (size_t g = 0; g < o.vql.groups; g++)
        o.vql.codewords[g] = width;
    o.sdim_sequences = o.hstu_sequences = 1;
    o.hashes = width;
    o.bits = 1;
    o.hstu_last.last = VQR_ATTENTION_ROWS - 1 + (uint32_t)(i / 3) % 3;
    o.hstu_last.hstu = o.hstu;
    o.hstu_last.hstu.share = false;
    o.hstu_last.hstu.bias = VQR_BIAS_SHARED;
    o.search.sim_hards = o.search.twins = 1;
    o.search.top = width < o.search.last ? width : o.search.last;
    o.search.attention.dim = o.search.twin.dim = width;
    o.attention.out = i % 2 ? width : 0;
    o.hidden[0] = width;
    o.outputs = width;
    return o;
}

static void test_every_isa(void **state)
{
    (void)state;
    for (size_t i = 0; i < MODELS; i++)
        for (size_t isa = 0; usable_isa(isa); isa++) {
            const struct runtime_options any = random_options(i), edge = at_the_edge(i);
            run(&any, usable_isa(isa), i);
            run(&edge, usable_isa(isa), i);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_isa),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
