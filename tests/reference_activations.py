"""Activations: f(z) and f′(z); at a kink the derivative is that of the left side."""
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from reference_arithmetic import Array, Function, erf, erfc, float64

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


def sigmoid(z: ArrayLike) -> Array:
    """1 / (1 + e⁻ᶻ)."""
    e = np.exp(-np.abs(float64(z)))
    return np.where(float64(z) < 0, e, 1.0) / (1 + e)


def softplus(z: ArrayLike) -> Array:
    """log(1 + eᶻ)."""
    z = float64(z)
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def normal_cdf(z: Array) -> Array:
    """Φ(z)."""
    return erfc(-z / math.sqrt(2)) / 2


def normal_pdf(z: Array) -> Array:
    """φ(z)."""
    return np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def sigmoid_prime(z: Array) -> Array:
    return sigmoid(z) * sigmoid(-z)


def tanh_prime(z: Array) -> Array:
    return 4 * sigmoid_prime(2 * z)  # 1 − tanh² without its cancellation


def elu(z: Array, alpha: float) -> Array:
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def elu_prime(z: Array, alpha: float) -> Array:
    return np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0)))


# gelu's tanh approximation is z σ(2u), u = √(2/π) (z + 0.044715 z³)
def gelu_tanh_argument(z: Array) -> Array:
    return 2 * math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)


def gelu_tanh_prime(z: Array) -> Array:
    u = gelu_tanh_argument(z)
    return sigmoid(u) + z * sigmoid_prime(u) * 2 * math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)


def relu_general(z: Array, negative_slope: float, max_value: float, threshold: float) -> Array:
    beyond = z if math.isnan(max_value) else np.minimum(z, max_value)
    return np.where(z > threshold, beyond, negative_slope * (z - threshold))


def relu_general_prime(z: Array, negative_slope: float, max_value: float, threshold: float) -> Array:
    limited = relu_general(z, negative_slope, max_value, threshold) >= max_value  # False for nan
    return np.where(limited, 0.0, np.where(z > threshold, 1.0, negative_slope))


def mish_prime(z: Array) -> Array:
    t = np.tanh(softplus(z))
    return t + z * tanh_prime(softplus(z)) * sigmoid(z)


def squareplus(z: Array, b: float) -> Array:
    """(z + √(z² + b)) / 2, for z < 0 as b / (2 (√(z² + b) − z)), where nothing cancels."""
    root = np.hypot(z, math.sqrt(b))
    return np.where(z < 0, b / 2 / (root + np.abs(z)), (np.abs(z) + root) / 2)


def cospi(z: Array) -> Array:
    """Of z less the nearest even number, which is exact."""
    return np.cos(np.pi * (z - 2 * np.round(z / 2)))


def cospi_prime(z: Array) -> Array:
    return -np.pi * np.sin(np.pi * (z - 2 * np.round(z / 2)))


def tanh_shrink(z: Array) -> Array:
    """z − tanh z, for |z| < 4 as (z cosh z − sinh z) / cosh z, whose dividend is Σ 2k z²ᵏ⁺¹ / (2k + 1)!."""
    small = np.clip(z, -4, 4)
    terms = [2 * k / math.factorial(2 * k + 1) * small ** (2 * k + 1) for k in range(1, 30)]
    return np.where(np.abs(z) < 4, sum(terms) / np.cosh(small), z - np.tanh(z))


Activation = Callable[..., Array]
ACTIVATIONS: dict[str, tuple[Activation, Activation]] = {  # name: f(z, alpha), f′(z, alpha)
    "linear": (lambda z, alpha: z, lambda z, alpha: np.ones_like(z)),
    "relu": (lambda z, alpha: np.maximum(z, 0), lambda z, alpha: np.where(z > 0, 1.0, 0.0)),
    "leaky_relu": (lambda z, alpha: np.where(z > 0, z, alpha * z), lambda z, alpha: np.where(z > 0, 1.0, alpha)),
    "elu": (elu, elu_prime),
    "selu": (
        lambda z, alpha: SELU_SCALE * elu(z, SELU_ALPHA),
        lambda z, alpha: SELU_SCALE * elu_prime(z, SELU_ALPHA),
    ),
    "sigmoid": (lambda z, alpha: sigmoid(z), lambda z, alpha: sigmoid_prime(z)),
    "tanh": (lambda z, alpha: np.tanh(z), lambda z, alpha: tanh_prime(z)),
    "softplus": (lambda z, alpha: softplus(z), lambda z, alpha: sigmoid(z)),
    "gelu": (lambda z, alpha: z * normal_cdf(z), lambda z, alpha: normal_cdf(z) + z * normal_pdf(z)),
    "gelu_tanh": (lambda z, alpha: z * sigmoid(gelu_tanh_argument(z)), lambda z, alpha: gelu_tanh_prime(z)),
    "silu": (lambda z, alpha: z * sigmoid(z), lambda z, alpha: sigmoid(z) + z * sigmoid_prime(z)),
    "relu_general": (relu_general, relu_general_prime),
    "celu": (lambda z, alpha: alpha * elu(z / alpha, 1.0), lambda z, alpha: elu_prime(z / alpha, 1.0)),
    "exponential": (lambda z, alpha: np.exp(z), lambda z, alpha: np.exp(z)),
    "hard_sigmoid": (lambda z, alpha: np.clip(z / 6 + 0.5, 0, 1), lambda z, alpha: np.where(np.abs(z) < 3, 1 / 6, 0.0)),
    "hard_silu": (
        lambda z, alpha: np.where(z <= -3, 0, z * np.clip(z / 6 + 0.5, 0, 1)),
        lambda z, alpha: np.where(np.abs(z) < 3, z / 3 + 0.5, np.where(z < 0, 0.0, 1.0)),
    ),
    "hard_tanh": (lambda z, alpha: np.clip(z, -1, 1), lambda z, alpha: np.where(np.abs(z) < 1, 1.0, 0.0)),
    "hard_shrink": (
        lambda z, threshold: np.where(np.abs(z) > threshold, z, 0),
        lambda z, threshold: np.where(np.abs(z) > threshold, 1.0, 0.0),
    ),
    "log_sigmoid": (lambda z, alpha: -softplus(-z), lambda z, alpha: sigmoid(-z)),
    "mish": (lambda z, alpha: z * np.tanh(softplus(z)), lambda z, alpha: mish_prime(z)),
    "soft_shrink": (
        lambda z, threshold: np.sign(z) * np.maximum(np.abs(z) - threshold, 0),
        lambda z, threshold: np.where(np.abs(z) > threshold, 1.0, 0.0),
    ),
    "softsign": (lambda z, alpha: z / (1 + np.abs(z)), lambda z, alpha: (1 + np.abs(z)) ** -2),
    "sparse_plus": (
        lambda z, alpha: np.where(z >= 1, z, np.maximum(z + 1, 0) ** 2 / 4),
        lambda z, alpha: np.clip((z + 1) / 2, 0, 1),
    ),
    "sparse_sigmoid": (lambda z, alpha: np.clip((z + 1) / 2, 0, 1), lambda z, alpha: np.where(np.abs(z) < 1, 0.5, 0.0)),
    "squareplus": (squareplus, lambda z, b: squareplus(z, b) / np.hypot(z, math.sqrt(b))),
    "tanh_shrink": (lambda z, alpha: tanh_shrink(z), lambda z, alpha: np.tanh(z) ** 2),
    "threshold": (
        lambda z, threshold, value: np.where(z > threshold, z, value),
        lambda z, threshold, value: np.where(z > threshold, 1.0, 0.0),
    ),
    "cospi": (lambda z, alpha: cospi(z), lambda z, alpha: cospi_prime(z)),
}
#: Numbers for which each is tested, where it takes some; the first is the one of most tests.
ACTIVATION_SETTINGS: dict[str, list[tuple[float, ...]]] = {
    "leaky_relu": [(0.3,), (0.0,), (0.01,), (1.0,), (2.5,)],
    "elu": [(0.3,), (0.0,), (0.01,), (1.0,), (2.5,)],
    "celu": [(0.3,), (0.01,), (1.0,), (2.5,)],
    "relu_general": [
        (0.3, math.nan, 1.5), (0.0, 6.0, 0.0), (0.25, 0.75, 0.0), (0.0, 2.0, 0.5), (0.0, math.nan, 0.5), (0.5, 0.0, 0.0)
    ],
    "hard_shrink": [(0.3,), (0.0,), (0.5,), (2.0,)],
    "soft_shrink": [(0.3,), (0.0,), (0.5,), (2.0,)],
    "squareplus": [(0.3,), (4.0,), (1e-6,), (100.0,)],
    "threshold": [(0.3, -2.0), (0.0, 0.0), (-0.5, 0.25)],
}  # fmt: skip

FUNCTIONS: dict[str, Function] = {
    "exp": np.exp,
    "log": np.log,
    "tanh": np.tanh,
    "erf": erf,
    "log1p": np.log1p,
    "expm1": np.expm1,
    "sigmoid": sigmoid,
}


def activate(name: str, z: ArrayLike, *parameters: float) -> Array:
    """f(z); the parameters are those that kernels.def names: 1 if none is given, else 0 where they are too few."""
    f = ACTIVATIONS[name][0]
    return f(float64(z), *taken_by(f, parameters))


def activate_prime(name: str, z: ArrayLike, *parameters: float) -> Array:
    """f′(z)."""
    f_prime = ACTIVATIONS[name][1]
    return f_prime(float64(z), *taken_by(f_prime, parameters))


def taken_by(f: Activation, parameters: tuple[float, ...]) -> tuple[float, ...]:
    """As many as it takes; the lambdas of those that take none have room for one."""
    return (*(parameters or (1.0,)), 0.0, 0.0, 0.0)[: f.__code__.co_argcount - 1]


def settings_of(name: str) -> list[tuple[float, ...]]:
    """What numbers an activation is tested with."""
    return ACTIVATION_SETTINGS.get(name, [()])


def log_softmax(z: ArrayLike) -> Array:
    """z − log Σ eᶻ, rowwise."""
    z = float64(z)
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def softmax(z: ArrayLike) -> Array:
    """eᶻ / Σ eᶻ, rowwise."""
    return np.exp(log_softmax(z))


def softmax_backward(y: ArrayLike, dy: ArrayLike) -> Array:
    """dz = y ⊙ (dy − Σ dy y): the Jacobian-vector product of y = softmax(z)."""
    y, dy = float64(y), float64(dy)
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))


def log_softmax_backward(y: ArrayLike, dy: ArrayLike) -> Array:
    """dz = dy − eʸ Σ dy."""
    y, dy = float64(y), float64(dy)
    return dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)


def sparsemax(z: ArrayLike) -> Array:
    """max(z − τ, 0), by sorting: the k largest are in the support as long as 1 + k z₍ₖ₎ > their sum."""
    z = float64(z)
    z = z - z.max(axis=-1, keepdims=True)
    ordered = -np.sort(-z, axis=-1)
    sums, k = ordered.cumsum(axis=-1), np.arange(1, z.shape[-1] + 1)
    size = (1 + k * ordered > sums).sum(axis=-1, keepdims=True)
    tau = (np.take_along_axis(sums, size - 1, axis=-1) - 1) / size
    return np.maximum(z - tau, 0)


def sparsemax_backward(y: ArrayLike, dy: ArrayLike) -> Array:
    """dy less its mean over the support, there; else 0."""
    y, dy = float64(y), float64(dy)
    support = y > 0
    return np.where(support, dy - (dy * support).sum(-1, keepdims=True) / support.sum(-1, keepdims=True), 0)


def glu(z: ArrayLike) -> Array:
    """a ⊙ sigmoid(b), z = (a, b)."""
    a, b = np.split(float64(z), 2, axis=-1)
    return a * sigmoid(b)


def glu_backward(z: ArrayLike, dy: ArrayLike) -> Array:
    a, b = np.split(float64(z), 2, axis=-1)
    return np.concatenate([dy * sigmoid(b), dy * a * sigmoid_prime(b)], axis=-1)


def ascending(z: ArrayLike) -> Array:
    """z₀, then as much more each as softplus says."""
    z = float64(z)
    return np.cumsum(np.concatenate([z[..., :1], softplus(z[..., 1:])], axis=-1), axis=-1)


def ascending_backward(z: ArrayLike, dy: ArrayLike) -> Array:
    z, later = float64(z), np.cumsum(float64(dy)[..., ::-1], axis=-1)[..., ::-1]
    return np.concatenate([later[..., :1], later[..., 1:] * sigmoid(z[..., 1:])], axis=-1)


ROWWISE: dict[str, tuple[Callable[[Any], Array], Callable[[Any, Any], Array]]] = {  # f(z); dz of what is saved, and dy
    "softmax": (softmax, softmax_backward),
    "log_softmax": (log_softmax, log_softmax_backward),
    "sparsemax": (sparsemax, sparsemax_backward),
    "glu": (glu, glu_backward),
    "ascending": (ascending, ascending_backward),
}
