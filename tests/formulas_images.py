"""Layers for images in plain float64 NumPy: beside `formulas`, what `networks.walk` looks up."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import reference as ref
import reference_images as images
import reference_windows as windows
from formulas import Draw, normal, of
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[Any]
Size = tuple[int, int]


def interval(factor: Any, lower: float = -1.0) -> tuple[float, float]:
    """What numbers are drawn from: one number is both ends, with the sign of `lower`, or 0, before it."""
    return (lower * factor, factor) if isinstance(factor, float) else factor


def drawn(draw: Draw, parts: int = 1) -> images.Key | None:
    """What names the numbers of the layer at hand; None: nothing is drawn."""
    layer, *_ = itertools.islice(draw.count, parts)
    return None if draw.step is None else (draw.seed, layer << 48 ^ draw.step)


def middle(x: Array, size: Size) -> Array:
    """The part of a size in the middle of images."""
    top, left = (x.shape[1] - size[0]) // 2, (x.shape[2] - size[1]) // 2
    return x[:, top : top + size[0], left : left + size[1]]


def resized(x: Array, size: Size, linear: bool = True) -> Array:
    """Images scaled to a size, each pixel a square."""
    old = x.shape[1], x.shape[2]
    matrix = np.diag([old[0] / size[0], old[1] / size[1]])
    offset = (np.diag(matrix) - 1) / 2 + (0 if linear else 1e-9)  # of two pixels that are as near, the second one
    return np.stack([images.seen(a, matrix, offset, size, linear=linear, mode="nearest", fill=0) for a in x])


def without_distortion(x: Array, size: Size, linear: bool = True) -> Array:
    """Images scaled to a size, after their sides were cut off to its ratio."""
    height, width = x.shape[1:3]
    ratio = size[0] / size[1]
    part = max(1, min(height, math.floor(width * ratio))), max(1, min(width, math.floor(height / ratio)))
    return resized(middle(x, part), size, linear)


def summed(x: Array, size: Size, interpolation: str, antialias: bool) -> Array:
    """Images scaled to a size, each pixel a mean of those around it, one axis after the other."""
    for axis, new in zip((1, 2), size, strict=True):
        m = windows.means(x.shape[axis], new, interpolation, antialias)
        x = np.moveaxis(np.tensordot(m, x, (1, axis)), 0, axis)
    return x


@of(nn.Resizing)
def resizing(layer: Any, w: Any, x: Array, draw: Draw) -> Array:
    size, linear = (layer.height, layer.width), layer.interpolation == "bilinear"
    if layer.antialias or layer.interpolation not in ("nearest", "bilinear"):
        return summed(x, size, layer.interpolation, layer.antialias)
    if layer.crop_to_aspect_ratio:
        return without_distortion(x, size, linear)
    if layer.pad_to_aspect_ratio:
        height, width = x.shape[1:3]
        rows = max(0, math.floor(width * size[0] / size[1]) - height) // 2
        columns = max(0, math.floor(height * size[1] / size[0]) - width) // 2
        x = np.pad(x, ((0, 0), (rows,) * 2, (columns,) * 2, (0, 0)), constant_values=layer.fill_value)
    return resized(x, size, linear)


@of(nn.CenterCrop)
def center_crop(layer: Any, w: Any, x: Array, draw: Draw) -> Array:
    size = layer.height, layer.width
    return middle(x, size) if np.all(np.less_equal(size, x.shape[1:3])) else without_distortion(x, size)


@of(nn.RandomCrop)
def random_crop(layer: Any, w: Any, x: Array, draw: Draw) -> Array:
    key, (height, width) = drawn(draw), (layer.height, layer.width)
    if key is None or height > x.shape[1] or width > x.shape[2]:
        return without_distortion(x, (height, width))
    top, left = (
        int(images.word(0, i, key) * (n - m + 1)) for i, n, m in ((5, x.shape[1], height), (6, x.shape[2], width))
    )
    return x[:, top : top + height, left : left + width]


@of(nn.RandomFlip)
def random_flip(layer: Any, w: Any, x: Array, draw: Draw) -> Array:
    if (key := drawn(draw)) is None:
        return x
    y = x.copy()
    for s in range(len(x)):
        for which, word in ((0, "vertical"), (1, "horizontal")):
            if word in layer.mode and images.word(s, which, key) < 0.5:
                y[s] = np.flip(y[s], which)
    return y


def moved(layer: Any, x: Array, key: images.Key, affine: Any) -> Array:
    """Each image where the matrix and the offset that `affine` makes of its random numbers say."""
    y = np.empty(x.shape)
    for s, image in enumerate(x):
        matrix, offset = affine([images.word(s, i, key) for i in range(7)])
        y[s] = images.seen(
            image, matrix, offset, x.shape[1:3], linear=layer.interpolation == "bilinear", mode=layer.fill_mode,
            fill=layer.fill_value,
        )  # fmt: skip
    return y


@of(nn.RandomTranslation)
def random_translation(layer: Any, w: Any, x: Array, draw: Draw) -> Array:
    if (key := drawn(draw)) is None:
        return x
    parts = interval(layer.height_factor), interval(layer.width_factor)

    def affine(u: list[float]) -> tuple[Array, Array]:
        return np.eye(2), -np.array([images.between(u[5 + i], *parts[i]) * x.shape[1 + i] for i in (0, 1)])

    return moved(layer, x, key, affine)


@of(nn.RandomRotation)
def random_rotation(layer: Any, w: Any, x: Array, draw: Draw) -> Array:
    if (key := drawn(draw)) is None:
        return x

    def affine(u: list[float]) -> tuple[Array, Array]:
        matrix = images.rotation(images.between(u[2], *interval(layer.factor)))
        return matrix, images.about(matrix, x.shape[1:3], x.shape[1:3])

    return moved(layer, x, key, affine)


@of(nn.RandomZoom)
def random_zoom(layer: Any, w: Any, x: Array, draw: Draw) -> Array:
    if (key := drawn(draw)) is None:
        return x

    def affine(u: list[float]) -> tuple[Array, Array]:
        height = 1 + images.between(u[3], *interval(layer.height_factor))
        width = height if layer.width_factor is None else 1 + images.between(u[4], *interval(layer.width_factor))
        return (matrix := np.diag([height, width])), images.about(matrix, x.shape[1:3], x.shape[1:3])

    return moved(layer, x, key, affine)


@of(nn.RandomContrast)
def random_contrast(layer: Any, w: Any, x: Array, draw: Draw) -> Array:
    if (key := drawn(draw)) is None:
        return x
    lower, upper = interval(layer.factor, 1.0)
    factors = [images.between(images.word(s, 0, key), 1 - lower, 1 + upper) for s in range(len(x))]
    return np.stack([images.adjusted(a, f, 0, *layer.value_range) for a, f in zip(x, factors, strict=True)])


@of(nn.RandomBrightness)
def random_brightness(layer: Any, w: Any, x: Array, draw: Draw) -> Array:
    if (key := drawn(draw)) is None:
        return x
    low, high = layer.value_range
    parts = [images.between(images.word(s, 1, key), *interval(layer.factor)) for s in range(len(x))]
    return np.stack([np.clip(a + part * (high - low), low, high) for a, part in zip(x, parts, strict=True)])


@of(nn.RandomErasing)
def random_erasing(layer: Any, w: Any, x: Array, draw: Draw) -> Array:
    if (key := drawn(draw, 2)) is None:
        return x
    probability, area = interval(layer.factor, 0.0), interval(layer.scale, 0.0)
    where = np.stack([images.erased(s, x.shape[1:3], probability, area, key) for s in range(len(x))])[..., None]
    if layer.fill_value is None:
        noise_key = key[0], key[1] + (1 << 48)
        noise = normal([ref.uniform(i, noise_key) + 2.0**-25 for i in range(x.size)]).reshape(x.shape)
        return np.where(where, np.clip(noise * layer.value_range[1], *layer.value_range), x)
    return np.where(where, np.clip(layer.fill_value, *layer.value_range), x)


def mixes(layer: Any, size: Size, samples: int, key: images.Key) -> tuple[Array, Array, int]:
    """Of each sample how much of it stays and what of it does not; how far away the other one is."""
    batch_key = key[0], key[1] + (1 << 48)
    alpha = layer.alpha if isinstance(layer, nn.MixUp) else 1e-6 + images.between(
        images.word(0, 1, batch_key), *interval(layer.factor, 0.0)
    )  # fmt: skip
    ahead = 1 + int(images.word(0, 0, batch_key) * (samples - 1))
    how = images.mixed_by if isinstance(layer, nn.MixUp) else images.cut_by
    found = [how(s, size, alpha, key) for s in range(samples)]
    return np.array([stays for stays, _ in found]), np.stack([where for _, where in found]), ahead


@of(nn.MixUp)
@of(nn.CutMix)
def mixed(layer: Any, w: Any, x: Array, draw: Draw) -> Array:
    if (key := drawn(draw, 2)) is None:
        return x
    stays, where, ahead = mixes(layer, x.shape[1:3], len(x), key)
    own = stays[:, None, None, None] if isinstance(layer, nn.MixUp) else 1 - where[..., None]
    return own * x + (1 - own) * np.roll(x, -ahead, 0)


def mixed_targets(layer: Any, t: Array, size: Size, key: images.Key) -> Array:
    """Targets (B, …) as those of mixed samples."""
    stays, _, ahead = mixes(layer, size, len(t), key)
    own = stays.reshape(-1, *[1] * (t.ndim - 1))
    return own * t + (1 - own) * np.roll(t, -ahead, 0)
