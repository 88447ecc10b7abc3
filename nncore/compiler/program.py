"""A compiled program, and what its sums mean."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from nncore.compiler.operation import Moving, PythonCall, Tensor
    from nncore.schedules import Varying
    from nncore.state import Parameter


@dataclass
class Sum:
    """What is summed over a pass: the loss, a penalty, or the value of a metric."""

    name: str
    kind: str  # "loss" | "penalty" | "metric"
    weight: Tensor | None = None  # of the samples; None: 1 each
    width: int = 1  # of its values
    scale: float = 1.0  # of a loss in the sum of all

    @property
    def means(self) -> tuple[str, str, int]:
        """What its numbers are of: equal for sums that may go on from one another."""
        return self.name, self.kind, self.width


@dataclass
class Section:
    """A part of a program: operations `first` … `end` − 1, or what Python does."""

    kind: str  # of the SECTION list of operations.def
    first: int
    end: int
    turns: int = 1
    backwards: bool = False
    moving: list[Moving] = field(default_factory=list)
    call: PythonCall | None = None


@dataclass
class Program:
    """A compiled program; see the engine for how it runs."""

    ops: np.ndarray[Any, Any]
    sections: list[Section]
    parts: np.ndarray[Any, Any]  # of `sections`
    moving: np.ndarray[Any, Any]
    accumulators: np.ndarray[Any, Any]  # of `sums`
    workspace: int  # bytes for max_samples samples
    max_samples: int
    sums: list[Sum]
    varying: list[Varying]  # numbers of its operations that change by step
    bindings: int  # arrays of the caller's
    by_rows: set[Parameter]  # of which the update changes the rows alone that have a gradient
    outputs: list[Tensor]
    cost: int  # FLOPs per sample

    @property
    def calls(self) -> bool:
        """Whether a part of it is computed by Python."""
        return any(section.call for section in self.sections)

    def names(self) -> list[str]:
        """The names in `logs`, in order."""
        return list(dict.fromkeys(["loss", *(entry.name for entry in self.sums if entry.kind != "penalty")]))

    def new_sums(self) -> np.ndarray[Any, Any]:
        """Room for the sums of a pass: of each its values, then its weight."""
        return np.zeros(sum(entry.width + 1 for entry in self.sums))

    def rows(self, sums: np.ndarray[Any, Any]) -> float:
        """How many rows the sums of a pass are of."""
        return float(sums[self.sums[0].width])  # the weight of the first, which is the loss

    def logs(self, sums: np.ndarray[Any, Any]) -> dict[str, float]:
        """Loss (of all, with penalties), losses and metrics: means of a pass, which before the first row are NaN."""
        logs = {"loss": 0.0}
        values = sums.tolist()
        rows = values[self.sums[0].width]
        for entry, value, weight in zip(self.sums, values[::2], values[1::2], strict=True):
            if weight:
                mean = value / weight
            else:
                mean = 0.0 if rows and value == 0 else math.nan  # as Keras: rows that all weigh nothing have the mean 0
            if entry.kind != "metric":
                logs["loss"] += entry.scale * mean
            if entry.kind == "metric" or (entry.kind == "loss" and entry.name != "loss"):
                logs[entry.name] = mean
        return logs
