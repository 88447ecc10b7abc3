"""Names, parameters and errors of the activations; their numbers are tested with the kernels."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import networks
import numpy as np
import pytest
import reference as ref

import nncore as nn
from nncore import activations
from nncore.activations import (
    ACTIVATIONS,
    Activation,
    Celu,
    Elu,
    Gelu,
    Glu,
    HardShrink,
    HardSilu,
    LeakyRelu,
    Linear,
    LogSoftmax,
    Relu,
    Relu6,
    Silu,
    Softmax,
    SoftShrink,
    Sparsemax,
    Squareplus,
    Threshold,
    get,
)
from nncore.registry import serialize

KERNELS_DEF = Path(__file__).parents[2] / "src_c" / "kernels.def"
VARIANTS = [*(ACTIVATIONS.classes[name]() for name in ACTIVATIONS.names())]
VARIANTS += [LeakyRelu(negative_slope=0.01), LeakyRelu(0), Elu(alpha=0.5), Gelu(approximate=True)]
VARIANTS += [Relu(0.1), Relu(0.1, 6), Relu(threshold=1), Celu(2), HardShrink(0.1), SoftShrink(0.1), Squareplus(1)]
VARIANTS += [Threshold(1, 2), Softmax(1), Softmax((1, 2)), LogSoftmax((1, 2)), Sparsemax(-2), Glu(1)]


def test_kernels_of_the_classes_are_those_of_the_definition_file():
    defined = re.findall(r"^(?:ACTIVATION|ROWWISE)\((\w+), \w+[,)]", KERNELS_DEF.read_text("utf-8"), re.MULTILINE)
    assert len(defined) >= 31
    assert sorted({activation.kernel for activation in VARIANTS}) == sorted(defined)


def test_names():
    assert ACTIVATIONS.names() == [
        "ascending", "celu", "cospi", "elu", "exponential", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu",
        "hard_tanh",
        "leaky_relu", "linear", "log_sigmoid", "log_softmax", "mish", "relu", "relu6", "selu", "sigmoid", "silu",
        "soft_shrink", "softmax", "softplus", "softsign", "sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus",
        "tanh", "tanh_shrink", "threshold",
    ]  # fmt: skip
    assert get("swish") == Silu()
    assert get("hard_swish") == HardSilu()
    assert get("ReLU".lower()) == get("Relu") == get(Relu) == get(Relu()) == Relu()
    assert get(None) == Linear()


@pytest.mark.parametrize(
    ("activation", "kernel", "parameters"),
    [
        (Linear(), "linear", ()),
        (LeakyRelu(), "leaky_relu", (0.2,)),
        (LeakyRelu(0.01), "leaky_relu", (0.01,)),
        (Elu(), "elu", (1.0,)),
        (Elu(alpha=2), "elu", (2.0,)),
        (Gelu(), "gelu", ()),
        (Gelu(True), "gelu_tanh", ()),
        (Softmax(), "softmax", ()),
        (Relu(), "relu", ()),
        (Relu(0.25), "leaky_relu", (0.25,)),
        (Relu(0.25, 2), "relu_general", (0.25, 2.0, 0.0)),
        (Relu6(), "relu_general", (0.0, 6.0, 0.0)),
        (Threshold(1, 2), "threshold", (1.0, 2.0)),
    ],
)
def test_kernel_and_parameters(activation, kernel, parameters):
    assert (activation.kernel, activation.parameters) == (kernel, parameters)


@pytest.mark.parametrize("activation", VARIANTS, ids=repr)
def test_copies_are_equal_and_others_are_not(activation):
    for twin in (get(serialize(activation)), pickle.loads(pickle.dumps(activation)), copy.deepcopy(activation)):
        assert twin == activation
        assert hash(twin) == hash(activation)
        assert (twin.kernel, twin.parameters) == (activation.kernel, activation.parameters)
    assert [other for other in VARIANTS if other == activation] == [activation]


def test_config_holds_plain_numbers():
    config = serialize(LeakyRelu(np.float32(0.5)))
    assert config == {"class": "leaky_relu", "config": {"negative_slope": 0.5}}
    assert type(config["config"]["negative_slope"]) is float


def test_objects_do_not_change():
    with pytest.raises(AttributeError):
        Elu().alpha = 2.0


@pytest.mark.parametrize("cls", [LeakyRelu, Elu])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-0.1, ValueError),
        (np.nan, ValueError),
        (np.inf, ValueError),
        ("0.1", TypeError),
        (None, TypeError),
        (True, TypeError),
    ],
)
def test_bad_slopes(cls, value, error):
    argument = cls.config_names()[0]
    with pytest.raises(error, match=rf"^{argument}: expected a finite number ≥ 0, got {re.escape(repr(value))}"):
        cls(value)


def test_bad_approximation():
    with pytest.raises(TypeError, match="approximate: expected True or False, got 'tanh'"):
        Gelu("tanh")


def test_unknown_names():
    with pytest.raises(ValueError, match=r"hidden: expected a known activation, got 'rellu'\. Did you mean 'relu'\?"):
        get("rellu", "hidden")
    with pytest.raises(TypeError, match="hidden"):
        get(3, "hidden")
    with pytest.raises(ValueError, match="unknown keys"):
        get({"class": "elu", "config": {"slope": 1}})
    assert not isinstance(Linear, Activation)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Relu(max_value=-1), "max_value: expected a finite number ≥ 0, got -1"),
        (lambda: Relu(threshold=-1), "threshold: expected a finite number ≥ 0, got -1"),
        (lambda: Celu(0), "alpha: expected a finite number > 0, got 0"),
        (lambda: Squareplus(0), "b: expected a finite number > 0, got 0; relu is the limit"),
        (lambda: Threshold(np.nan), "threshold: expected a finite number, got nan"),
        (lambda: Threshold(0, np.inf), "default_value: expected a finite number, got inf"),
        (lambda: SoftShrink(-0.5), "threshold: expected a finite number ≥ 0, got -0.5"),
        (lambda: Softmax(1.5), "axis: expected a whole number, or a tuple of these, got 1.5"),
        (lambda: Softmax(()), r"axis: expected a whole number, or a tuple of these, got \(\)"),
        (lambda: Sparsemax((1, 2)), r"axis: expected a whole number, got \(1, 2\)"),
        (lambda: Glu("last"), "axis: expected a whole number, got 'last'"),
        (
            lambda: activations.softmax(np.ones((2, 3)), 2),
            "axis: expected different axes of the 2 of",
        ),
        (lambda: activations.softmax(np.ones((2, 3)), (1, -1)), "axis: expected different axes"),
        (lambda: activations.softmax(1.0), "axis: expected different axes of the 0 of the inputs"),
        (lambda: activations.glu(np.ones((2, 3))), "glu: expected an even number along axis -1, got 3"),
        (lambda: nn.Dense(3, "glu")(nn.Input(4)), "glu: expected an even number along axis -1, got 3"),
        (lambda: nn.Softmax(0)(nn.Input(4)), "axis: expected axes of a sample .* got 0: axis 0 is the batch"),
        (lambda: nn.Dense(3, Softmax(-2))(nn.Input(4)), "axis: expected axes of a sample .* got -2: axis 0"),
        (lambda: nn.Softmax(3)(nn.Input(4)), "axis: expected different axes of the 2 of the inputs, got 3"),
    ],
)
def test_bad_numbers(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# -- on arrays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", VARIANTS, ids=repr)
def test_arrays(activation, dtype):
    """Of any shape and layout, as an object and as a function."""
    z = np.random.default_rng(0).standard_normal((2, 6, 4, 8)).astype(dtype)
    expected = networks.activated(activation, ref.float64(z))
    tolerance = 50 * np.finfo(dtype).eps
    given = {name: getattr(activation, name) for name in activation.config_names()}
    function = getattr(activations, ACTIVATIONS.name_of(activation))
    for y in (activation(z), function(z, **given), function(z, *given.values())):
        assert y.dtype == dtype and type(y) is np.ndarray and y.flags.c_contiguous
        np.testing.assert_allclose(y, expected, tolerance, tolerance)
    turned = np.asfortranarray(z)
    np.testing.assert_array_equal(activation(turned), y)
    np.testing.assert_array_equal(activation(np.repeat(z, 2, axis=0)[::2]), y)
    assert activation(z[:0]).shape == (0, *y.shape[1:])


@pytest.mark.parametrize("activation", VARIANTS, ids=repr)
def test_an_array_that_is_given_stays(activation):
    z = np.random.default_rng(0).standard_normal((6, 4, 8))
    before = z.copy()
    assert not np.shares_memory(activation(z), z)
    np.testing.assert_array_equal(z, before)


@pytest.mark.parametrize(
    ("x", "dtype"),
    [
        ([1, -2], "float32"),
        ([1.5, -2.5], "float64"),
        (np.array([3, 0], "uint8"), "float32"),
        (np.array([True, False]), "float32"),
        (np.array([1.5, -2], "float16"), "float32"),
        (np.array([1.5, -2], ">f8"), "float64"),
        (np.array([1.5, -2], ">f4"), "float32"),
        (np.float32(-1.5), "float32"),
        (-1.5, "float64"),
        (3, "float32"),
    ],
)
def test_what_is_no_array_of_reals(x, dtype):
    y = activations.relu(x)
    assert y.dtype == np.dtype(dtype) and y.dtype.isnative
    np.testing.assert_array_equal(y, np.maximum(np.asarray(x, float), 0))
    assert np.ndim(x) or isinstance(y, np.floating)


@pytest.mark.parametrize("x", ["relu", None, {"x": 1}, np.array(["a"]), np.array([1j])])
def test_what_is_no_array(x):
    with pytest.raises((TypeError, ValueError), match="^x: expected"):
        activations.gelu(x)


def test_one_dimension_is_a_row():
    np.testing.assert_allclose(activations.softmax(np.log([1.0, 3.0])), [0.25, 0.75])
    np.testing.assert_allclose(activations.softmax(np.log([[1.0], [3.0]]), axis=0), [[0.25], [0.75]])


def test_relu_of_keras():
    """Its four arguments, one by one and together."""
    x = np.array([-10, -5, 0.0, 5, 10])
    np.testing.assert_array_equal(activations.relu(x, negative_slope=0.5), [-5, -2.5, 0, 5, 10])
    np.testing.assert_array_equal(activations.relu(x, max_value=5), [0, 0, 0, 5, 5])
    np.testing.assert_array_equal(activations.relu(x, threshold=5), [0, 0, 0, 0, 10])
    np.testing.assert_allclose(activations.relu(x, 0.1, 6, 1.0), [-1.1, -0.6, -0.1, 5, 6], rtol=1e-15)
    np.testing.assert_array_equal(activations.relu(np.array([-np.inf, np.nan, np.inf]), 0, 6), [0, np.nan, 6])


def test_functions():
    assert activations.hard_swish is activations.hard_silu and activations.swish is activations.silu
    assert get("relu") == activations.relu and get(None) == activations.linear
    assert get(activations.softmax) == Softmax() == activations.softmax
    assert Softmax(1) != activations.softmax and Relu() != activations.elu and Relu() != 3
    assert nn.Dense(3, activation=activations.gelu).activation == activations.gelu
    with pytest.raises(
        TypeError, match=r"celu: expected celu\(x, alpha.*1.0\): got an unexpected keyword argument 'b'"
    ):
        activations.celu([1.0], b=2)


def test_layers_that_are_activations_stand_for_these() -> None:
    """As in Keras, ``Dense(3, activation=LeakyReLU(0.1))``: the same as the function, in files, too."""
    for layer, function in (
        (nn.LeakyReLU(0.1), LeakyRelu(0.1)),
        (nn.ReLU(max_value=6.0), Relu(max_value=6.0)),
        (nn.ReLU, Relu()),
        (nn.layers.Activation("silu"), Silu()),
        (nn.layers.Activation(nn.ELU(2.0)), Elu(2.0)),
    ):
        made = nn.Dense(3, activation=layer)
        assert made.activation == function and nn.Dense.from_config(made.get_config()).activation == function
    for other in (nn.PReLU(), nn.Dense(2, activation="relu")):  # which have weights
        with pytest.raises(TypeError, match="activation: expected the name of an activation, or one of its objects"):
            nn.Dense(3, activation=other)
