"""Products at the sizes of layers, and what a layer's bias and activation add to them; on one thread."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from nets import PRODUCTS

dense = pytest.importorskip("nncore._kernels.dense")
runtime = pytest.importorskip("nncore.runtime")


@pytest.fixture(autouse=True)
def one_thread(threads: int) -> None:
    if threads > 1:
        pytest.skip("the stand-alone product runs on the calling thread")


def by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def operands(m: int, k: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((m, k), dtype=np.float32), rng.standard_normal((k, n), dtype=np.float32)
    return a, b, np.empty((m, n), np.float32)


@pytest.mark.benchmark(group="products")
@pytest.mark.parametrize("shape", PRODUCTS, ids=by)
def test_product(pair: Any, shape: tuple[int, int, int]) -> None:
    """C (M,N) = A (M,K) B (K,N)."""
    (m, k, n), (a, b, out) = shape, operands(*shape)
    table = runtime.kernels("float32")
    pair(lambda: dense.gemm(table, a, b, out, m, n, k), lambda: np.dot(a, b, out=out), flops=2.0 * m * k * n)


@pytest.mark.benchmark(group="products of backpropagation")
@pytest.mark.parametrize("which", ["dW", "dX"])
@pytest.mark.parametrize("shape", [(4, 784, 128), (32, 784, 128), (256, 784, 512), (256, 512, 10)], ids=by)
def test_backward(pair: Any, shape: tuple[int, int, int], which: str) -> None:
    """dW (I,O) = Xᵀ dY and dX (B,I) = dY Wᵀ of a layer given as B, I, O."""
    batch, i, o = shape
    x, w, dy = operands(*shape)
    dy[...] = 1
    table, flops = runtime.kernels("float32"), 2.0 * batch * i * o
    if which == "dW":
        out = np.empty_like(w)
        pair(
            lambda: dense.gemm(table, x, dy, out, i, o, batch, a_transposed=True),
            lambda: np.dot(x.T, dy, out=out),
            flops=flops,
        )
    else:
        out = np.empty_like(x)
        pair(
            lambda: dense.gemm(table, dy, w, out, batch, i, o, b_transposed=True),
            lambda: np.dot(dy, w.T, out=out),
            flops=flops,
        )


@pytest.mark.benchmark(group="layers")
@pytest.mark.parametrize("activation", ["linear", "relu", "tanh", "gelu_tanh"])
def test_layer(pair: Any, activation: str) -> None:
    """Y = f(X W + b) at B, I, O = 256, 784, 512."""
    import numpy_kernels

    m, k, n = 256, 784, 512
    a, b, out = operands(m, k, n)
    bias, scratch = np.ones(n, np.float32), np.empty_like(out)
    z = np.empty_like(out) if activation == "gelu_tanh" else None  # its derivative is computed from Z
    table, f = runtime.kernels("float32"), numpy_kernels.ACTIVATIONS[activation]

    def numpys() -> None:
        np.dot(a, b, out=out)
        np.add(out, bias, out=out)
        if activation != "linear":
            f(out, out, scratch)

    pair(
        lambda: dense.gemm(table, a, b, out, m, n, k, bias=bias, activation=activation, z=z),
        numpys,
        flops=2.0 * m * k * n,
    )
