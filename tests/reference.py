"""The reference of the whole test suite: plain float64 NumPy, one formula per function.

Nothing here imports nncore. Names are those of ``src_c/kernels.def``, meanings those of ``src_c/core/contract.h``
and Keras 3; ``test_reference.py`` checks this file by central differences, published vectors and values
worked out by hand. B: batch, I: inputs, O: outputs of a layer; n: outputs per row of a loss.
"""
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

erf: Function = np.vectorize(math.erf, otypes=[np.float64])
erfc: Function = np.vectorize(math.erfc, otypes=[np.float64])

SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805
PROBABILITY_MIN = 1e-7  # Keras's epsilon: probabilities are clipped to [1e-7, 1 − 1e-7]


def float64(x: ArrayLike) -> Array:
    return np.asarray(x, dtype=np.float64)


def flush(x: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """x, but 0 of the same sign where it is smaller than the smallest normal number of `dtype`."""
    return np.where(np.abs(x) < np.finfo(dtype).tiny, np.copysign(0, x), x)


def bfloat16(x: ArrayLike) -> Array:
    """x rounded to 8 bits, to nearest, ties to even: inf beyond the largest number, 0 below the least normal one."""
    x = float64(x)
    fraction, exponent = np.frexp(x)
    y = np.ldexp(np.rint(fraction * 2**8), exponent - 8)
    y = np.where(np.abs(y) >= 2.0**128, np.copysign(np.inf, y), y)
    return np.where(np.abs(x) < 2.0**-126, 0, y)


def split_bfloat16(x: ArrayLike) -> Array:
    """x as the sum of two bfloat16, 16 bits; where the first would be inf it is cut to 8 bits instead."""
    x = float64(x)
    fraction, exponent = np.frexp(x)
    hi = bfloat16(x)
    hi = np.where(np.isinf(hi) & np.isfinite(x), np.ldexp(np.trunc(fraction * 2**8), exponent - 8), hi)
    with np.errstate(invalid="ignore"):
        return np.where(np.isfinite(x), hi + bfloat16(x - hi), x)


# --- activations: f(z) and f′(z); at a kink the derivative is that of the left side ------------------------


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


# --- losses: value per row (B,) and its gradient (B,n) ----------------------------------------------------------


def huber(p: Array, t: Array, delta: float) -> Array:
    e = np.abs(p - t)
    return np.where(e <= delta, e**2 / 2, delta * e - delta**2 / 2).mean(axis=1)


def clip_probability(p: Array) -> Array:
    return np.clip(p, PROBABILITY_MIN, 1 - PROBABILITY_MIN)


def binary_crossentropy(p: Array, t: Array, param: float) -> Array:
    q = clip_probability(p)
    return -(t * np.log(q) + (1 - t) * np.log1p(-q)).mean(axis=1)


def binary_crossentropy_prime(p: Array, t: Array, param: float) -> Array:
    """(q − t) / (q (1 − q) n) at the clipped q, and 0 where p lies outside the clipping range."""
    q = clip_probability(p)
    return np.where(p == q, (q - t) / (q * (1 - q)), 0.0) / p.shape[1]


def binary_crossentropy_logits(z: Array, t: Array, param: float) -> Array:
    return (softplus(z) - t * z).mean(axis=1)


def one_hot(labels: ArrayLike, n: int) -> Array:
    return np.eye(n)[np.asarray(labels, dtype=np.int64)]


def crossentropy_logits(z: Array, t: Array, param: float) -> Array:
    return -np.multiply(t, log_softmax(z), out=np.zeros_like(z), where=t != 0).sum(axis=1)  # 0 log 0 is 0


def crossentropy_logits_prime(z: Array, t: Array, param: float) -> Array:
    return softmax(z) * t.sum(axis=1, keepdims=True) - t


LossFunction = Callable[[Array, Array, float], Array]
LOSSES: dict[str, tuple[LossFunction, LossFunction]] = {  # name: per-row value, gradient; of (p, target, param)
    "mean_squared_error": (
        lambda p, t, param: ((p - t) ** 2).mean(axis=1),
        lambda p, t, param: 2 * (p - t) / p.shape[1],
    ),
    "mean_absolute_error": (
        lambda p, t, param: np.abs(p - t).mean(axis=1),
        lambda p, t, param: np.sign(p - t) / p.shape[1],
    ),
    "huber": (huber, lambda p, t, delta: np.clip(p - t, -delta, delta) / p.shape[1]),
    "binary_crossentropy": (binary_crossentropy, binary_crossentropy_prime),
    "binary_crossentropy_logits": (
        binary_crossentropy_logits,
        lambda z, t, param: (sigmoid(z) - t) / z.shape[1],
    ),
    "categorical_crossentropy_logits": (crossentropy_logits, crossentropy_logits_prime),
    "sparse_categorical_crossentropy_logits": (
        lambda z, labels, param: crossentropy_logits(z, one_hot(labels, z.shape[1]), param),
        lambda z, labels, param: crossentropy_logits_prime(z, one_hot(labels, z.shape[1]), param),
    ),
}


def loss(
    name: str,
    p: ArrayLike,
    target: ArrayLike,
    weight: ArrayLike | None = None,
    scale: float = 1.0,
    param: float = 1.0,
) -> tuple[float, Array]:
    """Σᵢ weightᵢ lossᵢ, and the gradient weightᵢ scale ∂lossᵢ/∂p of shape (B,n)."""
    p, target = float64(p), float64(target)
    w = np.ones(len(p)) if weight is None else float64(weight)
    value, gradient = LOSSES[name]
    return float(w @ value(p, target, param)), (w * scale)[:, None] * gradient(p, target, param)


def prelu(x: Array, slope: Array) -> Array:
    """max(x, 0) + slope min(x, 0)."""
    return np.maximum(x, 0) + slope * np.minimum(x, 0)


def layer_norm(x: Array, axes: int, epsilon: float, gamma: Array, beta: Array) -> Array:
    """γ (x − μ) / √(σ² + ε) + β over the last `axes` axes."""
    last = tuple(range(-axes, 0))
    x = float64(x)
    return gamma * (x - x.mean(last, keepdims=True)) / np.sqrt(x.var(last, keepdims=True) + epsilon) + beta


# --- optimizers ---------------------------------------------------------------------------------------------


@dataclass
class Rule:
    """The hyper-parameters of an update, named as in ``optimizers.def``; each rule listens to some."""

    learning_rate: float = 0.01
    weight_decay: float = 0.0
    grad_scale: float = 1.0
    clip_value: float = math.inf
    momentum: float = 0.0
    beta_1: float = 0.9
    beta_2: float = 0.999
    rho: float = 0.9
    epsilon: float = 1e-7
    nesterov: bool = False
    centered: bool = False
    amsgrad: bool = False
    initial_accumulator_value: float = 0.1
    learning_rate_power: float = -0.5
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0
    beta: float = 0.0
    warmup_steps: float = 0.0
    adam_beta_1: float = 0.9
    adam_beta_2: float = 0.999
    beta_2_decay: float = -0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 1e-3
    clip_threshold: float = 1.0
    relative_step: bool = True
    muon_a: float = 3.4445
    muon_b: float = -4.775
    muon_c: float = 2.0315


def sgd(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: m. m ← μ m − η g;  w += m, or with Nesterov's momentum w += μ m − η g."""
    (m, *_) = state
    m[...] = r.momentum * m - r.learning_rate * g
    return w + (r.momentum * m - r.learning_rate * g if r.nesterov else m)


def moments(g: Array, state: Sequence[Array], r: Rule) -> tuple[Array, Array]:
    """Running means of g and g², the first two arrays of the state."""
    m, v = state[:2]
    m[...] = r.beta_1 * m + (1 - r.beta_1) * g
    v[...] = r.beta_2 * v + (1 - r.beta_2) * g**2
    return m, v


def adam(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: m, v. w −= α m / (√v + ε),  α = η √(1 − β₂ᵗ) / (1 − β₁ᵗ); the greatest v so far with amsgrad."""
    m, v = moments(g, state, r)
    if r.amsgrad:
        state[2][...] = v = np.maximum(state[2], v)
    alpha = r.learning_rate * math.sqrt(1 - r.beta_2**step) / (1 - r.beta_1**step)
    return w - alpha * m / (np.sqrt(v) + r.epsilon)


def rmsprop(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: v, m, a. w −= m,  m ← μ m + η g / √(v − a² + ε), where a (the mean gradient) is 0 unless centered."""
    v, m, a = state
    v[...] = r.rho * v + (1 - r.rho) * g**2
    if r.centered:
        a[...] = r.rho * a + (1 - r.rho) * g
    m[...] = r.momentum * m + r.learning_rate * g / np.sqrt(v - a**2 + r.epsilon)
    return w - m


def adagrad(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: a, the sum of g² on top of what it starts with. w −= η g / √(a + ε)."""
    (a, *_) = state
    a[...] = (r.initial_accumulator_value if step == 1 else a) + g**2
    return w - r.learning_rate * g / np.sqrt(a + r.epsilon)


def adadelta(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: mean of g², mean of d². w −= η d,  d = RMS(d) / RMS(g) g."""
    v, u, *_ = state
    v[...] = r.rho * v + (1 - r.rho) * g**2
    d = np.sqrt((u + r.epsilon) / (v + r.epsilon)) * g
    u[...] = r.rho * u + (1 - r.rho) * d**2
    return w - r.learning_rate * d


def adamax(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: m, u. w −= η / (1 − β₁ᵗ) m / (u + ε),  u = max(β₂ u, |g|)."""
    m, u, *_ = state
    m[...] = r.beta_1 * m + (1 - r.beta_1) * g
    u[...] = np.maximum(r.beta_2 * u, np.abs(g))
    return w - r.learning_rate / (1 - r.beta_1**step) * m / (u + r.epsilon)


def nadam(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: m, v. The products of μ step by step."""
    m, v = moments(g, state, r)
    mu = [r.beta_1 * (1 - 0.5 * 0.96**t) for t in range(1, step + 2)]
    now, then = math.prod(mu[:-1]), math.prod(mu)
    ahead = mu[-1] * m / (1 - then) + (1 - mu[-2]) * g / (1 - now)
    return w - r.learning_rate * ahead / (np.sqrt(v / (1 - r.beta_2**step)) + r.epsilon)


def ftrl(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: n, z. w = (clip(z, ±l1) − z) / (nᵖ / η + 2 l2 + β / η)."""
    n, z, *_ = state
    before = r.initial_accumulator_value + 0 * n if step == 1 else n.copy()
    n[...] = before + g**2
    power = -r.learning_rate_power
    rise, high = before**power * np.expm1(power * np.log1p(g**2 / before)), n**power
    z += g + 2 * r.l2_shrinkage_regularization_strength * w - rise / r.learning_rate * w
    l1 = r.l1_regularization_strength
    return (np.clip(z, -l1, l1) - z) / ((high + r.beta) / r.learning_rate + 2 * r.l2_regularization_strength)


def lion(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: m. w −= η sign(β₁ m + (1 − β₁) g)."""
    (m, *_) = state
    d = np.sign(r.beta_1 * m + (1 - r.beta_1) * g)
    m[...] = r.beta_2 * m + (1 - r.beta_2) * g
    return w - r.learning_rate * d


def schedule_free_adamw(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: z, v. w = (1 − β₁) z + β₁ x, where x is the mean of all z since the start."""
    z, v, *_ = state
    z[...] = w if step == 1 else z
    x = (w - (1 - r.beta_1) * z) / r.beta_1
    v[...] = r.beta_2 * v + (1 - r.beta_2) * g**2
    warm = min(step / r.warmup_steps, 1) if r.warmup_steps else 1
    z -= r.learning_rate * warm * g / (np.sqrt(v / (1 - r.beta_2**step)) + r.epsilon)
    return (1 - r.beta_1) * z + r.beta_1 * (x * (1 - 1 / step) + z / step)


def lamb(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: m, v. w −= η ‖w‖ / ‖u‖ u, where w is one parameter."""
    m, v = moments(g, state, r)
    u = m / (1 - r.beta_1**step) / (np.sqrt(v / (1 - r.beta_2**step)) + r.epsilon)
    norms = np.linalg.norm(w), np.linalg.norm(u)
    return w - r.learning_rate * (norms[0] / norms[1] if all(norms) else 1) * u


def adafactor(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """state: row, column, of the shapes (…, rows) and (…, columns); of a vector v in the former."""
    row, column, *_ = state
    keep, square = 1 - step**r.beta_2_decay, g**2 + r.epsilon_1
    if w.ndim < 2:
        v = row[...] = keep * row + (1 - keep) * square
    else:
        row[...] = keep * row + (1 - keep) * square.mean(-1)
        column[...] = keep * column + (1 - keep) * square.mean(-2)
        v = (row / row.mean(-1, keepdims=True))[..., None] * column[..., None, :]
    u = g / np.sqrt(v)
    u /= max(1.0, math.sqrt((u**2).mean()) / r.clip_threshold)
    return w - max(r.epsilon_2, math.sqrt((w**2).mean())) * min(r.learning_rate, step**-0.5) * u


def muon(w: Array, g: Array, state: Sequence[Array], r: Rule, step: int) -> Array:
    """Its rule for what is no matrix: Adam."""
    return adam(w, g, state, replace(r, beta_1=r.adam_beta_1, beta_2=r.adam_beta_2), step)


def orthogonalized(x: Array, steps: int, a: float, b: float, c: float) -> Array:
    """X / ‖X‖ after `steps` times X ← a X + b (X Xᵀ) X + c (X Xᵀ)² X."""
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(steps):
        s = x @ x.T
        x = a * x + (b * s + c * s @ s) @ x
    return x


OPTIMIZERS = {
    "sgd": sgd,
    "adam": adam,
    "rmsprop": rmsprop,
    "adagrad": adagrad,
    "adadelta": adadelta,
    "adamax": adamax,
    "nadam": nadam,
    "ftrl": ftrl,
    "lion": lion,
    "schedule_free_adamw": schedule_free_adamw,
    "lamb": lamb,
    "adafactor": adafactor,
    "muon": muon,
}


def update(name: str, w: ArrayLike, g: ArrayLike, state: Sequence[Array], rule: Rule, step: int) -> Array:
    """The new w; `state` is changed in place. Gradient scaling and clipping, then weight decay, then the rule."""
    g = np.clip(rule.grad_scale * float64(g), -rule.clip_value, rule.clip_value)
    w = float64(w) * (1 - rule.learning_rate * rule.weight_decay)
    return OPTIMIZERS[name](w, g, state, rule, step)


def states(name: str, shape: tuple[int, ...]) -> list[Array]:
    """The state of one parameter before the first step, as the formulas take it."""
    if name == "adafactor" and len(shape) > 1:
        return [np.zeros(shape[:-1]), np.zeros((*shape[:-2], shape[-1]))]
    return [np.zeros(shape) for _ in range(3)]


def norm_scale(gradients: Sequence[Array], clip_norm: float) -> float:
    """The factor that brings the joint norm of `gradients` down to `clip_norm`; 1 where it is not above."""
    norm = math.sqrt(math.fsum(float((float64(g) ** 2).sum()) for g in gradients))
    return clip_norm / norm if norm > clip_norm else 1.0


def regularize(w: ArrayLike, l1: float, l2: float) -> tuple[float, Array]:
    """l1 Σ|w| + l2 Σw², and its gradient."""
    w = float64(w)
    return float(l1 * np.abs(w).sum() + l2 * (w**2).sum()), l1 * np.sign(w) + 2 * l2 * w


# --- random numbers -----------------------------------------------------------------------------------------

MASK32 = 0xFFFFFFFF


def philox4x32_10(counter: Sequence[int], key: Sequence[int]) -> tuple[int, int, int, int]:
    """Ten rounds of Philox-4x32 (Salmon et al., SC 2011) in Python integers."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK32, (p0 >> 32) ^ c3 ^ k1, p0 & MASK32
        k0, k1 = (k0 + 0x9E3779B9) & MASK32, (k1 + 0xBB67AE85) & MASK32
    return c0, c1, c2, c3


def uniform(position: int, key: Sequence[int]) -> float:
    """u in [0,1) of one element; 64 elements share 16 counters, so that a vector of counters gives 4 vectors of u."""
    block, e = divmod(position, 64)
    count = 16 * block + e % 16
    counter = (count & MASK32, count >> 32, key[1] & MASK32, key[1] >> 32)
    return (philox4x32_10(counter, (key[0] & MASK32, key[0] >> 32))[e // 16] >> 8) * 2.0**-24


def dropout_mask(n: int, first: int, key: Sequence[int], rate: float) -> Array:
    """Factors of elements first … first+n−1: 0 with probability `rate`, else 1 / (1 − rate)."""
    return float64([(uniform(first + i, key) >= rate) / (1 - rate) for i in range(n)])


# --- networks -----------------------------------------------------------------------------------------------


def dense(x: ArrayLike, w: ArrayLike, b: ArrayLike | None = None) -> Array:
    """Z (B,O) = X (B,I) W (I,O) + b."""
    z = float64(x) @ float64(w)
    return z if b is None else z + float64(b)


def dense_backward(x: ArrayLike, w: ArrayLike, dz: ArrayLike) -> tuple[Array, Array, Array]:
    """dX = dZ Wᵀ,  dW = Xᵀ dZ,  db = Σ dZ over the batch."""
    x, w, dz = float64(x), float64(w), float64(dz)
    return dz @ w.T, x.T @ dz, dz.sum(axis=0)


@dataclass
class MLP:
    """A stack of dense layers with everything spelled out, for comparisons of whole trainings.

    A loss named …_logits is computed on the last layer's Z, whatever `output` is; `output` is what `predict` applies.
    """

    weights: list[Array]  # W, b, W, b, …; Keras's order
    hidden: str = "relu"
    output: str = "softmax"  # an activation's name, or softmax
    loss: str = "sparse_categorical_crossentropy_logits"
    optimizer: str = "sgd"
    rule: Rule = field(default_factory=Rule)
    l2: float = 0.0  # of the kernels
    alpha: float = 1.0
    param: float = 1.0
    clipnorm: float = math.inf  # per tensor
    global_clipnorm: float = math.inf
    steps: int = 0

    def __post_init__(self) -> None:
        self.weights = [float64(w).copy() for w in self.weights]
        self.state = [states(self.optimizer, w.shape) for w in self.weights]

    def forward(self, x: ArrayLike) -> tuple[list[Array], list[Array]]:
        """Inputs X and sums Z of every layer."""
        xs, zs = [float64(x)], list[Array]()
        for w, b in zip(self.weights[::2], self.weights[1::2], strict=True):
            zs.append(dense(xs[-1], w, b))
            xs.append(activate(self.hidden, zs[-1], self.alpha))
        return xs[:-1], zs

    def activated(self, z: Array) -> Array:
        return softmax(z) if self.output == "softmax" else activate(self.output, z, self.alpha)

    def predict(self, x: ArrayLike) -> Array:
        return self.activated(self.forward(x)[1][-1])

    def gradients(self, x: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None) -> tuple[float, list[Array]]:
        """The loss of a batch, averaged over its rows, with regularizers; and its gradient by every weight."""
        xs, zs = self.forward(x)
        scale, z = 1 / len(zs[-1]), zs[-1]
        if self.loss.endswith("_logits"):
            total, dz = loss(self.loss, z, target, weight, scale, self.param)
        else:
            y = self.activated(z)
            total, dy = loss(self.loss, y, target, weight, scale, self.param)
            softmaxed = self.output == "softmax"
            dz = softmax_backward(y, dy) if softmaxed else dy * activate_prime(self.output, z, self.alpha)
        value, grads = total * scale, list[Array]()
        for layer in reversed(range(len(zs))):
            w = self.weights[2 * layer]
            dx, dw, db = dense_backward(xs[layer], w, dz)
            penalty, dpenalty = regularize(w, 0.0, self.l2)
            value, grads = value + penalty, [dw + dpenalty, db, *grads]
            if layer:
                dz = dx * activate_prime(self.hidden, zs[layer - 1], self.alpha)
        return value, grads

    def step(self, x: ArrayLike, target: ArrayLike, weight: ArrayLike | None = None) -> float:
        """One update from one batch; returns the loss before it."""
        value, grads = self.gradients(x, target, weight)
        self.steps += 1
        together = norm_scale(grads, self.global_clipnorm)
        for i, g in enumerate(grads):
            g = together * norm_scale([g], self.clipnorm) * g
            self.weights[i] = update(self.optimizer, self.weights[i], g, self.state[i], self.rule, self.steps)
        return value
