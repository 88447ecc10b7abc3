"""Masks that layers are called with: of arrays, and of symbols."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nncore as nn

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(17)
X = RNG.standard_normal((3, 4, 2))
COUNTS = np.array([[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]], bool)


def means(x: Array, counts: Array) -> Array:
    """Of the steps that count; 0 where none does."""
    return np.asarray((x * counts[..., None]).sum(1) / np.maximum(counts.sum(1), 1)[:, None])


def softmax(z: Array, counts: Array) -> Array:
    """Of what counts along the last axis."""
    e = np.exp(z) * counts
    return np.asarray(e / np.maximum(e.sum(-1, keepdims=True), 1e-30))


@pytest.mark.parametrize("mask", [COUNTS, COUNTS * 2.5, COUNTS.astype(int).tolist()])
def test_a_mean_of_an_array(mask: Any) -> None:
    layer = nn.GlobalAveragePooling1D()
    np.testing.assert_allclose(layer(X, mask=mask), means(X, COUNTS), rtol=1e-12)
    np.testing.assert_allclose(layer(X), X.mean(1), rtol=1e-12)
    assert layer(X.astype(np.float32), mask=mask).dtype == np.float32


def test_a_mask_in_the_place_that_keras_has_for_it() -> None:
    np.testing.assert_allclose(nn.GlobalAveragePooling1D()(X, COUNTS), means(X, COUNTS), rtol=1e-12)
    np.testing.assert_allclose(nn.Softmax()(X[0], COUNTS[:2].T[:, :2]), softmax(X[0], COUNTS[:2].T[:, :2]), rtol=1e-12)


def test_a_mask_of_all_samples() -> None:
    np.testing.assert_allclose(nn.GlobalAveragePooling1D()(X, mask=COUNTS[:1]), X[:, [0, 2, 3]].mean(1), rtol=1e-12)


@pytest.mark.parametrize("axis", [-1, 1, (1, 2)])
def test_softmax_of_what_counts(axis: Any) -> None:
    counts = RNG.random((3, 4, 5)) < 0.6
    counts[0] = False
    z = RNG.standard_normal((3, 4, 5)) * 30
    last = [axis] if isinstance(axis, int) else list(axis)
    behind = list(range(3 - len(last), 3))
    moved, those = np.moveaxis(z, last, behind), np.moveaxis(counts, last, behind)
    rows = (*moved.shape[: 3 - len(last)], -1)
    wanted = np.moveaxis(softmax(moved.reshape(rows), those.reshape(rows)).reshape(moved.shape), behind, last)
    np.testing.assert_allclose(nn.Softmax(axis)(z, mask=counts), wanted, rtol=1e-11, atol=1e-300)


def test_a_softmax_of_rows_that_share_a_mask() -> None:
    z, counts = RNG.standard_normal((3, 4, 5)), np.array([1, 1, 0, 1, 0], bool)
    for mask in (counts, counts[None], counts[None, None]):
        np.testing.assert_allclose(nn.Softmax()(z, mask=mask), softmax(z, counts), rtol=1e-12)
    earlier = np.tril(np.ones((5, 5)))  # of queries and keys
    scores = RNG.standard_normal((5, 5, 5))
    np.testing.assert_allclose(nn.Softmax()(scores, mask=earlier), softmax(scores, earlier), rtol=1e-12)


def test_a_softmax_behind_steps_that_are_masked() -> None:
    """Of features, where the mask is of steps, as without; of steps, by the mask."""
    ids = np.array([[1, 2, 0], [0, 0, 0]])
    table = RNG.standard_normal((3, 2))
    steps = nn.Embedding(3, 2, mask_zero=True, weights=table)
    model = nn.Model([nn.Input(3), steps, nn.Softmax()], dtype="float64")
    np.testing.assert_allclose(model.predict(ids), softmax(table[ids], np.ones(2)), rtol=1e-12)
    flat = nn.Model([nn.Input((3, 2)), nn.Masking(), nn.Softmax(1)], dtype="float64")
    x = table[ids] * (ids != 0)[..., None]
    wanted = np.moveaxis(softmax(np.moveaxis(x, 1, 2), np.array([[1, 1, 0], [0, 0, 0]])[:, None]), 2, 1)
    np.testing.assert_allclose(flat.predict(x), wanted, rtol=1e-12)


def test_gradients_of_a_masked_softmax() -> None:
    """By differences of the loss in float64."""
    x, mask, y = nn.Input(4), nn.Input(4), RNG.random((3, 4))
    model = nn.Model([x, mask], nn.Softmax()(nn.Dense(4)(x), mask=mask), dtype="float64", seed=1)
    model.compile("sgd", "mse")  # for which all elements count: those of the softmax are 0
    data = [RNG.standard_normal((3, 4)), COUNTS]
    assert model.evaluate(data, y, verbose=0) == pytest.approx(((model.predict(data) - y) ** 2).mean(), rel=1e-12)
    assert nn.check_gradients(model, data, y)


@pytest.mark.parametrize(
    ("layer", "wanted"),
    [
        (nn.Multiply(), lambda x, y: np.where(COUNTS[..., None], x, 1) * y),
        (nn.Maximum(), lambda x, y: np.where(COUNTS[..., None], np.maximum(x, y), y)),
        (nn.Add(), lambda x, y: x + y),
    ],
)
def test_masks_of_several_inputs(layer: nn.Layer, wanted: Any) -> None:
    other = RNG.standard_normal(X.shape)
    np.testing.assert_allclose(layer([X, other], mask=[COUNTS, None]), wanted(X, other), rtol=1e-12)


@pytest.mark.parametrize("counts", [COUNTS, COUNTS & False])
def test_moments_of_a_batch_are_of_what_counts(counts: Array) -> None:
    layer = nn.BatchNormalization(momentum=0.75)
    made = layer(X, training=True, mask=counts)
    kept = X[counts] if counts.any() else np.zeros((1, 2))
    mean, variance = kept.mean(0), kept.var(0)
    np.testing.assert_allclose(made, (X - mean) / np.sqrt(variance + 1e-3), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer.moving_mean, mean / 4, rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, 0.75 + variance / 4, rtol=1e-6)
    again = layer(X, mask=counts)
    np.testing.assert_allclose(again, (X - mean / 4) / np.sqrt(0.751 + variance / 4), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", ["linear", "relu", "silu"])
def test_gradients_of_masked_moments(activation: str) -> None:
    """By differences of the loss in float64, of a few rows and of more than a chunk."""
    for rows in (3, 40):
        ids = RNG.integers(0, 5, (rows, 4))
        table = nn.Embedding(5, 2, mask_zero=True, weights=RNG.standard_normal((5, 2)))
        layers = [nn.BatchNormalization(), nn.Activation(activation), nn.Flatten(), nn.Dense(2)]
        model = nn.Model([nn.Input(4), table, *layers], dtype="float64", seed=3)
        with pytest.warns(UserWarning, match="for Flatten does not support masking"):
            model.compile("sgd", "mse")
        with pytest.warns(UserWarning, match="for Flatten does not support masking"):
            assert nn.check_gradients(model, ids, RNG.standard_normal((rows, 2)))


def test_a_batch_of_which_nothing_is_masked() -> None:
    """It has the moments of all rows."""
    for rows in (1, 3, 50):
        x = RNG.standard_normal((rows, 4, 2))
        layer = nn.BatchNormalization()
        made = layer(x, training=True, mask=np.ones((rows, 4)))
        expected = (x - x.mean((0, 1))) / np.sqrt(x.var((0, 1)) + layer.epsilon)
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


def test_masks_in_models(tmp_path: Path) -> None:
    x, counts = nn.Input((4, 2)), nn.Input((4,), dtype="bool")
    model = nn.Model([x, counts], nn.GlobalAveragePooling1D()(nn.Dropout(0.5)(x, mask=counts)), dtype="float64")
    np.testing.assert_allclose(model.predict([X, COUNTS]), means(X, COUNTS), rtol=1e-12)
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(
        nn.load_model(tmp_path / "m.safetensors").predict([X, COUNTS]), model.predict([X, COUNTS])
    )


def test_a_mask_that_is_given_takes_the_place_of_another() -> None:
    x, counts = nn.Input((4, 2)), nn.Input(4)
    model = nn.Model([x, counts], nn.GlobalAveragePooling1D()(nn.Masking()(x), mask=counts), dtype="float64")
    masked = np.where(RNG.random((3, 4, 1)) < 0.5, 0, X)
    np.testing.assert_allclose(model.predict([masked, COUNTS]), means(masked, COUNTS), rtol=1e-12)


def test_masks_of_layers_that_learn() -> None:
    """Weights are drawn once, whether there is a mask or not; in training, too."""
    layer = nn.Dense(3)
    np.testing.assert_array_equal(layer(X, mask=COUNTS), layer(X))
    np.testing.assert_array_equal(layer(X, training=True, mask=COUNTS), layer(X))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: nn.Flatten()(X, mask=COUNTS), TypeError, "Flatten: mask: expected None for a layer that lets no mask"),
        (lambda: nn.GlobalMaxPooling1D()(X, COUNTS), TypeError, "GlobalMaxPooling1D: mask: expected None for"),
        (lambda: nn.Embedding(3, 2)(COUNTS, mask=COUNTS), TypeError, "Embedding: mask: expected None for a layer"),
        (
            lambda: nn.Dropout(0.5)(X, mask=np.ones((3, 5))),
            ValueError,
            r"expected one of the first axes .*\(None, 4",
        ),
        (lambda: nn.Dropout(0.5)(X, mask=np.ones((2, 4))), ValueError, r"of their lengths or 1, got shape \(2, 4\)"),
        (
            lambda: nn.Softmax()(X[0, :2], mask=np.ones((2, 2, 2))),
            ValueError,
            "Softmax: mask: expected one of the axes, all",
        ),
        (
            lambda: nn.BatchNormalization(1)(X, mask=COUNTS),
            ValueError,
            "mask: expected one of the first axes of",
        ),
        (lambda: nn.Dense(2)(X, mask=X), ValueError, r"first axes of inputs .* got shape \(None, 4, 2\)"),
        (lambda: nn.Add()(X, X), ValueError, "Add: expected a list of arrays, got ndarray"),
        (lambda: nn.Add()(*[nn.Input(4)] * 2), ValueError, "inputs: expected a list, one of each input, got Symbol"),
        (lambda: nn.Add()([X, X], mask=COUNTS), ValueError, "mask: expected a list, one of each input, got ndarray"),
        (lambda: nn.Add()([X, X], mask=[COUNTS]), ValueError, "mask: expected 2, one or None for each input, got 1"),
        (lambda: nn.Dropout(0)(nn.Input((4, 2)), mask=COUNTS), TypeError, "mask: expected a symbol for the symbol"),
        (lambda: nn.Dropout(0)(nn.Input(4), mask=nn.Input(5)), ValueError, r"inputs \(None, 4\).* got shape \(None, 5"),
        (lambda: nn.layers.ApplyMask()([nn.Input(4)] * 3), ValueError, r"expected the list \[X, mask\], got 3 inputs"),
    ],
)
def test_masks_that_do_not_fit(call: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        call()
