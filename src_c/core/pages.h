/* pages.h: memory of a run. What is as large as many pages is asked for in huge ones: a step that reads and writes
 * tens of MB is bound by memory, and looking up pages of 4 KB is a sixth of its time. */
#ifndef NNCORE_PAGES_H
#define NNCORE_PAGES_H

#include <stddef.h>
#include <stdlib.h>
#ifdef __linux__
#include <sys/mman.h>
#endif

enum { NN_LINE = 64, NN_HUGE_PAGE = 1 << 21, NN_HUGE_PAGES = 2 }; /* from so many on */

/* `size` bytes on a cache line's boundary, at least one line; NULL if there are none. */
static inline void *nn_room(size_t size) {
    const size_t unit = size >= (size_t)NN_HUGE_PAGES * NN_HUGE_PAGE ? NN_HUGE_PAGE : NN_LINE;
    const size_t whole = size > unit ? (size + unit - 1) / unit * unit : unit;
    void *p = NULL;
    if (whole < size || posix_memalign(&p, unit, whole)) return NULL;
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (unit == NN_HUGE_PAGE) (void)madvise(p, whole, MADV_HUGEPAGE); /* a wish */
#endif
    return p;
}

#endif
