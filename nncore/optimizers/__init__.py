"""Optimizers: which update rule moves the weights, and its hyper-parameters.

An optimizer computes nothing here. It names an entry of ``src_c/operations/parameters/optimizers.def``, which declares
its hyper-parameters and state arrays; and it holds what the engine reads by address at every step, so a new learning
rate takes effect at the next one. In the formulas W are weights, g their gradient, t the step (1 at the first), η the
learning rate; state starts at 0. Before its rule every optimizer applies, in this order:

1. clipping: `clipnorm` scales each gradient tensor to this Euclidean norm if it is longer, `global_clipnorm` all
   of them together, `clipvalue` limits each element to ±clipvalue; at most one of the three;
2. weight decay, decoupled from the gradient as in [1]_: W ← W − η weight_decay W. PyTorch's SGD, Adam and
   RMSprop add weight_decay W to g instead.

Rules with g² (Adam, AdamW, RMSprop) take elements of g beyond ±2⁶³ ≈ ±9.2e18 for that (float64: ±2⁵¹¹), so that g²
does not overflow, and an epsilon below 2⁻⁶³, or below 2⁻¹²⁶ under a root, for that, so that 0 / 0 is never asked
for. Finite gradients then leave the weights finite, except for `RMSprop(centered=True, epsilon=0)`, which may divide
by nearly 0.

References
----------
.. [1] I. Loshchilov, F. Hutter: Decoupled weight decay regularization, ICLR 2019, arXiv:1711.05101.
"""

from __future__ import annotations

from typing import Any

from nncore.optimizers import schedules
from nncore.optimizers.base import OPTIMIZERS, Optimizer, get
from nncore.optimizers.gradient import SGD, LazySGD
from nncore.optimizers.lbfgs import LBFGS
from nncore.optimizers.matrices import Adafactor, Muon
from nncore.optimizers.moments import Adam, Adamax, AdamW, Lamb, LazyAdam, Lion, Nadam, ScheduleFreeAdamW
from nncore.optimizers.multi import MultiOptimizer, OptimizerMap
from nncore.optimizers.squares import Adadelta, Adagrad, Ftrl, RMSprop
from nncore.registry import missing, serialize

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "SGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "LazyAdam",
    "LazySGD",
    "Lion",
    "MultiOptimizer",
    "Muon",
    "Nadam",
    "Optimizer",
    "OptimizerMap",
    "RMSprop",
    "ScheduleFreeAdamW",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

deserialize = get


def __getattr__(name: str) -> Any:
    raise missing(__name__, name, [cls.__name__ for cls in OPTIMIZERS.classes.values()])
