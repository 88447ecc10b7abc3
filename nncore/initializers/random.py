"""Initializers with random numbers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from nncore.arguments import check_nonnegative, check_number, is_whole
from nncore.initializers.base import INITIALIZERS, Array, Initializer, fans
from nncore.registry import immutable

# Standard deviation of the standard normal distribution truncated to ±2.
TRUNCATED_STDDEV = 0.87962566103423978


def truncated_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Standard normal values, those beyond ±2 drawn again; their standard deviation is `TRUNCATED_STDDEV`."""
    x = rng.standard_normal(math.prod(shape))
    while (far := np.flatnonzero(np.abs(x) > 2)).size:
        x[far] = rng.standard_normal(far.size)
    return x.reshape(shape)


@INITIALIZERS.register("normal")
@immutable
class RandomNormal(Initializer):
    """Normal distribution.

    Parameters
    ----------
    mean : float, default 0.0
    stddev : float, default 0.05
        Standard deviation, ≥ 0. PyTorch's ``normal_`` has 1.
    seed : int, optional
        See `Initializer`.
    """

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_nonnegative(self.stddev, "stddev", "a standard deviation has no sign")

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return self.mean + self.stddev * rng.standard_normal(shape)


@INITIALIZERS.register("uniform")
@immutable
class RandomUniform(Initializer):
    """Uniform distribution on [minval, maxval).

    Parameters
    ----------
    minval : float, default -0.05
    maxval : float, default 0.05
        At least `minval`. PyTorch's ``uniform_`` has 0 and 1.
    seed : int, optional
        See `Initializer`.
    """

    minval: float = -0.05
    maxval: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.minval > self.maxval:
            raise ValueError(f"maxval: expected at least minval = {self.minval!r}, got {self.maxval!r}; swap the two")

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return rng.uniform(self.minval, self.maxval, shape)


@INITIALIZERS.register()
@immutable
class TruncatedNormal(Initializer):
    """Normal distribution, values beyond two standard deviations drawn again.

    Parameters
    ----------
    mean : float, default 0.0
    stddev : float, default 0.05
        Standard deviation before truncation, ≥ 0; that of the values is 0.8796 times it.
    seed : int, optional
        See `Initializer`.
    """

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_nonnegative(self.stddev, "stddev", "a standard deviation has no sign")

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return self.mean + self.stddev * truncated_normal(shape, rng)


AXES = ("input_axes", "output_axes")
MODES = ("fan_in", "fan_out", "fan_avg")
DISTRIBUTIONS = ("truncated_normal", "untruncated_normal", "uniform")


class Scaled(Initializer):
    """Base of those whose variance is scale / fan; the fan is that of `mode`, or 1 if that is less."""

    others: ClassVar[tuple[str, ...]] = ("seed", "mode", "distribution", *AXES)

    def __post_init__(self) -> None:
        super().__post_init__()
        for argument in AXES:
            axes = getattr(self, argument)
            if axes is not None and (not isinstance(axes, (list, tuple)) or not all(map(is_whole, axes))):
                raise TypeError(f"{argument}: expected a list of ints, or None, got {axes!r}")
            object.__setattr__(self, argument, None if axes is None else tuple(map(int, axes)))

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        this: Any = self
        inputs, outputs = fans(shape, this.input_axes, this.output_axes)
        fan = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}[this.mode]
        variance = this.scale / max(1.0, fan)
        if this.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return rng.uniform(-limit, limit, shape)
        if this.distribution == "untruncated_normal":
            return math.sqrt(variance) * rng.standard_normal(shape)
        return math.sqrt(variance) / TRUNCATED_STDDEV * truncated_normal(shape, rng)


@INITIALIZERS.register()
@immutable
class VarianceScaling(Scaled):
    """A variance that follows the fans: σ² = scale / fan.

    Parameters
    ----------
    scale : float, default 1.0
        > 0.
    mode : {"fan_in", "fan_out", "fan_avg"}, default "fan_in"
        Which fan: that of the inputs, of the outputs, or the mean of both. One below 1 counts as 1.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}, default "truncated_normal"
        A normal one whose values beyond two standard deviations are drawn again, widened so that their standard
        deviation is σ; a normal one ("normal" is the former, as in Keras); or uniform on ±√(3 σ²).
    seed : int, optional
        See `Initializer`.
    input_axes, output_axes : list of int, optional
        Whose products the fans are, where both are given.

    Raises
    ------
    TypeError, ValueError
        An argument is none of these.
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: int | None = None
    input_axes: Any = None
    output_axes: Any = None

    def __post_init__(self) -> None:
        super().__post_init__()
        remedy = "it is a variance (Argument `scale` must be positive float.)"
        check_number(self.scale, "scale", "a number > 0", lambda v: 0 < v < math.inf, remedy)
        if self.mode not in MODES:
            raise ValueError(
                f"mode: expected one of {', '.join(MODES)}, got {self.mode!r} (Invalid `mode` argument: {self.mode})"
            )
        kind = "truncated_normal" if self.distribution == "normal" else self.distribution
        if kind not in DISTRIBUTIONS:
            raise ValueError(
                f"distribution: expected one of {', '.join(DISTRIBUTIONS)}, got {self.distribution!r} (Invalid "
                f"`distribution` argument: {self.distribution})"
            )
        object.__setattr__(self, "distribution", kind)


@immutable
class FanScaling(Scaled):
    """Base of those that are `VarianceScaling` of fixed arguments.

    Parameters
    ----------
    seed : int, optional
        See `Initializer`.
    input_axes, output_axes : list of int, optional
        As of `VarianceScaling`.

    Attributes
    ----------
    scale, mode, distribution
        As of `VarianceScaling`.
    """

    seed: int | None = None
    input_axes: Any = None
    output_axes: Any = None

    scale: ClassVar[float] = 1.0
    mode: ClassVar[str] = "fan_in"
    distribution: ClassVar[str] = "uniform"


@INITIALIZERS.register()
@immutable
class GlorotUniform(FanScaling):
    """Uniform on ±√(6 / (fan_in + fan_out)): keeps variances through tanh and linear layers, both ways.

    PyTorch's Linear draws W and b on ±1/√fan_in instead; scikit-learn's MLP is this one (for its logistic
    activation with 2 in place of 6), for the biases too.

    Arguments: see `FanScaling`.

    References
    ----------
    X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010,
    equation 16.
    """

    mode = "fan_avg"


@INITIALIZERS.register()
@immutable
class GlorotNormal(FanScaling):
    """Truncated normal with σ² = 2 / (fan_in + fan_out).

    Arguments: see `FanScaling`.

    References
    ----------
    X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010.
    """

    mode = "fan_avg"
    distribution = "truncated_normal"


@INITIALIZERS.register()
@immutable
class HeUniform(FanScaling):
    """Uniform on ±√(6 / fan_in): keeps variances through layers with ReLU.

    Arguments: see `FanScaling`.

    References
    ----------
    K. He et al.: Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852, equation 10.
    """

    scale = 2.0


@INITIALIZERS.register()
@immutable
class HeNormal(FanScaling):
    """Truncated normal with σ² = 2 / fan_in: keeps variances through layers with ReLU.

    Arguments: see `FanScaling`.

    References
    ----------
    K. He et al.: Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852, equation 10.
    """

    scale = 2.0
    distribution = "truncated_normal"


@INITIALIZERS.register()
@immutable
class LecunUniform(FanScaling):
    """Uniform on ±√(3 / fan_in).

    Arguments: see `FanScaling`.

    References
    ----------
    Y. LeCun et al.: Efficient BackProp, in Neural Networks: Tricks of the Trade, Springer 1998, section 4.6.
    """


@INITIALIZERS.register()
@immutable
class LecunNormal(FanScaling):
    """Truncated normal with σ² = 1 / fan_in; the companion of SELU.

    Arguments: see `FanScaling`.

    References
    ----------
    Y. LeCun et al.: Efficient BackProp, in Neural Networks: Tricks of the Trade, Springer 1998, section 4.6.
    """

    distribution = "truncated_normal"


@INITIALIZERS.register("OrthogonalInitializer")
@immutable
class Orthogonal(Initializer):
    """gain × a random matrix with orthonormal columns, or rows where there are fewer of them.

    The kernel (…, in, out) is taken as a matrix (… in, out). It is the Q of a normal matrix A = Q R with the
    diagonal of R made positive, which makes Q uniform among the orthogonal matrices. NumPy's LAPACK computes it,
    so in float64 the last bits may differ from machine to machine.

    Parameters
    ----------
    gain : float, default 1.0
        Factor.
    seed : int, optional
        See `Initializer`.

    References
    ----------
    A. M. Saxe, J. L. McClelland, S. Ganguli: Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks, ICLR 2014, arXiv:1312.6120.
    """

    gain: float = 1.0
    seed: int | None = None

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if len(shape) < 2:
            raise ValueError(f"shape: expected at least 2 axes for an orthogonal matrix, got {shape}; use another one")
        rows, cols = math.prod(shape[:-1]), shape[-1]
        Q, R = np.linalg.qr(rng.standard_normal((max(rows, cols), min(rows, cols))))
        Q *= np.where(np.diagonal(R) < 0, -self.gain, self.gain)
        return (Q.T if rows < cols else Q).reshape(shape)
