"""Layers by Keras's other names: functions of symbols, and activation functions as layers."""

from __future__ import annotations

from collections.abc import Sequence

from nncore import activations
from nncore.arguments import explained
from nncore.graph import Symbol
from nncore.layers.activation import Activation
from nncore.layers.merging import Add, Concatenate, Multiply


def add(inputs: Sequence[Symbol], name: str | None = None) -> Symbol:
    """``Add()(inputs)``."""
    return Add(name=name)(inputs)


def multiply(inputs: Sequence[Symbol], name: str | None = None) -> Symbol:
    """``Multiply()(inputs)``."""
    return Multiply(name=name)(inputs)


def concatenate(inputs: Sequence[Symbol], axis: int = -1, name: str | None = None) -> Symbol:
    """``Concatenate(axis)(inputs)``."""
    return Concatenate(axis, name=name)(inputs)


@explained
def ReLU(negative_slope: float = 0.0, name: str | None = None) -> Activation:
    """``Activation("relu")``, or `LeakyReLU` with a slope."""
    return LeakyReLU(negative_slope, name) if negative_slope else Activation("relu", name)


@explained
def LeakyReLU(negative_slope: float = 0.3, name: str | None = None) -> Activation:
    """An `Activation` with ``activations.LeakyRelu(negative_slope)``; the default is that of Keras's layer."""
    return Activation(activations.LeakyRelu(negative_slope), name)


@explained
def ELU(alpha: float = 1.0, name: str | None = None) -> Activation:
    """An `Activation` with ``activations.Elu(alpha)``."""
    return Activation(activations.Elu(alpha), name)


@explained
def Softmax(name: str | None = None) -> Activation:
    """``Activation("softmax")``, along the last axis."""
    return Activation("softmax", name)


@explained
def Identity(name: str | None = None) -> Activation:
    """``Activation("linear")``: Y = X."""
    return Activation("linear", name)
