/* team.h: how the threads of one parallel region meet and share out work.
 *
 * Thread 0 drives: it opens a stage, takes part in it, and closes it when all others have arrived; between
 * close and open it alone runs, so control flow needs no locks. Work inside a stage is cut into tiles whose
 * boundaries are fixed; which thread takes which tile is free. A waiting thread spins for SPINS looks (tens
 * of microseconds), then yields at every look, so that a busy neighbour on its core costs little.
 */
#ifndef NNCORE_TEAM_H
#define NNCORE_TEAM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr */
#endif
#include <dlfcn.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif

typedef struct nn_team {
    _Alignas(64) atomic_long opened; /* stages opened so far */
    _Alignas(64) atomic_long closed; /* arrivals of threads other than 0, over all stages */
    _Alignas(64) int threads;
    int leaving;                     /* the stage just opened is the last: leave */
} nn_team;

/* A tile counter on a cache line of its own. */
typedef struct nn_tiles {
    _Alignas(64) atomic_long next;
} nn_tiles;

enum { NN_SPINS = 4000 };

static inline void nn_pause(int *looks) {
    if (++*looks > NN_SPINS) {
        sched_yield();
        return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static inline void nn_team_open(nn_team *team) { atomic_fetch_add_explicit(&team->opened, 1, memory_order_release); }

static inline void nn_team_await_open(nn_team *team, long stage) {
    int looks = 0;
    while (atomic_load_explicit(&team->opened, memory_order_acquire) < stage) nn_pause(&looks);
}

static inline void nn_team_arrive(nn_team *team) { atomic_fetch_add_explicit(&team->closed, 1, memory_order_release); }

static inline void nn_team_close(nn_team *team) {
    const long all = atomic_load_explicit(&team->opened, memory_order_relaxed) * (team->threads - 1);
    int looks = 0;
    while (atomic_load_explicit(&team->closed, memory_order_acquire) < all) nn_pause(&looks);
}

static inline void nn_team_reset(nn_team *team, int threads) {
    atomic_store(&team->opened, 0);
    atomic_store(&team->closed, 0);
    team->threads = threads;
    team->leaving = 0;
}

static inline long nn_claim(nn_tiles *tiles) { return atomic_fetch_add_explicit(&tiles->next, 1, memory_order_relaxed); }
static inline void nn_tiles_reset(nn_tiles *tiles) { atomic_store_explicit(&tiles->next, 0, memory_order_relaxed); }

/* Threads of the parallel region around the caller; a runtime may give fewer than were asked for. */
static inline int nn_region_threads(void) {
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}

/* File name of the OpenMP runtime behind the caller. */
static inline const char *nn_openmp_runtime(void) {
#ifdef _OPENMP
    Dl_info info;
    const char *name = dladdr((void *)(uintptr_t)&omp_get_num_threads, &info) ? info.dli_fname : 0;
    const char *slash = name ? strrchr(name, '/') : 0;
    return slash ? slash + 1 : name ? name : "unknown";
#else
    return "none (built without OpenMP)";
#endif
}

static inline double nn_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
