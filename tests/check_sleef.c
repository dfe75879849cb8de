/* Do exp, log and tanh still return the bits that they returned when the numerics contract was written down: a hash of
 * their outputs over a fixed set of inputs, per ISA. They come from SLEEF, whose releases may change bits; models and
 * saved states then change meaning. A release that does so fails here, and is not shipped. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "simd/cpu.h"
#include "simd/simd.h"

enum { BLOCK = 4096 };

/* Every step-th bit pattern, those of both signs, denormals and infinities included; both steps are primes, so all
 * mantissas and exponents mix. The coarse set is for emulated processors. */
static const struct set {
    uint64_t step;
    uint64_t exp, log, tanh; /* hashes seen with SLEEF 3.5.1 */
} fine = {257, 0xab785693cc089de5, 0x44c272776d934620, 0xc7922ad05cb7162d},
  coarse = {4099, 0xe2d29863fd281b8c, 0x49b6843f4aebcb09, 0x736f49a205148d51};

static const uint32_t ends[] = {0x00000000, 0x80000000, 0x7f800000, 0xff800000, 0x00000001, 0x80000001, 0x007fffff,
                                0x807fffff, 0x00800000, 0x80800000, 0x7f7fffff, 0xff7fffff, 0x3f800000, 0xbf800000};

static uint64_t hash_block(vqr_exp_f32_fn *fn, const uint32_t *bits, size_t n, uint64_t hash)
{
    float x[BLOCK], y[BLOCK];
    memcpy(x, bits, n * sizeof *x);
    fn(y, x, n);
    for (size_t i = 0; i < n; i++)
        if (isnan(y[i]))
            memcpy(&y[i], &(uint32_t){0x7fc00000}, sizeof y[i]); /* which NaN is not part of the contract */
    return XXH3_64bits_withSeed(y, n * sizeof *y, hash);
}

static uint64_t hash_outputs(vqr_exp_f32_fn *fn, uint64_t step)
{
    uint64_t hash = hash_block(fn, ends, sizeof ends / sizeof *ends, 0);
    uint32_t block[BLOCK];
    size_t n = 0;
    for (uint64_t bits = 0; bits <= UINT32_MAX; bits += step) {
        if ((bits & 0x7fffffff) > 0x7f800000) /* NaN */
            continue;
        block[n++] = (uint32_t)bits;
        if (n == BLOCK) {
            hash = hash_block(fn, block, n, hash);
            n = 0;
        }
    }
    return hash_block(fn, block, n, hash);
}

static int check(const char *isa, const char *name, vqr_exp_f32_fn *fn, uint64_t step, uint64_t want)
{
    if (!fn) /* inherited from a weaker ISA, where it is checked */
        return 0;
    const uint64_t got = hash_outputs(fn, step);
    if (got == want) {
        printf("%s %s: ok\n", isa, name);
        return 0;
    }
    printf("%s %s: FAILED: every %lluth input: hash of outputs is 0x%016llx, was 0x%016llx\n", isa, name,
           (unsigned long long)step, (unsigned long long)got, (unsigned long long)want);
    return 1;
}

int main(int argc, char **argv)
{
    const struct set *set = argc == 2 && strcmp(argv[1], "--quick") == 0 ? &coarse : &fine;
    if (argc > 1 && set == &fine) {
        fprintf(stderr, "usage: check_sleef [--quick]\n");
        return 2;
    }
    int failed = 0;
    for (size_t i = 0; i < vqr_isa_count; i++) {
        const struct vqr_isa *isa = vqr_isas[i];
        if (!vqr_isa_usable(isa, vqr_cpu_features())) {
            printf("%s: not run: this processor lacks %s\n", isa->name, isa->wants);
            continue;
        }
        failed += check(isa->name, "exp", isa->k.exp_f32, set->step, set->exp);
        failed += check(isa->name, "log", isa->k.log_f32, set->step, set->log);
        failed += check(isa->name, "tanh", isa->k.tanh_f32, set->step, set->tanh);
    }
    return failed != 0;
}
