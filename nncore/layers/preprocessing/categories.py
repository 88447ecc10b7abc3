"""Numbers of intervals, and columns of whole numbers: computed by the program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nncore.arguments import check_count, check_number
from nncore.conversion import as_array
from nncore.graph import Shape, Symbol
from nncore.layers.arrays import label
from nncore.layers.base import LAYERS
from nncore.layers.merging import Dot
from nncore.layers.preprocessing.base import MODES, Numbering, check_mode
from nncore.layers.preprocessing.learning import Given, Learning, batches
from nncore.operations.preprocessing import digitize
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor


class Learned(list[float]):
    """Boundaries that `adapt` found, which are described beside the number of intervals that it was to find."""


ANY = np.finfo(np.float32).max  # a boundary beyond all data


@LAYERS.register()
class Discretization(Learning, Numbering):
    """The number of the interval that a real lies in: how many of the rising boundaries are ≤ x.

    Boundaries are given, or `adapt` learns those of intervals that hold about as many values each. They are a statistic
    of the layer. NaN lies in the last interval.

    Shapes: X (B, …); Y by `output_mode`, as of `StringLookup`, as int32 for `Embedding` and `CategoryEncoding`, or
    columns. There is no gradient.

    Parameters
    ----------
    bin_boundaries : list of float, optional
        In rising order.
    num_bins : int, optional
        How many intervals `adapt` makes; one of the two is given.
    epsilon : float, default 0.01
        In (0, 1): `adapt` may put as many more of the values, as a share of all, on one side.
    output_mode : {"int", "one_hot", "multi_hot", "count"}
    name : str, optional

    Raises
    ------
    ValueError
        An argument is wrong, or there are no boundaries yet where they are needed.
    """

    remedies: ClassVar[dict[str, str]] = Learning.remedies | {"bin_boundaries": "Call adapt."}

    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        if num_bins is None and bin_boundaries is None:
            raise ValueError(
                "bin_boundaries, num_bins: expected either `num_bins` or `bin_boundaries`, got none of them"
            )
        self.num_bins = None if num_bins is None else check_count(num_bins, "num_bins", 2)
        self.epsilon = check_number(epsilon, "epsilon", "a number in (0, 1)", lambda e: 0 < e < 1)
        self.output_mode = check_mode(output_mode, MODES)
        self._boundaries: Array | None = None
        if bin_boundaries is not None:
            boundaries = np.asarray(as_array(bin_boundaries, "bin_boundaries"), np.float64)
            if boundaries.ndim != 1 or not np.isfinite(boundaries).all() or (np.diff(boundaries) < 0).any():
                raise ValueError(f"bin_boundaries: expected finite numbers in rising order, got {bin_boundaries!r}")
            if num_bins is not None and (not isinstance(bin_boundaries, Learned) or len(boundaries) >= num_bins):
                raise ValueError(
                    "bin_boundaries, num_bins: expected one of them. Both `num_bins` and `bin_boundaries` were given"
                )
            self._boundaries = boundaries

    @classmethod
    def from_config(cls, config: Any) -> Any:
        """Build the layer that `get_config` described: one that was adapted has both, `num_bins` and boundaries."""
        config = dict(config)
        if config.get("num_bins") is not None and config.get("bin_boundaries") is not None:
            config["bin_boundaries"] = Learned(config["bin_boundaries"])
        return super().from_config(config)

    @property
    def bin_boundaries(self) -> list[float] | None:
        """The boundaries as they are now; None before they are known."""
        known = self._boundaries if self.state is None or not self.parameters else np.asarray(self.parameters[0])
        return None if known is None else Learned(float(v) for v in known if v < ANY)

    @property
    def depth(self) -> int:
        """How many intervals there are."""
        if self.num_bins is not None:
            return self.num_bins
        assert self._boundaries is not None
        return len(self._boundaries) + 1

    def declare(self, *shapes: Shape) -> None:
        """Declare the boundaries."""
        self._limits = self.add_parameter("bin_boundaries", (self.depth - 1,), Given(self.padded()), role="statistic")

    def padded(self) -> Array:
        """As many boundaries as there are at most; before they are known all beyond any value."""
        known = np.zeros(0) if self._boundaries is None else self._boundaries
        return np.concatenate([known, np.full(self.depth - 1 - len(known), ANY)])

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """The numbers, or columns of them."""
        return self.emit_numbers(b, digitize(b, inputs[0], self._limits))

    def encode(self, arrays: Any, arguments: Any) -> Array:
        """The same in Python, for encoders that read it."""
        self.require()
        return np.digitize(np.asarray(arrays[0], np.float32), self.padded().astype(np.float32)).astype(np.int32)

    def require(self) -> None:
        """Raise a ValueError before there are boundaries."""
        if self._boundaries is None:
            raise ValueError(
                f"{self.name or 'Discretization'}: has no boundaries yet. You need to give bin_boundaries, or call "
                "adapt(data)"
            )

    def on_arrays(self, inputs: Any, training: Any) -> Array:
        """As any layer; numbers are int32."""
        self.require()
        return super().on_arrays(inputs, training)

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Learn boundaries of `num_bins` intervals with about as many values each: of quantiles, as Keras has them.

        Parameters
        ----------
        data : array_like, Series, or iterable or `PyDataset` of these
            Of any shape: there are boundaries for all elements in common.
        steps : int, optional
            Of an iterable: how many of its arrays.

        Raises
        ------
        ValueError, TypeError
            The layer was given its boundaries, or the data hold NaN or nothing.
        """
        if self.num_bins is None:
            raise ValueError(
                "bin_boundaries: expected num_bins, for adapt to make as many, got boundaries that are fixed"
            )
        points, weights = np.zeros(0), np.zeros(0)
        for array in batches(data, steps, as_array, "data"):
            values = np.sort(array.reshape(-1).astype(np.float64))
            if np.isnan(values).any():
                raise ValueError("data: expected numbers, got NaN. Fill the gaps, or leave them out")
            step = max(len(values) * self.epsilon, 1.0)
            chosen = values[int(step - 1) :: int(step)]
            points = np.concatenate([points, chosen])
            weights = np.concatenate([weights, np.full(len(chosen), step)])
            order = np.argsort(points, kind="stable")
            points, weights = compressed(points[order], weights[order], self.epsilon)
        if not len(points):
            raise ValueError("data: expected some numbers, got none")
        boundaries = compressed(points, weights, 1 / self.num_bins)[0][: self.num_bins - 1]
        boundaries = boundaries.astype(np.float32).astype(np.float64)
        vars(self)["_boundaries"] = boundaries[:-1] if len(points) < self.num_bins else boundaries
        self.learned({"bin_boundaries": self.padded()})


def compressed(points: Array, weights: Array, share: float) -> tuple[Array, Array]:
    """Points of rising values, each for so many of the data, as fewer, each for this share of all (or as they are)."""
    if len(points) * share < 1:
        return points, weights
    sums = weights.cumsum()
    wanted = np.minimum(share + np.arange(0, 1, share), 1)
    at = np.interp(wanted, sums / sums[-1], points)
    counts = np.interp(wanted, sums / sums[-1], sums)
    return at, np.diff(counts, prepend=0)


@LAYERS.register()
class CategoryEncoding(Numbering):
    """Columns for whole numbers: 1 in the column of each.

    Shapes: X (B, …) of an `Input`, or of a layer that makes whole numbers, each in [0, num_tokens). Y by `output_mode`:
    "one_hot" (B, …, num_tokens), of (B, …, 1) (B, …, num_tokens); "multi_hot" and "count" of (B, …, k) (B, …,
    num_tokens). On arrays, "count" takes ``layer(x, count_weights=w)``, by how much each number counts, of the shape of
    X, (B, k) or (k); within a model that is ``Dot(axes=1)([w, CategoryEncoding(num_tokens, "one_hot")(x)])``.

    Parameters
    ----------
    num_tokens : int
        How many numbers there are.
    output_mode : {"one_hot", "multi_hot", "count"}, default "multi_hot"
    name : str, optional

    Raises
    ------
    ValueError
        An argument is wrong; in a step or prediction: X holds other numbers.
    """

    def __init__(self, num_tokens: int | None = None, output_mode: str = "multi_hot", name: str | None = None) -> None:
        super().__init__(name)
        if num_tokens is None:
            raise ValueError(
                "num_tokens: expected how many numbers there are, got None; num_tokens must be set to use this layer. "
                "IntegerLookup finds them in data"
            )
        self.num_tokens = check_count(num_tokens, "num_tokens", phrase="`num_tokens` must be >= 1.")
        self.output_mode = check_mode(output_mode, MODES[1:])
        self._weighing: tuple[Dot, CategoryEncoding] | None = None

    @property
    def depth(self) -> int:
        """`num_tokens`."""
        return self.num_tokens

    @property
    def integers(self) -> tuple[int, int]:
        """The numbers that have a column."""
        return 0, self.num_tokens

    def __call__(  # type: ignore[override]  # the arguments come in Keras's order
        self, inputs: Any, count_weights: Any = None, training: Any = False, *, mask: Any = None
    ) -> Any:
        """Connect the layer to the symbol it reads, or compute it on arrays, whose numbers count by weights."""
        if count_weights is None:
            return super().__call__(inputs, training, mask=mask)
        self._refuse_mask(training, mask)
        if self.output_mode != "count":
            raise ValueError(
                f"count_weights: expected None where output_mode is {self.output_mode!r}, got some. Let it be 'count' "
                f"(`count_weights` is not used when `output_mode` is not `'count'`.)"
            )
        if isinstance(inputs, Symbol) or isinstance(count_weights, Symbol):
            raise TypeError(
                "count_weights: expected arrays, got symbols. Call Dot(axes=1)([count_weights, "
                f"CategoryEncoding({self.num_tokens}, 'one_hot')(inputs)])"
            )
        x, weights = as_array(inputs, f"{label(self)}: inputs"), as_array(count_weights, "count_weights")
        if x.ndim not in (1, 2) or weights.shape != x.shape:
            raise ValueError(
                "count_weights: expected the shape of the inputs, (samples, numbers) or (numbers), got "
                f"{weights.shape} for inputs of shape {x.shape}"
            )
        rows = x[..., None].reshape(-1, x.shape[-1], 1)
        dot, encode = self._weighing or (Dot(axes=1), CategoryEncoding(self.num_tokens, "one_hot"))
        vars(self)["_weighing"] = dot, encode  # which have what they compiled
        made: Array = dot([weights.reshape(rows.shape[:2]), encode(rows)])
        return made.reshape(*x.shape[:-1], self.num_tokens)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Columns of the numbers."""
        return self.emit_numbers(b, inputs[0])
