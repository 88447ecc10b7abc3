"""The layers, one short file per thought."""

from typing import Any

from nncore.graph import Input, InputLayer
from nncore.layers.activation import (
    ELU,
    Activation,
    ActivityRegularization,
    Identity,
    LeakyReLU,
    NonCrossing,
    PReLU,
    ReLU,
    Softmax,
)
from nncore.layers.arithmetic import Absolute, Power, Slice
from nncore.layers.base import LAYERS, Layer
from nncore.layers.convolution import Conv1D, Conv2D
from nncore.layers.dense import Dense
from nncore.layers.depthwise import DepthwiseConv1D, DepthwiseConv2D
from nncore.layers.dropout import (
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
    SpatialDropout2D,
)
from nncore.layers.edges import (
    Cropping1D,
    Cropping2D,
    UpSampling1D,
    UpSampling2D,
    ZeroPadding1D,
    ZeroPadding2D,
)
from nncore.layers.einsum import EinsumDense
from nncore.layers.embedding import Embedding
from nncore.layers.features import ParametricActivation, PeriodicEmbedding, Scale
from nncore.layers.functional import add, average, concatenate, dot, maximum, minimum, multiply, subtract
from nncore.layers.images.mixing import CutMix, MixUp
from nncore.layers.images.pixels import RandomBrightness, RandomContrast, RandomErasing
from nncore.layers.images.places import RandomFlip, RandomRotation, RandomTranslation, RandomZoom
from nncore.layers.images.sizes import CenterCrop, RandomCrop, Resizing
from nncore.layers.lengths import RMSNormalization, UnitNormalization
from nncore.layers.masking import ApplyMask, Masking
from nncore.layers.merging import Add, Average, Concatenate, Divide, Dot, Maximum, Minimum, Multiply, Subtract
from nncore.layers.normalization import BatchNormalization, GroupNormalization, LayerNormalization
from nncore.layers.pooling import AveragePooling1D, AveragePooling2D, MaxPooling1D, MaxPooling2D
from nncore.layers.preprocessing.categories import CategoryEncoding, Discretization
from nncore.layers.preprocessing.hashing import HashedCrossing, Hashing
from nncore.layers.preprocessing.lookup import IntegerLookup, StringLookup
from nncore.layers.preprocessing.moments import Normalization
from nncore.layers.reshaping import Flatten, Permute, RepeatVector, Rescaling, Reshape
from nncore.layers.separable import SeparableConv1D, SeparableConv2D
from nncore.layers.transposed import Conv1DTranspose, Conv2DTranspose
from nncore.layers.whole_pooling import (
    AdaptiveAveragePooling1D,
    AdaptiveAveragePooling2D,
    AdaptiveMaxPooling1D,
    AdaptiveMaxPooling2D,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    GlobalMaxPooling2D,
)
from nncore.layers.wrapping import SpectralNormalization, TimeDistributed
from nncore.registry import missing, serialize

AvgPool1D, AvgPool2D = AveragePooling1D, AveragePooling2D  # Keras's other names
MaxPool1D, MaxPool2D = MaxPooling1D, MaxPooling2D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D
GlobalMaxPool1D, GlobalMaxPool2D = GlobalMaxPooling1D, GlobalMaxPooling2D
Convolution1D, Convolution2D = Conv1D, Conv2D
Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D

__all__ = [
    "ELU",
    "LAYERS",
    "Absolute",
    "Activation",
    "ActivityRegularization",
    "AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D",
    "AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D",
    "Add",
    "AlphaDropout",
    "ApplyMask",
    "Average",
    "AveragePooling1D",
    "AveragePooling2D",
    "AvgPool1D",
    "AvgPool2D",
    "BatchNormalization",
    "CategoryEncoding",
    "Concatenate",
    "Conv1D",
    "Conv1DTranspose",
    "Conv2D",
    "Conv2DTranspose",
    "Convolution1D",
    "Convolution1DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Cropping1D",
    "Cropping2D",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Discretization",
    "Divide",
    "Dot",
    "Dropout",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAveragePooling2D",
    "GlobalAvgPool1D",
    "GlobalAvgPool2D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling1D",
    "GlobalMaxPooling2D",
    "GroupNormalization",
    "HashedCrossing",
    "Hashing",
    "Identity",
    "Input",
    "InputLayer",
    "IntegerLookup",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "MaxPool1D",
    "MaxPool2D",
    "MaxPooling1D",
    "MaxPooling2D",
    "Maximum",
    "Minimum",
    "Multiply",
    "NonCrossing",
    "Normalization",
    "PReLU",
    "Permute",
    "Power",
    "RMSNormalization",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "SeparableConv1D",
    "SeparableConv2D",
    "SeparableConvolution1D",
    "SeparableConvolution2D",
    "Slice",
    "Softmax",
    "SpatialDropout1D",
    "SpatialDropout2D",
    "Subtract",
    "ParametricActivation",
    "PeriodicEmbedding",
    "Scale",
    "SpectralNormalization",
    "TimeDistributed",
    "StringLookup",
    "UnitNormalization",
    "UpSampling1D",
    "UpSampling2D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "add",
    "average",
    "concatenate",
    "deserialize",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "serialize",
    "subtract",
    "CutMix",
    "MixUp",
    "RandomBrightness",
    "RandomContrast",
    "RandomErasing",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "CenterCrop",
    "RandomCrop",
    "Resizing",
]


def deserialize(config: Any) -> Layer:
    """Build the layer that `serialize` described."""
    return LAYERS.get(config, "config", Layer)


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
