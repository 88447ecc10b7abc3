"""Activation functions: which kernel a layer ends with, and its parameters.

To a layer an activation computes nothing. It names an entry of the ACTIVATION or ROWWISE list of ``src_c/kernels.def``,
so that the compiler of programs can join it to the product that feeds it. Z are the inputs and Y = f(Z) the outputs, of
any shape and of the model's dtype.

Each is a class, such as ``Gelu(approximate=True)``, whose objects are called on arrays or symbols; and a function of
Keras's, ``gelu(x, approximate=True)``, which a layer takes, too: ``Dense(8, activation=nn.activations.gelu)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nncore.activations.base import ACTIVATIONS, Activation
from nncore.activations.own import OWN, PythonActivation
from nncore.activations.piecewise import (
    Celu,
    Elu,
    HardShrink,
    HardSigmoid,
    HardSilu,
    HardTanh,
    LeakyRelu,
    Linear,
    Relu,
    Relu6,
    Selu,
    SoftShrink,
    SparsePlus,
    SparseSigmoid,
    Threshold,
)
from nncore.activations.rowwise import Ascending, Glu, LogSoftmax, Softmax, Sparsemax
from nncore.activations.smooth import (
    Cospi,
    Exponential,
    Gelu,
    LogSigmoid,
    Mish,
    Sigmoid,
    Silu,
    Softplus,
    Softsign,
    Squareplus,
    Tanh,
    TanhShrink,
)
from nncore.registry import serialize

__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Ascending",
    "Celu",
    "Elu",
    "Exponential",
    "Gelu",
    "Glu",
    "HardShrink",
    "HardSigmoid",
    "HardSilu",
    "HardTanh",
    "LeakyRelu",
    "Linear",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PythonActivation",
    "Relu",
    "Relu6",
    "Selu",
    "Sigmoid",
    "Silu",
    "SoftShrink",
    "Softmax",
    "Softplus",
    "Cospi",
    "Softsign",
    "SparsePlus",
    "SparseSigmoid",
    "Sparsemax",
    "Squareplus",
    "Tanh",
    "TanhShrink",
    "Threshold",
    "deserialize",
    "get",
    "serialize",
]


def get(identifier: Any, argument: str = "activation") -> Activation:
    """Turn a name, configuration, class, function or object into an `Activation`; None is `Linear`.

    A pair of functions of your own, f and its derivative, is a `PythonActivation`; a layer that is an activation, such
    as ``LeakyReLU(0.1)``, stands for that.
    """
    if getattr(identifier, "is_activation", False):
        identifier = (identifier() if isinstance(identifier, type) else identifier).activation
    if isinstance(identifier, PythonActivation):
        return identifier
    if isinstance(identifier, tuple) and len(identifier) == 2 and all(map(callable, identifier)):
        return PythonActivation(*identifier)
    if isinstance(identifier, Mapping) and str(identifier.get("class")) in OWN.classes:
        return OWN.get(identifier, argument, Activation)
    return ACTIVATIONS.get("linear" if identifier is None else identifier, argument, Activation)


deserialize = get


def __getattr__(name: str) -> Callable[..., Any]:
    # The functions of Keras, such as nncore.activations.relu
    return ACTIVATIONS.function(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *ACTIVATIONS.names(), *ACTIVATIONS.aliases})
