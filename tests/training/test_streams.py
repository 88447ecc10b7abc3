"""Data that come batch by batch: the same training as on arrays, whoever gives the batches; exact resumes."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from callback_fits import Interrupts

import nncore as nn
from nncore.execution import team

RNG = np.random.default_rng(9)
X, Y, S = RNG.standard_normal((100, 5)), RNG.standard_normal((100, 2)), RNG.random(100)
PARTS = [slice(i, i + 16) for i in range(0, 100, 16)]


def net(dtype: str = "float64", threads: int = 1) -> nn.Model:
    model = nn.Model([nn.Dense(8, "tanh"), nn.Dropout(0.2), nn.Dense(2)], seed=1, dtype=dtype, n_threads=threads)
    model.compile("adam", "mse", metrics=["mae"])
    return model


def weights(model: nn.Model) -> list[bytes]:
    return [w.tobytes() for w in model.get_weights()]


class Again:
    """An iterable."""

    def __init__(self, weighted: bool = False) -> None:
        self.weighted = weighted

    def __iter__(self) -> Iterator[Any]:
        for part in PARTS:
            yield (X[part], Y[part], S[part]) if self.weighted else (X[part], Y[part])


class Sized(Again):
    def __len__(self) -> int:
        return len(PARTS)


class Numbers:
    """Batches by number."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(PARTS)

    def __getitem__(self, i: int) -> Any:
        self.asked.append(i)
        return X[PARTS[i]], Y[PARTS[i]]


class Tensor:
    """What TensorFlow's tensors have, but not NumPy's protocol."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def numpy(self) -> Any:
        return self.array


def forever() -> Iterator[Any]:
    while True:
        yield from Again()


SOURCES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "iterable": (Again, {}),
    "iterable with a length": (Sized, {}),
    "by number": (Numbers, {"shuffle": False}),
    "function": (lambda: lambda: iter(Again()), {}),
    "list iterator": (lambda: iter(list(Again()) * 4), {"steps_per_epoch": 7}),
    "generator without an end": (forever, {"steps_per_epoch": 7}),
    "iterable of steps": (Again, {"steps_per_epoch": 7}),
    "lists": (lambda: ([x, y] for _ in range(4) for x, y in Again()), {"steps_per_epoch": 7}),
    "tensors": (lambda: lambda: ((Tensor(x), Tensor(y)) for x, y in Again()), {}),
    "zip": (lambda: zip(*zip(*list(Again()) * 4, strict=True), strict=True), {"steps_per_epoch": 7}),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("dtype", "threads"), [("float64", 1), ("float32", 2)])
def test_batches_train_as_arrays_do(source: str, dtype: str, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    make, settings = SOURCES[source]
    of_arrays, of_batches = net(dtype, 1), net(dtype, threads)
    wanted = of_arrays.fit(X, Y, batch_size=16, epochs=4, shuffle=False, verbose=0, validation_data=(X, Y)).history
    found = of_batches.fit(make(), epochs=4, verbose=0, validation_data=Again(), **settings).history
    assert weights(of_batches) == weights(of_arrays)
    assert found["loss"] == wanted["loss"] and list(found) == list(wanted)
    for name in wanted:  # validations differ in where their sums are cut
        np.testing.assert_allclose(found[name], wanted[name], 1e-12 if dtype == "float64" else 1e-6)
    assert of_batches.optimizer.iterations == 28


def test_batches_of_any_size_with_weights_and_classes() -> None:
    x, labels, w = RNG.standard_normal((70, 4)), RNG.integers(0, 3, 70), RNG.random(70)
    cuts = [0, 3, 40, 41, 70]
    parts = [slice(a, b) for a, b in itertools.pairwise(cuts)]

    def model() -> nn.Model:
        m = nn.Model([nn.Input(4), nn.Dense(3, "softmax")], seed=2, dtype="float64")
        m.compile(nn.SGD(0.5), "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
        return m

    streamed, stepped = model(), model()
    streamed.fit(((x[p], labels[p], w[p]) for p in parts), verbose=0, class_weight={0: 2.0})
    for p in parts:
        stepped.train_on_batch(x[p], labels[p], w[p], class_weight={0: 2.0})
    assert weights(streamed) == weights(stepped)
    batches = [(x[p], labels[p], w[p]) for p in parts]
    found = streamed.evaluate(iter(batches), return_dict=True, verbose=0)
    wanted = streamed.evaluate(x, labels, sample_weight=w, return_dict=True, verbose=0)
    assert found == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_array_equal(streamed.predict(iter(batches)), streamed.predict(x))
    np.testing.assert_array_equal(streamed.predict(x[p] for p in parts), streamed.predict(x))


def test_several_inputs_and_outputs() -> None:
    a, b = nn.Input(2, name="a"), nn.Input(3, name="b")
    h = nn.Concatenate()([a, b])
    model = nn.Model([a, b], {"p": nn.Dense(1)(h), "q": nn.Dense(2)(h)}, seed=1)
    model.compile("sgd", "mse")
    xs = {"a": X[:, :2].astype("f4"), "b": X[:, 2:].astype("f4")}
    ys = {"p": Y[:, :1].astype("f4"), "q": Y.astype("f4")}
    batches = [({k: v[p] for k, v in xs.items()}, {k: v[p] for k, v in ys.items()}) for p in PARTS]
    twin = nn.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.compile("sgd", "mse")
    model.fit(iter(batches), verbose=0)
    twin.fit(xs, ys, batch_size=16, shuffle=False, verbose=0)
    assert weights(model) == weights(twin)
    made, wanted = model.predict(iter(batches)), twin.predict(xs)
    for name in ("p", "q"):
        np.testing.assert_array_equal(made[name], wanted[name])


def test_loaders_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
    model, twin = net(), net()
    model.fit(torch.utils.data.DataLoader(data, batch_size=16), epochs=2, verbose=0)
    twin.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    assert weights(model) == weights(twin)
    loss = model.evaluate(torch.utils.data.DataLoader(data, batch_size=32), verbose=0)
    assert loss == pytest.approx(twin.evaluate(X, Y, verbose=0), rel=1e-12)
    with pytest.raises(TypeError, match="DataLoader"):
        model.fit(data, verbose=0)


def test_batches_by_number_are_shuffled_and_told_of_epochs() -> None:
    told: list[str] = []

    class Told(nn.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            self.asked: list[int] = []

        def __len__(self) -> int:
            return len(PARTS)

        def __getitem__(self, i: int) -> Any:
            self.asked.append(i)
            return X[PARTS[i]], Y[PARTS[i]]

        def on_epoch_begin(self) -> None:
            told.append("begin")

        def on_epoch_end(self) -> None:
            told.append("end")

    data = Told()
    model = net()
    model.fit(data, epochs=3, verbose=0)
    assert told == ["begin", "end"] * 3
    epochs = np.array(data.asked[-21:]).reshape(3, 7)
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs.tolist())
    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3
    again = Told()
    net().fit(again, epochs=3, verbose=0)
    assert again.asked == data.asked  # the order is that of the model's seed


def test_steps_of_validation_and_of_evaluation() -> None:
    model = net()
    rows = 32
    for source in (Again(), (X, Y)):
        found = model.fit(X, Y, epochs=1, verbose=0, validation_data=source, validation_steps=2,
                          validation_batch_size=16).history  # fmt: skip
        wanted = model.evaluate(X[:rows], Y[:rows], verbose=0, return_dict=True)
        assert found["val_loss"][0] == pytest.approx(wanted["loss"], rel=1e-12)
    for source in ((Again(),), (X, Y)):
        found = model.evaluate(*source, batch_size=16, steps=2, verbose=0, return_dict=True)
        assert found == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_array_equal(model.predict(X, batch_size=16, steps=2), model.predict(X[:rows]))
    np.testing.assert_array_equal(model.predict(Again(), steps=2), model.predict(X[:rows]))
    endless = forever()  # goes on where it is
    for start in (0, 32, 64):
        loss = model.evaluate(endless, steps=2, verbose=0)[0]
        part = slice(start, start + rows)
        assert loss == pytest.approx(model.evaluate(X[part], Y[part], verbose=0)[0], rel=1e-12)


def test_callbacks_see_batches_and_facts() -> None:
    class Sees(nn.Callback):
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def on_train_begin(self, logs: Any = None) -> None:
            self.facts = dict(self.params)

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen.append(("train", batch))

        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen.append(("test", batch))

        def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
            self.seen.append(("predict", batch, len(logs["outputs"])))

    sees, model = Sees(), net()
    model.fit(Sized(), epochs=2, verbose=0, callbacks=[sees], validation_data=Again(), validation_steps=2)
    epoch = [("train", i) for i in range(7)] + [("test", 0), ("test", 1)]
    assert sees.seen == epoch * 2
    assert sees.facts["steps"] == 7 and sees.facts["epochs"] == 2
    sees.seen = []
    model.predict(Sized(), callbacks=[sees])
    assert sees.seen == [("predict", i, 16 if i < 6 else 4) for i in range(7)]


@pytest.mark.parametrize("source", [s for s in SOURCES if s != "tensors"] + ["shuffled"])
@pytest.mark.parametrize("step", [3, 7, 16])
def test_a_resume_is_exact(source: str, step: int, tmp_path: Path) -> None:
    """What is interrupted after some steps, and begun anew in another process, has the bits of a fit that was not."""
    make, settings = SOURCES.get(source, (Numbers, {}))
    whole = net()
    wanted = whole.fit(make(), epochs=4, verbose=0, **settings).history
    path = tmp_path / "backup"
    backup = nn.callbacks.BackupAndRestore(path, save_freq=1)
    with pytest.raises(KeyboardInterrupt):
        net().fit(make(), epochs=4, verbose=0, callbacks=[backup, Interrupts(step)], **settings)
    model = net()
    backup = nn.callbacks.BackupAndRestore(path, save_freq=1)
    found = model.fit(make(), epochs=4, verbose=0, callbacks=[backup, Interrupts(100)], **settings).history
    assert weights(model) == weights(whole)
    assert found == wanted


def test_a_generator_that_ends_ends_the_fit() -> None:
    model = net()
    with pytest.warns(UserWarning, match="got no more after 3 batches of epoch 2; .*function"):
        history = model.fit(iter(list(Again()) + list(Again())[:3]), epochs=5, steps_per_epoch=7, verbose=0).history
    assert model.optimizer.iterations == 10 and len(history["loss"]) == 2
    with pytest.warns(UserWarning, match="got no more after 0 batches of epoch 2;"):
        assert len(net().fit(iter(Again()), epochs=2, verbose=0).history["loss"]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net().fit(iter(Again()), verbose=0)


def test_what_is_not_right_is_told() -> None:
    model = net()
    model.build(5)
    before = weights(model)
    for x, settings, error, words in [
        (iter([]), {}, ValueError, "x: expected batches, got a list_iterator without any"),
        (lambda: 5, {}, TypeError, "x: expected a function that returns batches.*an int.*yield"),
        (iter([(X, Y, S, S)]), {}, ValueError, "x: expected batches .*got one of 4 parts"),
        (iter([X]), {}, TypeError, "y: expected an array, got None"),
        (iter([(X, X)]), {}, ValueError, r"y: expected shape \(100, 2\)"),
        (Again(), {"sample_weight": S}, ValueError, "sample_weight: expected None with data that come batch"),
        (Again(), {"validation_split": 0.2}, ValueError, "validation_split: expected None with data that come batch"),
        (Again(), {"class_weight": "balanced"}, ValueError, "class_weight: expected a dict"),
        ((r for r in X), {"y": Y}, TypeError, "x: expected an array of numbers, got a generator"),
        (Again(), {"validation_data": iter([])}, ValueError, "validation_data: expected batches, got none"),
    ]:
        with pytest.raises(error, match=words):
            model.fit(x, verbose=0, **settings)
        if "validation_data" not in settings:
            assert weights(model) == before
    with pytest.raises(ValueError, match="x: expected batches, got none"):
        model.predict(iter([]))
    with pytest.raises(ValueError, match=r"x: expected shape \(n, 5\), got \(5,\). For a single sample"):
        model.predict(row for row in X)
    bad = [(X[:16], Y[:16]), (np.full((16, 5), np.nan), Y[:16])]
    with pytest.raises(ValueError, match="row 0 of x holds nan.*batch 1"):
        model.fit(iter(bad), verbose=0)
    assert model.optimizer.iterations % 7 == 1


# -- windows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 3])
@pytest.mark.parametrize("shape", [(50,), (50, 2), (50, 2, 3)])
def test_windows_are_a_view(shape: tuple[int, ...], stride: int) -> None:
    series = RNG.standard_normal(shape)
    found = nn.data.windows(series, 7, stride)
    np.testing.assert_array_equal(found, [series[i : i + 7] for i in range(0, 44, stride)])
    assert np.shares_memory(found, series) and not found.flags.writeable
    np.testing.assert_array_equal(nn.data.windows(series[::2], 7, stride)[1], series[::2][stride : stride + 7])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16"])
def test_windows_train_as_their_copy(dtype: str) -> None:
    series = (100 * np.sin(np.arange(300) / 5)).astype(dtype)[:, None]
    x, y = nn.data.windows(series[:-1], 24), series[24:]
    found = []
    for rows in (x, np.ascontiguousarray(x)):
        model = nn.Model([nn.Input((24, 1)), nn.Flatten(), nn.Dense(4, "tanh"), nn.Dense(1)], seed=1)
        model.compile("adam", "mse")
        model.fit(rows, y, epochs=2, verbose=0)
        found.append((weights(model), model.predict(rows).tobytes()))
    assert found[0] == found[1]


def test_windows_are_read_where_they_lie() -> None:
    """The engine reads rows of a strided view itself; nothing of the size of all windows is made."""
    from nncore.bindings import Binding

    series = np.zeros((1000, 2), np.float32)
    assert Binding(nn.data.windows(series, 100), "x", np.dtype(np.float32)).direct
    with pytest.raises(ValueError, match="series: expected at least the 8 times of a window"):
        nn.data.windows(np.zeros(7), 8)
    with pytest.raises(ValueError, match="stride: expected a whole number of at least 1"):
        nn.data.windows(series, 8, 0)
