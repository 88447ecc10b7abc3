"""Initializers without random numbers."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from nncore.initializers.base import INITIALIZERS, Array, Initializer
from nncore.registry import immutable


@INITIALIZERS.register("zero")
@immutable
class Zeros(Initializer):
    """All 0."""

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.zeros(shape)


@INITIALIZERS.register("one")
@immutable
class Ones(Initializer):
    """All 1."""

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.ones(shape)


def nested(values: Any) -> Any:
    """An array as tuples within tuples, which compare and hash."""
    return tuple(nested(v) for v in values) if isinstance(values, list) else values


@INITIALIZERS.register()
@immutable
class Constant(Initializer):
    """All `value`, or an array.

    Parameters
    ----------
    value : float or array_like, default 0.0
        Finite numbers, of the shape of what is to be made, or one that NumPy broadcasts to it.
    """

    value: Any = 0.0

    others: ClassVar[tuple[str, ...]] = ("seed", "value")

    def __post_init__(self) -> None:
        try:
            values = np.asarray(self.value)
            finite = values.dtype.kind in "iuf" and bool(np.isfinite(values).all())
        except (TypeError, ValueError):
            values, finite = np.zeros(0, object), False
        if not finite:
            fault = ValueError if values.dtype.kind in "iuf" else TypeError
            raise fault(f"value: expected a finite number, or an array of them, got {self.value!r}")
        object.__setattr__(self, "value", nested(values.tolist()))

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        values = np.array(self.value, np.float64)
        try:
            return np.broadcast_to(values, shape).copy()
        except ValueError:
            raise ValueError(
                f"shape: expected one that values of shape {values.shape} can be spread over, got {shape}. Give a "
                "value for each place along the last axes (Expected `shape` to be another)"
            ) from None


class Given(Initializer):
    """An array, until a parameter has its values: a table of vectors may be most of a model.

    Parameters
    ----------
    values : ndarray
        It is copied.
    """

    def __init__(self, values: Array) -> None:
        self._values: Array | None = values.copy()

    def drawn(self) -> None:
        """See `Initializer.drawn`."""
        self._values = None

    @property
    def waits(self) -> bool:
        """Whether no parameter has its values yet."""
        return self._values is not None

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        assert self._values is not None
        return self._values

    def __repr__(self) -> str:
        return "an array of weights"


@INITIALIZERS.register("IdentityInitializer")
@immutable
class Identity(Initializer):
    """gain on the diagonal of a matrix, 0 elsewhere.

    Parameters
    ----------
    gain : float, default 1.0
    """

    gain: float = 1.0

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if len(shape) != 2:
            raise ValueError(f"shape: expected two axes for a diagonal, got {shape}; use another one")
        return self.gain * np.eye(*shape)
