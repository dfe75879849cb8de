/* Stands in for runtime/arena.h in test_runtime_redzones, which is built with this header forced in front: the same
 * functions, but every piece is followed by bytes that AddressSanitizer reports when they are touched, so that a piece
 * one element too short is seen although all of it lies in one block of memory. */
#ifndef VQR_ARENA_H
#define VQR_ARENA_H

#include <sanitizer/asan_interface.h>
#include <stddef.h>
#include <stdint.h>

enum { VQR_ARENA_ALIGN = 64, VQR_ARENA_REDZONE = 256 };

struct vqr_arena {
    uint8_t *base;
    size_t used;
};

static inline void *vqr_take(struct vqr_arena *arena, size_t count, size_t size)
{
    const size_t bytes = count * size, room = (bytes + VQR_ARENA_ALIGN - 1) / VQR_ARENA_ALIGN * VQR_ARENA_ALIGN;
    uint8_t *piece = arena->base ? arena->base + arena->used : NULL;
    arena->used += room + VQR_ARENA_REDZONE;
    if (piece)
        ASAN_POISON_MEMORY_REGION(piece + bytes, room - bytes + VQR_ARENA_REDZONE);
    return piece;
}

static inline size_t vqr_arena_size(const struct vqr_arena *arena)
{
    return arena->used + (VQR_ARENA_ALIGN - 1);
}

static inline uint8_t *vqr_align(void *p)
{
    const uintptr_t address = (uintptr_t)p;
    return (uint8_t *)p + (VQR_ARENA_ALIGN - address % VQR_ARENA_ALIGN) % VQR_ARENA_ALIGN;
}

static inline size_t vqr_plus(size_t a, size_t b)
{
    return a + b;
}

static inline size_t vqr_times(size_t a, size_t b)
{
    return a * b;
}

#endif
