"""Layers for columns of numbers: a factor for each, periodic features of each, activations that learn their share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore import activations, initializers
from nncore._kernels.table import ACTIVATIONS
from nncore.arguments import check_count, is_number
from nncore.graph import Shape
from nncore.initializers import Initializer, RandomNormal, RandomUniform
from nncore.layers.base import LAYERS, Layer
from nncore.operations import activate, add, concatenate, reshape
from nncore.operations.arithmetic import subtract
from nncore.operations.dense import dense_at_positions
from nncore.operations.elementwise import activate_partly
from nncore.operations.embedding import number_features
from nncore.operations.normalization import standardize
from nncore.state import Array

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor

NARROW = 1e-6  # of all knots, up to which two are one: rounding would decide where a number lies


@LAYERS.register()
class Scale(Layer):
    """Y = γ ⊙ X, a factor for each element of the last axis.

    Shapes: X and Y (B, …, n), γ (n,).

    Parameters
    ----------
    initializer : str or Initializer, default "ones"
        Of γ.
    name : str, optional
    trainable : bool, default True
    """

    def __init__(self, initializer: Any = "ones", name: str | None = None, trainable: bool = True) -> None:
        super().__init__(name, trainable)
        self.initializer = initializers.get(initializer, "initializer")

    def declare(self, *shapes: Shape) -> None:
        """Declare γ."""
        if not shapes[0]:
            raise ValueError("Scale: expected inputs with an axis beside the batch, got (None,)")
        self.factor = self.add_parameter("factor", shapes[0][-1:], self.initializer)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = γ ⊙ X."""
        return standardize(b, inputs[0], gamma=self.factor)


@LAYERS.register()
class ParametricActivation(Layer):
    """Y = X + α ⊙ (f(X) − X), α for each element of the last axis: between no activation and more than f.

    Shapes: X and Y (B, …, n), α (n,).

    Parameters
    ----------
    activation : str or Activation
        f, which keeps its input's shape.
    alpha_initializer : str or Initializer, default "ones"
        Of α; it begins as f.
    name : str, optional
    trainable : bool, default True

    References
    ----------
    D. Holzmüller, L. Grinsztajn, I. Steinwart: Better by default, NeurIPS 2024, arXiv:2407.04491.
    """

    def __init__(
        self, activation: Any, alpha_initializer: Any = "ones", name: str | None = None, trainable: bool = True
    ) -> None:
        super().__init__(name, trainable)
        self.activation = activations.get(activation, "activation")
        self.alpha_initializer = initializers.get(alpha_initializer, "alpha_initializer")

    def declare(self, *shapes: Shape) -> None:
        """Declare α."""
        if not shapes[0]:
            raise ValueError("ParametricActivation: expected inputs with an axis beside the batch, got (None,)")
        if self.activation.output_shape(shapes[0]) != shapes[0]:
            raise ValueError(f"activation: expected one that keeps its input's shape, got {self.activation!r}")
        self.alpha = self.add_parameter("alpha", shapes[0][-1:], self.alpha_initializer)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Y = X + α ⊙ (f(X) − X)."""
        x = inputs[0]
        if self.activation.kernel in ACTIVATIONS:  # others see whole rows, or are a user's
            return activate_partly(b, x, self.activation, self.alpha)
        change = subtract(b, activate(b, x, self.activation), x)
        return add(b, x, standardize(b, change, gamma=self.alpha))


@LAYERS.register()
class PeriodicEmbedding(Layer):
    """Of each number x of the last axis d numbers: x itself, and d − 1 combinations of k cosines of it.

    cos(2π (w x + b)) W + c with w, b (k,), W (k, d − 1) and c of each number's own. Shapes: X (B, n), Y (B, n d): the
    combinations of all numbers, number by number, then the numbers.

    Knots t₀ ≤ … ≤ t_p, such as quantiles, add p pieces of a line to what is combined, so that functions which bend
    sharply are learned sooner: max(0, min(1, (x − tᵢ) / (tᵢ₊₁ − tᵢ))), 0 where that is less than a millionth of all.

    Parameters
    ----------
    frequencies : int, default 16
        k.
    outputs : int, default 4
        d, at least 2.
    stddev : float or (float, float), default 0.1
        Of the normal distribution from which w is drawn: the frequencies, in periods per unit of x. Of two, each w
        has a standard deviation of its own, log-uniform between them: slow and fast changes are learned side by side.
        b is uniform on ±1/2, W and c on ±1/√k.
    knots : array_like, shape (n, p + 1), optional
        Of each number, ascending: ``np.quantile(x, np.arange(9) / 8, axis=0).T``. They are not trained.
    name : str, optional
    trainable : bool, default True

    Raises
    ------
    ValueError
        X has other axes, or an argument is no such number.

    References
    ----------
    Y. Gorishniy, I. Rubachev, A. Babenko: On embeddings for numerical features in tabular deep learning, NeurIPS 2022,
    arXiv:2203.05556; D. Holzmüller et al., arXiv:2407.04491 (the form with x, "PBLD").
    """

    def __init__(
        self,
        frequencies: int = 16,
        outputs: int = 4,
        stddev: Any = 0.1,
        knots: Any = None,
        name: str | None = None,
        trainable: bool = True,
    ) -> None:
        super().__init__(name, trainable)
        self.frequencies = check_count(frequencies, "frequencies")
        self.outputs = check_count(outputs, "outputs", 2)
        self.stddev = check_scales(stddev) if isinstance(stddev, (tuple, list)) else RandomNormal(stddev=stddev).stddev
        self.knots = None if knots is None else check_knots(knots)

    def output_shape(self, *shapes: Shape) -> Shape:
        """(n d,)."""
        if len(shapes[0]) != 1:
            raise ValueError(f"PeriodicEmbedding: expected inputs (batch, numbers), got {(None, *shapes[0])}")
        if self.knots and len(self.knots) != shapes[0][0]:
            raise ValueError(f"knots: expected those of {shapes[0][0]} numbers, as inputs have, got {len(self.knots)}")
        return (shapes[0][0] * self.outputs,)

    @property
    def pieces(self) -> int:
        """p."""
        return len(self.knots[0]) - 1 if self.knots else 0

    def declare(self, *shapes: Shape) -> None:
        """Declare 2 w and 2 b, in half periods, W, also of the pieces, and c."""
        n, k, d = shapes[0][0], self.frequencies, self.outputs - 1
        bound = k**-0.5
        uniform = RandomUniform(-bound, bound)
        s = self.stddev
        drawn = NormalOfScales(2 * s[0], 2 * s[1]) if isinstance(s, tuple) else RandomNormal(stddev=2 * s)
        self.frequency = self.add_parameter("frequency", (n, k), drawn)
        self.phase = self.add_parameter("phase", (n, k), RandomUniform(-1.0, 1.0))
        self.kernel = self.add_parameter("kernel", (n, k + self.pieces, d), uniform)
        self.bias = self.add_parameter("bias", (n, d), uniform)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Cosines and pieces of all numbers, a product for each number, and the numbers."""
        x = inputs[0]
        n, d = x.size, self.outputs - 1
        lines = through_knots(np.array(self.knots)) if self.knots else ([], [])
        features = number_features(b, x, self.frequency, self.phase, lines)
        combined = dense_at_positions(b, reshape(b, features, (1, *features.shape)), self.kernel)
        shifted = standardize(b, reshape(b, combined, (n * d,)), beta=self.bias)
        return concatenate(b, [shifted, x], 0, self.output_shape(x.shape))


class NormalOfScales(Initializer):
    """Normal numbers, each with a standard deviation of its own, log-uniform between two."""

    def __init__(self, least: float, most: float) -> None:
        self.least, self.most = least, most

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.exp(rng.uniform(np.log(self.least), np.log(self.most), shape)) * rng.standard_normal(shape)


def through_knots(t: Array) -> tuple[list[float], list[float]]:
    """Factors and offsets of the lines that are 0 at one knot and 1 at the next, number by number."""
    with np.errstate(over="ignore"):  # an infinite width has the factor 0
        widths, least = np.diff(t), NARROW * np.maximum(t[:, -1:] - t[:, :1], NARROW)
    factors = np.divide(1, widths, out=np.zeros_like(widths), where=widths > least)
    return factors.ravel().tolist(), (-t[:, :-1] * factors).ravel().tolist()


def check_scales(stddev: Sequence[Any]) -> tuple[float, float]:
    """Two standard deviations; a ValueError where they are no such pair."""
    if len(stddev) != 2 or not all(map(is_number, stddev)) or not 0 < stddev[0] <= stddev[1] < math.inf:
        raise ValueError(f"stddev: expected one ≥ 0, or two > 0 in ascending order, got {stddev!r}")
    return float(stddev[0]), float(stddev[1])


def check_knots(knots: Any) -> tuple[tuple[float, ...], ...]:
    """The knots as a tuple for each number; a ValueError where they do not ascend."""
    expected = "knots: expected finite, ascending numbers of shape (numbers, at least 2), a row for each number"
    try:
        array = np.array(knots, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{expected}, got {knots!r}") from error
    if array.ndim != 2 or array.shape[1] < 2:
        raise ValueError(f"{expected}, got shape {array.shape}")
    for i, row in enumerate(array):
        if not (np.isfinite(row).all() and (row[1:] >= row[:-1]).all()):
            turned = ". Is a column of these for each? Give knots.T" if (array[1:] >= array[:-1]).all() else ""
            raise ValueError(f"{expected}, got row {i}: {row.tolist()}{turned}")
    return tuple(tuple(row) for row in array.tolist())
