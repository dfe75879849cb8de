/* The largest numbers of a row: a threshold is found by bisection, then one pass takes what reaches it.
 *
 * Bisection looks at few numbers. As many maxima of groups as numbers are wanted reach the threshold of the maxima, so
 * that is a lower bound of the row's, and what lies above it, fewer numbers than are wanted times a group's, holds the
 * row's threshold if it is not the bound itself. */
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

/* The largest t that `top` numbers reach, or any that exactly `top` do. At least `top` must reach `low`; where they do
 * not, it is `low`. */
static float threshold(const float *x, size_t n, size_t top, float low)
{
    int64_t least = key_of(low), most = key_of(INFINITY);
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

/* Maxima of the lanes of `group` vectors at a time; returns how many. */
static size_t group_maxima(float *maxima, const float *x, size_t n, size_t group)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i += group * VQR_LANES, count += VQR_LANES) {
        const size_t end = n - i < group * VQR_LANES ? n : i + group * VQR_LANES;
        v16 best = v16_set1(-INFINITY);
        for (size_t j = i; j < end; j += VQR_LANES)
            best = v16_max(load_some(x + j, n - j), best);
        v16_store(maxima + count, best);
    }
    return count;
}

/* Copies the numbers above t; returns how many. */
static size_t keep_greater(float *kept, const float *x, size_t n, float t)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i += VQR_LANES)
        for (uint32_t lanes = greater(load_some(x + i, n - i), v16_set1(t)); lanes != 0; lanes &= lanes - 1)
            kept[count++] = x[i + (size_t)__builtin_ctz(lanes)];
    return count;
}

/* The numbers of those above t, and of the first `ties` that equal it. */
static size_t take(uint32_t *index, const float *x, size_t n, float t, size_t ties)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i += VQR_LANES) {
        const v16 v = load_some(x + i, n - i), limit = v16_set1(t);
        uint32_t lanes = v16_at_least(v, limit);
        if (lanes == 0)
            continue;
        const uint32_t above = greater(v, limit);
        for (; lanes != 0; lanes &= lanes - 1) {
            const uint32_t lane = (uint32_t)__builtin_ctz(lanes);
            if (!(above >> lane & 1)) {
                if (ties == 0)
                    continue;
                ties--;
            }
            index[count++] = (uint32_t)i + lane;
        }
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

void FN(top_f32)(uint32_t *index, const float *x, size_t n, size_t top, float *scratch)
{
    if (top >= n) {
        for (size_t i = 0; i < n; i++)
            index[i] = (uint32_t)i;
        return;
    }
    const size_t group = top ? 4 * vqr_panels(n) / top : 0; /* about four maxima for each that is wanted */
    const float *few = x;
    size_t count = n;
    float t = -INFINITY;
    if (group > 1) {
        t = threshold(scratch, group_maxima(scratch, x, n, group), top, t);
        count = keep_greater(scratch, x, n, t);
        few = scratch;
    }
    if (count >= top)
        t = threshold(few, count, top, t);
    const size_t above = count_greater(few, count, t);
    const size_t taken = take(index, x, n, t, top - above);
    if (taken < top)
        take_numbers(index, x, n, top - taken);
}
