"""NaN, infinity and divergence: what is named, which steps were applied, and a model that can go on."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from refusals import HOT, X, Y, classifier, unchanged, with_row

import nncore as nn

LOSSES = [
    ("mean_squared_error", None),
    ("mean_absolute_error", "tanh"),
    ("huber", "relu"),
    ("binary_crossentropy", "sigmoid"),
    ("categorical_crossentropy", "softmax"),
    ("sparse_categorical_crossentropy", "softmax"),
]


BAD_PLACES = [(*loss, where) for loss in LOSSES for where in "xy" if (loss[0][:6], where) != ("sparse", "y")]  # labels


@pytest.mark.parametrize(("loss", "activation", "where"), BAD_PLACES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_not_finite(loss: str, activation: str | None, value: float, where: str, dtype: type) -> None:
    """Row 21 of 40 is bad; batches of 8 in order: batch 2 of an epoch."""
    model = nn.Model([nn.Dense(5, activation="relu"), nn.Dense(3, activation=activation)], seed=3)
    model.compile("adam", loss)
    x, y = X.astype(dtype), (Y if loss.startswith("sparse") else HOT.astype(dtype))
    first = model.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
    twin = pickle.loads(pickle.dumps(model))
    bad = {"x": x, "y": y}
    bad[where] = bad[where].copy()
    bad[where][21, 1] = value
    with pytest.raises(
        ValueError,
        match=f"{where}: expected finite values, but row 21 of {where} holds {value}.*epoch 2, batch 2.*not applied",
    ):
        model.fit(**bad, initial_epoch=2, epochs=9, batch_size=8, shuffle=False, verbose=0)
    twin.fit(x[:16], y[:16], batch_size=8, shuffle=False, verbose=0)  # the two steps before
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), twin.get_weights(), strict=True))
    assert model.history.history == {} and first.epoch == [0, 1] and np.isfinite(model.predict(X)).all()
    mine, others = (m.fit(x, y, batch_size=40, shuffle=False, verbose=0).history for m in (model, twin))
    assert mine == others  # usable, its optimizer's state and steps as well
    with pytest.raises(ValueError, match=f"row 21 of {where} holds"):
        model.train_on_batch(bad["x"], bad["y"])
    assert unchanged(twin, model.get_weights())


def test_shuffled_rows_are_named_as_the_user_counts_them() -> None:
    model = classifier()
    with pytest.raises(ValueError, match="row 33 of x holds nan"):
        model.fit(with_row(X, 33, np.nan), Y, batch_size=4, verbose=0)


def test_an_update_that_overflows_is_told_from_a_divergence_before_it() -> None:
    model = nn.Model([nn.Dense(1)], seed=0)
    model.compile(nn.SGD(1e36), "mse")
    x = np.random.default_rng(0).standard_normal((64, 4)) * 10
    with pytest.raises(nn.DivergedError, match="an earlier one made weights overflow"):
        model.fit(x, np.full(64, 100.0), epochs=3, verbose=0)


def test_divergence_keeps_what_was_reached() -> None:
    class Explode(nn.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if epoch == 2:
                self.model.optimizer.learning_rate = 1e30

    def model() -> nn.Model:
        made = nn.Model([nn.Input(4), nn.Dense(5), nn.Dense(1)], seed=0)
        made.compile(nn.SGD(0.01), "mse")
        return made

    diverged = model()
    with pytest.raises(nn.DivergedError, match=r"not finite.*epoch 3, batch.*Lower learning_rate") as caught:
        diverged.fit(X, X[:, 0], epochs=9, batch_size=8, callbacks=[Explode()], verbose=0)
    assert (caught.value.epoch, caught.value.batch) == (3, 1) or caught.value.batch > 1
    assert isinstance(caught.value, ArithmeticError) and len(diverged.history.history["loss"]) == 3
    assert all(np.isfinite(w).all() for w in diverged.get_weights())
    assert pickle.loads(pickle.dumps(caught.value)).batch == caught.value.batch
    normal = model()
    stop = nn.callbacks.TerminateOnNaN()
    history = normal.fit(X, X[:, 0], epochs=9, batch_size=8, callbacks=[Explode(), stop], verbose=0)
    assert unchanged(normal, diverged.get_weights()) and history.epoch == [0, 1, 2, 3] and normal.stop_training
    normal.set_weights([np.zeros_like(w) for w in normal.get_weights()])
    normal.optimizer.learning_rate = 0.01
    assert np.isfinite(normal.fit(X, X[:, 0], verbose=0).history["loss"]).all()


@pytest.mark.parametrize("batches", [False, True])
def test_terminate_on_nan_ends_fit_normally(batches: bool, capsys: pytest.CaptureFixture[str]) -> None:
    ended: list[Any] = []
    watch = nn.callbacks.LambdaCallback(
        on_train_end=ended.append, on_train_batch_end=(lambda b, logs: None) if batches else None
    )
    model, twin = classifier(), classifier()
    history = model.fit(
        with_row(X, 21, np.nan),
        Y,
        epochs=5,
        batch_size=8,
        shuffle=False,
        verbose=0,
        callbacks=[nn.callbacks.TerminateOnNaN(), watch],
    )
    twin.fit(X[:16], Y[:16], batch_size=8, shuffle=False, verbose=0)
    assert unchanged(model, twin.get_weights()) and len(ended) == 1
    assert np.isnan(history.history["loss"]).tolist() == [True]  # as in Keras, whatever else listens
    assert "Batch 2: Invalid loss" in capsys.readouterr().out
