"""Sections of a program: loops over time, what Python computes, and gradients that are summed before the update."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore._kernels.table import ACTIVATIONS
from nncore.compiler.builder import Builder
from nncore.compiler.operation import Loop, Moving, Op, PythonCall, Tensor, Whole
from nncore.execution import stepping, team
from nncore.execution.stepping import Stepper
from nncore.graph import Shape
from nncore.operations import dense
from nncore.operations.elementwise import zeros
from nncore.operations.python import call

Array = NDArray[Any]

RNG = np.random.default_rng(8)
TANH = ACTIVATIONS["tanh"]


class Recurrent(nn.layers.Layer):
    """h_t = tanh(x_t W + b + h_{t−1} U) from h_0 = 0, all steps of which are the output (T, units)."""

    def __init__(self, units: int, name: str | None = None) -> None:
        super().__init__(name)
        self.units = units

    def output_shape(self, *shapes: Shape) -> Shape:
        return (shapes[0][0], self.units)

    def declare(self, *shapes: Shape) -> None:
        uniform = nn.initializers.GlorotUniform()
        self.kernel = self.add_parameter("kernel", (shapes[0][1], self.units), uniform)
        self.recurrent = self.add_parameter("recurrent", (self.units, self.units), uniform)
        self.bias = self.add_parameter("bias", (self.units,), uniform)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        n, T = self.units, inputs[0].shape[0]
        z = dense(b, inputs[0], self.kernel, self.bias)  # (B, T, n): of all steps at once
        states, before = Tensor((T, n), True), Tensor((T, n))  # h_t and h_{t−1}
        h, zero = zeros((n,))
        b.emit(zero)
        z_t, product, total = Tensor((n,)), Tensor((n,)), Tensor((n,))
        U = Whole("parameters", self.recurrent)
        steps = [
            copied(h, Moving(before, n), n, T * n),
            copied(Moving(z, n), z_t, T * n, n),
            Op("dense_forward", X=h, W=U, Y=product, rows=1, n=n, k=n),
            Op("add", A=z_t, B=product, Y=total),
            Op("activate", Z=total, Y=h, function=TANH),
            copied(h, Moving(states, n), n, T * n),
        ]

        def backward(to: Builder, dy: Tensor) -> None:
            later, zero = zeros((n,))  # dh_t by h_{t+1}
            to.backward.append(zero)
            h_t, dh, da_t, da = Tensor((n,)), Tensor((n,)), Tensor((n,)), Tensor((T, n))
            steps = [
                copied(Moving(dy, n), dh, T * n, n),
                copied(Moving(states, n), h_t, T * n, n),
                Op("add", A=dh, B=later, Y=dh),
                Op("activate_backward", saved=h_t, dY=dh, dZ=da_t, function=TANH),
                copied(da_t, Moving(da, n), n, T * n),
                Op("dense_backward_input", dY=da_t, W=U, dX=later, rows=1, n=n, k=n),
            ]
            to.backward.append(Loop(T, steps, backwards=True))
            sizes = {"rows": T, "n": n, "k": n}
            to.send_to_parameter(
                self.recurrent, lambda dU: Op("dense_backward_weights", X=before, dY=da, dW=dU, **sizes)
            )
            to.send(z, lambda dz: Op("rescale", X=da, Y=dz, scale=1.0))

        b.record(states, Loop(T, steps), backward)
        return states


def copied(x: Any, y: Any, x_row: int, y_row: int) -> Op:
    return Op("copy", X=x, Y=y, per_sample=1, n=min(x_row, y_row), x_row=x_row, y_row=y_row)


def states(x: Array, W: Array, U: Array, b: Array) -> Array:
    h, found = np.zeros((len(x), len(U))), []
    for t in range(x.shape[1]):
        h = np.tanh(x[:, t] @ W + b + h @ U)
        found.append(h)
    return np.stack(found, axis=1)


def recurrent(threads: int = 1, dtype: str = "float64", seed: int = 3) -> nn.Model:
    layers = [nn.Input((6, 4)), Recurrent(5), nn.Flatten(), nn.Dense(2)]
    model = nn.Model(layers, seed=seed, n_threads=threads, dtype=dtype)
    model.compile(nn.SGD(0.1), "mse")
    return model


# -- loops ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [1, 7, 130, 300])
def test_a_loop_over_time_predicts_what_numpy_does(rows: int) -> None:
    model, x = recurrent(), RNG.standard_normal((rows, 6, 4))
    W, U, b, V, c = model.get_weights()
    expected = states(x, W, U, b).reshape(rows, -1) @ V + c
    np.testing.assert_allclose(model.predict(x), expected, 1e-12, 1e-12)
    assert model(x[:1]).tobytes() == model.predict(x)[:1].tobytes()


def test_a_loop_over_time_learns_by_the_gradient() -> None:
    """One step of SGD against central differences of the loss by every weight."""
    model, x, y = recurrent(), RNG.standard_normal((9, 6, 4)), RNG.standard_normal((9, 2))
    weights = model.get_weights()

    def loss() -> float:
        W, U, b, V, c = weights
        return float(((states(x, W, U, b).reshape(9, -1) @ V + c - y) ** 2).mean())

    gradients = []
    for w in weights:
        g = np.zeros_like(w)
        for i in np.ndindex(w.shape):
            was, sides = w[i], []
            for step in (1e-6, -1e-6):
                w[i] = was + step
                sides.append(loss())
            w[i] = was
            g[i] = (sides[0] - sides[1]) / 2e-6
        gradients.append(g)
    assert model.train_on_batch(x, y) == pytest.approx(loss(), rel=1e-12)
    for w, g, now in zip(weights, gradients, model.get_weights(), strict=True):
        np.testing.assert_allclose(now, w - 0.1 * g, 1e-7, 1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loop_has_the_same_bits_on_any_number_of_threads(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    x, y, found = RNG.standard_normal((300, 6, 4)), RNG.standard_normal((300, 2)), []
    for threads in (1, 2, 3):
        model = recurrent(threads, dtype)
        history = model.fit(x, y, batch_size=70, epochs=3, verbose=0).history["loss"]
        found.append([model.predict(x).tobytes(), history, *(w.tobytes() for w in model.get_weights())])
    assert found[0] == found[1] == found[2]


# -- what Python computes ------------------------------------------------------------------------------------------


class Squares(nn.layers.Layer):
    """Y = X², by Python."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        return call(b, inputs[0], inputs[0].shape, self.forward, self.backward)

    @staticmethod
    def forward(x: Array, y: Array) -> None:
        assert not x.flags.writeable
        np.multiply(x, x, out=y)

    @staticmethod
    def backward(x: Array, y: Array, dy: Array, dx: Array) -> None:
        np.multiply(2 * x, dy, out=dx)


def squares(layer: Any, threads: int = 1) -> nn.Model:
    layers = [nn.Input(4), nn.Dense(6, "tanh"), layer, nn.Dense(2)]
    model = nn.Model(layers, seed=1, n_threads=threads, dtype="float64")
    model.compile("adam", "mse")
    return model


class NativeSquares(nn.layers.Layer):
    """The same by operations."""

    def __init__(self, name: str | None = None) -> None:
        super().__init__(name)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        return nn.operations.multiply(b, inputs[0], inputs[0])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_layer_of_python_is_one_of_the_network(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit, evaluation and prediction as with a layer of operations that computes the same."""
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    x, y, found = RNG.standard_normal((300, 4)), RNG.standard_normal((300, 2)), []
    for layer in (Squares(), NativeSquares()):
        model = squares(layer, threads)
        history = model.fit(x, y, batch_size=64, epochs=4, verbose=0, validation_data=(x, y)).history
        found.append((model, history, model.evaluate(x, y, verbose=0)))
    (python, *logs), (native, *others) = found
    for a, b in zip(logs, others, strict=True):
        np.testing.assert_allclose(np.hstack([*a.values()]) if isinstance(a, dict) else a,
                                   np.hstack([*b.values()]) if isinstance(b, dict) else b, 1e-12)  # fmt: skip
    np.testing.assert_allclose(python.predict(x), native.predict(x), 1e-11, 1e-12)
    np.testing.assert_allclose(python(x[:1]), native(x[:1]), 1e-11, 1e-12)
    for a, b in zip(python.get_weights(), native.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, 1e-10, 1e-12)


def test_an_error_in_python_leaves_the_step_undone() -> None:
    class Fails(Squares):
        @staticmethod
        def backward(*arrays: Array) -> None:
            raise RuntimeError("no gradient today")

    model = squares(Fails())
    before = model.get_weights()
    with pytest.raises(RuntimeError, match="no gradient today"):
        model.fit(np.ones((5, 4)), np.ones((5, 2)), verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.optimizer.iterations == 0
    assert model.predict(np.ones((5, 4))).shape == (5, 2)


def test_a_loss_of_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """ℓ = Σⱼ (p − t)⁴, whose gradient Python writes; its values are summed natively."""

    def quartic(p: Array, t: Array, dp: Array, values: Array) -> None:
        values[...] = ((p - t) ** 4).sum(axis=1)
        dp[...] = 4 * (p - t) ** 3 / len(p)

    def emit(
        b: Builder, name: str, loss: Any, kernel: str, p: Tensor, target: Tensor, *others: Any, **more: Any
    ) -> None:
        from nncore.operations.losses import accumulate

        dp, values = Tensor(p.shape), Tensor(())
        b.emit(PythonCall(quartic, [p, target], [dp, values]))
        accumulate(b, name, "loss", values)
        b.add_gradient(p, dp)

    monkeypatch.setattr("nncore.compiler.programs.loss", emit)
    model = nn.Model([nn.Input(3), nn.Dense(2)], seed=2, dtype="float64")
    model.compile(nn.SGD(0.05), "mse")
    x, y, (W, b) = RNG.standard_normal((40, 3)), RNG.standard_normal((40, 2)), model.get_weights()
    losses = []
    for _ in range(3):
        e = x @ W + b - y
        losses.append((e**4).sum(axis=1).mean())
        W, b = W - 0.05 * x.T @ (4 * e**3) / 40, b - 0.05 * (4 * e**3).mean(axis=0)
    history = model.fit(x, y, batch_size=40, epochs=3, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], losses, 1e-12)
    for found, expected in zip(model.get_weights(), (W, b), strict=True):
        np.testing.assert_allclose(found, expected, 1e-11)


# -- gradients that are summed -------------------------------------------------------------------------------------


def plain(threads: int = 1) -> nn.Model:
    model = nn.Model([nn.Input(20), nn.Dense(16, "relu"), nn.Dense(3)], seed=4, n_threads=threads)
    model.compile(nn.SGD(0.25), "mse")
    return model


def trained(model: nn.Model, x: Array, y: Array, batch: int, reduce: Callable[[Stepper], bool] | None) -> list[Array]:
    """The weights after one pass."""
    settings: dict[str, Any] = {"optimizer_state": {}, "seed": 0, "steps": model.counters}
    kind: dict[str, Any] = {"training": True, "weighted": (False,), "max_samples": batch, "threads": model.threads()}
    stepper = Stepper(model.graph, model.configuration, **kind, **settings, reduce=reduce)
    stepper.attach(model._dataset(x, y), shuffled=False)
    stepper.begin(batch)
    while (reason := stepper.advance()) == stepping.engine.TIME:
        pass
    assert reason == stepping.engine.END
    return model.get_weights()


@pytest.mark.parametrize("threads", [1, 2])
def test_two_halves_are_added_before_the_update(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The canonical gradient of two slices: g = (g₁ + g₂) / 2, the same bits whoever computes g₁ and g₂."""
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)
    x = RNG.standard_normal((128, 20)).astype(np.float32)
    y = RNG.standard_normal((128, 3)).astype(np.float32)
    halves: list[Array] = []

    def reduce(stepper: Stepper) -> bool:
        halves.append(stepper.state.gradients.copy())
        if len(halves) % 2:
            return False  # the update waits for the other half
        stepper.state.gradients[:] = (halves[-2] + halves[-1]) / np.float32(2)
        return True

    model = plain(threads)
    found = trained(model, x, y, 64, reduce)
    assert len(halves) == 2
    assert (int(model.counters[0]), model.optimizer.iterations) == (2, 1)
    # Two workers, each with its slice of the batch, as a tree over two slices prescribes
    gradients = []
    for part in (slice(0, 64), slice(64, 128)):
        worker = plain()

        def keep(stepper: Stepper) -> bool:
            gradients.append(stepper.state.gradients.copy())
            return False

        start = worker.get_weights()
        trained(worker, x[part], y[part], 64, keep)
        for a, b in zip(start, worker.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)  # no update
    g = (gradients[0] + gradients[1]) / np.float32(2)
    for p, w, now in zip(model.state.parameters, plain().get_weights(), found, strict=True):
        step = np.float32(0.25) * p.within(g)
        np.testing.assert_allclose(now, w - step, 3e-7, 1e-9)
    other = plain()
    other.state.gradients[:] = g

    def given(stepper: Stepper) -> bool:
        stepper.state.gradients[:] = g
        return True

    for a, b in zip(found, trained(other, x[:64], y[:64], 64, given), strict=True):
        np.testing.assert_array_equal(a, b)
    whole = plain()
    whole.train_on_batch(x, y)
    for a, b in zip(found, whole.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, 1e-5, 1e-7)


def test_a_process_may_know_that_a_step_is_not_finite() -> None:
    def refuse(stepper: Stepper) -> bool:
        assert stepper.run.finite
        stepper.run.finite = False
        return True

    model = plain()
    before = model.get_weights()
    with pytest.raises(AssertionError):
        trained(model, np.ones((4, 20), np.float32), np.ones((4, 3), np.float32), 4, refuse)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# -- steps that are counted ----------------------------------------------------------------------------------------


def test_steps_are_counted_where_python_converts_the_data() -> None:
    """float16 is converted batch by batch; an epoch of two steps does two."""
    x, y = np.ones((64, 3), np.float16), np.ones((64, 1), np.float16)
    model = nn.Model([nn.Input(3), nn.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(x, y, batch_size=8, steps_per_epoch=2, epochs=2, verbose=0)
    assert model.optimizer.iterations == 4


def test_a_batch_that_is_not_finite_ends_an_accumulation() -> None:
    """Its gradients are not applied with those of the batches after it."""
    x, y = np.ones((64, 20), np.float32), np.ones((64, 3), np.float32)
    x[5, 0] = np.inf
    seen: list[bool] = []

    def fourth(stepper: Stepper) -> bool:
        seen.append(stepper.run.finite)
        return len(seen) == 4

    model = plain()
    before = model.get_weights()
    with pytest.raises(AssertionError):  # it comes back with DIVERGED
        trained(model, x, y, 16, fourth)
    assert seen == [False]
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_loss_that_is_not_finite_shows_before_the_update() -> None:
    seen: list[bool] = []

    def look(stepper: Stepper) -> bool:
        seen.append(stepper.run.finite)
        return True

    model = plain()
    model.compile(nn.SGD(0.1), "mae")
    with pytest.raises(AssertionError):
        trained(model, np.ones((4, 20), np.float32), np.full((4, 3), np.inf, np.float32), 4, look)
    assert seen == [False]


def test_arrays_of_python_outlive_the_run() -> None:
    held: list[Array] = []

    class Keeps(Squares):
        @staticmethod
        def forward(x: Array, y: Array) -> None:
            held.append(x)
            np.multiply(x, x, out=y)

    model = squares(Keeps())
    x = RNG.standard_normal((5, 4))
    model.predict(x)
    copy = held[0].copy()
    del model
    gc.collect()
    _ = [np.full(1000, 7.0) for _ in range(1000)]
    np.testing.assert_array_equal(held[0], copy)


def test_arrays_of_python_outlive_what_is_bound() -> None:
    """Rows that are read where they are: the array is there for as long as somebody looks at some of its rows."""
    held: list[Array] = []

    class Keeps(Squares):
        @staticmethod
        def forward(x: Array, y: Array) -> None:
            held.extend((x, y))
            np.multiply(x, x, out=y)

    x = np.arange(2000, dtype=np.float32).reshape(500, 4)
    model = nn.Model([nn.Input(4), Keeps()])
    model.predict(x)
    np.testing.assert_array_equal(np.concatenate(held[::2]), x)
    np.testing.assert_array_equal(np.concatenate(held[1::2]), x * x)
    held.clear()
    model.compile("sgd", "mse")
    model.evaluate(x, x, verbose=0)
    there = weakref.ref(x)
    del x
    assert there() is not None
    held.clear()
    assert there() is None


def test_python_may_not_train_in_the_middle_of_a_step() -> None:
    inner = plain()

    class Trains(Squares):
        @staticmethod
        def forward(x: Array, y: Array) -> None:
            np.multiply(x, x, out=y)
            outer.set_weights(outer.get_weights())

    outer = squares(Trains())
    with pytest.raises(RuntimeError, match="expected one that only computes"):
        outer.fit(np.ones((5, 4)), np.ones((5, 2)), verbose=0)
    assert inner.optimizer.iterations == 0
