"""Trainings of several outputs: weights by hand, gradients by central differences; the same bits for any threads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import networks
import numpy as np
import pytest
import reference as ref
from kernels import assert_same_bits
from numpy.typing import NDArray
from structures import KINDS, SPARSE, W, X, Y, Z, close, compiled, two_heads, two_of_each

import nncore as nn
from nncore import losses
from nncore.execution import team

Array = NDArray[Any]

# ---- by hand ---------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Hand:
    """`two_heads` and one step of it, in plain float64."""

    weights: list[Array]  # of h, of value, of kind: kernels and biases
    optimizer: str
    rule: ref.Rule
    steps: int = 0

    def __post_init__(self) -> None:
        self.state = [[np.zeros_like(w) for _ in range(2)] for w in self.weights]

    def gradients(self, rows: slice, factors: tuple[float, float], weights: tuple[Any, Any]) -> tuple[Any, list[Array]]:
        """Loss and that of each head, and the gradient by every weight: the sum over the heads."""
        wh, bh, wv, bv, wk, bk = self.weights
        x = np.hstack([X[rows], Z[rows].reshape(-1, 6)])
        n = len(x)
        u, v = (None if w is None else w[rows] for w in weights)
        h = np.tanh(ref.dense(x, wh, bh))
        value, dv = ref.loss("mean_squared_error", ref.dense(h, wv, bv), Y[rows], u, factors[0] / n)
        kind, dk = ref.loss(f"{SPARSE}_logits", ref.dense(h, wk, bk), KINDS[rows], v, factors[1] / n)
        dh_value, dwv, dbv = ref.dense_backward(h, wv, dv)
        dh_kind, dwk, dbk = ref.dense_backward(h, wk, dk)
        _, dwh, dbh = ref.dense_backward(x, wh, (dh_value + dh_kind) * (1 - h**2))
        penalty, dpenalty = ref.regularize(wh, 0.0, 0.01)
        total = factors[0] * value / n + factors[1] * kind / n + penalty
        return np.array([total, value / n, kind / n]), [dwh + dpenalty, dbh, dwv, dbv, dwk, dbk]

    def step(self, *of: Any) -> Any:
        self.steps += 1
        values, gradients = self.gradients(*of)
        for i, g in enumerate(gradients):
            self.weights[i] = ref.update(self.optimizer, self.weights[i], g, self.state[i], self.rule, self.steps)
        return values


OPTIMIZERS: dict[str, tuple[Callable[[], Any], ref.Rule]] = {
    "sgd": (lambda: nn.SGD(0.1, momentum=0.9), ref.Rule(learning_rate=0.1, momentum=0.9)),
    "adam": (lambda: nn.Adam(0.01, weight_decay=0.1), ref.Rule(learning_rate=0.01, weight_decay=0.1)),
}
BATCHES = [slice(0, 16), slice(16, 32), slice(32, 40)]


@pytest.mark.parametrize("weights", [(None, None), (W, None), (W[::-1], W)], ids=["none", "one", "both"])
@pytest.mark.parametrize("factors", [(1.0, 1.0), (0.3, 2.0)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_epochs_by_hand(name: str, factors: Any, weights: Any) -> None:
    """Every loss of an epoch is the mean over its rows of what the steps met; the last batch is smaller."""
    make, rule = OPTIMIZERS[name]
    model = compiled(optimizer=make(), loss_weights=list(factors))
    hand = Hand(model.get_weights(), name, rule)
    given = None if weights[0] is None else list(weights)
    fit: dict[str, Any] = {"epochs": 3, "batch_size": 16, "shuffle": False, "verbose": 0, "sample_weight": given}
    history = model.fit([X, Z], [Y, KINDS], **fit).history
    for epoch in range(3):
        wanted = sum((b.stop - b.start) * hand.step(b, factors, weights) for b in BATCHES) / 40
        close([history[key][epoch] for key in ("loss", "value_loss", "kind_loss")], wanted)
    assert model.optimizer.iterations == 9
    for mine, theirs in zip(model.get_weights(), hand.weights, strict=True):
        close(mine, theirs)


# ---- by central differences ------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Head:
    loss: Any  # None: it has none
    target: Any = None
    factor: float = 1.0
    weight: Any = None


def total(model: nn.Model, heads: list[Head], weights: list[Array], xs: Any, step: int | None = None) -> float:
    """Σ over heads of factor × loss, and the penalties."""
    value = networks.penalties(model, weights)
    for p, head in zip(networks.outputs(model, weights, xs, step), heads, strict=True):
        if head.loss is not None:
            rows = networks.losses(losses.get(head.loss, "loss"), p, head.target)
            value += head.factor * float((rows if head.weight is None else head.weight * rows).mean())
    return value


OTHERS = np.random.default_rng(5).normal(size=(40, 4))
SHARES = np.random.default_rng(6).random((40, 3))
CHANCES = np.random.default_rng(7).dirichlet(np.ones(3), 40)
PAIRS = np.random.default_rng(8).integers(0, 3, (40, 2))


def model_of(inputs: Any, outputs: Any) -> nn.Model:
    return nn.Model(inputs, outputs, seed=0, dtype="float64")


def hidden(activation: Any = "tanh") -> tuple[Any, Any]:
    x = nn.Input(4, name="x")
    return x, nn.Dense(3, activation, kernel_regularizer="l2", name="h")(x)


def one_output(listed: bool, activation: str) -> nn.Model:
    """The same one twice."""
    x, h = hidden(activation)
    return model_of(x, [h, h] if listed else {"a": h, "b": h})


def inner_output(activation: str) -> nn.Model:
    """An output that another one is made from."""
    x, h = hidden(activation)
    return model_of(x, [h, nn.Dense(2, name="end")(nn.Dense(4, "relu")(h))])


def logits_and_softmax() -> nn.Model:
    x, z = hidden(None)
    return model_of(x, {"p": nn.Activation("softmax")(z), "z": z})


def two_uses() -> nn.Model:
    """A layer's outputs of two inputs, and their difference."""
    a, b, layer = nn.Input(4, name="a"), nn.Input(4, name="b"), nn.Dense(3, "tanh", kernel_regularizer="l2")
    p, q = layer(a), layer(b)
    return model_of([a, b], {"p": p, "q": q, "r": nn.Add()([p, nn.Rescaling(-1.0)(q)])})


def nested() -> nn.Model:
    a, b, value, tall = two_of_each()
    inner = nn.Model({"a": a, "b": b}, [value, tall], seed=1, dtype="float64")
    x = nn.Input(4)
    v, t = inner({"a": x, "b": nn.Reshape((2, 3))(nn.Dense(6)(x))})
    return model_of(x, [nn.Flatten(name="flat_again")(t), v])


def inputs_too() -> nn.Model:
    x, h = hidden("softmax")
    return model_of(x, {"h": h, "x": x})


def views() -> nn.Model:
    x, h = hidden("softmax")
    return model_of(x, {"a": h, "b": nn.Reshape((1, 3))(h), "c": nn.Reshape((3, 1))(h)})


def several_rows() -> nn.Model:
    x = nn.Input(4)
    h = nn.Dense(3, "softmax", name="h")(nn.Reshape((2, 2))(x))
    return model_of(x, [h, nn.Dense(1, "sigmoid", name="end")(nn.Flatten()(h))])


def dropout() -> nn.Model:
    x, h = hidden()
    d = nn.Dropout(0.4)(h)
    return model_of(x, [h, nn.Dense(3, "softmax", name="end")(d), nn.Dropout(0.2, name="last")(d)])


CASES: dict[str, tuple[Callable[[], nn.Model], list[Any], list[Head]]] = {
    "a shared hidden layer": (two_heads, [X, Z], [Head("mse", Y, 0.5, W), Head(SPARSE, KINDS, 2.0)]),
    "without the first": (two_heads, [X, Z], [Head(None), Head(SPARSE, KINDS, 1.0, W)]),
    "without the second": (two_heads, [X, Z], [Head("mse", Y), Head(None)]),
    "one of factor 0": (two_heads, [X, Z], [Head("mse", Y, 0.0), Head(SPARSE, KINDS)]),
    "one output twice": (
        lambda: one_output(False, "tanh"), [X], [Head("mse", SHARES, 0.3), Head("huber", CHANCES, 2.0, W)]
    ),
    "one output twice in a list": (
        lambda: one_output(True, "tanh"), [X], [Head("mse", SHARES, 0.3, W), Head("mse", CHANCES, 2.0)]
    ),
    "probabilities twice": (
        lambda: one_output(False, "softmax"), [X], [Head(SPARSE, KINDS, 1.0, W), Head("mse", SHARES)]
    ),
    "probabilities with two crossentropies": (
        lambda: one_output(False, "softmax"), [X], [Head("categorical_crossentropy", CHANCES), Head(SPARSE, KINDS, 0.5)]
    ),
    "an inner softmax": (lambda: inner_output("softmax"), [X], [Head(SPARSE, KINDS, 0.7, W), Head("mse", Y)]),
    "an inner sigmoid": (
        lambda: inner_output("sigmoid"), [X], [Head("binary_crossentropy", SHARES, 0.7), Head("mse", Y, 1.0, W)]
    ),
    "an inner tanh": (lambda: inner_output("tanh"), [X], [Head("huber", SHARES), Head("mse", Y)]),
    "an inner output without a loss": (lambda: inner_output("softmax"), [X], [Head(None), Head("mse", Y)]),
    "logits and probabilities": (logits_and_softmax, [X], [Head(SPARSE, KINDS), Head("mse", SHARES, 0.5, W)]),
    "a layer used twice": (
        two_uses, [X, OTHERS], [Head("mse", SHARES, 1.0, W), Head("huber", CHANCES), Head("mse", SHARES, 0.1)]
    ),
    "a nested model": (nested, [X], [Head("mse", SHARES, 2.0), Head("mse", Y, 1.0, W)]),
    "an input": (inputs_too, [X], [Head(SPARSE, KINDS), Head("mse", OTHERS, 0.5, W)]),
    "views": (
        views, [X], [Head("mse", SHARES), Head(SPARSE, KINDS[:, None], 0.5), Head("mse", CHANCES[..., None], 3.0, W)]
    ),
    "several rows": (
        several_rows, [X], [Head(SPARSE, PAIRS, 1.0, W), Head("binary_crossentropy", SHARES[:, :1], 2.0)]
    ),
    "dropout": (
        dropout, [X], [Head("mse", SHARES), Head(SPARSE, KINDS, 1.0, W), Head("mse", CHANCES, 0.5)]
    ),
}  # fmt: skip


@pytest.mark.parametrize("isa", nn.available_isas())
@pytest.mark.parametrize("case", CASES)
def test_gradients(case: str, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    networks.use_isa(isa, monkeypatch)
    make, xs, heads = CASES[case]
    model = make()
    networks.randomize(model)
    model.compile(nn.SGD(1.0), [h.loss for h in heads], loss_weights=[h.factor for h in heads])
    value = total(model, heads, model.get_weights(), xs, 0)
    wanted = networks.differences(model, lambda weights: total(model, heads, weights, xs, 0))
    weights = [h.weight for h in heads]
    got_value, got = networks.gradients(
        model, xs if len(xs) > 1 else xs[0], [h.target for h in heads], weights if any_given(weights) else None
    )
    assert got_value == pytest.approx(value, rel=1e-12)
    for p, g, w in zip(model.weights, got, wanted, strict=True):
        np.testing.assert_allclose(g, w, rtol=0, atol=1e-9, err_msg=p.path)


def any_given(weights: list[Any]) -> bool:
    return any(w is not None for w in weights)


@pytest.mark.parametrize("metrics", [None, {"value": ["mae"]}])
def test_what_no_loss_depends_on_stays(metrics: Any) -> None:
    """Nor does a decay of weights reach it."""
    model = two_heads()
    model.compile(nn.Adam(0.1, weight_decay=0.1), {"kind": SPARSE}, metrics=metrics)
    before = model.get_weights()
    model.fit([X, Z], [Y, KINDS], epochs=2, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert [p.path for p in model.weights] == [f"{n}/{w}" for n in ("h", "value", "kind") for w in ("kernel", "bias")]
    assert changed == [True, True, False, False, True, True]


# ---- crossentropies --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", ["nothing", "read", "twice"])
def test_crossentropies_of_large_logits(more: str) -> None:
    """Whose probabilities have logarithms that float32 does not hold: each head has to see the logits."""
    x = nn.Input(4)
    soft, sharp = nn.Dense(3, "softmax", name="soft")(x), nn.Dense(3, "sigmoid", name="sharp")(x)
    others = {"read": nn.Dense(2)(nn.Add()([soft, sharp])), "twice": soft}
    outputs = {"soft": soft, "sharp": sharp} | {name: y for name, y in others.items() if name == more}
    model = nn.Model(x, outputs, seed=0)
    kinds = {"soft": SPARSE, "sharp": "binary_crossentropy"} | ({} if more == "nothing" else {more: "mse"})
    sizes = {"soft": 2.0} | ({} if more == "nothing" else {more: 0.0})
    model.compile(nn.SGD(0.5), kinds, loss_weights=sizes, metrics={"soft": "acc", "sharp": "acc"})
    rng = np.random.default_rng(0)
    for name in ("soft", "sharp"):
        model.get_layer(name).set_weights([200 * rng.normal(size=(4, 3)), rng.normal(size=3)])
    (a, b), (c, d) = (map(ref.float64, model.get_layer(name).get_weights()) for name in ("soft", "sharp"))
    given, t = X.astype(np.float32), rng.integers(0, 2, (40, 3))
    z, s = ref.dense(given, a, b), ref.dense(given, c, d)
    wanted = {
        "soft_loss": ref.LOSSES[f"{SPARSE}_logits"][0](z, ref.float64(KINDS), 0).mean(),
        "sharp_loss": ref.LOSSES["binary_crossentropy_logits"][0](s, ref.float64(t), 0).mean(),
        "soft_acc": (z.argmax(1) == KINDS).mean(),
        "sharp_acc": ((s > 0) == t).mean(),
    }
    wanted["loss"] = 2 * wanted["soft_loss"] + wanted["sharp_loss"]
    assert wanted["soft_loss"] > 100
    y = {"soft": KINDS, "sharp": t} | ({} if more == "nothing" else {more: np.zeros((40, *outputs[more].sample_shape))})
    logs = model.evaluate(given, y, verbose=0, return_dict=True)
    assert {name: logs[name] for name in wanted} == pytest.approx(wanted, rel=2e-5)
    model.train_on_batch(given, y)
    moved = [2 * (ref.softmax(z) - ref.one_hot(KINDS, 3)).mean(0), (ref.sigmoid(s) - t).mean(0) / 3]
    for name, bias, step in zip(["soft", "sharp"], [b, d], moved, strict=True):
        np.testing.assert_allclose(model.get_layer(name).get_weights()[1], bias - 0.5 * step, rtol=1e-4, atol=1e-5)


# ---- the same bits ---------------------------------------------------------------------------------------------------


def wide(threads: int, dtype: str) -> nn.Model:
    """Operations that are cut into parts; outputs within others, twice, and without a loss."""
    a, b = nn.Input((4, 24), name="a"), nn.Input(30, name="b")
    h = nn.Dense(50, "gelu", kernel_regularizer="l2")(a)
    joined = nn.Concatenate()([nn.Dropout(0.3)(nn.Flatten()(h)), nn.Dense(40, "relu")(b)])
    some = nn.Dense(7, "tanh")(joined)
    kind = nn.Dense(10, "softmax")(nn.Concatenate()([joined, some]))
    outputs = {"h": h, "kind": kind, "seen": nn.Dense(3)(b), "some": some, "twin": kind}
    return nn.Model([a, b], outputs, seed=5, n_threads=threads, dtype=dtype)


def wide_data() -> tuple[list[Array], dict[str, Array], dict[str, Array]]:
    rng = np.random.default_rng(0)
    x = [rng.standard_normal((230, 4, 24)).astype(np.float32), rng.integers(0, 4, (230, 30)).astype(np.uint8)]
    y = {
        "h": rng.standard_normal((230, 4, 50)),
        "kind": rng.integers(0, 10, 230),
        "seen": rng.standard_normal((230, 3)),
        "some": rng.standard_normal((230, 7)),
        "twin": rng.integers(0, 10, 230),
    }
    return x, y, {"kind": rng.random(230), "seen": rng.random(230)}


def compiled_wide(threads: int, dtype: str, **settings: Any) -> nn.Model:
    model = wide(threads, dtype)
    model.compile(
        nn.Adam(0.003, global_clipnorm=0.5),
        {"h": "mse", "kind": SPARSE, "some": "huber", "twin": SPARSE},
        loss_weights={"twin": 0.1, "h": 2.0},
        metrics={"kind": "acc", "seen": "mae", "some": "mse"},
        weighted_metrics={"kind": "acc", "seen": "mae"},
        **settings,
    )
    return model


def assert_threads_agree(dtype: str, **settings: Any) -> None:
    x, y, w = wide_data()
    wanted: list[Array] = []
    for threads in (1, 2, 3):
        model = compiled_wide(threads, dtype, **settings)
        history = model.fit(x, y, sample_weight=w, batch_size=100, epochs=2, verbose=0).history
        figures = [*history.values(), model.evaluate(x, y, sample_weight=w, verbose=0)]
        states = [model.optimizer_state[name] for name in sorted(model.optimizer_state)]
        found = [*model.get_weights(), *states, *map(np.array, figures), *model.predict(x).values()]
        wanted = wanted or found
        for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
            assert_same_bits(a, b, (threads, i))
            assert np.isfinite(a).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", nn.available_isas())
def test_threads_do_not_matter(isa: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    networks.use_isa(isa, monkeypatch)
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    assert_threads_agree(dtype)


def test_threads_do_not_matter_at_lower_precision(precision: str) -> None:
    assert_threads_agree("float32", matmul_precision=precision)


def test_batches_of_an_evaluation_do_not_matter() -> None:
    """As of one output, the same bits where batches are whole chunks of rows."""

    class Watch(nn.Callback):
        def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            pass

    model, (x, y, w) = compiled_wide(1, "float32"), wide_data()
    data: dict[str, Any] = {"x": x, "y": y, "sample_weight": w, "verbose": 0}
    wanted = model.evaluate(**data)
    for size in (32, 64, 224, 1000):
        assert model.evaluate(**data, batch_size=size, callbacks=[Watch()]) == wanted
    assert model.evaluate(**data, batch_size=7, callbacks=[Watch()]) == pytest.approx(wanted, rel=1e-6)


def test_shuffled_rows_stay_together() -> None:
    """Inputs that are outputs: their losses are 0 as long as each row meets its own, and those that do not weigh 0."""
    a, b = nn.Input(4, name="a"), nn.Input((2, 3), name="b")
    model = nn.Model([a, b], {"a": a, "b": b, "c": nn.Dense(1)(a)}, seed=0)
    model.compile("sgd", "mse")
    y = {"a": X.copy(), "b": Z.copy(), "c": Y[:, :1]}
    y["a"][::3] += 1
    y["b"][1::4] -= 1
    w = {"a": np.arange(40) % 3 > 0, "b": np.arange(40) % 4 != 1}
    history = model.fit([X, Z], y, sample_weight=w, batch_size=16, epochs=3, verbose=0).history
    assert history["a_loss"] == history["b_loss"] == [0.0] * 3 and history["loss"] == history["c_loss"]
    assert model.fit([X, Z], y, verbose=0).history["a_loss"][0] > 0
