"""A compiled program, and what its sums mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from nncore._kernels.table import BUFFERS, CHUNK_ROWS
from nncore.metrics.base import mean_of

if TYPE_CHECKING:
    from nncore._kernels.run import Run
    from nncore._kernels.table import Table
    from nncore.compiler.operation import Moving, PythonCall, Tensor
    from nncore.metrics import Metric
    from nncore.parameter import Parameter
    from nncore.schedules import Varying

R = TypeVar("R", bound="Run")

PENALTIES = "penalty", "activity"  # kinds of sums: on parameters, and on outputs of layers


@dataclass
class Sum:
    """What is summed over a pass: the loss, a penalty, or the value of a metric."""

    name: str
    kind: str  # "loss" | "penalty" | "activity" | "metric"
    weight: Tensor | None = None  # of the samples; None: 1 each
    width: int = 1  # of its values
    scale: float = 1.0  # of a loss in the sum of all
    rows: int = CHUNK_ROWS  # samples of a part; 0: one part, which goes on from the sum
    events: int = 0  # of a part, which count at places of the sum; 0: a part is `width` values
    metric: Metric | None = None  # whose result is made of its values
    part: float = 1.0  # of a loss in what has its name
    of_batch: bool = False  # of a loss whether it is no mean over samples, so that batches do not add up to it

    @property
    def size(self) -> int:
        """Numbers of 8 bytes of a part."""
        return 2 * self.events or self.width

    @property
    def means(self) -> tuple[Any, ...]:
        """What its numbers are of: equal for sums that may go on from one another."""
        return self.name, self.kind, self.width, self.metric


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
    each: int = 0  # of an update every so many `steps`: how many of its operations come in all of them
    steps: int = 1


@dataclass
class Program:
    """A compiled program; see the engine for how it runs."""

    ops: np.ndarray[Any, Any]
    sections: list[Section]
    parts: np.ndarray[Any, Any]  # of `sections`
    moving: np.ndarray[Any, Any]
    accumulators: np.ndarray[Any, Any]  # of `sums`
    workspace: int  # bytes for max_samples samples
    local_bytes: int  # of each thread, for the samples that a chain is at
    local_operands: np.ndarray[Any, Any]  # that lie there
    distant: np.ndarray[Any, Any]  # what chains touch elsewhere
    max_samples: int
    sums: list[Sum]
    constants: np.ndarray[Any, Any]  # reals that its operations read
    varying: list[Varying]  # numbers of its operations that change by step
    bindings: int  # arrays of the caller's
    by_rows: set[Parameter]  # of which the update changes the rows alone that have a gradient
    learned: set[Parameter]  # whose gradients it computes
    outputs: list[Tensor]
    cost: int  # FLOPs per sample

    def new_run(self, kind: type[R], table: Table, threads: int, **settings: Any) -> R:
        """A run of it with its own memory, for as many threads at most; `settings`: see `kind`."""
        run = kind(
            table,
            self.ops,
            sections=self.parts,
            moving=self.moving,
            workspace=self.workspace,
            local_bytes=self.local_bytes,
            local_operands=self.local_operands,
            distant=self.distant,
            max_samples=self.max_samples,
            threads=threads,
            bindings=self.bindings,
            accumulators=self.accumulators,
            **settings,
        )
        run.bind(BUFFERS["constants"], self.constants, False)
        return run

    @property
    def calls(self) -> bool:
        """Whether a part of it is computed by Python."""
        return any(section.call for section in self.sections)

    def names(self) -> list[str]:
        """The names in `logs`, in order."""
        return list(dict.fromkeys(["loss", *(entry.name for entry in self.sums if entry.kind not in PENALTIES)]))

    def new_sums(self) -> np.ndarray[Any, Any]:
        """Room for the sums of a pass: of each its values, then its weight."""
        return np.zeros(sum(entry.width + 1 for entry in self.sums))

    def rows(self, sums: np.ndarray[Any, Any]) -> float:
        """How many rows the sums of a pass are of."""
        return float(sums[self.sums[0].width])  # the weight of the first, which is the loss

    def metric_sums(self, sums: np.ndarray[Any, Any]) -> Iterator[tuple[Metric, np.ndarray[Any, Any]]]:
        """The metrics, with the sums of a pass, then their weight."""
        first = 0
        for entry in self.sums:
            if entry.metric is not None:
                yield entry.metric, sums[first : first + entry.width + 1]
            first += entry.width + 1

    def logs(self, sums: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Loss (of all, with penalties), losses and metrics of a pass; means are NaN before the first row."""
        logs: dict[str, Any] = {"loss": 0.0}
        rows, first = self.rows(sums), 0
        for entry in self.sums:
            last = first + entry.width
            weight = float(sums[last])
            if entry.metric is not None:
                logs[entry.name] = entry.metric.of(sums[first:last], weight, rows)
            else:
                mean = mean_of(float(sums[first]), weight, rows)
                logs["loss"] += entry.scale * mean
                if entry.kind == "loss" and entry.name != "loss":
                    logs[entry.name] = logs.get(entry.name, 0.0) + entry.part * mean
            first = last + 1
        return logs
