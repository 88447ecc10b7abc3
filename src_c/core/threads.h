/* threads.h: how many threads a parallel region can have, and the runtime's pool of them. For one module alone.
 *
 * GNU's runtime ends the process where it cannot make a thread: beyond a container's limit of pids, a user's of
 * processes, an address space that has no room for another stack. So the threads that its pool lacks are tried before a
 * region asks for them: all of them made at once, with the stack that the runtime gives, and joined. Each calling
 * thread has a pool of its own, which after a region of more than one thread has as many as that region.
 * Another process or library may take the last place between the trial and the region; nothing can be done about that
 * here but to be quick, and to leave half of what there is where it was not enough.
 */
#ifndef NNCORE_THREADS_H
#define NNCORE_THREADS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr, RTLD_DEFAULT */
#endif
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

/* Threads of the pool behind the caller, itself included; 0: it has none yet. */
static _Thread_local int nn_pool;

/* What the runtime makes threads with: OMP_STACKSIZE, in KB unless it names a unit, or the system's default. */
static inline void nn_thread_attributes(pthread_attr_t *attributes) {
    const char *names[] = {"OMP_STACKSIZE", "GOMP_STACKSIZE"}, *units = "bkmg";
    pthread_attr_init(attributes);
    for (int i = 0; i < 2; i++) {
        const char *text = getenv(names[i]);
        char *end;
        if (!text) continue;
        unsigned long long size = strtoull(text, &end, 10);
        if (end == text) continue;
        while (*end == ' ') end++;
        const char *unit = *end ? strchr(units, *end | 0x20) : units + 1;
        if (unit) size <<= 10 * (unit - units);
        if (unit && !pthread_attr_setstacksize(attributes, (size_t)size)) return; /* refused below the least */
    }
}

typedef struct nn_trial {
    pthread_mutex_t gate; /* held until all are made */
    int default_threads;  /* of a region, where nobody has set another number for the calling thread */
} nn_trial;

typedef struct nn_tried {
    nn_trial *trial;
    pthread_t thread;
    long id; /* the system's */
} nn_tried;

static void *nn_stand_in_line(void *argument) {
    nn_tried *me = argument;
#ifdef __linux__
    me->id = syscall(SYS_gettid);
#endif
    pthread_mutex_lock(&me->trial->gate);
#ifdef _OPENMP
    me->trial->default_threads = omp_get_max_threads();
#endif
    pthread_mutex_unlock(&me->trial->gate);
    return NULL;
}

/* A joined thread counts against limits until the system has let go of it, some µs later. */
static inline void nn_await_end(const nn_tried *tried) {
#ifdef __linux__
    for (int looks = 0; looks < 10000 && !syscall(SYS_tgkill, getpid(), tried->id, 0); looks++) sched_yield();
#else
    (void)tried;
#endif
}

/* How many of n threads can be made beside all that there are; *default_threads, of at least one: see nn_trial. */
static inline int nn_try_threads(int n, int *default_threads) {
    nn_trial trial = {.gate = PTHREAD_MUTEX_INITIALIZER};
    nn_tried *tried = malloc((size_t)n * sizeof(*tried));
    pthread_attr_t attributes;
    int made = 0;
    if (!tried) return 0;
    nn_thread_attributes(&attributes);
    pthread_mutex_lock(&trial.gate);
    for (; made < n; made++) {
        tried[made].trial = &trial;
        if (pthread_create(&tried[made].thread, &attributes, nn_stand_in_line, &tried[made])) break;
    }
    pthread_mutex_unlock(&trial.gate);
    for (int i = 0; i < made; i++) pthread_join(tried[i].thread, NULL);
    for (int i = 0; i < made; i++) nn_await_end(&tried[i]);
    pthread_attr_destroy(&attributes);
    free(tried);
    if (made) *default_threads = trial.default_threads;
    return made;
}

/* Threads that the runtime would give the caller's next region. */
static inline int nn_max_threads(void) {
#ifdef _OPENMP
    return omp_get_max_threads();
#else
    return 1;
#endif
}

static inline int nn_pool_threads(void) { return nn_pool > 1 ? nn_pool : 1; }
static inline void nn_pool_has(int threads) { nn_pool = threads; }

/* A child of fork inherits the memory of the runtime's pool but none of its threads, and GNU's would wait for them for
 * ever: let the forking thread give up its pool before, which the next region of parent or child makes anew. */
static void nn_leave_pool(void) {
#ifdef _OPENMP
    int (*pause)(int) = (int (*)(int))(uintptr_t)dlsym(RTLD_DEFAULT, "omp_pause_resource_all"); /* OpenMP 5 */
    if (pause && !omp_in_parallel()) pause(1 /* omp_pause_soft */);
#endif
    nn_pool = 0;
}

static inline int nn_prepare_for_forks(void) { return pthread_atfork(nn_leave_pool, 0, 0); }

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

#endif
