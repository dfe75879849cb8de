/* The loops of simd/peak.h over 16 lanes. The including file has given the vector (vec.h) and, where there is an
 * instruction that adds products of integers,
 *
 *     #define PEAK_DOT_PRODUCTS n                   products that one v16i takes
 *     v16i add_products(v16i acc, v16i x)           acc + their sums, of numbers in acc or x and numbers in x
 */
#include "simd/generic/tile.h"
#include "simd/peak.h"

/* As many chains as the matrix product has: they hide the latency, and fit the registers. Of integers there are fewer:
 * compilers copy what an addition of products overwrites. */
enum { PEAK_CHAINS = TILE_ROWS * TILE_PANELS, DOT_CHAINS = 4 * TILE_PANELS };
_Static_assert((int)VQR_PEAK_SEEDS / (int)VQR_LANES >= (int)PEAK_CHAINS, "a seed a lane");

static double peak_fma(size_t loops, const float *seeds, float *sink)
{
    v16 acc[PEAK_CHAINS];
    const v16 x = v16_set1(seeds[0]), y = v16_set1(seeds[1]);
    VQR_UNROLL
    for (size_t i = 0; i < PEAK_CHAINS; i++)
        acc[i] = v16_load(seeds + i * VQR_LANES);
    for (size_t n = 0; n < loops; n++) {
        VQR_UNROLL
        for (size_t i = 0; i < PEAK_CHAINS; i++)
            acc[i] = v16_fma(acc[i], x, y);
    }
    *sink = 0.0f;
    VQR_UNROLL
    for (size_t i = 0; i < PEAK_CHAINS; i++)
        *sink += v16_sum(acc[i]);
    return 2.0 * VQR_LANES * PEAK_CHAINS * (double)loops;
}

#ifdef PEAK_DOT_PRODUCTS
static double peak_dot(size_t loops, const float *seeds, float *sink)
{
    v16i acc[DOT_CHAINS];
    const v16i x = v16_round(v16_mul(v16_load(seeds), v16_set1(1e6f)));
    VQR_UNROLL
    for (size_t i = 0; i < DOT_CHAINS; i++)
        acc[i] = v16_round(v16_mul(v16_load(seeds + i * VQR_LANES), v16_set1(1e7f)));
    for (size_t n = 0; n < loops; n++) {
        VQR_UNROLL
        for (size_t i = 0; i < DOT_CHAINS; i++)
            acc[i] = add_products(acc[i], x);
    }
    *sink = 0.0f;
    VQR_UNROLL
    for (size_t i = 0; i < DOT_CHAINS; i++)
        *sink += v16_sum(v16_from_int(acc[i]));
    return 2.0 * PEAK_DOT_PRODUCTS * DOT_CHAINS * (double)loops;
}
#define PEAK_DOT peak_dot
#else
#define PEAK_DOT NULL
#endif

static double peak_read(const float *p, size_t n, size_t times, float *sink)
{
    enum { STEPS = 4 * TILE_PANELS }; /* sums in registers: so many that loads never wait for an addition */
    v16 acc[STEPS];
    VQR_UNROLL
    for (size_t i = 0; i < STEPS; i++)
        acc[i] = v16_set1(0.0f);
    for (size_t t = 0; t < times; t++)
        for (size_t i = 0; i < n; i += STEPS * VQR_LANES) {
            VQR_UNROLL
            for (size_t j = 0; j < STEPS; j++)
                acc[j] = v16_add(acc[j], v16_load(p + i + j * VQR_LANES));
        }
    *sink = 0.0f;
    VQR_UNROLL
    for (size_t i = 0; i < STEPS; i++)
        *sink += v16_sum(acc[i]);
    return (double)sizeof(float) * (double)n * (double)times;
}
