"""A layer by itself, on one thread: its forward pass as in training, its backward pass, its update; PyTorch's likewise.

A run returns what it computed, so that a test can lay both side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from measure import Run
from numpy.typing import NDArray

Array = NDArray[Any]


def graph_of(layer: Any, inputs: Sequence[Array]) -> Any:
    """The layer on symbols of the inputs' shapes, its weights far from 0 and from 1."""
    import nncore as nn
    from nncore.network import Graph

    symbols = [nn.Input(x.shape[1:]) for x in inputs]
    graph, rng = Graph(symbols, layer(symbols if layer.takes_many else symbols[0]), "float32"), np.random.default_rng(0)
    for p in graph.parameters:
        graph.state.view(p)[...] = 1.5 + rng.random(p.shape, np.float32)
    return graph


class Pass:
    """What a layer emits as a program of its own, on the calling thread.

    Parameters
    ----------
    layer : Layer
    inputs : sequence of ndarray
        A batch, of float32, or of int32 where the layer reads whole numbers.
    dy : ndarray, optional
        The gradient of Y; None: forward only, but with all that a backward pass would read.
    optimizer : Optimizer, optional
        Updates the rows of a table of which the batch has a gradient.

    Attributes
    ----------
    results : list of ndarray
        Y, then the gradients of the inputs and of the weights, which each run writes anew; with an optimizer the
        weights.
    """

    def __init__(self, layer: Any, inputs: Sequence[Array], dy: Array | None = None, optimizer: Any = None) -> None:
        from nncore import runtime
        from nncore._kernels import engine
        from nncore._kernels.table import BUFFERS, SOURCES
        from nncore.compiler.builder import Builder
        from nncore.compiler.operation import Tensor
        from nncore.operations.updates import optimize

        graph = graph_of(layer, inputs)
        self.rows, self.end, state = len(inputs[0]), engine.END, graph.state
        b = Builder(4, training=True, trained=graph.trained, by_rows=graph.trained if optimizer else ())
        xs = [Tensor(x.shape[1:], x.dtype == np.float32, integer=x.dtype == np.int32) for x in inputs]
        [y] = graph.emit(b, *(b.bind(x, i) for i, x in enumerate(xs)))
        made = [b.make(y)]
        if dy is not None:
            b.gradients[id(y)] = b.bind(Tensor(y.shape), len(xs))
            b.play_backward()
            made += [b.gradients[id(x)] for x in xs if x.differentiable]
        if optimizer:
            optimize(b, optimizer, graph.trained)
        program = b.finish(made, self.rows, state.values.nbytes)
        self.run = program.new_run(engine.Executor, runtime.kernels("float32"), 1, chunks=state.chunks({}))
        self.run.bind(BUFFERS["parameters"], state.values)
        self.run.bind(BUFFERS["gradients"], state.gradients)
        for i, array in enumerate(inputs if dy is None else (*inputs, dy)):
            row = {"stride": array.strides[0], "type": SOURCES[array.dtype.name], "n": array[0].size}
            self.run.bind_rows(i, array, **row, in_place=True)
        self.bind_update(state, optimizer)
        self.results: list[Array] = []
        self()
        self.results += map(self.made, made)
        learned = graph.trained if dy is not None else ()
        self.results += [state.view(p, state.values if optimizer else state.gradients) for p in learned]

    def bind_update(self, state: Any, optimizer: Any) -> None:
        """Bind what an update section reads: also without an optimizer, where moving statistics alone are updated."""
        from nncore import optimizers
        from nncore.execution.updating import bind_numbers, bind_optimizer
        from nncore.schedules import Ahead

        chosen = optimizer or optimizers.SGD()
        self.run.bind_random(0, np.zeros(1, np.int64))
        bind_optimizer(self.run, chosen, {name: state.like() for name in chosen.array_names})
        bind_numbers(self.run, chosen.ahead(), Ahead(0, 2**63 - 1, []))

    def made(self, t: Any) -> Array:
        """The memory of a tensor, once a run has made it."""
        from nncore.compiler.encoding import locate

        memory = self.run.memory(*locate(t, 4), 4 * self.rows * t.size)
        return np.frombuffer(memory, np.float32).reshape(self.rows, *t.shape)

    def __call__(self) -> list[Array]:
        self.run.begin(self.rows, self.rows)
        reason = self.run.run()
        assert reason == self.end, reason
        return self.results


def torch_pass(function: Callable[..., Any], layer: Any, inputs: Sequence[Array], dy: Array | None = None) -> Run:
    """The same by a function of torch itself, of the inputs and of the layer's weights."""
    import torch

    torch.set_num_threads(1)
    graph = graph_of(layer, inputs)
    xs = [torch.from_numpy(x).requires_grad_() for x in inputs]
    weights = [torch.from_numpy(graph.state.view(p)).requires_grad_(p in graph.trained) for p in graph.parameters]
    leaves = [*xs, *(w for w in weights if w.requires_grad)]
    gradient = None if dy is None else torch.from_numpy(dy)

    def run() -> list[Any]:
        y = function(torch, *xs, *weights)
        return [y] if gradient is None else [y, *torch.autograd.grad(y, leaves, gradient)]

    return run


def torch_table(layer: Any, numbers: Array, dy: Array | None = None, optimizer: str = "", **settings: Any) -> Run:
    """The same of an embedding, whose gradient is sparse, and of an optimizer that takes such."""
    import torch

    torch.set_num_threads(1)
    graph, x = graph_of(layer, [numbers]), torch.from_numpy(numbers).long()
    table = torch.nn.Embedding.from_pretrained(
        torch.from_numpy(graph.state.view(*graph.parameters)), False, sparse=True
    )
    if dy is None:
        return lambda: [table(x)]
    gradient, update = torch.from_numpy(dy), getattr(torch.optim, optimizer)(table.parameters(), **settings)

    def run() -> list[Any]:
        update.zero_grad()
        y = table(x)
        y.backward(gradient)
        update.step()
        return [y, table.weight]

    return run
