"""Initializers: the weights a model starts with.

`initializer(shape, dtype, rng)` computes in float64 and rounds once to `dtype`, so that a float32 model starts
with the rounded weights of the float64 model of the same seed.

Fans: a kernel of shape (…, in, out) has fan_in = r in and fan_out = r out, where the receptive field r is the
product of the axes before them: 1 for (in, out), h w for a convolution's (h, w, in, out). A vector (n,) has
fan_in = fan_out = n, a scalar 1 and 1.
"""

from __future__ import annotations

from nncore.initializers.base import INITIALIZERS, Initializer, fans, get
from nncore.initializers.base import fans as compute_fans
from nncore.initializers.constants import Constant, Identity, Ones, Zeros
from nncore.initializers.random import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
)
from nncore.registry import serialize

__all__ = [
    "INITIALIZERS",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "compute_fans",
    "deserialize",
    "fans",
    "get",
    "serialize",
]

deserialize = get


def __getattr__(name: str) -> type[Initializer]:
    # The classes by Keras's other names, such as nncore.initializers.he_normal
    return INITIALIZERS.named(__name__, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *INITIALIZERS.names(), *INITIALIZERS.aliases})
