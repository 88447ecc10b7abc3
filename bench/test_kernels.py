"""Activations, losses and update rules, on one thread: those that numpy_kernels.py has; families.py times all."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy_kernels
import numpy_nets
import pytest
from families import update_run

elementwise = pytest.importorskip("nncore._kernels.elementwise")
loss = pytest.importorskip("nncore._kernels.loss")
losses = pytest.importorskip("nncore.losses")
runtime = pytest.importorskip("nncore.runtime")


@pytest.fixture(autouse=True)
def one_thread(threads: int) -> None:
    if threads > 1:
        pytest.skip("stand-alone kernels run on the calling thread")


def array(shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


@pytest.mark.benchmark(group="activations, 256×512")
@pytest.mark.parametrize("name", numpy_kernels.ACTIVATIONS)
def test_activation(pair: Any, name: str) -> None:
    z, f, table = array((256, 512)), numpy_kernels.ACTIVATIONS[name], runtime.kernels("float32")
    y, scratch = np.empty_like(z), np.empty_like(z)
    pair(lambda: elementwise.apply_activation(table, name, z, y, parameters=(0.3,)), lambda: f(z, y, scratch))


@pytest.mark.benchmark(group="softmax")
@pytest.mark.parametrize("shape", [(32, 10), (256, 10), (512, 1000)], ids=lambda s: "x".join(map(str, s)))
def test_softmax(pair: Any, shape: tuple[int, int]) -> None:
    z, table = array(shape), runtime.kernels("float32")
    y = np.empty_like(z)
    pair(lambda: elementwise.apply_rowwise(table, "softmax", z, y, shape[0]), lambda: numpy_kernels.softmax(z, y, y))


@pytest.mark.benchmark(group="losses with gradient")
@pytest.mark.parametrize("shape", [(256, 10), (512, 1000)], ids=lambda s: "x".join(map(str, s)))
@pytest.mark.parametrize("name", numpy_kernels.LOSSES)
def test_loss(pair: Any, name: str, shape: tuple[int, int]) -> None:
    rows, n = shape
    p, table, f = array(shape), runtime.kernels("float32"), numpy_kernels.LOSSES[name]
    if name == "binary_crossentropy":
        p = 1 / (1 + np.exp(-p))
    labels = np.random.default_rng(1).integers(0, n, rows)
    target = np.eye(n, dtype=np.float32)[labels]
    sparse = name.startswith("sparse")
    ours_target: Any = labels.astype(np.int32) if sparse else target
    numpys_target: Any = labels if sparse else target
    grad = np.empty_like(p)
    numbers = losses.LOSSES.classes[name.removesuffix("_logits")]().numbers(name)
    options = {"scale": 1 / rows, "parameters": numbers, "grad": grad}
    pair(
        lambda: loss.apply_rows(table, "loss", name, p, ours_target, rows, n, **options),
        lambda: f(p, numpys_target, grad),
    )


@pytest.mark.benchmark(group="update rules")
@pytest.mark.parametrize("n", [1000, 100_000, 10_000_000], ids="{:_}".format)
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_update(pair: Any, name: str, n: int) -> None:
    """The plain rules; 28 bytes per parameter for Adam, 12 for SGD, in memory traffic where n is large."""
    kind = numpy_nets.Adam if name == "adam" else numpy_nets.SGD
    g = np.float32(1e-3) * array((n,), seed=1)
    numpys = kind(array((n,)), g, 1.0)  # it overwrites g by rate × g, which must not shrink to denormals
    pair(update_run(name, n), numpys.step)
