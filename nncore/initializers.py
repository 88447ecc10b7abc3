"""Initializers: the weights a model starts with.

`initializer(shape, dtype, rng)` computes in float64 and rounds once to `dtype`, so that a float32 model starts
with the rounded weights of the float64 model of the same seed.

Fans: a kernel of shape (…, in, out) has fan_in = r in and fan_out = r out, where the receptive field r is the
product of the axes before them: 1 for (in, out), h w for a convolution's (h, w, in, out). A vector (n,) has
fan_in = fan_out = n, a scalar 1 and 1.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from nncore.arguments import check_nonnegative, check_number, is_whole
from nncore.registry import Configurable, Registry, immutable
from nncore.registry import serialize as serialize

Array = npt.NDArray[np.float64]

# Standard deviation of the standard normal distribution truncated to ±2.
TRUNCATED_STDDEV = 0.87962566103423978


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

    def __post_init__(self) -> None:
        for argument in self.config_names():
            value = getattr(self, argument)
            if argument != "seed":
                check_number(value, argument, "a finite number", math.isfinite)
            elif value is not None and not (is_whole(value) and 0 <= value < 2**128):
                raise (ValueError if is_whole(value) else TypeError)(
                    f"seed: expected an int in [0, 2**128), or None for the model's seed, got {value!r}"
                )

    def __call__(self, shape: Sequence[int], dtype: npt.DTypeLike, rng: np.random.Generator) -> npt.NDArray[Any]:
        """Make the values.

        Parameters
        ----------
        shape : sequence of int
            Lengths ≥ 0 of the axes.
        dtype : dtype
            float32 or float64.
        rng : numpy.random.Generator
            Source of random numbers; not used by an initializer with a seed of its own.

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
        dtype = np.dtype(dtype)
        if dtype.kind != "f":
            raise TypeError(f"dtype: expected float32 or float64, got {dtype}")
        if self.seed is not None:
            rng = np.random.Generator(np.random.Philox(key=int(self.seed)))
        values = self._draw(tuple(operator.index(length) for length in shape), rng)
        with np.errstate(over="ignore"):
            rounded = np.ascontiguousarray(values, dtype).reshape(values.shape)
        if not np.isfinite(rounded).all():
            raise ValueError(f"{self!r}: expected values within the range of {dtype}, got larger ones; scale them down")
        return rounded

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """The values in float64, before rounding."""
        raise NotImplementedError(f"{type(self).__name__} must define _draw(shape, rng)")


INITIALIZERS: Registry[Initializer] = Registry("initializer")


def get(identifier: Any, argument: str = "initializer") -> Initializer:
    """Turn a name, configuration, class or object into an `Initializer`. See `Registry.get`."""
    return INITIALIZERS.get(identifier, argument, Initializer)


def fans(shape: Sequence[int]) -> tuple[int, int]:
    """The numbers of inputs and outputs, (fan_in, fan_out), of a kernel of shape (…, in, out); see the module."""
    if len(shape) < 2:
        length = shape[0] if shape else 1
        return length, length
    *field_axes, inputs, outputs = shape
    receptive = math.prod(field_axes)
    return receptive * inputs, receptive * outputs


def truncated_normal(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Standard normal values, those beyond ±2 drawn again; their standard deviation is `TRUNCATED_STDDEV`."""
    x = rng.standard_normal(math.prod(shape))
    while (far := np.flatnonzero(np.abs(x) > 2)).size:
        x[far] = rng.standard_normal(far.size)
    return x.reshape(shape)


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


@INITIALIZERS.register()
@immutable
class Constant(Initializer):
    """All `value`.

    Parameters
    ----------
    value : float, default 0.0
        A finite number.
    """

    value: float = 0.0

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.full(shape, self.value, np.float64)


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


@immutable
class FanScaling(Initializer):
    """Base of the initializers whose variance follows the fans: σ² = scale / fan.

    Uniform on ±√(3 σ²), or a normal distribution truncated at two standard deviations and widened such that the
    standard deviation of the values is σ. A fan below 1 counts as 1.

    Parameters
    ----------
    seed : int, optional
        See `Initializer`.

    Attributes
    ----------
    scale : float
        Dimensionless.
    mode : {"fan_in", "fan_avg"}
        Which fan: that of the inputs, or the mean of both.
    distribution : {"uniform", "truncated_normal"}
    """

    seed: int | None = None

    scale: ClassVar[float] = 1.0
    mode: ClassVar[Literal["fan_in", "fan_avg"]] = "fan_in"
    distribution: ClassVar[Literal["uniform", "truncated_normal"]] = "uniform"

    def _draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        fan_in, fan_out = fans(shape)
        fan = fan_in if self.mode == "fan_in" else (fan_in + fan_out) / 2
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return rng.uniform(-limit, limit, shape)
        return math.sqrt(variance) / TRUNCATED_STDDEV * truncated_normal(shape, rng)


@INITIALIZERS.register()
@immutable
class GlorotUniform(FanScaling):
    """Uniform on ±√(6 / (fan_in + fan_out)): keeps variances through tanh and linear layers, both ways.

    PyTorch's Linear draws W and b on ±1/√fan_in instead; scikit-learn's MLP is this one (for its logistic
    activation with 2 in place of 6), for the biases too.

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

    References
    ----------
    K. He et al.: Delving deep into rectifiers, ICCV 2015, arXiv:1502.01852, equation 10.
    """

    scale = 2.0


@INITIALIZERS.register()
@immutable
class HeNormal(FanScaling):
    """Truncated normal with σ² = 2 / fan_in: keeps variances through layers with ReLU.

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

    References
    ----------
    Y. LeCun et al.: Efficient BackProp, in Neural Networks: Tricks of the Trade, Springer 1998, section 4.6.
    """


@INITIALIZERS.register()
@immutable
class LecunNormal(FanScaling):
    """Truncated normal with σ² = 1 / fan_in; the companion of SELU.

    References
    ----------
    Y. LeCun et al.: Efficient BackProp, in Neural Networks: Tricks of the Trade, Springer 1998, section 4.6.
    """

    distribution = "truncated_normal"


@INITIALIZERS.register()
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


deserialize = get


def __getattr__(name: str) -> type[Initializer]:
    # The classes by Keras's other names, such as nncore.initializers.he_normal
    return INITIALIZERS.named(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *INITIALIZERS.names(), *INITIALIZERS.aliases})
