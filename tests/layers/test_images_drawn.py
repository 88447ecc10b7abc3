"""What layers for images draw: from which intervals, evenly, for each image, step and layer by itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[Any]
N = 4000
RAMP = np.broadcast_to(np.arange(9.0)[:, None] + 100 * np.arange(9.0), (N, 9, 9))[..., None]  # rows + 100 columns


def assert_even(values: Array, low: float, high: float, error: float = 1e-6) -> None:
    """A sample of an even distribution, by Kolmogorov's distance, at 1 in 10,000; values are known up to an error."""
    assert low - error <= values.min() and values.max() <= high + error
    parts, ranks = (np.sort(values) - low) / (high - low), np.arange(1, len(values) + 1) / len(values)
    assert np.abs(parts - ranks).max() < 2.23 / math.sqrt(len(values)) + error / (high - low)


def assert_independent(a: Array, b: Array) -> None:
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(len(a))


@pytest.mark.parametrize(("factor", "low", "high"), [(0.2, -0.2, 0.2), (-0.2, -0.2, 0.2), ((0.3, -0.1), -0.1, 0.3)])
def test_shifts(factor: Any, low: float, high: float) -> None:
    """In rows: the ramp is even far enough around the center."""
    for down in (True, False):
        factors = (factor, (0.0, 0.0)) if down else ((0.0, 0.0), factor)
        y = nn.RandomTranslation(*factors, seed=1)(RAMP)[:, 4, 4, 0]
        assert_even((404 - y) / (1 if down else 100) / 9, low, high)
    both = nn.RandomTranslation(0.1, 0.1, seed=2, fill_mode="nearest")(np.stack([RAMP % 100, RAMP // 100], -2)[..., 0])
    assert_independent(both[:, 4, 4, 0], both[:, 4, 4, 1])


@pytest.mark.parametrize(("factor", "low", "high"), [(0.1, -0.1, 0.1), ((0.0, 0.5), 0.0, 0.5), (1.0, -1.0, 1.0)])
def test_angles(factor: Any, low: float, high: float) -> None:
    """The pixel to the right of the center is read below it, at the sine of the angle, where that is positive."""
    x = np.stack([RAMP % 100, RAMP // 100], -2)[..., 0]  # row, column
    y = nn.RandomRotation(factor, seed=1)(x)[:, 4, 5] - 4
    turns = np.arctan2(y[:, 0], y[:, 1]) / (2 * np.pi)
    np.testing.assert_allclose(np.hypot(*y.T), 1, 1e-9)
    turns = turns if low < -0.5 else (turns - low) % 1 + low
    assert_even(turns, *((-0.5, 0.5) if low < -0.5 else (low, high)))


def test_zooms() -> None:
    x = np.stack([RAMP % 100, RAMP // 100], -2)[..., 0]

    def zooms(*factors: Any) -> Array:
        return nn.RandomZoom(*factors, seed=1)(x)[:, 5, 5] - 5

    for height, width, bounds in [
        (0.3, (-0.5, 0.1), ((-0.3, 0.3), (-0.5, 0.1))),
        ((0.2, 0.4), None, ((0.2, 0.4),) * 2),
    ]:
        found = zooms(height, width)
        for i in (0, 1):
            assert_even(found[:, i], *bounds[i])
        if width is None:
            np.testing.assert_array_equal(found[:, 0], found[:, 1])
        else:
            assert_independent(found[:, 0], found[:, 1])


def test_flips() -> None:
    """Either with a probability of ½, one without regard to the other."""
    turned = nn.RandomFlip(seed=1)(RAMP)
    down, across = turned[:, 0, 0, 0] % 100 == 8, turned[:, 0, 0, 0] >= 800
    for flips in (down, across, down == across):
        assert abs(flips.mean() - 0.5) < 4 * 0.5 / math.sqrt(N)
    for mode, axis in (("vertical", 1), ("horizontal", 2)):
        turned = nn.RandomFlip(mode, seed=1)(RAMP)
        flips = (turned == np.flip(RAMP, axis)).all((1, 2, 3))
        assert abs(flips.mean() - 0.5) < 4 * 0.5 / math.sqrt(N)
        np.testing.assert_array_equal(turned[~flips], RAMP[~flips])


def test_contrast_and_brightness() -> None:
    x = np.broadcast_to([[[100.0], [120.0]]], (N, 1, 2, 1))
    for factor, low, high in ((0.25, 0.75, 1.25), ((0.1, 0.5), 0.9, 1.5)):
        y = nn.RandomContrast(factor, seed=1)(x)[:, 0, :, 0]
        np.testing.assert_allclose(y.mean(1), 110, 1e-12)
        assert_even((y[:, 1] - y[:, 0]) / 20, low, high)
    for factor, low, high in ((0.2, -0.2, 0.2), ((0.1, 0.3), 0.1, 0.3)):
        assert_even((nn.RandomBrightness(factor, seed=1)(x)[:, 0, 0, 0] - 100) / 255, low, high)
        assert_even(nn.RandomBrightness(factor, (0, 1), seed=1)(x * 0 + 0.5)[:, 0, 0, 0] - 0.5, low, high)


def test_rectangles_that_are_erased() -> None:
    """Squares of their sides are even; they touch all edges; one number is a greatest probability."""
    x = np.ones((N, 100, 200, 1), np.float32)[:1000]
    empty = nn.RandomErasing((1, 1), fill_value=0.0, seed=1)(x)[..., 0] == 0
    rows, columns = empty.any(2), empty.any(1)
    assert (empty == rows[:, :, None] & columns[:, None]).all()
    for sides, n in ((rows, 100), (columns, 200)):
        part = sides.sum(1) / n
        assert_even(part**2, 0.02, 0.33, 1.2 / n)  # of whole pixels
        first = sides.argmax(1) / (n - sides.sum(1))
        assert abs(first.mean() - 0.5) < 0.04 and first.min() < 0.02 and first.max() > 0.98
    assert_independent(rows.sum(1), columns.sum(1))
    small = np.ones((N, 4, 4, 1))
    for factor, probability in ((1.0, 0.5), (0.5, 0.25), ((0.5, 1.0), 0.75), (0.0, 0.0), ((1, 1), 1.0)):
        erased = (nn.RandomErasing(factor, (1.0, 1.0), 0.0, seed=2)(small) == 0).all((1, 2, 3))
        assert abs(erased.mean() - probability) < 4 * 0.5 / math.sqrt(N)
    noise = nn.RandomErasing((1, 1), (1, 1), value_range=(0, 10), seed=3)(np.ones((500, 10, 10, 3)))
    assert abs((noise == 0).mean() - 0.5) < 0.01 and noise.max() == 10
    assert abs((noise > 5).mean() - 0.308538) < 0.01 and abs((noise == 10).mean() - 0.158655) < 0.01


def test_more_of_a_sample_stays_near_the_half() -> None:
    """λ of MixUp for α > 1: ∫ of λ (1 − λ) / B(2, 2) is even for α = 2, that of a semicircle for α = 1.5."""
    given = {"images": np.zeros((500, 1, 1, 1)), "labels": np.eye(500)}
    for alpha in 1.5, 2.0, 30.0:
        layer = nn.MixUp(alpha, seed=1)
        stays = np.concatenate([np.diag(layer(given)["labels"]) for _ in range(8)])
        variance = 1 / (8 * alpha + 4)
        assert abs(stays.mean() - 0.5) < 4 * math.sqrt(variance / N)
        assert abs(stays.var() - variance) < 0.1 * variance
        if alpha == 2:
            assert_even(3 * stays**2 - 2 * stays**3, 0, 1)
        if alpha == 1.5:
            x = 2 * stays - 1
            assert_even(0.5 + (x * np.sqrt(1 - x**2) + np.arcsin(x)) / np.pi, 0, 1)


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.5, 1.0])
def test_how_much_of_a_sample_stays(alpha: float) -> None:
    """λ of Beta(α, α): mean ½, variance 1 / (8 α + 4); 2 arcsin(√λ) / π of α = ½ is even, and λ of α = 1."""
    for layer, side in (nn.MixUp(alpha, seed=1), 1), (nn.CutMix((alpha, alpha), seed=1), 60):
        given = {"images": np.zeros((500, side, side, 1)), "labels": np.eye(500)}
        stays = np.concatenate([np.diag(layer(given)["labels"]) for _ in range(8)])
        variance = 1 / (8 * alpha + 4)
        assert abs(stays.mean() - 0.5) < 4 * math.sqrt(variance / N)
        assert abs(stays.var() - variance) < 0.05 * variance
        if alpha == 0.5 and side == 1:  # not by whole pixels
            assert_even(2 / np.pi * np.arcsin(np.sqrt(stays)), 0, 1)
        if alpha == 1 and side == 1:
            assert_even(stays, 0, 1)


def test_each_batch_is_mixed_with_samples_at_another_distance() -> None:
    layer, n = nn.MixUp(1.0, seed=1), 6
    given = {"images": np.zeros((n, 1, 1, 1)), "labels": np.eye(n)}
    steps = []
    for _ in range(600):
        mixed = layer(given)["labels"]
        others = (mixed - np.diag(np.diag(mixed))).argmax(1)
        [step] = {int(s) for s in (others - np.arange(n)) % n}
        steps.append(step)
    counts = np.bincount(steps, minlength=n)
    assert counts[0] == 0 and (abs(counts[1:] - 120) < 50).all()
    one = nn.MixUp(seed=1)({"images": np.ones((1, 2, 2, 1)), "labels": np.ones((1, 1))})
    np.testing.assert_allclose(one["images"], 1, 1e-12)
    assert nn.CutMix()(np.ones((0, 2, 2, 1))).shape == (0, 2, 2, 1)


def test_each_image_step_and_layer_draws_by_itself() -> None:
    """In the order of the batch: a larger batch has the same numbers before its other ones."""
    x = np.broadcast_to(np.arange(9.0)[None, :, None, None], (50, 9, 3, 1))

    def model(*layers: Any, seed: int = 3) -> nn.Model:
        return nn.Model([nn.Input((9, 3, 1)), *layers], seed=seed, dtype="float64")

    def shifts(m: nn.Model, rows: int = 50) -> Array:
        return m(x[:rows], training=True)[:, 4, 1, 0]

    layer = nn.RandomTranslation
    first = model(layer(0.4, 0.0))
    a, b = shifts(first), shifts(first)
    assert len(set(a)) == 50 and not set(a) & set(b)
    np.testing.assert_array_equal(shifts(model(layer(0.4, 0.0)), 20), a[:20])
    assert not set(shifts(model(layer(0.4, 0.0), seed=4))) & set(a)
    twice = shifts(model(layer((0.0, 0.0), 0.0), layer(0.4, 0.0)))
    assert not set(twice) & set(a)
    own = shifts(model(layer(0.4, 0.0, seed=9), seed=1))
    np.testing.assert_array_equal(own, shifts(model(nn.RandomFlip("horizontal"), layer(0.4, 0.0, seed=9), seed=2)))
