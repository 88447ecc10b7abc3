"""What a run's update section is given: the optimizer, its arrays, and the numbers of the steps ahead."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from nncore._kernels.run import Run
from nncore._kernels.table import BUFFERS, OWN_SCHEDULED, STATES
from nncore.optimizers import Optimizer
from nncore.optimizers.base import AVERAGE, COLLECTED
from nncore.schedules import Ahead
from nncore.state import Array

UPDATE_FLOPS = 20  # per parameter, of an optimizer's step


def bind_optimizer(run: Run, optimizer: Optimizer, arrays: Mapping[str, Array]) -> None:
    """Let the update be that of an optimizer, with these state arrays."""
    for name in (AVERAGE, COLLECTED):
        run.bind(BUFFERS[name], arrays.get(name))
    for number, part in enumerate(optimizer.parts):
        names = part.state_names
        for k, name in enumerate(STATES[part.kernel]):
            run.bind(BUFFERS[f"state {number}.{k}"], arrays[name] if name in names else None)
        clips = part.clipvalue or math.inf, part.clipnorm or part.global_clipnorm or 0.0
        run.bind_optimizer(number, part.kernel, part.numbers, optimizer.counter, *clips)


def bind_numbers(run: Run, optimizers: Ahead, own: Ahead) -> None:
    """Let the numbers that change by step be those of the optimizer, and the program's own."""
    both = optimizers.beside(own)
    count = len(optimizers.numbers)
    unused = [np.zeros(1)] * (OWN_SCHEDULED - count)
    run.bind_schedules(both.first, both.end, [*both.numbers[:count], *unused, *both.numbers[count:]])
