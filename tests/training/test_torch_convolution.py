"""Convolutional networks in PyTorch: the same weights after twenty steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from torch_twins import OPTIMIZERS, ROWS, Array, F, assert_moved_alike, torch, torch_step

import nncore as nn

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_torch_thread")]

STEPS = 20
Weights = Iterator[Any]  # of a network, one after another, as nncore lays them out
OFF = {
    "use_bias": False
}  # before a normalization: a bias has no gradient there but rounding, which Adam divides by itself


class Twin:
    """The weights and statistics of `model` in PyTorch, and what it computes of them."""

    def __init__(self, model: nn.Model, forward: Callable[[Any, Weights], Any]) -> None:
        self.parameters = [torch.tensor(w.numpy(), requires_grad=w.trainable) for w in model.weights]
        self.forward = forward

    def __call__(self, x: Array) -> Any:
        return self.forward(torch.from_numpy(x).movedim(-1, 1), iter(self.parameters))


def padded(x: Any, size: int, stride: int) -> Any:
    """X (B, C, …) with Keras's zeros for ⌈n / stride⌉ windows: where their number is odd, one more at the end."""
    zeros: list[int] = []
    for n in reversed(x.shape[2:]):
        total = max((-(-n // stride) - 1) * stride + size - n, 0)
        zeros += [total // 2, total - total // 2]
    return F.pad(x, zeros)


def same(x: Any, w: Any, b: Any, stride: int = 1, groups: int = 1) -> Any:
    return F.conv2d(padded(x, len(w), stride), w.permute(3, 2, 0, 1), b, stride, groups=groups)


def dense(x: Any, w: Weights) -> Any:
    return x @ next(w) + next(w)


def image_layers() -> list[nn.Layer]:
    return [
        nn.Input((14, 11, 3)),
        nn.Conv2D(8, 3, padding="same", **OFF),
        nn.BatchNormalization(momentum=0.8),
        nn.ReLU(),
        nn.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
        nn.MaxPooling2D(),
        nn.Conv2D(12, 3, padding="same", groups=4),
        nn.GlobalAveragePooling2D(),
        nn.Dense(4),
    ]


def image(x: Any, w: Weights) -> Any:
    z = same(x, next(w), None)
    gamma, beta, mean, variance = next(w), next(w), next(w), next(w)
    with torch.no_grad():  # PyTorch's own running variance is of samples, n / (n − 1) times Keras's
        mean.lerp_(z.mean((0, 2, 3)), 0.2)
        variance.lerp_(z.var((0, 2, 3), correction=0), 0.2)
    z = F.relu(F.batch_norm(z, None, None, gamma, beta, training=True, eps=1e-3))
    z = F.max_pool2d(F.relu(same(z, next(w), next(w), stride=2)), 2)
    z = same(z, next(w), next(w), groups=4)
    return dense(z.mean((2, 3)), w)


def series_layers() -> list[nn.Layer]:
    return [
        nn.Input((23, 3)),
        nn.Conv1D(7, 3, padding="causal", activation="tanh"),
        nn.Conv1D(8, 3, padding="causal", dilation_rate=2, activation="relu"),
        nn.Conv1D(6, 2, padding="causal", dilation_rate=4, activation="relu"),
        nn.AveragePooling1D(2),
        nn.Flatten(),
        nn.Dense(4),
    ]


def series(x: Any, w: Weights) -> Any:
    for dilation, activation in (1, torch.tanh), (2, F.relu), (4, F.relu):
        kernel, bias = next(w), next(w)
        x = F.pad(x, (dilation * (len(kernel) - 1), 0))
        x = activation(F.conv1d(x, kernel.permute(2, 1, 0), bias, dilation=dilation))
    return dense(F.avg_pool1d(x, 2).movedim(1, -1).flatten(1), w)


def autoencoder_layers() -> list[nn.Layer]:
    return [
        nn.Input((8, 10, 4)),
        nn.Conv2D(6, 3, strides=2, padding="same", activation="relu"),
        nn.Conv2DTranspose(5, 3, strides=2, padding="same", activation="tanh"),
        nn.Conv2D(6, 3, activation="relu"),
        nn.Conv2DTranspose(4, 3),
    ]


def autoencoder(x: Any, w: Weights) -> Any:
    z = F.relu(same(x, next(w), next(w), stride=2))
    kernel, bias = next(w), next(w)  # (3, 3, filters, C); the last row and column are cut off
    z = torch.tanh(F.conv_transpose2d(z, kernel.permute(3, 2, 0, 1), bias, 2)[..., :-1, :-1])
    z = F.relu(F.conv2d(z, next(w).permute(3, 2, 0, 1), next(w)))
    return F.conv_transpose2d(z, next(w).permute(3, 2, 0, 1), next(w)).movedim(1, -1)


CROSSENTROPY = nn.losses.SparseCategoricalCrossentropy(from_logits=True)
NETWORKS: dict[str, tuple[Callable[[], list[nn.Layer]], Callable[[Any, Weights], Any], Any, Any]] = {
    "images": (image_layers, image, CROSSENTROPY, F.cross_entropy),
    "series": (series_layers, series, CROSSENTROPY, F.cross_entropy),
    "autoencoder": (autoencoder_layers, autoencoder, "mse", F.mse_loss),
}


@pytest.mark.parametrize("optimizer_name", ["sgd-momentum", "adam"])
@pytest.mark.parametrize("name", NETWORKS)
def test_training(name: str, optimizer_name: str) -> None:
    layers, forward, loss, theirs_loss = NETWORKS[name]
    make, make_theirs, decay = OPTIMIZERS[optimizer_name]
    model, optimizer = nn.Model(layers(), seed=3, dtype="float64"), make()
    model.compile(optimizer, loss)
    start, twin = model.get_weights(), Twin(model, forward)
    theirs = make_theirs(twin.parameters)
    rng = np.random.default_rng(7)
    x = rng.standard_normal((STEPS * ROWS, *model.input_shape[1:]))
    y = x if name == "autoencoder" else rng.integers(0, 4, len(x))
    losses = []
    for step in range(1, STEPS + 1):
        batch = slice((step - 1) * ROWS, step * ROWS)
        value = theirs_loss(twin(x[batch]), torch.from_numpy(y[batch]))
        torch_step(twin, optimizer, theirs, value, decay, step)
        losses.append(value.item())
    history = model.fit(x, y, batch_size=ROWS, shuffle=False, verbose=0)
    assert history.history["loss"][0] == pytest.approx(np.mean(losses), rel=1e-12)
    assert_moved_alike(model, twin, start, "float64")
