"""Training steps of convolutional networks, and predictions, by nncore, PyTorch and ONNX Runtime.

A network is a list of layers, of which each candidate is built. PyTorch is in its best form: channels last, eager, with
its fused Adam; JAX took two to six times as long on these. A run is some steps over shuffled
batches, forward, loss, backward and update.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from machine import candidates
from measure import Case, Run, repeated
from numpy.typing import NDArray

Array = NDArray[Any]
STEPS = 8  # of a run
RELU, BATCH, FLATTEN, MEANS = ("relu",), ("batch",), ("flatten",), ("means",)


def conv(filters: int, size: int, padding: str = "same", strides: int = 1) -> tuple[Any, ...]:
    return "conv", filters, size, padding, strides


def dense(units: int) -> tuple[Any, ...]:
    return "dense", units


def residual(filters: int, strides: int = 1) -> tuple[Any, ...]:
    """Two convolutions beside what they read, or a product of that."""
    return "residual", [conv(filters, 3, "same", strides), BATCH, RELU, conv(filters, 3), BATCH], filters, strides


POOL = ("pool", 2)
SEPARABLE = [("depthwise", 3), BATCH, RELU, conv(32, 1), BATCH, RELU]


@dataclass
class Network:
    """Layers for images or series of a shape, of so many classes."""

    name: str
    shape: tuple[int, ...]
    batch: int
    layers: list[tuple[Any, ...]]
    classes: int = 10
    predicts: int = 0  # of so many samples a prediction is timed, too

    def data(self) -> tuple[Array, Array]:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((STEPS * self.batch, *self.shape), dtype=np.float32)
        return x, rng.integers(0, self.classes, len(x))


NETWORKS = [
    Network("LeNet-5", (28, 28, 1), 128, [conv(6, 5), RELU, POOL, conv(16, 5, "valid"), RELU, POOL, FLATTEN,
                                          dense(120), RELU, dense(84), RELU, dense(10)], predicts=1),
    Network("mnist_convnet", (28, 28, 1), 128, [conv(32, 3, "valid"), RELU, POOL, conv(64, 3, "valid"), RELU, POOL,
                                                FLATTEN, ("dropout",), dense(10)]),
    Network("timeseries", (500, 1), 32, [*[conv(64, 3), BATCH, RELU] * 3, MEANS, dense(2)], 2),
    Network("activity", (128, 9), 64, [conv(64, 5, "valid"), RELU, conv(64, 5, "valid"), RELU, ("dropout",), POOL,
                                       FLATTEN, dense(100), RELU, dense(6)], 6, predicts=1),
    Network("ResNet", (32, 32, 3), 64, [conv(16, 3), BATCH, RELU, *[residual(16)] * 3, residual(32, 2),
                                        *[residual(32)] * 2, residual(64, 2), residual(64), MEANS, dense(10)],
            predicts=64),
    Network("depthwise", (32, 32, 3), 64, [conv(32, 3), BATCH, RELU, *SEPARABLE * 5, MEANS, dense(10)],
            predicts=64),
]  # fmt: skip


def cases(threads: int, names: list[str] | None = None) -> Iterator[Case]:
    """A step of each network, and where it is asked for a prediction."""
    for net in NETWORKS:
        if names and net.name not in names:
            continue
        runs: dict[str, Callable[[], Run]] = {
            "PyTorch": partial(torch_run, net, threads),
            "PyTorch bf16": partial(torch_run, net, threads, bf16=True),
        }
        runs |= {name: partial(nncore_run, net, threads, level) for name, level in candidates().items()}
        yield Case(f"{net.name}, batch {net.batch}", STEPS, runs, step_flops(net), unit="ms")
        if net.predicts:
            made: dict[str, Callable[[], Run]] = {
                "PyTorch": partial(torch_prediction, net, threads),
                "ONNX Runtime": partial(onnx_prediction, net, threads),
                "nncore highest": partial(nncore_prediction, net, threads),
            }
            samples = "one sample" if net.predicts == 1 else f"prediction of {net.predicts}"
            yield Case(f"{net.name}, {samples}", calls(net), made, unit="µs" if net.predicts == 1 else "ms")


def calls(net: Network) -> int:
    """Of predictions in a run."""
    return 200 if net.predicts == 1 else 4


def step_flops(net: Network) -> float:
    """Of products: forward, and twice that backward, but for the first layer's input."""
    total, shape, first = 0.0, net.shape, True

    def through(layers: list[tuple[Any, ...]], shape: tuple[int, ...]) -> tuple[int, ...]:
        nonlocal total, first
        for kind, *settings in layers:
            if kind in ("conv", "depthwise"):
                filters, size, padding, strides = settings if kind == "conv" else (shape[-1], *settings, "same", 1)
                made = [-(-n // strides) if padding == "same" else (n - size) // strides + 1 for n in shape[:-1]]
                inputs = size ** len(made) * (shape[-1] if kind == "conv" else 1)
                total += 2 * math.prod(made) * inputs * filters * (2 if first else 3)
                shape, first = (*made, filters), False
            elif kind == "pool":
                shape = (*(n // 2 for n in shape[:-1]), shape[-1])
            elif kind == "residual":
                branch, filters, strides = settings
                before, shape = shape, through(branch, shape)
                total += 6 * math.prod(shape[:-1]) * before[-1] * filters if strides > 1 else 0
            elif kind in ("flatten", "means"):
                shape = (math.prod(shape),) if kind == "flatten" else shape[-1:]
            elif kind == "dense":
                total += 6 * shape[0] * settings[0]
                shape = (settings[0],)
        return shape

    through(net.layers, shape)
    return total * net.batch


# -- nncore ------------------------------------------------------------------------------------------------------------


def nncore_model(net: Network, threads: int, seed: int = 0) -> Any:
    import nncore as nn

    images = len(net.shape) == 3
    convolution = nn.Conv2D if images else nn.Conv1D

    def through(x: Any, layers: list[tuple[Any, ...]]) -> Any:
        for kind, *settings in layers:
            if kind == "conv":
                filters, size, padding, strides = settings
                x = convolution(filters, size, strides, padding)(x)
            elif kind == "residual":
                branch, filters, strides = settings
                beside = x if strides == 1 else convolution(filters, 1, strides)(x)
                x = nn.ReLU()(nn.Add()([through(x, branch), beside]))
            elif kind == "dense":
                x = nn.Dense(settings[0])(x)
            else:
                x = others[kind]()(x)
        return x

    others: dict[str, Callable[[], Any]] = {
        "relu": nn.ReLU,
        "batch": nn.BatchNormalization,
        "flatten": nn.Flatten,
        "pool": lambda: (nn.MaxPooling2D if images else nn.MaxPooling1D)(2),
        "means": lambda: (nn.GlobalAveragePooling2D if images else nn.GlobalAveragePooling1D)(),
        "dropout": lambda: nn.Dropout(0.5),
        "depthwise": lambda: nn.DepthwiseConv2D(3, padding="same"),
    }
    x = nn.Input(net.shape)
    return nn.Model(x, nn.Softmax()(through(x, net.layers)), seed=seed, n_threads=threads)


def nncore_run(net: Network, threads: int, level: str) -> Run:
    model, (x, y) = nncore_model(net, threads), net.data()
    model.compile("adam", "sparse_categorical_crossentropy", matmul_precision=level)
    return lambda: model.fit(x, y, batch_size=net.batch, verbose=0)


def nncore_prediction(net: Network, threads: int) -> Run:
    model, x = nncore_model(net, threads), net.data()[0][: net.predicts]
    return repeated(lambda: model(x), calls(net))


# -- PyTorch -----------------------------------------------------------------------------------------------------------


def torch_model(net: Network) -> Any:
    import torch

    nn, images = torch.nn, len(net.shape) == 3
    convolution = nn.Conv2d if images else nn.Conv1d

    class Residual(nn.Module):
        def __init__(self, branch: Any, beside: Any) -> None:
            super().__init__()
            self.branch, self.beside = branch, beside

        def forward(self, x: Any) -> Any:
            return torch.relu(self.branch(x) + self.beside(x))

    class Means(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.mean(tuple(range(2, x.ndim)))

    def built(layers: list[tuple[Any, ...]], shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
        made: list[Any] = []
        for kind, *settings in layers:
            if kind in ("conv", "depthwise"):
                filters, size, padding, strides = settings if kind == "conv" else (shape[-1], *settings, "same", 1)
                before = size // 2 if padding == "same" else 0
                groups = shape[-1] if kind == "depthwise" else 1
                made.append(convolution(shape[-1], filters, size, strides, before, groups=groups))
                shape = (*((n + 2 * before - size) // strides + 1 for n in shape[:-1]), filters)
            elif kind == "batch":
                made.append((nn.BatchNorm2d if images else nn.BatchNorm1d)(shape[-1]))
            elif kind == "relu":
                made.append(nn.ReLU(inplace=True))
            elif kind == "pool":
                made.append((nn.MaxPool2d if images else nn.MaxPool1d)(2))
                shape = (*(n // 2 for n in shape[:-1]), shape[-1])
            elif kind == "residual":
                branch, filters, strides = settings
                beside = nn.Identity() if strides == 1 else convolution(shape[-1], filters, 1, strides)
                inner, shape = built(branch, shape)
                made.append(Residual(inner, beside))
            elif kind == "dense":
                made.append(nn.Linear(shape[0], settings[0]))
                shape = (settings[0],)
            elif kind == "dropout":
                made.append(nn.Dropout(0.5))
            else:
                made.append(nn.Flatten() if kind == "flatten" else Means())
                shape = (math.prod(shape),) if kind == "flatten" else shape[-1:]
        return nn.Sequential(*made), shape

    model = built(net.layers, net.shape)[0]
    return model.to(memory_format=torch.channels_last) if images else model


def torch_inputs(net: Network, x: Array) -> Any:
    import torch

    moved = torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))
    return moved.to(memory_format=torch.channels_last) if len(net.shape) == 3 else moved


def torch_run(net: Network, threads: int, bf16: bool = False) -> Run:
    import torch

    torch.set_num_threads(threads)
    model, (images, labels) = torch_model(net), net.data()
    x, y = torch_inputs(net, images), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def run() -> None:
        for rows in torch.randperm(len(x)).split(net.batch):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                loss = torch.nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return run


def torch_prediction(net: Network, threads: int) -> Run:
    import torch

    torch.set_num_threads(threads)
    model, x = torch_model(net).eval(), torch_inputs(net, net.data()[0][: net.predicts])

    def run() -> None:
        with torch.inference_mode():
            for _ in range(calls(net)):
                model(x)

    return run


def onnx_prediction(net: Network, threads: int) -> Run:
    """The network of PyTorch, with its weights."""
    import io
    import warnings

    import onnxruntime
    import torch

    model, x = torch_model(net).eval(), torch_inputs(net, net.data()[0][: net.predicts]).contiguous()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.to(memory_format=torch.contiguous_format), (x,), file, dynamo=False, input_names=["x"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    given = {"x": x.numpy()}
    return repeated(lambda: session.run(None, given), calls(net))
