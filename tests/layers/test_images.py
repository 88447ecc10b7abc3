"""Layers for images: Keras's conventions by hand, and what is given."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[Any]
RNG = np.random.default_rng(4)
SHAPE = 5, 6, 2

MOVING: list[Any] = [
    nn.RandomFlip, partial(nn.RandomTranslation, 0.4, 0.4), partial(nn.RandomRotation, 0.4),
    partial(nn.RandomZoom, 0.5),
    partial(nn.RandomContrast, 0.5, (-3, 3)), partial(nn.RandomBrightness, 0.5, (-3, 3)), nn.RandomErasing, nn.MixUp,
    nn.CutMix,
]  # fmt: skip


def image(*rows: Any) -> Array:
    """A batch of one image of one channel."""
    return np.array(rows, np.float64)[None, :, :, None]


def shown(y: Array) -> Array:
    assert y.shape[0] == y.shape[3] == 1
    return y[0, :, :, 0]


SQUARE = image([0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [12, 13, 14, 15])


# -- Keras's conventions, by hand --------------------------------------------------------------------------------------


def test_positive_factors_rotate_counter_clockwise_about_the_center() -> None:
    for turns, quarters in ((0.25, 1), (-0.25, -1), (0.5, 2), (-1.0, 0)):
        y = nn.RandomRotation((turns, turns))(SQUARE)
        np.testing.assert_array_equal(shown(y), np.rot90(shown(SQUARE), quarters))
    wide = image([0, 1, 2], [3, 4, 5])  # about (0.5, 1): its corners come from outside
    y = nn.RandomRotation((0.25, 0.25), fill_mode="constant", fill_value=9, interpolation="nearest")(wide)
    np.testing.assert_array_equal(shown(nn.RandomRotation((0.5, 0.5))(wide)), [[5, 4, 3], [2, 1, 0]])
    assert sorted(shown(y)[:, 1]) == [1, 4] or 9 in shown(y)


def test_positive_factors_shift_down_and_to_the_right() -> None:
    def shifted(down: float, right: float, **how: Any) -> Array:
        return shown(nn.RandomTranslation((down, down), (right, right), **how)(SQUARE))

    square = shown(SQUARE)
    np.testing.assert_array_equal(shifted(0.25, 0, fill_mode="constant", fill_value=7), [[7] * 4, *square[:3]])
    np.testing.assert_array_equal(shifted(-0.5, 0, fill_mode="nearest"), square[[2, 3, 3, 3]])
    np.testing.assert_array_equal(shifted(0, 0.5, fill_mode="wrap"), np.roll(square, 2, 1))
    np.testing.assert_array_equal(shifted(0.5, 0), square[[1, 0, 0, 1]])  # b a | a b
    np.testing.assert_array_equal(shifted(0, 0.125)[:, 1:], square[:, 1:] - 0.5)
    np.testing.assert_array_equal(shifted(0, 0.125, fill_mode="constant", fill_value=-2)[:, 0], (square[:, 0] - 2) / 2)
    np.testing.assert_array_equal(shifted(1, 0, fill_mode="constant"), np.zeros((4, 4)))


@pytest.mark.parametrize(
    ("mode", "beyond", "narrow"),
    [
        ("constant", [9] * 6, [9, 9]),
        ("nearest", [0] * 6, [0, 1]),
        ("wrap", [2, 3, 4, 5, 6, 7], [1, 0]),
        ("reflect", [5, 4, 3, 2, 1, 0], [0, 1]),
    ],
)
def test_what_lies_beyond_an_image(mode: str, beyond: list[int], narrow: list[int]) -> None:
    """Also of two pixels, seen at −0.5 and 1.5, which are rounded away from 0."""
    x = np.arange(8.0).reshape(1, 1, 8, 1)
    y = nn.RandomTranslation((0.0, 0.0), (0.75, 0.75), mode, fill_value=9)(x)
    np.testing.assert_array_equal(shown(y)[0], [*beyond, 0, 1])
    zoomed = nn.RandomZoom((0.0, 0.0), (1.0, 1.0), mode, "nearest", fill_value=9)(image([0, 1]))
    np.testing.assert_array_equal(shown(zoomed)[0], narrow)


def test_positive_factors_zoom_out_about_the_center() -> None:
    zoomed = nn.RandomZoom((1.0, 1.0), fill_mode="constant", fill_value=-1)(SQUARE)  # pixels at −1.5, 0.5, 2.5, 4.5
    np.testing.assert_array_equal(shown(zoomed)[1:3, 1:3], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(shown(zoomed)[0], [-1] * 4)
    near = nn.RandomZoom((-0.5, -0.5))(SQUARE)  # at 0.75, 1.25, 1.75, 2.25
    np.testing.assert_array_equal(shown(near)[0], [3.75, 4.25, 4.75, 5.25])
    rows = nn.RandomZoom((-0.5, -0.5), (0.0, 0.0))(SQUARE)
    np.testing.assert_array_equal(shown(rows)[:, 0], [3, 5, 7, 9])


def test_pixels_are_squares_when_images_are_scaled() -> None:
    row = image([0, 10])
    assert shown(nn.Resizing(1, 4)(row)).tolist() == [[0, 2.5, 7.5, 10]]
    assert shown(nn.Resizing(1, 4, "nearest")(row)).tolist() == [[0, 0, 10, 10]]
    assert shown(nn.Resizing(2, 2)(SQUARE)).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert shown(nn.Resizing(2, 2, "nearest")(SQUARE)).tolist() == [[5, 7], [13, 15]]  # the second of two
    tens = np.arange(6.0).reshape(1, 1, 6, 1)
    assert nn.Resizing(1, 9, "nearest")(tens)[0, 0, :, 0].tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 5]
    assert nn.Resizing(1, 4)(tens)[0, 0, :, 0].tolist() == [0.25, 1.75, 3.25, 4.75]  # no pixel but two counts


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(3, 4), (5, 20), (13, 2)])
@pytest.mark.torch
def test_smoothed_as_pytorch_does(interpolation: str, size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(2).normal(size=(2, 13, 11, 3))
    theirs = torch.nn.functional.interpolate(
        torch.tensor(x).permute(0, 3, 1, 2), size, mode=interpolation, antialias=True
    )
    found = nn.Resizing(*size, interpolation, antialias=True)(x)
    np.testing.assert_allclose(found, theirs.permute(0, 2, 3, 1), 1e-12, 1e-12)


def test_fine_patterns_become_grey_where_they_are_smoothed() -> None:
    stripes = image([0, 8] * 4)
    assert shown(nn.Resizing(1, 2, "nearest", antialias=True)(stripes)).tolist() == [[0, 0]]  # as without
    assert shown(nn.Resizing(1, 2)(stripes)).tolist() == [[4, 4]]
    assert shown(nn.Resizing(1, 8, antialias=True)(stripes)).tolist() == [[0, 8] * 4]
    one = shown(nn.Resizing(1, 1, antialias=True)(image([7, 0, 0])))  # pixels that count 2/3, 1 and 2/3
    np.testing.assert_allclose(one, [[2]], 1e-6)


def test_images_keep_a_cut_and_margins_where_they_are_smoothed() -> None:
    wide = np.arange(12.0).reshape(1, 2, 6, 1)
    cut = nn.Resizing(1, 1, "bicubic", crop_to_aspect_ratio=True, antialias=True)(wide)
    np.testing.assert_allclose(shown(cut), [[5.5]], 1e-12)
    padded = shown(nn.Resizing(3, 3, "bilinear", pad_to_aspect_ratio=True, fill_value=-1, antialias=True)(wide))
    assert padded.shape == (3, 3) and (padded[0] < 0).all() and (padded[1] > 0).all()


@pytest.mark.parametrize("old", range(1, 25))
def test_the_nearest_pixel_is_that_in_which_a_center_lies(old: int) -> None:
    x = np.arange(float(old)).reshape(1, 1, old, 1)
    for new in range(1, 40):
        y = nn.Resizing(1, new, "nearest")(x.astype(np.float32))[0, 0, :, 0]
        assert y.tolist() == [(2 * i + 1) * old // (2 * new) for i in range(new)]


def test_sides_keep_their_ratio() -> None:
    wide = np.arange(12.0).reshape(1, 2, 6, 1)
    assert shown(nn.Resizing(2, 2, crop_to_aspect_ratio=True)(wide)).tolist() == [[2, 3], [8, 9]]
    assert shown(nn.Resizing(1, 1, crop_to_aspect_ratio=True)(wide)).tolist() == [[5.5]]
    padded = shown(nn.Resizing(6, 6, pad_to_aspect_ratio=True, fill_value=-1)(wide))
    np.testing.assert_array_equal(padded, [[-1] * 6, [-1] * 6, *wide[0, :, :, 0], [-1] * 6, [-1] * 6])
    assert nn.Resizing(7, 3, pad_to_aspect_ratio=True)(wide).shape == (1, 7, 3, 1)


def test_the_middle() -> None:
    assert shown(nn.CenterCrop(2, 2)(SQUARE)).tolist() == [[5, 6], [9, 10]]
    assert shown(nn.CenterCrop(3, 1)(SQUARE)).tolist() == [[1], [5], [9]]  # of two middles the first
    assert shown(nn.CenterCrop(4, 4)(SQUARE)).tolist() == shown(SQUARE).tolist()
    np.testing.assert_array_equal(nn.CenterCrop(8, 4)(SQUARE), nn.Resizing(8, 4)(SQUARE[:, :, 1:3]))


def test_contrast_and_brightness() -> None:
    x = np.stack([shown(SQUARE), 100 + 2 * shown(SQUARE)], -1)[None]
    double = nn.RandomContrast((0.0, 1.0))  # from 1 to 2 times
    means = x.mean((1, 2))
    y = double(np.repeat(x, 50, 0))
    factor = (y[:, -1, -1, 1] - means[0, 1]) / (x[0, -1, -1, 1] - means[0, 1])
    np.testing.assert_allclose(y, np.clip((x - means) * factor[:, None, None, None] + means, 0, 255), 1e-12, 1e-10)
    assert y.min() == 0 and factor.min() < 1.1 < 1.9 < factor.max()
    bright = nn.RandomBrightness((0.5, 0.5))
    np.testing.assert_array_equal(bright(x), np.clip(x + 127.5, 0, 255))
    np.testing.assert_array_equal(nn.RandomBrightness((-0.5, -0.5), (1, 0))(x / 200), np.clip(x / 200 - 0.5, 0, 1))


def test_outside_of_training_nothing_is_disturbed() -> None:
    x = RNG.normal(size=(7, *SHAPE)).astype(np.float32)
    for make in MOVING:
        layer = make()
        np.testing.assert_array_equal(layer(x, training=False), x)
        assert not np.array_equal(layer(x), x)
        assert not np.array_equal(layer(x), layer(x))
        model = nn.Model([nn.Input(SHAPE), layer, nn.Rescaling(2.0)])
        np.testing.assert_array_equal(model.predict(x), 2 * x)
        np.testing.assert_array_equal(model(x, training=False), 2 * x)
        assert not np.array_equal(model(x), 2 * x)  # it learns nothing, so it does as the layer
        model.compile("sgd", "mse")
        assert model.evaluate(x, 2 * x, verbose=0) == 0


def test_crops() -> None:
    """Of a batch all at one place; outside of training the largest part of the middle, as of small images."""
    x = np.arange(2.0 * 9 * 8).reshape(2, 9, 8, 1)
    layer, places = nn.RandomCrop(7, 6), set()
    for _ in range(200):
        y = layer(x)
        top, left = divmod(int(y[0, 0, 0, 0]), 8)
        np.testing.assert_array_equal(y, x[:, top : top + 7, left : left + 6])
        places.add((top, left))
    assert places == {(i, j) for i in range(3) for j in range(3)}
    np.testing.assert_array_equal(layer(x, training=False), nn.Resizing(7, 6, crop_to_aspect_ratio=True)(x))
    small = nn.RandomCrop(12, 6)
    np.testing.assert_array_equal(small(x), nn.Resizing(12, 6, crop_to_aspect_ratio=True)(x))
    np.testing.assert_array_equal(nn.RandomCrop(9, 8)(x), x)


# -- what is given -----------------------------------------------------------------------------------------------------


def test_channels_may_come_first() -> None:
    x = RNG.normal(size=(6, *SHAPE))
    turned = x.transpose(0, 3, 1, 2)
    for make in (
        lambda **how: nn.RandomFlip(seed=5, **how),
        lambda **how: nn.RandomRotation(0.3, seed=5, **how),
        lambda **how: nn.RandomContrast(0.3, seed=5, **how),
        lambda **how: nn.RandomErasing((1, 1), fill_value=(1, 2), seed=5, **how),
        lambda **how: nn.CutMix(seed=5, **how),
        lambda **how: nn.RandomCrop(3, 3, seed=5, **how),
        lambda **how: nn.CenterCrop(3, 3, **how),
        lambda **how: nn.Resizing(3, 4, **how),
    ):
        for training in (True, False):
            first, last = make(data_format="channels_first"), make(data_format="channels_last")
            np.testing.assert_array_equal(first(turned, training).transpose(0, 2, 3, 1), last(x, training))


def test_layers_of_one_seed_move_images_and_masks_alike() -> None:
    x = RNG.integers(0, 2, (30, 8, 8, 1)).astype(np.float64)
    images, masks = nn.Input((8, 8, 1)), nn.Input((8, 8, 1))
    pair = nn.Add()([nn.RandomRotation(0.2, seed=7)(images), nn.Rescaling(-1.0)(nn.RandomRotation(0.2, seed=7)(masks))])
    model = nn.Model([images, masks], pair, seed=1, dtype="float64")
    assert not model([x, x], training=True).any()
    assert model([x, 0 * x], training=True).any()
    first, second = nn.RandomFlip(seed=7), nn.RandomFlip(seed=8)
    assert not np.array_equal(first(x), second(x))


def test_one_image_and_dicts() -> None:
    x = RNG.normal(size=(4, *SHAPE))
    layer = nn.Resizing(3, 3)
    np.testing.assert_array_equal(layer(x[0]), layer(x)[0])
    given = {"images": x, "labels": ["a", "b", "c", "d"]}
    made = layer(given)
    np.testing.assert_array_equal(made["images"], layer(x))
    assert made["labels"] is given["labels"] and given["images"] is x
    with pytest.raises(ValueError, match=r"keys 'images' and perhaps 'labels', got .*two layers of one seed"):
        layer({"images": x, "segmentation_masks": x})
    assert layer(RNG.integers(0, 256, (2, 5, 5, 1)).astype(np.uint8)).dtype == np.float32


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.RandomFlip("both"), "mode: expected 'horizontal_and_vertical' or"),
        (lambda: nn.RandomRotation(1.5), r"factor: expected a number in \[-1, 1\] or two of them, got 1.5"),
        (lambda: nn.RandomRotation((0.1, 0.2, 0.3)), "factor: expected a number in"),
        (lambda: nn.RandomRotation("0.1"), "factor: expected a number in"),
        (lambda: nn.RandomRotation([0.1]), "factor: expected a number in"),
        (lambda: nn.RandomRotation(0.1, fill_mode="mirror"), "fill_mode: expected 'constant' or"),
        (lambda: nn.RandomRotation(0.1, interpolation="cubic"), "interpolation: expected 'nearest' or 'bilinear'"),
        (lambda: nn.RandomZoom(-1.0), r"height_factor: expected a number in \(-1, 1\]"),
        (lambda: nn.RandomZoom(0.1, (0, 2)), r"width_factor: expected a number in \(-1, 1\]"),
        (lambda: nn.RandomTranslation(0.1, float("nan")), "width_factor: expected"),
        (lambda: nn.RandomContrast(-0.1), r"factor: expected a number in \[0, 1\]"),
        (lambda: nn.RandomContrast(0.1, 255), "value_range: expected two numbers"),
        (lambda: nn.RandomBrightness(0.1, seed=-1), "seed: expected a whole number from 0"),
        (lambda: nn.RandomErasing(fill_value="red"), "fill_value: expected a finite number"),
        (lambda: nn.RandomErasing(fill_value=(1, 2, 3))(np.ones((1, 4, 4, 1))), "one for each of 1 channels"),
        (lambda: nn.MixUp(0), r"alpha: expected a finite number > 0, got 0"),
        (lambda: nn.CutMix(2), r"factor: expected a number in \[0, 1\]"),
        (lambda: nn.Resizing(0, 3), "height: expected a whole number of at least 1"),
        (
            lambda: nn.Resizing(3, 3, "cubic"),
            "interpolation: expected .*'bilinear' or 'bicubic' or .* got 'cubic'",
        ),
        (lambda: nn.Resizing(3, 3, "nearest", True, True), "expected at most one of them, got both"),
        (lambda: nn.Resizing(3, 3)(np.ones((3, 3))), r"expected inputs \(batch, height, width, channels\).*Reshape"),
        (lambda: nn.Resizing(3, 3)(nn.Input((28, 28))), r"expected inputs \(batch, height, width, channels\)"),
        (lambda: nn.CenterCrop(3, 2.5), "width: expected a whole number"),
        (lambda: nn.RandomFlip(data_format="nchw"), "data_format: expected 'channels_last' or 'channels_first'"),
    ],
)
def test_what_does_not_fit(make: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        make()
