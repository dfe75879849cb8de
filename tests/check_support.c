#include "check_support.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

enum {
    SLOTS = 24,     /* buffers of one case */
    BODY = 1 << 24, /* bytes of address space of each; only what is touched takes memory */
    MARGIN = 256    /* bytes watched around an output: more than the widest vector */
};

static const uint32_t pattern = 0xa5a5a5a5; /* equal bytes: buffers of bytes start anywhere */

bool check_quick;

static struct {
    unsigned long long seed;
    uint64_t random;
    const char *isa, *kernel;
    bool at_start;
    unsigned long cases;
    size_t slots_used;
    char text[512];
} now;

static char *bodies[SLOTS];

/* ---- cases ---- */

void check_seed(unsigned long long seed)
{
    now.seed = seed;
}

void check_begin(const char *isa, const char *kernel, bool at_start)
{
    if (!at_start)
        now.cases = 0;
    now.isa = isa;
    now.kernel = kernel;
    now.at_start = at_start;
    now.slots_used = 0;
    now.random = now.seed + at_start;
    for (const char *c = kernel; *c; c++)
        now.random = now.random * 31 + (unsigned char)*c;
    snprintf(now.text, sizeof now.text, "before the first case");
}

unsigned long check_cases(void)
{
    return now.cases;
}

void check_case(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(now.text, sizeof now.text, format, arguments);
    va_end(arguments);
    now.slots_used = 0;
    now.cases++;
}

bool check_that(bool ok, const char *format, ...)
{
    if (!ok) {
        va_list arguments;
        va_start(arguments, format);
        printf("  %s %s: FAILED: %s: ", now.isa, now.kernel, now.text);
        vprintf(format, arguments);
        printf(" (buffers %s an unmapped page, case %lu, seed %llu)\n", now.at_start ? "start near" : "end at",
               now.cases, now.seed);
        va_end(arguments);
    }
    return ok;
}

/* ---- numbers ---- */

const float check_specials[] = {0.0f, -0.0f, 1.0f, -1.0f, FLT_MIN, -FLT_MIN, 0x1p-149f, -0x1p-149f, 0x1.fffffcp-127f,
                                0x1.000002p0f, 0x1.fffffep-1f, 16777215.0f, 0x1p30f, FLT_MAX, -FLT_MAX, 0x1p63f,
                                88.72284f, -87.33655f, -103.97208f, 0.5f, -2.5f,
                                /* The last four are not finite; FILL_SPECIAL leaves them out. */
                                INFINITY, -INFINITY, NAN, -NAN};
const size_t check_special_count = sizeof check_specials / sizeof *check_specials;

/* splitmix64's step and finaliser: every seed gives a good sequence. */
uint32_t check_random(void)
{
    uint64_t x = now.random += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((x ^ x >> 31) >> 32);
}

size_t check_below(size_t n)
{
    return (size_t)check_random() * n >> 32;
}

float check_unit(void)
{
    return (float)(int32_t)check_random() / 2147483648.0f;
}

/* A number with an exponent from `low` up to some `count` above. One draw a statement, here and in the checks: the
 * order in which a compiler evaluates arguments must not decide what a seed means. */
static float scaled(int low, size_t count)
{
    const float mantissa = check_unit();
    return ldexpf(mantissa, low + (int)check_below(count));
}

static float draw(enum check_fill fill)
{
    switch (fill) {
    case FILL_TIES: {
        const float values[] = {-1.0f, -0.0f, 0.0f, 1.0f};
        return values[check_below(4)];
    }
    case FILL_WIDE:
        return scaled(-40, 81);
    case FILL_TINY:
        return scaled(-149, 90);
    case FILL_HUGE:
        return scaled(58, 70);
    case FILL_ZEROS:
        return check_below(2) ? 0.0f : -0.0f;
    case FILL_SPECIAL:
        return check_below(4) ? check_unit() : check_specials[check_below(check_special_count - 4)];
    case FILL_HOSTILE:
        return check_below(16) ? check_unit() : check_specials[check_below(check_special_count)];
    default:
        return check_unit();
    }
}

void check_fill(float *x, size_t n, enum check_fill fill)
{
    for (size_t i = 0; i < n; i++)
        x[i] = draw(fill);
}

enum check_fill check_next_fill(void)
{
    /* Plain numbers in half of the cases: they are what shows an order of operations gone wrong. */
    return check_below(2) ? FILL_UNIT : (enum check_fill)check_below(FILL_COUNT);
}

/* ---- buffers ---- */

static char *body(size_t slot)
{
    if (!bodies[slot]) {
        const size_t guard = (size_t)sysconf(_SC_PAGESIZE);
        char *base = mmap(NULL, BODY + 2 * guard, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED || mprotect(base + guard, BODY, PROT_READ | PROT_WRITE) != 0) {
            perror("check_kernels: no memory for guarded buffers");
            exit(2);
        }
        bodies[slot] = base + guard;
    }
    return bodies[slot];
}

static void paint(char *from, char *to)
{
    memset(from, (int)(pattern & 0xff), (size_t)(to - from));
}

static char *slot_of(const void *p)
{
    for (size_t i = 0; i < SLOTS; i++)
        if (bodies[i] && (const char *)p >= bodies[i] && (const char *)p <= bodies[i] + BODY)
            return bodies[i];
    return NULL;
}

/* The watched bytes around a buffer: a margin, or up to the guard page where that is nearer. */
static char *margin_start(char *p)
{
    char *start = slot_of(p);
    return p - start > MARGIN ? p - MARGIN : start;
}

static char *margin_end(char *p, size_t bytes)
{
    char *end = slot_of(p) + BODY;
    return end - (p + bytes) > MARGIN ? p + bytes + MARGIN : end;
}

/* `turn` moves the start of buffers that do not end at a guard page by 0 to 3 elements. */
static char *take(size_t n, size_t size, size_t turn)
{
    const size_t bytes = n * size;
    if (now.slots_used == SLOTS || bytes > BODY - 4 * size - MARGIN) {
        fprintf(stderr, "check_kernels: %s: a case needs more or larger buffers than there are\n", now.kernel);
        exit(2);
    }
    char *start = body(now.slots_used++);
    char *p = now.at_start ? start + turn % 4 * size : start + BODY - bytes;
    paint(margin_start(p), margin_end(p, bytes));
    return p;
}

void *check_input(size_t n, size_t size)
{
    return take(n, size, now.cases + now.slots_used);
}

float *check_floats(size_t n, enum check_fill fill)
{
    float *x = check_input(n, sizeof *x);
    check_fill(x, n, fill);
    return x;
}

struct check_output check_output(size_t n, size_t size)
{
    const size_t turn = now.cases + now.slots_used;
    struct check_output output = {.n = n};
    output.want = take(n, size, turn);
    output.got = take(n, size, turn);
    return output;
}

struct check_output check_output_of(const void *initial, size_t n, size_t size)
{
    struct check_output output = check_output(n, size);
    if (n) {
        memcpy(output.want, initial, n * size);
        memcpy(output.got, initial, n * size);
    }
    return output;
}

size_t check_extent(size_t rows, size_t stride, size_t width)
{
    return rows ? (rows - 1) * stride + width : 0;
}

/* ---- comparisons ---- */

bool check_near(const char *what, size_t row, size_t column, float got, double want, double bound)
{
    return check_that(fabs((double)got - want) <= bound, "%s[%zu][%zu]: want %.9g within %.3g, got %.9g", what, row,
                      column, want, bound, (double)got);
}

bool check_equal_f32(float a, float b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

bool check_untouched_f32(float x)
{
    return memcmp(&x, &pattern, sizeof x) == 0;
}

static bool painted(const char *from, const char *to, const char *what, const char *where)
{
    for (; from < to; from++)
        if (memcmp(from, &pattern, 1) != 0)
            return check_that(false, "the %s wrote %s its output", what, where);
    return true;
}

bool check_bounds(const struct check_output *output, size_t size)
{
    char *const buffers[] = {output->want, output->got};
    const char *const names[] = {"reference", "kernel"};
    const size_t bytes = output->n * size;
    for (int i = 0; i < 2; i++)
        if (!painted(margin_start(buffers[i]), buffers[i], names[i], "before") ||
            !painted(buffers[i] + bytes, margin_end(buffers[i], bytes), names[i], "past"))
            return false;
    return true;
}

bool check_same_f32(const struct check_output *output)
{
    const float *want = output->want, *got = output->got;
    for (size_t i = 0; i < output->n; i++)
        if (!check_equal_f32(want[i], got[i]))
            return check_that(false, "element %zu of %zu: want %a, got %a%s", i, output->n, (double)want[i],
                              (double)got[i], check_untouched_f32(want[i]) ? " (not to be written)" : "");
    return check_bounds(output, sizeof *want);
}

bool check_same_i32(const struct check_output *output)
{
    const int32_t *want = output->want, *got = output->got;
    for (size_t i = 0; i < output->n; i++)
        if (want[i] != got[i])
            return check_that(false, "element %zu of %zu: want %ld, got %ld", i, output->n, (long)want[i],
                              (long)got[i]);
    return check_bounds(output, sizeof *want);
}

bool check_same_i8(const struct check_output *output)
{
    const int8_t *want = output->want, *got = output->got;
    for (size_t i = 0; i < output->n; i++)
        if (want[i] != got[i])
            return check_that(false, "element %zu of %zu: want %d, got %d", i, output->n, want[i], got[i]);
    return check_bounds(output, sizeof *want);
}

bool check_same_i64(const struct check_output *output)
{
    const int64_t *want = output->want, *got = output->got;
    for (size_t i = 0; i < output->n; i++)
        if (want[i] != got[i])
            return check_that(false, "element %zu of %zu: want %lld, got %lld", i, output->n, (long long)want[i],
                              (long long)got[i]);
    return check_bounds(output, sizeof *want);
}
