"""The reference of the whole test suite: plain float64 NumPy, one formula per function.

Losses, layers, random numbers and networks stand here; arithmetic, activations and optimizers in modules beside it,
whose names are names of this one, too. Nothing imports nncore. Names are those of ``src_c/kernels.def``, meanings those
of ``src_c/core/contract.h`` and Keras 3; ``test_reference.py`` checks them by central differences, vectors and
values worked out by hand or published. B: batch, I: inputs, O: outputs of a layer; n: outputs per row of a loss.
"""
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from reference_activations import *
from reference_arithmetic import *
from reference_optimizers import *

PROBABILITY_MIN = 1e-7  # Keras's epsilon: probabilities are clipped to [1e-7, 1 − 1e-7]


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
