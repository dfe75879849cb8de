/* How alike codewords are, and how many of them are compared. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codebooks.h"

enum { CODEWORDS = 20, WIDTH = 2, PAIRS_ALL = CODEWORDS * (CODEWORDS - 1) / 2 };

/* Codeword w points w^2 degrees around, and is w + 1 long: 19 points where 1 does; of the first few 0 is closest to 1.
 */
static void fill_panels(float panels[2 * WIDTH * VQR_PANEL])
{
    for (size_t w = 0; w < CODEWORDS; w++) {
        const double angle = (double)(w * w) * (acos(-1) / 180), length = (double)w + 1;
        float *column = panels + w / VQR_PANEL * WIDTH * VQR_PANEL + w % VQR_PANEL;
        column[0] = (float)(length * cos(angle));
        column[VQR_PANEL] = (float)(length * sin(angle));
    }
}

static struct codebook compared(double products)
{
    static double nearest[CODEWORDS];
    float panels[2 * WIDTH * VQR_PANEL] = {0};
    struct codebook codebook = {.codewords = CODEWORDS, .nearest_cosine = nearest};
    fill_panels(panels);
    const struct codebook_columns columns = {.panels = panels, .width = WIDTH};
    assert_true(codebook_compare(&codebook, &columns, products));
    return codebook;
}

static double degrees(double angle)
{
    return cos(angle * (acos(-1) / 180));
}

static void test_all(void **state)
{
    (void)state;
    const struct codebook codebook = compared(PAIRS_ALL * WIDTH);
    assert_int_equal(codebook.compared_codewords, CODEWORDS);
    assert_int_equal(codebook.pair_count, CODEBOOK_PAIRS);
    assert_true(codebook.pairs[0].a == 1 && codebook.pairs[0].b == 19); /* 1 and 361 degrees */
    assert_true(fabs(codebook.pairs[0].cosine - 1) < 1e-6 && fabs(codebook.nearest_cosine[1] - 1) < 1e-6);
    assert_true(fabs(codebook.nearest_cosine[5] - degrees(25 - 16)) < 1e-6);
}

/* As many codewords, from the first on, as every two of them fit what may be computed. */
static void test_fewer(void **state)
{
    (void)state;
    const struct codebook four = compared(6 * WIDTH), three = compared(6 * WIDTH - 1), none = compared(0);
    assert_int_equal(four.compared_codewords, 4);
    assert_int_equal(three.compared_codewords, 3);
    assert_int_equal(three.pair_count, 3);
    assert_true(three.pairs[0].a == 0 && three.pairs[0].b == 1 && three.pairs[2].b == 2);
    assert_true(none.compared_codewords == 1 && none.pair_count == 0);
    assert_int_equal(compared(PAIRS_ALL * WIDTH - 1).compared_codewords, CODEWORDS - 1);
}

/* An offset is one number more: it tells codewords of one direction apart, and is the same where they are the same. */
static void test_offset(void **state)
{
    (void)state;
    double nearest[3];
    float panels[WIDTH * VQR_PANEL] = {3, 3, 3}, offset[VQR_PANEL] = {4, -4, 4};
    struct codebook codebook = {.codewords = 3, .nearest_cosine = nearest};
    const struct codebook_columns columns = {.panels = panels, .offset = offset, .width = WIDTH};
    assert_true(codebook_compare(&codebook, &columns, PAIRS_ALL));
    assert_true(fabs(nearest[0] - 1) < 1e-6 && fabs(nearest[1] - (9 - 16) / 25.0) < 1e-6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_fewer),
        cmocka_unit_test(test_offset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
