"""Whole trainings against the NumPy network of reference.py, and what `fit` and `evaluate` say about them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as ref
from numpy.typing import NDArray

import nncore as nn
from nncore._kernels.table import permutation
from nncore.execution.tuning import Pace
from nncore.training.fit import SHUFFLE_STREAM

Array = NDArray[Any]

N, INPUTS, CLASSES, BATCH = 53, 6, 4, 16  # the last batch has 5 rows
LOSS = "sparse_categorical_crossentropy"


@pytest.fixture
def xy() -> tuple[Array, Array]:
    rng = np.random.default_rng(2)
    return rng.standard_normal((N, INPUTS)), rng.integers(0, CLASSES, N)


def network(optimizer: Any = None, l2: float = 0.0, seed: int = 4, **kwargs: Any) -> nn.Model:
    layers = [nn.Input(INPUTS), nn.Dense(8, "tanh", kernel_regularizer=nn.regularizers.L2(l2) if l2 else None)]
    layers.append(nn.Dense(CLASSES, "softmax", kernel_regularizer=nn.regularizers.L2(l2) if l2 else None))
    model = nn.Model(layers, seed=seed, dtype="float64")
    model.compile(optimizer or nn.SGD(0.1), LOSS, **kwargs)
    return model


def twin(model: nn.Model, l2: float = 0.0, **clips: float) -> ref.MLP:
    """The same network in NumPy."""
    o = model.optimizer
    names = ("learning_rate", "weight_decay", "momentum", "beta_1", "beta_2", "rho", "epsilon", "nesterov", "centered")
    rule = ref.Rule(clip_value=o.clipvalue or math.inf, **{n: getattr(o, n) for n in names if hasattr(o, n)})
    return ref.MLP(model.get_weights(), "tanh", optimizer=o.kernel, rule=rule, l2=l2, **clips)


def shuffled(model: nn.Model, epoch: int, n: int = N) -> Array:
    """The order of pass number `epoch`, from 0."""
    order = np.empty(n, np.int64)
    permutation(model.seed, SHUFFLE_STREAM | (epoch + 1), order)
    return order


def batches(order: Array, size: int = BATCH) -> Iterator[Array]:
    return (order[i : i + size] for i in range(0, len(order), size))


def assert_weights(model: nn.Model, mlp: ref.MLP) -> None:
    for a, b in zip(model.get_weights(), mlp.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def train(mlp: ref.MLP, orders: list[Array], x: Array, y: Array, w: Array | None = None) -> list[float]:
    """One epoch per order; the losses, averaged over samples."""
    history = []
    for order in orders:
        total = 0.0
        for rows in batches(order):
            total += len(rows) * mlp.step(x[rows], y[rows], None if w is None else w[rows])
        history.append(total / len(order))
    return history


# -- whole trainings -----------------------------------------------------------------------------------------------

OPTIMIZERS: list[tuple[nn.optimizers.Optimizer, dict[str, float]]] = [
    (nn.SGD(0.1), {}),
    (nn.SGD(0.05, momentum=0.9), {}),
    (nn.SGD(0.05, momentum=0.8, nesterov=True, weight_decay=0.1), {}),
    (nn.SGD(0.3, clipnorm=0.1), {"clipnorm": 0.1}),
    (nn.SGD(0.3, momentum=0.5, global_clipnorm=0.15), {"global_clipnorm": 0.15}),
    (nn.SGD(0.3, clipvalue=0.02), {}),
    (nn.Adam(0.01), {}),
    (nn.AdamW(0.01, 0.7, 0.9, weight_decay=0.2), {}),
    (nn.RMSprop(0.003), {}),
    (nn.RMSprop(0.003, momentum=0.5, centered=True), {}),
]


@pytest.mark.parametrize("case", range(len(OPTIMIZERS)))
@pytest.mark.parametrize("shuffle", [True, False])
def test_a_training(case: int, shuffle: bool, xy: tuple[Array, Array]) -> None:
    optimizer, clips = OPTIMIZERS[case]
    x, y = xy
    model = network(type(optimizer).from_config(optimizer.get_config()))
    mlp = twin(model, **clips)
    orders = [shuffled(model, e) if shuffle else np.arange(N) for e in range(4)]
    history = model.fit(x, y, batch_size=BATCH, epochs=4, shuffle=shuffle, verbose=0).history
    assert history["loss"] == pytest.approx(train(mlp, orders, x, y), rel=1e-11)
    assert_weights(model, mlp)
    np.testing.assert_allclose(model.predict(x), mlp.predict(x), rtol=1e-9)
    assert model.optimizer.iterations == 4 * 4


def test_orders_are_permutations_and_differ() -> None:
    model = network()
    orders = [shuffled(model, e) for e in range(5)]
    assert all(sorted(o) == list(range(N)) for o in orders)
    assert len({tuple(o) for o in orders}) == 5


def test_penalties_and_weights_of_samples(xy: tuple[Array, Array]) -> None:
    x, y = xy
    w = np.random.default_rng(0).random(N) * (np.arange(N) % 5 > 0)
    model = network(l2=0.02)
    mlp = twin(model, l2=0.02)
    orders = [shuffled(model, e) for e in range(3)]
    history = model.fit(x, y, batch_size=BATCH, epochs=3, sample_weight=w, verbose=0).history
    assert history["loss"] == pytest.approx(train(mlp, orders, x, y, w), rel=1e-11)
    assert_weights(model, mlp)


def test_class_weight_multiplies_sample_weight(xy: tuple[Array, Array]) -> None:
    x, y = xy
    w = np.linspace(0.5, 2, N)
    given = {0: 3.0, 2: 0.25}  # 1 for the others
    both = w * np.array([3.0, 1.0, 0.25, 1.0])[y]
    for kwargs, wanted in (({"class_weight": given}, both / w), ({"class_weight": given, "sample_weight": w}, both)):
        model = network()
        mlp = twin(model)
        orders = [shuffled(model, 0)]
        history = model.fit(x, y, batch_size=BATCH, verbose=0, **kwargs).history
        assert history["loss"] == pytest.approx(train(mlp, orders, x, y, wanted), rel=1e-11)
        assert_weights(model, mlp)


def test_steps_per_epoch_continues_passes(xy: tuple[Array, Array]) -> None:
    """Three steps an epoch, four a pass: the second epoch begins with the last batch of the first pass."""
    x, y = xy
    model = network()
    mlp = twin(model)
    stream = [rows for e in range(4) for rows in batches(shuffled(model, e))][: 3 * 5]
    history = model.fit(x, y, batch_size=BATCH, epochs=5, steps_per_epoch=3, verbose=0).history
    wanted = []
    for epoch in range(5):
        rows = stream[3 * epoch : 3 * epoch + 3]
        losses = [len(r) * mlp.step(x[r], y[r]) for r in rows]
        wanted.append(sum(losses) / sum(map(len, rows)))
    assert history["loss"] == pytest.approx(wanted, rel=1e-11)
    assert_weights(model, mlp)


def test_more_steps_per_epoch_than_a_pass_has(xy: tuple[Array, Array]) -> None:
    x, y = xy
    model = network()
    mlp = twin(model)
    stream = [rows for e in range(3) for rows in batches(shuffled(model, e))][:9]
    history = model.fit(x, y, batch_size=BATCH, steps_per_epoch=9, verbose=0).history
    losses = [len(r) * mlp.step(x[r], y[r]) for r in stream]
    assert history["loss"] == pytest.approx([sum(losses) / sum(map(len, stream))], rel=1e-11)
    assert_weights(model, mlp)


def test_learning_rate_changes_between_and_inside_fits(xy: tuple[Array, Array]) -> None:
    x, y = xy

    class Halve(nn.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            self.model.optimizer.learning_rate = 0.2 / 2**epoch

    class PerBatch(nn.Callback):
        def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            self.model.optimizer.learning_rate = 0.1 / (batch + 1)

    model = network(nn.SGD(0.7, momentum=0.9))
    mlp = twin(model)
    model.fit(x, y, batch_size=BATCH, epochs=3, callbacks=[Halve()], verbose=0)
    for epoch in range(3):
        mlp.rule.learning_rate = 0.2 / 2**epoch
        train(mlp, [shuffled(model, epoch)], x, y)
    assert_weights(model, mlp)
    model.optimizer.learning_rate = 0.01
    mlp.rule.learning_rate = 0.01
    model.fit(x, y, batch_size=BATCH, verbose=0)
    train(mlp, [shuffled(model, 3)], x, y)
    assert_weights(model, mlp)
    model.fit(x, y, batch_size=BATCH, verbose=0, callbacks=[PerBatch()])
    for i, rows in enumerate(batches(shuffled(model, 4))):
        mlp.rule.learning_rate = 0.1 / (i + 1)
        mlp.step(x[rows], y[rows])
    assert_weights(model, mlp)


def test_train_on_batch_is_a_step_of_fit(xy: tuple[Array, Array]) -> None:
    x, y = xy
    model, other = network(nn.Adam(0.01)), network(nn.Adam(0.01))
    model.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, verbose=0)
    for _ in range(2):
        for rows in batches(np.arange(N)):
            other.train_on_batch(x[rows], y[rows])
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# -- history -------------------------------------------------------------------------------------------------------


def test_training_loss_is_of_the_passes_before_each_update(xy: tuple[Array, Array]) -> None:
    x, y = xy
    model = network(nn.SGD(0.5), metrics=["accuracy"])
    before = model.evaluate(x, y, verbose=0)
    history = model.fit(x, y, batch_size=N, epochs=1, verbose=0).history
    assert [history["loss"][0], history["accuracy"][0]] == pytest.approx(before, rel=1e-12)
    assert model.evaluate(x, y, verbose=0) != pytest.approx(before, rel=1e-3)


def test_metrics_with_and_without_weights(xy: tuple[Array, Array]) -> None:
    """Loss: Σ wℓ / n. Metrics: a plain mean. Weighted metrics: Σ wv / Σ w. With learning rate 0 all can be checked."""
    x, y = xy
    w = np.random.default_rng(1).random(N)
    model = network(nn.SGD(0.0), l2=0.1, metrics=["accuracy"], weighted_metrics=["accuracy"])
    p = model.predict(x)
    loss = -np.log(p[np.arange(N), y])
    right = (p.argmax(axis=1) == y).astype(float)
    penalty = 0.1 * sum((k**2).sum() for k in model.get_weights()[::2])
    wanted = {
        "loss": (w * loss).sum() / N + penalty,
        "accuracy": right.mean(),
        "weighted_accuracy": (w * right).sum() / w.sum(),
    }
    history = model.fit(x, y, batch_size=BATCH, epochs=2, sample_weight=w, validation_data=(x, y, w), verbose=0).history
    assert list(history) == [*wanted, *(f"val_{name}" for name in wanted)]
    for name, value in wanted.items():
        assert history[name] == pytest.approx([value, value], rel=1e-12)
        assert history[f"val_{name}"] == pytest.approx([value, value], rel=1e-12)
    assert model.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True) == pytest.approx(wanted, rel=1e-12)
    assert model.evaluate(x, y, sample_weight=w, verbose=0) == pytest.approx(list(wanted.values()), rel=1e-12)
    plain = model.evaluate(x, y, verbose=0, return_dict=True)
    assert plain["loss"] == pytest.approx(loss.mean() + penalty, rel=1e-12)
    assert plain["weighted_accuracy"] == pytest.approx(right.mean())


def test_rows_that_weigh_nothing_have_the_mean_0(xy: tuple[Array, Array]) -> None:
    """In every log of every way to pass weights, as in Keras; the plain metric and the penalty are what they are."""
    x, y = xy
    model = network(nn.SGD(0.0), l2=0.1, metrics=["accuracy"], weighted_metrics=["accuracy"])
    right = float(np.mean(model.predict(x).argmax(axis=1) == y))
    penalty = 0.1 * sum((k**2).sum() for k in model.get_weights()[::2])
    none, nothing = np.zeros(N), dict.fromkeys(range(CLASSES), 0.0)
    wanted = {"loss": penalty, "accuracy": right, "weighted_accuracy": 0.0}
    seen: list[dict[str, float]] = []
    spy = nn.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(dict(logs)))
    given: dict[str, Any]
    for given in ({"sample_weight": none}, {"class_weight": nothing}, {"sample_weight": none, "class_weight": nothing}):
        history = model.fit(x, y, BATCH, validation_data=(x, y, none), callbacks=[spy], verbose=0, **given).history
        assert {k: v[0] for k, v in history.items() if not k.startswith("val_")} == pytest.approx(wanted)
        assert {k[4:]: v[0] for k, v in history.items() if k.startswith("val_")} == pytest.approx(wanted)
        assert model.train_on_batch(x, y, return_dict=True, **given) == pytest.approx(wanted)
    assert [(logs["loss"], logs["weighted_accuracy"]) for logs in seen] == [(pytest.approx(penalty), 0)] * 12
    assert model.evaluate(x, y, sample_weight=none, verbose=0, return_dict=True) == pytest.approx(wanted)
    assert model.test_on_batch(x, y, none, return_dict=True) == pytest.approx(wanted)
    some = np.where(np.arange(N) < BATCH, 0.0, 2.0)  # none in the first batch: only there the mean is 0
    seen.clear()
    model.fit(x, y, BATCH, shuffle=False, sample_weight=some, callbacks=[spy], verbose=0)
    counted = np.mean(model.predict(x[BATCH:]).argmax(axis=1) == y[BATCH:])
    assert seen[0]["weighted_accuracy"] == 0 and seen[-1]["weighted_accuracy"] == pytest.approx(counted)


@pytest.mark.parametrize(("loss", "last"), [("mse", None), ("mae", "sigmoid"), ("huber", None), ("bce", "sigmoid"),
                                            ("categorical_crossentropy", "softmax")])  # fmt: skip
def test_evaluate_is_the_formula_on_what_predict_gives(loss: str, last: str | None) -> None:
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((300, 5)), rng.dirichlet(np.ones(3), 300)
    model = nn.Model([nn.Input(5), nn.Dense(7, "relu"), nn.Dense(3, last)], seed=0, dtype="float64")
    model.compile("sgd", loss, metrics=["mse", "mae", nn.metrics.BinaryAccuracy(threshold=0.3), "categorical_accuracy"])
    p = model.predict(x)
    value = {
        "mse": lambda: ((p - t) ** 2).mean(),
        "mae": lambda: np.abs(p - t).mean(),
        "huber": lambda: np.where(abs(p - t) <= 1, (p - t) ** 2 / 2, abs(p - t) - 0.5).mean(),
        "bce": lambda: -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(),
        "categorical_crossentropy": lambda: -(t * np.log(p)).sum(axis=1).mean(),
    }[loss]()
    wanted = [value, ((p - t) ** 2).mean(), np.abs(p - t).mean(), ((p > 0.3) == t).mean()]
    wanted.append((p.argmax(axis=1) == t.argmax(axis=1)).mean())
    assert model.evaluate(x, t, verbose=0) == pytest.approx(wanted, rel=1e-12)
    assert model.test_on_batch(x, t) == pytest.approx(wanted, rel=1e-12)


def test_validation_split_takes_the_last_rows(xy: tuple[Array, Array]) -> None:
    x, y = xy
    w = np.linspace(0.1, 1, N)
    cut = 42  # of 53 · 0.8 = 42.4
    one, two = network(metrics=["accuracy"]), network(metrics=["accuracy"])
    a = one.fit(x, y, batch_size=BATCH, epochs=3, validation_split=0.2, sample_weight=w, verbose=0).history
    held_out = (x[cut:], y[cut:], w[cut:])
    b = two.fit(
        x[:cut], y[:cut], batch_size=BATCH, epochs=3, validation_data=held_out, sample_weight=w[:cut], verbose=0
    ).history
    assert a == b
    last = one.evaluate(x[cut:], y[cut:], sample_weight=w[cut:], verbose=0)
    assert [a["val_loss"][-1], a["val_accuracy"][-1]] == last  # after the epoch's updates
    mlp = twin(network())
    train(mlp, [shuffled(one, e, cut) for e in range(3)], x[:cut], y[:cut], w[:cut])
    assert_weights(one, mlp)


def test_validation_freq_and_initial_epoch(xy: tuple[Array, Array]) -> None:
    x, y = xy
    model = network()
    epochs = []

    class Watch(nn.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            epochs.append(epoch)

    history = model.fit(
        x, y, epochs=9, initial_epoch=2, validation_data=(x, y), validation_freq=3, verbose=0, callbacks=Watch()
    )
    assert epochs == [2, 3, 4, 5, 6, 7, 8]
    assert history.epoch == epochs
    assert len(history.history["loss"]) == 7
    assert len(history.history["val_loss"]) == 3  # after epochs 3, 6 and 9, counted from 1, as in Keras
    assert model.fit(x, y, epochs=2, initial_epoch=2, verbose=0).history == {}


def test_validation_changes_nothing(xy: tuple[Array, Array]) -> None:
    x, y = xy
    one, two = network(nn.Adam()), network(nn.Adam())
    a = one.fit(x, y, epochs=3, verbose=0).history
    b = two.fit(x, y, epochs=3, validation_data=(x[:7], y[:7]), verbose=0).history
    assert a["loss"] == b["loss"]
    for p, q in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


# -- callbacks -----------------------------------------------------------------------------------------------------


def test_stop_training(xy: tuple[Array, Array]) -> None:
    x, y = xy

    class StopAfterEpoch(nn.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            self.model.stop_training = epoch == 2

    class StopAfterBatch(nn.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            self.model.stop_training = batch == 1

    model = network()
    assert len(model.fit(x, y, epochs=9, callbacks=[StopAfterEpoch()], verbose=0).history["loss"]) == 3
    assert model.optimizer.iterations == 3 * 2
    model = network()
    mlp = twin(model)
    first, second, *_ = batches(shuffled(model, 0))
    model.fit(x, y, batch_size=BATCH, epochs=9, callbacks=[StopAfterBatch()], verbose=0)
    for rows in (first, second):
        mlp.step(x[rows], y[rows])
    assert_weights(model, mlp)
    assert model.optimizer.iterations == 2
    model.fit(x, y, batch_size=BATCH, verbose=0)  # goes on with a pass of its own
    train(mlp, [shuffled(model, 1)], x, y)
    assert_weights(model, mlp)


def test_batch_logs_are_averages_so_far(xy: tuple[Array, Array]) -> None:
    x, y = xy
    seen = []

    class Watch(nn.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            assert logs is not None
            seen.append((batch, logs["loss"]))

    model = network()
    mlp = twin(model)
    history = model.fit(x, y, batch_size=BATCH, callbacks=[Watch()], verbose=0).history
    total = rows_so_far = 0.0
    for i, rows in enumerate(batches(shuffled(model, 0))):
        total += len(rows) * mlp.step(x[rows], y[rows])
        rows_so_far += len(rows)
        assert seen[i] == (i, pytest.approx(total / rows_so_far, rel=1e-11))
    assert history["loss"] == [seen[-1][1]]


def test_early_stopping_restores_the_best(xy: tuple[Array, Array]) -> None:
    x, y = xy
    model = network(nn.SGD(2.5, momentum=0.9))
    kept = []

    class Keep(nn.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            kept.append(self.model.get_weights())

    stopper = nn.callbacks.EarlyStopping(patience=3, restore_best_weights=True)
    history = model.fit(
        x[:30],
        y[:30],
        batch_size=8,
        epochs=100,
        validation_data=(x[30:], y[30:]),
        callbacks=[Keep(), stopper],
        verbose=0,
    ).history
    values = history["val_loss"]
    best = int(np.argmin(values))
    assert len(values) == best + 1 + 3 < 100
    for a, b in zip(model.get_weights(), kept[best], strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.evaluate(x[30:], y[30:], verbose=0) == values[best]


def test_checkpoints_hold_the_best_model(xy: tuple[Array, Array], tmp_path: Path) -> None:
    x, y = xy
    model = network(nn.SGD(2.0, momentum=0.9), metrics=["accuracy"])
    path = tmp_path / "best.safetensors"
    saver = nn.callbacks.ModelCheckpoint(path, save_best_only=True)
    every = nn.callbacks.ModelCheckpoint(tmp_path / "{epoch:02d}.safetensors")
    history = model.fit(x[:30], y[:30], epochs=6, validation_data=(x[30:], y[30:]), callbacks=[saver, every], verbose=0)
    best = nn.load_model(path).evaluate(x[30:], y[30:], verbose=0, return_dict=True)
    assert best["loss"] == min(history.history["val_loss"])
    for epoch in range(6):
        saved = nn.load_model(tmp_path / f"{epoch + 1:02d}.safetensors")
        assert saved.evaluate(x[30:], y[30:], verbose=0)[0] == history.history["val_loss"][epoch]
    # The state of the optimizer is in the file: the fourth epoch goes on as it went.
    again = nn.load_model(tmp_path / "03.safetensors")
    losses = again.fit(x[:30], y[:30], epochs=6, initial_epoch=3, verbose=0).history["loss"]
    assert losses == history.history["loss"][3:]


def test_diverging_leaves_the_last_finite_weights(xy: tuple[Array, Array]) -> None:
    x, y = xy
    x = x.copy()
    model = network()
    mlp = twin(model)
    order = shuffled(model, 0)
    x[order[2 * BATCH + 3], 1] = np.nan  # in the third batch
    with pytest.raises(ValueError, match=rf"row {order[2 * BATCH + 3]} "):
        model.fit(x, y, batch_size=BATCH, verbose=0)
    for rows in list(batches(order))[:2]:
        mlp.step(x[rows], y[rows])
    assert_weights(model, mlp)
    assert model.optimizer.iterations == 2


@pytest.mark.parametrize("ticks", range(1, 25))
def test_a_step_that_is_abandoned_is_in_no_average(ticks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by the clock at any point of a step, the logs are those of the steps that were applied."""
    monkeypatch.setattr(Pace, "choose", lambda self: (1, 1e-5))  # back in Python wherever that may be

    class Stop(nn.Callback):
        ticks = 0

        def on_tick(self, samples_done: int, logs: Any = None) -> None:
            self.ticks += 1
            self.model.stop_training = self.ticks == ticks

    batch, width = 8, 512  # an operation is long enough for a look at the clock after it
    x = np.zeros((4 * batch, width), np.float32)
    y = np.repeat(np.arange(1, 5, dtype=np.float32), batch)
    layers = [nn.Dense(width, activation="tanh"), nn.Dense(width, activation="tanh"), nn.Dense(1)]
    model = nn.Model(layers, seed=0)
    model.compile(nn.SGD(0.0, global_clipnorm=1.0), "mse")
    history = model.fit(x, y, batch_size=batch, shuffle=False, verbose=0, callbacks=[Stop()]).history
    steps = model.optimizer.iterations
    expected = [np.mean(np.arange(1, steps + 1) ** 2)] if steps else []  # batch i has the loss i²; no step, no epoch
    np.testing.assert_array_equal(history.get("loss", []), expected)


# -- learning ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_digits_are_learnt(optimizer: str) -> None:
    """Handwritten digits, held-out accuracy of at least 97 %: the promise of the whole library."""
    (x_train, y_train), (x_test, y_test) = nn.datasets.load_digits()
    layers = [nn.Rescaling(1 / 16), nn.Flatten(), nn.Dense(128, "relu"), nn.Dropout(0.2), nn.Dense(10, "softmax")]
    model = nn.Model(layers, seed=0)
    model.compile(optimizer, LOSS, metrics=["accuracy"])
    history = model.fit(x_train, y_train, epochs=30, verbose=0).history
    assert history["loss"][-1] < 0.1 < history["loss"][0]
    assert model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"] >= 0.97
    assert (model.predict(x_test).argmax(axis=1) == y_test).mean() >= 0.97


def test_a_regression_is_learnt() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (1000, 2))
    y = np.sin(2 * x[:, 0]) * x[:, 1]
    model = nn.Model([nn.Dense(64, "tanh"), nn.Dense(64, "tanh"), nn.Dense(1)], seed=0)
    model.compile(nn.Adam(0.005), "mse")
    model.fit(x[:800], y[:800], epochs=60, verbose=0)
    assert model.evaluate(x[800:], y[800:], verbose=0) < 0.01 * y.var()
