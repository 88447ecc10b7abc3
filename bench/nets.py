"""The networks that every benchmark uses: stacks of dense layers with ReLU, a softmax at the end, cross-entropy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

EPOCHS = 1000  # after which a net is old: its dead units have denormal moments, its gradients are small
LEARNING_RATES = {"sgd": 0.01, "adam": 0.001}


@dataclass(frozen=True)
class Net:
    """A network and how it is trained."""

    name: str
    widths: tuple[int, ...]  # inputs, hidden layers, classes
    batch: int
    optimizer: str  # "sgd" (no momentum) or "adam"
    steps: int  # of an epoch, so that an epoch of the slowest peer takes about 0.3 s
    copies: int = 1  # of every row among those of an epoch

    @property
    def label(self) -> str:
        age = f", {EPOCHS} epochs in" if self.copies > 1 else ""
        return f"{self.name} {self.shape}, {self.batch} {self.optimizer}{age}"

    @property
    def shape(self) -> str:
        return "-".join(map(str, self.widths))

    @property
    def layers(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of every layer."""
        return list(pairwise(self.widths))

    @property
    def learning_rate(self) -> float:
        return LEARNING_RATES[self.optimizer]

    @property
    def flops(self) -> int:
        """Of the products of one step: forward, dW, and dX of all layers but the first."""
        first, *rest = (2 * self.batch * i * o for i, o in self.layers)
        return 2 * first + 3 * sum(rest)

    @property
    def forward_flops(self) -> int:
        """Of the products that predict one row."""
        return sum(2 * i * o for i, o in self.layers)

    def weights(self, seed: int = 0) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """W (I,O), Glorot uniform, and b (O) of every layer."""
        rng = np.random.default_rng(seed)
        return [
            (rng.uniform(-1, 1, (i, o)).astype(np.float32) * np.float32((6 / (i + o)) ** 0.5), np.zeros(o, np.float32))
            for i, o in self.layers
        ]

    def data(self, steps: int | None = None, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """x (n,I) and labels y (n) of an epoch; every class occurs."""
        rng = np.random.default_rng(seed)
        n = self.batch * (steps or self.steps) // self.copies
        labels = np.arange(n) % self.widths[-1]
        rng.shuffle(labels)
        x = rng.random((n, self.widths[0]), dtype=np.float32)
        if self.copies == 1:  # np.tile would hold them twice for a moment, in which the memory of a fit is measured
            return x, labels
        return np.tile(x, (self.copies, 1)), np.tile(labels, self.copies)


NETS = {
    net.name: net
    for net in (
        Net("F", (8, 32, 32, 2), 16, "adam", steps=1000),
        Net("D", (30, 64, 64, 2), 32, "adam", steps=1000),
        Net("A", (784, 128, 10), 32, "sgd", steps=500),
        Net("B", (784, 256, 128, 10), 128, "adam", steps=100),
        Net("C", (784, 512, 512, 10), 256, "adam", steps=40),
        Net("E", (1024, 2048, 2048, 1000), 512, "sgd", steps=2),
    )
}
# The same with a hundred copies of each row: one epoch of the benchmark shows a row to the net a hundred times, so ten
# of them make the net as old as EPOCHS of the rows themselves, and what a peer does to begin an epoch is spread over as
# many steps as a fresh net's.
AGED = {name: replace(NETS[name], copies=100) for name in "FD"}
PREDICTED = {name: NETS[name] for name in ("D", "A", "C")}  # what one-row predictions are measured on
PRODUCTS = [  # M, K, N
    (1, 1, 1),
    (8, 8, 8),
    (16, 16, 16),
    (32, 32, 32),
    (64, 64, 64),
    (128, 128, 128),
    (256, 256, 256),
    (512, 512, 512),
    (1024, 1024, 1024),
    (2048, 2048, 2048),
    (32, 784, 128),
    (128, 784, 512),
    (256, 784, 512),
    (256, 1024, 1024),
    (1, 784, 512),
    (256, 512, 10),
    (1024, 1024, 1),
    (1024, 1024, 3),
    (10000, 64, 2),
]
