"""Reals brought to mean 0 and variance 1 by moments of data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nncore.arguments import check_flag, is_whole
from nncore.conversion import as_array
from nncore.graph import Shape
from nncore.layers.base import LAYERS
from nncore.layers.preprocessing.learning import Given, Learning, batches
from nncore.operations import reshape
from nncore.operations.arrangement import moved_last
from nncore.operations.normalization import standardize
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor

LEAST_VARIANCE = 1e-14  # a deviation of 1e-7, as in Keras: what does not vary becomes 0


@LAYERS.register()
class Normalization(Learning):
    """Y = (X − μ) / max(σ, 1e-7), with a mean μ and a deviation σ of each feature that `adapt` learns, or are given.

    They are statistics of the layer: fit does not change them, files and copies have them. Before `adapt` they are 0
    and 1.

    Shapes: X and Y (B, …, n); μ and σ have the shape of `axis`, (n,) by default.

    Parameters
    ----------
    axis : int, tuple of int or None, default -1
        The axes of the features, counted with the batch axis as 0; moments are taken over all others, over all for
        None. Others than the last ones cost two copies of the data.
    mean, variance : float or array_like, optional
        μ and σ²; both or none.
    invert : bool, default False
        Y = μ + σ X.
    name : str, optional

    Attributes
    ----------
    mean, variance : ndarray or None
        As they are now, in the shape of their axes with axes of size 1 for all others; None before there is a shape.

    Raises
    ------
    ValueError
        Only one of `mean` and `variance` is given, a variance is negative, or there is no such axis.
    """

    supports_masking = True

    remedies: ClassVar[dict[str, str]] = Learning.remedies | dict.fromkeys(("mean", "variance"), "Call adapt.")

    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        axes = () if axis is None else tuple(axis) if isinstance(axis, (list, tuple)) else (axis,)
        if not all(is_whole(a) and a != 0 for a in axes):
            raise ValueError(f"axis: expected whole numbers other than 0 (the batch), or None, got {axis!r}")
        self.axis = tuple(int(a) for a in axes) if isinstance(axis, (list, tuple)) else axis
        self.invert = check_flag(invert, "invert")
        if (mean is None) != (variance is None):
            raise ValueError(
                f"mean, variance: expected both or none, got mean={mean!r} and variance={variance!r}; both `mean` and "
                "`variance` must be set"
            )
        self._moments: tuple[Array, Array] | None = None  # given or learned
        if mean is not None:
            self._moments = self.checked(mean, variance)

    @staticmethod
    def checked(mean: Any, variance: Any) -> tuple[Array, Array]:
        """Moments in float64, of one shape."""
        m, v = (np.asarray(as_array(a, n), np.float64) for a, n in ((mean, "mean"), (variance, "variance")))
        if m.shape != v.shape:
            raise ValueError(f"mean, variance: expected one shape, got {m.shape} and {v.shape}")
        if not (np.isfinite(m) & np.isfinite(v) & (v >= 0)).all():
            raise ValueError("mean, variance: expected finite numbers, and no negative variance")
        return m, np.maximum(v, LEAST_VARIANCE)

    def axes(self, shape: Shape) -> list[int]:
        """The axes of the features in a sample of this shape."""
        given = () if self.axis is None else self.axis if isinstance(self.axis, tuple) else (self.axis,)
        rank = len(shape) + 1
        axes = sorted(a - 1 if a > 0 else a + len(shape) for a in given)
        if any(a < -rank or a >= rank or not 0 <= b < len(shape) for a, b in zip(given, axes, strict=True)):
            raise ValueError(
                f"axis: expected axes of inputs of shape (batch, {', '.join(map(str, shape))}), got {self.axis}. All "
                "`axis` values must be in the range of them; for one mean of all elements give None"
            )
        return axes

    def output_shape(self, *shapes: Shape) -> Shape:
        """The shape of the inputs."""
        self.axes(shapes[0])
        return shapes[0]

    def declare(self, *shapes: Shape) -> None:
        """Declare μ and σ²; in place of σ², σ where it is multiplied by."""
        shape = tuple(shapes[0][a] for a in self.axes(shapes[0]))
        mean, variance = self._moments or (np.zeros(()), np.ones(()))
        try:
            np.broadcast_to(mean, shape)
        except ValueError:
            raise ValueError(
                f"mean, variance: expected the shape of the features, {shape}, got {mean.shape}. Adapt the layer to "
                "such data, or set axis"
            ) from None
        self._mean = self.add_parameter("mean", shape, Given(mean), role="statistic")
        name, second = ("deviation", np.sqrt(variance)) if self.invert else ("variance", variance)
        self._spread = self.add_parameter(name, shape, Given(second), role="statistic")

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = (X − μ) / σ, or μ + σ X."""
        x, axes = inputs[0], self.axes(inputs[0].shape)

        def moved(rows: Tensor) -> Tensor:
            n = math.prod(rows.shape[len(rows.shape) - len(axes) :])
            flat = reshape(b, rows, (rows.size // n, n))
            if self.invert:
                made = standardize(b, flat, gamma=self._spread, beta=self._mean)
            else:
                made = standardize(b, flat, 0.0, self._mean, self._spread)
            return reshape(b, made, rows.shape)

        return moved_last(b, x, axes, moved) if axes else moved(x)

    # -- what it knows ---------------------------------------------------------------------------------------------

    def moments(self) -> tuple[Array, Array] | None:
        """μ and σ² as they are now, in float64."""
        if self.state is None or not self.parameters:
            return self._moments
        mean, second = (np.asarray(p, np.float64) for p in self.parameters)
        return mean, second**2 if self.invert else second

    def shown(self, which: int) -> Array | None:
        """One of them, in the shape of their axes among all."""
        moments = self.moments()
        if moments is None or self.input_shapes is None:
            return None if moments is None else moments[which]
        shape = self.input_shapes[0]
        axes = self.axes(shape)
        kept = tuple(shape[a] for a in axes)
        return np.broadcast_to(moments[which], kept).reshape((1, *(n if a in axes else 1 for a, n in enumerate(shape))))

    @property
    def mean(self) -> Array | None:
        """μ as it is now."""
        return self.shown(0)

    @property
    def variance(self) -> Array | None:
        """σ² as it is now."""
        return self.shown(1)

    @property
    def built(self) -> bool:
        """Whether it has weights, or has learned what these will be."""
        return self.state is not None or self._moments is not None

    @built.setter
    def built(self, value: bool) -> None:
        super(Normalization, type(self)).built.fset(self, value)  # type: ignore[attr-defined]

    def argument(self, name: str) -> Any:
        """What describes the layer: its moments as they are now."""
        if name in ("mean", "variance"):
            moments = self.moments()
            return None if moments is None else moments[name == "variance"].tolist()
        return super().argument(name)

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn μ and σ² of data, in float64, over all axes but those of the features.

        Parameters
        ----------
        data : array_like, frame, or iterable or `PyDataset` of arrays, alone or first in tuples
            (n, …). Moments of an iterable's arrays are joined (Chan, Golub, LeVeque 1983).
        steps : int, optional
            Of an iterable: how many of its arrays.

        Raises
        ------
        ValueError, TypeError
            There is no such axis, arrays differ in the size of one, values are missing or infinite, or the iterable is
            empty.
        """
        known = None if self.input_shapes is None else self.input_shapes[0]
        kept: tuple[int, ...] | None = None if known is None else tuple(known[a] for a in self.axes(known))
        count, mean, squares = 0, np.zeros(()), np.zeros(())
        for array in batches(data, steps, as_array, "data"):
            axes = self.axes(array.shape[1:])
            sizes = tuple(array.shape[a + 1] for a in axes)
            if kept is not None and sizes != kept:
                raise ValueError(
                    f"data: expected features of shape {kept}, as before, got an incompatible shape {array.shape}"
                )
            kept = sizes
            others = tuple(a for a in range(array.ndim) if a - 1 not in axes)
            rows = math.prod(array.shape[a] for a in others)
            if not rows:
                continue
            part = np.asarray(array.mean(axis=others, dtype=np.float64))
            if not np.isfinite(part).all():
                raise ValueError(
                    "data: expected finite numbers, got missing or infinite ones. Fill the gaps, or leave them out"
                )
            spread = np.asarray(array.var(axis=others, dtype=np.float64)) * rows
            delta = part - mean
            squares = squares + spread + delta**2 * (count * rows / (count + rows))
            count += rows
            mean = mean + delta * (rows / count)
        if not count:
            raise ValueError("data: expected one row at least, got none")
        moments = mean, np.maximum(squares / count, LEAST_VARIANCE)
        vars(self)["_moments"] = moments
        self.learned({"mean": mean, "variance": moments[1], "deviation": np.sqrt(moments[1])})
