/* The largest numbers of a row: a threshold is found by bisection, then one pass takes what reaches it.
 *
 * Bisection looks at few numbers. As many maxima of groups as numbers are wanted reach the threshold of the maxima, so
 * that is a lower bound of the row's: either the bound is it, or what lies above the bound, fewer numbers than are
 * wanted times a group's, holds it. */
#include <math.h>
#include <string.h>

/* Integers in the order of the floats. */
static int32_t key_of(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits < 0 ? bits ^ INT32_MAX : bits;
}

static float float_of(int32_t key)
{
    const int32_t bits = key < 0 ? key ^ INT32_MAX : key;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 16 numbers, or the `left` that there are and NaN, which reaches nothing. */
static v16 load_some(const float *x, size_t left)
{
    return left < VQR_LANES ? v16_keep(v16_load_n(x, left), left, NAN) : v16_load(x);
}

/* The lanes in which x > t. */
static uint32_t greater(v16 x, v16 t)
{
    return v16_at_least(x, t) & ~v16_at_least(t, x);
}

static size_t count_at_least(const float *x, size_t n, float t)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i += VQR_LANES)
        count += (size_t)__builtin_popcount(v16_at_least(load_some(x + i, n - i), v16_set1(t)));
    return count;
}

static size_t count_greater(const float *x, size_t n, float t)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i += VQR_LANES)
        count += (size_t)__builtin_popcount(greater(load_some(x + i, n - i), v16_set1(t)));
    return count;
}

/* The largest t, from `low` on, that `top` numbers reach, or any that exactly `top` do. At least `top` must reach
 * `low`; where they do not, it is `low`. */
static float threshold(const float *x, size_t n, size_t top, float low)
{
    v16 largest = v16_set1(-INFINITY); /* a narrow range to start from halves the steps */
    for (size_t i = 0; i < n; i += VQR_LANES)
        largest = v16_max(load_some(x + i, n - i), largest);
    int64_t least = key_of(low), most = key_of(v16_max_lane(largest));
    while (least < most) {
        const int64_t middle = least + (most - least + 1) / 2;
        const size_t count = count_at_least(x, n, float_of((int32_t)middle));
        if (count == top)
            return float_of((int32_t)middle);
        if (count > top)
            least = middle;
        else
            most = middle - 1;
    }
    return float_of((int32_t)least);
}

/* The smallest number, infinity where there is none. */
static float smallest(const float *x, size_t n)
{
    v16 negative = v16_set1(-INFINITY);
    for (size_t i = 0; i < n; i += VQR_LANES)
        negative = v16_max(v16_neg(load_some(x + i, n - i)), negative);
    return -v16_max_lane(negative);
}

/* Maxima of the lanes of `group` vectors at a time; returns how many. */
static size_t group_maxima(float *maxima, const float *x, size_t n, size_t group)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i += group * VQR_LANES, count += VQR_LANES) {
        const size_t end = n - i < group * VQR_LANES ? n : i + group * VQR_LANES;
        v16 best[4] = {v16_set1(-INFINITY), v16_set1(-INFINITY), v16_set1(-INFINITY), v16_set1(-INFINITY)};
        size_t j = i;
        for (; j + 4 * VQR_LANES <= end; j += 4 * VQR_LANES) /* one maximum would wait for the other */
            for (size_t l = 0; l < 4; l++)
                best[l] = v16_max(v16_load(x + j + l * VQR_LANES), best[l]);
        for (; j < end; j += VQR_LANES)
            best[0] = v16_max(load_some(x + j, n - j), best[0]);
        v16_store(maxima + count, v16_max(v16_max(best[0], best[1]), v16_max(best[2], best[3])));
    }
    return count;
}

/* The numbers that reach t, and where they are; returns how many. */
static size_t keep(float *kept, uint32_t *places, const float *x, size_t n, float t)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i += VQR_LANES)
        for (uint32_t lanes = v16_at_least(load_some(x + i, n - i), v16_set1(t)); lanes != 0; lanes &= lanes - 1) {
            const uint32_t place = (uint32_t)i + (uint32_t)__builtin_ctz(lanes);
            kept[count] = x[place];
            places[count++] = place;
        }
    return count;
}

/* The places of the numbers above t and of the first that equal it, `top` in all; returns how many there were. */
static size_t take(uint32_t *index, const float *kept, const uint32_t *places, size_t n, float t, size_t top)
{
    size_t count = 0, ties = top - count_greater(kept, n, t);
    for (size_t i = 0; i < n && count < top; i++) { /* without branches, which could not be foretold */
        const size_t equal = (kept[i] == t) & (ties != 0);
        index[count] = places[i];
        count += (size_t)(kept[i] > t) | equal;
        ties -= equal;
    }
    return count;
}

/* All numbers, and the first NaN that make up for what is missing. */
static void take_numbers(uint32_t *index, const float *x, size_t n, size_t missing)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] == x[i] || (missing != 0 && missing--))
            *index++ = (uint32_t)i;
}

void FN(top_f32)(uint32_t *index, const float *x, size_t n, size_t top, float *kept, uint32_t *places)
{
    if (top >= n) {
        for (size_t i = 0; i < n; i++)
            index[i] = (uint32_t)i;
        return;
    }
    if (top == 0)
        return;
    const size_t group = 8 * vqr_panels(n) / top; /* about two maxima for each that is wanted */
    float t = -INFINITY;
    if (group > 1) {
        const size_t maxima = group_maxima(kept, x, n, group);
        t = threshold(kept, maxima, top, smallest(kept, maxima));
    }
    const size_t count = keep(kept, places, x, n, t);
    if (count_greater(kept, count, t) >= top)
        t = threshold(kept, count, top, t);
    const size_t taken = take(index, kept, places, count, t, top);
    if (taken < top)
        take_numbers(index, x, n, top - taken);
}
