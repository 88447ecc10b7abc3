"""How many threads a parallel region may have: what the system can give, and what others have set for the caller."""

from nncore._kernels.table cimport nn_seconds

from warnings import warn


cdef extern from "core/threads.h" nogil:
    int nn_try_threads(int n, int *default_threads)
    int nn_max_threads()
    int nn_pool_threads()
    void nn_pool_has(int threads)
    int nn_prepare_for_forks()
    const char *nn_openmp_runtime()


cdef double PATIENCE = 10   # seconds until more threads are tried than the system has given

cdef int default_threads = 0   # of the runtime, for a thread that nobody has set a number for; 0: not known yet
cdef int ceiling = 0           # what the system gave when it was last asked for too many
cdef double until = 0          # when it may be asked for more
cdef bint warned = False

if nn_prepare_for_forks():
    raise MemoryError


def openmp_runtime():
    """File name of the OpenMP runtime that the engine calls, or what stands in for it."""
    return nn_openmp_runtime().decode()


cdef int team_size(int wanted) except -1:
    """Threads that the caller's next region, which wants more than one, may have: it must then have them.

    The number that ``omp_set_num_threads`` (which threadpoolctl calls) has set for the calling thread is a limit; where
    nobody has, the runtime's default is none. The GIL is held throughout, so that callers try one after another.
    """
    global default_threads
    cdef int given
    if not default_threads:
        nn_try_threads(1, &default_threads)
    given = nn_max_threads()
    if default_threads and given != default_threads:
        wanted = min(wanted, given)
    if wanted > nn_pool_threads():
        wanted = available(wanted)
    if wanted > 1:
        nn_pool_has(wanted)
    return wanted


cdef int available(int wanted) except -1:
    """`wanted`, or as many as there can be; the caller's pool has fewer."""
    global ceiling, until, warned
    cdef int pool = nn_pool_threads(), made
    cdef double now = nn_seconds()
    if now < until:
        wanted = max(pool, min(wanted, ceiling))
    made = nn_try_threads(wanted - pool, &default_threads) if wanted > pool else 0
    if made == wanted - pool:
        return wanted
    ceiling, until = pool + made // 2, now + PATIENCE   # the rest is for others
    if not warned:
        warned = True
        warn(
            f"threads: expected {wanted}, the system gives {pool + made} now; work goes on with {ceiling}, with the "
            "same results. Raise the limit that is met (ulimit -u or -v, a container's pids or memory), or ask for "
            "fewer (n_threads=, nncore.set_num_threads)",
            RuntimeWarning,
        )
    return ceiling
