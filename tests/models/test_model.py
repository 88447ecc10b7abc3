"""Single batches, evaluation, prediction, and copies of models, as someone who knows Keras uses them."""

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
from small_models import LABELS, LX, LY, RNG, X, classifier, descend, linear, same

import nncore as nn

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
