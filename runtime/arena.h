/* One block of memory, handed out piece by piece.
 *
 * The same code that takes the pieces also answers how much memory they need: with base NULL nothing is handed out and
 * only the total grows, so the size asked for and the size used cannot differ. */
#ifndef VQR_ARENA_H
#define VQR_ARENA_H

#include <stddef.h>
#include <stdint.h>

enum { VQR_ARENA_ALIGN = 64 };

struct vqr_arena {
    uint8_t *base; /* aligned to VQR_ARENA_ALIGN, or NULL to only count */
    size_t used;   /* SIZE_MAX once the total does not fit a size_t */
};

/* Room for count elements of `size` bytes, aligned to VQR_ARENA_ALIGN; NULL when only counting. */
static inline void *vqr_take(struct vqr_arena *arena, size_t count, size_t size)
{
    const size_t limit = SIZE_MAX / 2; /* no object is larger */
    if (arena->used > limit || (size != 0 && count > (limit - arena->used) / size)) {
        arena->used = SIZE_MAX;
        return NULL;
    }
    uint8_t *piece = arena->base ? arena->base + arena->used : NULL;
    arena->used += (count * size + VQR_ARENA_ALIGN - 1) / VQR_ARENA_ALIGN * VQR_ARENA_ALIGN;
    return piece;
}

/* Bytes to ask a caller for: the total, and room to align its start. */
static inline size_t vqr_arena_size(const struct vqr_arena *arena)
{
    return arena->used > SIZE_MAX - VQR_ARENA_ALIGN ? SIZE_MAX : arena->used + (VQR_ARENA_ALIGN - 1);
}

/* The first aligned byte at or after p. */
static inline uint8_t *vqr_align(void *p)
{
    const uintptr_t address = (uintptr_t)p;
    return (uint8_t *)p + (VQR_ARENA_ALIGN - address % VQR_ARENA_ALIGN) % VQR_ARENA_ALIGN;
}

/* a + b, or SIZE_MAX when that does not fit. */
static inline size_t vqr_plus(size_t a, size_t b)
{
    return a > SIZE_MAX - b ? SIZE_MAX : a + b;
}

/* a * b, or SIZE_MAX when that does not fit. */
static inline size_t vqr_times(size_t a, size_t b)
{
    return b != 0 && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

#endif
