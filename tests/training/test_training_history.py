"""What `fit` and `evaluate` say of a training: losses, metrics, weights of samples, validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy_twins import BATCH, CLASSES, Array, N, assert_weights, network, shuffled, train, twin

import nncore as nn


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
