/* Gather of embedding rows, and of their sums. */

/* out = row, or out += row; returns whether all of the row is within the bound. */
static inline int embed_row(float *out, const float *row, size_t dim, v16 bound, int add)
{
    int good = 1;
    size_t i = 0;
    for (; i + VQR_LANES <= dim; i += VQR_LANES) {
        const v16 v = v16_load(row + i);
        good &= v16_within(v, bound);
        v16_store(out + i, add ? v16_add(v16_load(out + i), v) : v);
    }
    if (i < dim) {
        const v16 v = v16_load_n(row + i, dim - i);
        good &= v16_within(v, bound);
        v16_store_n(out + i, add ? v16_add(v16_load_n(out + i, dim - i), v) : v, dim - i);
    }
    return good;
}

size_t FN(embed_f32)(float *dst, size_t dst_stride, const float *table, size_t dim, const uint32_t *index, size_t rows,
                     float limit)
{
    const v16 bound = v16_set1(limit);
    for (size_t r = 0; r < rows; r++)
        if (!embed_row(dst + r * dst_stride, table + (size_t)index[r] * dim, dim, bound, 0))
            return r;
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
