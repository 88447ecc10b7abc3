"""From layers to a program: operations over buffers, fused, planned and cut into stages.

A layer emits its forward operations through a `Builder` and says, beside each, what its backward pass emits; the
builder plays these records backwards. Then three passes make the program: `fuse` joins operations (fusion.py),
`plan` gives every tensor its bytes in the workspace, and `place_barriers` finds where the team must meet (planning.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nncore._kernels.table import ACTIVATION_KEPT, ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS, PRECISIONS
from nncore.compiler.barriers import place_barriers
from nncore.compiler.encoding import encode
from nncore.compiler.fusion import fuse
from nncore.compiler.memory import plan
from nncore.compiler.operation import Op, Operand, Tensor, Whole
from nncore.compiler.program import Program, Sum

if TYPE_CHECKING:
    from nncore.activations import Activation
    from nncore.graph import Shape
    from nncore.packing import Packed
    from nncore.state import Parameter


#: What emits the backward pass of an operation, from the gradient of what it makes, to the builder it is given: if it
#: held that itself, the two would keep one another, and a model's weights, until the garbage collector comes.
Backward = Callable[["Builder", "Tensor"], None]


@dataclass
class Builder:
    """Collects the operations of a program.

    Parameters
    ----------
    itemsize : int
        Bytes of a real.
    training : bool
        Whether dropout is on, and backward operations are wanted.
    packed : Packed, optional
        Copies of weights for products of a lower precision; None: products are exact to the dtype.
    """

    itemsize: int
    training: bool = False
    packed: Packed | None = None
    forward: list[Op] = field(default_factory=list)
    backward: list[Op] = field(default_factory=list)
    penalties: list[Op] = field(default_factory=list)  # at the end of the backward section: they add to gradients
    update: list[Op] = field(default_factory=list)
    sums: list[Sum] = field(default_factory=list)
    tape: list[tuple[Tensor, Op | None, Backward]] = field(default_factory=list)
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
        if self.packed:
            sizes["precision"] = PRECISIONS[self.packed.precision]

        def backward(to: Builder, dz: Tensor) -> None:
            if kernel.trainable:
                db = Whole("gradients", bias) if bias else None
                to.backward.append(Op("dense_backward_weights", [x, dz, Whole("gradients", kernel), db], **sizes))
            to.send(
                x, lambda dx: Op("dense_backward_input", [dz, W, None, dx, None, to.copy_of(kernel, True)], **sizes)
            )

        operands: list[Operand] = [x, W, b, z, None, self.copy_of(kernel, False)]
        self.record(z, Op("dense_forward", operands, **sizes), backward)
        return z

    def copy_of(self, kernel: Parameter, transposed: bool) -> Operand:
        """The packed copy that a product reads, if there is one."""
        place = self.packed.place(kernel, transposed) if self.packed else None
        return None if place is None else Whole("packed", kernel, place)

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
                lambda to, dy: to.send(z, lambda dz: Op("softmax_backward", [y, dy, dz], **sizes)),
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
            lambda to, dy: to.send(z, lambda dz: Op("activate_backward", [kept, dy, dz], **settings)),
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
            lambda to, dy: to.send(x, lambda dx: Op("dropout", [dy, dx], **settings)),
        )
        return y

    def rescale(self, x: Tensor, scale: float, offset: float) -> Tensor:
        """Y = scale X + offset; backward: dX = scale dY."""
        y = Tensor(x.shape, x.differentiable)
        sizes: dict[str, Any] = {"n": x.size, "cost": 2 * x.size}
        self.record(
            y,
            Op("rescale", [x, y], param=(scale, offset), **sizes),
            lambda to, dy: to.send(x, lambda dx: Op("rescale", [dy, dx], param=(scale, 0.0), **sizes)),
        )
        return y

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        """Y = A + B; backward: dA = dB = dY."""
        y = Tensor(a.shape, a.differentiable or b.differentiable)

        def backward(to: Builder, dy: Tensor) -> None:
            for x in (a, b):
                to.send(x, lambda dx: Op("rescale", [dy, dx], n=dy.size, param=(1.0, 0.0), cost=dy.size))

        self.record(y, Op("add", [a, b, y], n=y.size, cost=y.size), backward)
        return y

    def multiply(self, a: Tensor, b: Tensor) -> Tensor:
        """Y = A ⊙ B; backward: dA = dY ⊙ B, dB = dY ⊙ A."""
        y = Tensor(a.shape, a.differentiable or b.differentiable)

        def backward(to: Builder, dy: Tensor) -> None:
            to.send(a, lambda da: Op("multiply", [dy, b, da], n=dy.size, cost=dy.size))
            to.send(b, lambda db: Op("multiply", [dy, a, db], n=dy.size, cost=dy.size))

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

            def backward(
                to: Builder, dy: Tensor, part: Tensor = part, first: int = first, sizes: Any = sizes, n: int = n
            ) -> None:
                columns = Tensor((y.size - first,), alias_of=dy, offset=first)
                to.send(part, lambda dx: Op("copy", [columns, dx], k=width, ld=n, **sizes))

            self.record(y, Op("copy", [part, whole], k=n, ld=width, **sizes), backward)
            first += n
        return y

    def reshape(self, x: Tensor, shape: Shape) -> Tensor:
        """The same elements in another shape: no operation."""
        y = Tensor(shape, x.differentiable, x.buffer, alias_of=x)

        def backward(to: Builder, dy: Tensor) -> None:
            dx = Tensor(x.shape, alias_of=dy)
            if id(x) not in to.gradients:
                to.gradients[id(x)] = dx
            else:
                to.send(x, lambda out: Op("rescale", [dx, out], n=x.size, param=(1.0, 0.0), cost=x.size))

        self.tape.append((y, None, backward))
        return y

    # -- the tape --------------------------------------------------------------------------------------------------

    def record(self, y: Tensor, op: Op, backward: Backward) -> None:
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
                backward(self, self.gradients[id(y)])

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
        """Take out the softmax or sigmoid that makes `y`, for a loss that fuses it; its input, in the shape of `y`."""
        root = y.root
        op = next(op for op in reversed(self.forward) if any(w is root for w in op.writes()))
        self.forward.remove(op)
        self.tape = [entry for entry in self.tape if entry[1] is not op]
        z = op.operands[0]
        assert isinstance(z, Tensor)
        return z if z.shape == y.shape else self.reshape(z, y.shape)

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
        operands: list[Operand] = [Whole("parameters"), Whole("gradients"), *slots, norms]
        precision = PRECISIONS[self.packed.precision] if self.packed else 0
        self.update.append(Op("update", operands, OPTIMIZERS[kernel], precision=precision))

    def identity(self, x: Tensor) -> Tensor:
        """A copy of `x`: for an output that is an input."""
        return self.rescale(x, 1.0, 0.0)

    # -- the program -----------------------------------------------------------------------------------------------

    def finish(self, output: Tensor, max_samples: int, layout_bytes: int) -> Program:
        """Fuse, plan and encode what was emitted, the backward pass included.

        Parameters
        ----------
        output : Tensor
            What a prediction returns.
        max_samples : int
            Largest batch.
        layout_bytes : int
            Size of the parameters' buffer.
        """
        forward, backward = fuse(self.forward, self.backward, keep=output)
        ops = forward + backward + self.penalties + self.update
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
