/* Kernels: the tables of function pointers, the instruction sets of this build, and the choice among them.
 * Thread rule: everything here is immutable; a table filled by vqr_simd_select belongs to the caller. */
#ifndef VQR_SIMD_H
#define VQR_SIMD_H

#include <stddef.h>
#include <stdint.h>

enum {
    VQR_LANES = 16,         /* of the virtual vector: outputs in a panel, lanes of a row sum */
    VQR_ATTENTION_ROWS = 12 /* rows of scores that the attention kernels keep in their scratch */
};

/* A row of smaller numbers than this becomes zeros in int8: 127 / max stays finite. */
#define VQR_INT8_LEAST 0x1p-100f

/* n rounded up to a whole number of panels. */
static inline size_t vqr_padded(size_t n)
{
    return (n + (VQR_LANES - 1)) / VQR_LANES * VQR_LANES;
}

static inline size_t vqr_panels(size_t n)
{
    return (n + (VQR_LANES - 1)) / VQR_LANES;
}

/* What is known of a feature's part in the codeword scores before it is computed: its chains of every row of the table
 * that its numbers come from. */
struct vqr_known_scores {
    const float *scores; /* [table rows, stride] a row's chains, padded to whole panels; NULL: none are known */
    size_t stride;
    const uint32_t *row; /* [rows] the table row of each event */
};

/* What quantize_exact_f32 knows of a codebook beside its panels of floats. g_w: codeword w's column of the matrix. All
 * arrays are padded to whole vectors. */
struct vqr_screen {
    const int8_t *b;    /* panels of [k4][16][4] */
    const float *scale; /* [codewords] g_w is near scale[w] * b_w */
    const float *norm;  /* [panels] at least the largest |g_w| of a panel */
    const float *error; /* [panels] at least the largest |g_w - scale[w] b_w|; infinity: the panel is never left out */
    const float *shift; /* [panels] at least the largest |offset| */
    float rounding;     /* what float arithmetic adds, in parts of a score's terms: see simd/generic/screen.h */
};

/* Rows that quantize_exact_f32 takes at a time, and what it needs room for. */
enum { VQR_SCREEN_ROWS = 48, VQR_SCREEN_TILE = 8 };
struct vqr_screen_scratch {
    int8_t *q;       /* [VQR_SCREEN_ROWS, 4 * k4] */
    float *bounds;   /* [VQR_SCREEN_ROWS, panels rounded up to 16] */
    float *scores;   /* [VQR_SCREEN_TILE, padded(codewords)] */
    uint8_t *needed; /* [VQR_SCREEN_ROWS, panels] */
    float *e;        /* [VQR_SCREEN_ROWS, width] */
};

#define VQR_KERNEL(name, ret, params) typedef ret vqr_##name##_fn params;
#include "simd/kernels.def"
#undef VQR_KERNEL

/* One entry per kernel. In an ISA's own table NULL means "not written here"; in a table filled by vqr_simd_select no
 * entry is NULL. */
struct vqr_kernels {
#define VQR_KERNEL(name, ret, params) vqr_##name##_fn *name;
#include "simd/kernels.def"
#undef VQR_KERNEL
};

/* An instruction set that the library was built for. */
struct vqr_isa {
    const char *name;  /* "ref", "avx2", "neon", ... */
    uint32_t needs;    /* VQR_CPU_* bits that must all be present */
    const char *wants; /* the same in words, for messages */
    struct vqr_kernels k;
};

/* Every ISA in this build, weakest first; [0] is the scalar reference. */
extern const struct vqr_isa *const vqr_isas[];
extern const size_t vqr_isa_count;

/* Whether a processor with these VQR_CPU_* features runs the ISA. */
static inline int vqr_isa_usable(const struct vqr_isa *isa, uint32_t features)
{
    return (isa->needs & features) == isa->needs;
}

/* Fills *k with the best kernel for a processor with `features`, entry by entry. `limit` names the strongest ISA to
 * use, NULL for no limit. Returns the strongest ISA used, or NULL (and *k untouched) when `limit` names none that is
 * usable or the processor runs none at all. */
const struct vqr_isa *vqr_simd_select(struct vqr_kernels *k, uint32_t features, const char *limit);

#endif
