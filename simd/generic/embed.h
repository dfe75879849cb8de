/* Gather of embedding rows. */

size_t FN(embed_f32)(float *dst, size_t dst_stride, const float *table, size_t dim, const uint32_t *index, size_t rows,
                     float limit)
{
    const v16 bound = v16_set1(limit);
    for (size_t r = 0; r < rows; r++) {
        const float *row = table + (size_t)index[r] * dim;
        float *out = dst + r * dst_stride;
        int good = 1;
        size_t i = 0;
        for (; i + VQR_LANES <= dim; i += VQR_LANES) {
            const v16 v = v16_load(row + i);
            good &= v16_within(v, bound);
            v16_store(out + i, v);
        }
        if (i < dim) {
            const v16 v = v16_load_n(row + i, dim - i);
            good &= v16_within(v, bound);
            v16_store_n(out + i, v, dim - i);
        }
        if (!good)
            return r;
    }
    return rows;
}

size_t FN(embed_add_f32)(float *dst, const float *table, size_t dim, const uint32_t *index, size_t count, float limit)
{
    const v16 bound = v16_set1(limit);
    for (size_t r = 0; r < count; r++) {
        const float *row = table + (size_t)index[r] * dim;
        int good = 1;
        size_t i = 0;
        for (; i + VQR_LANES <= dim; i += VQR_LANES) {
            const v16 v = v16_load(row + i);
            good &= v16_within(v, bound);
            v16_store(dst + i, v16_add(v16_load(dst + i), v));
        }
        if (i < dim) {
            const v16 v = v16_load_n(row + i, dim - i);
            good &= v16_within(v, bound);
            v16_store_n(dst + i, v16_add(v16_load_n(dst + i, dim - i), v), dim - i);
        }
        if (!good)
            return r;
    }
    return count;
}
