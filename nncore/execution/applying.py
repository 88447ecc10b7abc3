"""An optimizer on arrays: a program of an update section alone, and its memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore import constraints, runtime
from nncore._kernels import engine
from nncore._kernels.table import BUFFERS
from nncore.compiler.builder import Builder
from nncore.constraints import Spectral
from nncore.execution import team
from nncore.execution.updating import UPDATE_FLOPS, bind_numbers, bind_optimizer
from nncore.initializers import Zeros
from nncore.operations.updates import optimize
from nncore.optimizers import Optimizer
from nncore.optimizers.base import AVERAGE
from nncore.parameter import Parameter
from nncore.schedules import Ahead
from nncore.state import Array, State


class Applied:
    """An optimizer's state for some variables.

    Parameters
    ----------
    optimizer : Optimizer
    variables : list
        See `Alone`.
    """

    def __init__(self, optimizer: Optimizer, variables: list[Any]) -> None:
        self.optimizer, self.variables = optimizer, variables
        dtypes = {np.dtype(getattr(v, "dtype", np.float64)) for v in variables}
        if strange := [d for d in dtypes if d not in (np.float32, np.float64)]:
            raise TypeError(f"variables: expected arrays of float32 or float64, got {strange[0]}; convert them before")
        dtype = "float64" if dtypes == {np.dtype(np.float64)} else "float32"
        self.parameters = [stand_in(v, number) for number, v in enumerate(variables)]
        self.paths = {p: p.path for p in self.parameters}
        for p in self.parameters:
            optimizer.part_of(p.path, p)  # of a function, all parts are known from then on
        self.state = State(self.parameters, dtype)
        self.arrays = {name: self.state.like() for name in optimizer.array_names}
        self.places = {id(v): p for v, p in zip(variables, self.parameters, strict=True)}
        self.counter = np.zeros(1, np.int64)
        self.prepare()

    def anew(self) -> Applied:
        """The same, for an optimizer whose settings have changed."""
        self.prepare()
        return self

    def prepare(self) -> None:
        """Make the program and its run."""
        state, optimizer = self.state, self.optimizer
        b = Builder(state.dtype.itemsize, training=True, trained=self.parameters)
        optimize(b, optimizer, self.paths)
        program = b.finish([], 1, state.values.nbytes)
        self.run = program.new_run(
            engine.Executor,
            runtime.kernels(state.dtype.name),
            team.size(UPDATE_FLOPS * state.size, runtime.get_num_threads()),
            chunks=state.chunks(self.paths, None, optimizer.settings),
        )
        self.sums = program.new_sums()
        self.run.bind_sums(self.sums)
        self.run.bind(BUFFERS["parameters"], state.values)
        self.run.bind(BUFFERS["gradients"], state.gradients)
        self.run.bind_random(0, self.counter)
        bind_optimizer(self.run, optimizer, self.arrays)
        self.ahead: Ahead | None = None

    def place(self, variable: Any) -> Parameter:
        """What stands for a variable here."""
        if id(variable) not in self.places:
            raise ValueError(
                f"trainable_variables: expected those that the optimizer was built with, got another: {variable!r}. "
                "Make an optimizer of its own for it"
            )
        return self.places[id(variable)]

    def step(self, grads: Sequence[Any], variables: Sequence[Any]) -> None:
        """One step of the variables that have a gradient."""
        state, optimizer = self.state, self.optimizer
        given = {self.place(v): (v, g) for v, g in zip(variables, grads, strict=True) if g is not None}
        kept = {p: [state.view(p, a).copy() for a in self.arrays.values()] for p in self.parameters if p not in given}
        scale = optimizer.loss_scale_factor
        for p, (v, g) in given.items():
            gradient = np.asarray(g)
            if gradient.shape not in ((), p.shape):
                raise ValueError(f"grads: expected shape {p.shape} for {p.path}, got {gradient.shape}")
            state.view(p)[...] = np.asarray(v)
            state.view(p, state.gradients)[...] = gradient if scale is None else gradient / scale
        for p in kept:
            state.view(p)[...] = state.view(p, state.gradients)[...] = 0
        ahead = optimizer.ahead()
        if ahead is not self.ahead:
            bind_numbers(self.run, ahead, Ahead(0, 2**63 - 1, []))
            self.ahead = ahead
        self.run.begin(1, 1)
        reason = self.run.run()
        assert reason == engine.END, reason
        for p, copies in kept.items():
            for array, copy in zip(self.arrays.values(), copies, strict=True):
                state.view(p, array)[...] = copy
        for p, (v, _) in given.items():
            assign(v, state.view(p))

    def views(self) -> list[Array]:
        """The state arrays of each variable."""
        forms = [(p, name, self.optimizer.form(name, p, p.path)) for p in self.parameters for name in self.arrays]
        return [p.within(self.arrays[name], form) for p, name, form in forms if form is not None]

    def named(self, name: str) -> list[Array]:
        """Each variable's part of one array."""
        return [self.state.view(p, self.arrays[name]) for p in self.parameters]

    def take_averages(self, variables: Sequence[Any]) -> None:
        """Let variables be their running means."""
        for v in variables:
            assign(v, self.state.view(self.place(v), self.arrays[AVERAGE]))


def stand_in(variable: Any, number: int) -> Parameter:
    """A parameter that is to `variable` what those of models are to weights."""
    path = getattr(variable, "path", None) or getattr(variable, "name", None) or f"variable_{number}"
    constraint = getattr(variable, "constraint", None)
    constraint = None if isinstance(constraint, Spectral) else constraints.get(constraint)  # whose u a fit alone has
    p = Parameter(str(path), tuple(np.shape(variable)), Zeros(), constraint=constraint)
    vars(p)["stands_for"] = variable
    return p


def assign(variable: Any, value: Array) -> None:
    """Let a variable have this value, in place."""
    if hasattr(variable, "assign"):
        variable.assign(value)
    else:
        variable[...] = value
