"""From a graph and what `compile` was told to programs: one for prediction, one for evaluation, one for training."""

from __future__ import annotations

from nncore._kernels.table import ACTIVATIONS
from nncore.compiler.builder import Builder
from nncore.compiler.configuration import CompileConfiguration, metric_names
from nncore.compiler.operation import Op, Tensor
from nncore.compiler.program import Program
from nncore.network import Graph


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


def step(graph: Graph, config: CompileConfiguration, *, training: bool, weighted: bool, max_samples: int) -> Program:
    """The program of a training step, or of the evaluation of a batch; raises what `emit_step` raises."""
    b, y = emit_step(graph, config, training=training, weighted=weighted)
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
    b = Builder(state.dtype.itemsize, training, state.packed)
    y = own_output(b, graph.emit(b))
    activation, spoiled = last_activation(b, y)
    try:
        plan = config.loss.plan(activation, y.shape[-1])
    except ValueError as error:
        raise ValueError(f"{error}{spoiled}") from None
    labels = config.loss.target == "labels"
    target = b.target(y.shape[:-1] if labels else y.shape, labels)
    weight = b.weight() if weighted else None
    plans = [(m, None) for m in config.metrics] + [(m, weight) for m in config.weighted_metrics]
    planned = [(m.plan(config.loss, y.shape[-1], plan.fused, activation), w) for m, w in plans]
    p = b.detach_last(y) if plan.fused else y
    shown = plan.fused and any(how.reads == "outputs" for how, _ in planned)
    b.loss(plan.kernel, p, target, weight, y if shown else None, config.loss.param)
    for (how, w), name in zip(planned, metric_names(config), strict=True):
        b.metric(name, how.kernel, p if how.reads == "logits" else y, target, w, how.param)
    if any(q.regularizer and q.trainable for q in state.parameters):
        b.penalty()
    if training:
        b.optimize(config.optimizer.kernel, bool(config.optimizer.clipnorm or config.optimizer.global_clipnorm))
    b.play_backward()
    return b, y
