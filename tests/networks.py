"""Any model of the library once more in plain float64 NumPy, and random models to compare it on.

`forward` walks a model's graph with one formula per layer; `objective` is the loss of a batch with penalties;
`numerical_gradients` differentiates that by differences. Of the library they use names, shapes and
hyper-parameters, and none of its arithmetic.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import reference as ref
from formulas import FORMULAS, JOINED, Draw, activated
from numpy.typing import NDArray

import nncore as nn
from nncore import runtime
from nncore._kernels.table import Table
from nncore.layers.activation import Applied

Array = NDArray[Any]

STEP = 2e-5  # h of (8 (f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h, whose errors are h⁴ f⁽⁵⁾ / 30 and about eps f / h
ELEMENTWISE = ["relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "softplus", "gelu", "silu"]


def use_isa(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run models made from now on with the kernels of an instruction set."""
    tables = {dtype: Table(isa, dtype) for dtype in ("float32", "float64")}
    monkeypatch.setattr(runtime, "_tables", tables)


def forward(model: nn.Model, weights: list[Array], x: Array, step: int | None = None) -> Array:
    """The only output for a batch x; with `step`, that of that training step, dropout on."""
    [y] = outputs(model, weights, [x], step)
    return y


def outputs(model: nn.Model, weights: list[Array], xs: Sequence[Array], step: int | None = None) -> list[Array]:
    """All outputs for a batch of each input."""
    values = dict(zip(model.weights, weights, strict=True))
    return walk(model, values, [ref.float64(x) for x in xs], step, itertools.count(), model.seed)


def walk(
    model: Any, values_of: dict[Any, Array], xs: list[Array], step: int | None, count: Any, seed: int
) -> list[Array]:
    """The outputs of a model, or of one within it; each use of a layer has the same weights, and its own dropout."""
    values = {id(s): x for s, x in zip(model.inputs, xs, strict=True)}
    for call, symbols in model.graph.calls:
        layer: Any = call.layer
        xs = [values[id(s)] for s in call.inputs]
        y = xs[0]
        if isinstance(layer, nn.Model):
            made = walk(layer, values_of, xs, step, count, seed)
            values |= {id(s): made[s.index] for s in symbols}
            continue
        if isinstance(layer, Applied):
            y = activated(layer.activation, y)
        elif type(layer) in JOINED:
            y = JOINED[type(layer)](layer, xs)
        elif isinstance(layer, nn.PReLU):
            y = ref.prelu(y, values_of[layer.alpha])
        elif type(layer) in FORMULAS:
            y = FORMULAS[type(layer)](layer, values_of, y, Draw(seed, step, count))
        elif isinstance(layer, nn.Rescaling):
            y = layer.scale * y + layer.offset
        else:
            assert isinstance(layer, (nn.Flatten, nn.Reshape)), layer
            y = y.reshape(len(y), *((-1,) if isinstance(layer, nn.Flatten) else layer.target_shape))
        values[id(symbols[0])] = y
    return [values[id(s)] for s in model.outputs]


def losses(loss: Any, p: Array, target: Array) -> Array:
    """The loss of every sample (B,): the mean over its rows where there are several; on probabilities, not logits."""
    name, rows = loss.registry.name_of(loss), p.reshape(-1, p.shape[-1])
    if loss.target == "labels":
        target = ref.one_hot(np.asarray(target).reshape(-1), p.shape[-1])
    target = ref.float64(target).reshape(rows.shape)
    if name.endswith("crossentropy"):
        if loss.from_logits:
            rows = ref.sigmoid(rows) if name.startswith("binary") else ref.softmax(rows)
        if name.startswith("binary"):
            value = ref.LOSSES["binary_crossentropy"][0](rows, target, 0.0)
        else:
            value = -(target * np.log(rows)).sum(axis=1)
    else:
        value = ref.LOSSES[name][0](rows, target, *(loss.numbers(name) or (0.0,)))
    return value.reshape(len(p), -1).mean(axis=1)


def penalties(model: nn.Model, weights: list[Array]) -> float:
    """Regularizers of what is trainable."""
    pairs = zip(model.weights, weights, strict=True)
    penalized = [(p.regularizer, w) for p, w in pairs if p.regularizer and p.trainable]
    return sum(ref.regularize(w, regularizer.l1, regularizer.l2)[0] for regularizer, w in penalized)


def objective(
    model: nn.Model, weights: list[Array], x: Array, target: Array, weight: Array | None = None, step: int | None = None
) -> float:
    """Σ weight loss / B, and the penalties."""
    value = losses(model.loss, forward(model, weights, x, step), target)
    return float((value if weight is None else ref.float64(weight) * value).mean()) + penalties(model, weights)


def numerical_gradients(
    model: nn.Model, x: Array, target: Array, weight: Array | None = None, step: int | None = None, most: int = 10**9
) -> list[Array]:
    """Central differences of `objective`."""
    return differences(model, lambda weights: objective(model, weights, x, target, weight, step), most)


def differences(model: nn.Model, value: Callable[[list[Array]], float], most: int = 10**9) -> list[Array]:
    """Central differences by every trainable weight of the `value` of all weights; NaN beyond `most` of an array,
    chosen at random.
    """
    weights = [ref.float64(w) for w in model.get_weights()]
    rng, found = np.random.default_rng(0), list[Array]()
    for p, w in zip(model.weights, weights, strict=True):
        g = np.zeros_like(w)
        if p.trainable:
            g[...] = np.nan
            for i in rng.permutation(w.size)[:most]:
                kept, total = w.flat[i], 0.0
                for factor, moved in ((8, 1), (-8, -1), (-1, 2), (1, -2)):
                    w.flat[i] = kept + moved * STEP
                    total += factor * value(weights)
                w.flat[i], g.flat[i] = kept, total / (12 * STEP)
        found.append(g)
    return found


def gradients(model: nn.Model, x: Array, target: Array, weight: Array | None = None) -> tuple[float, list[Array]]:
    """Loss and gradients of one training step of a model compiled with SGD(1): by how much it moves the weights."""
    before = model.get_weights()
    value = model.train_on_batch(x, target, weight)
    moved = [a - b for a, b in zip(before, model.get_weights(), strict=True)]
    return value if isinstance(value, float) else value[0], moved


def randomize(model: nn.Model, seed: int = 0, scale: float = 0.5) -> None:
    """Give every weight, biases too, a value that is nowhere special."""
    rng = np.random.default_rng(seed)
    model.set_weights([scale * rng.standard_normal(w.shape) for w in model.get_weights()])


def random_model(seed: int, *, width: int = 6, threads: int = 1, dtype: str = "float64", layers: int = 9) -> nn.Model:
    """A model of random layers joined at random, in which every layer counts; 3 softmax outputs."""
    rng = np.random.default_rng(seed)

    def width_() -> int:
        return int(rng.integers(1, width + 1))

    def pick(options: list[Any]) -> Any:
        return options[int(rng.integers(len(options)))]

    first = nn.Input((width_(), width_()) if rng.random() < 0.5 else (width_(),))
    pool = [first]
    used: set[int] = set()

    def call(layer: nn.Layer, *symbols: Any) -> Any:
        used.update(map(id, symbols))
        made = layer(list(symbols) if len(symbols) > 1 else symbols[0])
        pool.append(made)
        return made

    for _ in range(layers):
        x = pick(pool)
        alike = [s for s in pool if s.sample_shape == x.sample_shape]
        kind = pick("dense dense dense activation dropout add multiply concatenate reshape rescaling".split())
        if kind == "dense":
            regularizer = pick([None, None, "l2", nn.regularizers.L1L2(0.01, 0.02)])
            call(nn.Dense(width_(), activation=pick([None, None, "softmax", *ELEMENTWISE]), use_bias=rng.random() < 0.8,
                          kernel_regularizer=regularizer, trainable=bool(rng.random() < 0.85)), x)  # fmt: skip
        elif kind == "activation":
            call(nn.Activation(pick(["softmax", *ELEMENTWISE])), x)
        elif kind == "dropout":
            call(nn.Dropout(pick([0.0, 0.25, 0.5])), x)
        elif kind in ("add", "multiply"):
            others = [pick(alike) for _ in range(int(rng.integers(1, 3)))]
            call(nn.Add() if kind == "add" else nn.Multiply(), x, *others)
        elif kind == "concatenate":
            axis = int(rng.integers(1, len(x.shape)))
            call(nn.Concatenate(axis=pick([axis, axis - len(x.shape)])), x, *(pick(alike) for _ in range(2)))
        elif kind == "reshape":
            call(pick([nn.Flatten(), nn.Reshape((1, -1)), nn.Reshape((*reversed(x.sample_shape), 1))]), x)
        else:
            call(nn.Rescaling(0.7, -0.2), x)
    loose = [nn.Flatten()(s) for s in pool if id(s) not in used]
    joined = nn.Concatenate()(loose) if len(loose) > 1 else loose[0]
    model = nn.Model(first, nn.Dense(3, activation="softmax")(joined), seed=seed, dtype=dtype, n_threads=threads)
    randomize(model, seed)
    return model
