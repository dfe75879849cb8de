#include "simd/ref/ref.h"

/* Whether a counts as larger than b: numbers than NaN, too. */
static int larger(float a, float b)
{
    return a > b || (a == a && b != b);
}

/* Whether x[i] is taken before x[j]: of equal ones the earlier. */
static int before(const float *x, size_t i, size_t j)
{
    return larger(x[i], x[j]) || (!larger(x[j], x[i]) && i < j);
}

/* Moves heap[at] down until neither child would be taken after it: the root is taken last. */
static void sink(uint32_t *heap, size_t count, size_t at, const float *x)
{
    const uint32_t number = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        child += child + 1 < count && before(x, heap[child], heap[child + 1]);
        if (before(x, heap[child], number))
            break;
        heap[at] = heap[child];
    }
    heap[at] = number;
}

void FN(top_f32)(uint32_t *index, const float *x, size_t n, size_t top, float *kept, uint32_t *places)
{
    const size_t count = n < top ? n : top;
    (void)kept, (void)places;
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        index[i] = (uint32_t)i;
    for (size_t at = count / 2; at-- > 0;)
        sink(index, count, at, x);
    for (size_t i = count; i < n; i++)
        if (before(x, i, index[0])) {
            index[0] = (uint32_t)i;
            sink(index, count, 0, x);
        }
    const uint32_t last = index[0];
    for (size_t i = 0; i < n; i++)
        if (!before(x, last, i))
            *index++ = (uint32_t)i;
}
