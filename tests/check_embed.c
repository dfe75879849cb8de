#include <float.h>
#include <math.h>
#include <string.h>
#include <sys/mman.h>

#include "check.h"

/* dst matters up to the first bad row; the gaps between rows and what surrounds dst must stay as they were. */
static bool compare(const struct check_output *dst, size_t stride, size_t dim, size_t rows, size_t want, size_t got)
{
    if (!check_that(got == want, "want row %zu, got %zu", want, got))
        return false;
    const float *a = dst->want, *b = dst->got;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < stride && r * stride + i < dst->n; i++) {
            const float w = a[r * stride + i], g = b[r * stride + i];
            if (i >= dim && !check_that(check_untouched_f32(g), "row %zu: wrote past its %zu elements", r, dim))
                return false;
            if (i < dim && r < want && memcmp(&w, &g, sizeof w) != 0)
                return check_that(false, "row %zu element %zu: want %a, got %a", r, i, (double)w, (double)g);
        }
    return check_bounds(dst, sizeof(float));
}

struct embed_case {
    size_t rows, dim, entries;
    size_t bad_row, bad_element; /* bad_row == rows: none */
    float bad, limit;
};

/* The table and the index of a case. */
static float *make_table(const struct embed_case *c, uint32_t **rows)
{
    float *table = check_floats(c->entries * c->dim, check_below(2) ? FILL_UNIT : FILL_TINY);
    uint32_t *index = *rows = check_input(c->rows, sizeof *index);
    for (size_t r = 0; r < c->rows; r++)
        index[r] = (uint32_t)check_below(c->entries - 1);
    if (c->rows > 1 && check_below(2))
        index[check_below(c->rows)] = (uint32_t)c->entries - 2;
    if (c->dim)
        table[check_below(c->dim)] = c->limit; /* exactly the limit is allowed */
    if (c->bad_row < c->rows) {
        index[c->bad_row] = (uint32_t)c->entries - 1; /* the table's last row, against the guard page */
        table[(c->entries - 1) * c->dim + c->bad_element] = c->bad;
        if (check_below(2)) /* a second bad row later does not matter */
            index[c->bad_row + check_below(c->rows - c->bad_row)] = (uint32_t)c->entries - 1;
    }
    return table;
}

static bool embed_one(vqr_embed_f32_fn *ref, vqr_embed_f32_fn *fn, const struct embed_case *c)
{
    const size_t stride = c->dim + check_below(4);
    check_case("rows %zu dim %zu entries %zu stride %zu limit %a, %a at row %zu element %zu", c->rows, c->dim,
               c->entries, stride, (double)c->limit, (double)c->bad, c->bad_row, c->bad_element);
    uint32_t *index;
    const float *table = make_table(c, &index);
    const struct check_output dst = check_output(check_extent(c->rows, stride, c->dim), sizeof(float));
    const size_t want = ref(dst.want, stride, table, c->dim, index, c->rows, c->limit);
    const size_t got = fn(dst.got, stride, table, c->dim, index, c->rows, c->limit);
    return check_that(want == (c->bad_row < c->rows ? c->bad_row : c->rows), "the reference says %zu", want) &&
           compare(&dst, stride, c->dim, c->rows, want, got);
}

/* A table with a row whose offset needs more than 32 bits, counted in elements and in bytes. It is address space only:
 * but for that row it is the kernel's page of zeros. NULL where there is too little of it to find out. */
enum { FAR_DIM = 1024, FAR_ENTRIES = (1 << 22) + 2 };

static float *far_table(void)
{
    const size_t last = (size_t)(FAR_ENTRIES - 1) * FAR_DIM, bytes = (last + FAR_DIM) * sizeof(float);
    float *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (table == MAP_FAILED)
        return NULL;
    check_case("a row at 2^32 elements");
    check_fill(table + last, FAR_DIM, FILL_UNIT);
    return table;
}

static void unmap_far(float *table)
{
    munmap(table, (size_t)FAR_ENTRIES * FAR_DIM * sizeof *table);
}

static const uint32_t far_index[] = {FAR_ENTRIES - 1, 0, 1u << 20, 1u << 21};

static bool embed_far(vqr_embed_f32_fn *ref, vqr_embed_f32_fn *fn)
{
    float *table = far_table();
    if (!table)
        return true;
    const struct check_output dst = check_output(4 * FAR_DIM, sizeof(float));
    const size_t want = ref(dst.want, FAR_DIM, table, FAR_DIM, far_index, 4, 1.0f);
    const size_t got = fn(dst.got, FAR_DIM, table, FAR_DIM, far_index, 4, 1.0f);
    unmap_far(table);
    return compare(&dst, FAR_DIM, FAR_DIM, 4, want, got);
}

static bool add_far(vqr_embed_add_f32_fn *ref, vqr_embed_add_f32_fn *fn)
{
    float *table = far_table();
    if (!table)
        return true;
    const struct check_output dst = check_output_of(check_floats(FAR_DIM, FILL_UNIT), FAR_DIM, sizeof(float));
    const size_t want = ref(dst.want, table, FAR_DIM, far_index, 4, 1.0f);
    const size_t got = fn(dst.got, table, FAR_DIM, far_index, 4, 1.0f);
    unmap_far(table);
    return check_that(want == 4 && got == 4, "rows %zu and %zu, want 4", want, got) && check_same_f32(&dst);
}

static bool add_one(vqr_embed_add_f32_fn *ref, vqr_embed_add_f32_fn *fn, const struct embed_case *c)
{
    check_case("rows %zu dim %zu entries %zu limit %a, %a at row %zu element %zu", c->rows, c->dim, c->entries,
               (double)c->limit, (double)c->bad, c->bad_row, c->bad_element);
    uint32_t *index;
    const float *table = make_table(c, &index);
    const struct check_output dst = check_output_of(check_floats(c->dim, check_next_fill()), c->dim, sizeof(float));
    const size_t want = ref(dst.want, table, c->dim, index, c->rows, c->limit);
    const size_t got = fn(dst.got, table, c->dim, index, c->rows, c->limit);
    if (!check_that(want == (c->bad_row < c->rows ? c->bad_row : c->rows), "the reference says %zu", want) ||
        !check_that(got == want, "want row %zu, got %zu", want, got))
        return false;
    return want == c->rows ? check_same_f32(&dst) : check_bounds(&dst, sizeof(float));
}

/* One of the two kernels that read embedding rows. */
struct gather {
    vqr_embed_f32_fn *embed;
    vqr_embed_add_f32_fn *add;
};

static bool one(struct gather ref, struct gather fn, const struct embed_case *c)
{
    return ref.embed ? embed_one(ref.embed, fn.embed, c) : add_one(ref.add, fn.add, c);
}

static bool all_cases(struct gather ref, struct gather fn)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, 2.5f, -2.5f, FLT_MAX, 0x1.000002p1f};
    for (size_t dim = 0; dim <= 2 * VQR_LANES + 1; dim++)
        for (size_t rows = 0; rows <= 9; rows++) {
            const struct embed_case c = {rows, dim, 2 + check_below(9), rows, 0, 0.0f, 2.0f};
            if (!one(ref, fn, &c))
                return false;
        }
    /* Each position of a bad element, in each row of a few. */
    for (size_t dim = 1; dim <= 2 * VQR_LANES + 1; dim++)
        for (size_t at = 0; at < dim; at++)
            for (size_t row = 0; row < 5; row++) {
                struct embed_case c = {5, dim, 2 + check_below(9), row, at, 0.0f, 2.0f};
                c.bad = bad[check_below(8)];
                if (!one(ref, fn, &c))
                    return false;
            }
    static const size_t widths[] = {48, 64, 100, 128, 257};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t row = 0; row <= 40; row += 1 + check_below(4)) {
            struct embed_case c = {40, widths[i], 50, row, check_below(widths[i]), 0.0f, 2.0f};
            c.bad = bad[check_below(8)];
            if (!one(ref, fn, &c))
                return false;
        }
    /* The largest limit lets all finite numbers through, and infinity none. */
    const struct embed_case largest = {20, 37, 30, 13, 36, -INFINITY, FLT_MAX};
    return one(ref, fn, &largest);
}

bool check_embed_f32(vqr_embed_f32_fn *ref, vqr_embed_f32_fn *fn)
{
    return all_cases((struct gather){.embed = ref}, (struct gather){.embed = fn}) && embed_far(ref, fn);
}

bool check_embed_add_f32(vqr_embed_add_f32_fn *ref, vqr_embed_add_f32_fn *fn)
{
    return all_cases((struct gather){.add = ref}, (struct gather){.add = fn}) && add_far(ref, fn);
}

/* ---- tables in int8 ---- */

/* What is wrong with a row: an element, or the scale. */
enum wrong { WRONG_NOTHING, WRONG_MINUS_128, WRONG_BEYOND, WRONG_NEGATIVE, WRONG_INFINITE, WRONG_NAN, WRONG_COUNT };

struct embed_i8_case {
    size_t rows, dim, entries;
    size_t bad_row, bad_element;
    enum wrong wrong;
};

struct table_i8 {
    const int8_t *q;
    const float *scale;
    const uint32_t *index;
    float limit;
};

static struct table_i8 make_table_i8(const struct embed_i8_case *c)
{
    const float largest = 0.015f;
    int8_t *q = check_input(c->entries * c->dim, 1);
    float *scale = check_floats(c->entries, check_below(4) ? FILL_UNIT : FILL_TINY);
    uint32_t *index = check_input(c->rows, sizeof *index);
    for (size_t i = 0; i < c->entries * c->dim; i++)
        q[i] = (int8_t)((int)check_below(255) - 127);
    for (size_t e = 0; e < c->entries; e++)
        scale[e] = check_below(9) ? fabsf(scale[e]) * largest : 0.0f;
    for (size_t r = 0; r < c->rows; r++)
        index[r] = (uint32_t)check_below(c->entries - 1);
    if (c->dim) { /* exactly the limit is allowed, and a scale of -0 */
        scale[0] = largest;
        q[check_below(c->dim)] = check_below(2) ? 127 : -127;
        scale[(c->entries - 1) / 2] *= check_below(2) ? 1.0f : -0.0f;
    }
    if (c->wrong != WRONG_NOTHING) { /* the table's last row, against the guard page */
        const size_t last = c->entries - 1;
        index[c->bad_row] = (uint32_t)last;
        scale[last] = c->wrong == WRONG_BEYOND     ? nextafterf(largest, 1.0f) * 1.00001f
                      : c->wrong == WRONG_NEGATIVE ? -0x1p-149f
                      : c->wrong == WRONG_INFINITE ? INFINITY
                      : c->wrong == WRONG_NAN      ? NAN
                                                   : scale[last];
        if (c->wrong == WRONG_INFINITE && check_below(2))
            memset(q + last * c->dim, 0, c->dim);
        if (c->wrong == WRONG_BEYOND)
            q[last * c->dim + c->bad_element] = check_below(2) ? 127 : -127;
        if (c->wrong == WRONG_MINUS_128) {
            q[last * c->dim + c->bad_element] = -128;
            scale[last] *= check_below(2) ? 0.5f : 0.0f;
        }
        if (check_below(2)) /* a second bad row later does not matter */
            index[c->bad_row + check_below(c->rows - c->bad_row)] = (uint32_t)last;
    }
    return (struct table_i8){q, scale, index, 127.0f * largest};
}

/* One of the two kernels that read rows in int8. */
struct gather_i8 {
    vqr_embed_i8_fn *embed;
    vqr_embed_add_i8_fn *add;
};

static bool one_i8(struct gather_i8 ref, struct gather_i8 fn, const struct embed_i8_case *c)
{
    const size_t stride = c->dim + check_below(4), expected = c->wrong == WRONG_NOTHING ? c->rows : c->bad_row;
    check_case("rows %zu dim %zu entries %zu stride %zu, wrong %d at row %zu element %zu", c->rows, c->dim, c->entries,
               stride, (int)c->wrong, c->bad_row, c->bad_element);
    const struct table_i8 t = make_table_i8(c);
    if (ref.embed) {
        const struct check_output dst = check_output(check_extent(c->rows, stride, c->dim), sizeof(float));
        const size_t want = ref.embed(dst.want, stride, t.q, t.scale, c->dim, t.index, c->rows, t.limit);
        const size_t got = fn.embed(dst.got, stride, t.q, t.scale, c->dim, t.index, c->rows, t.limit);
        return check_that(want == expected, "the reference says %zu", want) &&
               compare(&dst, stride, c->dim, c->rows, want, got);
    }
    const struct check_output dst = check_output_of(check_floats(c->dim, check_next_fill()), c->dim, sizeof(float));
    const size_t want = ref.add(dst.want, t.q, t.scale, c->dim, t.index, c->rows, t.limit);
    const size_t got = fn.add(dst.got, t.q, t.scale, c->dim, t.index, c->rows, t.limit);
    return check_that(want == expected, "the reference says %zu", want) &&
           check_that(got == want, "want row %zu, got %zu", want, got) &&
           (want == c->rows ? check_same_f32(&dst) : check_bounds(&dst, sizeof(float)));
}

static bool all_i8(struct gather_i8 ref, struct gather_i8 fn)
{
    for (size_t dim = 0; dim <= 2 * VQR_LANES + 1; dim++)
        for (size_t rows = 0; rows <= 9; rows++)
            if (!one_i8(ref, fn, &(struct embed_i8_case){rows, dim, 2 + check_below(9), 0, 0, WRONG_NOTHING}))
                return false;
    /* Each position of a bad element, in each row of a few. */
    for (size_t dim = 1; dim <= 2 * VQR_LANES + 1; dim++)
        for (size_t at = 0; at < dim; at++)
            for (size_t row = 0; row < 5; row++) {
                const enum wrong wrong = (enum wrong)(1 + check_below(WRONG_COUNT - 1));
                if (!one_i8(ref, fn, &(struct embed_i8_case){5, dim, 2 + check_below(9), row, at, wrong}))
                    return false;
            }
    static const size_t widths[] = {48, 64, 100, 257};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (size_t row = 0; row < 40; row += 1 + check_below(8)) {
            const enum wrong wrong = (enum wrong)check_below(WRONG_COUNT);
            const size_t at = check_below(widths[i]);
            if (!one_i8(ref, fn, &(struct embed_i8_case){40, widths[i], 50, row, at, wrong}))
                return false;
        }
    return true;
}

/* As far_table, a row and its scale; where there is too little address space, NULL. */
static int8_t *far_table_i8(float **scale)
{
    const size_t last = FAR_ENTRIES - 1;
    char *p = mmap(NULL, FAR_ENTRIES * (FAR_DIM + sizeof(float)), PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    *scale = (float *)(void *)(p + (size_t)FAR_ENTRIES * FAR_DIM);
    (*scale)[last] = 0.5f;
    memset(p + last * FAR_DIM, 3, FAR_DIM);
    return (int8_t *)p;
}

static bool far_i8(struct gather_i8 fn)
{
    float *scale = NULL, dst[FAR_DIM] = {0};
    int8_t *table = far_table_i8(&scale);
    if (!table)
        return true;
    check_case("a row at 2^32 elements");
    const size_t got = fn.embed ? fn.embed(dst, FAR_DIM, table, scale, FAR_DIM, far_index, 1, 2.0f)
                                : fn.add(dst, table, scale, FAR_DIM, far_index, 1, 2.0f);
    munmap(table, FAR_ENTRIES * (FAR_DIM + sizeof(float)));
    for (size_t i = 0; i < FAR_DIM; i++)
        if (!check_that(dst[i] == 1.5f, "element %zu: want 1.5, got %a", i, (double)dst[i]))
            return false;
    return check_that(got == 1, "want row 1, got %zu", got);
}

bool check_embed_i8(vqr_embed_i8_fn *ref, vqr_embed_i8_fn *fn)
{
    return all_i8((struct gather_i8){.embed = ref}, (struct gather_i8){.embed = fn}) &&
           far_i8((struct gather_i8){.embed = fn});
}

bool check_embed_add_i8(vqr_embed_add_i8_fn *ref, vqr_embed_add_i8_fn *fn)
{
    return all_i8((struct gather_i8){.add = ref}, (struct gather_i8){.add = fn}) &&
           far_i8((struct gather_i8){.add = fn});
}
