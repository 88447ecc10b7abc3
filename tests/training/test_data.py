"""Data of every dtype and layout: the same result as that of a plain array, and never a second copy."""

from __future__ import annotations

import gc
import pathlib
import tracemalloc
from functools import partial
from typing import Any

import numpy as np
import pytest

import nncore as nn

RNG = np.random.default_rng(9)
DTYPES = ["f4", "f8", "f2", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", ">f4", ">f8", ">i4", ">u2", "g"]


def model_for(shape: Any, dtype: str = "float32", loss: str = "sparse_categorical_crossentropy") -> nn.Model:
    layers = [nn.Input(shape), nn.Flatten(), nn.Dense(5, activation="tanh"), nn.Dense(3, activation="softmax")]
    model = nn.Model(layers, seed=2, dtype=dtype)
    model.compile(nn.SGD(0.01), loss)
    return model


def outcome(x: Any, y: Any, shape: Any, dtype: str = "float32", **settings: Any) -> tuple[Any, ...]:
    """Predictions, losses and weights after two epochs in batches of 7, shuffled, and one in order."""
    model = model_for(shape, dtype, **settings)
    first = model.predict(x)
    losses = model.fit(x, y, batch_size=7, epochs=2, validation_split=0.2, verbose=0).history
    losses = [*losses["loss"], *losses["val_loss"], *model.fit(x, y, shuffle=False, verbose=0).history["loss"]]
    return first, np.array([*losses, model.evaluate(x, y, verbose=0)]), *model.get_weights()


def identical(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return all(np.array_equal(u, v) for u, v in zip(a, b, strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("model", ["float32", "float64"])
def test_every_dtype(dtype: str, model: str) -> None:
    """Small integers, which every type holds, and one that is rounded."""
    x, y = RNG.integers(0, 2, (41, 6)).astype(dtype), RNG.integers(0, 3, 41)
    if x.dtype.kind == "f" and x.dtype.itemsize > 2:
        x = x / 3  # rounded to the model's type once, to nearest
    assert identical(outcome(x, y, 6, model), outcome(x.astype(model), y, 6, model))


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d != "?"])
def test_every_dtype_of_labels(dtype: str) -> None:
    x, y = RNG.normal(size=(41, 6)).astype("f4"), RNG.integers(0, 3, 41)
    expected = outcome(x, y, 6)
    assert identical(outcome(x, y.astype(dtype), 6), expected)
    assert identical(outcome(x, y.astype(dtype)[:, None], 6), expected)  # a column
    hot = nn.to_categorical(y)
    of_hot = {"loss": "categorical_crossentropy"}
    assert identical(outcome(x, hot.astype(dtype), 6, **of_hot), outcome(x, hot, 6, **of_hot))


def layouts(a: np.ndarray) -> dict[str, np.ndarray]:
    rows = np.concatenate([a, a])
    misaligned = np.frombuffer(b"\0" + a.tobytes(), np.uint8)[1:].view(a.dtype).reshape(a.shape)
    read_only = a.copy()
    read_only.flags.writeable = False
    wide = np.repeat(a, 2, axis=-1)
    record = np.zeros(len(a), [("pad", "u1"), ("x", a.dtype, a.shape[1:]), ("more", "f4")])
    record["x"] = a
    return {
        "every other row": np.repeat(a, 2, axis=0)[::2],
        "part of rows": rows[: len(a)],
        "backwards": a[::-1].copy()[::-1],
        "Fortran": np.asfortranarray(a),
        "columns backwards": a[..., ::-1].copy()[..., ::-1],
        "every other": wide[..., ::2],
        "misaligned": misaligned,
        "read-only": read_only,
        "field of records": record["x"],
        "columns of more": np.concatenate([a, a], -1)[..., : a.shape[-1]],
        "list": a.tolist(),
        "matrix": np.ma.array(a),
        "objects": a.astype(object),
    }


@pytest.mark.parametrize("dtype", ["f4", "f8", "u1", "i8", "f2"])
@pytest.mark.parametrize("shape", [(6,), (1,), (2, 3)])
def test_every_layout(dtype: str, shape: tuple[int, ...]) -> None:
    x, y = (4 * RNG.normal(size=(41, *shape))).round().clip(0).astype(dtype), RNG.integers(0, 3, 41)
    expected = outcome(x, y, shape)
    for name, other in layouts(x).items():
        assert identical(outcome(other, y, shape), expected), name
    for name, other in layouts(y[:, None]).items():
        assert identical(outcome(x, other, shape), expected), name
    hot = nn.to_categorical(y)
    expected = outcome(x, hot, shape, loss="categorical_crossentropy")
    for name, other in layouts(hot).items():
        assert identical(outcome(x, other, shape, loss="categorical_crossentropy"), expected), name


def test_broadcast_rows_and_buffers() -> None:
    y = RNG.integers(0, 3, 41)
    row = RNG.normal(size=6).astype("f4")
    assert identical(outcome(np.broadcast_to(row, (41, 6)), y, 6), outcome(np.tile(row, (41, 1)), y, 6))
    x = RNG.normal(size=(41, 6)).astype("f4")
    assert identical(outcome(memoryview(x), y, 6), outcome(x, y, 6))
    one = nn.Model([nn.Dense(2)], seed=0)
    assert one.predict(np.arange(5)).shape == (5, 2)  # a vector is a column
    assert np.array_equal(one.predict([1.0, 2.0]), one.predict([[1.0], [2.0]]))


def test_values_are_rounded_to_nearest_and_overflow_is_an_error() -> None:
    model = nn.Model([nn.Rescaling(1.0)], seed=0)
    exact = np.array([[1 + 2.0**-24, 1 + 3 * 2.0**-24, 2.0**-149 * 0.75, 3.4028235e38, 16777217, -1]])
    rounded = exact.astype("f4")
    rounded[0, 2] = 0  # a denormal
    for x in (exact, exact[:, ::-1][:, ::-1], exact.astype(">f8"), exact.astype("g")):
        assert np.array_equal(model.predict(x).view(np.uint32), rounded.view(np.uint32))
    big = np.array([[2**63 - 1, -(2**63), 2**53 + 1, 1]])
    assert np.array_equal(nn.Model([nn.Rescaling(1.0)]).predict(big), big.astype("f4"))
    rows = np.zeros((300, 6))
    rows[257, 3] = -3.5e38
    for x in (rows, np.asfortranarray(rows)):
        with pytest.raises(ValueError, match=r"x: expected values that float32 can hold, got .*-3.5e\+38.* in row 257"):
            model.predict(x)
    assert np.array_equal(nn.Model([nn.Rescaling(1.0)], dtype="float64").predict(rows), rows)
    through = np.array([[np.nan, np.inf, -np.inf, 0, 0, 0]])  # what is not finite is passed on
    assert np.array_equal(model.predict(through), through.astype("f4"), equal_nan=True)


@pytest.mark.parametrize("kind", ["uint8", "float64", "float32", "columns", "labels", "one-hot", "float16"])
def test_no_second_copy(kind: str, tmp_path: pathlib.Path) -> None:
    """24 MB and more from a read-only file: training, evaluating and predicting take a small part of that."""
    n, width = 100_000, 256
    dtype = {"uint8": "u1", "float64": "f8", "float32": "f4", "float16": "f2"}.get(kind, "u1")
    shape = (n, 2 * width) if kind == "columns" else (n, width)
    made = np.memmap(tmp_path / "x", dtype, "w+", shape=shape)
    made[: n // 2] = 1
    made.flush()
    del made
    x: Any = np.memmap(tmp_path / "x", dtype, "r", shape=shape)
    x = x[:, ::2] if kind == "columns" else x
    y: Any = np.zeros(n, "i8")
    loss, units = "sparse_categorical_crossentropy", 2
    if kind == "labels":
        y = np.memmap(tmp_path / "y", "f8", "w+", shape=n)
    if kind == "one-hot":
        loss, units = "categorical_crossentropy", 100
        y = np.broadcast_to(np.eye(units, dtype="i8")[3], (n, units))
    model = nn.Model([nn.Rescaling(1 / 255), nn.Dense(units, activation="softmax")], seed=0, n_threads=1)
    model.compile("sgd", loss, metrics=["accuracy"])
    model.fit(x[:500], y[:500], verbose=0)
    gc.collect()
    before = peak_rss(reset=True)
    tracemalloc.start()
    try:
        model.fit(x, y, batch_size=1000, validation_split=0.5, verbose=0)
        model.evaluate(x, y, verbose=0)
        _, traced = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        out = model.predict(x)
        _, predicting = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    limit = max(x.nbytes / 4, 16e6)  # as float32 they would be 102 MB
    assert traced < limit and predicting - out.nbytes < limit
    if before and kind not in ("float64", "float32"):  # pages of the file itself count as resident memory, too
        assert peak_rss() - before < x.nbytes * (2 if kind == "columns" else 1) + out.nbytes + y.nbytes + 12e6


def peak_rss(reset: bool = False) -> int:
    """Bytes of resident memory at most since the last reset; 0 where the system does not say."""
    try:
        if reset:
            pathlib.Path("/proc/self/clear_refs").write_text("5")
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
    except OSError:
        return 0


def test_data_are_let_go() -> None:
    import weakref

    class Array(np.ndarray):
        pass

    model = model_for(6)
    x = RNG.normal(size=(40, 6)).astype("f4").view(Array)
    y = RNG.integers(0, 3, 40)
    gone = weakref.ref(x)
    model.fit(x, y, verbose=0, validation_data=(x, y))
    model.evaluate(x, y, verbose=0)
    model.predict(x)
    model.train_on_batch(x, y)
    del x
    gc.collect()
    assert gone() is None


def test_data_are_not_changed() -> None:
    x, y, w = RNG.normal(size=(40, 6)).astype("f4"), RNG.integers(0, 3, 40), RNG.uniform(size=40)
    kept = x.copy(), y.copy(), w.copy()
    model = model_for(6)
    model.fit(x, y, sample_weight=w, class_weight={1: 2.0}, epochs=3, verbose=0)
    assert identical((x, y, w), kept)


def test_single_rows_of_any_layout() -> None:
    """Rows that the short way of a prediction cannot read go the long way, to the same bits."""
    x = RNG.standard_normal((6, 4)).astype("f4")
    model = model_for((4,))
    whole = model.predict(x)
    for i in range(6):
        row = x[i : i + 1]
        misaligned = np.frombuffer(b"\0" + row.tobytes(), np.uint8)[1:].view("f4").reshape(row.shape)
        strided = np.repeat(row, 2, axis=1)[:, ::2]
        for given in (row, misaligned, strided, row.astype("f8"), row.astype(">f4"), row.tolist()):
            assert np.array_equal(model(given), whole[i : i + 1])
    assert model(x[:0]).shape == (0, 3)


# ---- weights of classes ----------------------------------------------------------------------------------------------

ROWS = RNG.normal(size=(12, 4)).astype("f4")
LABELS = np.array([0, 2, 2, 2, 1, 2, 0, 2, 2, 2, 2, 1])  # 2, 2 and 8 of 12


def trained(targets: Any, weights: Any, loss: str, how: str, units: int = 3) -> list[np.ndarray]:
    activation = "softmax" if units > 1 else "sigmoid"
    model = nn.Model([nn.Input(4), nn.Dense(units, activation=activation)], seed=0)
    model.compile("sgd", loss)
    if how == "fit":
        model.fit(ROWS, targets, batch_size=5, epochs=2, shuffle=False, verbose=0, **weights)
    else:
        model.train_on_batch(ROWS, targets, **weights)
    return model.get_weights()


@pytest.mark.parametrize("how", ["fit", "train_on_batch"])
@pytest.mark.parametrize(
    "given",
    [
        {0: 3.0, 1: 0.5},
        {0: 3.0, 1: 0.5, 2: 1},
        dict(zip(np.unique(LABELS), [3, 0.5, 1], strict=True)),
        dict(zip(np.unique(LABELS.astype("f4")), [3, 0.5, 1], strict=True)),
        {np.uint8(0): np.float32(3), np.float64(1): np.array(0.5)},
        {False: 3.0, np.True_: 0.5},
        [3, 0.5, 1],
        (3, 0.5, 1),
        np.array([3, 0.5, 1], "f4"),
    ],
    ids=range(9),
)
def test_class_weight_is_that_of_each_row(given: Any, how: str) -> None:
    """Whatever the form of classes and weights: the weights of the rows, by hand."""
    rows = np.where(LABELS == 0, 3.0, np.where(LABELS == 1, 0.5, 1.0))
    expected = trained(LABELS, {"sample_weight": rows}, "sparse_categorical_crossentropy", how)
    for labels in (LABELS, LABELS.astype("f4"), LABELS[:, None].astype("u1")):
        found = trained(labels, {"class_weight": given}, "sparse_categorical_crossentropy", how)
        assert identical(tuple(found), tuple(expected))
    half = {"sample_weight": np.full(12, 0.5)}
    found = trained(LABELS, {"class_weight": given} | half, "sparse_categorical_crossentropy", how)
    expected = trained(LABELS, {"sample_weight": rows / 2}, "sparse_categorical_crossentropy", how)
    assert identical(tuple(found), tuple(expected))
    hot = nn.to_categorical(LABELS)
    for one_hot in (hot, hot.astype(">f8"), hot.astype(bool), 0.8 * hot + 0.05):
        expected = trained(one_hot, {"sample_weight": rows}, "categorical_crossentropy", how)
        found = trained(one_hot, {"class_weight": given}, "categorical_crossentropy", how)
        assert identical(tuple(found), tuple(expected))


@pytest.mark.parametrize("how", ["fit", "train_on_batch"])
def test_balanced_classes(how: str) -> None:
    """n / (k count): 12 / (3 × 2) = 2 for classes 0 and 1, 12 / (3 × 8) = 0.5 for class 2."""
    rows = np.where(LABELS == 2, 0.5, 2.0)
    for targets, loss in (
        (LABELS, "sparse_categorical_crossentropy"),
        (nn.to_categorical(LABELS), "categorical_crossentropy"),
    ):
        expected = trained(targets, {"sample_weight": rows}, loss, how)
        assert identical(tuple(trained(targets, {"class_weight": "balanced"}, loss, how)), tuple(expected))
    two = (LABELS != 2).astype(float)  # 4 ones of 12: 12 / (2 × 8) = 0.75 and 12 / (2 × 4) = 1.5
    for targets in (two, two[:, None], two.astype(bool)):
        expected = trained(two, {"sample_weight": 0.75 + 0.75 * two}, "binary_crossentropy", how, 1)
        assert identical(tuple(trained(targets, {"class_weight": "balanced"}, "bce", how, 1)), tuple(expected))
    one = np.zeros(12)  # classes that are not there count for nothing: 12 / (1 × 12)
    expected = trained(one, {}, "bce", how, 1)
    assert np.allclose(trained(one, {"class_weight": "balanced"}, "bce", how, 1)[0], expected[0], rtol=1e-6)


@pytest.mark.parametrize("how", ["fit", "train_on_batch"])
def test_class_weight_is_that_of_each_position(how: str) -> None:
    """Of labels (n, steps), one-hot (n, steps, classes), values (n, steps, 1), times the weights of rows or steps."""
    series, labels = np.random.default_rng(2).normal(size=(6, 2, 4)), LABELS.reshape(6, 2)
    of_rows, of_steps = np.linspace(0.5, 2, 6), np.linspace(0.5, 2, 12).reshape(6, 2)

    def weights_after(targets: Any, loss: str, units: int = 3, **weights: Any) -> Any:
        model = nn.Model([nn.Input((2, 4)), nn.Dense(units, "softmax" if units > 1 else "sigmoid")], seed=0)
        model.compile("sgd", loss)
        (partial(model.fit, shuffle=False, verbose=0) if how == "fit" else model.train_on_batch)(
            series, targets, **weights
        )
        return tuple(model.get_weights())

    given, steps = {0: 3.0, 1: 0.5}, np.where(labels == 0, 3.0, np.where(labels == 1, 0.5, 1.0))
    balanced = np.where(labels == 2, 0.5, 2.0)  # as of 12 rows
    two = np.float32(labels != 2)[..., None]
    for targets, loss, units, classes, expected in (
        (labels, "sparse_categorical_crossentropy", 3, given, steps),
        (labels, "sparse_categorical_crossentropy", 3, "balanced", balanced),
        (nn.to_categorical(labels), "categorical_crossentropy", 3, given, steps),
        (two, "binary_crossentropy", 1, {1: 0.25}, 1 - 0.75 * two[..., 0]),
    ):
        for own, whole in ((None, 1), (of_rows, of_rows[:, None]), (of_steps, of_steps)):
            found = weights_after(targets, loss, units, class_weight=classes, sample_weight=own)
            assert identical(
                found, weights_after(targets, loss, units, sample_weight=np.float32(expected) * np.float32(whole))
            )


@pytest.mark.parametrize(
    ("targets", "units", "words"),
    [
        (
            np.linspace(0, 1, 12),
            1,
            r"class_weight: expected classes from 0 to 1 as targets, got 0\.09\d+ in row 1 of y",
        ),
        (
            np.eye(3)[LABELS] + np.eye(3)[[1] * 12] * (LABELS == 0)[:, None],
            3,
            r"one class per sample, got \[1\. 1\. 0\.\]",
        ),
        (np.zeros((12, 3)), 3, r"one class per sample, got \[0\. 0\. 0\.\] in row 0 of y\. Give sample_weight instead"),
    ],
)
def test_class_weight_without_classes(targets: Any, units: int, words: str) -> None:
    """Not silently the weight 1, nor that of the first of several classes."""
    model = nn.Model([nn.Input(4), nn.Dense(units, activation="sigmoid")], seed=0)
    model.compile("sgd", "binary_crossentropy")
    for call in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match=words):
            call(ROWS, targets, class_weight={0: 2.0})
