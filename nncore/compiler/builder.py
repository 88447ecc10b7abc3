"""From layers to a program: operations over buffers, fused, placed in memory, and parted by barriers.

A layer calls functions of `nncore.operations`, which emit forward operations through a `Builder` and say, beside each,
what the backward pass emits; the builder plays these records backwards. Then `fuse` joins operations (fusion.py),
`without_copies` lets equal gradients be one (copies.py), `in_chains` finds what may go through a few samples at a time
(chains.py), `rematerialize` what these may compute once more; `place_locals` and `place_tensors` give each tensor its
bytes (memory.py), and `place_barriers` finds where the team must meet (barriers.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from nncore._kernels.table import BINDINGS, OWN_SCHEDULED
from nncore.compiler.barriers import place_barriers
from nncore.compiler.chains import in_chains
from nncore.compiler.copies import without_copies
from nncore.compiler.encoding import array_place, encode, encode_distant, encode_locals, encode_sections, encode_sums
from nncore.compiler.fusion import fuse
from nncore.compiler.memory import place_locals, place_tensors
from nncore.compiler.operation import Loop, Moving, Op, PythonCall, Tensor, Whole, roots
from nncore.compiler.program import Program, Section, Sum
from nncore.compiler.rematerialization import rematerialize
from nncore.schedules import LearningRateSchedule, Varying

if TYPE_CHECKING:
    from nncore.graph import Shape
    from nncore.packing import Packed
    from nncore.parameter import Parameter

Step = Op | Loop | PythonCall
Place = Tensor | Whole  # where a gradient goes

#: What emits the backward pass of an operation, from the gradient of what it makes, to the builder it is given: if it
#: held that itself, the two would keep one another, and a model's weights, until the garbage collector comes.
Backward = Callable[["Builder", "Tensor"], None]


class Watch(Protocol):
    """Looks at the tensors of symbols while a program is built; inputs of real numbers have gradients then, too."""

    def see(self, b: Builder, symbol: Any, x: Tensor) -> None:
        """Be told of the tensor of a symbol, right after it was made."""


@dataclass
class Builder:
    """Collects the operations of a program, the tape of their backward pass, and the sums; it knows none by name.

    Parameters
    ----------
    itemsize : int
        Bytes of a real.
    training : bool
        Whether dropout is on, and backward operations are wanted.
    packed : Packed, optional
        Copies of weights for products of a lower precision; None: products are exact to the dtype.
    trained : collection of Parameter
        Those that the model trains.
    by_rows : collection of Parameter
        Those of which the update changes only the rows whose gradient is not 0.
    """

    itemsize: int
    training: bool = False
    packed: Packed | None = None
    trained: Container[Parameter] = ()
    by_rows: Container[Parameter] = ()
    reduces: bool = False  # whether others are to see the gradients before the update
    watch: Watch | None = None  # what looks at tensors of the graph, and their gradients
    predicts: bool = False  # whether there are no sums
    warns: bool = False  # whether to tell the user of what is lost on the way
    forward: list[Step] = field(default_factory=list)
    backward: list[Step] = field(default_factory=list)
    penalties: list[Op] = field(default_factory=list)  # at the end of the backward section: they add to gradients
    statistics: list[Op] = field(default_factory=list)  # at the end of every step that is applied
    update: list[Op] = field(default_factory=list)
    steps: int = 1  # whose gradients make an update
    sums: list[Sum] = field(default_factory=list)
    tape: list[tuple[Tensor, Backward]] = field(default_factory=list)
    gradients: dict[int, Tensor] = field(default_factory=dict)  # by id of the tensor
    reads: Counter[Parameter] = field(default_factory=Counter)  # by how many forward operations
    row_gradients: dict[Parameter, tuple[Tensor, Tensor, Tensor]] = field(default_factory=dict)  # ids, count, rows
    learned: set[Parameter] = field(default_factory=set)  # those whose gradient something has written
    makers: dict[int, Op] = field(default_factory=dict)  # what writes a tensor, by the id of that
    deferred: dict[int, Op] = field(default_factory=dict)  # the same, of what nothing has read yet
    random_layers: int = 0
    bindings: int = 0  # arrays of the caller's
    varying: list[Varying] = field(default_factory=list)  # numbers of operations that change by step
    followed: dict[tuple[int, float], int] = field(default_factory=dict)  # their numbers, by what they follow
    constants: list[float] = field(default_factory=list)  # that operations read
    mixes: list[Callable[[Builder, Tensor], Tensor]] = field(default_factory=list)  # what targets go through, too

    def next_random_layer(self) -> int:
        """The number of a layer that draws random numbers, by which they differ from those of others."""
        self.random_layers += 1
        return self.random_layers - 1

    def follow(self, argument: str, schedule: LearningRateSchedule, below: float) -> int:
        """By which of run.scheduled an operation knows a number in [0, `below`) that follows a schedule."""
        key = id(schedule), below
        if key not in self.followed:
            self.followed[key] = OWN_SCHEDULED + len(self.varying)
            self.varying.append(Varying(argument, schedule, below))
        return self.followed[key]

    # -- the tape --------------------------------------------------------------------------------------------------

    def emit(self, op: Step) -> None:
        """Append a forward operation, and before it those that make what it reads, if they were deferred."""
        for operand in op.reads():
            if isinstance(operand, (Tensor, Moving)):
                self.make(operand.root)
            elif operand and operand.parameter is not None:
                self.reads[operand.parameter] += 1
        self.forward.append(op)
        if isinstance(op, Op):
            self.makers |= dict.fromkeys(roots(op.writes()), op)

    def record(self, y: Tensor, op: Step, backward: Backward, deferred: bool = False) -> None:
        """Emit a forward operation that makes `y`, and note what its backward pass emits from dy.

        A deferred operation comes when something reads `y`. A loss that takes y's inputs instead leaves it out: it was
        never emitted, and y gets no gradient.
        """
        if deferred:
            assert isinstance(op, Op)
            self.deferred[id(y)] = self.makers[id(y)] = op
        else:
            self.emit(op)
        if y.differentiable:
            self.tape.append((y, backward))

    def record_view(self, y: Tensor, x: Tensor, backward: Backward) -> None:
        """Note that `y` is `x` in another shape; `backward` is called where x has other gradients, too."""

        def play(to: Builder, dy: Tensor) -> None:
            dx = Tensor(x.shape, alias_of=dy)
            if id(x) in to.gradients:
                backward(to, dx)
            else:
                to.gradients[id(x)] = dx

        self.tape.append((y, play))

    def make(self, y: Tensor) -> Tensor:
        """`y`, after the operation that makes it."""
        op = self.deferred.pop(id(y.root), None)
        if op is not None:
            self.emit(op)
        return y

    def leave_out(self, y: Tensor) -> Op:
        """The operation that makes `y`, for who uses its inputs instead; deferred until now, it is never emitted."""
        return self.deferred.pop(id(y.root), None) or self.makers[id(y.root)]

    def send(self, x: Tensor, emit: Callable[[Tensor], Step]) -> None:
        """Emit one contribution to the gradient of `x`; contributions of a fan-out add up."""
        if not x.differentiable:
            return
        dx = Tensor(x.shape)
        self.send_made(x, dx, emit(dx))

    def send_made(self, x: Tensor, dx: Tensor | None, op: Step) -> None:
        """The same, by an operation that makes `dx`, or something else, or both."""
        self.backward.append(op)
        if dx is not None:
            self.add_gradient(x, dx)

    def add_gradient(self, x: Tensor, dx: Tensor) -> None:
        """Let `dx`, which something makes, be a contribution to the gradient of `x`."""
        known = self.gradients.setdefault(id(x), dx)
        if known is not dx:
            self.backward.append(Op("add", A=known, B=dx, Y=known))

    def send_to_parameter(self, p: Parameter, emit: Callable[[Place], Op]) -> None:
        """Emit one contribution to the gradient of a parameter, if it is trained.

        The first one, of the parameter's last use, is written; others add.
        """
        if p in self.trained:
            (place,), additions = self.gradient_places([p])
            self.backward += [emit(place), *additions]

    def gradient_places(
        self, parameters: Sequence[Parameter | None], shape: Shape = ()
    ) -> tuple[list[Place], list[Op]]:
        """Where contributions to the gradients of parameters go, and what adds them; None is room of `shape`."""
        places: list[Place] = []
        additions = []
        for p in parameters:
            more = Tensor(shape if p is None else p.shape, per_sample=False)
            if p is None or p not in self.trained:
                places.append(more)
            elif p in self.learned:
                places.append(more)
                additions.append(Op("add_gradient", dW=Whole("gradients", p), more=more))
            else:
                places.append(Whole("gradients", p))
                self.learned.add(p)
        return places, additions

    def play_backward(self) -> None:
        """Emit the backward pass, from the gradients known so far."""
        for y, backward in reversed(self.tape):
            if id(y) in self.gradients:
                backward(self, self.gradients[id(y)])

    def sum(self, name: str, kind: str, weight: Tensor | None = None, width: int = 1, **settings: Any) -> int:
        """The number of a new sum over the pass, of `width` values; see `Sum`."""
        self.sums.append(Sum(name, kind, weight, width, **settings))
        return len(self.sums) - 1

    def constant(self, numbers: Sequence[float]) -> Whole | None:
        """Numbers that operations read, as reals; None if there are none."""
        first = len(self.constants)
        self.constants += numbers
        return Whole("constants", offset=first * self.itemsize) if numbers else None

    def bind(self, x: Tensor, binding: int) -> Tensor:
        """`x`, whose memory is from now on the rows of a binding."""
        if binding >= BINDINGS:
            raise ValueError(f"expected a model of at most {BINDINGS} inputs, outputs and sample weights, got more")
        x.root.buffer, x.root.number = "binding", binding
        self.bindings = max(self.bindings, binding + 1)
        return x

    # -- the program -----------------------------------------------------------------------------------------------

    def finish(self, outputs: Sequence[Tensor], max_samples: int, layout_bytes: int) -> Program:
        """Fuse, place and encode what was emitted, the backward pass included.

        Parameters
        ----------
        outputs : sequence of Tensor
            What a prediction returns.
        max_samples : int
            Largest batch.
        layout_bytes : int
            Size of the parameters' buffer.
        """
        update = [*self.statistics, *self.update]
        forward, backward = fuse(self.forward, self.backward, update, keep=outputs)
        if self.training:
            needed = {id(y.root) for y in outputs}.union(*(step.roots() for step in (*self.penalties, *update)))
            backward = without_copies(backward, needed)
            forward, backward = in_chains(forward, self.itemsize), in_chains(backward, self.itemsize)
            backward = rematerialize(forward, backward, needed, max_samples)
        items, sections = flattened([*forward, *backward, *self.penalties])
        if update:
            if self.reduces:
                sections.append(Section("REDUCE", len(items), len(items)))
            each = len(self.statistics)
            sections.append(Section("UPDATE", len(items), len(items) + len(update), each=each, steps=self.steps))
            items += update
        lasting = [*outputs, *(entry.weight for entry in self.sums if entry.weight)]  # until the step's end
        local_bytes = place_locals(items, max_samples, self.itemsize, lasting)
        workspace = place_tensors(items, sections, max_samples, self.itemsize, lasting)
        for item in items:
            if isinstance(item, PythonCall):
                item.places = [array_place(operand, self.itemsize) for operand in (*item.given, *item.made)]
        ops = operations_of(items, sections)
        place_barriers(ops, {s.first for s in sections}, max_samples, self.itemsize, layout_bytes)
        parts, moving = encode_sections(sections, self.itemsize)
        local_operands = encode_locals(ops, self.itemsize)
        distant = encode_distant(ops, self.itemsize)
        return Program(
            ops=encode(ops, self.itemsize),
            sections=sections,
            parts=parts,
            moving=moving,
            accumulators=encode_sums(self.sums, self.itemsize),
            workspace=workspace,
            local_bytes=local_bytes,
            local_operands=local_operands,
            distant=distant,
            max_samples=max_samples,
            sums=self.sums,
            constants=np.array(self.constants, f"f{self.itemsize}"),
            varying=self.varying,
            bindings=self.bindings,
            by_rows=set(self.row_gradients),
            learned=set(self.learned),
            outputs=list(outputs),
            cost=sum(op.cost * s.turns for s in sections for op in ops[s.first : s.end]),
        )


def flattened(steps: list[Step]) -> tuple[list[Op | PythonCall], list[Section]]:
    """The operations and calls one after another, and the sections that they make, by their places among these."""
    items: list[Op | PythonCall] = []
    sections: list[Section] = []
    for step in steps:
        first = len(items)
        if isinstance(step, Loop):
            items += step.ops
            sections.append(Section("LOOP", first, len(items), step.turns, step.backwards, step.moving()))
        elif isinstance(step, PythonCall):
            items.append(step)
            sections.append(Section("PYTHON", first, len(items), call=step))
        else:
            items.append(step)
            if not sections or sections[-1].kind != "NATIVE":
                sections.append(Section("NATIVE", first, first))
            sections[-1].end = len(items)
    return items, sections


def operations_of(items: list[Op | PythonCall], sections: list[Section]) -> list[Op]:
    """The operations alone, and the sections by their places among them: that of a call is empty."""
    ops: list[Op] = []
    for section in sections:
        first = len(ops)
        ops += [item for item in items[section.first : section.end] if isinstance(item, Op)]
        section.first, section.end = first, len(ops)
    return ops
