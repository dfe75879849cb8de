/* The kernel checks: every kernel of every ISA against the scalar reference, bit by bit.
 *
 * A check is a loop over cases. Each case states its parameters with check_case, which also gives the buffers of the
 * last case back, takes its inputs and outputs from here, calls ref and fn on them, and compares. Every buffer either
 * ends at an unmapped page or starts near one (the harness runs each check in both placements), so a stray read is a
 * crash; outputs lie among known bytes, so a stray write is a difference. */
#ifndef VQR_CHECK_H
#define VQR_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "simd/simd.h"

/* Whether to leave the large cases out: emulated processors need some 70 ns for one fused multiply-add. */
extern bool check_quick;

/* What kinds of numbers an input is made of. */
enum check_fill {
    FILL_UNIT,    /* -1 .. 1 */
    FILL_TIES,    /* -1, -0, 0, 1: sums collide */
    FILL_WIDE,    /* exponents -40 .. 40 */
    FILL_TINY,    /* denormals and numbers whose products are */
    FILL_HUGE,    /* near FLT_MAX, so that sums overflow */
    FILL_ZEROS,   /* 0 and -0 */
    FILL_SPECIAL, /* -1 .. 1 with finite special values among them */
    FILL_HOSTILE, /* the same with infinities and NaN */
    FILL_COUNT
};

/* Begins a case. The text is printed when the case fails or crashes. */
void check_case(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints the failing case and the message unless `ok`. Returns ok. */
bool check_that(bool ok, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- numbers ---- */

uint32_t check_random(void);
size_t check_below(size_t n); /* 0 .. n - 1; n >= 1 */
float check_unit(void);       /* -1 .. 1 */
void check_fill(float *x, size_t n, enum check_fill fill);
/* A kind of numbers drawn at random. */
enum check_fill check_next_fill(void);

/* The special values that FILL_HOSTILE draws from. */
extern const float check_specials[];
extern const size_t check_special_count;

/* ---- buffers: valid until the next case ---- */

/* Room for n elements of `size` bytes, filled with a pattern that is no number anyone expects. */
void *check_input(size_t n, size_t size);
float *check_floats(size_t n, enum check_fill fill);

/* Two rooms of the same size and alignment, for the reference's output and for the checked kernel's. */
struct check_output {
    void *want, *got;
    size_t n;
};
struct check_output check_output(size_t n, size_t size);
/* The same holding a copy of `initial`, for outputs that are also inputs. */
struct check_output check_output_of(const void *initial, size_t n, size_t size);

/* Whether both hold the same bits everywhere, and nothing around them was written. Any NaN equals any NaN. */
bool check_same_f32(const struct check_output *output);
bool check_same_i8(const struct check_output *output);
bool check_same_i32(const struct check_output *output);
bool check_same_i64(const struct check_output *output);
/* Only that nothing around the two was written. */
bool check_bounds(const struct check_output *output, size_t size);

/* Whether got is within `bound` of want; says where it is not. */
bool check_near(const char *what, size_t row, size_t column, float got, double want, double bound);

/* Whether two floats have the same bits or are both NaN. */
bool check_equal_f32(float a, float b);

/* Whether an element of an output still holds the pattern that check_output wrote. */
bool check_untouched_f32(float x);

/* Elements of rows that lie `stride` apart and are `width` wide: what the last row needs and no more. */
size_t check_extent(size_t rows, size_t stride, size_t width);

/* ---- the checks ---- */

/* One per kernel in kernels.def; a missing definition is a link error. */
#define VQR_KERNEL(name, ret, params) bool check_##name(vqr_##name##_fn *ref, vqr_##name##_fn *fn);
#include "simd/kernels.def"
#undef VQR_KERNEL

/* The reference against double precision and against cases worked out by hand; one bool per part. */
bool check_reference_sums(const struct vqr_kernels *ref);
bool check_reference_cases(const struct vqr_kernels *ref);
bool check_reference_functions(const struct vqr_kernels *ref);
bool check_reference_baselines(const struct vqr_kernels *ref);
bool check_reference_top(const struct vqr_kernels *ref);
bool check_reference_int8(const struct vqr_kernels *ref);

#endif
