"""A model that nobody holds is gone at once, arrays and all, without the garbage collector: no cycle keeps it."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from open_models import batch, batches, compiled, series

import nncore as nn

X = np.random.default_rng(0).normal(size=(64, 8))
Y = np.arange(64) % 3
LOSS = "sparse_categorical_crossentropy"


def stack(precision: str) -> nn.Model:
    layers = [nn.Input(8), nn.Dense(8, "gelu", kernel_regularizer="l2"), nn.Dropout(0.1), nn.Dense(3, "softmax")]
    model = nn.Model(layers, seed=0)
    model.compile(nn.Adam(clipnorm=1.0), LOSS, metrics=["accuracy"], matmul_precision=precision)
    return model


def functional(precision: str) -> nn.Model:
    x = nn.Input(8)
    h = nn.Dense(8, "relu")(x)
    h = nn.Concatenate()([nn.Add()([h, x]), nn.Multiply()([h, x]), nn.Flatten()(nn.Reshape((2, 4))(h))])
    model = nn.Model(x, nn.Dense(3, "softmax")(nn.Rescaling(0.5)(h)), seed=0)
    model.compile(nn.RMSprop(), LOSS, matmul_precision=precision)
    return model


class Watcher(nn.callbacks.Callback):
    """Sees every batch."""

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        assert self.model.fit_state is not None


class Breaker(nn.callbacks.Callback):
    """Raises in the middle of an epoch."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if batch:
            raise self.error


def fit(model: nn.Model, path: Path) -> Any:
    return model.fit(X, Y, epochs=2, validation_split=0.25, verbose=0)  # the History is held


def fit_twice(model: nn.Model, path: Path) -> None:
    model.fit(X, Y, verbose=0)
    model.reseed(3)
    model.fit(X, Y, batch_size=7, sample_weight=np.ones(64), verbose=0)


def fit_with_callbacks(model: nn.Model, path: Path) -> Any:
    cb = nn.callbacks
    callbacks = [
        Watcher(), cb.EarlyStopping("loss", restore_best_weights=True), cb.ModelCheckpoint(path / "c"),
        cb.BackupAndRestore(path / "b"), cb.CSVLogger(path / "l"), cb.LambdaCallback(on_epoch_end=lambda *_: None),
        cb.TerminateOnNaN(),
    ]  # fmt: skip
    model.fit(X, Y, epochs=3, callbacks=callbacks, verbose=0)
    return callbacks  # they are held


def fit_that_breaks(model: nn.Model, path: Path) -> None:
    for error in (ValueError, KeyboardInterrupt):
        with pytest.raises(error):
            model.fit(X, Y, callbacks=[Breaker(error)], verbose=0)


def fit_that_diverges(model: nn.Model, path: Path) -> None:
    model.set_weights([np.full_like(w, 3e38) for w in model.get_weights()])
    with pytest.raises(nn.DivergedError):
        model.fit(X, Y, verbose=0)


def fit_of_bad_data(model: nn.Model, path: Path) -> None:
    for y in (Y + 1, Y[1:]):
        with pytest.raises(ValueError, match="y"):
            model.fit(X, y, verbose=0)
    with pytest.raises(ValueError, match="row 3"):
        model.fit(np.where(np.arange(64)[:, None] == 3, np.nan, X), Y, verbose=0)


def evaluate_and_predict(model: nn.Model, path: Path) -> None:
    model.evaluate(X, Y, verbose=0, callbacks=[Watcher()])
    model.train_on_batch(X, Y)
    model.test_on_batch(X, Y)
    model.predict(X)
    model.predict(X.astype("float32")[:1])
    model.predict(X.tolist(), callbacks=[Watcher()])


def show(model: nn.Model, path: Path) -> None:
    stream = io.StringIO()
    model.summary(print_fn=stream.write)
    model.fit(X, Y, verbose=2)
    model.evaluate(X, Y, verbose=1)


def save_and_copy(model: nn.Model, path: Path) -> None:
    model.save(path / "m")
    model.load_weights(path / "m")
    nn.load_model(path / "m")
    copy.deepcopy(model)
    pickle.loads(pickle.dumps(model))
    model.set_weights(model.get_weights())


def compile_again(model: nn.Model, path: Path) -> None:
    for loss, metrics in (("nothing", []), (LOSS, ["mse"])):  # the latter fails while operations are emitted
        with pytest.raises(ValueError, match="expect"):
            model.compile("sgd", loss, metrics=metrics, matmul_precision="medium")
    model.compile("sgd", "mse")
    model.fit(X, np.eye(3)[Y], verbose=0)


USES: list[Callable[[nn.Model, Path], Any]] = [
    fit, fit_twice, fit_with_callbacks, fit_that_breaks, fit_that_diverges, fit_of_bad_data, evaluate_and_predict, show,
    save_and_copy, compile_again,
]  # fmt: skip


@pytest.fixture
def uncollected() -> Iterator[None]:
    """The garbage collector does not come."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("precision", ["highest", "medium"])
@pytest.mark.parametrize("make", [stack, functional])
@pytest.mark.parametrize("use", USES)
def test_a_dropped_model_is_gone_at_once(
    use: Callable[[nn.Model, Path], Any],
    make: Callable[[str], nn.Model],
    precision: str,
    tmp_path: Path,
    uncollected: None,
) -> None:
    model = make(precision)
    held = use(model, tmp_path)
    parts = [model, model.graph, model.state, model.state.values, *model.optimizer_state.values(), *model.layers]
    watched = [(type(part).__name__, weakref.ref(part)) for part in parts]
    del model, parts
    assert [name for name, part in watched if part() is not None] == []
    del held


def test_programs_of_several_sizes_hold_no_model(uncollected: None) -> None:
    model = compiled(series())
    model.fit(batches, verbose=0)
    model.predict(batch(5)[0])
    model(batch(6)[0], training=True)
    gone = weakref.ref(model)
    del model
    assert gone() is None


def test_a_callback_knows_its_model_as_long_as_that_lives() -> None:
    model, other = stack("highest"), stack("highest")
    stopping = nn.callbacks.EarlyStopping("loss")
    assert stopping.model is None
    history = model.fit(X, Y, callbacks=[stopping], verbose=0)
    assert history.model is model.history.model is stopping.model is model
    for twin in (copy.copy(history), copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert twin.history == history.history and twin.epoch == history.epoch and twin.model is None
    other.fit(X, Y, callbacks=[stopping], verbose=0)
    assert stopping.model is other and history.model is model
    del model
    assert history.model is None
