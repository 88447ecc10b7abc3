"""From a graph and what `compile` was told to programs: one for prediction, one for evaluation, one for training."""

from __future__ import annotations

import math

from nncore._kernels.table import ACTIVATIONS
from nncore.compiler.builder import Builder
from nncore.compiler.configuration import CompileConfiguration, metric_names
from nncore.compiler.operation import Op, Tensor
from nncore.compiler.program import Program
from nncore.network import Graph
from nncore.operations.data import batch
from nncore.operations.elementwise import columns, concatenate, copied, reshape
from nncore.operations.losses import loss, metric
from nncore.operations.parameters import optimize, penalty


def last_activation(b: Builder, y: Tensor) -> tuple[str, str]:
    """Name of the activation that makes the output `y`, and words for one that does not count as such.

    Views of its result are no obstacle, as long as the rows of a softmax stay whole.
    """
    maker = b.makers.get(id(y.root))
    if maker is None:
        return "linear", ""
    name = activation_of(maker)
    if name == "softmax" and y.shape[-1] != maker.n:
        return (
            "linear",
            f". The softmax has rows of {maker.n}, which are cut or joined to rows of {y.shape[-1]} after it",
        )
    layer = {"rescale": "Rescaling", "dropout": "Dropout"}.get(maker.kind)
    before = b.makers.get(id(maker.X.root)) if layer else None
    earlier = activation_of(before) if before else ""
    if earlier in ("softmax", "sigmoid"):
        return name, f". The {earlier} is followed by {layer}, which changes the probabilities: put it before"
    return name, ""


def activation_of(op: Op) -> str:
    """Name of the activation that an operation computes."""
    if op.declaration.fusion == "IS_ACTIVATION":
        return next(name for name, number in ACTIVATIONS.items() if number == op.function)
    return "softmax" if op.kind == "softmax" else "linear"


def one_of_each(graph: Graph) -> Graph:
    """A graph of one input and one output; a ValueError for others."""
    if len(graph.inputs) > 1 or len(graph.outputs) > 1:
        raise ValueError(
            f"expected a model with one input and one output, got {len(graph.inputs)} and {len(graph.outputs)}: a loss "
            "for each output, and steps on several inputs, are not supported. Train a model of one output that shares "
            "these layers, Model(inputs, output), with its inputs joined in one"
        )
    return graph


def inputs_of(b: Builder, graph: Graph) -> list[Tensor]:
    """The batch's inputs; where there are several, its rows hold them side by side."""
    shapes = [s.shape for s in graph.inputs]
    if len(shapes) == 1:
        return [batch(b, "input", shapes[0])]
    return columns(b, batch(b, "input", (sum(map(math.prod, shapes)),)), shapes)


def own_output(b: Builder, y: Tensor) -> Tensor:
    """`y`, or a copy of it if it is the input itself."""
    return y if y.root.buffer == "workspace" else copied(b, y)


def prediction(graph: Graph, max_samples: int) -> Program:
    """The program of `predict`; of several outputs, it makes rows that hold all of them side by side."""
    b = Builder(graph.state.dtype.itemsize, packed=graph.packed)
    made = graph.emit(b, *inputs_of(b, graph))
    if len(made) == 1:
        y = b.make(own_output(b, made[0]))
    else:
        rows = [reshape(b, y, (y.size,)) for y in made]
        y = concatenate(b, rows, 0, (sum(row.size for row in rows),))
    y.root.buffer = "output"
    return b.finish(y, max_samples, graph.state.values.nbytes)


def step(
    graph: Graph,
    config: CompileConfiguration,
    *,
    training: bool,
    weighted: bool,
    max_samples: int,
    reduces: bool = False,
) -> Program:
    """The program of a training step, or of the evaluation of a batch; raises what `emit_step` raises."""
    b, y = emit_step(graph, config, training=training, weighted=weighted)
    b.reduces = reduces
    return b.finish(y, max_samples, graph.state.values.nbytes)


def emit_step(graph: Graph, config: CompileConfiguration, *, training: bool, weighted: bool) -> tuple[Builder, Tensor]:
    """The operations of a step, still to be fused and placed, and the output: enough to see that all fits.

    Raises
    ------
    ValueError
        The loss or a metric does not fit the last layer.
    """
    assert config.loss is not None
    state = graph.state
    b = Builder(state.dtype.itemsize, training, graph.packed, trained=graph.trained)
    y = own_output(b, one_of_each(graph).emit(b, *inputs_of(b, graph))[0])
    activation, spoiled = last_activation(b, y)
    try:
        choice = config.loss.choose(activation, y.shape[-1])
    except ValueError as error:
        raise ValueError(f"{error}{spoiled}") from None
    left_out = id(y.root) in b.deferred
    p = logits_of(b, y) if choice.fused else b.make(y)
    labels = config.loss.target == "labels"
    target = batch(b, "target", y.shape[:-1] if labels else y.shape, labels)
    weight = batch(b, "weight", (1,)) if weighted else None
    asked = [(m, None) for m in config.metrics] + [(m, weight) for m in config.weighted_metrics]
    chosen = [(m.choose(config.loss, y.shape[-1], choice.fused, activation), w) for m, w in asked]
    shown = choice.fused and left_out and any(how.reads == "outputs" for how, _ in chosen)
    loss(b, choice.kernel, p, target, weight, y if shown else None, config.loss.parameters)
    for (how, w), name in zip(chosen, metric_names(config), strict=True):
        metric(b, name, how.kernel, p if how.reads == "logits" else y, target, w, how.parameters)
    if any(q.regularizer for q in graph.trained):
        penalty(b)
    if training:
        optimizer = config.optimizer
        optimize(b, optimizer.kernel, bool(optimizer.clipnorm or optimizer.global_clipnorm))
    b.play_backward()
    return b, y


def logits_of(b: Builder, y: Tensor) -> Tensor:
    """The inputs of the softmax or sigmoid that makes `y`, in the shape of `y`; it is left out if nothing reads it."""
    op = b.leave_out(y)
    return op.Z if op.Z.shape == y.shape else reshape(b, op.Z, y.shape)
