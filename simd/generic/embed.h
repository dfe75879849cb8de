/* Gather of embedding rows, of floats or of int8 in steps of a scale, and of their sums. */
#include <float.h>

/* out = x or out += x, for n lanes. */
static inline void embed_lanes(float *out, v16 x, size_t n, int add)
{
    if (n == VQR_LANES)
        v16_store(out, add ? v16_add(v16_load(out), x) : x);
    else
        v16_store_n(out, add ? v16_add(v16_load_n(out, n), x) : x, n);
}

/* out = row, or out += row; returns whether all of the row is within the bound. */
static inline int embed_row(float *out, const float *row, size_t dim, v16 bound, int add)
{
    int good = 1;
    size_t i = 0;
    for (; i + VQR_LANES <= dim; i += VQR_LANES) {
        const v16 v = v16_load(row + i);
        good &= v16_within(v, bound);
        embed_lanes(out + i, v, VQR_LANES, add);
    }
    if (i < dim) {
        const v16 v = v16_load_n(row + i, dim - i);
        good &= v16_within(v, bound);
        embed_lanes(out + i, v, dim - i, add);
    }
    return good;
}

/* out = v or out += v, v being n numbers q of a row in int8 in steps. */
static inline int embed_lanes_i8(float *out, v16 q, v16 steps, size_t n, v16 bound, const int bounded, int add)
{
    const v16 v = v16_mul(q, steps);
    embed_lanes(out, v, n, add);
    return v16_within(q, v16_set1(127.0f)) & (bounded || v16_within(v, bound));
}

/* embed_row of a row in int8. `bounded`: no number of -127 ... 127 can pass the bound. */
static inline int embed_row_i8(float *out, const int8_t *row, float scale, size_t dim, v16 bound, const int bounded,
                               int add)
{
    const v16 steps = v16_set1(scale);
    int good = 1;
    size_t i = 0;
    for (; i + VQR_LANES <= dim; i += VQR_LANES)
        good &= embed_lanes_i8(out + i, v16_load_int8(row + i), steps, VQR_LANES, bound, bounded, add);
    if (i < dim)
        good &= embed_lanes_i8(out + i, v16_load_int8_n(row + i, dim - i), steps, dim - i, bound, bounded, add);
    return good;
}

static inline int embed_scaled(float *out, const int8_t *row, float scale, size_t dim, float limit, int add)
{
    if (!(scale >= 0.0f && scale <= FLT_MAX))
        return 0;
    const v16 bound = v16_set1(limit);
    return 127.0f * scale <= limit ? embed_row_i8(out, row, scale, dim, bound, 1, add)
                                   : embed_row_i8(out, row, scale, dim, bound, 0, add);
}

/* Rows lie anywhere in a table that no cache holds: the next ones are asked for while one is copied. */
enum { EMBED_AHEAD = 12, CACHE_LINE_FLOATS = 16 };

static inline void prefetch_row(const float *row, size_t dim)
{
    for (size_t i = 0; i < dim; i += CACHE_LINE_FLOATS)
        __builtin_prefetch(row + i);
}

size_t FN(embed_f32)(float *dst, size_t dst_stride, const float *table, size_t dim, const uint32_t *index, size_t rows,
                     float limit)
{
    const v16 bound = v16_set1(limit);
    for (size_t r = 0; r < rows && r < EMBED_AHEAD; r++)
        prefetch_row(table + (size_t)index[r] * dim, dim);
    for (size_t r = 0; r < rows; r++) {
        if (r + EMBED_AHEAD < rows)
            prefetch_row(table + (size_t)index[r + EMBED_AHEAD] * dim, dim);
        if (!embed_row(dst + r * dst_stride, table + (size_t)index[r] * dim, dim, bound, 0))
            return r;
    }
    return rows;
}

size_t FN(embed_add_f32)(float *dst, const float *table, size_t dim, const uint32_t *index, size_t count, float limit)
{
    const v16 bound = v16_set1(limit);
    for (size_t r = 0; r < count; r++)
        if (!embed_row(dst, table + (size_t)index[r] * dim, dim, bound, 1))
            return r;
    return count;
}

size_t FN(embed_i8)(float *dst, size_t dst_stride, const int8_t *table, const float *scale, size_t dim,
                    const uint32_t *index, size_t rows, float limit)
{
    for (size_t r = 0; r < rows; r++)
        if (!embed_scaled(dst + r * dst_stride, table + (size_t)index[r] * dim, scale[index[r]], dim, limit, 0))
            return r;
    return rows;
}

size_t FN(embed_add_i8)(float *dst, const int8_t *table, const float *scale, size_t dim, const uint32_t *index,
                        size_t count, float limit)
{
    for (size_t r = 0; r < count; r++)
        if (!embed_scaled(dst, table + (size_t)index[r] * dim, scale[index[r]], dim, limit, 1))
            return r;
    return count;
}
