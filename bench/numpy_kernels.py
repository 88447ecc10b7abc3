"""NumPy's side of the kernel benchmarks: float32, in place where it can, as few passes as it takes.

Each maker takes the arrays and returns the function to time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Run = Callable[[], object]

ZERO, HALF, ONE, TWO = (np.float32(c) for c in (0, 0.5, 1, 2))
ALPHA = np.float32(0.3)  # slope of leaky_relu, scale of elu
SELU_ALPHA, SELU_SCALE = np.float32(1.6732632), np.float32(1.0507010)
GELU_SCALE, GELU_CUBIC = np.float32(0.7978845608), np.float32(0.044715)


def linear(z: Array, y: Array, s: Array) -> None:
    np.copyto(y, z)


def relu(z: Array, y: Array, s: Array) -> None:
    np.maximum(z, ZERO, out=y)


def leaky_relu(z: Array, y: Array, s: Array) -> None:
    np.multiply(z, ALPHA, out=s)
    np.maximum(z, s, out=y)


def elu(z: Array, y: Array, s: Array, alpha: np.float32 = ALPHA) -> None:
    np.minimum(z, ZERO, out=s)
    np.expm1(s, out=s)
    np.multiply(s, alpha, out=s)
    np.maximum(z, ZERO, out=y)
    np.add(y, s, out=y)


def selu(z: Array, y: Array, s: Array) -> None:
    elu(z, y, s, SELU_ALPHA)
    np.multiply(y, SELU_SCALE, out=y)


def sigmoid(z: Array, y: Array, s: Array) -> None:
    np.multiply(z, HALF, out=y)
    np.tanh(y, out=y)  # stable, and faster than 1 / (1 + exp(−z))
    np.multiply(y, HALF, out=y)
    np.add(y, HALF, out=y)


def tanh(z: Array, y: Array, s: Array) -> None:
    np.tanh(z, out=y)


def softplus(z: Array, y: Array, s: Array) -> None:
    np.abs(z, out=s)
    np.negative(s, out=s)
    np.exp(s, out=s)
    np.log1p(s, out=s)
    np.maximum(z, ZERO, out=y)
    np.add(y, s, out=y)


def gelu_tanh(z: Array, y: Array, s: Array) -> None:
    np.multiply(z, z, out=s)
    np.multiply(s, GELU_CUBIC, out=s)
    np.add(s, ONE, out=s)
    np.multiply(s, z, out=s)
    np.multiply(s, GELU_SCALE, out=s)
    np.tanh(s, out=s)
    np.add(s, ONE, out=s)
    np.multiply(s, z, out=s)
    np.multiply(s, HALF, out=y)


def silu(z: Array, y: Array, s: Array) -> None:
    sigmoid(z, s, y)
    np.multiply(z, s, out=y)


def softmax(z: Array, y: Array, s: Array) -> None:
    np.subtract(z, z.max(axis=1, keepdims=True), out=y)
    np.exp(y, out=y)
    np.divide(y, y.sum(axis=1, keepdims=True), out=y)


# gelu is missing: NumPy has no erf
ACTIVATIONS = {f.__name__: f for f in (linear, relu, leaky_relu, elu, selu, sigmoid, tanh, softplus, gelu_tanh, silu)}


def mean_squared_error(p: Array, t: Array, g: Array) -> float:
    np.subtract(p, t, out=g)
    loss = float(np.vdot(g, g)) / p.size
    np.multiply(g, np.float32(2 / p.size), out=g)
    return loss


def mean_absolute_error(p: Array, t: Array, g: Array) -> float:
    np.subtract(p, t, out=g)
    s = np.abs(g)
    loss = float(s.mean())
    np.sign(g, out=s)  # in place it would be ten times slower
    np.multiply(s, np.float32(1 / p.size), out=g)
    return loss


def huber(p: Array, t: Array, g: Array) -> float:
    d = np.subtract(p, t)
    np.clip(d, -ONE, ONE, out=g)
    loss = float(np.vdot(g, d)) / p.size - 0.5 * float(np.vdot(g, g)) / p.size  # c (d − c/2), c the clipped d
    np.multiply(g, np.float32(1 / p.size), out=g)
    return loss


def binary_crossentropy(p: Array, t: Array, g: Array) -> float:
    q = np.clip(p, np.float32(1e-7), np.float32(1 - 1e-7))
    r = ONE - q
    loss = -float(np.vdot(t, np.log(q)) + np.vdot(ONE - t, np.log(r))) / p.size
    np.subtract(q, t, out=g)
    np.multiply(q, r, out=q)
    np.divide(g, q, out=g)
    np.multiply(g, np.float32(1 / p.size), out=g)
    return loss


def binary_crossentropy_logits(p: Array, t: Array, g: Array) -> float:
    s = np.empty_like(p)
    softplus(p, g, s)
    loss = float(g.sum() - np.vdot(p, t)) / p.size
    sigmoid(p, g, s)
    np.subtract(g, t, out=g)
    np.multiply(g, np.float32(1 / p.size), out=g)
    return loss


def categorical_crossentropy_logits(p: Array, t: Array, g: Array) -> float:
    np.subtract(p, p.max(axis=1, keepdims=True), out=g)
    inner = float(np.vdot(t, g))
    np.exp(g, out=g)
    total = g.sum(axis=1, keepdims=True)
    loss = (float(np.log(total).sum()) - inner) / len(p)
    np.divide(g, total, out=g)
    np.subtract(g, t, out=g)
    np.multiply(g, np.float32(1 / len(p)), out=g)
    return loss


def sparse_categorical_crossentropy_logits(p: Array, labels: NDArray[np.int64], g: Array) -> float:
    softmax(p, g, g)
    flat, hot = g.reshape(-1), np.arange(len(p)) * p.shape[1] + labels
    loss = -float(np.log(flat[hot]).mean())
    flat[hot] -= 1
    np.multiply(g, np.float32(1 / len(p)), out=g)
    return loss


LOSSES = {
    f.__name__: f
    for f in (
        mean_squared_error,
        mean_absolute_error,
        huber,
        binary_crossentropy,
        binary_crossentropy_logits,
        categorical_crossentropy_logits,
        sparse_categorical_crossentropy_logits,
    )
}
