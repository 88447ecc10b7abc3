"""Convolutions of each channel by itself, alone and before a product: shapes, values, gradients, bits, files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore.execution import team

Array = NDArray[Any]
D1, D2, S1, S2 = nn.DepthwiseConv1D, nn.DepthwiseConv2D, nn.SeparableConv1D, nn.SeparableConv2D

#: Layers in shapes of samples.
LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "three by three": (lambda: D2(3, padding="same", activation="tanh"), (5, 6, 4)),
    "inside": (lambda: D2(3, use_bias=False), (4, 5, 3)),
    "one by one": (lambda: D2(1, activation="relu"), (3, 2, 2)),
    "steps of two": (lambda: D2(3, 2, "same"), (6, 7, 3)),
    "steps beyond the kernel": (lambda: D2((2, 1), (3, 2), "valid"), (8, 5, 2)),
    "dilated": (lambda: D2(2, dilation_rate=2, padding="same"), (5, 4, 3)),
    "dilated steps": (lambda: D2((3, 2), (2, 3), "same", dilation_rate=(2, 3)), (7, 8, 2)),
    "kernel larger than the image": (lambda: D2((5, 4), padding="same"), (2, 3, 3)),
    "one place": (lambda: D2(3, padding="same"), (1, 1, 3)),
    "three of each channel": (lambda: D2(2, depth_multiplier=3, activation="gelu"), (3, 4, 2)),
    "several of one channel": (lambda: D2(3, padding="same", depth_multiplier=4), (4, 4, 1)),
    "channels first": (lambda: D2((2, 3), (1, 2), "same", 2, "channels_first", activation="silu"), (2, 4, 5)),
    "with penalties": (lambda: D2(2, depthwise_regularizer="l2", bias_regularizer="l1"), (3, 3, 2)),
    "series": (lambda: D1(3, activation="softplus"), (6, 3)),
    "series in steps": (lambda: D1(4, 3, "same", 2), (8, 2)),
    "series, dilated": (lambda: D1(3, dilation_rate=2, padding="same", use_bias=False), (5, 3)),
    "series, channels first": (lambda: D1(2, data_format="channels_first"), (3, 4)),
    "separable": (lambda: S2(5, 3, padding="same", activation="relu"), (4, 5, 3)),
    "separable in steps": (lambda: S2(2, (3, 2), (2, 1), depth_multiplier=2, use_bias=False), (5, 4, 2)),
    "separable, channels first": (lambda: S2(3, 2, data_format="channels_first", dilation_rate=2), (2, 4, 4)),
    "separable series": (lambda: S1(4, 3, 2, "same", depth_multiplier=2, activation="tanh"), (7, 3)),
    "separable series, channels first": (lambda: S1(2, 3, data_format="channels_first"), (3, 5)),
}
KINDS = pytest.mark.parametrize("kind", LAYERS)


def model_of(kind: str, **settings: Any) -> nn.Model:
    """The layer between two that learn."""
    make, shape = LAYERS[kind]
    model = nn.Model(
        [nn.Input(shape), nn.Dense(shape[-1], "tanh"), make(), nn.Flatten(), nn.Dense(2)], seed=4, **settings
    )
    networks.randomize(model)
    return model


def data_of(kind: str, rows: int = 7) -> tuple[Array, Array]:
    rng = np.random.default_rng(rows)
    return rng.normal(size=(rows, *LAYERS[kind][1])), rng.normal(size=(rows, 2))


@KINDS
@pytest.mark.parametrize("isa", nn.available_isas())
def test_values_and_gradients(kind: str, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions by the formula, the gradient of a step by differences of its loss."""
    networks.use_isa(isa, monkeypatch)
    model, (x, t) = model_of(kind, dtype="float64"), data_of(kind)
    np.testing.assert_allclose(model.predict(x), networks.forward(model, model.get_weights(), x), 1e-11, 1e-12)
    model.compile(nn.SGD(1.0), "mse")
    expected = networks.numerical_gradients(model, x, t)
    value = networks.objective(model, model.get_weights(), x, t)
    found_value, found = networks.gradients(model, x, t)
    assert found_value == pytest.approx(value, rel=1e-11)
    for p, a, b in zip(model.weights, found, expected, strict=True):
        np.testing.assert_allclose(a, b, 1e-6, 1e-8, err_msg=p.path)


@KINDS
def test_float32_is_the_rounded_float64(kind: str) -> None:
    found = []
    for dtype in ("float32", "float64"):
        model, (x, t) = model_of(kind, dtype=dtype), data_of(kind, 40)
        model.compile(nn.SGD(0.05), "mse")
        model.fit(x, t, batch_size=16, epochs=3, verbose=0, shuffle=False)
        found.append(model.get_weights())
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, 2e-3, 2e-4)


@KINDS
def test_bits_are_those_of_any_number_of_threads(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 1)
    found = []
    for threads in (1, 2, 7):
        model, (x, t) = model_of(kind, n_threads=threads), data_of(kind, 150)
        model.compile("adam", "mse")
        model.fit(x, t, batch_size=64, epochs=2, verbose=0)
        found.append([*model.get_weights(), model.predict(x), np.concatenate([model(x[:7]), model(x[7:])])])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
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


@KINDS
def test_alone_on_arrays(kind: str) -> None:
    make, _ = LAYERS[kind]
    x, _ = data_of(kind)
    layer = make()
    y = layer(x.astype(np.float32))
    model = nn.Model([nn.Input(x.shape[1:]), layer])
    np.testing.assert_allclose(y, networks.forward(model, layer.get_weights(), x), 1e-4, 1e-4)


#: What Keras 3.15 gives for inputs (None, *shape), its weights' shapes first.
SHAPES: list[tuple[Any, tuple[int, ...], list[tuple[int, ...]], tuple[int, ...]]] = [
    (lambda: D2(3), (10, 10, 12), [(3, 3, 12, 1), (12,)], (8, 8, 12)),
    (lambda: D2((3, 5), 2, "same", 2), (9, 10, 4), [(3, 5, 4, 2), (8,)], (5, 5, 8)),
    (lambda: D2(3, 2, "valid"), (10, 9, 2), [(3, 3, 2, 1), (2,)], (4, 4, 2)),
    (lambda: D2(3, dilation_rate=(2, 3)), (10, 9, 2), [(3, 3, 2, 1), (2,)], (6, 3, 2)),
    (lambda: D2(2, data_format="channels_first", use_bias=False), (3, 5, 6), [(2, 2, 3, 1)], (3, 4, 5)),
    (lambda: D1(3, 3, "same"), (10, 12), [(3, 12, 1), (12,)], (4, 12)),
    (lambda: D1(3, depth_multiplier=3), (10, 2), [(3, 2, 3), (6,)], (8, 6)),
    (lambda: S2(7, 3), (10, 10, 12), [(3, 3, 12, 1), (1, 1, 12, 7), (7,)], (8, 8, 7)),
    (lambda: S2(3, 2, 3, "same", depth_multiplier=2), (7, 8, 4), [(2, 2, 4, 2), (1, 1, 8, 3), (3,)], (3, 3, 3)),
    (lambda: S1(4, 3), (10, 12), [(3, 12, 1), (1, 12, 4), (4,)], (8, 4)),
    (lambda: S1(4, 2, 2, data_format="channels_first"), (3, 9), [(2, 3, 1), (1, 3, 4), (4,)], (4, 4)),
]


@pytest.mark.parametrize(("make", "shape", "weights", "output"), SHAPES)
def test_shapes_are_those_of_keras(make: Any, shape: Any, weights: Any, output: Any) -> None:
    layer = make()
    assert nn.Model([nn.Input(shape), layer]).output_shape[1:] == output
    assert [p.shape for p in layer.weights] == weights


def test_what_depthwise_weights_are_called() -> None:
    """And which initializer, regularizer and constraint each one has."""
    constraint = nn.constraints.NonNeg()
    alone = D2(2, depthwise_initializer="ones", depthwise_constraint=constraint, bias_constraint="max_norm")
    joined = S2(3, 2, depthwise_constraint=constraint, pointwise_constraint="unit_norm", pointwise_initializer="zeros")
    nn.Model([nn.Input((4, 4, 2)), alone, joined])
    assert [p.name for p in alone.weights] == ["kernel", "bias"]
    assert [p.name for p in joined.weights] == ["depthwise_kernel", "pointwise_kernel", "bias"]
    assert (alone.get_weights()[0] == 1).all() and not joined.get_weights()[1].any()
    assert alone.kernel.constraint is constraint and isinstance(alone.bias.constraint, nn.constraints.MaxNorm)
    assert joined.depthwise_kernel.constraint is constraint and joined.bias.constraint is None
    assert isinstance(joined.pointwise_kernel.constraint, nn.constraints.UnitNorm)


def test_a_constraint_holds_after_each_update() -> None:
    model = nn.Model([nn.Input((4, 4, 2)), D2(3, depthwise_constraint="non_neg"), nn.Flatten(), nn.Dense(1)], seed=1)
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(32, 4, 4, 2))
    model.fit(x, x[:, :1, 0, 0], verbose=0)
    assert (model.get_weights()[0] >= 0).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: D2(0), "kernel_size: expected"),
        (lambda: D2((3, 3, 3)), "kernel_size: expected"),
        (lambda: D2(3, padding="causal"), "padding: expected 'valid' or 'same'"),
        (lambda: D1(3, padding="causal"), "padding: expected 'valid' or 'same'"),
        (lambda: D2(3, strides=0), "strides: expected"),
        (lambda: D2(3, depth_multiplier=0), "depth_multiplier: expected"),
        (lambda: D2(3, data_format="last"), "data_format: expected"),
        (lambda: S2(0, 3), "filters: expected"),
        (lambda: D2(6)(nn.Input((5, 5, 2))), "DepthwiseConv2D: expected inputs of at least 6 × 6 places, got"),
        (lambda: D2(3)(nn.Input((5, 5))), "DepthwiseConv2D: expected inputs"),
        (lambda: S1(3, 3)(nn.Input((5, 5, 2))), "SeparableConv1D: expected inputs"),
    ],
)
def test_errors(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_normalized_and_activated_behind_it() -> None:
    """Depthwise, normalization, activation, product, twice: what is joined computes what the layers say."""

    def block() -> list[Any]:
        return [
            D2(3, padding="same", use_bias=False), nn.BatchNormalization(), nn.ReLU(), nn.Dense(3, use_bias=False),
            nn.BatchNormalization(center=False), nn.Activation("silu"),
        ]  # fmt: skip

    layers = [nn.Input((4, 5, 3)), nn.Dense(3), *block(), *block(), nn.Flatten(), nn.Dense(2)]
    model, rng = nn.Model(layers, seed=2, dtype="float64"), np.random.default_rng(1)
    networks.randomize(model)
    x, t = rng.normal(size=(9, 4, 5, 3)), rng.normal(size=(9, 2))
    model.compile(nn.SGD(1.0), "mse")
    expected = networks.numerical_gradients(model, x, t, step=0, most=8)
    for p, a, b in zip(model.weights, networks.gradients(model, x, t)[1], expected, strict=True):
        if p.role == "weight":
            known = np.isfinite(b)
            np.testing.assert_allclose(a[known], b[known], 1e-6, 1e-8, err_msg=p.path)


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("stride", "dilation", "kernel"), [(1, 1, 3), (2, 1, 3), (1, 2, 3), (1, 1, 5), (2, 2, 2)])
def test_against_pytorch(stride: int, dilation: int, kernel: int, dtype: str) -> None:
    """Training of a depthwise convolution, whose multiplier is 2, and a separable one."""
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(stride)
    x, t = (rng.standard_normal((16, *shape)).astype(dtype) for shape in [(11, 9, 3), (2,)])
    layers = [
        nn.Input((11, 9, 3)), D2(kernel, stride, depth_multiplier=2, dilation_rate=dilation, activation="relu"),
        S2(4, 3, padding="same", activation="tanh"), nn.Flatten(), nn.Dense(2),
    ]  # fmt: skip
    model = nn.Model(layers, seed=3, dtype=dtype)
    model.compile(nn.SGD(0.1), "mse")
    weights = [torch.tensor(w, requires_grad=True) for w in model.get_weights()]
    w, b, u, v, c, d, e = weights
    optimizer, convolve = torch.optim.SGD(weights, lr=0.1), torch.nn.functional.conv2d
    for _ in range(4):
        y = torch.tensor(x).permute(0, 3, 1, 2)
        y = convolve(y, w.permute(2, 3, 0, 1).reshape(6, 1, kernel, kernel), b, stride, 0, dilation, groups=3).relu()
        y = convolve(y, u.permute(2, 3, 0, 1), None, 1, 1, groups=6)
        y = torch.tanh(convolve(y, v.permute(3, 2, 0, 1), c)).permute(0, 2, 3, 1).reshape(16, -1) @ d + e
        optimizer.zero_grad()
        ((y - torch.tensor(t)) ** 2).mean().backward()
        optimizer.step()
        model.train_on_batch(x, t)
    for ours, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), *((1e-10, 1e-12) if dtype == "float64" else (1e-3, 1e-5)))
