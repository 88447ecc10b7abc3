"""Every optimizer in models and by itself: against its formula in float64, files, resumes, threads, arrays."""

from __future__ import annotations

import copy
import pathlib
import pickle
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import reference as ref

import nncore as nn
from nncore.callbacks import BackupAndRestore, LambdaCallback
from nncore.optimizers import OPTIMIZERS, MultiOptimizer, OptimizerMap

Array = np.ndarray[Any, Any]
SHAPES = [(5, 7), (7,), (7, 3), (3,)]  # of two dense layers


def multi(*inner: Any) -> MultiOptimizer:
    """The first for the first layer, the second for the rest."""
    return MultiOptimizer(OptimizerMap(inner[1], {"dense/.*": inner[0]}))


#: Each registered optimizer whose step is a rule, and what any of them may be asked for beside it.
MAKERS: dict[str, Callable[..., Any]] = {
    name: OPTIMIZERS.classes[name] for name in OPTIMIZERS.names() if name not in ("multioptimizer", "lbfgs")
} | {
    "multi": lambda **settings: multi(nn.Adam(0.01, **settings), nn.SGD(0.1, momentum=0.9)),
    "multi-matrices": lambda **settings: multi(nn.Muon(0.01, **settings), nn.Lamb(0.02, global_clipnorm=0.1)),
    "adam-ema": lambda **settings: nn.Adam(0.01, use_ema=True, ema_overwrite_frequency=3, **settings),
    "muon-several": lambda **settings: nn.Muon(0.01, gradient_accumulation_steps=2, clipnorm=0.1, **settings),
    "ftrl-l1": lambda **settings: nn.Ftrl(0.1, l1_regularization_strength=0.01, **settings),
    "amsgrad": lambda **settings: nn.Adam(0.01, amsgrad=True, **settings),
}
each_optimizer = pytest.mark.parametrize("name", MAKERS)


def rule_of(optimizer: Any) -> ref.Rule:
    """What the formulas are told of an optimizer."""
    own = {f.name for f in fields(ref.Rule)} - {"grad_scale", "clip_value"}
    return ref.Rule(**{n: float(getattr(optimizer, n)) for n in own if hasattr(optimizer, n)})


def expected(optimizer: Any, w: Array, g: Array, state: list[Array], step: int, path: str = "") -> Array:
    """A parameter after one step."""
    rule, kernel = rule_of(optimizer), optimizer.kernel
    if kernel != "muon":
        return ref.update(kernel, w, g, state, rule, step)
    if w.ndim != 2:
        rule.weight_decay = optimizer.adam_weight_decay
        return ref.update("muon", w, g, state, rule, step)
    w = w * (1 - rule.learning_rate * optimizer.weight_decay)
    state[0][...] = optimizer.momentum * state[0] + g
    x = ref.orthogonalized(g + optimizer.momentum * state[0], optimizer.ns_steps, rule.muon_a, rule.muon_b, rule.muon_c)
    return w - rule.learning_rate * 0.2 * np.sqrt(max(w.shape)) * x


PLAIN = [name for name in OPTIMIZERS.names() if name not in ("multioptimizer", "lbfgs")]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PLAIN)
def test_steps_on_arrays(name: str, dtype: str) -> None:
    """Arrays change in place, as the formula says, also by what is whole matrices' to say."""
    optimizer, rng = OPTIMIZERS.classes[name](0.02), np.random.default_rng(1)
    variables = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
    want = [np.array(v, np.float64) for v in variables]
    states = [ref.states(optimizer.kernel, shape) for shape in SHAPES]
    for step in range(1, 6):
        grads = [rng.standard_normal(shape).astype(dtype) for shape in SHAPES]
        held = list(variables)
        optimizer.apply(grads, variables)
        assert all(a is b for a, b in zip(held, variables, strict=True))
        for i, g in enumerate(grads):
            want[i] = expected(optimizer, want[i], np.float64(g), states[i], step)
    tolerance = 1e-9 if dtype == "float64" else 2e-3 if name == "muon" else 1e-4
    for v, w in zip(variables, want, strict=True):
        np.testing.assert_allclose(v, w, rtol=0, atol=tolerance)
    assert optimizer.iterations == 5 and optimizer.variables[0] == 5


def linear(optimizer: Any, dtype: str = "float64", seed: int = 3) -> nn.Model:
    model = nn.Model([nn.Input(5), nn.Dense(7, name="dense"), nn.Dense(3, name="last")], seed=seed, dtype=dtype)
    model.compile(optimizer, "mse")
    return model


def rows(n: int = 40) -> tuple[Array, Array]:
    rng = np.random.default_rng(2)
    return rng.standard_normal((n, 5)), rng.standard_normal((n, 3))


def gradients(weights: list[Array], x: Array, y: Array) -> list[Array]:
    """Of the mean squared error of two linear layers."""
    w1, b1, w2, b2 = weights
    h = x @ w1 + b1
    e = 2 * (h @ w2 + b2 - y) / y.size
    dh = e @ w2.T
    return [x.T @ dh, dh.sum(0), h.T @ e, e.sum(0)]


@pytest.mark.parametrize("name", PLAIN)
def test_steps_of_a_model(name: str) -> None:
    """The same in a fit, whose gradients are found by hand."""
    optimizer = OPTIMIZERS.classes[name](0.02)
    model = linear(optimizer)
    x, y = rows()
    want = [np.array(w) for w in model.get_weights()]
    states = [ref.states(optimizer.kernel, w.shape) for w in want]
    model.fit(x, y, batch_size=10, epochs=2, shuffle=False, verbose=0)
    for step in range(1, 9):
        batch = slice((step - 1) % 4 * 10, (step - 1) % 4 * 10 + 10)
        for i, g in enumerate(gradients(want, x[batch], y[batch])):
            want[i] = expected(optimizer, want[i], g, states[i], step)
    for v, w in zip(model.get_weights(), want, strict=True):
        np.testing.assert_allclose(v, w, rtol=0, atol=1e-8)


@each_optimizer
def test_bits_are_the_same_for_any_number_of_threads(name: str) -> None:
    """Large enough that a team shares the update."""
    found = []
    for threads in (1, 2):
        layers = [nn.Input(70), nn.Dense(300, name="dense"), nn.Dense(130, name="last")]
        model = nn.Model(layers, seed=1, n_threads=threads)
        model.compile(MAKERS[name](), "mse")
        rng = np.random.default_rng(0)
        x, y = rng.standard_normal((256, 70), np.float32), rng.standard_normal((256, 130), np.float32)
        model.fit(x, y, batch_size=64, epochs=2, verbose=0)
        found.append([w.tobytes() for w in model.get_weights()])
    assert found[0] == found[1]


def same(one: nn.Model, other: nn.Model) -> None:
    assert all(np.array_equal(a, b) for a, b in zip(one.get_weights(), other.get_weights(), strict=True))
    places = [nn.checkpoint.places(model) for model in (one, other)]
    assert places[0].keys() == places[1].keys()
    for key, array in places[0].items():
        assert np.array_equal(array, places[1][key]), key
    assert one.optimizer.batches == other.optimizer.batches


@each_optimizer
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_saved_loaded_and_copied(name: str, dtype: str, tmp_path: pathlib.Path) -> None:
    """Each goes on with the same bits, also between two updates."""
    x, y = rows()
    model = linear(MAKERS[name](), dtype)
    model.fit(x, y, batch_size=16, epochs=1, verbose=0)  # 3 steps
    model.save(tmp_path / "m")
    others = [nn.load_model(tmp_path / "m"), copy.copy(model), pickle.loads(pickle.dumps(model))]
    assert all(other.optimizer == model.optimizer for other in others)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0)
    for other in others:
        other.fit(x, y, batch_size=16, epochs=2, verbose=0)
        same(model, other)


@each_optimizer
def test_resumed(name: str, tmp_path: pathlib.Path) -> None:
    """A fit that was interrupted after 5 of 9 steps gives the bits of one that was not."""
    x, y = rows()
    whole = linear(MAKERS[name]())
    whole.fit(x, y, batch_size=16, epochs=3, verbose=0)

    def stop(batch: int, logs: Any) -> None:
        if broken.optimizer.batches == 5:
            raise KeyboardInterrupt

    broken = linear(MAKERS[name]())
    backup = BackupAndRestore(tmp_path, save_freq=1)
    with pytest.raises(KeyboardInterrupt):
        callbacks = [LambdaCallback(on_train_batch_begin=stop), backup]
        broken.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=callbacks)
    resumed = linear(MAKERS[name](), seed=9)
    resumed.fit(x, y, batch_size=16, epochs=3, verbose=0, callbacks=[BackupAndRestore(tmp_path, save_freq=1)])
    same(whole, resumed)


def test_state_arrays_have_no_more_than_a_rule_needs(tmp_path: pathlib.Path) -> None:
    """Of a matrix Adafactor keeps rows and columns, and Muon no second moment: in files, too."""
    for optimizer, names in [
        (nn.Adafactor(), {"row/dense/kernel": (5,), "column/dense/kernel": (7,), "row/dense/bias": (7,)}),
        (nn.Muon(), {"m/dense/kernel": (5, 7), "m/dense/bias": (7,), "v/dense/bias": (7,)}),
    ]:
        model = linear(optimizer)
        model.save(tmp_path / "m")
        with nn.checkpoint.opened(tmp_path / "m") as file:
            entries = {key.partition("optimizer/")[2]: e.shape for key, e in file.entries.items() if "dense" in key}
        found = {key: shape for key, shape in entries.items() if key}
        assert found == names
        assert sorted(map(np.shape, optimizer.variables[2:6])) != []


def test_muon_leaves_to_adamw_what_it_is_told_to() -> None:
    x, y = rows()
    matrices = []
    for settings in ({}, {"exclude_layers": ["last"]}, {"exclude_layers": ["^dense", "last"]}):
        model = linear(nn.Muon(0.02, **settings))
        start = model.get_weights()
        model.fit(x, y, batch_size=40, verbose=0, shuffle=False)
        want = [w - 0.02 * 0.004 * w for w in start]
        moved = [a - b for a, b in zip(want, model.get_weights(), strict=True)]
        matrices.append([np.allclose(np.abs(m), 0.02, rtol=1e-3) for m in moved])  # Adam's first step is its rate
    assert matrices == [[False, True, False, True], [False, True, True, True], [True] * 4]


def test_muon_has_two_decays_and_two_rates() -> None:
    """With gradients of 0 there is decay alone; a first step of AdamW is its rate."""
    kernel, bias = np.ones((3, 4)), np.ones(4)
    optimizer = nn.Muon(0.5, adam_weight_decay=0.25, weight_decay=0.125, adam_lr_ratio=0.5)
    optimizer.apply([np.zeros((3, 4)), np.zeros(4)], [kernel, bias])
    np.testing.assert_allclose(kernel, 1 - 0.5 * 0.125)
    np.testing.assert_allclose(bias, 1 - 0.25 * 0.25)
    optimizer = nn.Muon(0.5, adam_weight_decay=None, weight_decay=None, adam_lr_ratio=0.5)
    bias = np.ones(4)
    optimizer.apply([np.ones(4)], [bias])
    np.testing.assert_allclose(bias, 0.75, rtol=1e-5)
