"""Gradients as arrays: a step of training up to its update, of which nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore._kernels import engine
from nncore.compiler.builder import Builder
from nncore.compiler.operation import PythonCall, Tensor
from nncore.data import Dataset
from nncore.execution.stepping import Stepper, Steppers
from nncore.graph import Shape, Symbol
from nncore.parameter import Parameter
from nncore.state import Array


class Taken:
    """A `Watch` that copies the gradients of symbols, each when it is complete."""

    def __init__(self, symbols: Sequence[Symbol]) -> None:
        self.arrays: dict[int, Array | None] = dict.fromkeys(map(id, symbols))
        self.shapes: dict[int, Shape] = {}  # of their samples

    def see(self, b: Builder, symbol: Symbol, x: Tensor) -> None:
        """Have the gradient of `x` copied, before what made `x` takes it."""
        key = id(symbol)
        if key in self.arrays:
            self.shapes[key] = x.shape
        if key not in self.arrays or not x.differentiable:
            return

        def take(gradient: Array) -> None:
            self.arrays[key] = gradient.copy()

        b.tape.append((x, lambda to, dx: to.backward.append(PythonCall(take, [dx], []))))


class Gradients:
    """Loss and gradients of one batch, as in the model's next step of training, dropout included.

    Parameters
    ----------
    steppers : Steppers
        Of the model.
    data : Dataset
        The batch.
    threads : int
    symbols : sequence of Symbol
        Whose gradients are wanted, too.

    Attributes
    ----------
    loss : float
        The mean over the batch, with penalties.
    of_weights : dict of Parameter to ndarray
        Of those on which it depends, and which are trained.
    of_symbols : dict of int to ndarray or None
        By the ids of `symbols`.
    """

    def __init__(self, steppers: Steppers, data: Dataset, threads: int, symbols: Sequence[Symbol] = ()) -> None:
        self.data, self.watch, self.counters = data, Taken(symbols), steppers.settings["steps"]
        self.steps = self.counters.copy()  # its own
        self.stepper = Stepper(
            steppers.graph,
            steppers.configuration,
            training=True,
            weighted=data.weighted,
            max_samples=data.rows,
            threads=threads,
            reduce=self.collect,
            watch=self.watch,
            sizes=steppers.graph.sizes(data.inputs),
            **steppers.settings | {"steps": self.steps},
        )
        self.loss, self.of_weights = float("nan"), dict[Parameter, Array]()
        self.of_symbols = self.watch.arrays

    def compute(self) -> None:
        """Compute them for what the data and weights are now."""
        self.steps[:] = self.counters
        self.watch.arrays.update(dict.fromkeys(self.watch.arrays))
        self.stepper.attach(self.data, shuffled=False)
        self.stepper.begin(self.data.rows)
        reason = self.stepper.whole_step()
        self.loss = float(self.stepper.logs()["loss"]) if reason != engine.DIVERGED else float("nan")

    def collect(self, stepper: Stepper) -> bool:
        """Copy the weights' gradients; the step is not to be applied."""
        flat = stepper.state.gradients
        self.of_weights = {p: np.array(p.within(flat)) for p in stepper.program.learned}
        return False

    def close(self) -> None:
        """Let go of the data."""
        self.stepper.release()


def gradients(steppers: Steppers, data: Dataset, threads: int, symbols: Sequence[Symbol] = ()) -> Gradients:
    """Those of a batch, computed once."""
    made = Gradients(steppers, data, threads, symbols)
    try:
        made.compute()
    finally:
        made.close()
    return made


def arrays(made: Gradients, wanted: Sequence[Any], rows: int) -> list[Array]:
    """The gradients of parameters and symbols; 0 where the loss does not depend on one."""
    found = []
    for one in wanted:
        if isinstance(one, Parameter):
            gradient = made.of_weights.get(one)
            shape: tuple[int, ...] = one.shape
        else:
            gradient, shape = made.of_symbols[id(one)], (rows, *made.watch.shapes[id(one)])
        found.append(np.zeros(shape, made.stepper.state.dtype) if gradient is None else gradient)
    return found
