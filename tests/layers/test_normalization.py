"""Layers that normalize, disturb or reorder: values and gradients against formulas, statistics, threads, files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore.execution import team

Array = NDArray[Any]
RNG = np.random.default_rng(12)

#: A layer of each kind in a shape of samples.
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "batch": (lambda: nn.BatchNormalization(epsilon=0.01), (5,)),
    "batch of rows": (lambda: nn.BatchNormalization(momentum=0.5, epsilon=0.1), (3, 4)),
    "batch of channels": (lambda: nn.BatchNormalization(axis=1, epsilon=0.1), (3, 4)),
    "batch without learning": (lambda: nn.BatchNormalization(center=False, scale=False, epsilon=0.1), (5,)),
    "batch frozen": (lambda: nn.BatchNormalization(trainable=False), (5,)),
    "layer": (lambda: nn.LayerNormalization(epsilon=0.1), (5,)),
    "layer of first axes": (lambda: nn.LayerNormalization(axis=[1, 2], epsilon=0.1), (2, 3, 4)),
    "layer of axes apart": (lambda: nn.LayerNormalization(axis=[-1, 1], epsilon=0.1), (2, 3, 4)),
    "groups": (lambda: nn.GroupNormalization(groups=3, epsilon=0.1), (6,)),
    "groups of rows": (lambda: nn.GroupNormalization(groups=2, epsilon=0.1), (5, 4)),
    "groups of channels": (lambda: nn.GroupNormalization(groups=2, axis=1, epsilon=0.1, scale=False), (4, 5)),
    "instances": (lambda: nn.GroupNormalization(groups=-1, epsilon=0.1, center=False), (5, 3)),
    "root mean square": (lambda: nn.RMSNormalization(epsilon=0.1), (5,)),
    "root mean square of axes": (lambda: nn.RMSNormalization(axis=[1, 2], epsilon=0.1), (2, 3, 4)),
    "unit": (lambda: nn.UnitNormalization(), (5,)),
    "unit of axes": (lambda: nn.UnitNormalization(axis=[1, 2]), (2, 3)),
    "permuted": (lambda: nn.Permute((3, 1, 2)), (2, 3, 4)),
    "repeated": (lambda: nn.RepeatVector(3), (5,)),
    "spatial dropout": (lambda: nn.SpatialDropout1D(0.3), (3, 4)),
    "Gaussian dropout": (lambda: nn.GaussianDropout(0.3), (5,)),
    "Gaussian noise": (lambda: nn.GaussianNoise(0.3), (5,)),
    "alpha dropout": (lambda: nn.AlphaDropout(0.3), (5,)),
    "each step": (lambda: nn.TimeDistributed(nn.Dense(3, "tanh")), (3, 4)),
    "moments of each step": (lambda: nn.TimeDistributed(nn.BatchNormalization(epsilon=0.1)), (3, 4)),
    "dropout of each step": (lambda: nn.TimeDistributed(nn.Dropout(0.3)), (3, 4)),
    "one step": (lambda: nn.TimeDistributed(nn.LayerNormalization(epsilon=0.1)), (1, 4)),
    "scale": (lambda: nn.layers.Scale(), (3, 4)),
    "parametric activation": (lambda: nn.layers.ParametricActivation("mish"), (5,)),
    "periodic": (lambda: nn.layers.PeriodicEmbedding(5, 3, 0.5), (4,)),
    "periodic with pieces": (lambda: nn.layers.PeriodicEmbedding(5, 3, knots=[(-0.7, 0.1, 0.4), (-1, 0, 1)]), (2,)),
    "einsum": (lambda: nn.EinsumDense("ab,bc->ac", 3, "tanh", bias_axes="c"), (4,)),
    "einsum over an axis": (lambda: nn.EinsumDense("...x,xy->...y", (None, 3), bias_axes="y"), (2, 4)),
    "einsum over a middle axis": (lambda: nn.EinsumDense("abc,bd->adc", (5, 4), bias_axes="d"), (3, 4)),
    "einsum of positions": (lambda: nn.EinsumDense("abc,bcd->abd", (3, 2), bias_axes="bd"), (3, 4)),
    "einsum of last positions": (lambda: nn.EinsumDense("abc,cbd->adc", (2, 4)), (3, 4)),
    "einsum to two axes": (lambda: nn.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="de"), (3, 4)),
    "einsum from two axes": (lambda: nn.EinsumDense("abcd,cde->abe", (None, 5), "relu", bias_axes="e"), (2, 3, 4)),
    "einsum by a transposed kernel": (lambda: nn.EinsumDense("abc,dc->abd", (None, 5), "tanh", bias_axes="d"), (3, 4)),
    "einsum from two axes, transposed": (lambda: nn.EinsumDense("abcd,edb->ace", (None, 5), "relu"), (2, 3, 4)),
    "einsum before open axes": (lambda: nn.EinsumDense("ab...,bcd->acd...", (2, 5), bias_axes="d"), (3, 2, 2)),
    "einsum that moves axes": (lambda: nn.EinsumDense("abc,cd->adb", (5, None), bias_axes="b"), (3, 4)),
}
KINDS = pytest.mark.parametrize("kind", LAYERS)


def model_of(kind: str, **settings: Any) -> nn.Model:
    """The layer between two that learn."""
    make, shape = LAYERS[kind]
    layers = [nn.Input(shape), nn.Dense(shape[-1], "tanh"), make(), nn.Flatten(), nn.Dense(2)]
    model = nn.Model(layers, seed=4, **settings)
    networks.randomize(model)
    for layer in model.layers:
        if isinstance(layer, nn.BatchNormalization):
            layer.moving_variance.assign(abs(layer.moving_variance.numpy()) + 0.5)
    return model


def data_of(kind: str, rows: int = 11) -> tuple[Array, Array]:
    rng = np.random.default_rng(rows)
    return rng.normal(size=(rows, *LAYERS[kind][1])), rng.normal(size=(rows, 2))


@KINDS
@pytest.mark.parametrize("isa", ["portable", nn.isa()])
def test_values_and_gradients(kind: str, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions by the formula, the gradient of a step by differences of its loss."""
    networks.use_isa(isa, monkeypatch)
    model, (x, t) = model_of(kind, dtype="float64"), data_of(kind)
    accuracy = 1e-5 if "Gaussian" in kind else 1e-11
    np.testing.assert_allclose(model.predict(x), networks.forward(model, model.get_weights(), x), 1e-11, 1e-12)
    np.testing.assert_allclose(
        model(x, training=True).shape, networks.forward(model, model.get_weights(), x, step=0).shape
    )
    model.compile(nn.SGD(1.0), "mse")
    expected = networks.numerical_gradients(model, x, t, step=0)
    statistics = [p.role == "statistic" for p in model.weights]
    value = networks.objective(model, model.get_weights(), x, t, step=0)
    found_value, found = networks.gradients(model, x, t)
    assert found_value == pytest.approx(value, rel=accuracy)
    for a, b, statistic in zip(found, expected, statistics, strict=True):
        if not statistic:
            np.testing.assert_allclose(a, b, max(1e-6, accuracy), max(1e-8, accuracy))


@KINDS
def test_float32_is_the_rounded_float64(kind: str) -> None:
    found = []
    for dtype in ("float32", "float64"):
        model, (x, t) = model_of(kind, dtype=dtype), data_of(kind, 40)
        model.compile(nn.SGD(0.1), "mse")
        model.fit(x, t, batch_size=16, epochs=3, verbose=0, shuffle=False)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, 2e-3, 2e-4)


@KINDS
def test_bits_are_those_of_any_number_of_threads(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 1)
    found = []
    for threads in (1, 2):
        model, (x, t) = model_of(kind, n_threads=threads), data_of(kind, 300)
        model.compile("adam", "mse")
        model.fit(x, t, batch_size=128, epochs=2, verbose=0)
        found.append([*model.get_weights(), model.predict(x), np.concatenate([model(x[:7]), model(x[7:])])])
    for a, b in zip(*found, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(found[0][-2], found[0][-1])  # a row has the same bits in any batch


@KINDS
def test_saved_loaded_and_taken_up_again(kind: str, tmp_path: Path) -> None:
    x, t = data_of(kind, 40)
    whole, first = model_of(kind), model_of(kind)
    for model in (whole, first):
        model.compile("adam", "mse")
    whole.fit(x, t, batch_size=16, epochs=4, verbose=0)
    first.fit(x, t, batch_size=16, epochs=2, verbose=0)
    first.save(tmp_path / "model")
    again = nn.load_model(tmp_path / "model")
    again.fit(x, t, batch_size=16, epochs=4, initial_epoch=2, verbose=0)
    for a, b in zip(whole.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_statistics_follow_the_batches() -> None:
    """In float64, by hand: two steps, of which the second one is abandoned."""
    x = RNG.normal(size=(2, 16, 3)) * [1, 2, 3] + [5, -3, 0]
    layer = nn.BatchNormalization(momentum=0.75)
    model = nn.Model([nn.Input(3), layer], dtype="float64")
    model.compile(nn.SGD(0.0), "mse")
    model.train_on_batch(x[0], x[0])
    mean, variance = 0.25 * x[0].mean(0), 0.75 + 0.25 * x[0].var(0)
    np.testing.assert_allclose(layer.moving_mean, mean, 1e-13)
    np.testing.assert_allclose(layer.moving_variance, variance, 1e-13)
    with pytest.raises(ValueError, match="the step was not applied"):
        model.train_on_batch(x[1], x[1] * np.nan)
    np.testing.assert_allclose(layer.moving_mean, mean, 1e-13)
    model(x[1], training=True)
    np.testing.assert_allclose(layer.moving_mean, 0.75 * mean + 0.25 * x[1].mean(0), 1e-13)
    model.evaluate(x[1], x[1], verbose=0)
    model.predict(x[1])
    np.testing.assert_allclose(layer.moving_mean, 0.75 * mean + 0.25 * x[1].mean(0), 1e-13)
    assert [p.name for p in layer.non_trainable_weights] == ["moving_mean", "moving_variance"]
    assert [w.shape for w in layer.get_weights()] == [(3,)] * 4


def test_a_large_mean_does_not_cancel() -> None:
    x = (RNG.normal(size=(1000, 3)) + 1e4).astype(np.float32)
    y = nn.BatchNormalization(epsilon=1e-9)(x, training=True)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(y, (exact - exact.mean(0)) / exact.std(0), atol=3e-3)


def test_moments_of_many_rows_are_those_of_float64() -> None:
    """A mean of 1000 deviations, over 65,001 rows: chunks are joined without loss."""
    x = (RNG.normal(size=(65_001, 5)) * [1, 1, 0.1, 1, 1] + [0, 1e3, 1e2, -1e3, 3]).astype(np.float32)
    layer = nn.BatchNormalization(momentum=0.0, epsilon=1e-6)
    layer(x, training=True)
    mean, variance = (w.astype(np.float64) for w in layer.get_weights()[2:])
    np.testing.assert_allclose(mean, x.mean(0, dtype=np.float64), 1e-7, 1e-8)
    np.testing.assert_allclose(variance, x.var(0, dtype=np.float64), 3e-6)


def test_against_pytorch() -> None:
    torch = pytest.importorskip("torch")
    x = RNG.normal(size=(64, 10))
    layer = nn.BatchNormalization(momentum=0.9, epsilon=1e-5)
    model = nn.Model([nn.Input(10), layer], dtype="float64")
    theirs = torch.nn.BatchNorm1d(10, dtype=torch.float64)
    np.testing.assert_allclose(model(x, training=True), theirs(torch.tensor(x)).detach(), 1e-10)
    np.testing.assert_allclose(layer.moving_mean, theirs.running_mean, 1e-12)
    np.testing.assert_allclose(layer.moving_variance.numpy() - 0.9, (theirs.running_var - 0.9) * 63 / 64, 1e-10)
    group = torch.nn.functional.group_norm(torch.tensor(x), 5, eps=1e-3)
    np.testing.assert_allclose(nn.GroupNormalization(5)(x.astype(np.float32)), group, 1e-4, 1e-5)


def test_noise_has_the_moments_that_it_should() -> None:
    nn.set_random_seed(3)
    x = np.ones((400, 500))
    noise = nn.GaussianNoise(0.5)(x, training=True) - 1
    assert abs(noise.mean()) < 0.005 and abs(noise.std() - 0.5) < 0.005 and 2 < abs(noise).max() < 2.76
    factors = nn.GaussianDropout(0.2)(x, training=True)
    assert abs(factors.mean() - 1) < 0.005 and abs(factors.std() - 0.5) < 0.005
    normal = RNG.normal(size=(400, 500))
    y = nn.AlphaDropout(0.1)(normal, training=True)
    assert abs(y.mean()) < 0.01 and abs(y.std() - 1) < 0.01
    steps = nn.SpatialDropout1D(0.5)(np.ones((50, 7, 30)), training=True)
    assert (steps == steps[:, :1]).all() and abs((steps[:, 0] == 0).mean() - 0.5) < 0.05


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.BatchNormalization(axis=0), "axis: expected a whole number other than 0"),
        (lambda: nn.BatchNormalization(axis=[1, 2]), "axis: expected one whole number"),
        (lambda: nn.BatchNormalization(momentum=1.5), r"momentum: expected a number in \[0, 1\]"),
        (lambda: nn.BatchNormalization(epsilon=0), "epsilon: expected a finite number > 0"),
        (lambda: nn.BatchNormalization(axis=[1, 2]), r"axis: expected one whole number other than 0 .*, got \[1, 2\]"),
        (lambda: nn.GroupNormalization(axis=(1, 2)), r"axis: expected one whole number other than 0 .*, got \[1, 2\]"),
        (lambda: nn.BatchNormalization(axis=3)(np.ones((2, 3))), "BatchNormalization: expected axes of inputs"),
        (lambda: nn.GroupNormalization(groups=0), "groups: expected a whole number > 0"),
        (lambda: nn.GroupNormalization(2)(np.ones((2, 3))), "expected groups that divide the 3 features"),
        (lambda: nn.LayerNormalization(axis=5)(np.ones((2, 3))), "LayerNormalization: expected axes of inputs"),
        (lambda: nn.UnitNormalization(axis=0), "axis: expected a whole number other than 0"),
        (lambda: nn.GaussianNoise(-1), "stddev: expected a finite number ≥ 0"),
        (lambda: nn.GaussianDropout(1), r"rate: expected a number in \[0, 1\)"),
        (lambda: nn.SpatialDropout1D(0.5)(np.ones((2, 3))), r"SpatialDropout1D: expected inputs \(batch, steps"),
        (lambda: nn.Permute((0, 1)), "dims: expected a permutation of 1, 2"),
        (lambda: nn.Permute((2, 1))(np.ones((2, 3))), "Permute: expected inputs with 2 axes behind the batch"),
        (lambda: nn.TimeDistributed(nn.Add()), "layer: expected one that reads one input"),
        (lambda: nn.TimeDistributed(nn.Dense(2))(np.ones((2, 3))), r"TimeDistributed: expected inputs \(batch, steps"),
        (lambda: nn.EinsumDense("abc", 3)(np.ones((2, 3, 4))), "equation: expected one such as"),
        (lambda: nn.EinsumDense("abc,bdc->abd", (3, 2))(np.ones((2, 3, 4))), "kernel's axes come in this order.*'bcd'"),
        (
            lambda: nn.EinsumDense("abc,ecd->abde", (3, 2, 2))(np.ones((2, 3, 4))),
            "this order.*'ced'; the last two in any",
        ),
        (lambda: nn.EinsumDense("ab,bc->cb", 3)(np.ones((2, 3))), "first axis of input and output is the batch"),
        (lambda: nn.EinsumDense("abc,cd->ad", 3)(np.ones((2, 3, 4))), "Each axis is one of two operands"),
        (lambda: nn.EinsumDense("ab,bc->ac", None)(np.ones((2, 3))), "expected a size for the axis 'c'"),
        (lambda: nn.EinsumDense("abc,cd->abd", (2, 5))(np.ones((2, 3, 4))), "expected sizes of the axes 'bd' that fit"),
        (lambda: nn.EinsumDense("ab,bc->ac", 3, bias_axes="z"), "bias_axes: expected letters of the equation"),
        (lambda: nn.RepeatVector(2)(np.ones((2, 3, 4))), r"RepeatVector: expected inputs \(batch, features\)"),
    ],
)
def test_what_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_arguments_by_position() -> None:
    """As many as Keras's, in its order."""
    group = nn.GroupNormalization(2, -1, 1e-2, False, True, "zeros", "ones", "l2", "l1")
    assert (group.groups, group.epsilon, group.center, group.scale) == (2, 1e-2, False, True)
    assert type(group.beta_regularizer) is type(nn.regularizers.get("l2"))
    batch = nn.BatchNormalization(-1, 0.9, 1e-2, True, False, "zeros", "ones", "ones", "zeros", "l2", None, "max_norm")
    assert batch.momentum == 0.9 and not batch.scale and batch.beta_constraint is not None
    assert nn.BatchNormalization(renorm=False, renorm_clipping=None, renorm_momentum=0.99).center
    with pytest.raises(TypeError, match="rms_scaling: .*RMSNormalization"):
        nn.LayerNormalization(rms_scaling=True)


@pytest.mark.parametrize(
    ("knots", "got"),
    [
        ([0.0, 1.0], r"got shape \(2,\)"),
        ([[0.0], [1.0]], r"got shape \(2, 1\)"),
        ([[0.0, 1.0], [1.0, 0.5]], r"got row 1: \[1.0, 0.5\]$"),
        ([[0.0, float("inf")]], r"got row 0: \[0.0, inf\]"),
        ([[3.0, 1.0], [4.0, 2.0]], r"got row 0: \[3.0, 1.0\]. Is a column of these for each\? Give knots.T$"),
        ([[0.0, 1.0], [2.0]], "got"),
        ("ab", "got 'ab'"),
    ],
)
def test_knots_that_are_none(knots: Any, got: str) -> None:
    with pytest.raises(ValueError, match="knots: expected finite, ascending numbers of shape .*" + got):
        nn.layers.PeriodicEmbedding(knots=knots)


def test_frequencies_of_several_scales() -> None:
    """ln|w| is that of a normal number plus a uniform one; the parameter has 2 w, in half periods."""
    layer = nn.layers.PeriodicEmbedding(50_000, 2, (0.05, 0.8))
    layer.build((None, 1))
    logs = np.log(np.abs(layer.frequency.numpy() / 2)).ravel()
    normal, width = np.pi**2 / 8, np.log(0.8 / 0.05)  # the variance of ln|N|; its mean is −(γ + ln 2) / 2
    mean = (np.log(0.05) + np.log(0.8)) / 2 - (np.euler_gamma + np.log(2)) / 2
    np.testing.assert_allclose([logs.mean(), logs.var()], [mean, normal + width**2 / 12], rtol=0.02)


@pytest.mark.parametrize("stddev", [(0.1,), (0.2, 0.1), (0.0, 1.0), (0.1, float("inf")), (0.1, "a"), (0.1, 0.2, 0.3)])
def test_standard_deviations_that_are_none(stddev: Any) -> None:
    with pytest.raises(ValueError, match="stddev: expected one ≥ 0, or two > 0 in ascending order, got"):
        nn.layers.PeriodicEmbedding(stddev=stddev)


def test_knots_of_other_numbers() -> None:
    with pytest.raises(ValueError, match="knots: expected those of 3 numbers, as inputs have, got 2"):
        nn.layers.PeriodicEmbedding(knots=[[0, 1], [0, 1]])(nn.Input(3))


def test_knots_at_one_place_have_no_piece() -> None:
    """However near, nothing that rounding decides, and nothing infinite."""
    layer = nn.layers.PeriodicEmbedding(1, 2, knots=[[0, 0, 1e-9, 1], [5, 5, 5, 5], [1e-40, 2e-40, 3e-40, 4e-40]])
    x = np.array([[1.0, 5.0, 1.0]], np.float32)
    layer.build((None, 3))
    kernel = np.zeros((3, 4, 1), np.float32)
    kernel[:, 1:, 0] = [1, 2, 4]
    layer.kernel.assign(kernel)
    np.testing.assert_array_equal(layer(x)[0, :3] - layer.bias.numpy()[:, 0], [4, 0, 0])


def test_no_knot_is_so_large_that_it_warns() -> None:
    """Widths that are infinite have no piece; infinite knots are refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = nn.Model([nn.Input(1), nn.layers.PeriodicEmbedding(1, 2, knots=[[-1.7e308, 1.7e308]])])
        assert np.isfinite(model.predict(np.ones((2, 1)))).all()
        with pytest.raises(ValueError, match="knots: expected finite"):
            nn.layers.PeriodicEmbedding(knots=[[np.inf, np.inf]])
