"""`nncore train`: a network learns the bundled handwritten digits."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import nncore as nn
from nncore.arguments import printable
from nncore.cli.options import natural, positive, writable
from nncore.output import say

CLASSES = 10
INK = " .:-=+*#%"  # a pixel's value, halved: 0 (paper) to 8 (ink)


def dense() -> list[nn.Layer]:
    """Neurons that see whole images."""
    return [
        nn.Flatten(),
        nn.Dense(256, activation="relu"),
        nn.Dropout(0.5),
        nn.Dense(128, activation="relu"),
        nn.Dropout(0.5),
    ]


def conv() -> list[nn.Layer]:
    """Neurons that see windows of images, as in Keras's example for MNIST."""
    return [
        nn.Reshape((8, 8, 1)),  # one channel
        nn.Conv2D(32, 3, padding="same", activation="relu"),
        nn.MaxPooling2D(),
        nn.Conv2D(64, 3, padding="same", activation="relu"),
        nn.MaxPooling2D(),
        nn.Flatten(),
        nn.Dropout(0.5),
    ]


class Network(NamedTuple):
    """What stands between pixels and probabilities, and how long it learns."""

    hidden: Callable[[], list[nn.Layer]]
    epochs: int


#: Chosen on folds of the images to learn from: 97.8 and 98.9 % there.
NETWORKS = {"dense": Network(dense, 60), "conv": Network(conv, 40)}


def add_commands(commands: Any) -> None:
    """Add `train` to the commands."""
    command = commands.add_parser(
        "train",
        help="train a network on the bundled handwritten digits",
        description="Train a network on handwritten digits, save, load and try it.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.set_defaults(run=train)
    passes = ", ".join(f"{network.epochs} ({name})" for name, network in NETWORKS.items())
    add = command.add_argument
    add(
        "--network",
        choices=list(NETWORKS),
        default="dense",
        help="what hidden layers see: whole images (dense), or windows of them (conv)",
    )
    add("--epochs", type=positive, default=None, metavar="N", help=f"passes over the training images; None: {passes}")
    add("--batch-size", type=positive, default=32, metavar="N", help="images per step of the optimizer")
    add("--seed", type=natural, default=0, metavar="N", help="gives initial weights, order of images and dropout")
    add("--threads", type=positive, default=None, metavar="N", help="threads; None: as many as there are cores to use")
    add("--output", type=writable, default="digits.safetensors", metavar="FILE", help="where the checkpoint goes")
    add("--quiet", action="store_true", help="print the accuracy and nothing else")


def train(options: argparse.Namespace) -> None:
    """Train on the digits, report on the held-out ones, save, load and show."""
    (x_train, y_train), (x_test, y_test) = nn.datasets.load_digits()
    network = NETWORKS[options.network]
    model = digits_model(network, options.seed, options.threads)
    if not options.quiet:
        say(f"{len(x_train)} images to learn from, {len(x_test)} held out; 8x8 pixels, digits 0 to 9\n")
        model.build(x_train.shape[1:])
        model.summary()
        say("")
    model.fit(
        x_train,
        y_train,
        batch_size=options.batch_size,
        epochs=options.epochs or network.epochs,
        validation_split=0.1,
        verbose=0 if options.quiet else "auto",
    )
    if not options.quiet:
        say("")
    probabilities = model.predict(x_test)
    labels = probabilities.argmax(axis=1)
    right = int(np.count_nonzero(labels == y_test))

    model.save(options.output)
    again = nn.load_model(options.output).predict(x_test)
    if again.tobytes() != probabilities.tobytes():
        raise AssertionError(f"{options.output}: the loaded network predicts other bits than the one saved")

    say(f"Accuracy on held-out digits: {right / len(y_test):.2%} ({right} of {len(y_test)})")
    if not options.quiet:
        say(f"\n{per_digit(y_test, labels)}\n")
        say(f"Saved to {printable(str(options.output))} and loaded again: the same predictions, bit for bit.\n")
        say(gallery(x_test, y_test, probabilities))


def digits_model(network: Network, seed: int, threads: int | None) -> nn.Model:
    """Compile a network: 64 pixels, hidden layers, 10 probabilities."""
    layers = [nn.Rescaling(1 / 16), *network.hidden(), nn.Dense(CLASSES, activation="softmax")]
    model = nn.Model(layers, seed=seed, n_threads=threads)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def per_digit(truth: NDArray[np.int64], said: NDArray[np.int64]) -> str:
    """Tabulate precision (of those called d, how many are) and recall (of those that are d, how many are called so)."""
    lines = ["digit  precision  recall  images"]
    for digit in range(CLASSES):
        called, real = said == digit, truth == digit
        hits = np.count_nonzero(called & real)
        precision, recall = (f"{hits / n:.1%}" if (n := np.count_nonzero(of)) else "-" for of in (called, real))
        lines.append(f"{digit:>5}  {precision:>9}  {recall:>6}  {np.count_nonzero(real):>6}")
    return "\n".join(lines)


def gallery(x: NDArray[np.uint8], y: NDArray[np.int64], probabilities: NDArray[np.floating]) -> str:
    """Draw the first 2, 3 and 8, and the digit that the network is least sure of, with what it says of each."""
    best = probabilities.max(axis=1)
    shown = [*(int(np.flatnonzero(y == digit)[0]) for digit in (2, 3, 8)), int(best.argmin())]
    width = 2 * x.shape[2]
    captions = [f"says {probabilities[i].argmax()} ({best[i]:.1%})" for i in shown]
    rows = [[f"a {y[i]}" for i in shown], *zip(*(drawing(x[i]) for i in shown), strict=True), captions]
    return "\n".join("   ".join(f"{cell:<{width}}" for cell in row).rstrip() for row in rows)


def drawing(image: NDArray[np.uint8]) -> list[str]:
    """Draw an image in characters, two per pixel, since characters are twice as high as wide."""
    return ["".join(2 * INK[value // 2] for value in row) for row in image]
