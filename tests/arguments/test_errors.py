"""What bad input gets: the exception, its words, and a model that is as it was before."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import nncore as nn

RNG = np.random.default_rng(6)
X = RNG.normal(size=(40, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 40)
HOT = nn.to_categorical(Y)


def classifier(loss: str = "sparse_categorical_crossentropy") -> nn.Model:
    model = nn.Model([nn.Input(4), nn.Dense(5, activation="relu"), nn.Dense(3, activation="softmax")], seed=0)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def unchanged(model: nn.Model, before: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def with_row(a: Any, row: int, value: Any) -> np.ndarray:
    a = np.array(a)
    a[row] = value
    return a


# ---- the data --------------------------------------------------------------------------------------------------------

BAD_X: list[tuple[Any, type, str]] = [
    (X[:, :3], ValueError, r"x: expected shape \(n, 4\), got \(40, 3\)"),
    (X[0], ValueError, r"x: expected shape \(n, 4\), got \(4,\)\. For a single sample give x\[None\]"),
    (
        X.reshape(40, 2, 2),
        ValueError,
        r"x: expected shape \(n, 4\), got \(40, 2, 2\)\. The elements fit: reshape x, or .*Flatten",
    ),
    (3.0, ValueError, r"x: expected shape \(n, 4\), got \(\)"),
    (None, TypeError, "x: expected an array, got None"),
    (X.astype(str), TypeError, r"x: expected real numbers, got text such as '.*Convert them: x\.astype\(float\)"),
    ("words", TypeError, "x: expected an array of numbers, got the text 'words'"),
    (X.astype(complex), TypeError, "x: expected real numbers, got dtype complex128"),
    (X.astype("datetime64[s]"), TypeError, "x: expected real numbers"),
    ([[1, 2, 3, 4], [1, 2]], ValueError, "x: expected a rectangular array of numbers"),
    ([[object()] * 4] * 40, TypeError, "x: expected real numbers, got Python objects such as <object"),
    ({"a": X, "b": X}, TypeError, "x: expected an array of numbers, got a dict with the keys 'a', 'b'"),
    (
        with_row(X.astype(float), 7, [0, 1e39, 0, 0]),
        ValueError,
        r"x: expected values that float32 can hold, got .*1e\+39.* in row 7.*float64",
    ),
    (with_row(X.astype(float), 7, -1e300)[::-1][:, ::-1], ValueError, r"x: .*float32.*-1e\+300.* in row 32"),
]


@pytest.mark.parametrize(("bad", "error", "words"), BAD_X)
def test_bad_x(bad: Any, error: type, words: str) -> None:
    model = classifier()
    before = model.get_weights()
    for what in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        with pytest.raises(error, match=words):
            what(bad, Y)
    for call in (model.predict, model, model.predict_on_batch):
        with pytest.raises(error, match=words):
            call(bad)
    with pytest.raises(error, match="validation " + words.split(r"\.")[0]):
        model.fit(X, Y, validation_data=(bad, Y), epochs=3, verbose=0)
    if "float32" not in words:
        assert unchanged(model, before)
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("rows", [0])
def test_no_rows(rows: int) -> None:
    model = classifier()
    for what in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match=r"x: expected at least one row, got shape \(0, 4\)"):
            what(X[:rows], Y[:rows])
    with pytest.raises(ValueError, match="validation x: expected at least one row"):
        model.fit(X, Y, validation_data=(X[:0], Y[:0]))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (
            with_row(Y, 11, 3),
            r"y: expected whole labels from 0 to 2 \(the last layer has 3 units\), got 3 in row 11\. Renumber",
        ),
        (with_row(Y, 11, -1), "got -1 in row 11"),
        (with_row(Y.astype(np.int8), 39, -128), "got -128 in row 39"),
        (with_row(Y.astype(np.uint64), 5, 2**64 - 1), "got 18446744073709551615 in row 5"),
        (with_row(Y, 5, -(2**63)), "got -9223372036854775808 in row 5"),
        (with_row(Y.astype(float), 11, 1.5), "got 1.5 in row 11"),
        (with_row(Y.astype(np.float16), 11, np.nan), "got nan in row 11"),
        (with_row(Y.astype(float), 11, np.inf), "got inf in row 11"),
        (with_row(Y.astype(float), 11, 2**32), "got 4294967296.0 in row 11"),
        (Y[:-1], r"y: expected shape \(40,\), got \(39,\)"),
        (HOT, r"y: expected shape \(40,\), got \(40, 3\)\. One-hot targets go with loss=\"categorical_crossentropy\""),
        (Y.astype(str), "y: expected real numbers"),
        (None, "y: expected an array, got None"),
        (0, r"y: expected shape \(40,\), got \(\)"),
    ],
)
def test_bad_labels(bad: Any, words: str) -> None:
    model = classifier()
    before = model.get_weights()
    for what in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises((ValueError, TypeError), match=words):
            what(X, bad)
    with pytest.raises((ValueError, TypeError), match="validation .*" + words):
        model.fit(X, Y, validation_data=(X, bad), epochs=2, verbose=0)
    assert unchanged(model, before)


def test_targets_of_another_kind() -> None:
    model = classifier("categorical_crossentropy")
    with pytest.raises(
        ValueError, match=r"y: expected shape \(40, 3\), got \(40,\).*sparse_categorical_crossentropy.*to_categorical"
    ):
        model.fit(X, Y)
    with pytest.raises(ValueError, match=r"y: expected shape \(40, 3\), got \(40, 2\)"):
        model.fit(X, HOT[:, :2])
    regression = nn.Model([nn.Input(4), nn.Dense(1)])
    regression.compile("sgd", "mse")
    with pytest.raises(ValueError, match="y: .*float32"):
        regression.fit(X, np.full(40, 1e39), verbose=0)


# ---- NaN and infinity ------------------------------------------------------------------------------------------------

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


# ---- arguments -------------------------------------------------------------------------------------------------------

FIT: list[tuple[dict[str, Any], str]] = [
    ({"batch_size": 0}, "batch_size: expected a whole number of at least 1, got 0"),
    ({"batch_size": -1}, "batch_size: .*got -1"),
    ({"batch_size": 2.5}, "batch_size: .*got 2.5"),
    ({"batch_size": "all"}, "batch_size: .*got 'all'"),
    ({"batch_size": True}, "batch_size: .*got True"),
    ({"epochs": -1}, "epochs: expected a whole number of at least 0, got -1"),
    ({"epochs": 1.0}, "epochs: "),
    ({"epochs": None}, "epochs: "),
    ({"initial_epoch": -1}, "initial_epoch: "),
    ({"steps_per_epoch": 0}, "steps_per_epoch: "),
    ({"validation_freq": 0}, "validation_freq: "),
    ({"validation_batch_size": 0}, "validation_batch_size: "),
    ({"shuffle": "batch"}, "shuffle: expected True or False, got 'batch'"),
    ({"validation_split": 1}, r"validation_split: expected a number in \[0, 1\), got 1"),
    ({"validation_split": -0.1}, "validation_split: .*got -0.1"),
    ({"validation_split": float("nan")}, "validation_split: .*got nan"),
    ({"validation_split": "a"}, "validation_split: "),
    ({"validation_split": 0.99}, "validation_split: expected at least one row on each side"),
    ({"validation_data": X}, r"validation_data: expected \(x, y\) or \(x, y, sample_weight\)"),
    ({"validation_data": (X,)}, "validation_data: "),
    ({"validation_data": (X, Y, None, None)}, "validation_data: "),
    ({"validation_data": (X, None)}, "validation y: expected an array, got None"),
    ({"validation_data": (X, Y, np.full(40, np.inf))}, "validation sample_weight: expected finite numbers"),
    ({"sample_weight": np.ones(39)}, r"sample_weight: expected shape \(40,\), one weight per sample, got \(39,\)"),
    ({"sample_weight": np.ones((40, 3))}, "sample_weight: expected shape"),
    ({"sample_weight": with_row(np.ones(40), 8, np.nan)}, "sample_weight: expected finite numbers .*got nan in row 8"),
    ({"sample_weight": with_row(np.ones(40), 8, np.nan)}, "sample_weight: .*got nan in row 8"),
    ({"sample_weight": with_row(np.ones(40), 8, 1e39)}, r"sample_weight: .*float32.*got 1e\+39 in row 8"),
    ({"sample_weight": ["a"] * 40}, "sample_weight: expected real numbers"),
    ({"sample_weight": np.ones(39), "validation_split": 0.5}, "sample_weight: expected shape"),
    ({"class_weight": [1, 2]}, r"class_weight: expected 3 weights, one per class, got shape \(2,\)"),
    ({"class_weight": "even"}, "class_weight: expected a dict from class to weight, a list .*\"balanced\", got 'even'"),
    ({"class_weight": {3: 1.0}}, "class_weight: expected classes from 0 to 2 as keys, got 3"),
    ({"class_weight": {-1: 1.0}}, "class_weight: .*got -1"),
    ({"class_weight": {"a": 1.0}}, "class_weight: .*got 'a'"),
    ({"class_weight": {0.5: 1.0}}, "class_weight: .*got 0.5"),
    ({"class_weight": {0: -1.0}}, "class_weight: expected finite numbers ≥ 0, got -1.0 for class 0"),
    ({"class_weight": {0: float("nan")}}, "class_weight: .*got nan"),
    ({"class_weight": {0: 1e39}}, "class_weight: "),
    ({"class_weight": {0: "a"}}, "class_weight: .*got 'a'"),
    ({"callbacks": [3]}, "callbacks: expected objects of nncore.callbacks.Callback, got 3"),
    ({"callbacks": [nn.callbacks.History]}, r"callbacks: .*did you mean History\(…\)\?"),
    ({"verbose": "loud"}, "verbose: expected"),
]


@pytest.mark.parametrize(("arguments", "words"), FIT, ids=lambda v: None if isinstance(v, str) else "-".join(v))
def test_bad_arguments_of_fit(arguments: dict[str, Any], words: str) -> None:
    model = classifier()
    before = model.get_weights()
    with pytest.raises((ValueError, TypeError), match=words):
        model.fit(X, Y, **({"verbose": 0} | arguments))
    assert unchanged(model, before) and model.fit_state is None
    if set(arguments) <= {"batch_size", "sample_weight", "verbose"}:
        with pytest.raises((ValueError, TypeError), match=words):
            model.evaluate(X, Y, **({"verbose": 0} | arguments))
    if "batch_size" in arguments:
        with pytest.raises(ValueError, match=words):
            model.predict(X, **arguments)
    model.fit(X, Y, verbose=0)


UNKNOWN: list[tuple[Callable[..., Any], str, str, str]] = [
    (nn.Adam, "lr", "Adam", r"The optimizers call it learning_rate\. Known: learning_rate, beta_1, .*, name$"),
    (nn.SGD, "momentun", "SGD", "Did you mean 'momentum'"),
    (
        partial(nn.Dense, 3),
        "input_shape",
        "Dense",
        r"Let nncore\.Input\(shape\) come first in the model\.",
    ),
    (nn.Flatten, "input_shape", "Flatten", r"Let nncore\.Input\(shape\) come first in the model\. Known: name$"),
    (partial(nn.Dense, 3), "kernel_initialiser", "Dense", "Did you mean 'kernel_initializer'"),
    (nn.losses.Huber, "dleta", "Huber", "Did you mean 'delta'"),
    (nn.metrics.BinaryAccuracy, "treshold", "BinaryAccuracy", "Did you mean 'threshold'"),
    (nn.initializers.RandomNormal, "stdev", "RandomNormal", "Did you mean 'stddev'"),
    (nn.regularizers.L1L2, "l_2", "L1L2", "Did you mean 'l2'"),
    (nn.callbacks.EarlyStopping, "patients", "EarlyStopping", "Did you mean 'patience'"),
    (partial(nn.callbacks.ModelCheckpoint, "m"), "save_best", "ModelCheckpoint", "Did you mean 'save_best_only'"),
    (partial(nn.callbacks.BackupAndRestore, "b"), "save_frequency", "BackupAndRestore", "Did you mean 'save_freq'"),
    (partial(nn.callbacks.CSVLogger, "f"), "seperator", "CSVLogger", "Did you mean 'separator'"),
    (nn.callbacks.ProgressBar, "verbosity", "ProgressBar", "Did you mean 'verbose'"),
    (nn.Model, "n_thread", "Model", "Did you mean 'n_threads'"),
    (nn.Sequential, "layer", "Sequential", "Did you mean 'layers'"),
    (nn.Model().compile, "optimiser", "compile", "Did you mean 'optimizer'"),
    (partial(classifier().fit, X, Y), "batchsize", "fit", "Did you mean 'batch_size'"),
    (partial(classifier().evaluate, X, Y), "batchsize", "evaluate", "Did you mean 'batch_size'"),
]


@pytest.mark.parametrize(("call", "name", "owner", "words"), UNKNOWN)
def test_an_unknown_argument_is_told_the_nearest(call: Callable[..., Any], name: str, owner: str, words: str) -> None:
    with pytest.raises(TypeError, match=f"^{name}: expected an argument of {owner}, got an unknown name. {words}"):
        call(**{name: 1})


def test_what_is_called_rightly_is_not_explained() -> None:
    """Signatures stay those of the classes, other TypeErrors Python's own, also for classes derived from ours."""
    assert [*inspect.signature(nn.Flatten).parameters] == ["name"]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'units'"):
        nn.Dense()  # type: ignore[call-arg]

    class Mine(nn.Dense):
        def __init__(self, size: int, **settings: Any) -> None:
            super().__init__(size, **settings)

    assert Mine(size=3, use_bias=False).units == 3
    with pytest.raises(TypeError, match="use_bais: expected an argument of Mine, .*'use_bias'"):
        Mine(size=3, use_bais=False)


def test_huge_numbers_are_no_trouble() -> None:
    model = classifier()
    for n in (2**31, 2**63 - 1, 2**63, 2**64, 10**30):
        model.fit(X, Y, batch_size=n, validation_batch_size=n, validation_split=0.5, verbose=0)
        model.fit(X, Y, initial_epoch=n, epochs=n, verbose=0)
        model.evaluate(X, Y, batch_size=n, verbose=0)
        model.predict(X, batch_size=n, callbacks=[nn.Callback()])
        stop = nn.callbacks.LambdaCallback(on_tick=lambda *_: setattr(model, "stop_training", True))
        model.fit(X, Y, steps_per_epoch=n, verbose=0, callbacks=[stop])


@pytest.mark.parametrize("units", [2**40, 2**61, 2**62, 2**63 - 1, 2**63, 2**64, 10**30])
def test_huge_layers(units: int) -> None:
    """Numbers that no memory holds are refused before anything is computed with them."""
    for layers in (
        [nn.Dense(units)],
        [nn.Dense(1), nn.Dense(units, use_bias=False)],
        [nn.Dense(units), nn.Dense(units)],
    ):
        model = nn.Model(layers)
        with pytest.raises((ValueError, MemoryError)):
            model.build(784)
        assert not model.built
    for make in (
        lambda: nn.Input(units * 2**20),
        lambda: nn.Input((units, units)),
        lambda: nn.Input((3, units, 2**30)),
    ):
        with pytest.raises(ValueError, match="shape: expected a sample of at most"):
            make()
    with pytest.raises(ValueError, match="Reshape: expected a target_shape of 4 elements"):
        nn.Model([nn.Reshape((units, 4))]).build(4)


def test_a_first_fit_that_is_refused_settles_no_shapes() -> None:
    model = nn.Model([nn.Dense(3, activation="softmax")])
    with pytest.raises(ValueError, match="not compiled"):
        model.fit(X, Y)
    for bad in (3.0, None, "abc", [[1], [2, 3]]):
        with pytest.raises((ValueError, TypeError), match="x: expected"):
            model.predict(bad)
    assert not model.built


def test_to_categorical_refuses() -> None:
    for y, n, words in [
        ([-1], None, "y: expected whole labels .*got -1"),
        ([0.5], None, "got 0.5"),
        ([np.nan], None, "got nan"),
        ([np.inf], None, "got inf"),
        ([2**40], None, "got 1099511627776"),
        (["a"], None, "y: expected real numbers"),
        ([3], 3, "num_classes: expected a whole number above the largest label, 3, got 3"),
        ([3], -1, "num_classes: .*got -1"),
        ([3], 4.5, "num_classes: .*got 4.5"),
        ([3], 2**63, "num_classes: "),
    ]:
        with pytest.raises((ValueError, TypeError), match=words):
            nn.to_categorical(y, n)
    assert nn.to_categorical([[1], [0]], 3).tolist() == [[0, 1, 0], [1, 0, 0]]
    assert nn.to_categorical([]).shape == (0, 0)


# ---- a fuzzer --------------------------------------------------------------------------------------------------------

FUZZ = """
    import faulthandler, sys, warnings
    faulthandler.enable()
    warnings.simplefilter("ignore")
    import numpy as np
    import nncore as nn

    rng = np.random.default_rng(int(sys.argv[1]))
    one_of = lambda values: values[int(rng.integers(len(values)))]
    HUGE = [2**31, 2**63 - 1, 2**63, -2**63, 10**30]
    odd = [None, 0, 1, -1, 2, 3.5, float("nan"), float("inf"), True, "a", "", (), [], {}, object(), b"b", 1j, *HUGE]
    DTYPES = ["f4", "f8", "f2", "i1", "i8", "u1", "u8", "?", ">f4", ">i2", "g", "c8", "U3", "O", "M8[s]", "V4"]

    def array(columns=4):
        c = columns
        shape = one_of([(30, c), (30, c), (30,), (29, c), (0, c), (30, 2, 2), (), (30, c, 0), (1, c)])
        special = np.full(shape, one_of([np.nan, np.inf, 1e300]))
        a = np.asarray(one_of([rng.normal(size=shape), rng.integers(0, 3, shape), special]))
        try:
            a = a.astype(one_of(DTYPES))
        except (TypeError, ValueError):
            pass
        if a.ndim == 2:
            same = np.broadcast_to(a[:1], a.shape) if len(a) else a
            a = one_of([a, a[::-1], a[:, ::-1], np.asfortranarray(a), same, a[:, :1]])
        elif a.ndim == 1:
            a = one_of([a, a[::-1], a[:, None], a[::2]])
        return one_of([a, a, a, a.tolist(), memoryview(np.ascontiguousarray(a)) if a.dtype.kind in "fiu" else a])

    def maybe(good, other=odd, p=0.85):
        return good if rng.random() < p else one_of(other)

    def model():
        inner = nn.Dense(3, one_of([None, "relu", "gelu", "softmax"]))
        layers = [nn.Rescaling(2.0), nn.Dropout(0.1), inner, nn.Flatten(), nn.Reshape((-1,))]
        stack = [one_of(layers) for _ in range(int(rng.integers(0, 4)))]
        stack = [type(l).from_config(l.get_config()) for l in stack]
        stack.append(nn.Dense(3, one_of(["softmax", None, "sigmoid"])))
        m = nn.Sequential(stack, seed=0, n_threads=int(rng.integers(1, 4)), dtype=one_of(["float32", "float64"]))
        if rng.random() < 0.5:
            m.build(maybe(4, odd, 0.9))
        loss = one_of(["mse", "huber", "sparse_categorical_crossentropy", "categorical_crossentropy"])
        m.compile(maybe(one_of(["sgd", "adam"])), maybe(loss), metrics=one_of([None, ["accuracy"], ["mae", "mse"]]))
        return m

    kept, done, fine = None, 0, 0
    while done < 400:
        done += 1
        try:
            m = kept if kept is not None and rng.random() < 0.8 else model()
            kept = m
            x = maybe(one_of([rng.normal(size=(30, 4)), array()]))
            y = maybe(one_of([rng.integers(0, 3, 30), rng.normal(size=(30, 3)), array(3)]))
            match int(rng.integers(7)):
                case 0:
                    m.predict(x, maybe(7))
                case 1:
                    m.evaluate(x, y, batch_size=maybe(7), verbose=0, sample_weight=maybe(None, [array(), *odd]))
                case 2:
                    m.train_on_batch(x, y, maybe(None, [array(), *odd]))
                case 3:
                    m.set_weights(one_of([odd, m.get_weights(), [array() for _ in m.get_weights()], one_of(odd)]))
                case 4:
                    one_of([m.pop, lambda: m.add(nn.Dense(3, "softmax")), lambda: m.add(one_of(odd))])()
                case 5:
                    layers = one_of([odd, one_of(odd), [nn.Dense(maybe(3))]])
                    nn.Model(layers, seed=maybe(0), n_threads=maybe(1), dtype=maybe("float32"))
                case _:
                    small = [v for v in odd if v not in HUGE]
                    m.fit(
                        x, y, batch_size=maybe(7), epochs=maybe(2, small), verbose=0, validation_split=maybe(0.2),
                        validation_data=maybe(None, [(x, y), *odd]), shuffle=maybe(True),
                        class_weight=maybe(None, [{0: 2.0}, *({v: 1} for v in odd if v.__hash__)]),
                        sample_weight=maybe(None, [array(), *odd]), initial_epoch=maybe(0),
                        validation_freq=maybe(1), steps_per_epoch=maybe(None, small), validation_batch_size=maybe(None),
                    )
            fine += 1
        except (ValueError, TypeError, ArithmeticError, MemoryError) as error:
            if isinstance(error, (ZeroDivisionError, OverflowError)) or not str(error):
                raise
    print("done", done, fine)
"""


@pytest.mark.parametrize("seed", range(4))
def test_fuzz(seed: int) -> None:
    """Whatever comes, only Python's exceptions, of the announced types."""
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FUZZ), str(seed)], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr[-3000:]
    done, fine = map(int, run.stdout.split()[1:])
    assert done == 400 and fine > 60


@pytest.mark.parametrize(
    ("loss", "activation", "targets", "value"),
    [
        ("binary_crossentropy", "sigmoid", [[0.0], [1.0], [-1.0]], "-1.0"),
        ("binary_crossentropy", "sigmoid", [[1], [1], [2]], "2"),
        ("categorical_crossentropy", "softmax", [[0, 1], [1, 0], [0, 1.5]], "1.5"),
    ],
)
def test_targets_of_a_crossentropy_are_probabilities(loss: str, activation: str, targets: Any, value: str) -> None:
    """Labels −1 and 1, or 1 and 2, would train towards a negative loss."""
    model = nn.Model([nn.Dense(len(targets[0]), activation=activation)], seed=0)
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=rf"y: expected targets from 0 to 1 .*got {value} in row 2\. Code the classes"):
        model.fit(np.zeros((3, 4)), targets, verbose=0)
    model.fit(np.zeros((3, 4)), np.clip(targets, 0, 1), verbose=0)


def test_a_forgotten_flatten_is_named() -> None:
    model = nn.Model([nn.Dense(10, activation="softmax")], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"y: expected shape \(5, 8\), got \(5,\).*\(8, 10\) per sample: put Flatten"):
        model.fit(np.zeros((5, 8, 8)), np.zeros(5, int), verbose=0)


@pytest.mark.parametrize("loss", sorted({*nn.losses.LOSSES.names()} - {"function_loss"}))
def test_softmax_over_a_single_unit_is_refused(loss: str) -> None:
    """Always 1, whatever the loss; found by compile where units or shapes are known, else by the first fit."""
    words = rf'loss: {loss} expects .* differ, but .*softmax.* always 1\. Either .*"sigmoid" .*binary_crossentropy'
    stack = [nn.Dense(3), nn.Dense(1, activation="softmax")]
    reshaped = [nn.Input((2, 3)), nn.Reshape((6, 1)), nn.Activation("softmax")]
    for layers in (stack, reshaped):
        with pytest.raises(ValueError, match=words):
            nn.Model(layers).compile("sgd", loss)
    late = nn.Model([nn.Dense(1), nn.Activation("softmax")])
    late.compile("sgd", loss)
    with pytest.raises(ValueError, match=words):
        late.fit(X, np.zeros(40, int), verbose=0)
    assert not late.built
    inner = nn.Model([nn.Input(4), nn.Dense(1, activation="softmax"), nn.Dense(1, activation="sigmoid")])
    inner.compile("sgd", "binary_crossentropy")  # odd, but what it predicts can be learned
    nn.Model([nn.Input(4), nn.Dense(1, activation="softmax")]).compile()  # without a loss
