"""Schedules: numbers that change from step to step, such as a learning rate, a weight decay or a rate of dropout.

Wherever such a number is expected, a schedule, a function of the step, or a sum or product of schedules and numbers may
stand: ``SGD(1e-3 * CosineDecay(1.0, 10_000) + 1e-5)``. In the formulas t is the step, the number of updates that were
made before: 0 at the first. ``schedule(t)`` is a number for a number, an array for an array.
"""

from __future__ import annotations

from typing import Any

from nncore.custom import register_function
from nncore.registry import missing, serialize
from nncore.schedules.base import (
    AHEAD,
    SCHEDULES,
    Ahead,
    LearningRateSchedule,
    Scheduled,
    Varying,
    ahead,
    custom_classes,
    deserialize,
    get,
    scheduled,
)
from nncore.schedules.combined import FunctionSchedule, LinearWarmup, Product, Sum
from nncore.schedules.decays import (
    CosineCycles,
    CosineDecay,
    CosineDecayRestarts,
    ExponentialDecay,
    FlatCosine,
    InverseTimeDecay,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
)

__all__ = [
    "AHEAD",
    "SCHEDULES",
    "Ahead",
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "FunctionSchedule",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "LinearWarmup",
    "CosineCycles",
    "FlatCosine",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "Product",
    "Scheduled",
    "Sum",
    "Varying",
    "ahead",
    "custom_classes",
    "deserialize",
    "get",
    "register_function",
    "scheduled",
    "serialize",
]


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, __all__)
