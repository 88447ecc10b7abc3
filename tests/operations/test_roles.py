"""Roles of parameters: what is learned, and statistics, which a layer keeps without learning them."""

from __future__ import annotations

import copy
import pathlib
import pickle
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import nncore as nn
from nncore import operations
from nncore.compiler.operation import Op, Tensor
from nncore.initializers import get as initializer

Array = np.ndarray[Any, Any]

RNG = np.random.default_rng(3)
X, Y = RNG.standard_normal((40, 3)), RNG.standard_normal((40, 2))
START = {"class": "random_normal", "config": {"stddev": 1.0}}


class Offset(nn.Layer):
    """Y = X W + s, s a statistic, which is declared first."""

    def __init__(
        self, units: int = 2, regularizer: Any = None, name: str | None = None, trainable: bool = True
    ) -> None:
        super().__init__(name, trainable)
        self.units, self.regularizer = units, nn.regularizers.get(regularizer, "regularizer")

    def declare(self, *shapes: Any) -> None:
        self.s = self.add_parameter("s", (self.units,), initializer(START, "s"), role="statistic")
        glorot = initializer("glorot_uniform", "kernel")
        self.kernel = self.add_parameter("kernel", (shapes[0][-1], self.units), glorot, self.regularizer)

    def output_shape(self, *shapes: Any) -> Any:
        return (*shapes[0][:-1], self.units)

    def emit(self, b: Any, *inputs: Any) -> Any:
        return operations.dense(b, inputs[0], self.kernel, self.s)


class Sums(nn.Layer):
    """Y = X; a statistic follows the sums of the columns of each batch, another is those of the last batch."""

    def __init__(self, momentum: float = 0.75, name: str | None = None) -> None:
        super().__init__(name)
        self.momentum = momentum

    def declare(self, *shapes: Any) -> None:
        self.n = shapes[0][-1]
        self.average, self.last = (
            self.add_parameter(name, (self.n,), initializer("ones", name), role="statistic")
            for name in ("average", "last")
        )

    def emit(self, b: Any, *inputs: Any) -> Any:
        x = inputs[0]
        sums = Tensor((self.n,), per_sample=False)
        if b.training:
            b.forward.append(Op("column_sums", dY=x, db=sums, rows=x.size // self.n, n=self.n, fixed=self.n, block=8))
        operations.moving_average(b, self.average, sums, self.momentum)
        operations.moving_average(b, self.last, sums)
        return operations.rescale(b, x, 1.0, 0.0)


def made(optimizer: Any = None, **settings: Any) -> nn.Model:
    model = nn.Model([nn.Input(3), Offset(4, name="first", **settings), Offset(name="last")], seed=1, dtype="float64")
    model.compile(optimizer or nn.Adam(0.1, weight_decay=0.1), "mse")
    return model


def same(a: list[Array], b: list[Array]) -> bool:
    return all(np.array_equal(v, w) for v, w in zip(a, b, strict=True))


def test_weights_come_before_statistics() -> None:
    model = made()
    first, last = model.layers
    paths = ["first/kernel", "first/s", "last/kernel", "last/s"]
    assert [p.path for p in model.weights] == [p.path for p in model.state.parameters] == paths
    assert [w.shape for w in model.get_weights()] == [(3, 4), (4,), (4, 2), (2,)]
    assert [p.path for p in model.trainable_weights] == paths[::2]
    assert [p.path for p in model.non_trainable_weights] == paths[1::2]
    first.trainable = False
    assert [p.path for p in model.trainable_weights] == paths[2:3]
    assert [p.path for p in model.non_trainable_weights] == ["first/kernel", "first/s", "last/s"]
    assert [p.path for p in first.non_trainable_variables] == paths[:2] and not first.trainable_weights
    assert (first.s.role, first.kernel.role, first.s.trainable) == ("statistic", "weight", False)
    assert repr(last.s) == "<Parameter 'last/s': shape (2,), float64, statistic>"
    model.trainable = True
    model.compile("sgd", "mse")
    assert not first.s.trainable and first.kernel.trainable


def test_they_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    model = made()
    assert model.count_params() == 12 + 4 + 8 + 2 and model.layers[0].count_params() == 16
    model.summary()
    shown = capsys.readouterr().out
    assert "Total: 26 parameters (208 bytes), 20 trainable\n" in shown
    model.layers[0].trainable = False
    model.summary()
    assert "20 trainable (8 from the next compile on)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "optimizer",
    [
        nn.SGD(0.1, momentum=0.9, weight_decay=0.5),
        nn.Adam(0.1, weight_decay=0.5, clipnorm=0.1),
        nn.RMSprop(0.1, momentum=0.5, centered=True, weight_decay=0.5, global_clipnorm=0.1),
    ],
    ids=lambda o: o.name,
)
def test_fit_leaves_them_alone(optimizer: Any) -> None:
    model = made(optimizer, regularizer="l2")
    before = model.get_weights()
    model.fit(X, Y, batch_size=7, epochs=3, verbose=0)
    after = model.get_weights()
    assert same(after[1::2], before[1::2]) and all(before[i].any() for i in (1, 3))
    assert not any(np.array_equal(a, b) for a, b in zip(after[::2], before[::2], strict=True))
    for array in model.optimizer_state.values():
        assert not any(model.state.view(layer.s, array).any() for layer in model.layers)


def test_norms_are_those_of_what_is_learned() -> None:
    """One step of global_clipnorm, by hand: neither the statistic nor what a gradient of it would be counts."""
    model = nn.Model([nn.Input(3), Offset()], seed=1, dtype="float64")
    model.compile(nn.SGD(1.0, weight_decay=0.25, global_clipnorm=0.01), "mse")
    w, s = model.get_weights()
    g = 2 / Y.size * X.T @ (X @ w + s - Y)
    model.fit(X, Y, batch_size=len(X), verbose=0)
    want = 0.75 * w - 0.01 * g / np.linalg.norm(g)
    np.testing.assert_allclose(model.get_weights()[0], want, rtol=1e-12)


def test_files_and_copies(tmp_path: pathlib.Path) -> None:
    model = made()
    model.fit(X, Y, epochs=2, verbose=0)
    model.layers[0].s.assign(np.arange(4.0))
    model.save(tmp_path / "m")
    tensors = safetensors.numpy.load_file(tmp_path / "m")
    assert sorted(name for name in tensors if "first" in name) == [
        "optimizer/m/first/kernel", "optimizer/v/first/kernel", "weights/first/kernel", "weights/first/s",
    ]  # fmt: skip
    assert tensors["weights/first/s"].tolist() == [0, 1, 2, 3]
    loaded = nn.load_model(tmp_path / "m", custom_objects={"Offset": Offset})
    other = made()
    model.save_weights(tmp_path / "w")
    other.load_weights(tmp_path / "w")
    assert same(other.get_weights(), model.get_weights())
    twins = [loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    for twin in (model, *twins):
        assert twin.layers[0].s.role == "statistic"
        twin.fit(X, Y, verbose=0)
        assert same(twin.get_weights(), model.get_weights())
    assert model.layers[0].s.numpy().tolist() == [0, 1, 2, 3]


def test_a_changed_layer_keeps_them() -> None:
    model = made(nn.SGD())
    before = model.get_weights()
    model.layers[0].regularizer = "l1"
    assert same(model.get_weights(), before) and model.layers[0].s.role == "statistic"
    model.layers[0].units = 5
    assert model.layers[0].s.shape == (5,) and np.array_equal(model.layers[1].s.numpy(), before[3])


def test_what_is_no_role() -> None:
    class Odd(nn.Layer):
        def declare(self, *shapes: Any) -> None:
            self.add_parameter("a", (1,), initializer("zeros", "a"), role="momentum")

    class Penalised(nn.Layer):
        def declare(self, *shapes: Any) -> None:
            l2 = nn.regularizers.L2(0.1)
            self.add_parameter("a", (1,), initializer("zeros", "a"), regularizer=l2, role="statistic")

    with pytest.raises(ValueError, match="role: expected one of 'weight', 'statistic' for odd/a, got 'momentum'"):
        nn.Model([nn.Input(3), Odd()])
    with pytest.raises(ValueError, match="regularizer: expected None for penalised/a, got L2.*leave it out"):
        nn.Model([nn.Input(3), Penalised()])
    with pytest.raises(AttributeError, match="role: fixed when the Parameter is made. It follows from its layer"):
        made().layers[0].s.role = "weight"


# -- statistics that a layer writes ------------------------------------------------------------------------------------


def summing(units: int = 4, **settings: Any) -> nn.Model:
    model = nn.Model([nn.Input(3), nn.Dense(units, "tanh"), Sums(), nn.Dense(2)], seed=1, **settings)
    model.compile(nn.SGD(0.1, momentum=0.5, clipnorm=1.0, weight_decay=0.1), "mse")
    return model


def hidden(model: nn.Model, x: Array) -> Array:
    w, b = model.layers[0].get_weights()
    return np.tanh(x.astype(np.float64) @ w + b)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("units", [4, 1023])
def test_a_statistic_follows_the_batches(threads: int, units: int) -> None:
    """Against the sums by NumPy, of the weights before each step; the layer trains as one that only passes on."""
    model = summing(units, dtype="float64", n_threads=threads)
    plain = nn.Model([nn.Input(3), nn.Dense(units, "tanh"), nn.Rescaling(1.0), nn.Dense(2)], seed=1, dtype="float64")
    plain.compile(nn.SGD(0.1, momentum=0.5, clipnorm=1.0, weight_decay=0.1), "mse")
    x = np.tile(X, (4 * threads, 1))[: 160 * threads]
    y = np.tile(Y, (4 * threads, 1))[: 160 * threads]
    average = np.ones(units)
    for start in range(0, len(x), 40 * threads):
        rows = slice(start, start + 40 * threads)
        sums = hidden(model, x[rows]).sum(axis=0)
        average = 0.75 * average + 0.25 * sums
        assert model.train_on_batch(x[rows], y[rows]) == plain.train_on_batch(x[rows], y[rows])
        got_average, got_last = model.layers[1].get_weights()
        np.testing.assert_allclose(got_average, average, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(got_last, sums, rtol=1e-12, atol=1e-13)
    assert same([*model.layers[0].get_weights(), *model.layers[2].get_weights()], plain.get_weights())
    before = model.get_weights()
    model.evaluate(x, y, verbose=0)
    model.predict(x)
    assert same(model.get_weights(), before)


def test_a_tensor_that_a_statistic_follows_is_still_there_at_the_end() -> None:
    """Its maker is not joined with what reads it, nor are its bytes given to another tensor."""

    class Kept(Sums):
        def emit(self, b: Any, *inputs: Any) -> Any:
            sums = Tensor((self.n,), per_sample=False)
            row = operations.rescale(b, inputs[0], 2.0, 0.0)
            b.forward.append(Op("column_sums", dY=row, db=sums, rows=1, n=self.n, fixed=self.n, block=self.n))
            operations.moving_average(b, self.last, sums)
            return operations.rescale(b, row, 0.5, 0.0)

    model = nn.Model([nn.Input(3), Kept(), *(nn.Dense(3, "relu") for _ in range(5)), nn.Dense(2)], dtype="float64")
    model.compile("adam", "mse")
    model.fit(X, Y, batch_size=len(X), verbose=0, shuffle=False)
    np.testing.assert_allclose(model.layers[0].last.numpy(), 2 * X.sum(axis=0), rtol=1e-12)
    assert np.array_equal(model.layers[0].average.numpy(), np.ones(3))


def test_a_step_that_diverges_has_not_changed_it() -> None:
    """Neither the statistic nor the weights; x is finite, the loss is not."""
    model = summing()
    model.fit(X, Y, batch_size=8, verbose=0)
    before = model.get_weights()
    with pytest.raises(nn.DivergedError):
        model.fit(X, np.full_like(Y, 1e38), batch_size=8, verbose=0)
    assert same(model.get_weights(), before)


def test_resumed_and_saved(tmp_path: pathlib.Path) -> None:
    whole, model = summing(), summing()
    whole.fit(X, Y, batch_size=8, epochs=4, verbose=0)
    model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    model.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m", custom_objects={"Sums": Sums})
    loaded.fit(X, Y, batch_size=8, initial_epoch=2, epochs=4, verbose=0)
    assert same(loaded.get_weights(), whole.get_weights())
    assert not np.array_equal(loaded.layers[1].average.numpy(), np.ones(4))
