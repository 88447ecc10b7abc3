"""Each family of native entries beside PyTorch and a copy of as many bytes: rules, losses, layers, tables of vectors.

Layers are what they emit in training, forward or forward and backward, without a model around them (passes.py).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from machine import copier
from measure import Case, Run, repeated
from passes import Array, Pass, torch_pass, torch_table

PARAMETERS = 10_000_000
CACHED, STREAMING = 256, 4096  # rows of WIDTH
WIDTH = 512
PLANE, SQUARE = (16, 32), (4, 4, 32)  # the same as two axes, and as three
IMAGE, IMAGES = (26, 26, 32), 128  # a hidden layer of a small convolutional network, and a batch of them
ELEMENTS = 4_000_000  # of what the calls of a run make
TABLES = {"10 000": 10_000, "1 000 000": 1_000_000}  # vectors of an embedding
VECTOR, NUMBERS = 32, (256, 16)  # elements of one; numbers of a batch

# The names of the cases and of a candidate, which targets.py looks up.
COPY = "copy of as many bytes"
RULE = "{} on 10 000 000 parameters"
#: Reals per parameter that a rule reads and writes (w twice, g, each state array twice), and PyTorch's optimizer.
RULES: dict[str, tuple[int, str, dict[str, Any]]] = {
    "sgd": (3, "SGD", {"fused": True}),
    "rmsprop": (5, "RMSprop", {"foreach": True}),
    "adagrad": (5, "Adagrad", {"fused": True}),
    "adadelta": (7, "Adadelta", {"foreach": True}),
    "adam": (7, "Adam", {"fused": True}),
    "adamw": (7, "AdamW", {"fused": True}),
    "adamax": (7, "Adamax", {"foreach": True}),
    "nadam": (7, "NAdam", {"foreach": True}),
    "lion": (5, "", {}),  # PyTorch has none
    "ftrl": (7, "", {}),
    "schedulefreeadamw": (7, "", {}),
}
LOSS = "{} and its gradient, 4096 × 100"
#: What PyTorch calls it, and the targets.
LOSSES: dict[str, tuple[str, str]] = {
    "mean_squared_error": ("mse_loss", "reals"),
    "huber": ("huber_loss", "reals"),
    "poisson": ("poisson_nll_loss", "reals"),
    "kl_divergence": ("kl_div", "shares"),
    "cosine_similarity": ("cosine_similarity", "reals"),
    "binary_crossentropy": ("binary_cross_entropy_with_logits", "shares"),
    "sparse_categorical_crossentropy": ("cross_entropy", "labels"),
    "categorical_focal_crossentropy": ("", "shares"),  # PyTorch has none; so are these
    "log_cosh": ("", "reals"),
    "tweedie_deviance": ("", "reals"),
    "pinball": ("", "reals"),
    "gaussian_nll": ("", "reals"),
}
LAYER = "{}, {} × {}, {}"
FORWARD, BOTH = "forward", "forward and backward"
LOOKUP = "256 × 16 of {} vectors of an Embedding"
STEP = "256 × 16 of {} vectors of an Embedding, a step of {}"
#: PyTorch's optimizer of a gradient that is sparse.
STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD": ("SGD", {"lr": 0.01}),
    "LazyAdam": ("SparseAdam", {"lr": 0.001, "eps": 1e-7}),
}


@dataclass(frozen=True)
class Line:
    """A layer, and what computes the same with torch, of the inputs and of the layer's weights, if anything does."""

    layer: str
    settings: dict[str, Any] = field(default_factory=dict)
    torch: Callable[..., Any] | None = None
    shape: tuple[int, ...] = (WIDTH,)  # of a sample of each input
    inputs: int = 1

    @property
    def name(self) -> str:
        return str(self.settings.get("activation", self.layer))

    def make(self) -> Any:
        import nncore as nn

        return getattr(nn, self.layer)(**self.settings)

    def data(self, rows: int) -> tuple[list[Array], Array]:
        """Inputs, and the gradient of Y."""
        rng, made = np.random.default_rng(0), self.make().output_shape(*[self.shape] * self.inputs)
        xs = [rng.standard_normal((rows, *self.shape), np.float32) for _ in range(self.inputs)]
        return xs, rng.standard_normal((rows, *made), np.float32)


def of_images(torch: Any, function: str, x: Any, *arguments: Any, **settings: Any) -> Any:
    """What a function of torch makes of images with the channels behind, which stay there in memory."""
    return getattr(torch.nn.functional, function)(x.permute(0, 3, 1, 2), *arguments, **settings).permute(0, 2, 3, 1)


NORMALIZATION = (
    Line(
        "BatchNormalization",
        {},
        lambda t, x, g, b, *moving: t.nn.functional.batch_norm(x, *moving, g, b, True, 0.01, 1e-3),
    ),
    Line("LayerNormalization", {}, lambda t, x, g, b: t.nn.functional.layer_norm(x, g.shape, g, b, 1e-3)),
    Line("GroupNormalization", {}, lambda t, x, g, b: t.nn.functional.group_norm(x, 32, g, b, 1e-3)),
    Line("RMSNormalization", {}, lambda t, x, g: t.nn.functional.rms_norm(x, g.shape, g, 1e-6)),
    Line("UnitNormalization", {}, lambda t, x: t.nn.functional.normalize(x, dim=1, eps=1e-6)),
)
NOISE = (
    Line("Dropout", {"rate": 0.2}, lambda t, x: t.nn.functional.dropout(x, 0.2)),
    Line("AlphaDropout", {"rate": 0.2}, lambda t, x: t.nn.functional.alpha_dropout(x, 0.2, True)),
    Line("GaussianDropout", {"rate": 0.2}),  # PyTorch has none; so are these
    Line("GaussianNoise", {"stddev": 0.2}),
    Line("SpatialDropout1D", {"rate": 0.2}, lambda t, x: t.nn.functional.dropout1d(x.mT, 0.2).mT, PLANE),
    Line("SpatialDropout2D", {"rate": 0.2}, lambda t, x: of_images(t, "dropout2d", x, 0.2), SQUARE),
)
CONVOLUTION = tuple(
    Line(
        "DepthwiseConv2D",
        {"kernel_size": 3, "padding": "same"},
        lambda t, x, w, b: t.nn.functional.conv2d(
            x.permute(0, 3, 1, 2), w.permute(2, 3, 0, 1), b, padding=1, groups=x.shape[3]
        ).permute(0, 2, 3, 1),
        shape,
    )
    for shape in ((32, 32, 32), (16, 16, 64))
)
ACTIVATIONS = (
    Line("Activation", {"activation": "softmax"}, lambda t, x: x.softmax(1)),
    Line("Activation", {"activation": "log_softmax"}, lambda t, x: x.log_softmax(1)),
    Line("Activation", {"activation": "sparsemax"}),
    Line("Activation", {"activation": "glu"}, lambda t, x: t.nn.functional.glu(x, 1)),
    Line("Activation", {"activation": "gelu"}, lambda t, x: t.nn.functional.gelu(x)),
    Line("Activation", {"activation": "mish"}, lambda t, x: t.nn.functional.mish(x)),
)
MERGING = (
    Line("Add", {}, lambda t, a, b: a + b, inputs=2),
    Line("Multiply", {}, lambda t, a, b: a * b, inputs=2),
    Line("Maximum", {}, lambda t, a, b: t.maximum(a, b), inputs=2),
    Line("Concatenate", {}, lambda t, a, b: t.cat([a, b], 1), inputs=2),
    Line("Dot", {"axes": 2}, lambda t, a, b: a @ b.mT, PLANE, inputs=2),
    Line("Permute", {"dims": (2, 1)}, lambda t, x: x.mT.contiguous(), PLANE),
)
POOLING = (
    Line("MaxPooling2D", {}, lambda t, x: of_images(t, "max_pool2d", x, 2), IMAGE),
    Line("AveragePooling2D", {"pool_size": 2}, lambda t, x: of_images(t, "avg_pool2d", x, 2), IMAGE),
    Line("GlobalAveragePooling2D", {}, lambda t, x: x.mean((1, 2)), IMAGE),
    Line("ZeroPadding2D", {}, lambda t, x: t.nn.functional.pad(x, (0, 0, 1, 1, 1, 1)), IMAGE),
    Line("UpSampling2D", {}, lambda t, x: of_images(t, "interpolate", x, scale_factor=2), IMAGE),
)


def cases(threads: int, names: list[str] | None = None) -> Iterator[Case]:
    """All on one thread, whatever the nets."""
    if threads > 1:
        return
    yield from (rule_case(name) for name in sorted(RULES))
    yield from (loss_case(name) for name in LOSSES)
    for line in NORMALIZATION:
        yield from (layer_case(line, rows, which) for rows in (CACHED, STREAMING) for which in (FORWARD, BOTH))
    for line in CONVOLUTION:
        yield from (layer_case(line, IMAGES, which) for which in (FORWARD, BOTH))
    yield from (layer_case(line, CACHED, FORWARD) for line in NOISE)  # backward they draw the same again
    for line in (*ACTIVATIONS, *MERGING):
        yield from (layer_case(line, CACHED, which) for which in (FORWARD, BOTH))
    for line in POOLING:
        yield from (layer_case(line, IMAGES, which) for which in (FORWARD, BOTH))
    for size in TABLES:
        yield lookup_case(size)
        yield from (step_case(size, name) for name in STEPS)


def layer_case(line: Line, rows: int, which: str) -> Case:
    """A layer beside a copy of its inputs to its outputs, and of their gradients, where these are computed."""
    xs, dy = line.data(rows)
    size, given = (sum(x.nbytes for x in xs) + dy.nbytes) // 2, dy if which == BOTH else None
    runs: dict[str, Callable[[], Run]] = {
        COPY: partial(copier, 2 * size if which == BOTH else size),
        "nncore": lambda: Pass(line.make(), xs, given),
    }
    if line.torch:
        runs["PyTorch"] = partial(torch_pass, line.torch, line.make(), xs, given)
    width = WIDTH if math.prod(line.shape) == WIDTH else " × ".join(map(str, line.shape))
    return short_case(LAYER.format(line.name, rows, width, which), runs, max(1, ELEMENTS // dy.size))


def short_case(name: str, candidates: Mapping[str, Callable[[], Run]], calls: int) -> Case:
    """Candidates that are called so often in a run that it lasts long enough to be timed."""

    def often(prepare: Callable[[], Run]) -> Run:
        return repeated(prepare(), calls)

    runs = {who: partial(often, prepare) for who, prepare in candidates.items()}
    return Case(name, calls, runs, settle=0, least=0.5)


def embedding(size: str) -> tuple[Callable[[], Any], Array, Array]:
    """What makes the layer, numbers of a batch, and the gradient of Y."""
    import nncore as nn

    rng, vectors = np.random.default_rng(0), TABLES[size]
    numbers = rng.integers(0, vectors, NUMBERS).astype(np.int32)
    return partial(nn.Embedding, vectors, VECTOR), numbers, rng.standard_normal((*NUMBERS, VECTOR), np.float32)


def lookup_case(size: str) -> Case:
    """The vectors of a batch beside a copy of as many."""
    make, numbers, dy = embedding(size)
    runs: dict[str, Callable[[], Run]] = {
        COPY: partial(copier, dy.nbytes),
        "nncore": lambda: Pass(make(), [numbers]),
        "PyTorch": lambda: torch_table(make(), numbers),
    }
    return short_case(LOOKUP.format(size), runs, ELEMENTS // dy.size)


def step_case(size: str, name: str) -> Case:
    """The same, their gradient, and an update that leaves all other vectors alone."""
    from nncore import optimizers

    make, numbers, dy = embedding(size)
    peer, settings = STEPS[name]
    runs: dict[str, Callable[[], Run]] = {
        "nncore": lambda: Pass(make(), [numbers], dy, optimizers.get(name)),
        "PyTorch": lambda: torch_table(make(), numbers, dy, peer, **settings),
    }
    return short_case(STEP.format(size, name), runs, ELEMENTS // dy.size)


def rule_case(name: str) -> Case:
    """A rule beside a copy of as many bytes, and PyTorch's fused form, or where there is none that of lists."""
    reals, peer, settings = RULES[name]
    runs = {COPY: partial(copier, PARAMETERS * 4 * reals // 2), "nncore": partial(update_run, name, PARAMETERS)}
    if peer:
        runs["PyTorch"] = partial(torch_update, peer, settings, PARAMETERS)
    return Case(RULE.format(name), 1, runs)


def torch_update(name: str, settings: dict[str, Any], n: int) -> Run:
    """One update of PyTorch's, in 100 tensors."""
    import torch

    torch.set_num_threads(1)
    parameters = [torch.zeros(n // 100, requires_grad=True) for _ in range(100)]
    for p in parameters:
        p.grad = torch.full_like(p, 1e-3)
    optimizer = getattr(torch.optim, name)(parameters, lr=1e-3, **settings)
    optimizer.step()
    return lambda: optimizer.step()


def update_run(name: str, n: int) -> Run:
    """One update of n parameters on the calling thread, by the plain rule of that name."""
    from nncore import optimizers, runtime
    from nncore._kernels.table import RULE_NUMBERS
    from nncore._kernels.update import apply_update
    from nncore.optimizers.numbers import packed

    rng, table = np.random.default_rng(0), runtime.kernels("float32")
    w, g = rng.standard_normal(n, np.float32), np.float32(1e-3) * rng.standard_normal(n, np.float32)
    optimizer = optimizers.get(name)
    states = [np.zeros(n, np.float32) for _ in optimizer.state_names]
    common = {"learning_rate": 1e-3, "weight_decay": 0, "grad_scale": 1, "clip_value": np.inf, "step": 100}
    rule = packed(RULE_NUMBERS, common)
    return lambda: apply_update(table, optimizer.kernel, w, g, states, rule, optimizer.numbers)


def loss_case(name: str) -> Case:
    """A loss with its gradient, beside a copy of what it reads and writes, and PyTorch's forwards and backwards."""
    p, t = loss_data(LOSSES[name][1])
    moved = 2 * p.nbytes + t.nbytes  # predictions, gradient, targets; a copy moves two bytes for each of its own
    runs: dict[str, Callable[[], Run]] = {COPY: partial(copier, moved // 2), "nncore": partial(loss_run, name)}
    if LOSSES[name][0]:
        runs["PyTorch"] = partial(torch_loss, *LOSSES[name])
    return Case(LOSS.format(name), 1, runs)


def loss_data(kind: str) -> tuple[Any, Any]:
    """Predictions and targets."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.1, 1, (4096, 100)).astype("float32")
    targets = {
        "reals": lambda: rng.uniform(0.1, 1, (4096, 100)).astype("float32"),
        "shares": lambda: rng.dirichlet(np.ones(100), 4096).astype("float32"),
        "labels": lambda: rng.integers(0, 100, 4096).astype("int32"),
    }
    return p, targets[kind]()


def loss_run(name: str) -> Run:
    """Value and gradient on the calling thread, of logits where there is a kernel of these."""
    from nncore import losses, runtime
    from nncore._kernels import table
    from nncore._kernels.loss import apply_rows

    p, t = loss_data(LOSSES[name][1])
    loss, kernels = losses.LOSSES.classes[name](), runtime.kernels("float32")
    kernel = f"{name}_logits" if f"{name}_logits" in table.LOSSES else loss.kernel()
    columns = np.full(100, 0.5, "float32") if table.LOSS_TARGETS[kernel] == "ONE" else None
    settings: dict[str, Any] = {"scale": 1 / 4096, "parameters": loss.numbers(kernel), "grad": np.empty_like(p)}
    return lambda: apply_rows(kernels, "loss", kernel, p, t, 4096, 100, columns=columns, **settings)


def torch_loss(name: str, kind: str) -> Run:
    """The same by PyTorch."""
    import torch
    from torch.nn import functional

    torch.set_num_threads(1)
    p, t = (torch.from_numpy(array) for array in loss_data(kind))
    p.requires_grad_()
    t = t.long() if kind == "labels" else t
    function = getattr(functional, name)
    settings = {"log_input": False} if name == "poisson_nll_loss" else {}

    def run() -> None:
        p.grad = None
        made = function(torch.log_softmax(p, 1), t) if name == "kl_div" else function(p, t, **settings)
        made.mean().backward()

    return run
