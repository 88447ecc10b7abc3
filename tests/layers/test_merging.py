"""Layers that join symbols, and what operators on symbols make: values, gradients, files, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn

Array = NDArray[Any]

RNG = np.random.default_rng(4)
CONFIGURED = {nn.Concatenate: [{"axis": 1}, {"axis": -1}], nn.Dot: [{"axes": -1}, {"axes": 2, "normalize": True}]}
MERGING = [
    (cls, settings)
    for cls in (
        nn.Add, nn.Subtract, nn.Multiply, nn.Divide, nn.Average, nn.Maximum, nn.Minimum, nn.Concatenate, nn.Dot,
    )
    for settings in CONFIGURED.get(cls, [{}])
]  # fmt: skip


def test_every_layer_of_several_inputs_is_here() -> None:
    several = {cls for cls in nn.layers.LAYERS.classes.values() if cls.__module__ == nn.layers.merging.__name__}
    assert several == {cls for cls, _ in MERGING}


def trained(outputs: Any, inputs: Any, xs: list[Array], seed: int = 0) -> None:
    """Loss and gradients of a step on outputs of an ordinary model are those of float64 NumPy."""
    model = nn.Model(inputs, nn.Dense(2)(nn.Flatten()(outputs)), seed=seed, dtype="float64")
    model.compile(nn.SGD(1.0), "mse")
    networks.randomize(model, seed)
    target = np.random.default_rng(seed).standard_normal((len(xs[0]), 2))

    def value(weights: list[Array]) -> float:
        return float(((networks.outputs(model, weights, xs)[0] - target) ** 2).mean())

    weights = model.get_weights()
    wanted, expected = networks.differences(model, value), value(weights)
    before = [w.copy() for w in weights]
    assert model.train_on_batch(xs if len(xs) > 1 else xs[0], target) == pytest.approx(expected, rel=1e-11)
    for p, a, b, w in zip(model.weights, before, model.get_weights(), wanted, strict=True):
        np.testing.assert_allclose(a - b, w, rtol=0, atol=1e-8 * max(1, abs(w).max()), err_msg=p.path)


@pytest.mark.parametrize("isa", nn.available_isas())
@pytest.mark.parametrize(("cls", "settings"), MERGING)
def test_merging(cls: Any, settings: Any, isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two branches with weights, so that either gradient counts."""
    networks.use_isa(isa, monkeypatch)
    x = nn.Input((3, 4))
    a, b = nn.Dense(5, "tanh")(x), nn.Dense(5, "softplus")(x)
    trained(cls(**settings)([a, b]), x, [RNG.standard_normal((6, 3, 4))])


@pytest.mark.parametrize("cls", [nn.Add, nn.Multiply, nn.Average, nn.Maximum, nn.Minimum])
def test_more_than_two(cls: Any) -> None:
    x = nn.Input((3, 4))
    branches = [nn.Dense(2, f)(x) for f in ("tanh", "sigmoid", "softsign")]
    trained(cls()(branches), x, [RNG.standard_normal((6, 3, 4))])


SHAPES = [[(2, 3), (1, 3)], [(2, 1), (1, 3)], [(3,), (2, 3)], [(1,), (4, 2, 3)], [(2, 1, 3), (4, 1)]]


@pytest.mark.parametrize("shapes", SHAPES)
@pytest.mark.parametrize("cls", [nn.Add, nn.Subtract, nn.Multiply, nn.Divide, nn.Maximum])
def test_broadcasting(cls: Any, shapes: Any) -> None:
    x = nn.Input(4)
    branches = [nn.Reshape(s)(nn.Dense(int(np.prod(s)), "softplus")(x)) for s in shapes]
    made = cls()(branches)
    assert made.shape == (None, *np.broadcast_shapes(*shapes))
    trained(made, x, [RNG.standard_normal((5, 4))])


@pytest.mark.parametrize(
    ("shapes", "axes", "expected"),
    [
        ([(3,), (3,)], 1, (1,)),
        ([(2, 3), (4, 3)], 2, (2, 4)),
        ([(3, 2), (3, 4)], 1, (2, 4)),
        ([(2, 3), (3, 4)], (2, 1), (2, 4)),
        ([(2, 3, 4), (5, 3)], (-2, -1), (2, 4, 5)),
        ([(2, 3), (3,)], (2, 1), (2,)),
    ],
)
@pytest.mark.parametrize("normalize", [False, True])
def test_dot(shapes: Any, axes: Any, expected: Any, normalize: bool) -> None:
    x = nn.Input(4)
    branches = [nn.Reshape(s)(nn.Dense(int(np.prod(s)))(x)) for s in shapes]
    made = nn.Dot(axes, normalize)(branches)
    assert made.shape == (None, *expected)
    trained(made, x, [RNG.standard_normal((5, 4))])


def test_dot_of_arrays_is_a_sum_of_products() -> None:
    a, b = RNG.standard_normal((2, 5, 3, 4))
    np.testing.assert_allclose(nn.layers.dot([a, b], axes=2), np.einsum("bik,bjk->bij", a, b), rtol=1e-12)
    cosines = nn.layers.dot([a, b], axes=(1, 1), normalize=True)
    lengths = np.linalg.norm(a, axis=1)[:, :, None] * np.linalg.norm(b, axis=1)[:, None]
    np.testing.assert_allclose(cosines, np.einsum("bki,bkj->bij", a, b) / lengths, rtol=1e-12)
    assert (nn.layers.dot([0 * a, b], axes=2, normalize=True) == 0).all()


def test_equal_ones_share_the_gradient() -> None:
    """As in PyTorch and JAX: half to each of two."""
    x = nn.Input(1)
    a, b = (nn.Dense(1, use_bias=False, kernel_initializer="ones")(x) for _ in range(2))
    for cls in (nn.Maximum, nn.Minimum):
        model = nn.Model(x, cls()([a, b]), dtype="float64")
        model.compile(nn.SGD(1.0), "mse")
        model.set_weights([np.ones((1, 1)), np.ones((1, 1))])
        model.train_on_batch(np.array([[1.0]]), np.array([[0.0]]))
        np.testing.assert_allclose(model.get_weights(), 0)  # 2 (1 − 0) / 2 each


FEW, MORE = np.array([[True, False, False]]), np.array([[True, True, False]])
ALL_BUT = np.arange(12).reshape(1, 3, 4) > 5  # an element of each row's own


@pytest.mark.parametrize("cls", [nn.Add, nn.Subtract, nn.Multiply, nn.Average, nn.Maximum, nn.Minimum])
def test_masks_of_sums_count_what_counts_in_one_input(cls: Any) -> None:
    x = np.ones((1, 3, 4))
    np.testing.assert_array_equal(cls().compute_mask([x, x], [FEW, MORE]), [[True, True, False]])
    np.testing.assert_array_equal(cls().compute_mask([x, x], [FEW.astype(float), FEW]), FEW)
    assert cls().compute_mask([x, x], [FEW, None]) is None and cls().compute_mask([x, x], [None, None]) is None
    assert cls().compute_mask([x, x]) is None


def test_masks_side_by_side() -> None:
    x = np.ones((1, 3, 4))
    steps, features = nn.Concatenate(axis=1), nn.Concatenate()
    np.testing.assert_array_equal(steps.compute_mask([x, x], [FEW, MORE]), [[True, False, False, True, True, False]])
    np.testing.assert_array_equal(steps.compute_mask([x, x], [FEW, None]), [[True, False, False, True, True, True]])
    np.testing.assert_array_equal(features.compute_mask([x, x], [FEW, MORE]), MORE)
    np.testing.assert_array_equal(features.compute_mask([x, x], [FEW, ALL_BUT]), [[True, True, True]])
    assert features.compute_mask([x, x], [None, None]) is None
    with pytest.raises(ValueError, match=r"mask: expected the axes of an input, .* got shape \(1,\) for"):
        steps.compute_mask([x, x], [FEW, np.array([True])])
    for pooling in (nn.GlobalAveragePooling1D(), nn.GlobalMaxPooling1D()):
        assert pooling.compute_mask(x, FEW) is None
    symbols = [nn.Input((3, 4)), nn.Input((2, 4))]
    np.testing.assert_array_equal(steps.compute_mask(symbols, [FEW, None]), [[True, False, False, True, True]])
    assert nn.Dot(-1).compute_mask([x, x], [FEW, MORE]) is None
    assert nn.Dense(2).compute_mask(x, FEW) is FEW and nn.Embedding(3, 2).compute_mask(np.array([2, 0])) is None


@pytest.mark.parametrize(
    ("inputs", "mask", "message"),
    [
        ([1, 2], FEW, "mask: expected a list.*got ndarray .`mask` should be a list"),
        (FEW, [None, None], "inputs: expected a list.*got ndarray .`inputs` should be a list"),
        ([1, 2], [None], "mask: expected 2, one or None for each input, got 1 .*should have the same length"),
    ],
)
def test_bad_masks(inputs: Any, mask: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.Add().compute_mask(inputs, mask)


def test_layers_of_numbers_and_images_take_no_mask() -> None:
    images, numbers = np.ones((2, 4, 4, 1)), np.array([[1, 0, 1]])
    for call in (
        lambda mask: nn.CenterCrop(2, 2)(images, mask=mask),
        lambda mask: nn.CenterCrop(2, 2)(images[0], mask=mask),
        lambda mask: nn.Hashing(3)(numbers, mask=mask),
        lambda mask: nn.CategoryEncoding(2)(numbers, mask=mask),
        lambda mask: nn.CategoryEncoding(2, "count")(numbers, numbers, mask=mask),
    ):
        call(None)
        with pytest.raises(TypeError, match=r"mask: expected None.*, got one.* Make those 0 that are not to count"):
            call(FEW)


def test_functions() -> None:
    a, b = RNG.standard_normal((2, 4, 3))
    for name, expected in {
        "add": a + b, "subtract": a - b, "multiply": a * b, "average": (a + b) / 2, "maximum": np.maximum(a, b),
        "minimum": np.minimum(a, b), "concatenate": np.concatenate([a, b], axis=1),
    }.items():  # fmt: skip
        function = getattr(nn.layers, name)
        np.testing.assert_allclose(function([a, b]), expected, rtol=1e-14)
        x = nn.Input(3)
        assert function([x, x], name="mine").layer.name == "mine"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x, y: nn.Subtract()([x, x, x]), "Subtract: expected 2 inputs, got 3"),
        (lambda x, y: nn.Add()([x, nn.Input(2)]), r"Add: expected inputs of one shape, or with axes of length 1"),
        (lambda x, y: nn.Dot(0), "axes: expected one or two whole numbers other than 0"),
        (lambda x, y: nn.Dot((1, 2, 3)), "axes: expected one or two whole numbers"),
        (lambda x, y: nn.Dot(1)([x, nn.Input(2)]), "Dot: expected axes 1 of one length, got 3 and 2"),
        (lambda x, y: nn.Dot(2)([x, x]), r"Dot: expected an axis of inputs of shape \(batch, \*\(3,\)\), got 2"),
        (lambda x, y: nn.Dot(1)([x, x, x]), "Dot: expected 2 inputs, got 3"),
        (lambda x, y: nn.Power("2"), "exponent: expected a finite number, got '2'"),
        (lambda x, y: nn.Slice(["a"]), "index: expected whole numbers, slices and None"),
        (lambda x, y: nn.Slice([[0, 1, 0]]), "index: expected whole numbers, slices and None"),
        (lambda x, y: nn.Slice([0, 0])(x), "Slice: expected at most 1 indices"),
        (lambda x, y: nn.Slice([3])(x), "Slice: expected an index of axis 1 of .*, got 3"),
        (lambda x, y: nn.Slice([[3, None, None]])(x), "Slice: expected something to be left of axis 1"),
    ],
)
def test_bad_arguments(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(nn.Input(3), nn.Input(3))


# -- operators -----------------------------------------------------------------------------------------------------

EXPRESSIONS = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b,
    "-a": lambda a, b: -a,
    "2 * a + 1": lambda a, b: 2 * a + 1,
    "1 - a": lambda a, b: 1 - a,
    "a - 0.5": lambda a, b: a - 0.5,
    "a / 4": lambda a, b: a / 4,
    "3 / b": lambda a, b: 3 / b,
    "a ** 2": lambda a, b: a**2,
    "b ** 0.5": lambda a, b: b**0.5,
    "b ** -0.5": lambda a, b: b**-0.5,
    "b ** 1.5": lambda a, b: b**1.5,
    "a ** 0": lambda a, b: a**0 + a,
    "abs(a)": lambda a, b: abs(a),
    "a + a": lambda a, b: a + a,
    "NumPy's numbers": lambda a, b: np.float64(2) * a - np.int64(1) + np.float32(0.5),
    "a[:, 1:3]": lambda a, b: a[:, 1:3],
    "a[:, ::-2]": lambda a, b: a[:, ::-2],
    "a[:, -1]": lambda a, b: a[:, -1],
    "a[..., 0]": lambda a, b: a[..., 0],
    "a[..., 1:]": lambda a, b: a[..., 1:] * a[..., :-1],
    "a[:, None]": lambda a, b: a[:, None] * b[:, None],
    "a[..., None]": lambda a, b: a[..., None],
    "a[:, 1:, 0:4:2]": lambda a, b: a[:, 1:, 0:4:2],
    "a[:]": lambda a, b: a[:] + b,
    "all": lambda a, b: (a * b + 2 * abs(a) - b[:, :1] / 3) ** 2,
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_operators(name: str, tmp_path: Path) -> None:
    """They compute what NumPy does, learn as that says, and are layers with names that files hold."""
    expression: Any = EXPRESSIONS[name]
    x = nn.Input((3, 4))
    a, b = nn.Dense(5, "tanh", name="a")(x), nn.Dense(5, "softplus", name="b")(x)
    made = expression(a, b)
    both = nn.Model(x, [a, b, made], seed=0, dtype="float64")
    data = RNG.standard_normal((6, 3, 4))
    va, vb, y = both.predict(data)
    np.testing.assert_allclose(y, expression(va, vb), rtol=1e-12)
    both.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(nn.load_model(tmp_path / "m.safetensors").predict(data)[2], y)
    assert len({layer.name for layer in both.layers}) == len(both.layers)
    trained(made, x, [data])


def test_a_symbol_is_equal_to_itself_alone() -> None:
    a, b = nn.Input(3), nn.Input(3)
    assert a == a and a != b and a in [np.ones(3), a] and b not in [np.ones(3), a]
    assert (np.ones(3) == a) is False and (np.ones(3) != a) is True
    assert np.equal(a, a) is True and np.not_equal(a, a) is False and np.equal(a, b) is False


def test_operators_on_scalars_per_sample() -> None:
    """What is left of a sample may be one number without an axis; a new one makes a column of it."""
    x = nn.Input(4)
    last = x[:, -1]
    assert last.shape == (None,) and last[:, None].shape == (None, 1)
    model = nn.Model(x, [last, last[..., None] * x], dtype="float64")
    data = RNG.standard_normal((5, 4))
    y, z = model.predict(data)
    np.testing.assert_array_equal(y, data[:, -1])
    np.testing.assert_allclose(z, data[:, -1:] * data, rtol=1e-15)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda a: a + np.ones(3),
            TypeError,
            r"\+: expected .* got a symbol \+ ndarray of shape \(3,\).* make an Input",
        ),
        (lambda a: np.ones(3) * a, TypeError, r"\*: expected .* got ndarray of shape \(3,\) \* a symbol"),
        (lambda a: np.exp(a), TypeError, r"exp: expected arrays, got <Symbol .*of nncore\.activations; anything else"),
        (lambda a: np.maximum(a, 0), TypeError, "maximum: expected arrays, got <Symbol"),
        (lambda a: np.add.reduce(a), TypeError, "add: expected arrays, got <Symbol"),
        (lambda a: np.mean(a), TypeError, "expected an array, got <Symbol .*, which stands for data that are yet"),
        (lambda a: np.concatenate([a, a]), TypeError, r"yet to come\. Symbols take \+ - \* / \*\* and slices"),
        (lambda a: a - "1", TypeError, "-: expected .* got a symbol - '1'"),
        (lambda a: a**a, TypeError, r"\*\*: expected a symbol to a number, a \*\* 2"),
        (lambda a: 2**a, TypeError, r"\*\*: expected a symbol to a number"),
        (lambda a: a / 0, ZeroDivisionError, "symbol / 0"),
        (lambda a: a[0], IndexError, r"index: expected ':' for the batch first, as in a\[:, 1\], got 0"),
        (lambda a: a[1:], IndexError, "':' for the batch first"),
        (lambda a: a[..., 0, ...], IndexError, "at most one"),
        (lambda a: a[:, 3], IndexError, "Slice: expected an index of axis 1 .* got 3"),
        (lambda a: a[:, "b"], IndexError, "index: expected whole numbers, slices and None"),
        (lambda a: list(a), TypeError, "not iterable"),
    ],
)
def test_bad_operators(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make(nn.Input(3))


def test_functions_of_symbols() -> None:
    x = nn.Input(6)
    made = nn.activations.relu(x, max_value=2.0)
    assert isinstance(made.layer, nn.Activation) and made.layer.activation == nn.activations.Relu(max_value=2)
    assert nn.activations.glu(x).shape == (None, 3) and nn.activations.Gelu()(x).shape == (None, 6)
    model = nn.Model(x, nn.activations.softmax(nn.activations.relu(nn.Dense(3)(x))), dtype="float64")
    assert [type(layer) for layer in model.layers] == [nn.Dense, nn.Activation, nn.Activation]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_for_any_batch_and_thread(dtype: str) -> None:
    """All of them in one model: fit, resume, and rows alone have the same bits on one thread and on two."""
    x = nn.Input((4, 6))
    a, b = nn.Dense(6, "mish")(x), nn.Dense(6, "softplus")(x)
    parts = [a - b, a / b, nn.Maximum()([a, b]), nn.Minimum()([a, b[:, :1]]), abs(a) ** 3, b**0.7, a[:, ::-1, 1:3]]
    parts += [nn.Dot(1)([a, b]), nn.Dot(2, normalize=True)([a, b]), nn.activations.sparsemax(a, axis=1)]
    flat = nn.Concatenate()([nn.Flatten()(part) for part in parts])
    outputs = nn.Dense(3, "softmax")(flat)
    data, labels = RNG.standard_normal((300, 4, 6)), RNG.integers(0, 3, 300)
    found = []
    for threads in (1, 2):
        model = nn.Model(x, outputs, seed=1, dtype=dtype, n_threads=threads)
        found.append(model.predict(data))
        np.testing.assert_array_equal(
            np.concatenate([model.predict(data[i : i + 7]) for i in range(0, 300, 7)]), found[-1]
        )
    np.testing.assert_array_equal(*found)
    weights = []
    for threads in (1, 2):
        document = nn.Model(x, outputs, seed=1, dtype=dtype, n_threads=threads)
        document.set_weights([0.1 * np.random.default_rng(2).standard_normal(w.shape) for w in document.get_weights()])
        document.compile(nn.SGD(0.05), "sparse_categorical_crossentropy")
        document.fit(data, labels, epochs=2, batch_size=256, shuffle=False, verbose=0)
        weights.append(document.get_weights())
    for one, two in zip(*weights, strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, two)


def test_an_input_of_one_number_without_an_axis(tmp_path: Path) -> None:
    """Its samples are numbers: x of shape (n,)."""
    x = nn.Input(())
    model = nn.Model(x, nn.Dense(3, "tanh")((2 * x + 1)[:, None]), seed=0, dtype="float64")
    data = RNG.standard_normal(20)
    kernel, bias = model.get_weights()
    expected = np.tanh((2 * data + 1)[:, None] @ kernel + bias)
    np.testing.assert_allclose(model.predict(data), expected, rtol=1e-12)
    model.compile("sgd", "mse")
    model.fit(data, expected, verbose=0)
    assert model.input_shape == (None,) == nn.Input(batch_shape=(None,)).shape
    model.save(tmp_path / "m.safetensors")
    again = nn.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(data), model.predict(data))
    np.testing.assert_array_equal(nn.ReLU(max_value=1)(np.array([-2.0, 0.5, 3.0])), [0, 0.5, 1])
    with pytest.raises(ValueError, match="Dense: expected inputs with an axis beside the batch"):
        nn.Dense(3)(x)
    for layer in (nn.Dense(3), nn.PeriodicEmbedding(3)):
        with pytest.raises(ValueError, match=f"{type(layer).__name__}: expected inputs "):
            layer(data)
