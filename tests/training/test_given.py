"""train_on_batch with the gradient of the outputs in place of targets: against float64 NumPy and PyTorch."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.execution import team

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(5)
Array = np.ndarray[Any, Any]


def network(dtype: str = "float64", threads: int = 1, loss: Any = None, last: str = "softmax") -> nn.Model:
    layers = [nn.Input(5), nn.Dense(8, "tanh", kernel_regularizer=nn.regularizers.L2(0.01)), nn.Dense(3, last)]
    model = nn.Model(layers, seed=1, dtype=dtype, n_threads=threads)
    model.compile(nn.SGD(0.5, momentum=0.9), loss)
    return model


def of_torch(model: nn.Model, x: Array, y: Array, steps: int) -> tuple[list[float], list[Array]]:
    """Losses and weights after steps on L = mean (ŷ − y)⁴, which no loss here is, and the penalty."""
    W, b, V, c = (torch.tensor(w, requires_grad=True) for w in model.get_weights())
    optimizer = torch.optim.SGD([W, b, V, c], 0.5, momentum=0.9)
    t, found = torch.tensor(y), []
    for _ in range(steps):
        out = torch.softmax(torch.tanh(torch.tensor(x) @ W + b) @ V + c, 1)
        loss = ((out - t) ** 4).mean() + 0.01 * (W**2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    return found, [w.detach().numpy() for w in (W, b, V, c)]


def quartic(y: Array) -> Any:
    return lambda out: (((out - y) ** 4).mean(), 4 * (out - y) ** 3 / out.size)


@pytest.mark.parametrize("kind", ["array", "callable"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 2e-4)])
@pytest.mark.parametrize("compiled", [None, "mse"])
def test_steps_are_those_of_pytorch(kind: str, dtype: str, tolerance: float, compiled: Any) -> None:
    """Whatever loss the model is compiled with, or none; through a softmax; the penalty is added."""
    x, y = RNG.standard_normal((20, 5)), RNG.random((20, 3))
    model = network(dtype, loss=compiled)
    model.set_weights(network("float64").get_weights())
    losses, weights = of_torch(network("float64"), x, y, 6)
    found = []
    for _ in range(6):
        penalty = 0.01 * float((model.get_weights()[0].astype(float) ** 2).sum())
        if kind == "callable":
            found.append(model.train_on_batch(x, grad=quartic(y)))
            continue
        loss, gradient = quartic(y)(model.predict(x))
        assert model.train_on_batch(x, grad=gradient) == pytest.approx(penalty, rel=1e-5)
        found.append(loss + penalty)
    np.testing.assert_allclose(found, losses, tolerance)
    for a, b in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(a, b, tolerance, tolerance)
    assert (model.optimizer.iterations, model.counters[0]) == (6, 6)


def test_steps_mix_with_those_of_targets() -> None:
    """A step by the gradient of mse is a step of mse, optimizer's state and steps included."""
    x, y = RNG.standard_normal((20, 5)), RNG.random((20, 3))
    by_targets, mixed = network(loss="mse"), network(loss="mse")
    for i in range(4):
        loss = by_targets.train_on_batch(x, y)
        if i % 2:
            again = mixed.train_on_batch(x, grad=lambda out: (((out - y) ** 2).mean(), 2 * (out - y) / out.size))
        else:
            again = mixed.train_on_batch(x, y)
        assert again == pytest.approx(loss, rel=1e-12)
    for a, b in zip(by_targets.get_weights(), mixed.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, 1e-11, 1e-13)


def test_the_callable_is_given_the_outputs_of_the_step_with_its_dropout() -> None:
    model = nn.Model([nn.Input(6), nn.Dropout(0.5), nn.Dense(2)], seed=3, dtype="float64")
    model.compile(nn.SGD(0.25))
    x, seen, before = np.ones((40, 6)), [], model.get_weights()

    def gradient(out: Array) -> Array:
        assert not out.flags.writeable
        seen.append(out.copy())
        return np.ones_like(out)

    model.train_on_batch(x, grad=gradient)
    (W, b), (W1, b1) = before, model.get_weights()
    # Each row of the outputs says which inputs were kept: dW is the sum of those
    masks = np.array([[2.0 * bool(k >> j & 1) for j in range(6)] for k in range(64)])
    rows = [masks[np.abs(masks @ W + b - out).max(axis=1).argmin()] for out in seen[0]]
    np.testing.assert_allclose(seen[0], np.array(rows) @ W + b, 1e-12)
    assert 0 < np.count_nonzero(rows) < 240
    np.testing.assert_allclose(W1, W - 0.25 * np.repeat(np.sum(rows, axis=0)[:, None], 2, axis=1), 1e-12)
    np.testing.assert_allclose(b1, b - 0.25 * 40, 1e-12)
    assert not np.array_equal(seen[0], model.predict(x))


def test_several_outputs() -> None:
    def made() -> nn.Model:
        x = nn.Input(4)
        h = nn.Dense(6, "tanh", name="trunk")(x)
        model = nn.Model(x, {"a": nn.Dense(2, name="first")(h), "b": nn.Dense(3, name="second")(h)}, seed=2,
                         dtype="float64")  # fmt: skip
        model.compile("sgd")
        return model

    x, ga, gb = RNG.standard_normal((9, 4)), RNG.standard_normal((9, 2)), RNG.standard_normal((9, 3))
    model = made()
    W, b, V, c, U, d = model.get_weights()
    h = np.tanh(x @ W + b)
    dz = (ga @ V.T + gb @ U.T) * (1 - h * h)
    expected = [W - 0.01 * x.T @ dz, b - 0.01 * dz.sum(0), V - 0.01 * h.T @ ga, c - 0.01 * ga.sum(0),
                U - 0.01 * h.T @ gb, d - 0.01 * gb.sum(0)]  # fmt: skip
    for grad in ([ga, gb], {"a": ga, "b": gb}, lambda out: {"b": gb, "a": ga} if set(out) == {"a", "b"} else None):
        model = made()
        model.train_on_batch(x, grad=grad)
        for found, wanted in zip(model.get_weights(), expected, strict=True):
            np.testing.assert_allclose(found, wanted, 1e-12, 1e-14)
    alone = made()
    alone.compile(nn.Adam(weight_decay=0.1))
    before = alone.get_weights()
    alone.train_on_batch(x, grad={"a": ga})
    changed = [not np.array_equal(p, q) for p, q in zip(before, alone.get_weights(), strict=True)]
    assert changed == [True, True, True, True, False, False]  # the other head is not even decayed


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_bits_on_any_number_of_threads(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    x, y, found = RNG.standard_normal((300, 5)), RNG.standard_normal((300, 3)), []
    for threads in (1, 2):
        model = network(dtype, threads, last="relu")
        losses = [model.train_on_batch(x[:n], grad=quartic(y[:n])) for n in (300, 7, 64)]
        found.append([losses, *(w.tobytes() for w in model.get_weights())])
    assert found[0] == found[1]


def test_the_gradient_of_a_table_of_which_few_rows_are_read() -> None:
    for optimizer in (nn.SGD(0.5), nn.LazySGD(0.5)):
        model = nn.Model([nn.Input(2), nn.Embedding(10, 3), nn.Flatten()], seed=1, dtype="float64")
        model.compile(optimizer)
        g, [table] = RNG.standard_normal((2, 6)), model.get_weights()
        model.train_on_batch(np.array([[1, 4], [4, 7]]), grad=g)
        np.add.at(table, [1, 4, 4, 7], -0.5 * g.reshape(4, 3))
        np.testing.assert_allclose(model.get_weights()[0], table, 1e-12)


def test_what_is_not_right_is_told() -> None:
    model = network()
    x, g = RNG.standard_normal((4, 5)), np.ones((4, 3))
    before = model.get_weights()
    for grad, error, words in [
        (np.ones((3, 3)), ValueError, r"shape \(4, 3\), got \(3, 3\).*1/4"),
        (lambda out: out[0], ValueError, r"shape \(4, 3\), got \(3,\)"),
        (lambda out: None, TypeError, "grad: expected an array, got None"),
        ("up", TypeError, "grad: expected an array of numbers, got the text"),
        ({"other": g}, ValueError, "keys of"),
        (lambda out: 1 / 0, ZeroDivisionError, "division"),
        (lambda out: out.fill(0), ValueError, "read-only"),
    ]:
        with pytest.raises(error, match=words):
            model.train_on_batch(x, grad=grad)
    with pytest.raises(ValueError, match="grad: expected None beside y"):
        model.train_on_batch(x, g, grad=g)
    with pytest.raises(nn.DivergedError):
        model.train_on_batch(x, grad=np.full((4, 3), np.nan))
    with pytest.raises(nn.DivergedError):
        model.train_on_batch(x, grad=lambda out: (np.inf, g))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.optimizer.iterations == 0
    with pytest.raises(ValueError, match="not compiled"):
        nn.Model([nn.Input(5), nn.Dense(3)]).train_on_batch(x, grad=g)


def test_nothing_is_held_after_the_step() -> None:
    class Gradient:
        def __call__(self, out: Array) -> Array:
            return out.copy()

    model, gradient = network(), Gradient()
    model.train_on_batch(np.ones((4, 5)), grad=gradient)
    there = weakref.ref(gradient)
    del gradient
    assert there() is None
    of_model = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert of_model() is None
    finally:
        gc.enable()
