"""The same trainings in PyTorch, for every activation: the same weights after several steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch_twins import (
    HIDDEN,
    INPUTS,
    ROWS,
    STEPS,
    F,
    Twin,
    assert_moved_alike,
    labels,
    mlp,
    softmax,
    torch,
    torch_step,
)

import nncore as nn

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_torch_thread")]


def sparsemax(z: Any) -> Any:
    """By sorting, as in the paper."""
    ordered = z.sort(dim=-1, descending=True).values
    sums, k = ordered.cumsum(-1), torch.arange(1, z.shape[-1] + 1)
    size = (1 + k * ordered > sums).sum(-1, keepdim=True)
    return (z - (sums.gather(-1, size - 1) - 1) / size).clamp(min=0)


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": F.relu,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.2),
    "elu": F.elu,
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "gelu": F.gelu,
    "silu": F.silu,
    "softmax": softmax,
    "linear": lambda z: z,
    "celu": F.celu,
    "cospi": lambda z: torch.cos(torch.pi * z),
    "exponential": torch.exp,
    "glu": F.glu,
    "hard_shrink": F.hardshrink,
    "hard_sigmoid": lambda z: (z + 3).clamp(0, 6) / 6,  # F.hardsigmoid has a sixth of float32
    "hard_silu": F.hardswish,
    "hard_tanh": F.hardtanh,
    "log_sigmoid": F.logsigmoid,
    "log_softmax": lambda z: F.log_softmax(z, dim=-1),
    "mish": F.mish,
    "relu6": F.relu6,
    "soft_shrink": F.softshrink,
    "softsign": F.softsign,
    "sparse_plus": lambda z: torch.where(z >= 1, z, (z.clamp(-1, 1) + 1) ** 2 / 4),
    "sparse_sigmoid": lambda z: ((z + 1) / 2).clamp(0, 1),
    "sparsemax": sparsemax,
    "squareplus": lambda z: (z + torch.sqrt(z * z + 4)) / 2,
    "tanh_shrink": F.tanhshrink,
    "threshold": lambda z: F.threshold(z, 0.0, 0.0),
}


#: Of inputs and learning rate: the one would diverge, the other's slopes make much of roundings.
SCALES = {"exponential": 0.01, "cospi": 0.1}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [*ACTIVATIONS, "gelu_tanh"])
def test_activations(name: str, dtype: str) -> None:
    approximate = name == "gelu_tanh"
    mine: Any = nn.activations.Gelu(approximate=True) if approximate else name
    function = (lambda z: F.gelu(z, approximate="tanh")) if approximate else ACTIVATIONS[name]
    scale = SCALES.get(name, 1.0)
    model = mlp(dtype, "softmax", mine, HIDDEN + (name == "glu"))
    model.compile(nn.SGD(0.3 * scale, momentum=0.5), "sparse_categorical_crossentropy")
    start = model.get_weights()
    twin = Twin(model, function)
    theirs = torch.optim.SGD(twin.parameters, lr=0.3 * scale, momentum=0.5)
    rng = np.random.default_rng(7)
    for step in range(1, STEPS + 1):
        x, t = (scale * rng.standard_normal((ROWS, INPUTS))).astype(dtype), labels(rng)
        logits = twin.logits(torch.from_numpy(x))
        rtol = 1e-11 if dtype == "float64" else 1e-4
        np.testing.assert_allclose(model.predict(x), softmax(logits).detach(), rtol=rtol)
        torch_step(twin, model.optimizer, theirs, F.cross_entropy(logits, torch.from_numpy(t)), 0, step)
        model.train_on_batch(x, t)
    assert_moved_alike(model, twin, start, dtype)


def test_every_activation_is_compared() -> None:
    assert sorted([*ACTIVATIONS, "ascending"]) == nn.activations.ACTIVATIONS.names()
