"""From a graph and what `compile` was told to programs: one for prediction, one for evaluation, one for training."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nncore import losses, metrics, optimizers
from nncore._kernels.table import ACTIVATIONS, PRECISIONS
from nncore.arguments import the_only
from nncore.graph import Symbol, topological
from nncore.layers.base import Layer
from nncore.metrics import Metric
from nncore.operations import Op, Tensor
from nncore.program import Builder, Program
from nncore.registry import serialize, snake_case
from nncore.state import State


class Graph:
    """The symbols of a model in order, its layers by name, and its parameters.

    Parameters
    ----------
    inputs, outputs : Symbol
        Of the model.
    dtype : str
        Of its parameters.
    """

    def __init__(self, inputs: Symbol, outputs: Symbol, dtype: str) -> None:
        self.inputs, self.outputs = inputs, outputs
        self.symbols = topological(outputs)
        strangers = [s for s in self.symbols if s.layer is None and s is not inputs]
        if strangers or inputs not in self.symbols:
            raise ValueError("inputs, outputs: expected outputs that depend on this Input and on no other")
        self.layers: list[Layer] = [s.layer for s in self.symbols if s.layer is not None]
        taken = [layer for layer in self.layers if layer.state is not None]
        if taken:
            raise ValueError(
                f"layer {taken[0].name}: belongs to another model already. Make a new layer; "
                "weights can follow by set_weights"
            )
        name_layers(self.layers)
        for symbol in self.symbols:
            if symbol.layer is not None:
                symbol.layer.parameters = []
                symbol.layer.build(*(s.shape for s in symbol.inputs))
        self.state = State([p for layer in self.layers for p in layer.parameters], dtype)
        for layer in self.layers:
            layer.state = self.state

    def __getstate__(self) -> dict[str, Any]:
        return {"symbols": self.symbols} | vars(self)  # first, each after those it reads: no recursion however deep

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for symbol in self.symbols:
            if symbol.layer is not None:
                symbol.layer.made(symbol)

    def settle(self) -> Graph:
        """The same symbols as a new graph, shapes and parameters by what the layers are now."""
        for symbol in self.symbols:
            if symbol.layer is not None:
                shapes = tuple(s.shape for s in symbol.inputs)
                symbol.shape = symbol.layer.output_shape(*shapes)
                symbol.layer.input_shapes, symbol.layer.state = shapes, None
        return Graph(self.inputs, self.outputs, self.state.dtype.name)

    def emit(self, b: Builder) -> Tensor:
        """Emit all layers; the output."""
        tensors = {id(self.inputs): b.input(self.inputs.shape)}
        for symbol in self.symbols:
            if symbol.layer is not None:
                made = symbol.layer.emit(b, *(tensors[id(s)] for s in symbol.inputs))
                tensors[id(symbol)] = made
        return tensors[id(self.outputs)]


def name_layers(layers: Sequence[Layer]) -> None:
    """Name the nameless after their class, numbered from the second on; ValueError where a name comes twice."""
    taken = Counter(layer.name for layer in layers if layer.name is not None)
    twice = sorted(name for name, count in taken.items() if count > 1)
    if twice:
        raise ValueError(f"name: expected a name of its own for each layer, got {twice} more than once")
    counts: dict[str, int] = {}
    for layer in layers:
        while layer.name is None:
            base = snake_case(type(layer).__name__)
            number = counts.get(base, 0)
            counts[base] = number + 1
            name = f"{base}_{number}" if number else base
            if name not in taken:
                vars(layer)["name"] = name


@dataclass
class Objective:
    """What `compile` was told.

    Attributes
    ----------
    optimizer : Optimizer
    loss : Loss or None
    metrics, weighted_metrics : list of Metric
        The latter weighted by `sample_weight`.
    matmul_precision : {"highest", "high", "medium"}
    """

    optimizer: optimizers.Optimizer
    loss: losses.Loss | None
    metrics: list[Metric] = field(default_factory=list)
    weighted_metrics: list[Metric] = field(default_factory=list)
    matmul_precision: str = "highest"

    @classmethod
    def of(
        cls, optimizer: Any, loss: Any, plain: Any, weighted: Any, matmul_precision: Any, last: str | None = None
    ) -> Objective:
        """Turn the arguments of `compile` into objects; `last` is the name of the last layer, if it is known."""
        if not isinstance(matmul_precision, str) or matmul_precision not in PRECISIONS:
            raise ValueError(f"matmul_precision: expected one of {', '.join(PRECISIONS)}, got {matmul_precision!r}")
        return cls(
            optimizers.get(optimizer, "optimizer"),
            losses.get(of_output(loss, "loss", last), "loss"),
            metric_list(plain, "metrics", last),
            metric_list(weighted, "weighted_metrics", last),
            str(matmul_precision),  # of a grid, perhaps: NumPy's
        )

    def config(self) -> dict[str, Any]:
        """As JSON, for a checkpoint; `of(**config)` is its inverse."""
        return {
            "optimizer": serialize(self.optimizer),
            "loss": serialize(self.loss) if self.loss else None,
            "plain": [serialize(m) for m in self.metrics],
            "weighted": [serialize(m) for m in self.weighted_metrics],
            "matmul_precision": self.matmul_precision,
        }


def of_output(given: Any, argument: str, last: str | None) -> Any:
    """What is given for the only output: for each in a list, or by its name, that of the last layer, in a dict."""
    single = isinstance(given, (list, tuple)) or (isinstance(given, Mapping) and set(given) != {"class", "config"})
    if not single:
        return given
    if len(given) != 1:
        raise ValueError(f"{argument}: expected that of the only output, got {given!r} for {len(given)}")
    if isinstance(given, Mapping) and last is not None and last not in given:
        raise ValueError(f"{argument}: expected as key the last layer's name {last!r}, got {next(iter(given))!r}")
    return the_only(given)


def metric_list(given: Any, argument: str, last: str | None = None) -> list[Metric]:
    """One metric, or a list of them, also in a list or dict of the only output, as a list."""
    if isinstance(given, Mapping) or (isinstance(given, (list, tuple)) and any(map(several, given))):
        given = of_output(given, argument, last)
    items = [] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]
    return [metrics.get(item, argument) for item in items]


def several(item: Any) -> bool:
    """Whether it is the list of an output, or None for an output without metrics."""
    return item is None or isinstance(item, (list, tuple))


def last_activation(b: Builder, y: Tensor) -> tuple[str, str]:
    """Name of the activation that makes the output `y`, and words for one that does not count as such.

    Views of its result are no obstacle, as long as the rows of a softmax stay whole.
    """
    maker = maker_of(b, y)
    if maker is None:
        return "linear", ""
    name = activation_of(maker)
    if name == "softmax" and y.shape[-1] != maker.n:
        return (
            "linear",
            f". The softmax has rows of {maker.n}, which are cut or joined to rows of {y.shape[-1]} after it",
        )
    layer = {"rescale": "Rescaling", "dropout": "Dropout"}.get(maker.kind)
    before = maker_of(b, x) if layer and isinstance(x := maker.operands[0], Tensor) else None
    earlier = activation_of(before) if before else ""
    if earlier in ("softmax", "sigmoid"):
        return name, f". The {earlier} is followed by {layer}, which changes the probabilities: put it before"
    return name, ""


def maker_of(b: Builder, y: Tensor) -> Op | None:
    """The operation that computes `y`, or what `y` is a view of."""
    return next((op for op in reversed(b.forward) if any(w is y.root for w in op.writes())), None)


def activation_of(op: Op) -> str:
    """Name of the activation that an operation computes."""
    if op.kind == "activate":
        return next(name for name, number in ACTIVATIONS.items() if number == op.variant)
    return "softmax" if op.kind == "softmax" else "linear"


def own_output(b: Builder, y: Tensor) -> Tensor:
    """`y`, or a copy of it if it is the input itself."""
    return y if y.root.buffer == "workspace" else b.identity(y)


def prediction(graph: Graph, max_samples: int) -> Program:
    """The program of `predict`."""
    b = Builder(graph.state.dtype.itemsize, packed=graph.state.packed)
    y = own_output(b, graph.emit(b))
    y.root.buffer = "output"
    return b.finish(y, max_samples, graph.state.values.nbytes)


def step(graph: Graph, goal: Objective, *, training: bool, weighted: bool, max_samples: int) -> Program:
    """The program of a training step, or of the evaluation of a batch; raises what `emit_step` raises."""
    b, y = emit_step(graph, goal, training=training, weighted=weighted)
    return b.finish(y, max_samples, graph.state.values.nbytes)


def emit_step(graph: Graph, goal: Objective, *, training: bool, weighted: bool) -> tuple[Builder, Tensor]:
    """The operations of a step, still to be fused and placed, and the output: enough to see that all fits.

    Raises
    ------
    ValueError
        The loss or a metric does not fit the last layer.
    """
    assert goal.loss is not None
    state = graph.state
    b = Builder(state.dtype.itemsize, training, state.packed)
    y = own_output(b, graph.emit(b))
    activation, spoiled = last_activation(b, y)
    try:
        plan = goal.loss.plan(activation, y.shape[-1])
    except ValueError as error:
        raise ValueError(f"{error}{spoiled}") from None
    labels = goal.loss.target == "labels"
    target = b.target(y.shape[:-1] if labels else y.shape, labels)
    weight = b.weight() if weighted else None
    plans = [(m, None) for m in goal.metrics] + [(m, weight) for m in goal.weighted_metrics]
    planned = [(m.plan(goal.loss, y.shape[-1], plan.fused, activation), w) for m, w in plans]
    p = b.detach_last(y) if plan.fused else y
    shown = plan.fused and any(how.reads == "outputs" for how, _ in planned)
    b.loss(plan.kernel, p, target, weight, y if shown else None, goal.loss.param)
    for (how, w), name in zip(planned, metric_names(goal), strict=True):
        b.metric(name, how.kernel, p if how.reads == "logits" else y, target, w, how.param)
    if any(q.regularizer and q.trainable for q in state.parameters):
        b.penalty()
    if training:
        b.optimize(goal.optimizer.kernel, bool(goal.optimizer.clipnorm or goal.optimizer.global_clipnorm))
    b.play_backward()
    return b, y


def metric_names(goal: Objective) -> list[str]:
    """Names in logs: a weighted metric whose plain form is asked for too is called weighted_…."""
    plain = [m.name for m in goal.metrics]
    return plain + [f"weighted_{m.name}" if m.name in plain else m.name for m in goal.weighted_metrics]


def names_of(program: Program) -> list[str]:
    """The names in `logs_of`, in order."""
    return list(dict.fromkeys(entry.name for entry in program.sums if entry.kind != "penalty"))


def logs_of(program: Program, sums: np.ndarray[Any, Any]) -> dict[str, float]:
    """Loss (with penalties) and metrics from the sums of a pass: means, which before the first row are NaN."""
    logs: dict[str, float] = {}
    pairs: list[tuple[float, float]] = sums.tolist()
    rows = pairs[0][1]  # of the loss
    for entry, (value, weight) in zip(program.sums, pairs, strict=True):
        if weight:
            mean = value / weight
        else:
            mean = 0.0 if rows and value == 0 else math.nan  # as Keras: rows that all weigh nothing have the mean 0
        if entry.kind == "penalty":
            logs["loss"] += mean
        else:
            logs[entry.name] = mean
    return logs
