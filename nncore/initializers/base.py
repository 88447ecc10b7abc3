"""What every initializer is: a function of a shape, a dtype and a source of random numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from nncore import runtime
from nncore.arguments import check_number, is_whole
from nncore.registry import Configurable, Registry

Array = npt.NDArray[np.float64]


class Initializer(Configurable):
    """Base of the initializers; objects are immutable and equal where class and arguments are.

    Attributes
    ----------
    seed : int or None
        None: the values come from the generator of the call. An int in [0, 2¹²⁸): from a Philox generator with
        this key, so that every call gives the same values whatever the model's seed, as in Keras.
    """

    @property
    def seed(self) -> int | None:
        """Key of a generator of its own, or None."""
        return None

    #: Arguments that are no finite numbers, and are checked by their class.
    others: ClassVar[tuple[str, ...]] = ("seed",)

    def __post_init__(self) -> None:
        for argument in self.config_names():
            if argument not in self.others:
                check_number(getattr(self, argument), argument, "a finite number", math.isfinite)
        if self.seed is not None and not (is_whole(self.seed) and 0 <= self.seed < 2**128):
            raise (ValueError if is_whole(self.seed) else TypeError)(
                f"seed: expected an int in [0, 2**128), or None for the model's seed, got {self.seed!r}"
            )

    def __call__(
        self, shape: Sequence[int], dtype: npt.DTypeLike | None = None, rng: np.random.Generator | None = None
    ) -> npt.NDArray[Any]:
        """Make the values.

        Parameters
        ----------
        shape : sequence of int
            Lengths ≥ 0 of the axes.
        dtype : dtype, optional
            float32, the default, or float64.
        rng : numpy.random.Generator, optional
            Source of random numbers; not used by an initializer with a seed of its own. By default one with the next
            of the seeds that `set_random_seed` begins: other values at each call.

        Returns
        -------
        ndarray, C-contiguous
            Of this shape and dtype.

        Raises
        ------
        ValueError
            A value overflows `dtype`, or the initializer cannot make this shape.
        TypeError
            `dtype` is no floating-point type, or `shape` has elements that are no ints.
        """
        dtype = np.dtype(np.float32 if dtype is None else dtype)
        if dtype.kind != "f":
            raise TypeError(f"dtype: expected float32 or float64, got {dtype}")
        if self.seed is not None:
            rng = np.random.Generator(np.random.Philox(key=int(self.seed)))
        elif rng is None:
            rng = np.random.Generator(np.random.Philox(key=runtime.next_seed()))
        values = self._draw(lengths(shape), rng)
        with np.errstate(over="ignore"):
            rounded = np.ascontiguousarray(values, dtype).reshape(values.shape)
        if not np.isfinite(rounded).all():
            raise ValueError(f"{self!r}: expected values within the range of {dtype}, got larger ones; scale them down")
        return rounded

    def drawn(self) -> None:
        """Hear that parameters have what it made."""

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """The values in float64, before rounding."""
        raise NotImplementedError(f"{type(self).__name__} must define _draw(shape, rng)")


def lengths(shape: Any) -> tuple[int, ...]:
    """A shape as a tuple, checked."""
    if not isinstance(shape, (list, tuple, np.ndarray)) or not all(map(is_whole, shape)):
        raise TypeError(f"shape: expected ints, such as (784, 10), got {shape!r}")
    if any(length < 0 for length in shape):
        raise ValueError(f"shape: expected lengths ≥ 0, got {shape!r}")
    return tuple(int(length) for length in shape)


INITIALIZERS: Registry[Initializer] = Registry("initializer")


def get(identifier: Any, argument: str = "") -> Any:
    """Turn a name, configuration, class or object into an `Initializer`; of an array, one that copies it.

    None stays; as an argument of a layer it is `GlorotUniform`, as in Keras. See `Registry.get`.
    """
    if identifier is None and not argument:
        return None
    identifier = "glorot_uniform" if identifier is None else identifier
    if not isinstance(identifier, (str, type)) and hasattr(identifier, "__array__"):
        constant: Any = INITIALIZERS.find("constant", argument)
        identifier = constant(np.asarray(identifier))
    return INITIALIZERS.get(identifier, argument or "initializer", Initializer)


def fans(
    shape: Sequence[int], input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None
) -> tuple[int, int]:
    """The numbers of inputs and outputs, (fan_in, fan_out), of a kernel of shape (…, in, out); see the package.

    Where both are given, they are the products of these axes.
    """
    if input_axes is not None and output_axes is not None:
        axes = range(-len(shape), len(shape))
        if strange := [a for a in (*input_axes, *output_axes) if a not in axes]:
            raise ValueError(f"input_axes, output_axes: expected axes of the shape {tuple(shape)}, got {strange[0]}")
        return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
    if len(shape) < 2:
        length = shape[0] if shape else 1
        return length, length
    *field_axes, inputs, outputs = shape
    receptive = math.prod(field_axes)
    return receptive * inputs, receptive * outputs
