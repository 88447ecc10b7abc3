"""Training steps and predictions as fast as NumPy allows: float32, preallocated, in place, products by BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np
from nets import Net
from numpy.typing import NDArray

Array = NDArray[np.float32]

CHUNK = 32768  # parameters that an optimizer's passes take at a time, so that they stay in L2
SMALL = 4096  # elements below which NumPy's call overhead, not its loops, decides


class NumpyNet:
    """One net with its buffers; `epoch` trains on shuffled batches, `predict` gives class probabilities."""

    def __init__(self, net: Net) -> None:
        self.net, batch = net, net.batch
        weights = net.weights()
        flat = np.concatenate([a.ravel() for pair in weights for a in pair])
        self.W, self.b = views(flat, weights)
        self.grad = np.zeros_like(flat)
        self.dW, self.db = views(self.grad, weights)
        self.W_T = [w.T for w in self.W]
        self.optimizer = (Adam if net.optimizer == "adam" else SGD)(flat, self.grad, net.learning_rate)

        self.Y = [np.empty((batch, n), np.float32) for n in net.widths]  # Y[0] is the gathered input
        self.Y_T = [y.T for y in self.Y]
        self.dY = [np.empty_like(y) for y in self.Y]
        self.mask: list[NDArray[Any]] = [np.empty(y.shape, np.float32 if y.size < SMALL else np.bool_) for y in self.Y]
        self.labels = np.empty(batch, np.int64)
        self.hot = np.empty(batch, np.int64)  # positions of the labels in the flat last Y
        self.row_start = np.arange(batch) * net.widths[-1]
        self.picked = np.empty(batch, np.float32)
        self.column = np.empty((batch, 1), np.float32)
        self.ones = np.ones(batch, np.float32)
        self.rng = np.random.default_rng(0)

    def epoch(self, x: Array, y: NDArray[np.int64]) -> float:
        """Train on every full batch of shuffled rows; returns the mean loss."""
        order, batch, total = self.rng.permutation(len(x)), self.net.batch, 0.0
        for first in range(0, len(x), batch):
            rows = order[first : first + batch]
            x.take(rows, axis=0, out=self.Y[0], mode="clip")  # "clip" writes to `out` without a copy
            y.take(rows, out=self.labels, mode="clip")
            total += self.step()
        return total * batch / len(x)

    def step(self) -> float:
        """One update from the batch in Y[0] and labels; returns its loss."""
        last = len(self.W)
        for k in range(last):
            z = self.Y[k + 1]
            np.dot(self.Y[k], self.W[k], out=z)
            np.add(z, self.b[k], out=z)
            if k + 1 < last:
                np.maximum(z, ZERO, out=z)
        loss = self.crossentropy()
        dz = self.Y[last]
        for k in reversed(range(last)):
            np.dot(self.Y_T[k], dz, out=self.dW[k])
            np.dot(self.ones, dz, out=self.db[k])
            if k:
                dx, y, mask = self.dY[k], self.Y[k], self.mask[k]
                np.dot(dz, self.W_T[k], out=dx)
                if mask.dtype == np.bool_:
                    np.greater(y, ZERO, out=mask)
                else:
                    np.sign(y, out=mask)
                dz = np.multiply(dx, mask, out=dx)
        self.optimizer.step()
        return loss

    def crossentropy(self) -> float:
        """The mean loss of the last Z, which is overwritten by its gradient."""
        z, column = self.Y[-1], self.column
        softmax(z, column)
        np.add(self.row_start, self.labels, out=self.hot)
        flat = z.reshape(-1)
        flat.take(self.hot, out=self.picked, mode="clip")
        loss = -float(np.log(self.picked, out=self.picked).mean())
        flat[self.hot] -= 1
        z *= np.float32(1 / len(z))
        return loss

    def predict(self, x: Array) -> Array:
        """Class probabilities of any number of rows."""
        for k, (w, b) in enumerate(zip(self.W, self.b, strict=True)):
            x = np.dot(x, w)
            x += b
            if k + 1 < len(self.W):
                np.maximum(x, ZERO, out=x)
        return softmax(x, np.empty((len(x), 1), np.float32))


ZERO = np.float32(0)


def softmax(z: Array, column: Array) -> Array:
    """In place, row by row; `column` (rows,1) is scratch."""
    np.maximum.reduce(z, axis=1, keepdims=True, out=column)
    np.subtract(z, column, out=z)
    np.exp(z, out=z)
    np.add.reduce(z, axis=1, keepdims=True, out=column)
    return np.divide(z, column, out=z)


def views(flat: Array, like: list[tuple[Array, Array]]) -> tuple[list[Array], list[Array]]:
    """W and b of every layer as views of one array."""
    W, b, first = [], [], 0
    for w0, b0 in like:
        W.append(flat[first : first + w0.size].reshape(w0.shape))
        first += w0.size
        b.append(flat[first : first + b0.size])
        first += b0.size
    return W, b


class SGD:
    """w −= η g; g is overwritten."""

    def __init__(self, w: Array, g: Array, learning_rate: float) -> None:
        self.chunks = [(w[i : i + CHUNK], g[i : i + CHUNK]) for i in range(0, w.size, CHUNK)]
        self.learning_rate = np.float32(learning_rate)

    def step(self) -> None:
        for w, g in self.chunks:
            np.multiply(g, self.learning_rate, out=g)
            np.subtract(w, g, out=w)


class Adam:
    """m += (1 − β₁)(g − m), v += (1 − β₂)(g² − v), w −= α m / (√v + ε); g is overwritten."""

    def __init__(self, w: Array, g: Array, learning_rate: float) -> None:
        m, v = np.zeros_like(w), np.zeros_like(w)
        self.chunks = [tuple(a[i : i + CHUNK] for a in (w, g, m, v)) for i in range(0, w.size, CHUNK)]
        self.scratch = np.empty(min(w.size, CHUNK), np.float32)
        self.learning_rate, self.t = learning_rate, 0

    def step(self) -> None:
        self.t += 1
        alpha = np.float32(self.learning_rate * (1 - 0.999**self.t) ** 0.5 / (1 - 0.9**self.t))
        for w, g, m, v in self.chunks:
            s = self.scratch[: w.size]
            np.subtract(g, m, out=s)
            np.multiply(s, GAIN_1, out=s)
            np.add(m, s, out=m)
            np.multiply(g, g, out=g)
            np.subtract(g, v, out=g)
            np.multiply(g, GAIN_2, out=g)
            np.add(v, g, out=v)
            np.sqrt(v, out=g)
            np.add(g, EPSILON, out=g)
            np.multiply(m, alpha, out=s)
            np.divide(s, g, out=s)
            np.subtract(w, s, out=w)


GAIN_1, GAIN_2, EPSILON = np.float32(0.1), np.float32(0.001), np.float32(1e-7)
