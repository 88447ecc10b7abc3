"""Programs with their memory: prediction in tiles of rows, and passes over a data set in batches."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

from nncore import runtime
from nncore._kernels import engine
from nncore._kernels.prediction import Prediction
from nncore._kernels.table import BUFFERS
from nncore.compiling import Graph, Objective, logs_of, prediction, step
from nncore.data import Source
from nncore.pace import SLICE, Pace
from nncore.state import Array

#: Work that is worth a second thread: about 15 µs on one. Each stage of a step costs a team about 0.5 µs.
PARALLEL_FLOPS = 1_500_000
UNDIVIDED_FLOPS = 100 * PARALLEL_FLOPS  # a prediction of about 1 ms, too short to look at signals
UPDATE_FLOPS = 20  # per parameter, of an optimizer's step
TILE_ROWS = 128  # of a prediction, through all layers while they are in cache
EVALUATION_ROWS = 256  # per batch; has no influence on the result


def team(cost: float, threads: int) -> int:
    """How many threads work of `cost` FLOPs is worth."""
    return threads if cost >= PARALLEL_FLOPS else 1


class Predictor:
    """Predicts with one program in as many workspaces as there are callers at once.

    Parameters
    ----------
    graph : Graph
    """

    def __init__(self, graph: Graph) -> None:
        self.graph, self.packed = graph, graph.state.packed
        self.program = prediction(graph, TILE_ROWS)
        self.dtype, self.shape, self.made = graph.state.dtype, graph.inputs.shape, self.program.output.shape
        self.idle: dict[int, list[Any]] = {}  # runs by their number of threads
        self.alone = self.idle.setdefault(1, [])
        self.few, self.many = (int(f / max(1, self.program.cost)) for f in (PARALLEL_FLOPS, UNDIVIDED_FLOPS))  # rows
        self.last = ((0, *self.shape), 0, (0, *self.made))  # of few rows: shape of x, rows, shape of the outputs

    def take(self, threads: int) -> Any:
        """A run that nobody uses; give it back to `idle`."""
        try:
            return self.idle.setdefault(threads, []).pop()
        except IndexError:
            run = Prediction(
                runtime.kernels(self.dtype.name),
                self.program.ops,
                update_at=len(self.program.ops),
                workspace=self.program.workspace,
                max_samples=TILE_ROWS,
                threads=threads,
                n_out=self.program.output.size,
                copies=threads,
            )
            run.bind(BUFFERS["parameters"], self.graph.state.values)
            run.bind_gate(self.graph.state.gate)
            if self.packed:
                run.bind(BUFFERS["packed"], self.packed.memory())
            return run

    def call(self, x: Any, most_threads: Callable[[], int]) -> Array | None:
        """The outputs, on the calling thread; None unless x is few rows in the model's dtype and layout.

        Every look at an attribute counts here: this is half of the time of a row of a small network.
        """
        if type(x) is not np.ndarray or x.dtype is not self.dtype:
            return None
        shape, rows, made = self.last
        if x.shape != shape:
            if not x.ndim or x.shape[1:] != self.shape or len(x) > self.many:
                return None
            rows = len(x)
            made = (rows, *self.made)
            if rows <= self.few:
                self.last = x.shape, rows, made
            elif most_threads() > 1:
                return None
        packed = self.packed
        if packed:
            written = packed.written
            if packed.version != written:  # packed.stale, without a call
                packed.refresh()
        out = np.empty(made, self.dtype)
        try:
            run = self.alone.pop()
        except IndexError:
            run = self.take(1)
        done = run.call(x, out, rows)
        self.alone.append(run)
        if packed and packed.written != written:
            return None  # by another thread, so that copies and weights may have been of two moments
        return out if done else None

    def empty(self, rows: int) -> Array:
        """Room for the outputs of so many rows."""
        return np.empty((rows, *self.program.output.shape), self.dtype)

    def predict(self, x: Source, threads: int) -> Array:
        """The outputs for all rows of `x`."""
        out = self.empty(x.rows)
        if not x.rows:
            return out
        threads = team(self.program.cost * x.rows, threads)
        run = self.take(threads)
        slab = x.rows if x.direct else 32 * TILE_ROWS
        try:
            with self.graph.state.gate.reading():
                if self.packed and self.packed.stale:
                    self.packed.refresh()
                for start in range(0, x.rows, slab):
                    rows = min(slab, x.rows - start)
                    part = x if x.direct else x.converted(slice(start, start + rows))
                    part.attach(run, 0, shuffled=False)
                    run.bind(BUFFERS["output"], out[start : start + rows])
                    run.begin(rows, TILE_ROWS)
                    tile = min(TILE_ROWS, max(16, -(-rows // (4 * threads))))
                    reason = engine.TIME
                    while reason == engine.TIME:
                        reason = run.predict(tile, SLICE)
                    if reason == engine.BAD_DATA:
                        raise part.bad_row(run.bad[1])
        finally:
            run.bind(BUFFERS["output"], None)
            run.forget()
            self.idle[threads].append(run)
        return out


class Stepper:
    """A program of steps with its memory, for passes over data sets: training, or evaluation.

    Parameters
    ----------
    graph : Graph
    goal : Objective
    training, weighted : bool
        See `compiling.step`.
    max_samples, threads : int
        Largest batch; most threads.
    slots : list of (ndarray or None)
        State of the optimizer, laid out as the parameters.
    seed : int
        Of the model.
    steps : ndarray of int64, shape (1,)
        Counts training steps over all fits.
    """

    def __init__(
        self,
        graph: Graph,
        goal: Objective,
        *,
        training: bool,
        weighted: bool,
        max_samples: int,
        threads: int,
        slots: list[Array | None],
        seed: int,
        steps: Array,
    ) -> None:
        self.program = step(graph, goal, training=training, weighted=weighted, max_samples=max_samples)
        self.state, optimizer = graph.state, goal.optimizer
        self.training, self.weighted, self.max_samples, self.most_threads = training, weighted, max_samples, threads
        self.overhead = UPDATE_FLOPS * self.state.size * training  # of a step, whatever its rows
        self.run = engine.Pass(
            runtime.kernels(self.state.dtype.name),
            self.program.ops,
            update_at=self.program.update_at,
            workspace=self.program.workspace,
            max_samples=max_samples,
            threads=self.team(max_samples),
            n_sums=len(self.program.sums),
            chunks=self.state.chunks(optimizer.clipnorm is not None, optimizer.excluded_from_weight_decay),
        )
        self.sums = np.zeros((len(self.program.sums), 2))
        self.run.bind_sums(self.sums)
        self.run.bind_gate(self.state.gate)
        self.run.bind(BUFFERS["parameters"], self.state.values)
        self.packed = self.state.packed
        if self.packed:
            self.run.bind(BUFFERS["packed"], self.packed.memory())
        self.batch, self.pace = 0, Pace(1)
        self.sources: tuple[Source | None, ...] = (None, None, None)
        self.order: Array | None = None
        self.left: tuple[int, int] | None = None  # the moment when the time was up, perhaps within a step
        if training:
            self.run.bind(BUFFERS["gradients"], self.state.gradients)
            for i, slot in enumerate(slots):
                self.run.bind(BUFFERS[f"slot_{i}"], slot)
            self.run.bind_random(seed, steps)
            self.run.bind_rule(optimizer.rule, optimizer.clipnorm or optimizer.global_clipnorm or 0.0)

    def team(self, batch: int) -> int:
        """How many threads a batch of so many samples is worth."""
        return team(self.program.cost * batch + self.overhead, self.most_threads)

    def attach(self, x: Source, y: Source, w: Source | None, shuffled: bool) -> None:
        """Use these data from now on, with sums of 0."""
        self.sums[:] = 0
        self.sources = (x, y, w)
        for i, source in enumerate(self.sources):
            if source is not None:
                source.attach(self.run, i, shuffled)

    def begin(self, batch: int, order: Array | None = None, row: int = 0) -> None:
        """Start a pass at `row`, in batches of `batch` rows in the given order."""
        if batch != self.batch:
            threads = self.team(batch)
            if threads != self.pace.most or not self.batch <= 2 * batch <= 4 * self.batch:
                self.pace = Pace(threads)  # what was measured was another work
            self.batch = batch
        self.order, self.left = order, None
        self.state.passes += self.training
        self.run.begin(self.rows, batch, order, row)

    @property
    def rows(self) -> int:
        """Rows of the data at hand."""
        x = self.sources[0]
        return x.rows if x else 0

    def batch_rows(self) -> Array:
        """Row numbers of the batch at hand."""
        stop = min(self.run.row + self.batch, self.rows)
        return np.arange(self.run.row, stop) if self.order is None else self.order[self.run.row : stop]

    def advance(self, steps: int = -1) -> int:
        """Run on, converting what the engine cannot; returns END, STEPS, TIME or DIVERGED."""
        again = self.left is not None and self.left != self.moment()
        if again:
            self.run.abandon()  # a callback wrote weights or gradients, perhaps in the middle of a step
        while True:
            if self.packed and self.packed.stale:
                self.packed.refresh()
            if again:  # without time for callbacks: they would write again, and no step would ever come to its end
                reason: int = self.run.run(1, 0, self.pace.most)
                reason = engine.TIME if reason == engine.STEPS and steps != 1 else reason
            elif self.pace.most == 1:
                reason = self.run.run(steps, SLICE, 1)
            else:
                threads, seconds = self.pace.choose()
                row, started = self.run.row, perf_counter()
                reason = self.run.run(steps, seconds, threads)
                self.pace.note(-(-(self.run.row - row) // self.batch), perf_counter() - started)
            self.left = self.moment() if reason == engine.TIME else None
            if reason == engine.BAD_DATA:
                which, row = self.run.bad
                source = self.sources[which]
                assert source is not None
                self.run.abandon()
                raise source.bad_row(row)
            if reason != engine.NEED_DATA:
                return reason
            rows = self.batch_rows()
            for i, source in enumerate(self.sources):
                if source is not None:
                    source.fill(self.run, i, rows)
            self.run.data_ready()

    def moment(self) -> tuple[int, int]:
        """Changes with weights and gradients, whoever else writes them."""
        return self.state.version, self.state.passes

    def logs(self) -> dict[str, float]:
        """Loss and metrics of the pass so far."""
        return logs_of(self.program, self.sums)

    def whole_step(self) -> int:
        """Run one step to its end; returns STEPS, END or DIVERGED."""
        reason = engine.TIME
        while reason == engine.TIME:
            reason = self.advance(1)
        return reason

    def release(self) -> None:
        """Let go of the data, and of an unfinished step."""
        self.run.abandon()
        self.sources, self.order = (None, None, None), None
        self.run.forget()


class Steppers:
    """The steppers of a compiled model that are not in use: for training and evaluation, with and without weights.

    Each serves every batch up to the size that it has room for, so that batches of changing sizes, and fits among
    single steps, find their programs made.

    Parameters
    ----------
    graph, goal, slots, seed, steps
        See `Stepper`.
    """

    def __init__(self, graph: Graph, goal: Objective, slots: list[Array | None], seed: int, steps: Array) -> None:
        self.graph, self.goal = graph, goal
        self.settings: dict[str, Any] = {"slots": slots, "seed": seed, "steps": steps}
        self.idle: dict[tuple[bool, bool], Stepper] = {}

    def take(self, training: bool, weighted: bool, batch: int, threads: int) -> Stepper:
        """One with room for `batch`; give it back in the end. Where there was one with less room, room doubles."""
        stepper = self.idle.pop((training, weighted), None)
        if stepper and stepper.max_samples >= batch and stepper.most_threads == threads:
            return stepper
        room = max(batch, 2 * stepper.max_samples if stepper and stepper.max_samples < batch else 0)
        kind: dict[str, Any] = {"training": training, "weighted": weighted}
        return Stepper(self.graph, self.goal, **kind, max_samples=room, threads=threads, **self.settings)

    def give(self, stepper: Stepper) -> None:
        """Let go of the stepper's data, and keep it for the next pass."""
        stepper.release()
        self.idle[stepper.training, stepper.weighted] = stepper
