"""What other sections leave open: dense layers, gather, denormals, a second thread, a neighbour, the start, memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from machine import candidates, multiplier, reader
from measure import Case, Run, repeated
from nets import NETS, Net
from prediction import nncore_predict
from processes import FIRST_STEPS, allocations, first_step, memory, products_beside, recovery
from training import nncore_run

LAYERS = [(256, 784, 512), (128, 256, 256)]  # B, I, O
CUBES = (64, 128, 256, 512, 1024)
PRODUCTS = [(128, 128, 128), (128, 784, 512)]  # M, K, N
IN_CACHE = 2 << 20  # bytes of data that stay near a core
STREAMED = 1 << 26  # bytes that no cache holds


# The names of the cases, which targets.py looks up.
LAYER = "layer {}, {}, {} beside its bare product"
FIRST = "first call to first step of {}"
MEMORY = "memory of a fit of {}"
ALLOCATIONS = "allocations in a step of {}"
CACHED, STREAMING = "shuffled batches of {}, data in cache", "shuffled batches of {}, data streaming"
TEAM = "{} thread(s)"  # a candidate of SCALING
SCALING = "threads in a step of {}"
BESIDE = "product {}, {}, {} in the first second beside a neighbour"
ROW = "one row through {}"
READ = "reading its weights"  # a candidate of ROW; the others are levels of precision
PEAK = "2.1 GFLOP as products n³, beside nothing but FMA"
FMA, CUBE = "FMA", "{0}³"  # candidates of PEAK
METRICS = ["accuracy", "auc", "f1_score", "confusion_matrix", "cohen_kappa", "log_loss", "brier_score", "ece"]
CALLS = "calls alone"  # as many as the smallest product takes
DECAYED = "moments of dead units in a step of {}"
ZEROS, DENORMALS = "all 0", "all denormal"  # candidates of DECAYED
METERED = "metrics in a step of {}"
NO_METRICS = "none"  # a candidate of METERED; the others are names of metrics, or several
OWN = "a loss in Python in a step of {}, beside the same natively"
NATIVE, OWN_LOSS = "native", "own"  # candidates of OWN
NEIGHBOUR = "a neighbour takes a core: until one thread's speed is back"


def cases(threads: int, names: list[str] | None = None) -> Iterator[Case]:
    """Kernels on one thread, whole fits on any number; the nets are all, or those named."""
    nets = [net for net in NETS.values() if not names or net.name in names]
    if threads == 1:
        for shape in LAYERS:
            yield layer_case(*shape)
        yield peak_case()
        for net in nets:
            if net.name in "FC":
                libraries = FIRST_STEPS if net.name == "C" else ["nncore"]  # the peers take seconds
                starts = {library: partial(first_step, library, net) for library in libraries}
                yield Case(FIRST.format(net.name), 1, starts, unit="ms", own_clock=True)
                yield Case(
                    MEMORY.format(net.name),
                    1,
                    {key: partial(memory, net, key) for key in ("measured", "allowed")},
                    unit="MB",
                    own_clock=True,
                )
            if net.name == "C":
                yield row_case(net)
            if net.name == "F":
                runs = {key: partial(own_loss_run, net, key) for key in (NATIVE, OWN_LOSS)}
                yield Case(OWN.format(net.name), net.steps, runs)
            if net.name in "BD":
                metered = {NO_METRICS: [], **{name: [name] for name in METRICS}, "all of these": METRICS}
                runs = {key: partial(metered_run, net, value) for key, value in metered.items()}
                yield Case(METERED.format(net.name), net.steps, runs)
            if net.name in "FD":
                moments = {ZEROS: partial(decayed_run, net, 0.0), DENORMALS: partial(decayed_run, net, 1e-40)}
                yield Case(DECAYED.format(net.name), net.steps, moments)
            if net.name == "F":
                yield Case(ALLOCATIONS.format(net.name), 1, {"fit": partial(allocations, net)}, unit="", own_clock=True)
    for net in nets:
        if net.name in "ABC":
            for name, size in ((CACHED, IN_CACHE), (STREAMING, STREAMED)):
                yield gather_case(name.format(net.name), net, threads, size)
    if threads > 1:
        for net in nets:
            teams = {TEAM.format(n): partial(nncore_run, net, n) for n in (1, threads)}
            yield Case(SCALING.format(net.name), net.steps, teams)
        for shape in PRODUCTS:
            teams = {TEAM.format(n): partial(products_beside, shape, n) for n in (1, threads)}
            yield Case(BESIDE.format(*shape), 1, teams, own_clock=True)
        yield Case(NEIGHBOUR, 1, {"B": partial(recovery, NETS["B"], threads)}, unit="ms", own_clock=True)


def layer_case(rows: int, inputs: int, outputs: int) -> Case:
    """A layer Y = f(X W + b), called from Python, beside one that is X W alone."""
    import nncore as nn

    rng = np.random.default_rng(0)
    x, w = rng.random((rows, inputs), np.float32), rng.standard_normal((inputs, outputs), np.float32)
    weights, calls = [w, np.ones(outputs, np.float32)], int(max(1, 3e8 / (2.0 * rows * inputs * outputs)))

    def prepare(activation: str, use_bias: bool = True) -> Run:
        layer = nn.Dense(outputs, activation, use_bias=use_bias)
        model = nn.Model([nn.Input(inputs), layer], seed=0, n_threads=1)
        model.set_weights(weights[: 1 + use_bias])
        return repeated(lambda: model(x), calls)

    runs = {"product": partial(prepare, "linear", use_bias=False)}
    runs |= {name: partial(prepare, name) for name in activations()}
    return Case(LAYER.format(rows, inputs, outputs), calls, runs, settle=0)


def activations() -> list[str]:
    """The names of all that work element by element."""
    from nncore._kernels.table import ROWWISE
    from nncore.activations import ACTIVATIONS

    return [name for name in ACTIVATIONS.names() if name not in ROWWISE]


def peak_case() -> Case:
    """The products' share of the peak at the clock of the moment, which a peak measured apart does not know."""
    flops = 2.0 * CUBES[-1] ** 3  # of every run
    runs: dict[str, Callable[[], Run]] = {FMA: lambda: multiplier(flops), CALLS: partial(cube_run, 1, cubes(CUBES[0]))}
    runs |= {CUBE.format(n): partial(cube_run, n, cubes(n)) for n in CUBES}
    return Case(PEAK, 1, runs, flops, "ms", settle=0)


def cubes(n: int) -> int:
    """Products n³ of a run."""
    return int(CUBES[-1] ** 3 / n**3)


def cube_run(n: int, calls: int) -> Run:
    import nncore as nn

    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal((n, n), np.float32) for _ in range(3))
    return repeated(lambda: nn.matmul(a, b, out=c), calls)


def row_case(net: Net) -> Case:
    """One row through the net at each precision, beside nothing but reading as many bytes as its float32 weights."""
    x = np.random.default_rng(1).random((1, net.widths[0]), dtype=np.float32)
    size, calls = sum(4 * (i * o + o) for i, o in net.layers), 200
    runs = {READ: lambda: repeated(reader(size), calls)}
    for level in candidates().values():
        runs[level] = lambda level=level: repeated(partial(nncore_predict(net, 1, 1, level), x), calls)
    return Case(ROW.format(net.name), calls, runs, settle=0)


def own_loss_run(net: Net, kind: str) -> Run:
    """An epoch with the squared error, native or a function of NumPy arrays."""
    from training import compiled_model

    def squared(y_true: Any, y_pred: Any) -> Any:
        error = y_pred - y_true
        return np.einsum("ij,ij->i", error, error), 2 * error

    (x, _), model = net.data(), compiled_model(net, 1)
    model.compile(model.optimizer, "mse" if kind == NATIVE else squared)
    y = np.zeros((len(x), model.output_shape[-1]), "float32")
    return lambda: model.fit(x, y, batch_size=net.batch, verbose=0)


def metered_run(net: Net, metrics: list[str]) -> Run:
    """An epoch with these metrics."""
    from training import compiled_model

    (x, y), model = net.data(), compiled_model(net, 1)
    model.compile(model.optimizer, model.loss, metrics=metrics)
    return lambda: model.fit(x, y, batch_size=net.batch, verbose=0)


def decayed_run(net: Net, moment: float) -> Run:
    """An epoch that begins with this m and v everywhere, of weights that no gradient moves: no sample counts."""
    from training import compiled_model

    (x, y), model = net.data(), compiled_model(net, 1)
    nothing = np.zeros(len(x), np.float32)

    def run() -> None:
        for state in model.optimizer_state.values():
            state[:] = moment
        model.fit(x, y, batch_size=net.batch, sample_weight=nothing, verbose=0)

    return run


def gather_case(name: str, net: Net, threads: int, size: int) -> Case:
    """Batches in order are read where they are; shuffled ones cost the shuffle, the gather and the prefetch."""
    steps = max(4, size // (4 * net.widths[0] * net.batch))
    net = replace(net, steps=steps)
    runs: dict[str, Callable[[], Run]] = {
        order: partial(nncore_run, net, threads, shuffle=order == "shuffled", epochs=max(1, net_epochs(net)))
        for order in ("shuffled", "in order")
    }
    return Case(name, steps * max(1, net_epochs(net)), runs)


def net_epochs(net: Net) -> int:
    """Epochs of about 8 GFLOP together."""
    return int(8e9 / (net.flops * net.steps))
