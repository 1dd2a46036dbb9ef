#include "CAllocationCount.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>

// The C library's own functions, by the names under which it exports them for this purpose.
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static _Thread_local unsigned long count;

static atomic_long in_use;

unsigned long allocations_of_this_thread(void) { return count; }

long bytes_in_use(void) { return atomic_load_explicit(&in_use, memory_order_relaxed); }

// Beside the usable bytes a block has its size in front of it.
static long size_of(void *block) { return block ? (long)(malloc_usable_size(block) + sizeof(size_t)) : 0; }

static void *counted(void *block) {
    count++;
    atomic_fetch_add_explicit(&in_use, size_of(block), memory_order_relaxed);
    return block;
}

static void gone(long size) { atomic_fetch_sub_explicit(&in_use, size, memory_order_relaxed); }

void *malloc(size_t size) { return counted(__libc_malloc(size)); }

void *calloc(size_t number, size_t size) { return counted(__libc_calloc(number, size)); }

void *realloc(void *block, size_t size) {
    long before = size_of(block);
    void *found = __libc_realloc(block, size);
    // The old block stays where there is no memory for a new one.
    if (found || size == 0) gone(before);
    return counted(found);
}

void *memalign(size_t alignment, size_t size) { return counted(__libc_memalign(alignment, size)); }

void free(void *block) {
    gone(size_of(block));
    __libc_free(block);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **block, size_t alignment, size_t size) {
    void *found = memalign(alignment, size);
    if (!found) return ENOMEM;
    *block = found;
    return 0;
}
