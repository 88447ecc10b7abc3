"""nncore: neural networks on CPUs, at the speed of the CPU.

>>> import nncore as nn
>>> model = nn.Model([nn.Dense(128, activation="relu"), nn.Dense(10, activation="softmax")], seed=0)
>>> model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
"""

from types import ModuleType as _ModuleType

from nncore import (
    activations,
    backend,
    callbacks,
    constraints,
    data,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    regularizers,
    saving,
    schedules,
    utils,
)
from nncore._version import __version__
from nncore.callbacks import Callback
from nncore.checking import check_gradients
from nncore.data import to_categorical
from nncore.errors import BadDataError, DivergedError, FormatError
from nncore.execution.applying import Applied as _Applied
from nncore.graph import Input
from nncore.initializers import Initializer
from nncore.layers import *  # noqa: F403  # its __all__ is the one list of layers, so that a new one is named once
from nncore.layers import Layer
from nncore.losses import Loss
from nncore.metrics import Metric
from nncore.models import Model, Sequential, clone_model, load_model
from nncore.optimizers import (
    SGD,
    Adadelta,
    Adafactor,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Ftrl,
    Lamb,
    LazyAdam,
    LazySGD,
    Lion,
    Muon,
    Nadam,
    Optimizer,
    RMSprop,
    ScheduleFreeAdamW,
)
from nncore.products import matmul
from nncore.registry import missing as _missing
from nncore.regularizers import Regularizer
from nncore.runtime import (
    available_isas,
    get_num_threads,
    isa,
    matmul_precisions,
    set_num_threads,
    set_random_seed,
    show_config,
)

__all__ = [
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "BadDataError",
    "Callback",
    "DivergedError",
    "FormatError",
    "Ftrl",
    "Initializer",
    "Input",
    "Lamb",
    "Layer",
    "LazyAdam",
    "LazySGD",
    "Lion",
    "Loss",
    "Metric",
    "Model",
    "Muon",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "Regularizer",
    "ScheduleFreeAdamW",
    "Sequential",
    "__version__",
    "activations",
    "available_isas",
    "backend",
    "callbacks",
    "check_gradients",
    "clone_model",
    "constraints",
    "data",
    "datasets",
    "get_num_threads",
    "initializers",
    "isa",
    "layers",
    "load_model",
    "losses",
    "matmul",
    "matmul_precisions",
    "metrics",
    "models",
    "optimizers",
    "regularizers",
    "saving",
    "schedules",
    "set_num_threads",
    "set_random_seed",
    "show_config",
    "to_categorical",
    "utils",
    *(cls.__name__ for cls in layers.LAYERS.classes.values()),
]

Optimizer.applied_by = _Applied  # which optimizers, on a lower storey, cannot import


def __getattr__(name: str) -> object:
    for module in (layers, callbacks, losses, metrics, activations, initializers, regularizers, models, utils):
        found = None if name.startswith("_") else getattr(module, name, None)
        if found is not None and not isinstance(found, _ModuleType):  # `layers.base` is no name for users
            raise AttributeError(
                f"{__name__}: expected a name that it has, got {name!r}. It is {module.__name__}.{name}"
            )
    raise _missing(__name__, name, __all__)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
