"""Operations and the tensors between them, while a program is built: what `Builder` collects and the passes rewrite."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from nncore._kernels import table
from nncore._kernels.table import MOVING, SUM_ROWS

if TYPE_CHECKING:
    from nncore.graph import Shape
    from nncore.parameter import Parameter

SPAN_ELEMENTS = 8192  # of ELEMENTS and ROWS: a few µs; a multiple of the 64 that dropout's random numbers come in
GATHER_BYTES = 32768  # of rows that are gathered in one span

READS = {"READ", "READ_OPTIONAL", "CHANGE", "CHANGE_OPTIONAL"}
ATTRIBUTES = {"INTEGER", "NUMBER", "PARAMETERS"}
WRITES = {"WRITE", "WRITE_OPTIONAL", "CHANGE", "CHANGE_OPTIONAL"}


@dataclass(frozen=True)
class Declaration:
    """What ``src_c/operations.def`` says of an operation.

    Attributes
    ----------
    operands, attributes : dict of str to str
        Their roles, such as "READ_OPTIONAL" or "INTEGER", in order.
    offsets : dict of str to int
        Of all fields, in nn_op.
    reads, writes : tuple of str
        The operands that it reads, and those that it writes.
    required : frozenset of str
        The fields that must be given.
    defaults : dict of str to object
        What all fields are where they are not given.
    """

    name: str
    number: int
    pattern: str
    fusion: str
    flops: int
    operands: dict[str, str]
    attributes: dict[str, str]
    offsets: dict[str, int]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    required: frozenset[str]
    defaults: dict[str, Any]


def declaration(number: int) -> Declaration:
    """The operation of this id."""
    name, pattern, fusion, flops, fields = table.OPERATIONS[number]
    roles = {field: role for field, role, _ in fields}
    attributes = {field: role for field, role in roles.items() if role in ATTRIBUTES}
    operands = {field: role for field, role in roles.items() if field not in attributes}
    offsets = {field: offset for field, _, offset in fields}
    reads, writes = (tuple(field for field, role in operands.items() if role in roles) for roles in (READS, WRITES))
    required = frozenset(field for field, role in operands.items() if "OPTIONAL" not in role)
    defaults: dict[str, Any] = dict.fromkeys(operands)
    defaults |= {field: () if role == "PARAMETERS" else 0 for field, role in attributes.items()}
    return Declaration(
        name, number, pattern, fusion, flops, operands, attributes, offsets, reads, writes, required, defaults
    )


OPERATIONS = {d.name: d for d in map(declaration, range(len(table.OPERATIONS)))}


@dataclass(eq=False)
class Tensor:
    """A batch of arrays while a program is built: `shape` per sample, in some buffer.

    Attributes
    ----------
    differentiable : bool
        Whether anything that learns comes before it.
    buffer : str
        Where it lives: "workspace", "binding", or "local".
    alias_of : Tensor, optional
        What it is a part of; given an alias, this becomes the tensor that owns the memory.
    number : int
        Which binding, if it lives in one.
    integer : bool
        Its elements are int32.
    per_sample : bool
        False: there is one array of `shape`, whatever the size of the batch.
    sum_rows : int
        Not 0: there is an array for every SUM_ROWS rows of the batch, of which a sample has so many: parts of a sum.
    mask : Tensor, optional
        (B, …) of its first axes: what counts of it, 1 or 0, for whoever heeds that; None: all.
    offset : int
        Of an alias: its first element in what it is a part of. Otherwise its first byte, once it is placed.
    """

    shape: Shape
    differentiable: bool = False
    buffer: str = "workspace"
    alias_of: Tensor | None = None
    number: int = 0
    integer: bool = False
    per_sample: bool = True
    sum_rows: int = 0
    offset: int = 0
    mask: Tensor | None = None

    def __post_init__(self) -> None:
        if self.alias_of is not None and self.alias_of.alias_of is not None:
            self.offset += self.alias_of.offset
            self.alias_of = self.alias_of.alias_of

    @property
    def root(self) -> Tensor:
        """Whose memory this is: its own, or that of the tensor it is a reshape of."""
        return self if self.alias_of is None else self.alias_of

    @property
    def size(self) -> int:
        """Elements per sample."""
        return math.prod(self.shape)

    def arrays(self, samples: int) -> int:
        """How many of `shape` there are for so many samples."""
        if self.sum_rows:
            return -(-samples * self.sum_rows // SUM_ROWS)
        return samples if self.per_sample else 1


@dataclass(frozen=True)
class Whole:
    """The whole of a buffer that is laid out as the parameters, or one parameter's part of a buffer."""

    buffer: str
    parameter: Parameter | None = None
    offset: int | None = None  # bytes, where the buffer is not laid out as the parameters
    part: int = 0  # of a parameter: where in it the operand begins, in elements


def part_of(operand: Tensor | Whole, first: int) -> Tensor | Whole:
    """The operand from its element `first` on."""
    if isinstance(operand, Whole):
        return replace(operand, part=operand.part + first)
    return Tensor((operand.size - first,), alias_of=operand, offset=first, per_sample=operand.per_sample)


@dataclass(eq=False)
class Moving:
    """In a loop: a part of a tensor, from element `offset` on, that lies `stride` elements further on at every turn."""

    tensor: Tensor
    stride: int
    offset: int = 0
    slot: int = -1  # its number among those that move in the loop

    @property
    def root(self) -> Tensor:
        """Whose memory it is a part of."""
        return self.tensor.root


Operand = Tensor | Whole | Moving | None


class Op:
    """One operation, as ``operations.def`` declares it: its operands and attributes are attributes of this object.

    Parameters
    ----------
    kind : str
        Its name.
    fixed, per_sample, block : int, optional
        What its pattern counts, and how many of these a span has (see nn_op); by default as `counted` says. Where one
        of the first two is given, the other one is 0.
    cost : int, optional
        FLOPs per sample; by default from the declaration.
    **fields
        Operands, of which optional ones may be absent, and attributes, by default 0; parameters are a tuple.
    """

    def __init__(
        self,
        kind: str,
        *,
        fixed: int | None = None,
        per_sample: int | None = None,
        block: int | None = None,
        cost: int | None = None,
        **fields: Any,
    ) -> None:
        self.declaration = d = OPERATIONS[kind]
        if not d.required <= fields.keys() <= d.defaults.keys():
            strange, lacking = fields.keys() - d.defaults.keys(), d.required - fields.keys()
            raise TypeError(f"{kind}: has no {sorted(strange)}, lacks {sorted(lacking)}")
        vars(self).update(d.defaults)
        vars(self).update(fields)
        self.kind, self.barrier = kind, False
        self.chain, self.chain_step, self.chain_most = 1, 1, 0  # see nn_op
        self.first_local, self.n_locals, self.first_distant, self.n_distant = 0, 0, 0, 0  # likewise
        counted = self.counted()
        once, each = counted[:2] if fixed is per_sample is None else (0, 0)
        self.fixed = once if fixed is None else fixed
        self.per_sample = each if per_sample is None else per_sample
        self.block = counted[2] if block is None else block
        self.cost = self.flops() if cost is None else cost

    if TYPE_CHECKING:  # the fields, whose names operations.def gives

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...

    @property
    def fusion(self) -> str:
        """How it may join others: see ``operations.def``."""
        return self.declaration.fusion

    def counted(self) -> tuple[int, int, int]:
        """What the pattern counts: once, for each sample, and in one span."""
        pattern = self.declaration.pattern
        if pattern == "ELEMENTS":
            written: Any = next(o for o in self.writes() if o is not None)
            if isinstance(written, Tensor) and written.per_sample:
                return 0, written.size, SPAN_ELEMENTS
            return getattr(written, "parameter", written).size, 0, SPAN_ELEMENTS  # a Tensor of no batch, or a parameter
        if pattern == "ROWS":
            return 0, 0, max(1, SPAN_ELEMENTS // max(1, self.n))
        return 0, int(pattern == "SAMPLES"), 1

    def flops(self) -> int:
        """FLOPs per sample, as far as the declaration tells."""
        pattern, flops = self.declaration.pattern, self.declaration.flops
        if pattern == "PRODUCT":
            return int(flops * self.rows * self.n * self.k)
        if pattern == "SAMPLES":
            return int(flops and flops * self.rows * self.n)
        if pattern == "COLUMNS":
            return int(flops * self.rows * self.n)
        return int(flops * self.per_sample * (self.n if pattern == "ROWS" else 1))

    def operand_values(self, names: Iterable[str]) -> list[Operand]:
        """The operands of these names."""
        fields = vars(self)
        return [fields[name] for name in names]

    def writes(self) -> list[Operand]:
        """Operands it writes."""
        return self.operand_values(self.declaration.writes)

    def reads(self) -> list[Operand]:
        """Operands it reads."""
        return self.operand_values(self.declaration.reads)

    def roots(self) -> dict[int, Tensor]:
        """The tensors whose memory it reads or writes, by id."""
        return roots(self.operand_values(self.declaration.operands))

    def touches_view_of(self, y: Tensor) -> bool:
        """Whether one of its operands is a part of y, or y in another shape."""
        operands = self.operand_values(self.declaration.operands)
        return any(isinstance(o, Tensor) and o.root is y and o is not y for o in operands)

    def put(self, x: Tensor, y: Tensor) -> None:
        """Let x stand where y stood."""
        for name in self.declaration.operands:
            if getattr(self, name) is y:
                setattr(self, name, x)

    def __repr__(self) -> str:
        return f"<Op {self.kind}>"


class Group(ABC):
    """What stands among the operations of a program and is a section of its own."""

    fusion: ClassVar[str] = "NOTHING"
    cost = 0

    @abstractmethod
    def reads(self) -> list[Operand]:
        """Operands it reads."""

    @abstractmethod
    def writes(self) -> list[Operand]:
        """Operands it writes."""

    def roots(self) -> dict[int, Tensor]:
        """The tensors whose memory it reads or writes, by id."""
        return roots((*self.reads(), *self.writes()))


@dataclass(eq=False)
class Loop(Group):
    """Operations that are done `turns` times, some with operands that are `Moving`.

    Attributes
    ----------
    backwards : bool
        The last turn comes first: the backward pass of a loop over time.
    """

    turns: int
    ops: list[Op]
    backwards: bool = False

    def __post_init__(self) -> None:
        if self.turns < 1:
            raise ValueError(f"loop: expected at least one turn, got {self.turns}")

    def reads(self) -> list[Operand]:
        """See `Group`."""
        return [operand for op in self.ops for operand in op.reads()]

    def writes(self) -> list[Operand]:
        """See `Group`."""
        return [operand for op in self.ops for operand in op.writes()]

    def moving(self) -> list[Moving]:
        """What moves, each numbered by its slot."""
        found = {id(o): o for o in (*self.reads(), *self.writes()) if isinstance(o, Moving)}
        if len(found) > MOVING:
            raise ValueError(f"loop: expected at most {MOVING} operands that move, got {len(found)}")
        for slot, operand in enumerate(found.values()):
            operand.slot = slot
        return list(found.values())


class ArrayPlace(NamedTuple):
    """Where an array lies that Python is given: of each sample, if `per_sample`, its part has this shape and size."""

    buffer: int
    offset: int
    shape: Shape
    per_sample: bool
    nbytes: int
    dtype: np.dtype[Any]


@dataclass(eq=False)
class PythonCall(Group):
    """What Python computes: `function` is given the batch's arrays of `given` and fills those of `made`.

    `places` is where these lie, from the end of the program's making on.
    """

    function: Callable[..., None]
    given: Sequence[Tensor]
    made: Sequence[Tensor | Whole]
    places: Sequence[ArrayPlace] = ()

    def reads(self) -> list[Operand]:
        """See `Group`."""
        return list(self.given)

    def writes(self) -> list[Operand]:
        """See `Group`."""
        return list(self.made)


def roots(operands: Iterable[Operand]) -> dict[int, Tensor]:
    """The tensors whose memory these are, by id."""
    owners = [o.root for o in operands if isinstance(o, (Tensor, Moving))]
    return {id(root): root for root in owners}
