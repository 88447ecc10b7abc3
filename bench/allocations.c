/* Counts calls for memory. processes.py puts it before the C library (LD_PRELOAD, glibc). */
#include <stddef.h>

void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

static long calls;
long allocations(void) { return calls; }
static void count(void) { __atomic_fetch_add(&calls, 1, __ATOMIC_RELAXED); }

void *malloc(size_t n) { return count(), __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return count(), __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return count(), __libc_realloc(p, n); }
void *memalign(size_t to, size_t n) { return count(), __libc_memalign(to, n); }
void *aligned_alloc(size_t to, size_t n) { return count(), __libc_memalign(to, n); }
int posix_memalign(void **p, size_t to, size_t n) {
    count();
    *p = __libc_memalign(to, n);
    return *p || !n ? 0 : 12; /* ENOMEM */
}
