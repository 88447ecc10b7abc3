"""Embedding: rows by number, and gradients of which a step computes few rows, against float64 NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as ref

import nncore as nn
from nncore import optimizers
from nncore.compiler import programs
from nncore.compiler.builder import Builder
from nncore.compiler.operation import OPERATIONS, Op, Tensor
from nncore.execution import stepping, team
from nncore.operations.dense import dense
from nncore.state import Array

RNG = np.random.default_rng(11)
NUMBERS, N = 300, 5
X = RNG.choice([0, 1, 2, 7, 40, 255, 256, 299], (60, 3))
Y = RNG.standard_normal((60, 2))


def embedded(optimizer: Any = None, regularizer: Any = None, **settings: Any) -> nn.Model:
    table = nn.Embedding(NUMBERS, N, embeddings_regularizer=regularizer)
    model = nn.Model([nn.Input(3), table, nn.Flatten(), nn.Dense(2)], seed=3, **settings)
    model.compile(optimizer or nn.SGD(0.1), "mse")
    return model


def steps(
    weights: list[Array], rule: ref.Rule, name: str, batches: list[slice], lazy: bool, states: int
) -> list[Array]:
    """Weights after a step for each batch, by the formulas; `lazy`: rows that a batch does not read stay."""
    E, W, b = (ref.float64(w) for w in weights)
    state = [[np.zeros_like(w) for _ in range(states)] for w in (E, W, b)]
    for t, rows in enumerate(batches, 1):
        x, h = X[rows], E[X[rows]].reshape(-1, 3 * N)
        dz = 2 * (h @ W + b - Y[rows]) / (2 * len(x))
        dE = np.zeros_like(E)
        np.add.at(dE, x, (dz @ W.T).reshape(-1, 3, N))
        read = np.unique(x) if lazy else np.arange(NUMBERS)
        part = [s[read] for s in state[0]]
        E[read] = ref.update(name, E[read], dE[read], part, rule, t)
        for s, moved in zip(state[0], part, strict=True):
            s[read] = moved
        W = ref.update(name, W, h.T @ dz, state[1], rule, t)
        b = ref.update(name, b, dz.sum(axis=0), state[2], rule, t)
    return [E, W, b]


BATCHES = [slice(i, i + 16) for i in range(0, 60, 16)]
SGD = ref.Rule(learning_rate=0.1)
MOMENTUM = ref.Rule(learning_rate=0.1, momentum=0.9)
ADAM = ref.Rule(learning_rate=0.01, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
CASES: list[tuple[Any, ref.Rule, str, bool, int]] = [
    (lambda: nn.SGD(0.1), SGD, "sgd", True, 1),
    (lambda: nn.SGD(0.1, momentum=0.9), MOMENTUM, "sgd", False, 1),
    (lambda: nn.LazySGD(0.1, momentum=0.9), MOMENTUM, "sgd", True, 1),
    (lambda: nn.Adam(0.01), ADAM, "adam", False, 2),
    (lambda: nn.LazyAdam(0.01), ADAM, "adam", True, 2),
    (lambda: nn.LazyAdam(0.01, clipvalue=1e9), ADAM, "adam", True, 2),
]


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training(case: int, dtype: str) -> None:
    optimizer, rule, name, lazy, states = CASES[case]
    model = embedded(optimizer(), dtype=dtype)
    before = model.get_weights()
    expected = steps(before, rule, name, BATCHES * 3, lazy, states)
    model.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    tolerance = 3e-5 if dtype == "float32" else 1e-11
    for found, wanted in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, tolerance, tolerance)
    unread = np.setdiff1d(np.arange(NUMBERS), X)
    np.testing.assert_array_equal(model.get_weights()[0][unread], before[0][unread])


def operations(model: nn.Model) -> list[str]:
    config = model.configuration
    assert model.graph is not None and config is not None
    program = programs.step(model.graph, config, training=True, weighted=[False], max_samples=16)
    kinds = program.ops.view(np.int64).reshape(len(program.ops), -1)[:, 0]
    names = {d.number: d.name for d in OPERATIONS.values()}
    return [names[kind] for kind in kinds.tolist()]


def test_which_gradients_are_of_rows() -> None:
    """Where the update leaves rows alone, nothing goes over the whole table; elsewhere it is as any gradient."""
    lazy = nn.SGD(0.1), nn.LazySGD(momentum=0.5, weight_decay=0.1), nn.LazyAdam(), nn.SGD(clipvalue=1.0)
    for optimizer in lazy:
        model = embedded(optimizer)
        kinds = operations(model)
        assert "lookup_backward_rows" in kinds and "update_rows" in kinds and "lookup_backward" not in kinds
        stepper = model.steppers().take(True, (False,), 16, 1)
        assert sum(stepper.program.accumulators["by_chunks"]) == 0
        assert stepper.overhead < stepping.UPDATE_FLOPS * NUMBERS  # not × N
    whole = nn.Adam(), nn.SGD(momentum=0.5), nn.SGD(weight_decay=0.1), nn.SGD(clipnorm=1.0), nn.LazyAdam(clipnorm=1.0)
    for optimizer in whole:
        assert "lookup_backward" in operations(embedded(optimizer))
    assert "lookup_backward" in operations(embedded(regularizer="l2"))
    frozen = embedded()
    frozen.layers[0].trainable = False
    frozen.compile("sgd", "mse")
    assert not {"lookup_backward", "lookup_backward_rows"} & set(operations(frozen))


def test_a_table_that_is_read_twice() -> None:
    """Gradients of both add up; the same as one lookup of both."""
    a, b, table = nn.Input(2, name="a"), nn.Input(1, name="b"), nn.Embedding(NUMBERS, N)
    joined = nn.layers.Concatenate()([nn.Flatten()(table(a)), nn.Flatten()(table(b))])
    twice = nn.Model([a, b], nn.Dense(2)(joined), seed=3)
    once = embedded()
    twice.set_weights(once.get_weights())
    twice.compile(nn.SGD(0.1), "mse")
    assert operations(twice).count("lookup_backward") == 2
    twice.fit([X[:, :2], X[:, 2:]], Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    once.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    for found, wanted in zip(twice.get_weights(), once.get_weights(), strict=True):
        np.testing.assert_allclose(found, wanted, 1e-5, 1e-6)


class Squared(nn.Embedding):
    """Rows of E², by number."""

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        return dense(b, super().emit(b, *inputs), self.embeddings, None)


@pytest.mark.parametrize("optimizer", [nn.SGD(0.1), nn.LazySGD(0.1)])
def test_a_table_that_something_else_reads(optimizer: nn.SGD) -> None:
    """It has the gradients of both."""
    model = nn.Model([nn.Input(3), Squared(8, 8), nn.Flatten()], seed=2, dtype="float64")
    model.compile(optimizer, "mse")
    [E], x, y = model.get_weights(), X % 8, RNG.standard_normal((60, 24))
    dy = 2 * (E[x] @ E - y.reshape(60, 3, 8)) / y.size
    dE = np.einsum("bij,bik->jk", E[x], dy)
    np.add.at(dE, x, dy @ E.T)
    model.train_on_batch(x, y)
    np.testing.assert_allclose(model.get_weights()[0], E - 0.1 * dE, 1e-11, 1e-13)


@pytest.mark.parametrize("optimizer", [nn.SGD(0.1), nn.LazyAdam(0.01), nn.Adam(0.01)])
def test_bits_do_not_depend_on_threads(optimizer: optimizers.Optimizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    found = []
    for threads in (1, 2, 3):
        model = embedded(type(optimizer).from_config(optimizer.get_config()), n_threads=threads)
        model.fit(X, Y, batch_size=16, epochs=3, verbose=0)
        found.append([w.tobytes() for w in model.get_weights()])
    assert found[0] == found[1] == found[2]


def test_numbers_of_three_digits_are_sorted_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digits of 256, each sorted from where the last one was left: two threads would write over one another."""
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    numbers = 256**2 + 1
    x, y = RNG.choice([0, 1, 255, numbers // 2, numbers - 1], (500, 7)), RNG.standard_normal((500, 7))
    model = nn.Model([nn.Input(7), nn.Embedding(numbers, 1), nn.Flatten()], seed=0, dtype="float64", n_threads=2)
    model.compile(nn.SGD(0.5), "mse")
    assert model.graph is not None and model.configuration is not None
    steps = programs.emit_step(model.graph, model.configuration, training=True)[0].backward
    assert [(op.fixed, op.per_sample) for op in steps if isinstance(op, Op) and op.kind == "sort_ids"] == [(1, 0)]
    E = model.get_weights()[0]
    dE = np.zeros_like(E)
    np.add.at(dE[:, 0], x, 2 * (E[x, 0] - y) / y.size)
    model.train_on_batch(x, y)
    np.testing.assert_allclose(model.get_weights()[0], E - 0.5 * dE, 1e-11, 1e-14)


def test_files_and_resuming(tmp_path: Path) -> None:
    model, through = embedded(nn.LazyAdam(0.01)), embedded(nn.LazyAdam(0.01))
    model.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    model.save(tmp_path / "m")
    again = nn.load_model(tmp_path / "m")
    assert type(again.optimizer) is nn.LazyAdam and again.get_config() == model.get_config()
    for m in (again, model):
        m.fit(X, Y, batch_size=16, epochs=2, verbose=0)
    through.fit(X, Y, batch_size=16, epochs=4, verbose=0)
    for found, other, wanted in zip(*(m.get_weights() for m in (again, model, through)), strict=True):
        np.testing.assert_array_equal(found, other)
        np.testing.assert_array_equal(found, wanted)


def test_a_gradient_that_is_not_finite_stops_the_step() -> None:
    for optimizer in (nn.SGD(0.1), nn.Adam()):
        model = embedded(optimizer)
        E, W, b = model.get_weights()
        W[:] = 1e30
        model.set_weights([E, W, b])
        with pytest.raises(nn.DivergedError):
            model.fit(X, Y * 1e20, verbose=0)
        np.testing.assert_array_equal(model.get_weights()[0], E)


def test_sizes_may_change() -> None:
    model = nn.Model([nn.Input(3), nn.Embedding(9, 4), nn.Flatten(), nn.Dense(2)], seed=0)
    assert model.predict(X[:, :3] % 9).shape == (60, 2)
    model.layers[0].input_dim = NUMBERS
    assert model.predict(X).shape == (60, 2)
    with pytest.raises(ValueError, match="x: expected whole numbers from 0 to 299, which embedding takes, got 300"):
        model.predict(X + 1)


@pytest.mark.parametrize("arguments", [(0, 4), (4, 0), (-1, 4), (2.5, 4)])
def test_sizes_are_checked(arguments: tuple[Any, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match="put_dim: expected"):
        nn.Embedding(*arguments)


def test_an_embedding_in_time_distributed_is_the_embedding() -> None:
    """It reads whole numbers of any shape, all at once."""
    x, y = np.random.default_rng(0).integers(0, 20, (12, 5, 4)), np.random.default_rng(1).normal(size=(12, 1))
    found = []
    for wrap in (
        nn.TimeDistributed,
        lambda layer: layer,
        lambda layer: nn.TimeDistributed(nn.SpectralNormalization(layer)),
    ):
        layers = [nn.Input((5, 4), dtype="int32"), wrap(nn.Embedding(20, 3)), nn.Flatten(), nn.Dense(1)]
        model = nn.Sequential(layers, seed=0, dtype="float64")
        model.compile("sgd", "mse")
        model.fit(x, y, epochs=2, verbose=0)
        found.append(model.predict(x, verbose=0))
    np.testing.assert_array_equal(found[0], found[1])
    with pytest.raises(ValueError, match="expected whole numbers|from 0 to 19"):
        nn.Sequential([nn.Input((8, 8)), nn.TimeDistributed(nn.Embedding(20, 3))]).predict(np.full((2, 8, 8), 99))
