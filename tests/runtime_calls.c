#include "tests/runtime_calls.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

static atomic_size_t calls;

void runtime_calls_reset(void)
{
    atomic_store(&calls, 0);
}

size_t runtime_calls(void)
{
    return atomic_load(&calls);
}

/* The linker sends calls of NAME to __wrap_NAME, and calls of __real_NAME to NAME. */
#define WRAP(ret, name, parameters, arguments) \
    ret __real_##name parameters;              \
    ret __wrap_##name parameters;              \
    ret __wrap_##name parameters               \
    {                                          \
        atomic_fetch_add(&calls, 1);           \
        return __real_##name arguments;        \
    }

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *memory, size_t size), (memory, size))
WRAP(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
WRAP(int, posix_memalign, (void **memory, size_t alignment, size_t size), (memory, alignment, size))
WRAP(void *, mmap, (void *at, size_t size, int protection, int flags, int fd, off_t offset),
     (at, size, protection, flags, fd, offset))
WRAP(int, munmap, (void *at, size_t size), (at, size))
WRAP(int, pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))
WRAP(int, pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex))
WRAP(int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
WRAP(int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
WRAP(int, pthread_once, (pthread_once_t * once, void (*routine)(void)), (once, routine))

void __real_free(void *memory);
void __wrap_free(void *memory);
void __wrap_free(void *memory)
{
    atomic_fetch_add(&calls, 1);
    __real_free(memory);
}
