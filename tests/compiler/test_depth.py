"""What a network costs in Python is linear in the number of its layers, which recursion does not bound.

Time is counted in operations of the interpreter: twice the layers take twice as many, or 4 times if it is quadratic.
"""

from __future__ import annotations

import copy
import pickle
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest

import nncore as nn

X = np.random.default_rng(0).normal(size=(5, 6))
Y = np.arange(5) % 3
KINDS: list[Callable[[], Any]] = [
    lambda: nn.Dense(6, "gelu"), lambda: nn.Dense(6, kernel_regularizer="l2"), lambda: nn.Activation("relu"),
    lambda: nn.Reshape((2, 3)), lambda: nn.Flatten(), lambda: nn.Dropout(0.1), lambda: nn.Rescaling(0.9),
    lambda: nn.Dense(6, trainable=False),
]  # fmt: skip


def stack(n: int) -> nn.Model:
    """Layers of all kinds, one after another."""
    layers = [KINDS[i % len(KINDS)]() for i in range(n)]
    return nn.Model([nn.Input(6), *layers, nn.Flatten(), nn.Dense(3, "softmax")], seed=0)


def residual(n: int) -> nn.Model:
    """Sums and products of what comes before and a layer of it."""
    x = h = nn.Input(6)
    for i in range(n // 2):
        h = (nn.Multiply if i % 2 else nn.Add)()([h, nn.Dense(6, "sigmoid")(h)])
    return nn.Model(x, nn.Dense(3, "softmax")(h), seed=0)


def wide(n: int) -> nn.Model:
    """Branches side by side: all forward products in one stage, one concatenation of many parts."""
    x = nn.Input(6)
    return nn.Model(x, nn.Dense(3, "softmax")(nn.Concatenate()([nn.Dense(2, "gelu")(x) for _ in range(n)])), seed=0)


def fan_out(n: int) -> nn.Model:
    """One product that many activations read."""
    x = nn.Input(6)
    z = nn.Dense(6)(x)
    return nn.Model(x, nn.Dense(3, "softmax")(nn.Add()([nn.Activation("tanh")(z) for _ in range(n)])), seed=0)


def views(n: int) -> nn.Model:
    """One tensor in many shapes."""
    layers = [nn.Reshape(((2, 3), (6,))[i % 2]) for i in range(n)]
    return nn.Model([nn.Input(6), nn.Dense(6), *layers, nn.Flatten(), nn.Dense(3, "softmax")], seed=0)


def use(make: Callable[[int], nn.Model], n: int) -> None:
    """All that a model goes through, once."""
    model = make(n)
    model.compile(nn.Adam(1e-6, clipnorm=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.train_on_batch(X, Y)
    model.evaluate(X, Y, verbose=0)
    model.predict(X)
    model.set_weights(model.get_weights())
    model.summary(print_fn=str)
    pickle.loads(pickle.dumps(model))
    copy.deepcopy(model.layers[0])


def operations(function: Callable[..., Any], *args: Any) -> int:
    """How many operations of the interpreter a call takes."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "opcode"
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*args)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("make", [stack, residual, wide, fan_out, views])
def test_the_cost_is_linear_in_the_number_of_layers(make: Callable[[int], nn.Model]) -> None:
    use(make, 2)  # what is imported or looked up once
    few, many, more = (operations(use, make, n) for n in (30, 60, 120))
    assert many - few < more - many < 2.2 * (many - few)  # a quadratic part would make it 4 times as much


@pytest.mark.parametrize("make", [stack, residual, views])
def test_depth_is_not_bounded_by_recursion(make: Callable[[int], nn.Model]) -> None:
    use(make, 4 * sys.getrecursionlimit())
