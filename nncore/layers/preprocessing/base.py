"""What encoders are, and how whole numbers become columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import conversion
from nncore.arguments import an
from nncore.bindings import Binding, Integers
from nncore.graph import Shape, Symbol
from nncore.layers.arrays import label
from nncore.layers.base import Layer
from nncore.operations import reshape
from nncore.operations.preprocessing import count_numbers
from nncore.parameter import Parameter
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor

MODES = ("int", "one_hot", "multi_hot", "count")
ALIASES = {"binary": "multi_hot", "tf-idf": "tf_idf"}  # earlier names of Keras's
SLAB = 1 << 17  # elements that become objects of Python's at once


def check_mode(mode: Any, known: Sequence[str]) -> str:
    """`output_mode`, checked."""
    mode = ALIASES.get(mode, mode) if isinstance(mode, str) else mode
    if mode not in known:
        phrase = f"Unknown arg for output_mode: {mode}. Invalid value for argument `output_mode`. Expected one of them"
        raise ValueError(f"output_mode: expected one of {', '.join(map(repr, known))}, got {mode!r} ({phrase})")
    return str(mode)


class Numbering(Layer):
    """Base of the layers that make whole numbers, or columns of them, by `output_mode`.

    "int": the numbers, of the input's shape. "one_hot": of each number a row of `depth` columns, 1 in its own; (B, …,
    k) → (B, …, k, depth), and (B, …, 1) → (B, …, depth). "multi_hot": of each row of numbers one of `depth` columns, 1
    where its numbers stand, (B, …, k) → (B, …, depth); "count": how often they stand there; "tf_idf": that times a
    factor of each column.
    """

    output_mode: str

    @property
    def depth(self) -> int:
        """How many numbers there are: columns of the output."""
        raise NotImplementedError

    @property
    def makes_integers(self) -> tuple[int, int] | None:
        """The numbers of mode "int"."""
        return (0, self.depth) if self.output_mode == "int" else None

    @property
    def words_of_size(self) -> str:
        """How to say in code how many numbers there are."""
        return "its depth"

    def output_shape(self, *shapes: Shape) -> Shape:
        """See the class."""
        shape = shapes[0]
        if self.output_mode == "int":
            return shape
        if self.output_mode == "one_hot" and shape[-1:] != (1,):
            return (*shape, self.depth)
        return (*shape[:-1], self.depth)

    def emit_numbers(self, b: Builder, x: Tensor, scale: Parameter | None = None) -> Tensor:
        """The output for the numbers `x`."""
        if self.output_mode == "int":
            return x
        k = 1 if self.output_mode == "one_hot" else (x.shape or (1,))[-1]
        once = self.output_mode in ("one_hot", "multi_hot")
        made = count_numbers(b, x, k, self.depth, once=once, scale=scale)
        return reshape(b, made, self.output_shape(x.shape))

    def on_arrays(self, inputs: Any, training: Any) -> Array:
        """Called on arrays: as any layer; a single number is a sample, and so is a vector of which columns are made.

        Keras has it so: `multi_hot` of shape (n,) are n numbers of one sample.
        """
        many = isinstance(inputs, (list, tuple)) and self.takes_many
        arrays = [self.read(x, f"{label(self)}: inputs") for x in (inputs if many else [inputs])]
        sample = arrays[0].ndim == 0 or (arrays[0].ndim == 1 and self.output_mode not in ("int", "one_hot"))
        arrays = [array[None] for array in arrays] if sample else arrays
        made = self.alone.call(self, arrays if self.takes_many else arrays[0], training)
        return made[0] if sample else made

    def __call__(self, inputs: Any, training: Any = False, *, mask: Any = None) -> Any:
        """Connect the layer to the symbols it reads, or compute it on arrays: see `on_arrays`; `mask` is None."""
        self._refuse_mask(training, mask)
        given = tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)
        if any(isinstance(s, Symbol) for s in given):
            return self.connect(inputs)
        if self.takes_many and not isinstance(inputs, (list, tuple)):
            phrase = f"{type(self).__name__} should be called on a list or tuple of inputs."
            raise ValueError(f"{label(self)}: expected a list of arrays, got {an(type(inputs).__name__)} ({phrase})")
        return self.on_arrays(inputs, training)

    def read(self, data: Any, argument: str) -> Array:
        """What is given, as an array that the layer takes."""
        return conversion.as_array(data, argument)


class Encoder(Numbering):
    """Base of the layers that make whole numbers of texts and categories, in Python, once, where data are bound.

    They read an `Input`, or what other encoders make; the program reads int32.
    """

    encodes = True

    def encode(self, arrays: Sequence[Array], arguments: Sequence[str]) -> Array:
        """The numbers of arrays that `read` gave, of one shape; errors call them by `arguments`."""
        raise NotImplementedError

    def bound(self, arrays: Sequence[Array], arguments: Sequence[str], dtype: Any) -> Binding:
        """The numbers as a program reads them; `dtype` is the model's."""
        numbers = np.ascontiguousarray(self.encode(arrays, arguments), np.int32)
        low, high = self.codes
        held = Integers(low, high, f"whole numbers from {low} to {high - 1}, which {self.name} makes", "")
        return Binding(numbers, arguments[0], dtype, held)

    @property
    def codes(self) -> tuple[int, int]:
        """(low, high): what `encode` makes."""
        return 0, self.depth

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The numbers, or columns of them."""
        return self.emit_numbers(b, inputs[0])


def values_of(data: Any, argument: str) -> Array:
    """Texts, whole numbers or objects as an array, without a copy of one."""
    if type(data) is not np.ndarray:
        if isinstance(data, (str, bytes)):
            return np.array(data, dtype=object)
        conversion.refuse(data, argument)
        try:
            lists = isinstance(data, (list, tuple))
            array = np.asarray(data, dtype=object) if lists and contains_text(data) else np.asarray(data)
        except Exception as error:
            raise conversion.unreadable(data, argument, error) from None
        data = array
    return data.astype(object) if data.dtype.kind == "T" else data


def contains_text(data: Any) -> bool:
    """Whether the first element of lists in lists is none of a number."""
    while isinstance(data, (list, tuple)) and data:
        data = data[0]
    return not isinstance(data, (bool, int, float, np.number, np.ndarray))


def pieces(array: Array) -> Iterator[tuple[int, list[Any]]]:
    """The elements as objects of Python's, in pieces, each with the number of its first."""
    flat = array.reshape(-1)
    for start in range(0, len(flat), SLAB):
        yield start, flat[start : start + SLAB].tolist()


def place(array: Array, index: int) -> str:
    """Where element `index` stands, in words."""
    per_row = int(np.prod(array.shape[1:])) or 1
    row = f"row {index // per_row}"
    return row if per_row == 1 else f"{row}, element {index % per_row}"


def missing(value: Any) -> bool:
    """Whether it stands for a value that is not there."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def strange(value: Any, argument: str, where: str, wanted: str, remedy: str) -> Exception:
    """The error for an element that is none of what a layer takes."""
    if missing(value):
        return ValueError(
            f"{argument}: expected {wanted}, got a missing value ({value!r}) in {where}. Fill the gaps, for example by "
            f"{conversion.called(argument)}.fillna(…), or leave these rows out"
        )
    return TypeError(f"{argument}: expected {wanted}, got {value!r} in {where}. {remedy}")
