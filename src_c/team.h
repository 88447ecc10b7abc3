/* team.h: how the threads of one parallel region meet and share out work.
 *
 * Thread 0 drives: it opens a stage, takes tiles of its operations like every other member, and goes on when all
 * tiles are done. It waits for tiles, not for members: one whose core a neighbour has taken holds the others up
 * only if it has begun a tile. Between two stages thread 0 alone runs, so control flow needs no locks.
 * The boundaries of tiles are fixed; who takes which is free. A ticket carries its stage's number, so a member
 * that comes late can take nothing of a later stage: a claim that succeeds proves that the stage was open all along.
 * A waiting thread spins for SPINS looks (some 50 µs), then yields at every look.
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
    _Alignas(64) atomic_long opened; /* number of the stage that is open; 0: none yet */
    _Alignas(64) int leaving;        /* the stage just opened has no work: leave */
} nn_team;

/* The tiles of one operation, on cache lines of their own. */
typedef struct nn_tiles {
    _Alignas(64) atomic_long ticket; /* stage × 2³² + next tile */
    _Alignas(64) atomic_long done;   /* tiles finished in this stage */
    long count;                      /* tiles there are; thread 0 alone writes and reads it */
} nn_tiles;

/* One thread in a stage. */
typedef struct nn_member {
    int thread;
    long stage;
    long tile; /* in hand; −1: none */
} nn_member;

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

static inline void nn_team_reset(nn_team *team) {
    atomic_store(&team->opened, 0);
    team->leaving = 0;
}

/* Thread 0: number the tiles of the next stage's operations, then open it. */
static inline void nn_tiles_reset(nn_tiles *tiles, long stage) {
    tiles->count = 0; /* a share that finds nothing to do takes no tile, and must not be waited for */
    atomic_store_explicit(&tiles->done, 0, memory_order_relaxed);
    atomic_store_explicit(&tiles->ticket, stage << 32, memory_order_relaxed);
}

static inline void nn_team_open(nn_team *team, long stage) {
    atomic_store_explicit(&team->opened, stage, memory_order_release);
}

/* Others: wait for a stage after `stage`, and return its number. */
static inline long nn_team_await(nn_team *team, long stage) {
    int looks = 0;
    long opened;
    while ((opened = atomic_load_explicit(&team->opened, memory_order_acquire)) == stage) nn_pause(&looks);
    return opened;
}

/* Hand in the tile in hand, and take the next of `count`; 0: none is left. Begin with tile = −1. */
static inline int nn_next_tile(nn_tiles *tiles, nn_member *member, long count) {
    if (member->tile >= 0) atomic_fetch_add_explicit(&tiles->done, 1, memory_order_release);
    member->tile = -1;
    if (member->thread == 0) tiles->count = count;
    long ticket = atomic_load_explicit(&tiles->ticket, memory_order_relaxed);
    while (ticket >> 32 == member->stage && (ticket & 0xffffffff) < count)
        if (atomic_compare_exchange_weak_explicit(&tiles->ticket, &ticket, ticket + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            member->tile = ticket & 0xffffffff;
            return 1;
        }
    return 0;
}

/* Thread 0: wait until all tiles of an operation are done. */
static inline void nn_tiles_await(nn_tiles *tiles) {
    int looks = 0;
    while (atomic_load_explicit(&tiles->done, memory_order_acquire) < tiles->count) nn_pause(&looks);
}

/* The next tile of a prediction, where every thread works alone. */
static inline long nn_claim(nn_tiles *tiles) { return atomic_fetch_add_explicit(&tiles->ticket, 1, memory_order_relaxed); }

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
