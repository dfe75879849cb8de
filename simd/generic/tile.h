/* The inner loop of every matrix product: R rows of a against P panels of b, all R x P accumulators in registers.
 *
 * R and P are constants at every call, so the loops over them unroll away and only the loop over k remains: P loads of
 * b, then per row one broadcast of a and P fused multiply-adds. Lanes run across outputs, never along k, which is what
 * makes each output one chain. */
#ifndef VQR_TILE_H
#define VQR_TILE_H

#if defined(__clang__)
#define VQR_UNROLL _Pragma("clang loop unroll(full)")
#else
#define VQR_UNROLL _Pragma("GCC unroll 24")
#endif
#define VQR_INLINE static inline __attribute__((always_inline))

enum { TILE_ACCUMULATORS = 32 };

/* What the elements of b are; constant at every call. */
enum element { FLOATS, BYTES };

/* acc[r * P + p] += a[r][0 .. k) * b[p]; panel p of b starts at b + p * b_stride. */
VQR_INLINE void tile_multiply(v16 *acc, const size_t R, const size_t P, const float *a, size_t a_stride, const void *b,
                              size_t b_stride, const enum element element, size_t k)
{
    for (size_t i = 0; i < k; i++) {
        v16 column[ROW_PANELS];
        VQR_UNROLL
        for (size_t p = 0; p < P; p++) {
            const size_t at = p * b_stride + i * VQR_LANES;
            column[p] = element == BYTES ? v16_load_int8((const int8_t *)b + at) : v16_load((const float *)b + at);
        }
        VQR_UNROLL
        for (size_t r = 0; r < R; r++) {
            const v16 x = v16_set1(a[r * a_stride + i]);
            VQR_UNROLL
            for (size_t p = 0; p < P; p++)
                acc[r * P + p] = v16_fma(x, column[p], acc[r * P + p]);
        }
    }
}

#endif
