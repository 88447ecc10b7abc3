"""Batches by number, under Keras's name."""

from __future__ import annotations

from typing import Any

from nncore.arguments import explained


class PyDataset:
    """Base of data sets that give their batches by number; one that has the methods needs no base.

    `fit` asks for each batch once in a pass, in an order that it draws anew for each, unless `shuffle` is False; a
    resume goes on with the next batch, without asking for those before it. Keras's `workers` are accepted, and batches
    taken in the thread that trains.
    """

    @explained
    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    @property
    def num_batches(self) -> int | None:
        """Batches of a pass; None: without an end."""
        return len(self)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Any:
        """Batch `index`: (x, y) or (x, y, sample_weight)."""
        raise NotImplementedError(f"{type(self).__name__}: expected __getitem__(index), which returns a batch")

    def on_epoch_begin(self) -> None:
        """See that an epoch of `fit` begins."""

    def on_epoch_end(self) -> None:
        """See that an epoch of `fit` ends."""
