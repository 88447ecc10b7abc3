"""A compiled program, and what its sums mean."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nncore.compiler.operation import Tensor


@dataclass
class Sum:
    """What slot of the pass's sums holds: the loss, a penalty, or the value of a metric."""

    name: str
    kind: str  # "loss" | "penalty" | "metric"


@dataclass
class Program:
    """A compiled program; see the engine for how it runs."""

    ops: np.ndarray[Any, Any]
    update_at: int
    workspace: int  # bytes for max_samples samples
    max_samples: int
    sums: list[Sum]
    output: Tensor
    cost: int  # FLOPs per sample

    def names(self) -> list[str]:
        """The names in `logs`, in order."""
        return list(dict.fromkeys(entry.name for entry in self.sums if entry.kind != "penalty"))

    def logs(self, sums: np.ndarray[Any, Any]) -> dict[str, float]:
        """Loss (with penalties) and metrics from the sums of a pass: means, which before the first row are NaN."""
        logs: dict[str, float] = {}
        pairs: list[tuple[float, float]] = sums.tolist()
        rows = pairs[0][1]  # of the loss
        for entry, (value, weight) in zip(self.sums, pairs, strict=True):
            if weight:
                mean = value / weight
            else:
                mean = 0.0 if rows and value == 0 else math.nan  # as Keras: rows that all weigh nothing have the mean 0
            if entry.kind == "penalty":
                logs["loss"] += mean
            else:
                logs[entry.name] = mean
        return logs
