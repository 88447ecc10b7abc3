"""The layers, one short file per thought."""

from nncore.layers.activation import Activation
from nncore.layers.base import LAYERS, Layer
from nncore.layers.dense import Dense
from nncore.layers.dropout import Dropout
from nncore.layers.merging import Add, Concatenate, Multiply
from nncore.layers.reshaping import Flatten, Rescaling, Reshape

__all__ = [
    "LAYERS",
    "Activation",
    "Add",
    "Concatenate",
    "Dense",
    "Dropout",
    "Flatten",
    "Layer",
    "Multiply",
    "Rescaling",
    "Reshape",
]
