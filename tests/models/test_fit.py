"""`fit` as someone who knows Keras uses it, against steps of gradient descent in NumPy."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from small_models import LABELS, LX, LY, RNG, X, classifier, descend, linear, same

import nncore as nn

# ---- training --------------------------------------------------------------------------------------------------------


def test_fit_is_gradient_descent_batch_by_batch() -> None:
    model, (w, b) = linear(), (np.zeros(2), 0.0)
    history = model.fit(LX, LY, batch_size=5, epochs=3, shuffle=False, verbose=0)
    expected = []
    for _ in range(3):
        total = 0.0
        for rows in (slice(0, 5), slice(5, 10), slice(10, 12)):  # the smaller last batch is trained on
            w, b, loss = descend(w, b, LX[rows], LY[rows], 0.1)
            total += loss * len(LX[rows])
        expected.append(total / 12)  # of the training pass itself, averaged over samples
    np.testing.assert_allclose(history.history["loss"], expected, rtol=1e-12)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], w, rtol=1e-12)
    np.testing.assert_allclose(model.get_weights()[1], [b], rtol=1e-12)
    assert history is model.history and history.epoch == [0, 1, 2] and list(history.history) == ["loss"]
    assert all(type(v) is float for v in history.history["loss"])


def test_weights_of_samples_and_classes() -> None:
    weight = RNG.uniform(0, 2, 12)
    model = linear()
    history = model.fit(LX, LY, batch_size=12, shuffle=False, sample_weight=weight, verbose=0)
    w, b, loss = descend(np.zeros(2), 0.0, LX, LY, 0.1, weight)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], w, rtol=1e-12)
    np.testing.assert_allclose(history.history["loss"], [loss], rtol=1e-12)  # divided by n, not by Σ w
    labels = (LY > 0).astype(int)
    both = linear()
    both.fit(LX, labels, batch_size=12, shuffle=False, sample_weight=weight, class_weight={1: 3.0}, verbose=0)
    w, b, loss = descend(np.zeros(2), 0.0, LX, labels, 0.1, weight * np.where(labels == 1, 3, 1))
    np.testing.assert_allclose(both.get_weights()[0][:, 0], w, rtol=1e-12)
    sparse, hot = classifier(), classifier()
    hot.compile("adam", "categorical_crossentropy")
    sparse.fit(X, LABELS, class_weight={0: 2, 2: 0.5}, verbose=0)
    hot.fit(X, nn.to_categorical(LABELS), class_weight={0: 2, 2: 0.5}, verbose=0)
    for a, b in zip(sparse.get_weights(), hot.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_validation() -> None:
    model, twin = linear(), linear()
    split = model.fit(LX, LY, epochs=4, validation_split=0.25, shuffle=False, verbose=0, validation_freq=2).history
    given = twin.fit(
        LX[:9], LY[:9], epochs=4, validation_data=(LX[9:], LY[9:]), shuffle=False, verbose=0, validation_freq=2
    ).history
    assert (
        split == given and len(split["loss"]) == 4 and len(split["val_loss"]) == 2
    )  # the last rows, every other epoch
    w, b = model.get_weights()
    np.testing.assert_allclose(split["val_loss"][-1], np.mean((LX[9:] @ w[:, 0] + b - LY[9:]) ** 2), rtol=1e-12)
    weight = np.array([1.0, 0, 2])
    third = linear()
    weighted = third.fit(LX, LY, validation_data=(LX[:3], LY[:3], weight), verbose=0).history["val_loss"]
    w, b = third.get_weights()
    np.testing.assert_allclose(weighted, [np.mean(weight * (LX[:3] @ w[:, 0] + b - LY[:3]) ** 2)], rtol=1e-12)
    # epochs are counted as Keras counts them, also where the first is not 0
    assert (
        len(
            linear()
            .fit(LX, LY, initial_epoch=3, epochs=6, validation_split=0.5, validation_freq=4, verbose=0)
            .history["val_loss"]
        )
        == 1
    )


def test_initial_epoch_continues_the_count() -> None:
    model, twin = classifier(), classifier()
    model.fit(X, LABELS, epochs=5, verbose=0)
    twin.fit(X, LABELS, epochs=2, verbose=0)
    history = twin.fit(X, LABELS, initial_epoch=2, epochs=5, verbose=0)
    assert history.epoch == [2, 3, 4] and same(model, twin)
    assert model.fit(X, LABELS, initial_epoch=5, epochs=5, verbose=0).history == {}
    assert model.fit(X, LABELS, epochs=0, verbose=0).history == {}


def test_shuffle_is_by_epoch_and_seed() -> None:
    a, b, c = classifier(), classifier(), classifier()
    a.fit(X, LABELS, epochs=2, batch_size=8, verbose=0)
    b.fit(X, LABELS, epochs=2, batch_size=8, verbose=0)
    c.fit(X, LABELS, epochs=2, batch_size=8, shuffle=False, verbose=0)
    assert same(a, b) and not same(a, c)
    seen: list[float] = []

    class Watch(nn.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(logs["loss"])

    still = linear()
    still.optimizer.learning_rate = 0.0
    still.fit(LX, LY, epochs=2, batch_size=1, callbacks=[Watch()], verbose=0)
    losses = (
        np.diff(np.concatenate([[0], seen[:12] * np.arange(1, 13)])),
        np.diff(np.concatenate([[0], seen[12:] * np.arange(1, 13)])),
    )
    for epoch in losses:  # each row once, in an order of its own
        np.testing.assert_allclose(np.sort(epoch), np.sort(LY**2), atol=1e-12)
    assert not np.allclose(*losses)


def test_steps_per_epoch() -> None:
    model, twin = linear(), linear()
    model.fit(LX, LY, batch_size=4, steps_per_epoch=2, epochs=3, verbose=0)
    twin.fit(LX, LY, batch_size=4, epochs=2, verbose=0)
    assert same(model, twin)  # 3 × 2 steps are 2 × 3: a pass goes on in the next epoch


def test_learning_rate_may_be_set_between_and_inside_fits() -> None:
    class Halve(nn.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.optimizer.learning_rate = self.model.optimizer.learning_rate / 2

    model, w, b = linear(), np.zeros(2), 0.0
    model.fit(LX, LY, batch_size=12, epochs=3, shuffle=False, callbacks=[Halve()], verbose=0)
    model.optimizer.learning_rate = 1e-4
    model.fit(LX, LY, batch_size=12, shuffle=False, verbose=0)
    for rate in (0.1, 0.05, 0.025, 1e-4):
        w, b, _ = descend(w, b, LX, LY, rate)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], w, rtol=1e-12)


def test_stop_training() -> None:
    class Stop(nn.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.stop_training = batch == 2

    model, w, b = linear(), np.zeros(2), 0.0
    history = model.fit(LX, LY, batch_size=2, epochs=9, shuffle=False, callbacks=[Stop()], verbose=0)
    for i in range(3):
        w, b, _ = descend(w, b, LX[2 * i : 2 * i + 2], LY[2 * i : 2 * i + 2], 0.1)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], w, rtol=1e-12)
    assert history.epoch == [0]  # the epoch that was stopped counts, as in Keras
    assert len(model.fit(LX, LY, epochs=2, verbose=0).epoch) == 2  # and the next fit is not stopped


def test_stop_training_from_another_thread() -> None:
    """Also in the middle of a long epoch, without waiting for its end."""
    model, n = classifier(), 4_000_000
    x, y = np.broadcast_to(X[:1], (n, 4)), np.zeros(n, np.int8)
    timer = threading.Timer(0.2, lambda: setattr(model, "stop_training", True))
    timer.start()
    model.fit(x, y, batch_size=1, epochs=9, shuffle=False, verbose=0)
    timer.join()
    assert 0 < model.optimizer.iterations < n and model.history.epoch == [0]


def test_evaluate_and_predict_inside_callbacks_disturb_nothing() -> None:
    seen: list[Any] = []

    class Look(nn.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            seen.append((self.model.evaluate(X[:7], LABELS[:7], verbose=0), self.model.predict(X[:3])))

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.evaluate(X[:2], LABELS[:2], verbose=0)

        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            self.model.evaluate(X[2:4], LABELS[2:4], verbose=0)

    a, b = classifier(), classifier()
    settings: dict[str, Any] = {"validation_data": (X[:20], LABELS[:20]), "epochs": 4, "batch_size": 8, "verbose": 0}
    assert a.fit(X, LABELS, callbacks=[Look()], **settings).history == b.fit(X, LABELS, **settings).history
    assert same(a, b) and seen[-1][0] == b.evaluate(X[:7], LABELS[:7], verbose=0)
    assert np.array_equal(seen[-1][1], b.predict(X[:3]))


def test_a_model_is_fitted_once_at_a_time() -> None:
    model = classifier()

    class Again(nn.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            with pytest.raises(RuntimeError, match="fit: this model is being fitted"):
                self.model.fit(X, LABELS, verbose=0)

    model.fit(X, LABELS, callbacks=[Again()], verbose=0)
    for hook in ("on_train_begin", "on_epoch_end", "set_params", "on_close"):
        bad = nn.Callback()
        setattr(bad, hook, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model.fit(X, LABELS, callbacks=[bad], verbose=0)
    model.fit(X, LABELS, verbose=0)


def test_of_two_fits_at_the_same_time_one_is_refused() -> None:
    """Also where the second begins while the first is still looking at its arguments."""
    model = classifier()
    begun, ended = threading.Event(), threading.Event()

    class Wait(nn.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            begun.set()
            assert ended.wait(10)

    other = threading.Thread(target=model.fit, args=(X, LABELS), kwargs={"verbose": 0, "callbacks": [Wait()]})

    class Slow:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            other.start()
            assert begun.wait(10)
            return X

    with pytest.raises(RuntimeError, match="fit: this model is being fitted"):
        model.fit(Slow(), LABELS, verbose=0)
    assert model.fit_state is not None
    ended.set()
    other.join()
    model.fit(X, LABELS, verbose=0)
