"""The Model API as someone who knows Keras would use it, against NumPy and against what Keras's documentation says."""

from __future__ import annotations

import copy
import pickle
import signal
import statistics
import threading
import time
from typing import Any

import numpy as np
import pytest
import reference

import nncore as nn

RNG = np.random.default_rng(5)
X = RNG.normal(size=(50, 4)).astype(np.float32)
LABELS = RNG.integers(0, 3, 50)


def classifier(**settings: Any) -> nn.Model:
    model = nn.Model([nn.Dense(6, activation="relu"), nn.Dense(3, activation="softmax")], **({"seed": 7} | settings))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def linear(**settings: Any) -> nn.Model:
    """One float64 neuron with W = 0, b = 0, whose training is a formula."""
    model = nn.Model([nn.Input(2), nn.Dense(1, kernel_initializer="zeros")], seed=0, dtype="float64", **settings)
    model.compile(nn.SGD(0.1), "mse")
    return model


LX, LY = RNG.normal(size=(12, 2)), RNG.normal(size=12)


def descend(w: np.ndarray, b: float, x: np.ndarray, y: np.ndarray, rate: float, weight: Any = 1.0) -> Any:
    """A step of gradient descent on Σ weight (x w + b − y)² / n, and the loss before it."""
    e = x @ w + b - y
    return (
        w - rate * 2 * (x.T @ (weight * e)) / len(x),
        b - rate * 2 * np.sum(weight * e) / len(x),
        np.mean(weight * e**2),
    )


def same(a: nn.Model, b: nn.Model) -> bool:
    return all(np.array_equal(v, w) for v, w in zip(a.get_weights(), b.get_weights(), strict=True))


# ---- making one ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [4, (4,), [4], (None, 4), np.int64(4)])
def test_build_takes_every_way_to_say_a_shape(shape: Any) -> None:
    model = classifier()
    assert not model.built and model.input_shape is None and model.output_shape is None
    model.build(shape)
    assert model.built and model.input_shape == (None, 4) and model.output_shape == (None, 3)
    model.build(4)
    with pytest.raises(ValueError, match=r"input_shape: the model is built for \(4,\), got \(5,\)"):
        model.build(5)


@pytest.mark.parametrize("shape", [None, (), (None, None), -1, 0, (3, 0), 2.5, "4", (None, 2**63), object()])
def test_build_refuses(shape: Any) -> None:
    model = classifier()
    with pytest.raises(ValueError, match="input_shape: expected"):
        model.build(shape)
    assert not model.built
    assert model.predict(X).shape == (50, 3)


def test_one_network_four_ways() -> None:
    def layers() -> list[nn.Layer]:
        return [nn.Dense(6, activation="relu"), nn.Dense(3, activation="softmax")]

    added = nn.Sequential(seed=7)
    added.add(nn.Input((4,)))
    for layer in layers():
        added.add(layer)
    x = nn.Input(4)
    h, p = layers()
    built = nn.Model(layers(), seed=7)
    built.build(4)
    same_ones = [
        nn.Model([nn.Input(4), *layers()], seed=7),
        nn.Sequential([nn.Input(4), *layers()], seed=7),
        added,
        nn.Model(x, p(h(x)), seed=7),
        built,
    ]
    first = same_ones[0].predict(X)
    w1, b1, w2, b2 = same_ones[0].get_weights()
    expected = reference.softmax(np.maximum(X.astype(float) @ w1 + b1, 0) @ w2 + b2)
    np.testing.assert_allclose(first, expected, rtol=1e-5)
    for model in same_ones:
        assert model.built and np.array_equal(model.predict(X), first)
        assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    y = nn.Input(4)
    assert nn.Model(inputs=y, outputs=nn.Dense(2)(y)).count_params() == 10


def test_add_and_pop_on_a_built_model_keep_the_other_weights() -> None:
    model = nn.Sequential([nn.Input(4), nn.Dense(6, activation="relu"), nn.Dense(3, activation="softmax")], seed=7)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(X, LABELS, verbose=0)
    kept = model.get_weights()[:2]
    top = model.pop()
    assert [layer.name for layer in model.layers] == ["dense"] and model.output_shape == (None, 6)
    with pytest.raises(ValueError, match="not compiled"):
        model.fit(X, LABELS, verbose=0)
    model.add(nn.Dense(2, name="head"))
    assert all(np.array_equal(a, b) for a, b in zip(kept, model.get_weights(), strict=False))
    assert model.predict(X).shape == (50, 2)
    with pytest.raises(ValueError, match="Reshape"):
        model.add(nn.Reshape((5, 7)))
    assert model.predict(X).shape == (50, 2) and np.array_equal(model.get_weights()[0], kept[0])
    other = nn.Sequential([nn.Input(6), top])
    assert other.output_shape == (None, 3)
    with pytest.raises(
        ValueError, match=r"dense_1: expected inputs that its weights fit, .*\(None, 6\), got \(None, 2"
    ):
        model.add(top)
    empty = nn.Sequential()
    with pytest.raises(ValueError, match="pop: expected a model with layers"):
        empty.pop()
    with pytest.raises(ValueError, match="at least one layer"):
        empty.predict(X)


def test_a_build_that_fails_changes_nothing() -> None:
    layers = [nn.Dense(5), nn.Reshape((2, 3))]
    model = nn.Model(layers)
    with pytest.raises(ValueError, match="Reshape"):
        model.build(4)
    assert not model.built
    twice = nn.Model([nn.Dense(2, name="a"), nn.Dense(2, name="a")])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"name: .*\['a'\] more than once"):
            twice.build(3)
    wrong_loss = nn.Model([nn.Dense(3), nn.Flatten()])
    wrong_loss.compile("sgd", "gaussian_nll")
    with pytest.raises(ValueError, match="expects a mean and a variance"):
        wrong_loss.fit(X, np.zeros((50, 3)), verbose=0)
    wrong_loss.compile("sgd", "mse")
    wrong_loss.fit(X, np.zeros((50, 3)), verbose=0)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: [s], lambda s: (s,), lambda s: {"name": s}])
def test_inputs_and_outputs_in_lists_and_dicts_of_one(wrap: Any) -> None:
    x = nn.Input(4)
    y = nn.Dense(3)(x)
    model = nn.Model(wrap(x), wrap(y), seed=1)
    assert model.input_shape == (None, 4) and model.output_shape == (None, 3) and not model.is_stack
    x = nn.Input(4)
    y = nn.Dense(3)(x)
    assert np.array_equal(nn.Model(inputs=wrap(x), outputs=wrap(y), seed=1).predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Model(nn.Dense(3)), "layers: expected a list of layers, or inputs and outputs, got Dense"),
        (lambda: nn.Model([3]), "expected Layer objects, got 3"),
        (lambda: nn.Model([nn.Dense]), "expected Layer objects"),
        (lambda: nn.Model([nn.Dense(3), nn.Input(4)]), "expected Layer objects, got <Symbol shape"),
        (lambda: nn.Model([nn.Add()]), "Add joins several inputs"),
        (
            lambda: nn.Model([nn.Input(3), nn.Input(3)], nn.Dense(3)(nn.Input(3))),
            "inputs, outputs: expected outputs that depend on each of these inputs and on no other",
        ),
        (lambda: nn.Model([i := nn.Input(3), i], nn.Dense(3)(i)), "inputs: expected each symbol once"),
        (lambda: nn.Model(inputs=nn.Input(3)), "inputs, outputs: expected symbols, .* got NoneType"),
        (lambda: nn.Model([nn.Input(3)], []), "inputs, outputs: expected symbols, .* got list"),
        (lambda: nn.Model(nn.Input(3), nn.Dense(3)(nn.Input(3))), "depend on this Input and on no other"),
        (lambda: nn.Model([nn.Dense(3)], seed=-1), r"seed: expected a whole number from 0 to 2\*\*64 - 1, got -1"),
        (lambda: nn.Model([nn.Dense(3)], seed=2**64), "seed: expected"),
        (lambda: nn.Model([nn.Dense(3)], seed=1.5), "seed: expected .* got 1.5"),
        (lambda: nn.Model([nn.Dense(3)], seed=True), "seed: expected .* got True"),
        (lambda: nn.Model([nn.Dense(3)], n_threads=0), "n_threads: expected a whole number from 1 to 1024, got 0"),
        (lambda: nn.Model([nn.Dense(3)], n_threads="2"), "n_threads: expected"),
        (lambda: nn.Model([nn.Dense(3)], dtype="float16"), 'dtype: expected "float32" or "float64", got \'float16\''),
        (lambda: nn.Model([nn.Dense(3)], dtype=None), "dtype: expected"),
        (lambda: nn.Model([nn.Dense(3)], dtype=int), "dtype: expected"),
        (lambda: nn.Model([nn.Dense(3)], name=3), "name: expected a string"),
    ],
)
def test_what_is_no_model(make: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        make()


def test_a_layer_is_in_a_stack_once() -> None:
    layer = nn.Dense(3)
    with pytest.raises(ValueError, match="in this model already"):
        nn.Model([layer, layer])


def test_settings() -> None:
    assert classifier().seed == 7 and classifier(seed=2**64 - 1).seed == 2**64 - 1
    drawn = classifier(seed=None)
    drawn.build(4)
    again = classifier(seed=drawn.seed)
    again.build(4)
    assert same(drawn, again) and classifier(seed=None).seed != drawn.seed
    for dtype in ("float64", np.float64, np.dtype("float64")):
        assert classifier(dtype=dtype).predict(X).dtype == np.float64
    assert classifier(name="net").name == "net" and classifier().name == "model"


# ---- looking into it -------------------------------------------------------------------------------------------------


def test_weights_are_keras_s() -> None:
    model = nn.Model([nn.Input(4), nn.Dense(6, use_bias=False), nn.Dropout(0.5), nn.Dense(3, name="out")], seed=0)
    assert [w.shape for w in model.get_weights()] == [(4, 6), (6, 3), (3,)]
    assert model.count_params() == 24 + 18 + 3
    new = [np.full(w.shape, i, float) for i, w in enumerate(model.get_weights())]
    model.set_weights(new)
    new[0][:] = 9  # copied
    assert [w[0].flat[0] for w in model.get_weights()] == [0, 1, 2]
    model.get_weights()[0][:] = 9  # a copy
    assert model.get_weights()[0][0, 0] == 0
    out = model.get_layer("out")
    assert out is model.layers[2] is model.get_layer(index=-1) and out.count_params() == 21
    out.set_weights([np.ones((6, 3)), np.zeros(3)])
    assert model.get_weights()[1].sum() == 18 and out.get_weights()[1].tolist() == [0, 0, 0]
    for bad, words in [
        ({"name": "nope"}, r"name: expected one of \['dense', 'dropout', 'out'\], got 'nope'"),
        ({"index": 3}, "index: expected one of the 3 layers, got 3"),
        ({}, "name, index: expected one"),
    ]:
        with pytest.raises(ValueError, match=words):
            model.get_layer(**bad)


@pytest.mark.parametrize(
    ("weights", "error", "words"),
    [
        ([np.zeros((4, 6)), np.zeros(6)], ValueError, "weights: expected 4 arrays, got 2"),
        (
            [np.zeros((6, 4)), np.zeros(6), np.zeros((6, 3)), np.zeros(3)],
            ValueError,
            r"\(4, 6\) for dense/kernel, got \(6, 4\)",
        ),
        (
            [np.zeros((4, 6)), np.zeros(6), np.zeros((6, 3)), np.full(3, 1e39)],
            ValueError,
            "dense_1/bias overflows float32",
        ),
        ([np.zeros((4, 6)), np.zeros(6), np.zeros((6, 3)), np.array(["a"] * 3)], TypeError, "real numbers"),
        ([np.zeros((4, 6)), np.zeros(6), np.zeros((6, 3)), np.zeros(3, complex)], TypeError, "real numbers"),
        ([np.zeros((4, 6)), np.zeros(6), np.zeros((6, 3)), np.array([None] * 3)], TypeError, "real numbers"),
        (5, TypeError, "weights: expected a list of arrays, got int"),
        (None, TypeError, "weights: expected a list of arrays"),
    ],
)
def test_weights_that_do_not_fit_change_nothing(weights: Any, error: type, words: str) -> None:
    model = classifier()
    model.build(4)
    before = model.get_weights()
    with pytest.raises(error, match=words):
        model.set_weights(weights)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_before_shapes_there_is_nothing_to_see() -> None:
    for what in (nn.Model.get_weights, nn.Model.count_params, nn.Model.summary):
        with pytest.raises(ValueError, match=r"no shapes yet.*build"):
            what(classifier())
    with pytest.raises(ValueError, match="no weights before"):
        nn.Dense(3).get_weights()


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Model([nn.Input((2, 3)), nn.Flatten(), nn.Dense(4, name="hidden"), nn.Dense(2, trainable=False)], seed=0)
    model.summary()
    text = capsys.readouterr().out
    rows = {line.split()[0]: line for line in text.splitlines() if line}
    assert "(None, 2, 3)" in rows["input"] and "(None, 6)" in rows["flatten"]
    assert "(None, 4)" in rows["hidden"] and rows["hidden"].split()[-1] == "28"
    assert "38 parameters" in text and "152 bytes" in text and "28 trainable" in text
    said: list[str] = []
    model.summary(print_fn=said.append)
    assert "\n".join(said) == text.rstrip("\n")


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


def test_trainable_takes_effect_at_compile() -> None:
    model = classifier()
    model.build(4)
    first, last = model.layers
    first.trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    frozen, moving = first.get_weights(), last.get_weights()
    model.fit(X, LABELS, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(frozen, first.get_weights(), strict=True))
    assert not np.array_equal(moving[0], last.get_weights()[0])
    first.trainable = True
    model.fit(X, LABELS, verbose=0)
    assert np.array_equal(frozen[0], first.get_weights()[0])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, LABELS, verbose=0)
    assert not np.array_equal(frozen[0], first.get_weights()[0])
    for layer in model.layers:
        layer.trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    before = model.get_weights()
    model.fit(X, LABELS, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_compile_starts_the_optimizer_anew() -> None:
    adam = nn.Adam(0.01)
    model, twin = classifier(), classifier()
    model.build(4)
    twin.build(4)
    start = model.get_weights()
    model.compile(adam, "sparse_categorical_crossentropy")
    model.fit(X, LABELS, verbose=0)
    assert adam.iterations == 2 and model.optimizer is adam
    model.compile(adam, "sparse_categorical_crossentropy")
    assert adam.iterations == 0
    model.set_weights(start)
    twin.compile(nn.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(X, LABELS, shuffle=False, verbose=0)
    twin.fit(X, LABELS, shuffle=False, verbose=0)
    assert same(model, twin)
    with pytest.raises(ValueError, match="unknown|known"):
        model.compile("adma", "mse")
    model.fit(X, LABELS, verbose=0)  # what failed has changed nothing


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"optimizer": "adma"},
            "optimizer: expected a known optimizer, got 'adma'. Did you mean 'adamax'\\? Known: .*adam, adamax, adamw",
        ),
        ({"loss": "mes"}, "loss: expected a known loss, got 'mes'.*Known: .*mean_squared_error"),
        ({"metrics": ["acuracy"]}, "metrics: expected a known metric, got 'acuracy'.*accuracy"),
        ({"weighted_metrics": [3]}, "weighted_metrics: expected"),
        ({"matmul_precision": "best"}, "matmul_precision: expected one of highest, high, medium, got 'best'"),
        ({"matmul_precision": ["high"]}, "matmul_precision: expected one of highest, high, medium, got \\['high'\\]"),
        ({"optimizer": 3}, "optimizer: expected the name"),
        ({"loss": 3}, "loss: expected the name"),
    ],
)
@pytest.mark.parametrize("built", [False, True])
def test_compile_refuses_at_once(arguments: dict[str, Any], words: str, built: bool) -> None:
    model = nn.Model([nn.Dense(3)])
    if built:
        model.build(4)
    with pytest.raises((ValueError, TypeError), match=words):
        model.compile(**({"loss": "mse"} | arguments))
    with pytest.raises(ValueError, match=r"not compiled.*compile\("):
        model.fit(X, LABELS, verbose=0)


def test_metrics_are_checked_once_there_are_shapes() -> None:
    model = nn.Model([nn.Dense(3)])
    model.build(4)
    with pytest.raises(ValueError, match="metrics: .*integer labels"):
        model.compile(loss=nn.losses.Huber, metrics=["sparse_categorical_accuracy"])


def test_a_model_without_loss_predicts_only() -> None:
    model = nn.Model([nn.Dense(3)], seed=0)
    uncompiled = model.predict(X)
    model.compile()
    assert type(model.optimizer) is nn.RMSprop and np.array_equal(model.predict(X), uncompiled)
    for what in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match="not compiled with a loss"):
            what(X, LABELS)


def test_names_objects_and_classes_are_the_same() -> None:
    models = []
    for optimizer, loss, metric in (
        ("sgd", "mse", "mae"),
        ("SGD", "mean_squared_error", "mean_absolute_error"),
        (nn.SGD(), nn.losses.MeanSquaredError(), nn.metrics.MeanAbsoluteError()),
        (nn.SGD, "MeanSquaredError", nn.metrics.MeanAbsoluteError),
    ):
        model = nn.Model([nn.Dense(1)], seed=0)
        model.compile(optimizer, loss, metrics=[metric])
        model.fit(X, X[:, 0], verbose=0)
        models.append(model)
    assert all(same(models[0], other) for other in models[1:])


# ---- one batch, evaluation, what is printed --------------------------------------------------------------------------


def test_one_batch() -> None:
    model, (w, b) = linear(), (np.zeros(2), 0.0)
    for rows in (slice(0, 5), slice(5, 12), slice(0, 12)):
        w, b, loss = descend(w, b, LX[rows], LY[rows], 0.1)
        assert model.train_on_batch(LX[rows], LY[rows]) == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(model.get_weights()[0][:, 0], w, rtol=1e-12)
    assert model.test_on_batch(LX, LY) == pytest.approx(np.mean((LX @ w + b - LY) ** 2), rel=1e-12)
    assert np.array_equal(model.predict_on_batch(LX), model.predict(LX))
    many = classifier()
    loss, accuracy = many.train_on_batch(X, LABELS)
    assert many.train_on_batch(X, LABELS, return_dict=True).keys() == {"loss", "accuracy"}
    assert many.test_on_batch(X, LABELS, return_dict=True).keys() == {"loss", "accuracy"}
    assert loss > 0 and 0 <= accuracy <= 1


def test_what_evaluate_returns() -> None:
    model = classifier()
    p = model.predict(X).astype(float)
    loss, accuracy = -np.log(p[np.arange(50), LABELS]).mean(), (p.argmax(1) == LABELS).mean()
    assert model.evaluate(X, LABELS, verbose=0) == pytest.approx([loss, accuracy], rel=1e-5)
    assert model.evaluate(X, LABELS, verbose=0, return_dict=True) == pytest.approx(
        {"loss": loss, "accuracy": accuracy}, rel=1e-5
    )
    model.compile(loss="sparse_categorical_crossentropy")
    one = model.evaluate(X, LABELS, verbose=0, batch_size=3)
    assert type(one) is float and one == pytest.approx(loss, rel=1e-5)
    weight = np.linspace(0, 2, 50)
    weighted = model.evaluate(X, LABELS, verbose=0, sample_weight=weight)
    assert weighted == pytest.approx(np.mean(weight * -np.log(p[np.arange(50), LABELS])), rel=1e-5)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["acc"], weighted_metrics=["acc"])
    logs = model.evaluate(X, LABELS, verbose=0, sample_weight=weight, return_dict=True)
    assert logs["weighted_acc"] == pytest.approx(np.average(p.argmax(1) == LABELS, weights=weight))
    assert logs["acc"] == pytest.approx(accuracy)


def test_batches_of_an_evaluation_are_those_that_were_asked_for() -> None:
    class Watch(nn.Callback):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
            self.seen.append(batch)

        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen.append((batch, logs["loss"]))

    model, watch = classifier(), Watch()
    whole = model.evaluate(X, LABELS, verbose=0)
    assert model.evaluate(X, LABELS, batch_size=20, verbose=0, callbacks=[watch]) == pytest.approx(whole, rel=1e-6)
    assert watch.seen[::2] == [0, 1, 2] and [batch for batch, _ in watch.seen[1::2]] == [0, 1, 2]
    assert watch.seen[1][1] == pytest.approx(model.evaluate(X[:20], LABELS[:20], verbose=0)[0], rel=1e-6)
    watch.seen.clear()
    model.fit(X, LABELS, validation_data=(X, LABELS), validation_batch_size=25, callbacks=[watch], verbose=0)
    assert watch.seen[::2] == [0, 1]


def test_batches_of_an_evaluation_may_be_large() -> None:
    model, seen = classifier(), []
    x, labels = np.resize(X, (1000, *X.shape[1:])), np.resize(LABELS, 1000)
    count = nn.callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: seen.append(batch))
    model.evaluate(x, labels, batch_size=600, verbose=0, callbacks=[count])
    model.fit(x, labels, validation_data=(x, labels), validation_batch_size=5000, verbose=0, callbacks=[count])
    assert seen == [0, 1, 0]


def test_predictions_do_not_depend_on_the_batch() -> None:
    model = classifier()
    whole = model.predict(X)
    assert whole.shape == (50, 3) and whole.dtype == np.float32
    for other in (
        model(X),
        model.predict(X, batch_size=1),
        model.predict(X, batch_size=2**70),
        model.predict_on_batch(X),
    ):
        assert np.array_equal(whole, other)
    assert all(np.array_equal(whole[i], model.predict(X[i : i + 1])[0]) for i in range(50))
    outputs: list[Any] = []
    see = nn.callbacks.LambdaCallback(on_predict_batch_end=lambda b, logs: outputs.append(logs["outputs"].copy()))
    assert np.array_equal(whole, model.predict(X, batch_size=7, callbacks=[see]))
    assert [len(o) for o in outputs] == [7] * 7 + [1] and np.array_equal(np.concatenate(outputs), whole)
    assert model.predict(X[:0]).shape == (0, 3) and model(X[:0]).shape == (0, 3)


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def printed(verbose: Any) -> str:
        model = classifier()
        capsys.readouterr()
        model.fit(X, LABELS, epochs=2, verbose=verbose, validation_split=0.2)
        model.evaluate(X, LABELS, verbose=verbose)
        model.predict(X, verbose=verbose)
        return capsys.readouterr().out

    assert printed(0) == ""
    lines = printed(2)
    assert lines == printed("auto") or lines.count("\n") == printed("auto").count("\n")  # not a terminal
    assert lines.count("Epoch") >= 2 and "val_accuracy" in lines and "\r" not in lines
    assert "loss" in printed(1)
    assert printed(None) == printed(False) == ""  # as in Keras
    assert "loss" in printed(True)
    for verbose in (3, "loud", -1):
        for what in ("fit", "evaluate", "predict"):
            arguments = (X,) if what == "predict" else (X, LABELS)
            with pytest.raises(ValueError, match=r"verbose: expected 'auto', 0, 1 or 2, got"):
                getattr(classifier(), what)(*arguments, verbose=verbose)


# ---- copies, threads, signals ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("kind", ["stack", "functional"])
def test_copies_train_on_with_equal_bits(duplicate: Any, kind: str) -> None:
    if kind == "stack":
        model = nn.Sequential(
            [nn.Dense(6, activation="relu"), nn.Dropout(0.3), nn.Dense(3, activation="softmax")], seed=1
        )
    else:
        x = nn.Input(4)
        h = nn.Dense(4, activation="tanh")(x)
        model = nn.Model(x, nn.Dense(3, activation="softmax")(nn.Add()([h, x])), seed=1, n_threads=1, name="net")
    model.compile(nn.Adam(0.01, clipnorm=1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, LABELS, epochs=2, batch_size=8, verbose=0)
    twin = duplicate(model)
    assert type(twin) is type(model) and twin.n_threads == model.n_threads and twin.name == model.name
    assert same(model, twin) and twin.history.history == model.history.history
    mine, others = (m.fit(X, LABELS, epochs=2, batch_size=8, verbose=0).history for m in (model, twin))
    assert mine == others and same(model, twin) and twin.optimizer.iterations == model.optimizer.iterations == 28
    twin.set_weights([0 * w for w in twin.get_weights()])
    assert not same(model, twin)


def test_copies_of_models_that_are_not_ready() -> None:
    model = classifier()
    twin = copy.deepcopy(model)
    model.fit(X, LABELS, verbose=0)
    twin.fit(X, LABELS, verbose=0)
    assert same(model, twin)
    assert not copy.deepcopy(nn.Model([nn.Dense(3)])).built
    assert pickle.loads(pickle.dumps(nn.Sequential())).layers == []


def test_many_threads_predict_at_once() -> None:
    model = classifier(n_threads=2)
    inputs = [RNG.normal(size=(n, 4)).astype(t) for n in (1, 3, 40, 300) for t in (np.float32, np.float64)]
    inputs.append(RNG.normal(size=(5000, 8)).astype(np.float16)[:, ::2])
    twin = classifier()
    expected = [twin.predict(x) for x in inputs]
    loss = twin.evaluate(X, LABELS, verbose=0)
    wrong: list[Any] = []
    ready = threading.Barrier(16)

    def work(k: int) -> None:
        try:
            ready.wait()  # the first of them builds the model
            for i in range(60):
                j = (i + k) % len(inputs)
                if not np.array_equal(model(inputs[j]), expected[j]):
                    wrong.append(j)
                if k % 4 == 0 and model.evaluate(X, LABELS, verbose=0) != loss:
                    wrong.append("evaluate")
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("what", ["small", "large", "predict"])
def test_ctrl_c(what: str) -> None:
    units = 16 if what == "small" else 700
    model = nn.Model([nn.Dense(units), nn.Dense(units), nn.Dense(3, activation="softmax")], seed=0, n_threads=2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.zeros((4000 if what != "predict" else 60_000, 4 if what == "small" else 500), np.float32)
    y = np.zeros(len(x), int)
    model.predict(x[:1])
    delays = []

    def interrupt(*_: Any) -> None:
        delays.append(time.perf_counter())
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        for i in range(5):
            due = time.perf_counter() + 0.1 + 0.013 * i
            signal.setitimer(signal.ITIMER_REAL, due - time.perf_counter())
            with pytest.raises(KeyboardInterrupt):
                while True:
                    if what == "predict":
                        model.predict(x)
                    else:
                        model.fit(x, y, epochs=10**6, batch_size=32 if what == "small" else 4000, verbose=0)
            delays[-1] = time.perf_counter() - due
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert statistics.median(delays) < 0.5  # 0.1 on a machine that does nothing else
    assert all(np.isfinite(w).all() for w in model.get_weights())
    assert model.fit_state is None
    model.fit(x[:100], y[:100], verbose=0)
    assert model.predict(x[:5]).shape == (5, 3)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_refused_row_leaves_the_next_prediction_whole(threads: int) -> None:
    """More rows than a tile: what is refused in one call must not cut the next one short."""
    model = nn.Model([nn.Input((4,)), nn.Dense(3)], seed=0, n_threads=threads)
    x = np.random.default_rng(0).standard_normal((1000, 4)).astype(np.float32)
    wanted = x.astype(float) @ model.get_weights()[0]
    bad = x.astype(np.float64)
    bad[5, 1] = 1e300
    with pytest.raises(ValueError, match="row 5"):
        model.predict(bad)
    held = [model.predict(x), model(x)]
    for y in held:
        np.testing.assert_allclose(y, wanted, rtol=1e-5, atol=1e-5)


def test_what_an_update_walks_starts_on_a_page() -> None:
    """Weights, gradients and optimizer state: at any other distance loads may wait for stores (state.aligned_zeros)."""
    between = []
    for units in range(1, 40, 3):
        model = nn.Model([nn.Dense(units)])
        model.build(5)
        model.compile("adam", "mse")
        between.append(bytearray(100 * units))
        for array in (model.graph.state.values, model.graph.state.like(), *model.optimizer_state.values()):
            assert array.ctypes.data % 4096 == 0


def test_calls_of_changing_shapes() -> None:
    """What a call remembers of the last shape never shows in the next."""
    model = nn.Model([nn.Dense(3)], seed=1)
    model.build(4)
    x = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    want = model.predict(x)
    for rows in (1, 3, 0, 6, 1, 2):
        np.testing.assert_array_equal(model(x[:rows]), want[:rows])
    for wrong in (x[:, :3], x[0], x[:1, None], x[0, 0]):
        with pytest.raises(ValueError, match="expected shape"):
            model(wrong)
    np.testing.assert_array_equal(model(x[:2]), want[:2])
