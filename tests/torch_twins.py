"""The same network, weights and batches in PyTorch, and the optimizers of both as one formula.

Where the two libraries mean different things by a name, PyTorch is given what nncore means:

- Adam's epsilon stands beside √v here and beside √(v / (1 − β₂ᵗ)) there, so eps = epsilon / √(1 − β₂ᵗ), set anew at
  each step t, makes the formulas equal;
- RMSprop's epsilon stands inside the root here, √(v + ε), and outside there, √v + eps. Both are taken so small that
  neither counts, except to make 0 / 0 zero: eps = √ε;
- weight decay is decoupled here, W ← W (1 − η λ) before the rule, as in PyTorch's AdamW; its other optimizers add
  λ W to the gradient, so there the decay is done by hand;
- PyTorch scales gradients by c / (norm + 1e-6), nncore by c / norm: the clipped gradients are corrected for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn

torch = pytest.importorskip("torch", reason="PyTorch is not installed: parity with it is not tested")
F = torch.nn.functional
Array = NDArray[Any]

STEPS, ROWS, INPUTS, HIDDEN, OUTPUTS = 6, 13, 7, 9, 4
TINY = 1e-36
#: Of the weights, relative to what the training moved them by. Differences begin at the rounding error and grow with
#: the steps, most where a gradient is divided by its own size.
TOLERANCE = {"float64": 1e-10, "float32": 2e-3}


class Twin:
    """The network of `model`, in PyTorch: Y = W₂ᵀ act(W₁ᵀ X + b₁) + b₂."""

    def __init__(self, model: nn.Model, activation: Callable[[Any], Any]) -> None:
        self.activation = activation
        self.parameters = [torch.tensor(w, requires_grad=True) for w in model.get_weights()]

    def logits(self, x: Any) -> Any:
        *hidden, (w, b) = zip(self.parameters[::2], self.parameters[1::2], strict=True)
        for kernel, bias in hidden:
            x = self.activation(x @ kernel + bias)
        return x @ w + b


def probabilities(rng: np.random.Generator) -> Array:
    return rng.dirichlet(np.ones(OUTPUTS), ROWS)


def values(rng: np.random.Generator) -> Array:
    return rng.standard_normal((ROWS, OUTPUTS))


def shares(rng: np.random.Generator) -> Array:
    return rng.random((ROWS, OUTPUTS))


def halves(rng: np.random.Generator) -> Array:
    return rng.standard_normal((ROWS, OUTPUTS // 2))


def labels(rng: np.random.Generator) -> Array:
    return rng.integers(0, OUTPUTS, ROWS)


def softmax(z: Any) -> Any:
    return torch.softmax(z, dim=-1)


# nncore's optimizer, PyTorch's, weight decay done by hand
OPTIMIZERS: dict[str, tuple[Callable[[], nn.optimizers.Optimizer], Callable[[Any], Any], float]] = {
    "sgd": (lambda: nn.SGD(0.1), lambda p: torch.optim.SGD(p, lr=0.1), 0.0),
    "sgd-momentum": (lambda: nn.SGD(0.05, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), 0.0),
    "sgd-nesterov": (lambda: nn.SGD(0.05, 0.8, nesterov=True),
                     lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True), 0.0),
    "sgd-decay": (lambda: nn.SGD(0.05, 0.8, weight_decay=0.3),
                  lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8), 0.3),
    "sgd-clipvalue": (lambda: nn.SGD(0.1, clipvalue=0.003), lambda p: torch.optim.SGD(p, lr=0.1), 0.0),
    "sgd-clipnorm": (lambda: nn.SGD(0.1, clipnorm=0.02), lambda p: torch.optim.SGD(p, lr=0.1), 0.0),
    "sgd-global": (lambda: nn.SGD(0.1, 0.5, global_clipnorm=0.02),
                   lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5), 0.0),
    "lazysgd": (lambda: nn.LazySGD(0.05, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), 0.0),
    "lazyadam": (lambda: nn.LazyAdam(0.01), lambda p: torch.optim.Adam(p, lr=0.01), 0.0),
    "adam": (lambda: nn.Adam(0.01), lambda p: torch.optim.Adam(p, lr=0.01), 0.0),
    "adam-epsilon": (lambda: nn.Adam(0.01, 0.8, 0.95, epsilon=0.02),
                     lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.95)), 0.0),
    "adam-clipnorm": (lambda: nn.Adam(0.01, clipnorm=0.02), lambda p: torch.optim.Adam(p, lr=0.01), 0.0),
    "adam-global": (lambda: nn.Adam(0.01, epsilon=0.01, global_clipnorm=0.02),
                    lambda p: torch.optim.Adam(p, lr=0.01), 0.0),
    "adam-decay": (lambda: nn.Adam(0.01, weight_decay=0.5),
                   lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.5), 0.0),
    "adamw": (lambda: nn.AdamW(0.01), lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.004), 0.0),
    "amsgrad": (lambda: nn.Adam(0.01, amsgrad=True), lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True), 0.0),
    "adagrad": (lambda: nn.Adagrad(0.05, epsilon=TINY),
                lambda p: torch.optim.Adagrad(p, lr=0.05, initial_accumulator_value=0.1, eps=0), 0.0),
    "adadelta": (lambda: nn.Adadelta(1.0, 0.9, 1e-4),
                 lambda p: torch.optim.Adadelta(p, lr=1.0, rho=0.9, eps=1e-4), 0.0),
    "adamax": (lambda: nn.Adamax(0.01, epsilon=TINY), lambda p: torch.optim.Adamax(p, lr=0.01, eps=TINY), 0.0),
    "rmsprop": (lambda: nn.RMSprop(0.01, epsilon=TINY), lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9), 0.0),
    "rmsprop-momentum": (lambda: nn.RMSprop(0.01, 0.8, 0.5, epsilon=TINY),
                         lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.8, momentum=0.5), 0.0),
    "rmsprop-centered": (lambda: nn.RMSprop(0.01, epsilon=TINY, centered=True),
                         lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, centered=True), 0.0),
    "rmsprop-all": (lambda: nn.RMSprop(0.01, 0.7, 0.6, epsilon=TINY, centered=True, weight_decay=0.2, clipvalue=0.003),
                    lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.7, momentum=0.6, centered=True), 0.2),
}  # fmt: skip


def clip(optimizer: nn.optimizers.Optimizer, parameters: list[Any]) -> int:
    """Clip PyTorch's gradients as `optimizer` does; returns how many were."""
    if optimizer.clipvalue:
        longest = max(float(p.grad.abs().max()) for p in parameters)
        torch.nn.utils.clip_grad_value_(parameters, optimizer.clipvalue)
        return int(longest > optimizer.clipvalue)
    limit = optimizer.clipnorm or optimizer.global_clipnorm
    groups = [[p] for p in parameters] if optimizer.clipnorm else [parameters]
    clipped = 0
    for group in groups if limit else []:
        norm = torch.nn.utils.clip_grad_norm_(group, limit)
        if norm + 1e-6 > limit:
            clipped += 1
            for p in group:  # from limit / (norm + 1e-6) to limit / norm, but never above 1
                p.grad.mul_((norm + 1e-6) / max(norm, limit))
    return clipped


def torch_step(twin: Twin, mine: nn.optimizers.Optimizer, theirs: Any, value: Any, decay: float, step: int) -> int:
    """One update of the twin; returns how many gradients were clipped."""
    theirs.zero_grad()
    value.backward()
    clipped = clip(mine, twin.parameters)
    for settings in theirs.param_groups:
        if isinstance(mine, nn.Adam):
            settings["eps"] = mine.epsilon / math.sqrt(1 - mine.beta_2**step)
        if isinstance(mine, nn.RMSprop):
            settings["eps"] = math.sqrt(mine.epsilon)
    with torch.no_grad():
        for p in twin.parameters:
            p.mul_(1 - mine.learning_rate * decay)
    theirs.step()
    return clipped


def mlp(dtype: str, last: str | None, activation: str = "tanh", hidden: int = HIDDEN) -> nn.Model:
    layers = [nn.Input(INPUTS), nn.Dense(hidden, activation), nn.Dense(hidden, activation), nn.Dense(OUTPUTS, last)]
    return nn.Model(layers, seed=11, dtype=dtype)


def assert_moved_alike(model: nn.Model, twin: Twin, start: list[Array], dtype: str) -> None:
    for before, mine, theirs in zip(start, model.get_weights(), twin.parameters, strict=True):
        moved = np.abs(mine - before).max()
        assert moved > 0
        np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=0, atol=TOLERANCE[dtype] * moved)
