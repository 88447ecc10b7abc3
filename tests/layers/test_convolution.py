"""Convolutions in models: values and gradients against their formulas, shapes, threads, files, precisions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_convolution as reference
from kernels import assert_same_bits
from networks import use_isa
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[Any]
LENGTHS = {1: (11,), 2: (7, 9)}
TOLERANCE = 1e-12
ISAS = pytest.mark.parametrize("isa", nn.available_isas())

#: rank, channels, filters, kernel_size, and what else the layer is given
SETTINGS: dict[str, tuple[int, int, int, Any, dict[str, Any]]] = {
    "series": (1, 4, 6, 3, {}),
    "series of one channel": (1, 1, 17, 5, {"padding": "same"}),
    "causal series": (1, 3, 5, 4, {"padding": "causal", "dilation_rate": 2}),
    "strides of series": (1, 5, 3, 3, {"padding": "same", "strides": 2}),
    "groups of series": (1, 6, 4, 3, {"groups": 2, "padding": "same"}),
    "images": (2, 4, 6, 3, {}),
    "images of one channel": (2, 1, 6, 5, {"padding": "same"}),
    "strides": (2, 3, 5, 3, {"padding": "same", "strides": 2}),
    "uneven strides": (2, 3, 33, (3, 2), {"strides": (3, 1), "use_bias": False}),
    "strides wider than windows": (2, 3, 4, 2, {"strides": 3, "padding": "same"}),
    "holes": (2, 20, 17, (3, 2), {"dilation_rate": (2, 3), "padding": "same"}),
    "groups": (2, 8, 8, 3, {"groups": 4, "padding": "same"}),
    "as many groups as channels": (2, 3, 6, 3, {"groups": 3}),
    "single places": (2, 7, 3, 1, {}),
    "single places apart": (2, 7, 3, 1, {"strides": 2}),
    "one window": (2, 2, 3, (7, 9), {}),
    "windows larger than images": (2, 2, 3, (9, 12), {"padding": "same"}),
    "lines": (2, 5, 16, (1, 4), {"padding": "same"}),
    "columns": (2, 5, 16, (4, 1), {}),
    "at points": (2, 8, 17, 3, {"padding": "same"}),
    "lines at points": (2, 16, 9, (1, 5), {}),
    "holes down at points": (2, 9, 8, (3, 5), {"dilation_rate": (2, 1), "padding": "same"}),
    "channels first": (2, 3, 5, 3, {"data_format": "channels_first"}),
    "series with channels first": (1, 3, 5, 3, {"data_format": "channels_first", "padding": "same"}),
}  # fmt: skip
KINDS = pytest.mark.parametrize("kind", SETTINGS)


def layer_of(kind: str, **more: Any) -> Any:
    rank, _, filters, size, given = SETTINGS[kind]
    return (nn.Conv1D if rank == 1 else nn.Conv2D)(filters, size, **given | more)


def told(kind: str) -> tuple[dict[str, Any], int]:
    """What the formula is told, and the rank."""
    rank, _, _, size, given = SETTINGS[kind]
    each = {
        name: n if isinstance(n, tuple) else (n,) * rank
        for name, n in (
            ("size", size),
            ("strides", given.get("strides", 1)),
            ("dilation", given.get("dilation_rate", 1)),
        )
    }
    padding = given.get("padding", "valid")
    numbers = zip(LENGTHS[rank], each["size"], each["strides"], each["dilation"], strict=True)
    pads = [reference.paddings(*n, padding) for n in numbers]
    return {
        "strides": each["strides"],
        "dilation": each["dilation"],
        "pads": pads,
        "groups": given.get("groups", 1),
    }, rank


def first(kind: str) -> bool:
    return SETTINGS[kind][4].get("data_format") == "channels_first"


def as_first(x: Array) -> Array:
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def data_of(kind: str, rows: int = 5) -> Array:
    rank, channels, *_ = SETTINGS[kind]
    return np.random.default_rng(rows).standard_normal((rows, *LENGTHS[rank], channels))


def model_of(kind: str, x: Array, **settings: Any) -> nn.Model:
    """PReLU, whose slopes have gradients, then the convolution."""
    symbol = nn.Input(x.shape[1:])
    return nn.Model(symbol, layer_of(kind)(nn.PReLU()(symbol)), seed=3, **settings)


@ISAS
@KINDS
def test_values_and_gradients_are_those_of_the_formula(kind: str, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PReLU's slopes in front: their gradient is Σ dX ⊙ min(x, 0), so that dX is seen, too."""
    use_isa(isa, monkeypatch)
    x, (settings, _) = data_of(kind), told(kind)
    given = as_first(x) if first(kind) else x
    model = model_of(kind, given, dtype="float64")
    slopes, *weights = [np.random.default_rng(i).standard_normal(w.shape) for i, w in enumerate(model.get_weights())]
    model.set_weights([slopes, *weights])
    seen = np.where(given > 0, given, slopes * given)
    seen = np.moveaxis(seen, 1, -1) if first(kind) else seen
    z = reference.convolve(seen, weights[0], weights[1] if len(weights) > 1 else None, **settings)
    y = model.predict(given, verbose=0)
    np.testing.assert_allclose(y, as_first(z) if first(kind) else z, TOLERANCE, TOLERANCE)
    targets = np.random.default_rng(9).standard_normal(y.shape)
    model.compile(nn.SGD(1.0), "mse")
    model.fit(given, targets, epochs=1, batch_size=len(x), verbose=0)
    dz = 2 * (y - targets) / y.size
    dz = np.moveaxis(dz, 1, -1) if first(kind) else dz
    dx, dw, db = reference.convolve_backward(seen, weights[0], dz, **settings)
    dx = as_first(dx) if first(kind) else dx
    wanted = [(dx * np.minimum(given, 0)).sum(0), dw, db]
    for before, after, gradient in zip([slopes, *weights], model.get_weights(), wanted, strict=False):
        np.testing.assert_allclose(before - after, gradient, 1e-9, 1e-11)


@KINDS
def test_shapes_are_those_of_the_values(kind: str) -> None:
    x = data_of(kind)
    given = as_first(x) if first(kind) else x
    layer = layer_of(kind)
    assert layer(given).shape[1:] == layer.output_shape(given.shape[1:])


@pytest.mark.parametrize(
    "kind", ["images", "at points", "strides", "holes", "groups", "single places apart", "causal series", "lines"]
)
def test_neither_threads_nor_batches_change_a_bit(kind: str, teams: None) -> None:
    x = data_of(kind, 70).astype(np.float32)
    made = []
    for threads in (1, 2, 7):
        model = nn.Sequential(
            [nn.Input(x.shape[1:]), layer_of(kind, activation="gelu"), nn.Flatten(), nn.Dense(3)],
            seed=1,
            n_threads=threads,
        )
        model.compile("adam", "mse")
        history = model.fit(x, np.ones((70, 3)), epochs=2, batch_size=33, verbose=0).history
        made.append([*model.get_weights(), np.array(history["loss"]), model.predict(x, verbose=0)])
        alone = np.concatenate([model.predict(x[i : i + 7], verbose=0) for i in range(0, 70, 7)])
        assert_same_bits(alone, made[-1][-1])
    for other in made[1:]:
        for a, b in zip(made[0], other, strict=True):
            assert_same_bits(a, b)


@pytest.mark.parametrize("layer", [lambda: nn.Conv2D(2, (1, 4)), lambda: nn.Conv2D(24, 1, 2), lambda: nn.Conv2D(5, 1)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_kernels_of_one_row_have_the_bits_of_their_sizes(layer: Any, dtype: str, teams: None) -> None:
    """Lines that a thread takes alone, or with others; deeper than a block of sums; in training and prediction."""
    x = np.random.default_rng(1).standard_normal((6, 9, 60, 600)).astype(dtype)
    made = []
    for threads in (1, 2, 5):
        model = nn.Sequential([nn.Input(x.shape[1:]), layer()], seed=1, n_threads=threads, dtype=dtype)
        seen = [model(x, training=True), model.predict(x, verbose=0), model.predict(x, batch_size=1, verbose=0)]
        model.compile(nn.SGD(0.1), "mse")
        model.fit(x, np.ones(seen[0].shape), batch_size=5, verbose=0)
        made += [[y, *model.get_weights()] for y in seen]
    for other in made[1:]:
        for a, b in zip(made[0], other, strict=True):
            assert_same_bits(a, b)


def test_more_lines_than_segments() -> None:
    """Of images so high, and windows so deep, that all lines of a sample fit a thread's room: 4,176 of them."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((1, 5200, 6, 8)), rng.standard_normal((1025, 3, 8, 8))
    layer = nn.Conv2D(8, (1025, 3), use_bias=False)
    model = nn.Sequential([nn.Input(x.shape[1:]), layer], dtype="float64")
    model.set_weights([w])
    y = model.predict(x, verbose=0)[0]
    for i, j in ((0, 0), (4095, 2), (4096, 1), (4175, 3)):
        np.testing.assert_allclose(y[i, j], np.einsum("hwc,hwcn->n", x[0, i : i + 1025, j : j + 3], w), 1e-9, 1e-9)


def test_rounding_at_points() -> None:
    """Of windows that are multiplied at points: an error of a few units, as of sums of as many products."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 12, 16, 64)), rng.standard_normal((3, 3, 64, 32)) / 24
    layer = nn.Conv2D(32, 3, use_bias=False)
    layer.build((None, 12, 16, 64))
    layer.set_weights([w])
    settings: dict[str, Any] = {"strides": (1, 1), "dilation": (1, 1), "pads": [(0, 0), (0, 0)]}
    x32, w32 = x.astype(np.float32), w.astype(np.float32)
    error = layer(x32) - reference.convolve(x32, w32, None, **settings)
    assert np.sqrt(np.mean(error**2)) < 8 * np.finfo(np.float32).eps  # of numbers whose variance is 1


def test_what_is_not_finite_stays_within_a_tile() -> None:
    """Of windows at points, a nan reaches at most three beside those that it is in, and no others."""
    x = np.zeros((1, 8, 24, 8), np.float32)
    x[0, 4, 11, 3] = np.nan
    layer = nn.Conv2D(8, 3, padding="same")
    found = np.isnan(layer(x))[0].any(-1)
    assert found[3:6, 10:13].all()
    assert not found[:3].any() and not found[6:].any() and not found[:, :7].any() and not found[:, 16:].any()


def test_more_filters_than_windows_have_room() -> None:
    x = np.ones((3, 1, 1, 1))
    model = nn.Sequential([nn.Input((1, 1, 1)), nn.Conv2D(300_000, 1)], seed=1, dtype="float64")
    y = model.predict(x, verbose=0)
    before = model.get_weights()[1]
    model.compile(nn.SGD(1.0), "mse")
    model.fit(x, np.zeros_like(y), batch_size=3, verbose=0)
    np.testing.assert_allclose(before - model.get_weights()[1], (2 * y / y.size).sum((0, 1, 2)), 1e-9, 1e-20)


@pytest.mark.parametrize(("filters", "dilation", "channels"), [(512, 512, 128), (400, 700, 64)])
def test_more_filters_than_a_band_has_room(filters: int, dilation: int, channels: int) -> None:
    """Where a window of dZ is larger than any of X may be, dX comes from windows of X."""
    x = np.random.default_rng(0).standard_normal((1, 1200, channels))
    convolution = nn.Conv1D(filters, 2, dilation_rate=dilation, padding="causal", use_bias=False)
    layers = [nn.Input(x.shape[1:]), nn.Dense(channels, use_bias=False), convolution]
    model = nn.Sequential(layers, seed=1, dtype="float64")
    [first, w], y = model.get_weights(), model.predict(x, verbose=0)
    model.compile(nn.SGD(1.0), "mse")
    model.fit(x, np.zeros_like(y), batch_size=1, verbose=0)
    settings: dict[str, Any] = {"strides": (1,), "dilation": (dilation,), "pads": [(dilation, 0)]}
    dx = reference.convolve_backward(x @ first, w, 2 * y / y.size, **settings)[0]
    np.testing.assert_allclose(first - model.get_weights()[0], np.einsum("bti,bto->io", x, dx), 1e-9, 1e-11)


@pytest.mark.parametrize(("filters", "dilation"), [(3, 3), (40, 1)])
def test_long_lines_are_cut(filters: int, dilation: int) -> None:
    """More windows side by side than are taken at a time, and more of an image than a thread lays out."""
    x = np.random.default_rng(0).standard_normal((2, 3000, 40))
    layer = nn.Conv1D(filters, 5, padding="same", dilation_rate=dilation)
    model = nn.Model([nn.Input(x.shape[1:]), nn.Conv1D(40, 1), layer], dtype="float64", seed=2)
    [w0, b0, w, b] = model.get_weights()
    seen = x @ w0[0] + b0
    settings: dict[str, Any] = {"strides": (1,), "dilation": (dilation,), "pads": [(2 * dilation,) * 2]}
    y = model.predict(x, verbose=0)
    np.testing.assert_allclose(y, reference.convolve(seen, w, b, **settings), 1e-11, 1e-11)
    model.compile(nn.SGD(1.0), "mse")
    model.fit(x, np.zeros_like(y), batch_size=2, verbose=0)
    dx, dw, db = reference.convolve_backward(seen, w, 2 * y / y.size, **settings)
    wanted = [np.einsum("bti,bto->io", x, dx)[None], dx.sum((0, 1)), dw, db]
    for before, after, gradient in zip([w0, b0, w, b], model.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(before - after, gradient, 1e-9, 1e-11)


@ISAS
def test_more_lines_than_pairs_of_windows_have_room(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one channel and two filters: lines are taken in two parts, where vectors have at least four lanes."""
    use_isa(isa, monkeypatch)
    x = np.random.default_rng(0).standard_normal((1, 450, 302, 1))
    model = nn.Sequential([nn.Input(x.shape[1:]), nn.Conv2D(2, 3)], seed=1, dtype="float64")
    [w, b], y = model.get_weights(), model.predict(x, verbose=0)
    model.compile(nn.SGD(1.0), "mse")
    model.fit(x, np.ones_like(y), batch_size=2, verbose=0)
    settings: dict[str, Any] = {"strides": (1, 1), "dilation": (1, 1), "pads": [(0, 0), (0, 0)]}
    _, dw, db = reference.convolve_backward(x, w, 2 * (y - 1) / y.size, **settings)
    for before, after, gradient in zip([w, b], model.get_weights(), [dw, db], strict=True):
        np.testing.assert_allclose(before - after, gradient, 1e-9, 1e-11)


@pytest.mark.parametrize("size", [(1, 1), (3, 3)])
def test_precisions(size: tuple[int, int], precision: str) -> None:
    """Products of bfloat16 are as far from float64's as their rounding allows, forward and backward, by any threads."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((12, 9, 9, 64)).astype(np.float32)
    made = []
    for threads in (1, 3):
        layers = [nn.Input(x.shape[1:]), nn.Conv2D(64, 1), nn.Conv2D(96, size, padding="same", activation="tanh")]
        model = nn.Sequential(layers, seed=1, n_threads=threads)
        model.compile(nn.SGD(0.5), "mse", matmul_precision=precision)
        start = model.get_weights()
        y = model.predict(x, verbose=0)
        model.fit(x, np.ones_like(y), batch_size=12, verbose=0)
        made.append([y, *model.get_weights()])
    for a, b in zip(*made, strict=True):
        assert_same_bits(a, b)
    w0, b0, w, b = (a.astype(np.float64) for a in start)
    pads = [(n // 2, n // 2) for n in size]
    settings: dict[str, Any] = {"strides": (1, 1), "dilation": (1, 1), "pads": pads}
    seen = x.astype(np.float64) @ w0[0, 0] + b0
    wide = np.tanh(reference.convolve(seen, w, b, **settings))
    error = {"high": 2e-5, "medium": 2e-2}[precision]
    assert abs(y - wide).max() <= error * abs(wide).max()
    dz = 2 * (wide - 1) / wide.size * (1 - wide**2)
    dx, dw, _ = reference.convolve_backward(seen, w, dz, **settings)
    for before, after, gradient in (
        (w, made[0][3], dw),
        (w0, made[0][1], np.einsum("bhwi,bhwo->io", x, dx)[None, None]),
    ):
        assert abs((before - after) / 0.5 - gradient).max() <= 3 * error * abs(gradient).max() + 1e-6


# -- transposed --------------------------------------------------------------------------------------------------------

#: rank, steps, size, strides, what else, and the length that Keras documents
TRANSPOSED: list[tuple[int, int, int, int, dict[str, Any], int]] = [
    (1, 5, 3, 1, {}, 7),
    (1, 5, 3, 2, {}, 11),
    (1, 5, 2, 3, {}, 15),
    (1, 5, 3, 2, {"padding": "same"}, 10),
    (1, 5, 4, 2, {"padding": "same"}, 10),
    (1, 5, 3, 2, {"padding": "same", "output_padding": 1}, 10),
    (1, 5, 3, 2, {"padding": "same", "output_padding": 0}, 9),
    (1, 5, 2, 2, {"padding": "same", "output_padding": 0}, 8),
    (1, 5, 4, 3, {"padding": "same", "output_padding": 2}, 14),
    (1, 5, 7, 3, {"padding": "same", "output_padding": 2, "dilation_rate": 2}, 15),
    (1, 5, 3, 3, {"output_padding": 2}, 17),
    (1, 5, 3, 1, {"dilation_rate": 2, "padding": "same"}, 5),
    (2, 4, 3, 2, {}, 9),
    (2, 4, 5, 2, {"padding": "same"}, 8),
    (2, 4, 3, 1, {"padding": "same", "data_format": "channels_first"}, 4),
]


@pytest.mark.parametrize(("rank", "steps", "size", "strides", "given", "length"), TRANSPOSED)
def test_transposed_convolutions(
    rank: int, steps: int, size: int, strides: int, given: dict[str, Any], length: int
) -> None:
    """Y is the gradient of a convolution's input, in closed form; backward is that convolution."""
    is_first = given.get("data_format") == "channels_first"
    rng = np.random.default_rng(steps)
    x = rng.standard_normal((3, *(steps,) * rank, 4))
    layer = (nn.Conv1DTranspose if rank == 1 else nn.Conv2DTranspose)(6, size, strides, activation="tanh", **given)
    symbol = nn.Input(as_first(x).shape[1:] if is_first else x.shape[1:])
    model = nn.Model(symbol, layer(nn.PReLU()(symbol)), dtype="float64", seed=3)
    slopes, w, b = weights = [rng.standard_normal(v.shape) for v in model.get_weights()]
    model.set_weights(weights)
    asked = as_first(x) if is_first else x
    seen = np.where(asked > 0, asked, slopes * asked)
    seen = np.moveaxis(seen, 1, -1) if is_first else seen
    y = model.predict(asked, verbose=0)
    y_last = np.moveaxis(y, 1, -1) if is_first else y
    assert y_last.shape == (3, *(length,) * rank, 6)
    reach = (size - 1) * given.get("dilation_rate", 1) + 1
    cut = max((steps - 1) * strides + reach - length, 0)  # of "same" half before, half or one more behind
    before = cut // 2 if given.get("padding") == "same" else 0
    behind = max((steps - 1) * strides + reach - before - length, 0)
    settings: dict[str, Any] = {"strides": (strides,) * rank, "dilation": (given.get("dilation_rate", 1),) * rank}
    settings["pads"] = [(before, behind)] * rank
    empty = np.zeros((3, *(length,) * rank, 6))
    z = reference.convolve_backward(empty, w, seen, **settings)[0] + b
    np.testing.assert_allclose(y_last, np.tanh(z), TOLERANCE, TOLERANCE)
    targets = rng.standard_normal(y.shape)
    model.compile(nn.SGD(1.0), "mse")
    model.fit(asked, targets, batch_size=3, verbose=0)
    dz = 2 * (y - targets) / y.size * (1 - y**2)
    dz = np.moveaxis(dz, 1, -1) if is_first else dz
    dx = reference.convolve(dz, w, None, **settings)
    dw = reference.convolve_backward(dz, w, seen, **settings)[1]
    dx = as_first(dx) if is_first else dx
    wanted = [(dx * np.minimum(asked, 0)).sum(0), dw, dz.sum(tuple(range(rank + 1)))]
    for start, after, gradient in zip(weights, model.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(start - after, gradient, 1e-9, 1e-11)


def test_transposed_convolutions_by_hand() -> None:
    """Three ones, each giving 1, 2, 3 to its window, two places apart: 1 2 4 2 4 2 3, of which "same" cuts ends off."""
    x = np.ones((1, 3, 1))
    for size, more, expected in (
        (3, 1, [1, 2, 4, 2, 4, 2]), (3, 0, [2, 4, 2, 4, 2]), (3, None, [1, 2, 4, 2, 4, 2]), (2, 0, [2, 1, 2, 1])
    ):  # fmt: skip
        layer = nn.Conv1DTranspose(1, size, 2, "same", more, use_bias=False)
        layer.build((None, 3, 1))
        layer.set_weights([np.arange(1.0, size + 1).reshape(size, 1, 1)])
        assert layer(x).ravel().tolist() == expected


# -- around ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: nn.Conv2D(0, 3), "filters"),
        (lambda: nn.Conv2D(4, (3, 3, 3)), "kernel_size: expected a whole number of at least 1, or a tuple of 2"),
        (lambda: nn.Conv2D(4, 3, strides=0), "strides"),
        (lambda: nn.Conv2D(4, 3, padding="causal"), "padding: expected 'valid' or 'same'"),
        (lambda: nn.Conv2D(4, 3, data_format="last"), "data_format"),
        (lambda: nn.Conv2D(4, 3, groups=3), "filters: expected a multiple of groups, 3, got 4"),
        (lambda: nn.Conv2D(4, 3, groups=2)(nn.Input((8, 8, 3))), "Conv2D: expected inputs whose channels"),
        (lambda: nn.Conv2D(4, 3)(nn.Input((8, 8))), r"Conv2D: expected inputs \(batch, height, width, channels\)"),
        (lambda: nn.Conv1D(4, 3)(nn.Input((8,))), r"Conv1D: expected inputs \(batch, steps, channels\)"),
        (lambda: nn.Conv1D(4, 9)(nn.Input((8, 1))), "Conv1D: expected inputs of at least 9 places"),
        (lambda: nn.Conv1D(4, 200, padding="same")(np.zeros((1, 9, 700))), "kernel_size: expected windows"),
        (lambda: nn.Conv2DTranspose(4, 3, 2, output_padding=2), "output_padding: expected less than the strides"),
    ],
)  # fmt: skip
def test_refusals(make: Any, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        make()


def test_a_saved_model_goes_on(tmp_path: Path) -> None:
    """Files hold arguments and weights; a fit that was resumed has the bits of one that was not."""
    x = np.random.default_rng(0).standard_normal((40, 8, 8, 2)).astype(np.float32)
    layers = [
        nn.Input((8, 8, 2)),
        nn.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
        nn.Conv2DTranspose(2, 2, 2),
    ]
    model = nn.Sequential(layers, seed=1)
    model.compile("adam", "mse")
    model.fit(x, x, epochs=1, batch_size=16, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = nn.load_model(tmp_path / "m.safetensors")
    assert [layer.get_config() for layer in again.layers] == [layer.get_config() for layer in model.layers]
    assert_same_bits(again.predict(x, verbose=0), model.predict(x, verbose=0))
    for m in (model, again):
        m.fit(x, x, epochs=2, batch_size=16, verbose=0)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        assert_same_bits(a, b)
