/* Is the specification right: the reference's selection against the definition, number by number, and by hand. */
#include <math.h>
#include <string.h>

#include "check.h"

/* How many numbers go before x[i]: numbers before NaN, larger ones before smaller, of equal ones the earlier. */
static size_t rank(const float *x, size_t n, size_t i)
{
    size_t before = 0;
    for (size_t j = 0; j < n; j++)
        if (isnan(x[i]))
            before += !isnan(x[j]) || j < i;
        else
            before += !isnan(x[j]) && (x[j] > x[i] || (x[j] == x[i] && j < i));
    return before;
}

static bool top_of(const struct vqr_kernels *ref, size_t n, size_t top, enum check_fill fill)
{
    check_case("top n %zu top %zu fill %d", n, top, fill);
    const float *x = check_floats(n, fill);
    uint32_t *index = check_input(n < top ? n : top, sizeof *index);
    float *kept = check_input(vqr_padded(n), sizeof *kept);
    uint32_t *places = check_input(vqr_padded(n), sizeof *places);
    ref->top_f32(index, x, n, top, kept, places);
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        if (rank(x, n, i) < top) {
            if (!check_that(index[count] == i, "index[%zu]: want %zu, got %u", count, i, index[count]))
                return false;
            count++;
        }
    return true;
}

bool check_reference_top(const struct vqr_kernels *ref)
{
    static const float x[] = {NAN, -0.0f, -INFINITY, 3.0f, 0.0f, NAN, 3.0f, 1.0f};
    static const uint32_t want[9][8] = {{0},
                                        {3},
                                        {3, 6},
                                        {3, 6, 7},
                                        {1, 3, 6, 7}, /* -0 and 0 are equal */
                                        {1, 3, 4, 6, 7},
                                        {1, 2, 3, 4, 6, 7}, /* -infinity before NaN */
                                        {0, 1, 2, 3, 4, 6, 7},
                                        {0, 1, 2, 3, 4, 5, 6, 7}};
    for (size_t top = 0; top <= 8; top++) {
        check_case("top: the %zu largest of eight", top);
        uint32_t index[8], places[VQR_LANES];
        float kept[VQR_LANES];
        ref->top_f32(index, x, 8, top, kept, places);
        if (!check_that(memcmp(index, want[top], top * sizeof *index) == 0, "other numbers than expected"))
            return false;
    }
    for (size_t n = 0; n <= 70; n++)
        for (enum check_fill fill = 0; fill < FILL_COUNT; fill++)
            if (!top_of(ref, n, check_below(n + 2), fill))
                return false;
    return true;
}
