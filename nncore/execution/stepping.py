"""Steps: programs of training or evaluation with their memory, run over a data set in batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np

from nncore import runtime
from nncore._kernels import engine
from nncore._kernels.table import BUFFERS
from nncore.bindings import Binding
from nncore.compiler.builder import Watch
from nncore.compiler.configuration import CompileConfiguration, GivenGradients, Head
from nncore.compiler.programs import step
from nncore.data import Dataset
from nncore.execution import team
from nncore.execution.calls import called
from nncore.execution.tuning import SLICE, Pace
from nncore.execution.updating import UPDATE_FLOPS, bind_numbers, bind_optimizer
from nncore.network import Graph
from nncore.schedules import Ahead, ahead
from nncore.sizes import Shape, hold
from nncore.state import Array

Reduce = Callable[["Stepper"], bool]


class Stepper:
    """A program of steps with its memory, for passes over data sets: training, or evaluation.

    Parameters
    ----------
    graph : Graph
    config : CompileConfiguration
    training : bool
    weighted : tuple of int
        See `compiler.programs.step`.
    max_samples, threads : int
        Largest batch; most threads.
    optimizer_state : dict of str to ndarray
        By name, laid out as the parameters.
    seed : int
        Of the model.
    steps : ndarray of int64, shape (1,)
        Counts training steps over all fits.
    reduce : callable, optional
        Called between the gradients and the update of each step with this object: it may change the gradients
        (`State.gradients`), and returns whether the update is to follow.
    watch : Watch, optional
        What looks at tensors and their gradients.
    sizes : tuple of tuple of int
        See `Graph.sizes`.
    """

    def __init__(
        self,
        graph: Graph,
        config: CompileConfiguration,
        *,
        training: bool,
        weighted: tuple[int, ...],
        max_samples: int,
        threads: int,
        optimizer_state: dict[str, Array],
        seed: int,
        steps: Array,
        reduce: Reduce | None = None,
        watch: Watch | None = None,
        sizes: tuple[Shape, ...] = (),
    ) -> None:
        reduces = training and reduce is not None
        self.reduce, self.packed = reduce, graph.packed
        self.optimizer = optimizer = config.optimizer
        with graph.state.reading() as self.state:
            kind: dict[str, Any] = {"training": training, "weighted": weighted, "watch": watch}
            self.program = step(graph.sized(sizes), config, max_samples=max_samples, reduces=reduces, **kind)
            by_rows = self.program.by_rows
            known = self.program.learned if training else graph.learned
            learned = {p: path for p, path in graph.trained.items() if p in known and p not in by_rows}
            chunks = self.state.chunks(learned, self.packed, optimizer.settings)
            values = self.state.values
        self.training, self.weighted, self.sizes = training, weighted, sizes
        self.max_samples, self.most_threads = max_samples, threads
        size = self.state.size - sum(p.size for p in by_rows)
        self.overhead = UPDATE_FLOPS * size * training  # of a step, whatever its rows
        self.run = self.program.new_run(
            engine.Executor,
            runtime.kernels(self.state.dtype.name),
            self.team(max_samples),
            chunks=chunks,
        )
        self.sums = self.program.new_sums()
        self.run.bind_sums(self.sums)
        self.run.bind_gate(self.state.gate)
        self.run.bind(BUFFERS["parameters"], values)
        if self.packed:
            self.run.bind(BUFFERS["packed"], self.packed.memory())
        self.batch, self.pace = 0, Pace(1)
        self.rows = 0
        self.bindings: list[Binding | None] = []
        self.order: Array | None = None
        self.ahead: Ahead | None = None  # the numbers of the steps ahead that are bound: those of the optimizer,
        self.own_ahead = Ahead(0, 0, [])  # and the program's own
        self.left: tuple[int, int] | None = None  # the moment when the time was up, perhaps within a step
        if training:
            self.run.bind(BUFFERS["gradients"], self.state.gradients)
            self.run.bind_random(seed, steps)
            bind_optimizer(self.run, optimizer, optimizer_state)

    def team(self, batch: int) -> int:
        """How many threads a batch of so many samples is worth."""
        return team.size(self.program.cost * batch + self.overhead, self.most_threads)

    def attach(self, data: Dataset, shuffled: bool) -> None:
        """Use these data from now on, with sums of 0."""
        self.sums[:] = 0
        self.feed(data, shuffled)

    def feed(self, data: Dataset, shuffled: bool = False) -> None:
        """Use these data from now on; sums go on."""
        self.rows = data.rows
        self.bindings = data.bindings[: self.program.bindings]  # the last outputs may be compared with nothing by now
        for i, binding in enumerate(self.bindings):
            if binding is not None:
                binding.attach(self.run, i, shuffled)

    def serves(self, data: Dataset, graph: Graph) -> bool:
        """Whether its program is one for such data, whatever their number."""
        return self.weighted == data.weighted and self.sizes == graph.sizes(data.inputs)

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

    def batch_rows(self) -> Array:
        """Row numbers of the batch at hand."""
        stop = min(self.run.row + self.batch, self.rows)
        return np.arange(self.run.row, stop) if self.order is None else self.order[self.run.row : stop]

    def advance(self, steps: int = -1) -> int:
        """Run on, converting what the engine cannot; returns END, STEPS, TIME or DIVERGED."""
        if not self.training or not self.state.packings:
            return self._advance(steps)
        others = [packed for packed in self.state.packings if packed is not self.packed]  # of models that share weights
        for packed in others:
            packed.unsure += 1
        try:
            return self._advance(steps)
        finally:
            for packed in others:
                packed.written += 1
                packed.unsure -= 1

    def _advance(self, steps: int) -> int:
        """See `advance`."""
        again = self.left is not None and self.left != self.moment()
        if again:
            self.run.abandon()  # a callback wrote weights or gradients, perhaps in the middle of a step
        left = steps
        while True:
            row = self.run.row
            if self.packed and self.packed.stale:
                self.packed.refresh()
            if self.training and (self.ahead is None or self.ahead is not self.optimizer._ahead):  # another was set
                self.look_ahead()
            if again:  # without time for callbacks: they would write again, and no step would ever come to its end
                reason: int = self.run.run(1, 0, self.pace.most)
                reason = engine.TIME if reason == engine.STEPS and left != 1 else reason
            elif self.pace.most == 1:
                reason = self.run.run(left, SLICE, 1)
            else:
                threads, seconds = self.pace.choose()
                started = perf_counter()
                reason = self.run.run(left, seconds, threads)
                self.pace.note(-(-(self.run.row - row) // self.batch), perf_counter() - started)
            left -= -(-(self.run.row - row) // self.batch) if steps >= 0 else 0
            self.left = self.moment() if reason == engine.TIME else None
            if reason == engine.BAD_DATA:
                which, row = self.run.bad
                binding = self.bindings[which]
                assert binding is not None
                self.run.abandon()
                raise binding.bad_row(row)
            if reason == engine.CALL:
                self.call()
                continue
            if reason == engine.REDUCE:
                self.sum_up()
                continue
            if reason == engine.NEED_VALUES:
                self.look_ahead()
                continue
            if reason != engine.NEED_DATA:
                return reason
            if left == 0:
                return engine.STEPS
            rows = self.batch_rows()
            for i, binding in enumerate(self.bindings):
                if binding is not None:
                    binding.fill(self.run, i, rows)
            self.run.data_ready()

    def look_ahead(self) -> None:
        """Bind the numbers of the steps ahead, where others are bound."""
        optimizers, own, step = self.optimizer.ahead(), self.own_ahead, self.optimizer.iterations
        if not own.reaches(step):
            own = ahead(step, self.program.varying)
        if optimizers is not self.ahead or own is not self.own_ahead:
            bind_numbers(self.run, optimizers, own)
            self.ahead, self.own_ahead = optimizers, own

    def call(self) -> None:
        """Have Python compute the section at hand; a step in which that fails is abandoned."""
        before = self.moment()
        try:
            called(self.program.sections[self.run.at], self.run)
            if self.moment() != before:
                raise RuntimeError(
                    "a layer or loss of Python: expected one that only computes, got one that wrote weights, or "
                    "trained a model which shares them, in the middle of a step. Do that in a callback"
                )
        except BaseException:
            self.run.abandon()
            raise
        self.run.answer()

    def sum_up(self) -> None:
        """Have the gradients summed up, and hear whether the update is to follow."""
        assert self.reduce is not None
        try:
            applies = self.reduce(self)
        except BaseException:
            self.run.abandon()
            raise
        self.run.answer(applies)

    def moment(self) -> tuple[int, int]:
        """Changes with weights and gradients, whoever else writes them."""
        return self.state.version, self.state.passes

    def logs(self) -> dict[str, Any]:
        """Loss and metrics of the pass so far."""
        return self.program.logs(self.sums)

    def tell_metrics(self) -> None:
        """Let the metrics' objects have the sums of the pass, for users who ask them for their results."""
        for metric, sums in self.program.metric_sums(self.sums):
            metric.absorb(sums, self.program.rows(self.sums))

    def whole_step(self) -> int:
        """Run one step to its end; returns STEPS, END or DIVERGED."""
        reason = engine.TIME
        while reason == engine.TIME:
            reason = self.advance(1)
        return reason

    def release(self) -> None:
        """Let go of the data, and of an unfinished step."""
        self.run.abandon()
        self.rows, self.bindings, self.order = 0, [], None
        self.run.forget()


class Steppers:
    """The steppers of a compiled model that are not in use: for training and evaluation, with and without weights.

    Where data settle sizes, there is one for each of the last ones.

    Each serves every batch up to the size that it has room for, so that batches of changing sizes, and fits among
    single steps, find their programs made.

    Parameters
    ----------
    graph, config, optimizer_state, seed, steps
        See `Stepper`.
    """

    def __init__(
        self, graph: Graph, config: CompileConfiguration, optimizer_state: dict[str, Array], seed: int, steps: Array
    ) -> None:
        self.graph, self.configuration = graph, config
        self.settings: dict[str, Any] = {"optimizer_state": optimizer_state, "seed": seed, "steps": steps}
        self.idle: dict[tuple[bool, tuple[int, ...]], dict[Any, Stepper]] = {}  # of each the last ones, by sizes
        self.given: dict[tuple[int, ...], Steppers] = {}

    def reseed(self, seed: int) -> None:
        """Let those not in use draw by another seed."""
        self.settings["seed"] = seed
        self.given.clear()
        for stepper in (one for known in self.idle.values() for one in known.values()):
            if stepper.training:
                stepper.run.bind_random(seed, self.settings["steps"])

    def by_gradients(self, outputs: tuple[int, ...]) -> Steppers:
        """Those that are given the gradients of these outputs in place of targets."""
        if outputs not in self.given:
            heads = [Head(None) for _ in self.graph.outputs]
            config = replace(self.configuration, heads=heads, given=GivenGradients(outputs))
            self.given[outputs] = Steppers(self.graph, config, **self.settings)
        return self.given[outputs]

    def take(
        self, training: bool, weighted: tuple[int, ...], batch: int, threads: int, sizes: tuple[Shape, ...] = ()
    ) -> Stepper:
        """One with room for `batch`; give it back in the end. Where there was one with less room, room doubles."""
        optimizer = self.configuration.optimizer
        if training and optimizer.full_batch:
            raise ValueError(
                f"optimizer: expected one of single steps, got {type(optimizer).__name__}, which needs fit. Compile "
                "with another"
            )
        stepper = self.idle.get((training, weighted), {}).pop(sizes, None)
        if stepper and stepper.max_samples >= batch and stepper.most_threads == threads:
            return stepper
        room = max(batch, 2 * stepper.max_samples if stepper and stepper.max_samples < batch else 0)
        kind: dict[str, Any] = {"training": training, "weighted": weighted, "sizes": sizes}
        return Stepper(self.graph, self.configuration, **kind, max_samples=room, threads=threads, **self.settings)

    def give(self, stepper: Stepper) -> None:
        """Let go of the stepper's data, and keep it for the next pass."""
        stepper.release()
        hold(self.idle.setdefault((stepper.training, stepper.weighted), {}), stepper.sizes, stepper)
