"""From layers to a program: operations over buffers, fused, planned and cut into stages.

A layer emits its forward operations through a `Builder` and says, beside each, what its backward pass emits; the
builder plays these records backwards. Then three passes make the program: `fuse` joins operations (fusion.py),
`plan` gives every tensor its bytes in the workspace, and `place_barriers` finds where the team must meet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore._kernels.table import ACTIVATION_KEPT, ACTIVATIONS, BUFFERS, LOSSES, METRICS, OPERATIONS, OPTIMIZERS
from nncore.fusion import fuse

if TYPE_CHECKING:
    from nncore.activations import Activation
    from nncore.graph import Shape
    from nncore.state import Parameter

#: struct nn_op of src_c/program.h
OPERATION = np.dtype(
    [(name, "i8") for name in ("kind", "variant", "barrier", "slot", "factor", "n", "k", "ld", "cost")]
    + [("param", "f8", 2), ("arg", [("buffer", "i8"), ("offset", "i8")], 6)]
)

#: Which operands an operation writes; it reads the others (`both`: it reads these as well).
WRITES: dict[str, tuple[int, ...]] = {
    "gather": (0,), "dense_forward": (3, 4), "dense_backward_input": (3,), "dense_backward_weights": (2, 3),
    "activate": (1,), "activate_backward": (2,), "softmax": (1,), "softmax_backward": (2,), "dropout": (1,),
    "rescale": (1,), "add": (2,), "multiply": (2,), "copy": (1,), "loss": (3, 4), "metric": (), "penalty": (1,),
    "norms": (1,), "update": (0, 2, 3, 4),
}  # fmt: skip
BOTH = {"penalty": (1,), "update": (0, 2, 3, 4)}

CACHE_LINE = 64


@dataclass(eq=False)
class Tensor:
    """A batch of arrays while a program is built: `shape` per sample, in some buffer.

    Attributes
    ----------
    differentiable : bool
        Whether anything that learns comes before it.
    buffer : str
        Where it lives: "workspace", or a buffer of the batch.
    """

    shape: Shape
    differentiable: bool = False
    buffer: str = "workspace"
    alias_of: Tensor | None = None
    labels: bool = False
    offset: int = 0

    @property
    def root(self) -> Tensor:
        """Whose memory this is: its own, or that of the tensor it is a reshape of."""
        return self.alias_of.root if self.alias_of else self

    @property
    def size(self) -> int:
        """Elements per sample."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Whole:
    """The whole of a buffer that is laid out as the parameters, or one parameter's part of it."""

    buffer: str
    parameter: Parameter | None = None


Operand = Tensor | Whole | None


@dataclass(eq=False)
class Op:
    """One operation, as nn_op of program.h holds it, with operands not yet placed."""

    kind: str
    operands: list[Operand]
    variant: int = 0
    slot: int = 0
    factor: int = 1
    n: int = 0
    k: int = 0
    ld: int = 0
    cost: int = 0  # FLOPs per sample
    param: tuple[float, float] = (0.0, 0.0)
    barrier: bool = False

    def writes(self) -> Iterator[Operand]:
        """Operands it writes."""
        return (self.operands[i] for i in WRITES[self.kind] if i < len(self.operands))

    def reads(self) -> Iterator[Operand]:
        """Operands it reads."""
        hidden = set(WRITES[self.kind]) - set(BOTH.get(self.kind, ()))
        return (o for i, o in enumerate(self.operands) if i not in hidden)

    def touches(self, tensor: Operand) -> bool:
        """Whether it reads or writes the memory of `tensor`."""
        assert isinstance(tensor, Tensor)
        return any(isinstance(o, Tensor) and o.root is tensor.root for o in self.operands)


@dataclass
class Sum:
    """What slot of the pass's sums holds: the loss, a penalty, or the value of a metric."""

    name: str
    kind: str  # "loss" | "penalty" | "metric"


@dataclass
class Program:
    """A compiled program; see the engine for how it runs."""

    ops: np.ndarray[Any, Any]
    update_at: int
    workspace: int  # bytes for max_samples samples
    max_samples: int
    sums: list[Sum]
    output: Tensor
    cost: int  # FLOPs per sample


@dataclass
class Builder:
    """Collects the operations of a program.

    Parameters
    ----------
    itemsize : int
        Bytes of a real.
    training : bool
        Whether dropout is on, and backward operations are wanted.
    """

    itemsize: int
    training: bool = False
    forward: list[Op] = field(default_factory=list)
    backward: list[Op] = field(default_factory=list)
    penalties: list[Op] = field(default_factory=list)  # at the end of the backward section: they add to gradients
    update: list[Op] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)
    tape: list[tuple[Tensor, Op | None, Callable[[Tensor], None]]] = field(default_factory=list)
    gradients: dict[int, Tensor] = field(default_factory=dict)  # by id of the tensor
    layer_ids: int = 0

    # -- what layers call ------------------------------------------------------------------------------------------

    def input(self, shape: Shape) -> Tensor:
        """The batch's x."""
        x = Tensor(shape, buffer="input")
        self.forward.append(Op("gather", [x], variant=0, n=x.size))
        return x

    def dense(self, x: Tensor, kernel: Parameter, bias: Parameter | None) -> Tensor:
        """Z = X W + b over the last axis; backward: dW = Xᵀ dZ, db = Σ dZ, dX = dZ Wᵀ."""
        k, n = kernel.shape
        rows = x.size // k
        z = Tensor((*x.shape[:-1], n), x.differentiable or kernel.trainable)
        W, b = Whole("parameters", kernel), Whole("parameters", bias) if bias else None
        sizes: dict[str, Any] = {"factor": rows, "n": n, "k": k, "cost": 2 * rows * n * k}

        def backward(dz: Tensor) -> None:
            if kernel.trainable:
                db = Whole("gradients", bias) if bias else None
                self.backward.append(Op("dense_backward_weights", [x, dz, Whole("gradients", kernel), db], **sizes))
            self.send(x, lambda dx: Op("dense_backward_input", [dz, W, None, dx], **sizes))

        self.record(z, Op("dense_forward", [x, W, b, z, None], **sizes), backward)
        return z

    def activate(self, z: Tensor, activation: Activation) -> Tensor:
        """Y = f(Z); backward: dZ = dY ⊙ f′, from Y or Z as kernels.def says; softmax along the last axis."""
        if activation.kernel == "linear":
            return z
        y = Tensor(z.shape, z.differentiable)
        if activation.kernel == "softmax":
            sizes = rowwise(z, 20)
            self.record(
                y,
                Op("softmax", [z, y], **sizes),
                lambda dy: self.send(z, lambda dz: Op("softmax_backward", [y, dy, dz], **sizes)),
            )
            return y
        kept = y if ACTIVATION_KEPT[activation.kernel] == "Y" else z
        settings: dict[str, Any] = {
            "variant": ACTIVATIONS[activation.kernel],
            "param": (activation.alpha, 0.0),
            "n": z.size,
            "cost": 10 * z.size,
        }
        self.record(
            y,
            Op("activate", [z, y], **settings),
            lambda dy: self.send(z, lambda dz: Op("activate_backward", [kept, dy, dz], **settings)),
        )
        return y

    def dropout(self, x: Tensor, rate: float) -> Tensor:
        """Y = X ⊙ mask / (1 − rate) in training, X otherwise; backward: the same mask on dY."""
        layer = self.layer_ids
        self.layer_ids += 1
        if not self.training or rate == 0:
            return x
        y = Tensor(x.shape, x.differentiable)
        settings: dict[str, Any] = {"slot": layer, "param": (rate, 0.0), "n": x.size, "cost": 10 * x.size}
        self.record(
            y,
            Op("dropout", [x, y], **settings),
            lambda dy: self.send(x, lambda dx: Op("dropout", [dy, dx], **settings)),
        )
        return y

    def rescale(self, x: Tensor, scale: float, offset: float) -> Tensor:
        """Y = scale X + offset; backward: dX = scale dY."""
        y = Tensor(x.shape, x.differentiable)
        sizes: dict[str, Any] = {"n": x.size, "cost": 2 * x.size}
        self.record(
            y,
            Op("rescale", [x, y], param=(scale, offset), **sizes),
            lambda dy: self.send(x, lambda dx: Op("rescale", [dy, dx], param=(scale, 0.0), **sizes)),
        )
        return y

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """Y = A + B; backward: dA = dB = dY."""
        y = Tensor(a.shape, a.differentiable or b.differentiable)

        def backward(dy: Tensor) -> None:
            for x in (a, b):
                self.send(x, lambda dx: Op("rescale", [dy, dx], n=dy.size, param=(1.0, 0.0), cost=dy.size))

        self.record(y, Op("add", [a, b, y], n=y.size, cost=y.size), backward)
        return y

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """Y = A ⊙ B; backward: dA = dY ⊙ B, dB = dY ⊙ A."""
        y = Tensor(a.shape, a.differentiable or b.differentiable)

        def backward(dy: Tensor) -> None:
            self.send(a, lambda da: Op("multiply", [dy, b, da], n=dy.size, cost=dy.size))
            self.send(b, lambda db: Op("multiply", [dy, a, db], n=dy.size, cost=dy.size))

        self.record(y, Op("multiply", [a, b, y], n=y.size, cost=y.size), backward)
        return y

    def concatenate(self, parts: list[Tensor], axis: int, shape: Shape) -> Tensor:
        """Y = parts side by side along per-sample axis `axis`; backward: each part's columns of dY."""
        y = Tensor(shape, any(p.differentiable for p in parts))
        rows = math.prod(shape[:axis])
        width, first = y.size // rows, 0
        for part in parts:
            n = part.size // rows
            whole = Tensor((y.size - first,), alias_of=y, offset=first)  # y from its column `first` on
            sizes: dict[str, Any] = {"factor": rows, "n": n, "cost": part.size}

            def backward(dy: Tensor, part: Tensor = part, first: int = first, sizes: Any = sizes, n: int = n) -> None:
                columns = Tensor((y.size - first,), alias_of=dy, offset=first)
                self.send(part, lambda dx: Op("copy", [columns, dx], k=width, ld=n, **sizes))

            self.record(y, Op("copy", [part, whole], k=n, ld=width, **sizes), backward)
            first += n
        return y

    def reshape(self, x: Tensor, shape: Shape) -> Tensor:
        """The same elements in another shape: no operation."""
        y = Tensor(shape, x.differentiable, x.buffer, alias_of=x)

        def backward(dy: Tensor) -> None:
            dx = Tensor(x.shape, alias_of=dy)
            if id(x) not in self.gradients:
                self.gradients[id(x)] = dx
            else:
                self.send(x, lambda out: Op("rescale", [dx, out], n=x.size, param=(1.0, 0.0), cost=x.size))

        self.tape.append((y, None, backward))
        return y

    # -- the tape --------------------------------------------------------------------------------------------------

    def record(self, y: Tensor, op: Op, backward: Callable[[Tensor], None]) -> None:
        """Append a forward operation that makes `y`, and what its backward pass emits from dy."""
        self.forward.append(op)
        if y.differentiable:
            self.tape.append((y, op, backward))

    def send(self, x: Tensor, emit: Callable[[Tensor], Op]) -> None:
        """Emit one contribution to the gradient of `x`; contributions of a fan-out add up."""
        if not x.differentiable:
            return
        dx = Tensor(x.shape)
        self.backward.append(emit(dx))
        known = self.gradients.setdefault(id(x), dx)
        if known is not dx:
            self.backward.append(Op("add", [known, dx, known], n=x.size, cost=x.size))

    def play_backward(self) -> None:
        """Emit the backward pass, from the gradients known so far."""
        for y, _, backward in reversed(self.tape):
            if id(y) in self.gradients:
                backward(self.gradients[id(y)])

    # -- loss, metrics, update -------------------------------------------------------------------------------------

    def sum(self, name: str, kind: str) -> int:
        """A new slot of the pass's sums."""
        self.sums.append(Sum(name, kind))
        return len(self.sums) - 1

    def target(self, shape: Shape, labels: bool) -> Tensor:
        """The batch's y: `shape` reals, or int32 labels."""
        t = Tensor(shape, buffer="target", labels=labels)
        self.forward.append(Op("gather", [t], variant=1, n=t.size))
        return t

    def weight(self) -> Tensor:
        """The batch's sample weights."""
        w = Tensor((1,), buffer="weight")
        self.forward.append(Op("gather", [w], variant=2, n=1))
        return w

    def detach_last(self, y: Tensor) -> Tensor:
        """Take the softmax or sigmoid that makes `y` out, for a loss that fuses it; returns its input."""
        root = y.root
        op = next(op for op in reversed(self.forward) if any(w is root for w in op.writes()))
        self.forward.remove(op)
        self.tape = [entry for entry in self.tape if entry[1] is not op]
        z = op.operands[0]
        assert isinstance(z, Tensor)
        return z

    def loss(
        self, kernel: str, p: Tensor, target: Tensor, weight: Tensor | None, prob: Tensor | None, param: float
    ) -> None:
        """Σ weight loss(p, target); in training also dP, and with `prob` the probabilities of logits."""
        grad = Tensor(p.shape) if self.training and p.differentiable else None
        operands: list[Operand] = [p, target, weight, grad, prob]
        slot = self.sum("loss", "loss")
        self.forward.append(Op("loss", operands, LOSSES[kernel], slot, param=(param, 0.0), **rowwise(p, 30)))
        if grad is not None:
            self.gradients[id(p)] = grad

    def metric(self, name: str, kernel: str, p: Tensor, target: Tensor, weight: Tensor | None, param: float) -> None:
        """Σ weight metric(p, target)."""
        slot = self.sum(name, "metric")
        operands: list[Operand] = [p, target, weight]
        self.forward.append(Op("metric", operands, METRICS[kernel], slot, param=(param, 0.0), **rowwise(p, 4)))

    def penalty(self) -> None:
        """The regularizers' penalties, and in training their gradients."""
        gradient = Whole("gradients") if self.training else None
        self.penalties.append(Op("penalty", [Whole("parameters"), gradient], slot=self.sum("penalty", "penalty")))

    def optimize(self, kernel: str, clips_norm: bool) -> None:
        """The update of all trainable parameters."""
        if clips_norm:
            self.update.append(Op("norms", [Whole("gradients"), Whole("norms")]))
        slots = [Whole(f"slot_{i}") for i in range(3)]
        norms = Whole("norms") if clips_norm else None
        self.update.append(Op("update", [Whole("parameters"), Whole("gradients"), *slots, norms], OPTIMIZERS[kernel]))

    def identity(self, x: Tensor) -> Tensor:
        """A copy of `x`: for an output that is an input."""
        return self.rescale(x, 1.0, 0.0)

    # -- the program -----------------------------------------------------------------------------------------------

    def finish(self, output: Tensor, max_samples: int, layout_bytes: int) -> Program:
        """Fuse, plan and encode.

        Parameters
        ----------
        output : Tensor
            What a prediction returns.
        max_samples : int
            Largest batch.
        layout_bytes : int
            Size of the parameters' buffer.
        """
        self.play_backward()
        fuse(self.forward, self.backward, keep=output)
        ops = self.forward + self.backward + self.penalties + self.update
        update_at = len(ops) - len(self.update)
        workspace = plan(ops, max_samples, self.itemsize, output)
        place_barriers(ops, update_at, max_samples, self.itemsize, layout_bytes)
        return Program(
            encode(ops, self.itemsize), update_at, workspace, max_samples, self.sums, output, sum(op.cost for op in ops)
        )


def rowwise(x: Tensor, flops: int) -> dict[str, Any]:
    """Sizes of an operation on rows along the last axis of `x`, at so many FLOPs an element."""
    n = x.shape[-1]
    return {"factor": x.size // n, "n": n, "cost": flops * x.size}


def tensors_of(op: Op) -> Iterator[Tensor]:
    """Roots of an operation's tensors in the workspace."""
    return (o.root for o in op.operands if isinstance(o, Tensor) and o.root.buffer == "workspace")


def tensor_bytes(tensor: Tensor, max_samples: int, itemsize: int) -> int:
    """Bytes of a tensor's root for `max_samples` samples."""
    return tensor.root.size * (4 if tensor.root.labels else itemsize) * max_samples


def plan(ops: list[Op], max_samples: int, itemsize: int, output: Tensor) -> int:
    """Give each tensor of the workspace its first byte, sharing bytes among tensors that never live together.

    First fit over the tensors in order of first use; returns the bytes needed.
    """
    spans: dict[int, list[Any]] = {}  # id → [first op, last op, bytes, tensor]
    for i, op in enumerate(ops):
        for root in tensors_of(op):
            lines = -(-tensor_bytes(root, max_samples, itemsize) // CACHE_LINE)
            spans.setdefault(id(root), [i, i, lines * CACHE_LINE, root])[1] = i
    if id(output.root) in spans:
        spans[id(output.root)][1] = len(ops)
    placed: list[list[Any]] = []
    total = 0
    for span in spans.values():
        start = 0
        for other in sorted((p for p in placed if p[1] >= span[0]), key=lambda p: p[3].offset):
            if start + span[2] <= other[3].offset:
                break
            start = max(start, other[3].offset + other[2])
        span[3].offset = start
        total = max(total, start + span[2])
        placed.append(span)
    return total


def locate(operand: Operand, itemsize: int) -> tuple[str, int]:
    """Buffer and byte offset of an operand."""
    if operand is None:
        return "none", 0
    if isinstance(operand, Whole):
        return operand.buffer, operand.parameter.offset * itemsize if operand.parameter else 0
    return operand.root.buffer, operand.root.offset + (operand.offset * itemsize if operand.alias_of else 0)


def place_barriers(ops: list[Op], update_at: int, max_samples: int, itemsize: int, layout_bytes: int) -> None:
    """Put barriers where an operation depends on another since the last barrier.

    That is where it reads or writes what the other wrote, or writes what the other read; and before the update
    section, where the engine looks at the sums.
    """

    def extent(operand: Operand) -> tuple[str, int, int]:
        buffer, start = locate(operand, itemsize)
        if isinstance(operand, Whole):
            size = operand.parameter.size * itemsize if operand.parameter else layout_bytes
        else:
            assert operand is not None
            start, size = locate(operand.root, itemsize)[1], tensor_bytes(operand, max_samples, itemsize)
        return buffer, start, start + size

    def clash(some: list[tuple[str, int, int]], others: list[tuple[str, int, int]]) -> bool:
        return any(a[0] == b[0] and a[1] < b[2] and b[1] < a[2] for a in some for b in others)

    read: list[tuple[str, int, int]] = []
    written: list[tuple[str, int, int]] = []
    for i, op in enumerate(ops):
        reads = [extent(o) for o in op.reads() if o is not None]
        writes = [extent(o) for o in op.writes() if o is not None]
        op.barrier = i == 0 or i == update_at or clash(reads + writes, written) or clash(writes, read)
        if op.barrier:
            read, written = [], []
        read += reads
        written += writes


def encode(ops: list[Op], itemsize: int) -> np.ndarray[Any, Any]:
    """The operations as an array of nn_op."""
    rows = np.zeros(len(ops), dtype=OPERATION)
    for row, op in zip(rows, ops, strict=True):
        row["kind"] = OPERATIONS[op.kind]
        for name in ("variant", "barrier", "slot", "factor", "n", "k", "ld", "cost", "param"):
            row[name] = getattr(op, name)
        for i, operand in enumerate(op.operands):
            buffer, offset = locate(operand, itemsize)
            row["arg"][i] = (BUFFERS[buffer], offset)
    return rows
