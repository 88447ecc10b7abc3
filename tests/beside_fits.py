"""A model in which a torn state shows, and its fit in another thread."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import nncore as nn

INPUTS, UNITS = 96, 512
X = np.ones((64, INPUTS), np.float32)
Y = np.full((64, UNITS), 3.0, np.float32)


def twin_weights(threads: int = 2, precision: str = "highest") -> nn.Model:
    """A model all of whose weights are equal at every step, as are m and v, so that a torn state shows."""
    layer = nn.Dense(UNITS, use_bias=False, kernel_initializer="zeros")
    model = nn.Model([nn.Input(INPUTS), layer], seed=0, n_threads=threads)
    model.compile(nn.Adam(1e-5), "mse", matmul_precision=precision)
    return model


@contextmanager
def fitting(model: nn.Model) -> Iterator[None]:
    """Within this, another thread fits the model."""
    begun, end = threading.Event(), threading.Event()

    class Until(nn.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            begun.set()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.model.stop_training = end.is_set()

    thread = threading.Thread(
        target=model.fit, args=(X, Y), kwargs={"epochs": 10**9, "batch_size": 16, "verbose": 0, "callbacks": [Until()]}
    )
    thread.start()
    assert begun.wait(10)
    try:
        yield
    finally:
        end.set()
        thread.join()
