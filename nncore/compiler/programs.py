"""From a graph and what `compile` was told to programs: one for prediction, one for evaluation, one for training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nncore import activations
from nncore._kernels.table import ACTIVATIONS, ROWWISE
from nncore.compiler.builder import Builder, Watch
from nncore.compiler.configuration import CompileConfiguration, Head
from nncore.compiler.operation import Op, Tensor
from nncore.compiler.program import Program
from nncore.graph import Symbol
from nncore.losses import Loss, LossChoice
from nncore.metrics import Given, Plan
from nncore.network import Graph
from nncore.operations.arrangement import reshape
from nncore.operations.data import batch
from nncore.operations.elementwise import activate, copied
from nncore.operations.losses import given_gradients, loss
from nncore.operations.masks import spread
from nncore.operations.metrics import measure
from nncore.operations.parameters import orthogonal_penalty, penalty
from nncore.operations.updates import optimize
from nncore.warning import warn


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
    if op.declaration.fusion != "IS_ACTIVATION" and op.kind != "rowwise":
        return "linear"
    names = ROWWISE if op.kind == "rowwise" else ACTIVATIONS
    return next(name for name, number in names.items() if number == op.function)


def inputs_of(b: Builder, graph: Graph) -> list[Tensor]:
    """What the graph is fed of the batch: the first bindings."""
    xs = [batch(b, i, feed.shape, feed.integers is not None) for i, feed in enumerate(graph.feeds)]
    for x in xs:
        x.differentiable = b.watch is not None and not x.integer
    return xs


class Seen:
    """A `Watch` that remembers the tensors of some symbols."""

    def __init__(self, symbols: Sequence[Symbol]) -> None:
        self.tensors: dict[int, Tensor | None] = dict.fromkeys(map(id, symbols))

    def see(self, b: Builder, symbol: Symbol, x: Tensor) -> None:
        """See `Watch`."""
        if id(symbol) in self.tensors:
            self.tensors[id(symbol)] = x

    def found(self, symbols: Sequence[Symbol]) -> list[Tensor]:
        """Their tensors."""
        tensors = [self.tensors[id(s)] for s in symbols]
        assert None not in tensors
        return [x for x in tensors if x is not None]


def own_output(b: Builder, y: Tensor) -> Tensor:
    """`y`, or a copy of it, as reals, if it is an input itself or whole numbers."""
    return y if y.root.buffer == "workspace" and not y.integer else copied(b, y)


def prediction(graph: Graph, max_samples: int, training: bool = False, of: Sequence[Symbol] | None = None) -> Program:
    """The program of `predict`: its bindings are the inputs and, after them, the outputs, or the symbols `of`.

    In `training` it is the forward pass of a step: dropout is on, and statistics follow the batch.
    """
    graph = graph.at(training)
    seen = None if of is None else Seen(of)
    b = Builder(graph.state.dtype.itemsize, training, graph.packed, predicts=True, watch=seen)
    outputs = []
    ys = graph.emit(b, *inputs_of(b, graph))
    for y in ys if seen is None else seen.found(of or ()):
        b.make(y)
        own = y.root.buffer == "workspace" and not y.integer
        whole = own and y.root.size == y.size  # and of no other output, which is bound
        outputs.append(y if whole else copied(b, y))
        b.bind(outputs[-1], len(graph.feeds) + len(outputs) - 1)
    return b.finish(outputs, max_samples, graph.state.values.nbytes)


def step(
    graph: Graph,
    config: CompileConfiguration,
    *,
    training: bool,
    weighted: Sequence[int],
    max_samples: int,
    reduces: bool = False,
    watch: Watch | None = None,
) -> Program:
    """The program of a training step, or of the evaluation of a batch; raises what `emit_step` raises."""
    draft = graph.drafted(config) if training and not (any(weighted) or reduces or watch) else None
    b, outputs = draft or emit_step(graph, config, training=training, weighted=weighted, reduces=reduces, watch=watch)
    return b.finish(outputs, max_samples, graph.state.values.nbytes)


@dataclass
class Term:
    """A loss of an output, with its factor in the sum of all and what computes it.

    Attributes
    ----------
    p : Tensor
        What that reads: the output, or the logits where the last activation is computed with the loss.
    """

    factor: float
    loss: Loss
    how: LossChoice
    p: Tensor


@dataclass
class Compared:
    """An output of a step, with what it is compared by and what it is compared with.

    Attributes
    ----------
    y : Tensor
        The output.
    activation : str
        Of the last layer.
    terms : list of Term
        What its loss is a sum of.
    left_out : bool
        Whether nothing else has computed that activation.
    target, weight : Tensor
        Of the batch; the weight may be None.
    mask : Tensor or None
        What counts of the output: one number for each row of its last axis.
    probabilities : Tensor or None
        Made of logits, once a metric has asked for them.
    """

    head: Head
    y: Tensor
    activation: str
    terms: list[Term]
    left_out: bool
    target: Tensor
    weight: Tensor | None
    mask: Tensor | None
    probabilities: Tensor | None = None

    @property
    def fused(self) -> Term | None:
        """The first loss that reads logits in place of the output."""
        return next((term for term in self.terms if term.how.fused), None)


def compare(
    b: Builder, graph: Graph, config: CompileConfiguration, output: int, y: Tensor, weights: int, warns: bool
) -> Compared:
    """An output `y` with its targets and weights, which are bindings after those of the inputs."""
    head, n = config.heads[output], len(config.heads)
    if y.mask is not None and len(y.mask.shape) >= len(y.shape) > 0:
        raise ValueError(
            f"{of_output(graph, output)}loss: expected a mask of whole rows of the output, of shape {y.shape} a "
            f"sample, got one of its elements, {y.mask.shape}. Let a layer that does not support masking come last"
        )
    mask = None if y.mask is None else spread(b, y.mask, y.shape[:-1])
    y = own_output(b, y)
    activation, spoiled = last_activation(b, y)
    try:
        if not y.shape:
            raise ValueError(
                "loss: expected an output with an axis beside the batch, got shape (None,). Put Reshape((1,)) behind it"
            )
        if head.loss:
            head.loss.choose(activation, y.shape[-1])
        shape = head.target_shape(y.shape)
        chosen = [(factor, loss, loss.choose(activation, y.shape[-1])) for factor, loss in head.terms()]
        for _, loss, _ in chosen:
            loss.check(y.shape)
    except ValueError as error:
        raise ValueError(f"{of_output(graph, output)}{error}{spoiled}") from None
    for _, loss, _ in chosen if warns else ():
        if doubt := loss.doubt(activation):
            warn(f"{of_output(graph, output)}{doubt}{spoiled}")
    if not chosen or not all(how.fused for *_, how in chosen):
        b.make(y)
    left_out = id(y.root) in b.deferred
    logits = logits_of(b, y) if any(how.fused for *_, how in chosen) else y
    terms = [Term(factor, loss, how, logits if how.fused else y) for factor, loss, how in chosen]
    first = len(graph.feeds) + output
    target = mixed(b, graph, output, batch(b, first, shape, head.labels))
    weight = batch(b, first + n, (weights,)) if weights else None
    if weights and any(loss.joined for _, loss, _ in chosen):
        raise ValueError(
            f"{of_output(graph, output)}sample_weight: expected None for a loss of the whole batch, got weights. Give "
            "the loss an axis, for one of each sample"
        )
    return Compared(head, y, activation, terms, left_out, target, weight, mask)


def mixed(b: Builder, graph: Graph, output: int, target: Tensor) -> Tensor:
    """Targets of an output as layers have mixed the samples that they are of."""
    if b.mixes and target.integer:
        raise ValueError(
            f"{of_output(graph, output)}loss: expected one of targets that can be mixed, such as "
            '"categorical_crossentropy" of one-hot rows, for a layer of the model mixes samples, got one of class '
            "numbers. Let nncore.to_categorical make rows of them"
        )
    for mix in b.mixes:
        target = mix(b, target)
    return target


def of_output(graph: Graph, output: int) -> str:
    """What an error about an output begins with, where there are several."""
    return f"output {graph.output_names[output]!r}: " if len(graph.outputs) > 1 else ""


def emit_step(
    graph: Graph,
    config: CompileConfiguration,
    *,
    training: bool,
    weighted: Sequence[int] = (),
    reduces: bool = False,
    watch: Watch | None = None,
    warns: bool = False,
) -> tuple[Builder, list[Tensor]]:
    """The operations of a step, still to be fused and placed, and the outputs: enough to see that all fits.

    Parameters
    ----------
    graph : Graph
    config : CompileConfiguration
    training : bool
    weighted : sequence of int
        Of each output how many weights a sample has; empty: none.
    reduces : bool
        Whether others are to see the gradients before the update.
    watch : Watch, optional
        What looks at tensors and their gradients.
    warns : bool
        Whether to warn of losses that do not suit the activation before them.

    Raises
    ------
    ValueError
        A loss or metric does not fit the layer that makes its output.
    """
    graph = graph.at(training)
    if len(config.heads) != len(graph.outputs):
        raise ValueError(
            f"loss: expected what was compiled for {len(graph.outputs)} outputs, got that of {len(config.heads)}. Call "
            "compile again"
        )
    optimizer = config.optimizer
    lazy = {p for p, path in graph.trained.items() if optimizer.part(path, p).leaves_rows}
    b = Builder(
        graph.state.dtype.itemsize,
        training,
        graph.packed,
        trained=graph.trained,
        by_rows=set() if reduces else {p for p in lazy if p.gradient == "rows" and not (p.regularizer or p.constraint)},
        reduces=reduces,
        watch=watch,
        warns=warns,
    )
    wanted = config.compared
    ys = graph.emit(b, *inputs_of(b, graph), wanted=wanted)
    if config.given is not None and b.mixes:
        raise ValueError(
            "expected a model whose targets the step is given, for a layer mixes them with its samples, got gradients. "
            "Leave that layer out"
        )
    if config.given is not None:
        outputs = given_gradients(b, [own_output(b, b.make(y)) for y in ys], config.given.compute)
    else:
        uses = Counter(id(y.root) for y in ys)
        compared: dict[int, Compared] = {}
        for i, y in zip(wanted, ys, strict=True):
            if uses[id(y.root)] > 1:
                b.make(y)  # for all of them
            compared[i] = compare(b, graph, config, i, y, weighted[i] if weighted else 0, warns)
        emit_sums(b, graph, config, compared)
        outputs = [c.y for c in compared.values()]
    if any(q.regularizer and (q.regularizer.l1 or q.regularizer.l2) for q in graph.trained):
        penalty(b)
    for q in graph.trained:
        if q.regularizer and q.regularizer.pairs and q.size:
            orthogonal_penalty(b, q, q.regularizer)
    b.play_backward()
    if training:
        optimize(b, config.optimizer, {p: path for p, path in graph.trained.items() if p in b.learned})
    return b, outputs


def emit_sums(b: Builder, graph: Graph, config: CompileConfiguration, compared: dict[int, Compared]) -> None:
    """Losses of all outputs, and their metrics."""
    names = graph.output_names
    metrics = []
    shown = set()  # outputs that are left out, but read by a metric
    for i, m, weighs, name in config.every_metric(names):
        c = compared[i]
        try:
            plan = m.plan_in_model(
                Given(c.y.shape[-1], c.head.labels, c.head.loss, c.fused is not None, c.activation, len(c.y.shape))
            )
            if weighs:
                check_weights(c, name, plan)
        except ValueError as error:
            raise ValueError(f"{of_output(graph, i)}{error}") from None
        metrics.append((c, m, plan, weighs, name))
        if c.fused and c.left_out and plan.reads != "logits":
            shown.add(i)
    for i, c in compared.items():
        for term in c.terms:
            name, scale = config.loss_name(i, names), c.head.weight * term.factor
            prob = c.y if i in shown and term is c.fused else None
            loss(
                b,
                name,
                term.loss,
                term.how.kernel,
                term.p,
                c.target,
                c.weight,
                mask=c.mask,
                prob=prob,
                scale=scale,
                part=term.factor,
            )
    for c, m, plan, weighs, name in metrics:
        logits = c.fused.p if c.fused else c.y
        read = logits if plan.reads == "logits" else c.y if plan.reads == "outputs" else probabilities_of(b, c)
        measure(b, name, m, plan, read, c.target, c.weight if weighs else None, c.mask)


def check_weights(c: Compared, name: str, plan: Plan) -> None:
    """A ValueError where a metric by this plan cannot take the weights of an output."""
    each = 1 if c.weight is None else c.weight.size
    if each > 1 and (plan.sums != "mean" or each != c.y.size // c.y.shape[-1]):
        raise ValueError(
            f"weighted_metrics: {name} takes a weight for each sample, got {each} for each. Give it as one of metrics"
        )


def probabilities_of(b: Builder, c: Compared) -> Tensor:
    """The output, or what its loss makes of it where that takes logits."""
    loss = c.head.loss
    if loss is None or not loss.from_logits:
        return c.y
    if c.probabilities is None:
        c.probabilities = b.make(
            activate(b, c.y, activations.get(getattr(loss, "partner", None) or "sigmoid", "activation"))
        )
    return c.probabilities


def logits_of(b: Builder, y: Tensor) -> Tensor:
    """The inputs of the softmax or sigmoid that makes `y`, in the shape of `y`; it is left out if nothing reads it."""
    op = b.leave_out(y)
    return op.Z if op.Z.shape == y.shape else reshape(b, op.Z, y.shape)
