"""Threads that cannot be made, and limits that others set, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from libraries import compiled

from nncore._kernels.threads import openmp_runtime

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or ".so" not in openmp_runtime(), reason="about threads of OpenMP on Linux"
)

# Before the C library: threads can be made until so many are alive.
SCARCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
static int alive, made;
int most = 1 << 20;
int threads_made(void) { return __atomic_load_n(&made, __ATOMIC_SEQ_CST); }
typedef struct task { void *(*run)(void *); void *argument; } task;
static void leave(void *unused) { __atomic_fetch_sub(&alive, 1, __ATOMIC_SEQ_CST); }
static void *start(void *argument) {
    task mine = *(task *)argument;
    void *result;
    free(argument);
    pthread_cleanup_push(leave, NULL);
    result = mine.run(mine.argument);
    pthread_cleanup_pop(1);
    return result;
}
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = dlsym(RTLD_NEXT, "pthread_create");
    task *mine = malloc(sizeof(*mine));
    int failed;
    *mine = (task){run, argument};
    if (__atomic_add_fetch(&alive, 1, __ATOMIC_SEQ_CST) > most) {
        leave(NULL);
        return EAGAIN;
    }
    __atomic_fetch_add(&made, 1, __ATOMIC_SEQ_CST);
    failed = create(thread, attributes, start, mine);
    if (failed) leave(NULL);
    return failed;
}
"""

PROGRAM = """
import ctypes, faulthandler, os, sys, threading, warnings
faulthandler.dump_traceback_later(100, exit=True)
import numpy as np
import nncore as nn
from nncore import products
from nncore.execution import team, tuning
team.PARALLEL_FLOPS = products.PARALLEL_FLOPS = 0
tuning.Pace.choose = lambda self: (self.most, 0.01)
rng = np.random.default_rng(0)
x, y = rng.standard_normal((300, 20)).astype("f4"), rng.integers(0, 3, 300)
def results(threads):
    layers = [nn.Dense(64, activation="relu"), nn.Dense(3, activation="softmax")]
    model = nn.Model(layers, seed=1, n_threads=threads)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=3, verbose=0)
    nn.set_num_threads(threads)
    arrays = [*model.get_weights(), model.predict(x), nn.matmul(x, x.T)]
    return b"".join(a.tobytes() for a in arrays)
def count():
    return len(os.listdir("/proc/self/task"))
alone = results(1)
"""


def run(code: str, **environment: str) -> str:
    """What a program prints that must end well."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + code],
        env={**os.environ, "OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def scarce(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A library in front of the C library's, with the variable `most` and a count of threads made."""
    return compiled(tmp_path_factory.mktemp("scarce"), "scarce", SCARCE, "-ldl", "-pthread")


@pytest.mark.parametrize(("spare", "threads"), [(0, 2), (1, 3), (2, 4), (5, 64), (6, 200)])
def test_work_goes_on_with_the_threads_that_can_be_made(scarce: str, spare: int, threads: int) -> None:
    """The same bits, one warning, and the process lives on; of threads that are scarce others find some left."""
    code = f"""
shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
most = ctypes.c_int.in_dll(shim, "most")
most.value = count() - 1 + {spare}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        for _ in range(3):
            assert results({threads}) == alone
    finally:
        print("finally")
print(*[w.category.__name__ + ": " + str(w.message) for w in caught], sep=chr(10))
other = threading.Thread(target=lambda: print("another's", results(64) == alone))
if {spare} > 1:
    other.start()
    other.join()
"""
    first, *lines = run(code, LD_PRELOAD=scarce).splitlines()
    given = 1 + spare // 2
    assert first == "finally"
    warned = (
        f"RuntimeWarning: threads: expected {threads}, the system gives {spare + 1} now; work goes on with {given},"
    )
    assert lines[0].startswith(warned)
    assert lines[1:] == (["another's True"] if spare > 1 else [])


SHIM = """
shim = ctypes.CDLL(os.environ["LD_PRELOAD"])
most = ctypes.c_int.in_dll(shim, "most")
warnings.simplefilter("error")
"""


def test_threads_are_tried_when_the_pool_lacks_them(scarce: str) -> None:
    """A team no larger than the last needs none; a larger one does, also where one has been as large before."""
    code = """
def made(threads):
    before = shim.threads_made()
    assert results(threads) == alone
    return shim.threads_made() - before
counts = [made(n) for n in (3, 3, 1, 3, 2, 4)]
assert made(2) == 0
most.value = count() - 1 + 1  # the pool has two threads that are left, of four
try:
    results(4)
except RuntimeWarning as warning:
    print(counts[1:], str(warning)[:49])
"""
    [line] = run(SHIM + code, LD_PRELOAD=scarce).splitlines()
    # two more threads, each tried and then made: of the fit, whose pool the others find
    assert line == "[0, 0, 0, 0, 4] threads: expected 4, the system gives 3 now; work"


def test_every_calling_thread_and_a_forked_child_try_their_own(scarce: str) -> None:
    code = """
assert results(3) == alone
spare = most.value = count() - 1
def another():
    try:
        results(3)
    except RuntimeWarning as warning:
        print(str(warning)[:49])
    print(results(3) == alone)
thread = threading.Thread(target=another)
most.value += 1  # for itself
thread.start()
thread.join()
most.value = count() - 1
print(results(3) == alone, flush=True)
child = os.fork()
if child == 0:
    most.value = 0
    print(results(3) == alone, flush=True)
    os._exit(0)
print(os.waitpid(child, 0)[1])
"""
    lines = run(SHIM + code, LD_PRELOAD=scarce).splitlines()
    assert lines == ["threads: expected 3, the system gives 1 now; work", "True", "True", "True", "0"]


def test_an_address_space_without_room_for_stacks() -> None:
    """As large as the runtime's will be: 64 MB, of which the limit leaves room for three."""
    code = """
import resource
[used] = [int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmSize")]
resource.setrlimit(resource.RLIMIT_AS, (used + (280 << 20), used + (280 << 20)))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(results(16) == alone)
print(len(caught), *str(caught[0].message).split()[:7])
"""
    lines = run(code, OMP_STACKSIZE=" 64 M", MALLOC_ARENA_MAX="1").splitlines()
    assert lines == ["True", "1 threads: expected 16, the system gives 4"]


def test_what_omp_set_num_threads_sets_is_a_limit() -> None:
    """As threadpoolctl sets it, on the runtime that is loaded: for the calling thread, until it is put back."""
    code = f"""
runtime = ctypes.CDLL("{openmp_runtime()}")
usual = runtime.omp_get_max_threads()
def threads():
    before = count()
    assert results(5) == alone
    return count() - before
for limit in (1, 3, usual, 1):
    runtime.omp_set_num_threads(limit)
    print(threads(), end=" ")
other = threading.Thread(target=lambda: print(threads(), end=" "))
other.start()
other.join()
"""
    assert run(code, OMP_NUM_THREADS="2").split() == ["0", "2", "2", "0", "4"]


def test_a_limit_set_before_the_import_is_one() -> None:
    code = f"import ctypes\nruntime = ctypes.CDLL('{openmp_runtime()}')\nruntime.omp_set_num_threads(1)\n{PROGRAM}"
    code += "assert results(5) == alone\nprint(count())\nruntime.omp_set_num_threads(2)\nresults(5)\nprint(count())"
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    before, after = map(int, done.stdout.split())
    assert after - before == 4, done.stderr
