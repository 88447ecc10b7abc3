"""Layers in plain float64 NumPy, one formula for each class: what `networks.walk` looks up.

A formula is given the layer, the values of its parameters, its input, and what draws random numbers; where that has no
step, it is that of prediction.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial, reduce
from statistics import NormalDist
from typing import Any

import numpy as np
import reference as ref
import reference_depthwise
import reference_windows as windows
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[Any]
normal = np.vectorize(NormalDist().inv_cdf)


@cache
def uniform(n: int, seed: int, layer: int, step: int) -> Array:
    """The first n random numbers in [0, 1) of layer number `layer` of a model at a training step."""
    return np.array([ref.uniform(i, (seed, layer << 48 ^ step)) for i in range(n)])


def kept(n: int, seed: int, layer: int, step: int, rate: float) -> Array:
    """The factors of dropout: 0, or 1 / (1 − rate)."""
    return (uniform(n, seed, layer, step) >= rate) / (1 - rate)


@dataclass
class Draw:
    """What a model draws at a training step; step None: nothing."""

    seed: int
    step: int | None
    count: itertools.count[int]

    def uniform(self, shape: tuple[int, ...]) -> Array | None:
        """Those of the layer at hand."""
        layer = next(self.count)
        if self.step is None:
            return None
        return uniform(int(np.prod(shape)), self.seed, layer, self.step).reshape(shape)


Formula = Callable[[Any, Mapping[Any, Array], Array, Draw], Array]
FORMULAS: dict[type, Formula] = {}


def of(cls: type) -> Callable[[Formula], Formula]:
    """The formula of a class."""

    def add(formula: Formula) -> Formula:
        FORMULAS[cls] = formula
        return formula

    return add


def activated(activation: Any, z: Array) -> Array:
    """f(Z), of a batch; of rows, along the axes that the activation names."""
    kernel = activation.kernel
    if kernel not in ref.ROWWISE:
        return ref.activate(kernel, z, *activation.parameters)
    axes = activation.axis if isinstance(activation.axis, tuple) else (activation.axis,)
    last = tuple(range(-len(axes), 0))
    moved = np.moveaxis(z, axes, last)
    y = ref.ROWWISE[kernel][0](moved.reshape(*moved.shape[: -len(axes)], -1))
    return np.moveaxis(y.reshape(*moved.shape[:-1], -1), last, axes)


@of(nn.layers.NonCrossing)
def non_crossing(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    return ref.ascending(x.reshape(*x.shape[:-1], -1, layer.quantiles)).reshape(x.shape)


def affine(layer: Any, w: Mapping[Any, Array], x: Array, axes: list[int]) -> Array:
    """γ ⊙ X + β, of the sizes of these axes of X."""
    shape = [n if a in axes else 1 for a, n in enumerate(x.shape)]
    if layer.scale:
        x = x * w[layer.gamma].reshape(shape)
    return x + w[layer.beta].reshape(shape) if layer.center else x


def axes_of(axis: Any, x: Array) -> list[int]:
    """Axes of X, counted from 0."""
    return sorted(a % x.ndim for a in (axis if isinstance(axis, list) else [axis]))


@of(nn.LayerNormalization)
def layer_normalization(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    axes = axes_of(layer.axis, x)
    mean, variance = x.mean(tuple(axes), keepdims=True), x.var(tuple(axes), keepdims=True)
    return affine(layer, w, (x - mean) / np.sqrt(variance + layer.epsilon), axes)


@of(nn.BatchNormalization)
def batch_normalization(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    [axis] = axes_of(layer.axis, x)
    others = tuple(a for a in range(x.ndim) if a != axis)
    shape = [n if a == axis else 1 for a, n in enumerate(x.shape)]
    mean, variance = w[layer.moving_mean].reshape(shape), w[layer.moving_variance].reshape(shape)
    if draw.step is not None and layer.trainable:
        mean, variance = x.mean(others, keepdims=True), x.var(others, keepdims=True)
    return affine(layer, w, (x - mean) / np.sqrt(variance + layer.epsilon), [axis])


@of(nn.GroupNormalization)
def group_normalization(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    [axis] = axes_of(layer.axis, x)
    parts = np.split(x, x.shape[axis] if layer.groups == -1 else layer.groups, axis)
    behind = tuple(range(1, x.ndim))
    made = [(p - p.mean(behind, keepdims=True)) / np.sqrt(p.var(behind, keepdims=True) + layer.epsilon) for p in parts]
    return affine(layer, w, np.concatenate(made, axis), [axis])


@of(nn.RMSNormalization)
def rms_normalization(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    axes = axes_of(layer.axis, x)
    shape = [n if a in axes else 1 for a, n in enumerate(x.shape)]
    root = np.sqrt((x * x).mean(tuple(axes), keepdims=True) + layer.epsilon)
    return x / root * w[layer.scale].reshape(shape)


@of(nn.UnitNormalization)
def unit_normalization(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    return x / np.sqrt(np.maximum((x * x).sum(tuple(axes_of(layer.axis, x)), keepdims=True), 1e-12))


@of(nn.Permute)
def permute(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    return x.transpose(0, *layer.dims)


@of(nn.RepeatVector)
def repeat_vector(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    return np.repeat(x[:, None], layer.n, axis=1)


def channels_behind(layer: Any, x: Array, back: bool = False) -> Array:
    """X with the channels behind, or back where the layer has them."""
    if getattr(layer, "data_format", "") != "channels_first":
        return x
    return np.moveaxis(x, -1, 1) if back else np.moveaxis(x, 1, -1)


def pooled(pool: Any, layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    x = channels_behind(layer, x)
    lengths = x.shape[1:-1]
    if hasattr(layer, "output_size"):
        axes = [windows.adaptive(n, out) for n, out in zip(lengths, layer.output_size, strict=True)]
    elif hasattr(layer, "pool_size"):
        each = zip(lengths, layer.pool_size, layer.strides, strict=True)
        axes = [windows.sliding(n, size, stride, layer.padding) for n, size, stride in each]
    else:
        axes = [[range(n)] for n in lengths]
    y = channels_behind(layer, pool(x, axes), back=True)
    return y if getattr(layer, "keepdims", True) else y.reshape(len(y), -1)


for rank in ("1D", "2D"):
    for name, pool in (("Max", windows.max_pool), ("Average", windows.average_pool)):
        for kind in ("", "Global", "Adaptive"):
            of(getattr(nn, f"{kind}{name}Pooling{rank}"))(partial(pooled, pool))


def margins_of(layer: Any, given: Any, x: Array) -> list[tuple[int, int]]:
    ends = [given] if x.ndim == 3 else list(given)
    first = getattr(layer, "data_format", "") == "channels_first"
    return [(0, 0), (0, 0), *ends] if first else [(0, 0), *ends, (0, 0)]


@of(nn.ZeroPadding1D)
@of(nn.ZeroPadding2D)
def zero_padding(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    return np.pad(x, margins_of(layer, layer.padding, x))


@of(nn.Cropping1D)
@of(nn.Cropping2D)
def cropping(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    ends = margins_of(layer, layer.cropping, x)
    return x[tuple(slice(before, n - behind) for n, (before, behind) in zip(x.shape, ends, strict=True))]


@of(nn.UpSampling1D)
@of(nn.UpSampling2D)
def up_sampling(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    y = channels_behind(layer, x)
    for axis, factor in enumerate([layer.size] if x.ndim == 3 else layer.size, 1):
        if getattr(layer, "interpolation", "nearest") == "nearest":
            y = np.repeat(y, factor, axis)
        else:
            n, linear = y.shape[axis], layer.interpolation == "bilinear"
            m = windows.interpolation(n, factor) if linear else windows.means(n, factor * n, layer.interpolation)
            y = np.moveaxis(np.tensordot(m, y, (1, axis)), 0, axis)
    return channels_behind(layer, y, back=True)


@of(nn.SpatialDropout1D)
@of(nn.SpatialDropout2D)
def spatial_dropout(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    x = channels_behind(layer, x)
    u = draw.uniform((len(x), *(1,) * (x.ndim - 2), x.shape[-1]))
    return channels_behind(layer, x if u is None else x * (u >= layer.rate) / (1 - layer.rate), back=True)


@of(nn.GaussianDropout)
def gaussian_dropout(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    u = draw.uniform(x.shape)
    return x if u is None else x * (1 + np.sqrt(layer.rate / (1 - layer.rate)) * normal(u + 2.0**-25))


@of(nn.GaussianNoise)
def gaussian_noise(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    u = draw.uniform(x.shape)
    return x if u is None else x + layer.stddev * normal(u + 2.0**-25)


@of(nn.AlphaDropout)
def alpha_dropout(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    u, low = draw.uniform(x.shape), -1.0507009873554805 * 1.6732632423543772
    if u is None:
        return x
    a = ((1 - layer.rate) * (1 + layer.rate * low**2)) ** -0.5
    return a * np.where(u >= layer.rate, x, low) - a * low * layer.rate


@of(nn.EinsumDense)
def einsum_dense(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    y = np.einsum(layer.equation, x, w[layer.kernel])
    return activated(layer.activation, y + w[layer.bias] if layer.bias is not None else y)


@of(nn.layers.Scale)
def scale(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    return w[layer.factor] * x


@of(nn.layers.ParametricActivation)
def parametric_activation(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    return x + w[layer.alpha] * (activated(layer.activation, x) - x)


@of(nn.layers.PeriodicEmbedding)
def periodic_embedding(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    cosines = np.cos(np.pi * (w[layer.frequency] * x[..., None] + w[layer.phase]))
    pieces = [
        [np.interp(x[:, i], pair, (0, 1)) for pair in itertools.pairwise(t)] for i, t in enumerate(layer.knots or ())
    ]
    features = np.concatenate([cosines, *([np.transpose(pieces, (2, 0, 1))] if pieces else [])], axis=2)
    made = np.einsum("bnk,nkd->bnd", features, w[layer.kernel]) + w[layer.bias]
    return np.concatenate([made.reshape(len(x), -1), x], axis=1)


@of(nn.TimeDistributed)
def time_distributed(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    """With what the layer draws at each step."""
    formula = FORMULAS[type(layer.layer)]
    return np.stack([formula(layer.layer, w, x[:, t], draw) for t in range(x.shape[1])], axis=1)


@of(nn.Dense)
def dense(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    y = np.tensordot(x, w[layer.kernel], 1)
    return activated(layer.activation, y + w[layer.bias] if layer.use_bias else y)


def channels_convolved(layer: Any, kernel: Array, x: Array) -> Array:
    """Σ X ⊙ U of each channel, which come last."""
    if layer.data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    sizes, strides, dilation = layer.kernel_size, layer.strides, layer.dilation_rate
    if len(sizes) == 1:  # an image of one row
        x, kernel, sizes, strides, dilation = x[:, None], kernel[None], (1, *sizes), (1, *strides), (1, *dilation)
    settings = zip(x.shape[1:3], sizes, strides, dilation, strict=True)
    y = reference_depthwise.depthwise(x, kernel, *(reference_depthwise.way(*s, layer.padding) for s in settings))
    return y if len(layer.kernel_size) == 2 else y[:, 0]


def as_given(layer: Any, w: Mapping[Any, Array], y: Array) -> Array:
    """f(Y + b), Y with the channels behind, in the layer's format."""
    y = y + w[layer.bias] if layer.use_bias else y
    return activated(layer.activation, np.moveaxis(y, -1, 1) if layer.data_format == "channels_first" else y)


@of(nn.DepthwiseConv1D)
@of(nn.DepthwiseConv2D)
def depthwise(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    return as_given(layer, w, channels_convolved(layer, w[layer.kernel], x))


@of(nn.SeparableConv1D)
@of(nn.SeparableConv2D)
def separable(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    v = w[layer.pointwise_kernel]
    return as_given(layer, w, channels_convolved(layer, w[layer.depthwise_kernel], x) @ v.reshape(v.shape[-2:]))


@of(nn.Dropout)
def dropout(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    u = draw.uniform(x.shape)
    if u is None or not layer.rate:
        return x
    rate = float(layer.rate(np.array([draw.step]))[0]) if callable(layer.rate) else layer.rate
    return x * (u >= rate) / (1 - rate)


@of(nn.Power)
def power(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    return np.asarray(x**layer.exponent)


@of(nn.Absolute)
def absolute(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    return np.abs(x)


@of(nn.Slice)
def part(layer: Any, w: Mapping[Any, Array], x: Array, draw: Draw) -> Array:
    index = [slice(*entry) if isinstance(entry, list) else entry for entry in layer.index]
    return np.asarray(x[(slice(None), *index)])


def aligned(xs: list[Array]) -> list[Array]:
    """Arrays of as many axes, those missing behind the batch of length 1."""
    rank = max(x.ndim for x in xs)
    return [x.reshape(len(x), *(1,) * (rank - x.ndim), *x.shape[1:]) for x in xs]


def cosine_or_dot(layer: Any, xs: list[Array]) -> Array:
    axes = layer.axes if isinstance(layer.axes, list) else [layer.axes] * 2
    rows = [np.moveaxis(x, axis, -1).reshape(len(x), -1, x.shape[axis]) for x, axis in zip(xs, axes, strict=True)]
    if layer.normalize:
        rows = [x / np.sqrt(np.maximum((x**2).sum(-1, keepdims=True), 1e-14)) for x in rows]
    left = [n for x, axis in zip(xs, axes, strict=True) for n in np.delete(x.shape, axis)[1:]]
    return np.einsum("bik,bjk->bij", *rows).reshape(len(xs[0]), *(left or [1]))


#: Of layers of several inputs.
JOINED: dict[type, Callable[[Any, list[Array]], Array]] = {
    nn.Add: lambda layer, xs: np.asarray(sum(aligned(xs))),
    nn.Subtract: lambda layer, xs: np.subtract(*aligned(xs)),
    nn.Multiply: lambda layer, xs: reduce(np.multiply, aligned(xs)),
    nn.Divide: lambda layer, xs: np.divide(*aligned(xs)),
    nn.Average: lambda layer, xs: np.asarray(sum(aligned(xs)) / len(xs)),
    nn.Maximum: lambda layer, xs: reduce(np.maximum, aligned(xs)),
    nn.Minimum: lambda layer, xs: reduce(np.minimum, aligned(xs)),
    nn.Concatenate: lambda layer, xs: np.concatenate(xs, axis=layer.axis),
    nn.Dot: cosine_or_dot,
}
