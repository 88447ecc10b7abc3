"""Numbers of texts and categories without a list of them: by their fingerprints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nncore._kernels.hashing import fingerprints, joined
from nncore.arguments import check_count, is_whole
from nncore.graph import Shape
from nncore.layers.base import LAYERS
from nncore.layers.preprocessing.base import MODES, Encoder, check_mode, pieces, place, strange, values_of
from nncore.state import Array

CROSSING = 0xDECAFCAFFE  # what fingerprints of several columns are joined to, first of all: TensorFlow's


def check_salt(salt: Any) -> list[int] | None:
    """`salt` as two whole numbers."""
    if salt is None:
        return None
    parts = list(salt) if isinstance(salt, (tuple, list)) else [salt, salt]
    if len(parts) != 2 or not all(map(is_whole, parts)):
        raise ValueError(f"salt: expected a whole number, or two of them, got {salt!r}")
    return [int(part) for part in parts]


def texts_of(values: list[Any], array: Array, start: int, argument: str) -> list[str]:
    """Texts as they are, whole numbers in decimal."""
    texts = []
    for i, value in enumerate(values):
        if isinstance(value, bytes):
            value = value.decode()
        elif isinstance(value, (bool, int, np.integer)):
            value = str(int(value))
        elif not isinstance(value, str):
            remedy = "Convert them, or cut reals into intervals by Discretization"
            raise strange(value, argument, place(array, start + i), "texts or whole numbers", remedy)
        texts.append(value)
    return texts


def hashed(array: Array, argument: str, key: Sequence[int] | None = None) -> Array:
    """The fingerprint of each element, in one axis."""
    found = np.empty(array.size, np.uint64)
    for start, values in pieces(array):
        if array.dtype.kind != "U":
            values = texts_of(values, array, start, argument)
        found[start : start + len(values)] = fingerprints(values, key)
    return found


def buckets(found: Array, count: int) -> Array:
    """Each fingerprint modulo `count`."""
    return (found % np.uint64(count)).astype(np.int32)


@LAYERS.register()
class Hashing(Encoder):
    """The number of a text or whole number is its fingerprint modulo `num_bins`; whole numbers in decimal.

    Fingerprints are those of Keras with TensorFlow, of the UTF-8 bytes: FarmHash's Fingerprint64, or with a salt
    SipHash-2-4. They are the same on every machine. Different values may have one number.

    Shapes: X (B, …) of an `Input`, of texts or whole numbers; Y by `output_mode`, as for `StringLookup`. Reals are cut
    to whole numbers.

    Parameters
    ----------
    num_bins : int
        How many numbers there are.
    mask_value : str or int, optional
        What gets the number 0, which nothing else has then.
    salt : int or pair of int, optional
        Another function for each.
    output_mode : {"int", "one_hot", "multi_hot", "count"}
    name : str, optional

    Raises
    ------
    ValueError, TypeError
        An argument is wrong; where data are bound: there are missing values, or others than texts and numbers.

    References
    ----------
    K. Weinberger et al.: Feature hashing for large scale multitask learning, ICML 2009.
    """

    def __init__(
        self,
        num_bins: int,
        mask_value: Any = None,
        salt: Any = None,
        output_mode: str = "int",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        phrase = f"The `num_bins` for `{type(self).__name__}` cannot be `None` or non-positive"
        self.num_bins = check_count(num_bins, "num_bins", phrase=phrase)
        self.output_mode = check_mode(output_mode, MODES)
        self.salt = check_salt(salt)
        self.mask_value = mask_value

    @property
    def depth(self) -> int:
        """`num_bins`."""
        return self.num_bins

    @property
    def words_of_size(self) -> str:
        """How to say how many there are."""
        return "num_bins"

    def read(self, data: Any, argument: str) -> Array:
        """Texts, whole numbers, or objects that are these."""
        array = values_of(data, argument)
        if array.dtype.kind == "f":
            if not np.isfinite(array).all():
                bad = int(np.argmin(np.isfinite(array).reshape(-1)))
                value = array.reshape(-1)[bad].item()
                raise strange(value, argument, place(array, bad), "texts or whole numbers", "Give these rows a number")
            array = array.astype(np.int64)
        return array

    def encode(self, arrays: Sequence[Array], arguments: Sequence[str]) -> Array:
        """Fingerprints modulo the number of bins."""
        [array] = arrays
        masked = self.mask_value is not None and self.num_bins > 1
        numbers = buckets(hashed(array, arguments[0], self.salt), self.num_bins - masked).reshape(array.shape)
        if not masked:
            return numbers
        return np.where(np.asarray(array == self.mask_value), 0, numbers + 1)


@LAYERS.register()
class HashedCrossing(Encoder):
    """The number of a combination of values is their joined fingerprint modulo `num_bins`; called on a list.

    Texts are taken by their fingerprints (see `Hashing`), whole numbers as they are; they are joined one after another,
    as Keras does with TensorFlow.

    Shapes: each X (B,) or (B, 1) of an `Input`, of texts or whole numbers; Y the same, or (B, num_bins).

    Parameters
    ----------
    num_bins : int
        How many numbers there are.
    output_mode : {"int", "one_hot"}
    name : str, optional

    Raises
    ------
    ValueError, TypeError
        An argument is wrong, or inputs differ in shape; where data are bound: reals, or missing values.
    """

    takes_many = True

    def __init__(self, num_bins: int, output_mode: str = "int", name: str | None = None) -> None:
        super().__init__(name)
        phrase = f"The `num_bins` for `{type(self).__name__}` cannot be `None` or non-positive"
        self.num_bins = check_count(num_bins, "num_bins", phrase=phrase)
        self.output_mode = check_mode(output_mode, MODES[:2])

    @property
    def depth(self) -> int:
        """`num_bins`."""
        return self.num_bins

    @property
    def words_of_size(self) -> str:
        """How to say how many there are."""
        return "num_bins"

    def output_shape(self, *shapes: Shape) -> Shape:
        """The inputs' shape, or a row of columns."""
        if len(set(shapes)) != 1 or shapes[0] not in ((), (1,)):
            given = ", ".join(map(str, shapes))
            raise ValueError(f"HashedCrossing: expected two or more inputs of shape (), or all of (1,), got {given}")
        return super().output_shape(*shapes)

    def read(self, data: Any, argument: str) -> Array:
        """Texts, whole numbers, or objects that are these."""
        array = values_of(data, argument)
        if array.dtype.kind not in "USOiub":
            raise TypeError(
                f"{argument}: expected texts or whole numbers, got dtype {array.dtype}. Cut reals into intervals by "
                "Discretization, or convert them"
            )
        return array

    def encode(self, arrays: Sequence[Array], arguments: Sequence[str]) -> Array:
        """Joined fingerprints modulo the number of bins."""
        columns = [crossed(array, argument) for array, argument in zip(arrays, arguments, strict=True)]
        return buckets(joined(CROSSING, columns), self.num_bins).reshape(arrays[0].shape)


def crossed(array: Array, argument: str) -> Array:
    """Of each element what joins those of other columns: of whole numbers themselves."""
    if array.dtype.kind in "iub":
        return array.reshape(-1).astype(np.int64).view(np.uint64)
    found = hashed(array, argument)
    if array.dtype.kind == "O":
        for i, value in enumerate(array.flat):
            if isinstance(value, (bool, int, np.integer)):
                found[i] = int(value) % 2**64
    return found
