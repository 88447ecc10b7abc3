"""Whole trainings: step by step as the NumPy network of reference.py, and digits and a regression that are learnt."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy_twins import BATCH, LOSS, Array, N, assert_weights, batches, network, shuffled, train, twin

import nncore as nn

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
