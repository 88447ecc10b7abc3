"""What needs a process of its own: the first step after an import, the memory of a fit, a neighbour on a core.

python bench/processes.py first_step nncore C      prints a figure; so do the other functions that ask it
"""

from __future__ import annotations

import ctypes
import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import machine
import numpy as np
from measure import Run
from nets import NETS, Net

FIRST_STEPS = {"nncore": "nncore", "PyTorch": "torch", "JAX": "jax"}  # what to import
ROOM = 16 << 20  # bytes that a fit may take beside its arrays
STEPS = (1_000, 9_000)  # of fits whose allocations are compared

SPIN = """
import os, sys
if hasattr(os, "sched_setaffinity"): os.sched_setaffinity(0, {int(sys.argv[1])})
print("ready", flush=True)
sys.stdin.read(1)
while True: pass
"""
WATCHED = 1.5  # seconds after a neighbour's start
SPAN = 0.1  # seconds over which a pace is taken
BACK = 0.95  # of one thread's pace beside the neighbour


def ask(*question: str, **environment: str) -> float:
    """The figure that this file prints in a fresh process."""
    command = [sys.executable, __file__, *question]
    done = subprocess.run(command, check=True, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.split()[-1])


def first_step(library: str, net: Net) -> Run:
    """Seconds from after the import to the first training step, which is not counted: building and compiling."""
    importlib.import_module(FIRST_STEPS[library])  # ImportError if missing
    return lambda: ask("first_step", library, net.name)


def ask_first_step(library: str, name: str) -> float:
    import training

    importlib.import_module(FIRST_STEPS[library])
    net, threads = replace(NETS[name], steps=1), int(os.environ.get("OMP_NUM_THREADS", "1"))
    net.data(), net.weights()  # once for what NumPy loads at the first use
    given = timed(lambda: (net.data(), net.weights()))  # the benchmark's own work, which the peers' runs repeat
    run: Run
    if library == "nncore":
        first = timed(run := fit_of(net))
    else:
        prepare = partial(training.torch_run, net, threads) if library == "PyTorch" else partial(training.jax_run, net)
        first = timed(lambda: prepare()()) - given
        run = prepare()
        run()
    return first - min(timed(run) for _ in range(3))


def timed(run: Run) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def memory(net: Net, key: str) -> Run:
    """Bytes of a fit over those of the interpreter with NumPy: "measured" at the peak, or "allowed" by the formula."""
    if key == "measured":
        if not Path("/proc/self/status").exists():
            raise ImportError("the peak of memory is read from /proc/self/status")
        return lambda: ask("memory", net.name)
    slots = 2 if net.optimizer == "adam" else 0
    parameters = sum(i * o + o for i, o in net.layers)
    x, y = net.data()
    activations = net.batch * sum(net.widths)
    allowed = 4 * (parameters * (2 + slots) + activations) + x.nbytes + y.nbytes + ROOM
    return lambda: float(allowed)


def ask_memory(name: str) -> float:
    before = resident("VmRSS")
    fit_of(NETS[name])(epochs=2)
    return resident("VmHWM") - before


def resident(field: str) -> float:
    """Bytes of this process; its field VmHWM is the most so far, and unlike getrusage's starts anew at an exec."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return float(line.split()[1]) * 1024
    raise LookupError(field)


def fit_of(net: Net) -> Callable[..., object]:
    """An epoch, or what options of fit say; the first call builds the model."""
    import nncore as nn

    x, y = net.data()
    model: Any = None

    def fit(**options: Any) -> object:
        nonlocal model
        if model is None:
            layers = [nn.Dense(n, activation="relu") for n in net.widths[1:-1]]
            model = nn.Model([*layers, nn.Dense(net.widths[-1], activation="softmax")], seed=0)
            model.compile(net.optimizer, "sparse_categorical_crossentropy")
        return model.fit(x, y, **{"batch_size": net.batch, "verbose": 0, **options})

    return fit


def allocations(net: Net) -> Run:
    """Calls of malloc and its like in one more step of a fit; all of Python's objects count."""
    if sys.platform != "linux":
        raise ImportError("allocations are counted by LD_PRELOAD")
    if machine.native() is None:
        raise ImportError("no C compiler")

    def run() -> float:
        with tempfile.TemporaryDirectory() as folder:
            library = machine.compiled(Path(__file__).with_name("allocations.c"), folder)
            return ask("allocations", net.name, LD_PRELOAD=str(library), PYTHONMALLOC="malloc")

    return run


def ask_allocations(name: str) -> float:
    count = ctypes.CDLL(None).allocations
    count.restype = ctypes.c_long
    calls = []
    for steps in STEPS:
        fit = fit_of(replace(NETS[name], steps=steps))
        fit(epochs=1)
        before = count()
        fit(epochs=1)
        calls.append(count() - before)
    return max(0, calls[1] - calls[0]) / (STEPS[1] - STEPS[0])


@contextmanager
def neighbour() -> Iterator[Callable[[], object]]:
    """A process that keeps one core busy from the call of what this yields on."""
    core = max(os.sched_getaffinity(0))
    spin = subprocess.Popen([sys.executable, "-c", SPIN, str(core)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert spin.stdin and spin.stdout
    wake = spin.stdin.fileno()
    try:
        spin.stdout.readline()
        yield lambda: os.write(wake, b"x")
    finally:
        spin.kill()
        spin.communicate()


def need_neighbour() -> None:
    if not hasattr(os, "sched_getaffinity"):
        raise ImportError("a neighbour cannot be held to a core here")


def recovery(net: Net, threads: int) -> Run:
    """Seconds from a neighbour's taking one of the cores until fit is as fast as one thread beside it."""
    need_neighbour()
    return lambda: watch(replace(net, steps=4), threads)


def products_beside(shape: tuple[int, int, int], threads: int) -> Run:
    """Seconds of a product, the mean over the first second from a neighbour's start."""
    import nncore as nn

    need_neighbour()
    rows, inner, columns = shape
    a, b = np.ones((rows, inner), np.float32), np.ones((inner, columns), np.float32)
    c = np.empty((rows, columns), np.float32)

    def run() -> float:
        before = nn.get_num_threads()
        nn.set_num_threads(threads)
        try:
            with neighbour() as begin:
                spent(0.2)
                begin()
                return spent(1.0)
        finally:
            nn.set_num_threads(before)

    def spent(seconds: float) -> float:
        began, calls = perf_counter(), 0
        while perf_counter() < began + seconds:
            nn.matmul(a, b, out=c)
            calls += 1
        return (perf_counter() - began) / calls

    return run


def watch(net: Net, threads: int) -> float:
    from training import nncore_run

    import nncore as nn

    class Clock(nn.Callback):
        """Notes when epochs end; after `quiet` seconds it starts the neighbour, then stops after `watched` more."""

        def __init__(self, quiet: float, watched: float, begin: Callable[[], object]) -> None:
            self.quiet, self.watched, self.begin, self.ends = quiet, watched, begin, [perf_counter()]
            self.began = 0.0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            now = perf_counter()
            self.ends.append(now)
            if not self.began and now > self.ends[0] + self.quiet:
                self.began = now
                self.begin()
            if self.began and now > self.began + self.watched:
                self.model.stop_training = True

    def fit(threads: int, clock: Clock) -> tuple[Any, float]:
        """When its epochs ended, and when the neighbour came."""
        nncore_run(net, threads, epochs=10**6, callbacks=[clock])()
        return np.array(clock.ends), clock.began

    with neighbour() as begin:
        ends, came = fit(threads, Clock(0.5, WATCHED, begin))
        alone, _ = fit(1, Clock(0.2, 0.5, lambda: None))
    usual = float(np.median(np.diff(alone)))
    for start in ends[ends >= came]:
        if start + SPAN > ends[-1]:
            break
        span = ends[(ends >= start) & (ends <= start + SPAN)]
        if len(span) > 1 and (span[-1] - span[0]) / (len(span) - 1) <= usual / BACK:
            return float(start - came)
    return WATCHED


if __name__ == "__main__":
    question, *rest = sys.argv[1:]
    answers: dict[str, Callable[..., float]] = {
        "first_step": ask_first_step,
        "memory": ask_memory,
        "allocations": ask_allocations,
    }
    print(answers[question](*rest))
