/* ahead.h: memory that is fetched before it is touched.
 *
 * A chain goes through a batch by a few samples at a time (compiler/chains.py). What these read and write for the
 * whole batch comes from memory, and operations would wait for it: CPUs fetch ahead within an array alone, and only
 * while it is read. So operations that compute for long fetch a line now and then of what the next samples will touch.
 */
#ifndef NNCORE_AHEAD_H
#define NNCORE_AHEAD_H

#include <stddef.h>
#include <stdint.h>

enum { NN_AHEAD_ARRAYS = 8 };

/* A thread's: the arrays in the order in which they will be touched; those before `next` are fetched. */
typedef struct nn_ahead {
    _Alignas(64) int64_t next;
    int64_t count;
    struct { const char *at; int64_t bytes; } arrays[NN_AHEAD_ARRAYS];
} nn_ahead;

/* Where to fetch next, and how many bytes further on after that. */
typedef struct nn_fetching {
    const char *at;
    ptrdiff_t step;
} nn_fetching;

static inline void nn_add_ahead(nn_ahead *ahead, const char *at, int64_t bytes) {
    if (ahead->count == NN_AHEAD_ARRAYS) return;
    ahead->arrays[ahead->count].at = at;
    ahead->arrays[ahead->count++].bytes = bytes;
}

/* The next `count` × `step` bytes, of one array and what lies behind it; where none are left, `near` again and again,
 * which costs nothing. */
static inline nn_fetching nn_take_ahead(nn_ahead *ahead, int64_t count, ptrdiff_t step, const void *near) {
    while (ahead->next < ahead->count && ahead->arrays[ahead->next].bytes <= 0) ahead->next++;
    if (ahead->next == ahead->count) return (nn_fetching){near, 0};
    const nn_fetching taken = {ahead->arrays[ahead->next].at, step};
    ahead->arrays[ahead->next].at += count * step;
    ahead->arrays[ahead->next].bytes -= count * step;
    return taken;
}

static inline void nn_fetch(nn_fetching *f) {
    __builtin_prefetch(f->at);
    f->at += f->step;
}

#endif
