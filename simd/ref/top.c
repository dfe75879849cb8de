#include <string.h>

#include "simd/ref/ref.h"

/* Whether a counts as larger than b, which came before it: numbers than NaN, too. */
static int larger(float a, float b)
{
    return a > b || (a == a && b != b);
}

void FN(top_f32)(uint32_t *index, const float *x, size_t n, size_t top, float *kept, uint32_t *places)
{
    size_t count = 0; /* of the largest so far, in falling order */
    (void)kept, (void)places;
    for (size_t i = 0; i < n; i++) {
        size_t at = count;
        while (at > 0 && larger(x[i], x[index[at - 1]]))
            at--;
        if (at == top)
            continue;
        count += count < top;
        memmove(index + at + 1, index + at, (count - 1 - at) * sizeof *index);
        index[at] = (uint32_t)i;
    }
    for (size_t i = 1; i < count; i++) {
        const uint32_t number = index[i];
        size_t at = i;
        for (; at > 0 && index[at - 1] > number; at--)
            index[at] = index[at - 1];
        index[at] = number;
    }
}
