"""Names, parameters and errors of the activations; their numbers are tested with the kernels."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from nncore.activations import ACTIVATIONS, Activation, Elu, Gelu, LeakyRelu, Linear, Relu, Silu, Softmax, get
from nncore.registry import serialize

KERNELS_DEF = Path(__file__).parents[2] / "src_c" / "kernels.def"
VARIANTS = [*(ACTIVATIONS.classes[name]() for name in ACTIVATIONS.names())]
VARIANTS += [LeakyRelu(negative_slope=0.01), LeakyRelu(0), Elu(alpha=0.5), Gelu(approximate=True)]


def test_kernels_of_the_classes_are_those_of_the_definition_file():
    defined = re.findall(r"^ACTIVATION\((\w+), \w+,", KERNELS_DEF.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(defined) >= 11
    assert {activation.kernel for activation in VARIANTS} == {*defined, "softmax"}


def test_names():
    assert ACTIVATIONS.names() == [
        "elu", "gelu", "leaky_relu", "linear", "relu", "selu", "sigmoid", "silu", "softmax", "softplus", "tanh",
    ]  # fmt: skip
    assert get("swish") == Silu()
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
