/* team.h: how the threads of one parallel region meet and share out work.
 *
 * Thread 0 drives: it opens a stage, takes tiles of its operations like every other member, and goes on when all
 * tiles are done. It waits for tiles, not for members: one whose core a neighbour has taken holds the others up
 * only if it has begun a tile. Between two stages thread 0 alone runs, so control flow needs no locks.
 * Each thread has a home, a contiguous part of an operation's tiles, which it takes first, then what is left of the
 * others'. So it finds its part of W, dW and the optimizer's state in its own cache at the next step: to write a line
 * that another core has read takes 10 ns, or 35 between the caches of two clusters, one after the other (Zen 4).
 * Who took a tile never shows in a result. A ticket carries its stage's number, so a member that comes late can
 * take nothing of a later stage: a claim that succeeds proves that the stage was open all along. What a member reads
 * before its claim may be of a later stage and is thrown away then. Thread 0 writes it meanwhile, so it is atomic, by
 * stores and loads that are plain moves (of x86). What is read after a claim needs none of that.
 * A waiting thread spins for SPINS looks (some 50 µs), then yields at every look.
 */
#ifndef NNCORE_TEAM_H
#define NNCORE_TEAM_H

#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif

typedef struct nn_team {
    _Alignas(64) atomic_long opened;      /* number of the stage that is open; 0: none yet */
    _Alignas(64) atomic_long first, last; /* its operations: first … last − 1 */
    atomic_int leaving;                   /* it has no work: leave */
} nn_team;

/* One thread's home in one operation, on cache lines of its own; an operation has one per thread. */
typedef struct nn_tiles {
    _Alignas(64) atomic_long ticket; /* stage × 2³² + tiles taken of this home in that stage */
    atomic_long done;                /* tiles, of any home, that this thread has finished since the region opened */
    long due;                        /* in thread 0's: those that there were for all threads */
    atomic_int joined;               /* tiles of one group that are done, for nn_is_last */
} nn_tiles;

/* One thread in a stage. */
typedef struct nn_member {
    int thread, threads;
    long stage;
    long tile;       /* in hand; −1: none */
    int home, homes; /* where it was taken; how many homes may have more, that one included */
    long finished;   /* tiles of this operation, not yet in `done` */
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

/* Before the region: `n` homes, of all operations, with nothing taken or done. */
static inline void nn_tiles_reset(nn_tiles *tiles, int n) {
    for (int i = 0; i < n; i++) {
        tiles[i].due = 0;
        atomic_store_explicit(&tiles[i].done, 0, memory_order_relaxed);
        atomic_store_explicit(&tiles[i].joined, 0, memory_order_relaxed);
        atomic_store_explicit(&tiles[i].ticket, 0, memory_order_relaxed);
    }
}

/* Thread 0: offer the tiles of `n` homes in a stage; 0: in none, so that a late member which sees what is written
 * after this call takes nothing. */
static inline void nn_tiles_offer(nn_tiles *tiles, int n, long stage) {
    for (int i = 0; i < n; i++) atomic_store_explicit(&tiles[i].ticket, stage << 32, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
}

static inline void nn_team_open(nn_team *team, long stage, long first, long last) {
    atomic_store_explicit(&team->first, first, memory_order_relaxed);
    atomic_store_explicit(&team->last, last, memory_order_relaxed);
    atomic_store_explicit(&team->opened, stage, memory_order_release);
}

/* Others: wait for a stage after `stage`, and return its number. */
static inline long nn_team_await(nn_team *team, long stage) {
    int looks = 0;
    long opened;
    while ((opened = atomic_load_explicit(&team->opened, memory_order_acquire)) == stage) nn_pause(&looks);
    return opened;
}

/* Finish the tile in hand, and take the next of an operation's `count`; 0: none is left. Begin with tile = −1. */
static inline int nn_next_tile(nn_tiles *tiles, nn_member *me, long count) {
    if (me->tile < 0) {
        me->home = me->thread;
        me->homes = me->threads;
        me->finished = 0;
        if (me->thread == 0) tiles->due += count;
    } else {
        me->finished++;
    }
    const long each = count / me->threads, more = count % me->threads;
    atomic_thread_fence(memory_order_acquire);
    for (; me->homes > 0; me->homes--, me->home = me->home + 1 < me->threads ? me->home + 1 : 0) {
        const long h = me->home, size = each + (h < more);
        long ticket = atomic_load_explicit(&tiles[h].ticket, memory_order_relaxed), taken;
        while (ticket >> 32 == me->stage && (taken = ticket & 0xffffffff) < size)
            if (atomic_compare_exchange_weak_explicit(&tiles[h].ticket, &ticket, ticket + 1, memory_order_relaxed,
                                                      memory_order_relaxed)) {
                me->tile = h * each + (h < more ? h : more) + taken;
                return 1;
            }
    }
    me->tile = -1;
    if (me->finished) {
        const long done = atomic_load_explicit(&tiles[me->thread].done, memory_order_relaxed);
        atomic_store_explicit(&tiles[me->thread].done, done + me->finished, memory_order_release);
    }
    return 0;
}

/* Thread 0: wait until all tiles of an operation are done. */
static inline void nn_tiles_await(nn_tiles *tiles, int threads) {
    int looks = 0;
    for (;;) {
        long done = 0;
        for (int t = 0; t < threads; t++) done += atomic_load_explicit(&tiles[t].done, memory_order_acquire);
        if (done == tiles->due) return;
        nn_pause(&looks);
    }
}

/* Whether the caller is the last `of` a group whose tiles make one result; it sees what the others wrote. */
static inline int nn_is_last(nn_tiles *group, int of) {
    if (atomic_fetch_add_explicit(&group->joined, 1, memory_order_acq_rel) < of - 1) return 0;
    atomic_store_explicit(&group->joined, 0, memory_order_relaxed);
    return 1;
}

/* The end of a region: thread 0 lets those run that share its core, as the runtime's own barrier does not. */
static inline void nn_tiles_leave(nn_tiles *tiles, int thread, int threads) {
    if (thread) {
        atomic_fetch_add_explicit(&tiles->done, 1, memory_order_release);
        return;
    }
    for (int looks = 0; atomic_load_explicit(&tiles->done, memory_order_acquire) < threads - 1;) nn_pause(&looks);
}

/* The next tile where every thread works alone: of a prediction, or a product that stands alone. */
static inline long nn_claim(nn_tiles *tiles) {
    return atomic_fetch_add_explicit(&tiles->ticket, 1, memory_order_relaxed);
}

/* Leave nothing of it to anybody. */
static inline void nn_claim_rest(nn_tiles *tiles) {
    atomic_store_explicit(&tiles->ticket, LONG_MAX / 2, memory_order_relaxed);
}

/* The core that the caller is on; −1: not known. */
static inline int nn_core(void) {
#ifdef __linux__
    return sched_getcpu();
#else
    return -1;
#endif
}

/* For a thread that may have woken on the core of the one that called it: leave that core to it. Linux may let both
 * share it for tens of ms beside an idle one; 256×784×512 on two cores in turns with PyTorch's: 4.0 → 1.1 ms.
 * The affinity is put back at once; one that somebody else gives this thread in that moment is lost. */
static inline void nn_leave_core(int core) {
#ifdef __linux__
    cpu_set_t allowed, others;
    if (core < 0 || sched_getcpu() != core || sched_getaffinity(0, sizeof(allowed), &allowed)) return;
    others = allowed;
    CPU_CLR(core, &others);
    if (CPU_COUNT(&others) && !sched_setaffinity(0, sizeof(others), &others))
        sched_setaffinity(0, sizeof(allowed), &allowed);
#else
    (void)core;
#endif
}

/* Threads of the parallel region around the caller; a runtime may give fewer than were asked for. */
static inline int nn_region_threads(void) {
#ifdef _OPENMP
    return omp_get_num_threads();
#else
    return 1;
#endif
}

static inline double nn_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
