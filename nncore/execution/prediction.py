"""Prediction: one program in tiles of rows, in a workspace for each caller."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nncore import runtime
from nncore._kernels import engine
from nncore._kernels.prediction import Prediction
from nncore._kernels.run import Run
from nncore._kernels.table import BUFFERS
from nncore.bindings import Binding
from nncore.compiler.programs import prediction
from nncore.execution import team
from nncore.execution.calls import called
from nncore.execution.tuning import SLICE
from nncore.graph import Shape, Symbol
from nncore.network import Graph
from nncore.state import Array

UNDIVIDED_FLOPS = 100 * team.PARALLEL_FLOPS  # a prediction of about 1 ms, too short to look at signals
SLAB = 1 << 22  # elements of an input that Python converts at once
TILE_ROWS = 128  # of a prediction, through all layers while they are in cache
LEAST_ROWS = 16  # of dense layers, at least, or reading their weights takes longer than the products
INT32 = np.dtype(np.int32)


def least_rows(cost: int, weights: int) -> int:
    """Rows that are worth a tile, which take so many FLOPs each: fewer where weights are used often for a row."""
    return max(1, min(LEAST_ROWS, LEAST_ROWS * 2 * weights // max(1, cost)))


def tile_rows(rows: int, least: int, threads: int) -> int:
    """Rows of a tile: each thread is to take about four tiles, or one; as many as the others, where they are few."""
    tiles = min(4 * threads, -(-rows // least))
    if tiles > 1:
        tiles = -(-tiles // threads) * threads
    return min(TILE_ROWS, -(-rows // tiles))


class Predictor:
    """Predicts with one program in as many workspaces as there are callers at once.

    Parameters
    ----------
    graph : Graph
    of : sequence of Symbol, optional
        What is wanted of the graph; default its outputs.
    sizes : tuple of tuple of int
        Those that data have settled: see `Graph.sizes`.
    most : int
        Rows of a tile.
    """

    rows = math.inf  # that it has room for

    def __init__(
        self,
        graph: Graph,
        of: Sequence[Symbol] | None = None,
        sizes: tuple[Shape, ...] = (),
        most: int = TILE_ROWS,
    ) -> None:
        self.most, graph = most, graph.sized(sizes)
        with graph.state.reading() as self.state:
            self.packed = graph.packed
            self.program, self.values = prediction(graph, most, of=of), self.state.values
        self.dtype, self.shape, self.made = self.state.dtype, graph.feeds[0].shape, self.program.outputs[0].shape
        self.plain = len(graph.feeds) == len(self.program.outputs) == 1 and graph.feeds[0].integers is None
        self.plain &= graph.gives.keys is None
        self.names, self.gives = graph.input_names, graph.gives
        self.limits = [feed.integers and feed.integers.span for feed in graph.feeds]
        self.read = [(INT32 if feed.integers else self.dtype, feed.shape) for feed in graph.feeds]
        self.idle: dict[int, list[Any]] = {}  # runs by their number of threads
        self.alone = self.idle.setdefault(1, [])
        self.few, self.many = (int(f / max(1, self.program.cost)) for f in (team.PARALLEL_FLOPS, UNDIVIDED_FLOPS))
        self.least = least_rows(self.program.cost, sum(p.size for p in graph.parameters))
        self.few = min(self.many, max(self.few, self.least))
        self.last: tuple[Any, Any] = (0, *self.shape), (0, *self.made)  # of few rows: shapes of x, outputs
        self.calls = self.program.calls
        if self.calls or [feed.source for feed in graph.feeds] != list(range(len(self.names))):  # no rows are few
            self.few, self.many, self.plain = -1, -1, False

    def take(self, threads: int) -> Any:
        """A run that nobody uses; give it back to `idle`."""
        try:
            return self.idle.setdefault(threads, []).pop()
        except IndexError:
            run = self.new_run(Prediction, threads, copies=threads)
            run.bind_gate(self.state.gate)
            run.limits = self.limits
            return run

    def new_run(self, kind: type[Run], threads: int, **settings: Any) -> Any:
        """A run of the program, bound to the weights."""
        run = self.program.new_run(kind, runtime.kernels(self.dtype.name), threads, **settings)
        run.bind(BUFFERS["parameters"], self.values)
        if self.packed:
            run.bind(BUFFERS["packed"], self.packed.memory())
        return run

    def call(self, x: Any, most_threads: Callable[[], int]) -> Any:
        """The outputs, on the calling thread; None unless x is few rows in the model's layout.

        Every look at an attribute counts here: this is half of the time of a row of a small network.
        """
        plain = self.plain
        if not plain:
            if (arrays := self.few_arrays(x, most_threads)) is None:
                return None
        elif type(x) is not np.ndarray or (x.dtype is not self.dtype and (x := self.converted(x)) is None):
            return None
        else:
            shape, made = self.last
            if x.shape != shape and (made := self.shape_for(x, most_threads)) is None:
                return None
            arrays = [x, np.empty(made, self.dtype)]
        packed = self.packed
        if packed:
            if packed.unsure:
                return None
            written = packed.written
            if packed.version != written:  # packed.stale, without a call
                packed.refresh()
        try:
            run = self.alone.pop()
        except IndexError:
            run = self.take(1)
        done = run.call(arrays)
        self.alone.append(run)
        if packed and packed.written != written:
            return None  # by another thread, so that copies and weights may have been of two moments
        if not done:
            return None
        return arrays[1] if plain else self.gives.pack(arrays[len(self.read) :])

    def shape_for(self, x: Array, most_threads: Callable[[], int]) -> Any:
        """The shape of the output for other rows than the last ones; None where x is no rows, or too many."""
        if not x.ndim or x.shape[1:] != self.shape or len(x) > self.many:
            return None
        made = (len(x), *self.made)
        if len(x) <= self.few:
            self.last = x.shape, made
        elif most_threads() > 1:
            return None
        return made

    def few_arrays(self, x: Any, most_threads: Callable[[], int]) -> list[Array] | None:
        """What is given for each input, and room for each output; None unless it is few rows as the program reads them.

        For several inputs or outputs, or whole numbers.
        """
        several = len(self.read) > 1
        if several and type(x) is dict:
            arrays: list[Any] = [x.get(name) for name in self.names]
        else:
            arrays = list(x) if several and type(x) in (list, tuple) else [x]
        if len(arrays) != len(self.read):
            return None
        for array, (dtype, shape) in zip(arrays, self.read, strict=True):
            if type(array) is not np.ndarray or array.dtype != dtype or not array.ndim or array.shape[1:] != shape:
                return None
        rows = len(arrays[0])
        if rows > self.many or (rows > self.few and most_threads() > 1) or any(len(x) != rows for x in arrays):
            return None
        return arrays + self.empty(rows)

    def converted(self, x: Array) -> Array | None:
        """Few rows of other numbers in the model's dtype; None where they are none, or that cannot hold them all."""
        if x.dtype.kind not in "biuf" or not x.ndim or x.shape[1:] != self.shape or len(x) > self.few:
            return None
        if x.dtype.kind != "f":
            return x.astype(self.dtype)
        with np.errstate(over="ignore"):
            made = x.astype(self.dtype)
        return made if np.isfinite(made).all() else None

    def empty(self, rows: int) -> list[Array]:
        """Room for the outputs of so many rows."""
        return [np.empty((rows, *y.shape), self.dtype) for y in self.program.outputs]

    def attach(self, run: Run, inputs: list[Binding], outputs: list[Array]) -> None:
        """Let a run read these inputs and fill these outputs."""
        for i, x in enumerate(inputs):
            x.attach(run, i, shuffled=False)
        for i, out in enumerate(outputs, len(inputs)):
            Binding(out, "", self.dtype).attach(run, i, shuffled=False)

    def outputs(self, inputs: list[Binding], threads: int) -> list[Array]:
        """The outputs for all rows."""
        n = inputs[0].rows
        outputs = self.empty(n)
        if not n:
            return outputs
        threads = team.size(self.program.cost * n, threads)
        if self.calls:
            return self.predict_with_calls(inputs, threads, outputs)
        if n <= self.least:  # one tile
            threads = 1
        run = self.take(threads)
        direct = all(x.direct for x in inputs)
        slab = n if direct else max(TILE_ROWS, min(32 * TILE_ROWS, SLAB // max(x.n for x in inputs)))
        try:
            with self.state.gate.reading():
                if self.packed and self.packed.stale:
                    self.packed.refresh()
                for start in range(0, n, slab):
                    part = slice(start, min(start + slab, n))
                    parts = inputs if direct else [x.part(part) if x.direct else x.converted(part) for x in inputs]
                    self.attach(run, parts, [out[part] for out in outputs])
                    rows = part.stop - start
                    run.begin(rows, self.most)
                    tile = min(self.most, tile_rows(rows, self.least, threads))
                    reason = engine.TIME
                    while reason == engine.TIME:
                        reason = run.predict(tile, SLICE)
                    if reason == engine.BAD_DATA:
                        which, row = run.bad
                        raise inputs[which].bad_row(start + row)
        finally:
            run.forget()
            self.idle[threads].append(run)
        return outputs

    def predict_with_calls(self, inputs: list[Binding], threads: int, outputs: list[Array]) -> list[Array]:
        """The same where Python computes a part: batch after batch, the team at work on each."""
        run = self.new_run(engine.Executor, threads)
        n = inputs[0].rows
        with self.state.gate.reading():  # of one moment, however long it takes
            if self.packed and self.packed.stale:
                self.packed.refresh()
            for start in range(0, n, self.most):
                part = slice(start, min(start + self.most, n))
                rows = part.stop - start
                self.attach(run, [x.converted(part) for x in inputs], [out[part] for out in outputs])
                run.begin(rows, rows)
                while (reason := run.run()) == engine.CALL:
                    called(self.program.sections[run.at], run)
                    run.answer()
                assert reason == engine.END, reason
        return outputs
