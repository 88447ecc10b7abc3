"""L-BFGS: against scipy's on the same problems, scikit-learn's MLP among them; its line search; files and resumes."""

from __future__ import annotations

import itertools
import math
import pathlib
from typing import Any

import numpy as np
import pytest

import nncore as nn
from nncore.callbacks import BackupAndRestore, LambdaCallback
from nncore.regularizers import L2
from nncore.training import full_batch
from nncore.training.full_batch import Point, cubic, direction, search

Array = np.ndarray[Any, Any]


def blobs(n: int = 120, inputs: int = 6, classes: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, n)
    return rng.standard_normal((n, inputs)) + 1.5 * rng.standard_normal((classes, inputs))[labels], labels


def classifier(hidden: tuple[int, ...], alpha: float, optimizer: Any, rows: int, threads: int = 1) -> nn.Model:
    """As scikit-learn's: tanh, softmax, α / 2n Σ w² on kernels."""
    penalty = L2(alpha / 2 / rows)
    layers = [nn.Dense(units, "tanh", kernel_regularizer=penalty) for units in hidden]
    last = nn.Dense(3, "softmax", kernel_regularizer=penalty)
    model = nn.Model([nn.Input(6), *layers, last], seed=4, dtype="float64", n_threads=threads)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def test_logistic_regression_is_solved_to_the_one_optimum() -> None:
    """A convex problem: scipy's optimum, weight by weight."""
    scipy = pytest.importorskip("scipy.optimize", reason="SciPy is not installed: nothing to compare with")
    x, labels = blobs()
    model = classifier((), 1.0, nn.optimizers.LBFGS(gtol=1e-9, ftol=0), len(x))
    history = model.fit(x, labels, epochs=500, verbose=0).history

    def function(flat: Array) -> tuple[float, Array]:
        w, b = flat[:18].reshape(6, 3), flat[18:]
        z = x @ w + b
        p = np.exp(z - z.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        hot = np.eye(3)[labels]
        value = -np.log(p[hot > 0]).mean() + (w**2).sum() / 2 / len(x)
        return value, np.r_[(x.T @ (p - hot) / len(x) + w / len(x)).ravel(), (p - hot).mean(0)]

    best = scipy.minimize(function, np.zeros(21), jac=True, method="L-BFGS-B", options={"gtol": 1e-10, "ftol": 0})
    assert history["loss"][-1] == pytest.approx(best.fun, rel=1e-12)
    assert len(history["loss"]) < 100
    np.testing.assert_allclose(model.get_weights()[0], best.x[:18].reshape(6, 3), atol=1e-6)


@pytest.mark.parametrize("batch", [1000, 50])
def test_networks_of_scikit_learn(batch: int) -> None:
    """From the same weights: as low a loss as scipy's within its tolerance, in about as many iterations."""
    sklearn = pytest.importorskip("sklearn.neural_network", reason="scikit-learn is not installed: nothing to compare")
    x, labels = blobs()
    peer = sklearn.MLPClassifier((8,), "tanh", solver="lbfgs", alpha=1.0, max_iter=2000, tol=1e-7, random_state=3)
    peer.fit(x, labels)
    theirs = peer.loss_
    model = classifier((8,), 1.0, nn.optimizers.LBFGS(gtol=1e-7, ftol=1e-13), len(x))
    found = []
    for seed in range(3):  # a network has several optima
        rng = np.random.default_rng(seed)
        model.set_weights([rng.uniform(-1, 1, w.shape) * math.sqrt(2 / sum(w.shape)) for w in model.get_weights()])
        model.compile(nn.optimizers.LBFGS(gtol=1e-7, ftol=1e-13), "sparse_categorical_crossentropy")
        history = model.fit(x, labels, batch_size=batch, epochs=2000, verbose=0).history["loss"]
        assert all(b <= a for a, b in itertools.pairwise(history))
        found.append(history[-1])
        assert len(history) < 4 * peer.n_iter_
    assert min(found) <= theirs + 1e-3 * abs(theirs)


def test_it_ends_by_itself_where_the_gradient_is_small() -> None:
    x, labels = blobs()
    model = classifier((), 1.0, nn.optimizers.LBFGS(gtol=1e-3, ftol=0), len(x))
    epochs = len(model.fit(x, labels, epochs=500, verbose=0).epoch)
    assert epochs < 60 and model.stop_training
    assert len(model.fit(x, labels, epochs=500, verbose=0).epoch) == 1


def test_bits_are_the_same_for_any_number_of_threads() -> None:
    x, labels = blobs()
    found = []
    for threads in (1, 2):
        model = classifier((30,), 0.1, nn.optimizers.LBFGS(), len(x), threads)
        model.fit(x, labels, epochs=8, verbose=0)
        found.append(model.get_weights())
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


def test_saved_and_resumed(tmp_path: pathlib.Path) -> None:
    x, labels = blobs()
    whole = classifier((5,), 0.1, nn.optimizers.LBFGS(4), len(x))
    whole.fit(x, labels, epochs=12, verbose=0)
    half = classifier((5,), 0.1, nn.optimizers.LBFGS(4), len(x))
    half.fit(x, labels, epochs=7, verbose=0)
    half.save(tmp_path / "m")
    loaded = nn.load_model(tmp_path / "m")
    loaded.fit(x, labels, epochs=5, verbose=0)

    def stop(epoch: int, logs: Any) -> None:
        if epoch == 7:
            raise KeyboardInterrupt

    broken = classifier((5,), 0.1, nn.optimizers.LBFGS(4), len(x))
    with pytest.raises(KeyboardInterrupt):
        callbacks = [LambdaCallback(on_epoch_begin=stop), BackupAndRestore(tmp_path / "b")]
        broken.fit(x, labels, epochs=12, verbose=0, callbacks=callbacks)
    resumed = classifier((5,), 0.1, nn.optimizers.LBFGS(4), len(x))
    resumed.fit(x, labels, epochs=12, verbose=0, callbacks=[BackupAndRestore(tmp_path / "b")])
    for other in (loaded, resumed):
        assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), other.get_weights(), strict=True))


def test_what_a_callback_writes_into_the_state_is_read() -> None:
    """The same as between two fits."""
    x, labels = blobs()
    parts, whole = (classifier((5,), 0.1, nn.optimizers.LBFGS(4), len(x)) for _ in range(2))

    def clear(model: nn.Model) -> None:
        for array in model.optimizer_state.values():
            array[...] = 0

    parts.fit(x, labels, epochs=7, verbose=0)
    clear(parts)
    parts.fit(x, labels, epochs=5, verbose=0)
    callback = LambdaCallback(on_epoch_end=lambda epoch, logs: clear(whole) if epoch == 6 else None)
    whole.fit(x, labels, epochs=12, verbose=0, callbacks=[callback])
    assert all(np.array_equal(a, b) for a, b in zip(whole.get_weights(), parts.get_weights(), strict=True))


def test_an_interrupted_search_leaves_the_weights_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    x, labels = blobs()
    model = classifier((5,), 0.1, nn.optimizers.LBFGS(4), len(x))
    model.fit(x, labels, epochs=3, verbose=0)
    before, trials = model.get_weights(), []
    evaluate = full_batch.Evaluator.__call__

    def interrupted(self: Any, weights: Array) -> Any:
        trials.append(evaluate(self, weights))
        if len(trials) == 2:
            raise KeyboardInterrupt
        return trials[-1]

    monkeypatch.setattr(full_batch.Evaluator, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, labels, epochs=3, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_a_bar_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    x, labels = blobs()
    model = classifier((5,), 0.1, nn.optimizers.LBFGS(4), len(x))
    model.fit(x, labels, epochs=2, verbose=2, validation_split=0.2)
    assert "Epoch 2/2" in capsys.readouterr().out


def test_single_steps_are_refused() -> None:
    x, labels = blobs()
    model = classifier((), 1.0, nn.optimizers.LBFGS(), len(x))
    for action in (
        lambda: model.train_on_batch(x, labels),
        lambda: model.train_on_batch(x, grad=np.zeros((len(x), 3))),
        lambda: model.find_learning_rate(x, labels),
    ):
        with pytest.raises(ValueError, match="optimizer: expected one of single steps, got LBFGS, which needs fit"):
            action()
    with pytest.raises(ValueError, match="LBFGS"):
        nn.optimizers.LBFGS().apply([x], [x])
    assert model.evaluate(x, labels, verbose=0) > 0
    assert repr(nn.optimizers.LBFGS(3)).startswith("LBFGS(history_size=3, gtol=1e-05")


def test_directions_solve_quadratics() -> None:
    """With n exact pairs the direction is that of Newton."""
    rng = np.random.default_rng(0)
    root = rng.standard_normal((5, 5))
    hessian, gradient = root @ root.T + np.eye(5), rng.standard_normal(5)
    values, vectors = np.linalg.eigh(hessian)
    increments = list(vectors.T)  # conjugate
    changes = [hessian @ s for s in increments]
    np.testing.assert_allclose(direction(gradient, increments, changes), -np.linalg.solve(hessian, gradient))
    np.testing.assert_allclose(direction(gradient, [], []), -gradient)
    flat = direction(gradient, [np.ones(5), *increments], [np.zeros(5), *changes])
    np.testing.assert_allclose(flat, -np.linalg.solve(hessian, gradient)), values


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 100.0])
@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda t: (t - 1) ** 2, lambda t: 2 * (t - 1)),
        (lambda t: -t / (t * t + 2), lambda t: (t * t - 2) / (t * t + 2) ** 2),  # Moré & Thuente's first
        (lambda t: (t + 0.004) ** 5 - 2 * (t + 0.004) ** 4, lambda t: 5 * (t + 0.004) ** 4 - 8 * (t + 0.004) ** 3),
        (lambda t: math.inf if t > 2 else -t, lambda t: -1.0),
    ],
)
def test_searches_meet_the_conditions_of_wolfe(function: Any, slope: Any, first: float) -> None:
    def at(t: float) -> Point:
        return Point(t, function(t), slope(t), np.zeros(1))

    start = at(0.0)
    found = search(at, start, first, 60)
    assert found.loss <= start.loss + 1e-4 * found.step * start.slope
    if math.isfinite(function(10.0)):
        assert abs(found.slope) <= 0.9 * abs(start.slope)


def test_the_cubic_of_two_points() -> None:
    def at(t: float) -> Point:
        return Point(t, t**3 - 3 * t, 3 * t * t - 3, np.zeros(1))

    assert cubic(at(0.0), at(3.0)) == pytest.approx(1)
    assert cubic(at(3.0), at(0.0)) == pytest.approx(1)
    assert cubic(at(0.0), at(1.01)) == pytest.approx(0.505)  # too close to an end


@pytest.mark.parametrize("kind", ["mask", "ignored", "weights", "sum"])
def test_a_loss_that_is_no_mean_over_samples_is_of_all_rows(kind: str) -> None:
    """However many are computed at once: the weights are those of a single batch."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((30, 5, 4))
    x[np.arange(5) >= rng.integers(1, 6, 30)[:, None]] = 0
    labels = (x[..., 0] > x[..., 1]) + (x.any(-1) * rng.integers(0, 2, (30, 5)))
    reduction = {"weights": "mean_with_sample_weight", "sum": "sum"}.get(kind, "sum_over_batch_size")
    ignored = 2 if kind == "ignored" else None
    found = []
    for batch in (30, 7):
        first = [nn.Masking()] if kind == "mask" else []
        model = nn.Model([nn.Input((5, 4)), *first, nn.Dense(3, "softmax")], seed=1, dtype="float64")
        loss = nn.losses.SparseCategoricalCrossentropy(ignore_class=ignored, reduction=reduction)
        model.compile(nn.optimizers.LBFGS(), loss)
        weight = np.linspace(0.1, 2, 30) if kind == "weights" else None
        model.fit(x, labels, sample_weight=weight, batch_size=batch, epochs=5, verbose=0)
        found.append(model.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-9)
