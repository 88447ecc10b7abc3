"""Products at the sizes of layers, and what a layer's bias and activation add to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nets import PRODUCTS

nn = pytest.importorskip("nncore")

COPIES = [(256, 784, 700), (256, 1024, 128), (128, 1024, 1024)]  # near where a packed copy of A or B begins to pay
LAYERS = [(4, 784, 128), (32, 784, 128), (32, 1024, 1024), (256, 784, 512), (256, 512, 10), (32, 64, 64), (32, 64, 2)]


def by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def operands(m: int, k: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k), dtype=np.float32), rng.standard_normal((k, n), dtype=np.float32)
    return a, b, np.empty((m, n), np.float32)


@pytest.mark.benchmark(group="products")
@pytest.mark.parametrize("shape", [*PRODUCTS, *COPIES, (1, 64, 64)], ids=by)
def test_product(pair: Any, shape: tuple[int, int, int]) -> None:
    """C (M,N) = A (M,K) B (K,N)."""
    (m, k, n), (a, b, out) = shape, operands(*shape)
    pair(lambda: nn.matmul(a, b, out=out), lambda: np.dot(a, b, out=out), flops=2.0 * m * k * n)


@pytest.mark.benchmark(group="products of backpropagation")
@pytest.mark.parametrize("which", ["dW", "dX"])
@pytest.mark.parametrize("shape", LAYERS, ids=by)
def test_backward(pair: Any, shape: tuple[int, int, int], which: str) -> None:
    """dW (I,O) = Xᵀ dY and dX (B,I) = dY Wᵀ of a layer given as B, I, O."""
    batch, i, o = shape
    x, w, dy = operands(*shape)
    dy[...] = 1
    flops = 2.0 * batch * i * o
    left, right, out = (x.T, dy, np.empty_like(w)) if which == "dW" else (dy, w.T, np.empty_like(x))
    pair(lambda: nn.matmul(left, right, out=out), lambda: np.dot(left, right, out=out), flops=flops)


@pytest.mark.benchmark(group="layers")
@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "gelu_tanh"])
def test_layer(pair: Any, activation: str, threads: int) -> None:
    """Y = f(X W + b) at B, I, O = 256, 784, 512."""
    import numpy_kernels

    m, k, n = 256, 784, 512
    a, b, out = operands(m, k, n)
    bias, scratch = np.ones(n, np.float32), np.empty_like(out)
    f = numpy_kernels.ACTIVATIONS[activation]
    ours = nn.activations.Gelu(approximate=True) if activation == "gelu_tanh" else activation
    layer = nn.Model([nn.Input(k), nn.Dense(n, ours)], seed=0, n_threads=threads)
    layer.set_weights([b, bias])

    def numpys() -> None:
        np.dot(a, b, out=out)
        np.add(out, bias, out=out)
        if activation != "linear":
            f(out, out, scratch)

    pair(lambda: layer(a), numpys, flops=2.0 * m * k * n)
