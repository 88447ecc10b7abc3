"""The same network, weights and batches in PyTorch: the same weights after several steps, for optimizers × losses.

Where the two libraries mean different things by a name, PyTorch is given what nncore means:

- Adam's epsilon stands beside √v here and beside √(v / (1 − β₂ᵗ)) there, so eps = epsilon / √(1 − β₂ᵗ), set anew at
  each step t, makes the formulas equal;
- RMSprop's epsilon stands inside the root here, √(v + ε), and outside there, √v + eps. Both are taken so small that
  neither counts, except to make 0 / 0 zero: eps = √ε;
- weight decay is decoupled here, W ← W (1 − η λ) before the rule, as in PyTorch's AdamW; its other optimizers add
  λ W to the gradient, so there the decay is done by hand;
- PyTorch scales gradients by c / (norm + 1e-6), nncore by c / norm: the clipped gradients are corrected for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import nncore as nn
from nncore import losses

torch = pytest.importorskip("torch", reason="PyTorch is not installed: parity with it is not tested")
F = torch.nn.functional

pytestmark = pytest.mark.torch

Array = NDArray[Any]

STEPS, ROWS, INPUTS, HIDDEN, OUTPUTS = 6, 13, 7, 9, 4
TINY = 1e-36
#: Of the weights, relative to what the training moved them by. Differences begin at the rounding error and grow with
#: the steps, most where a gradient is divided by its own size.
TOLERANCE = {"float64": 1e-10, "float32": 2e-3}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """PyTorch on one thread: the two cores of a test machine are soon oversubscribed."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Twin:
    """The network of `model`, in PyTorch: Y = W₂ᵀ act(W₁ᵀ X + b₁) + b₂."""

    def __init__(self, model: nn.Model, activation: Callable[[Any], Any]) -> None:
        self.activation = activation
        self.parameters = [torch.tensor(w, requires_grad=True) for w in model.get_weights()]

    def logits(self, x: Any) -> Any:
        *hidden, (w, b) = zip(self.parameters[::2], self.parameters[1::2], strict=True)
        for kernel, bias in hidden:
            x = self.activation(x @ kernel + bias)
        return x @ w + b


def probabilities(rng: np.random.Generator) -> Array:
    return rng.dirichlet(np.ones(OUTPUTS), ROWS)


def values(rng: np.random.Generator) -> Array:
    return rng.standard_normal((ROWS, OUTPUTS))


def shares(rng: np.random.Generator) -> Array:
    return rng.random((ROWS, OUTPUTS))


def halves(rng: np.random.Generator) -> Array:
    return rng.standard_normal((ROWS, OUTPUTS // 2))


def labels(rng: np.random.Generator) -> Array:
    return rng.integers(0, OUTPUTS, ROWS)


def softmax(z: Any) -> Any:
    return torch.softmax(z, dim=-1)


# loss, last activation, targets, and PyTorch's value per row (B,) or element (B,n) from the logits
LOSSES: dict[str, tuple[Any, str | None, Callable[..., Array], Callable[[Any, Any], Any]]] = {
    "mse": ("mse", None, values, lambda z, t: F.mse_loss(z, t, reduction="none")),
    "mse-softmax": ("mse", "softmax", probabilities, lambda z, t: F.mse_loss(softmax(z), t, reduction="none")),
    "mae": ("mae", None, values, lambda z, t: F.l1_loss(z, t, reduction="none")),
    "huber": (losses.Huber(0.4), None, values, lambda z, t: F.huber_loss(z, t, reduction="none", delta=0.4)),
    "huber-sigmoid": ("huber", "sigmoid", shares, lambda z, t: F.huber_loss(torch.sigmoid(z), t, reduction="none")),
    "bce": ("bce", "sigmoid", shares, lambda z, t: F.binary_cross_entropy_with_logits(z, t, reduction="none")),
    "bce-softmax": ("bce", "softmax", shares, lambda z, t: F.binary_cross_entropy(softmax(z), t, reduction="none")),
    "bce-logits": (losses.BinaryCrossentropy(from_logits=True), None, shares,
                   lambda z, t: F.binary_cross_entropy_with_logits(z, t, reduction="none")),
    "cce": ("categorical_crossentropy", "softmax", probabilities, lambda z, t: F.cross_entropy(z, t, reduction="none")),
    "cce-logits": (losses.CategoricalCrossentropy(from_logits=True), None, probabilities,
                   lambda z, t: F.cross_entropy(z, t, reduction="none")),
    "scce": ("sparse_categorical_crossentropy", "softmax", labels,
             lambda z, t: F.cross_entropy(z, t, reduction="none")),
    "scce-logits": (losses.SparseCategoricalCrossentropy(from_logits=True), None, labels,
                    lambda z, t: F.cross_entropy(z, t, reduction="none")),
}  # fmt: skip

# The same of those that are compared with one optimizer alone
MORE: dict[str, tuple[Any, str | None, Callable[..., Array], Callable[[Any, Any], Any]]] = {
    "kld": ("kl_divergence", "softmax", probabilities,
            lambda z, t: F.kl_div(torch.log_softmax(z, -1), t, reduction="none").sum(-1)),
    "kld-sigmoid": ("kl_divergence", "sigmoid", probabilities,
                    lambda z, t: F.kl_div(F.logsigmoid(z), t, reduction="none").sum(-1)),
    "poisson": ("poisson", "softplus", shares, lambda z, t: F.poisson_nll_loss(
        F.softplus(z), t, log_input=False, eps=1e-7, reduction="none")),
    "cosine": ("cosine_similarity", None, values, lambda z, t: -F.cosine_similarity(z, t, -1)),
    "gaussian": (losses.GaussianNLL("identity", floor=0.01, full=True), "softplus", halves,
                 lambda z, t: F.gaussian_nll_loss(
        F.softplus(z)[:, :2], t, F.softplus(z)[:, 2:], full=True, eps=0.01, reduction="none")),
    "gaussian-softplus": (losses.GaussianNLL(floor=0.01), None, halves, lambda z, t: F.gaussian_nll_loss(
        z[:, :2], t, F.softplus(z[:, 2:]) + 0.01, reduction="none")),
    "gaussian-exp": (losses.GaussianNLL("exponential", floor=0.01), None, halves, lambda z, t: F.gaussian_nll_loss(
        z[:, :2], t, z[:, 2:].exp() + 0.01, reduction="none")),
    "smoothed": (losses.CategoricalCrossentropy(True, 0.1), None, probabilities,
                 lambda z, t: F.cross_entropy(z, t, label_smoothing=0.1, reduction="none")),
    "multi-label": (losses.BinaryCrossentropy(True), None, shares,
                    lambda z, t: F.multilabel_soft_margin_loss(z, t, reduction="none")),
    "terms": (0.5 * losses.mse - 2 * losses.mae, None, values, lambda z, t: 0.5 * (z - t) ** 2 - 2 * (z - t).abs()),
}  # fmt: skip
#: Those that PyTorch has not; tests/operations/test_kernels_losses.py compares them with their formulas.
ELSEWHERE = {
    losses.LOSSES.classes[name]
    for name in (
        "mean_absolute_percentage_error", "mean_squared_logarithmic_error", "log_cosh", "hinge", "squared_hinge",
        "categorical_hinge", "binary_focal_crossentropy", "categorical_focal_crossentropy", "dice", "tversky",
        "categorical_generalized_cross_entropy", "circle", "triplet", "contrastive", "poisson_deviance",
        "gamma_deviance", "tweedie_deviance", "pinball", "corn", "function_loss",
    )
}  # fmt: skip

# nncore's optimizer, PyTorch's, weight decay done by hand
OPTIMIZERS: dict[str, tuple[Callable[[], nn.optimizers.Optimizer], Callable[[Any], Any], float]] = {
    "sgd": (lambda: nn.SGD(0.1), lambda p: torch.optim.SGD(p, lr=0.1), 0.0),
    "sgd-momentum": (lambda: nn.SGD(0.05, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), 0.0),
    "sgd-nesterov": (lambda: nn.SGD(0.05, 0.8, nesterov=True),
                     lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8, nesterov=True), 0.0),
    "sgd-decay": (lambda: nn.SGD(0.05, 0.8, weight_decay=0.3),
                  lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.8), 0.3),
    "sgd-clipvalue": (lambda: nn.SGD(0.1, clipvalue=0.003), lambda p: torch.optim.SGD(p, lr=0.1), 0.0),
    "sgd-clipnorm": (lambda: nn.SGD(0.1, clipnorm=0.02), lambda p: torch.optim.SGD(p, lr=0.1), 0.0),
    "sgd-global": (lambda: nn.SGD(0.1, 0.5, global_clipnorm=0.02),
                   lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5), 0.0),
    "lazysgd": (lambda: nn.LazySGD(0.05, momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9), 0.0),
    "lazyadam": (lambda: nn.LazyAdam(0.01), lambda p: torch.optim.Adam(p, lr=0.01), 0.0),
    "adam": (lambda: nn.Adam(0.01), lambda p: torch.optim.Adam(p, lr=0.01), 0.0),
    "adam-epsilon": (lambda: nn.Adam(0.01, 0.8, 0.95, epsilon=0.02),
                     lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.95)), 0.0),
    "adam-clipnorm": (lambda: nn.Adam(0.01, clipnorm=0.02), lambda p: torch.optim.Adam(p, lr=0.01), 0.0),
    "adam-global": (lambda: nn.Adam(0.01, epsilon=0.01, global_clipnorm=0.02),
                    lambda p: torch.optim.Adam(p, lr=0.01), 0.0),
    "adam-decay": (lambda: nn.Adam(0.01, weight_decay=0.5),
                   lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.5), 0.0),
    "adamw": (lambda: nn.AdamW(0.01), lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.004), 0.0),
    "amsgrad": (lambda: nn.Adam(0.01, amsgrad=True), lambda p: torch.optim.Adam(p, lr=0.01, amsgrad=True), 0.0),
    "adagrad": (lambda: nn.Adagrad(0.05, epsilon=TINY),
                lambda p: torch.optim.Adagrad(p, lr=0.05, initial_accumulator_value=0.1, eps=0), 0.0),
    "adadelta": (lambda: nn.Adadelta(1.0, 0.9, 1e-4),
                 lambda p: torch.optim.Adadelta(p, lr=1.0, rho=0.9, eps=1e-4), 0.0),
    "adamax": (lambda: nn.Adamax(0.01, epsilon=TINY), lambda p: torch.optim.Adamax(p, lr=0.01, eps=TINY), 0.0),
    "rmsprop": (lambda: nn.RMSprop(0.01, epsilon=TINY), lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9), 0.0),
    "rmsprop-momentum": (lambda: nn.RMSprop(0.01, 0.8, 0.5, epsilon=TINY),
                         lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.8, momentum=0.5), 0.0),
    "rmsprop-centered": (lambda: nn.RMSprop(0.01, epsilon=TINY, centered=True),
                         lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.9, centered=True), 0.0),
    "rmsprop-all": (lambda: nn.RMSprop(0.01, 0.7, 0.6, epsilon=TINY, centered=True, weight_decay=0.2, clipvalue=0.003),
                    lambda p: torch.optim.RMSprop(p, lr=0.01, alpha=0.7, momentum=0.6, centered=True), 0.2),
}  # fmt: skip


def clip(optimizer: nn.optimizers.Optimizer, parameters: list[Any]) -> int:
    """Clip PyTorch's gradients as `optimizer` does; returns how many were."""
    if optimizer.clipvalue:
        longest = max(float(p.grad.abs().max()) for p in parameters)
        torch.nn.utils.clip_grad_value_(parameters, optimizer.clipvalue)
        return int(longest > optimizer.clipvalue)
    limit = optimizer.clipnorm or optimizer.global_clipnorm
    groups = [[p] for p in parameters] if optimizer.clipnorm else [parameters]
    clipped = 0
    for group in groups if limit else []:
        norm = torch.nn.utils.clip_grad_norm_(group, limit)
        if norm + 1e-6 > limit:
            clipped += 1
            for p in group:  # from limit / (norm + 1e-6) to limit / norm, but never above 1
                p.grad.mul_((norm + 1e-6) / max(norm, limit))
    return clipped


def torch_step(twin: Twin, mine: nn.optimizers.Optimizer, theirs: Any, value: Any, decay: float, step: int) -> int:
    """One update of the twin; returns how many gradients were clipped."""
    theirs.zero_grad()
    value.backward()
    clipped = clip(mine, twin.parameters)
    for settings in theirs.param_groups:
        if isinstance(mine, nn.Adam):
            settings["eps"] = mine.epsilon / math.sqrt(1 - mine.beta_2**step)
        if isinstance(mine, nn.RMSprop):
            settings["eps"] = math.sqrt(mine.epsilon)
    with torch.no_grad():
        for p in twin.parameters:
            p.mul_(1 - mine.learning_rate * decay)
    theirs.step()
    return clipped


def mlp(dtype: str, last: str | None, activation: str = "tanh", hidden: int = HIDDEN) -> nn.Model:
    layers = [nn.Input(INPUTS), nn.Dense(hidden, activation), nn.Dense(hidden, activation), nn.Dense(OUTPUTS, last)]
    return nn.Model(layers, seed=11, dtype=dtype)


def assert_moved_alike(model: nn.Model, twin: Twin, start: list[Array], dtype: str) -> None:
    for before, mine, theirs in zip(start, model.get_weights(), twin.parameters, strict=True):
        moved = np.abs(mine - before).max()
        assert moved > 0
        np.testing.assert_allclose(mine, theirs.detach().numpy(), rtol=0, atol=TOLERANCE[dtype] * moved)


@pytest.mark.filterwarnings("ignore:loss. .* expects:UserWarning")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss_name", MORE)
def test_more_losses(loss_name: str, dtype: str) -> None:
    test_training("sgd", loss_name, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss_name", LOSSES)
@pytest.mark.parametrize("optimizer_name", OPTIMIZERS)
def test_training(optimizer_name: str, loss_name: str, dtype: str) -> None:
    """Optimizers × losses; every second step weighs the samples."""
    make, make_theirs, decay = OPTIMIZERS[optimizer_name]
    loss, last, targets, per_row = (LOSSES | MORE)[loss_name]
    model, optimizer = mlp(dtype, last), make()
    model.compile(optimizer, loss)
    start = model.get_weights()
    twin = Twin(model, torch.tanh)
    theirs = make_theirs(twin.parameters)
    rng = np.random.default_rng(5)
    clipped = 0
    for step in range(1, STEPS + 1):
        x, t = rng.standard_normal((ROWS, INPUTS)).astype(dtype), targets(rng)
        t = t if loss_name.startswith("scce") else t.astype(dtype)
        w = rng.random(ROWS).astype(dtype) if step % 2 == 0 else None
        rows = per_row(twin.logits(torch.from_numpy(x)), torch.from_numpy(t)).reshape(ROWS, -1).mean(dim=1)
        value = (rows if w is None else rows * torch.from_numpy(w)).mean()
        clipped += torch_step(twin, optimizer, theirs, value, decay, step)
        got = model.train_on_batch(x, t, w)
        assert got == pytest.approx(value.item(), rel=1e-11 if dtype == "float64" else 1e-4)
    assert bool(clipped) == ("clip" in optimizer_name or "global" in optimizer_name or optimizer_name == "rmsprop-all")
    assert_moved_alike(model, twin, start, dtype)


def sparsemax(z: Any) -> Any:
    """By sorting, as in the paper."""
    ordered = z.sort(dim=-1, descending=True).values
    sums, k = ordered.cumsum(-1), torch.arange(1, z.shape[-1] + 1)
    size = (1 + k * ordered > sums).sum(-1, keepdim=True)
    return (z - (sums.gather(-1, size - 1) - 1) / size).clamp(min=0)


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": F.relu,
    "leaky_relu": lambda z: F.leaky_relu(z, 0.2),
    "elu": F.elu,
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "softplus": F.softplus,
    "gelu": F.gelu,
    "silu": F.silu,
    "softmax": softmax,
    "linear": lambda z: z,
    "celu": F.celu,
    "exponential": torch.exp,
    "glu": F.glu,
    "hard_shrink": F.hardshrink,
    "hard_sigmoid": lambda z: (z + 3).clamp(0, 6) / 6,  # F.hardsigmoid has a sixth of float32
    "hard_silu": F.hardswish,
    "hard_tanh": F.hardtanh,
    "log_sigmoid": F.logsigmoid,
    "log_softmax": lambda z: F.log_softmax(z, dim=-1),
    "mish": F.mish,
    "relu6": F.relu6,
    "soft_shrink": F.softshrink,
    "softsign": F.softsign,
    "sparse_plus": lambda z: torch.where(z >= 1, z, (z.clamp(-1, 1) + 1) ** 2 / 4),
    "sparse_sigmoid": lambda z: ((z + 1) / 2).clamp(0, 1),
    "sparsemax": sparsemax,
    "squareplus": lambda z: (z + torch.sqrt(z * z + 4)) / 2,
    "tanh_shrink": F.tanhshrink,
    "threshold": lambda z: F.threshold(z, 0.0, 0.0),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [*ACTIVATIONS, "gelu_tanh"])
def test_activations(name: str, dtype: str) -> None:
    approximate = name == "gelu_tanh"
    mine: Any = nn.activations.Gelu(approximate=True) if approximate else name
    function = (lambda z: F.gelu(z, approximate="tanh")) if approximate else ACTIVATIONS[name]
    scale = 0.01 if name == "exponential" else 1.0  # which would diverge
    model = mlp(dtype, "softmax", mine, HIDDEN + (name == "glu"))
    model.compile(nn.SGD(0.3 * scale, momentum=0.5), "sparse_categorical_crossentropy")
    start = model.get_weights()
    twin = Twin(model, function)
    theirs = torch.optim.SGD(twin.parameters, lr=0.3 * scale, momentum=0.5)
    rng = np.random.default_rng(7)
    for step in range(1, STEPS + 1):
        x, t = (scale * rng.standard_normal((ROWS, INPUTS))).astype(dtype), labels(rng)
        logits = twin.logits(torch.from_numpy(x))
        rtol = 1e-11 if dtype == "float64" else 1e-4
        np.testing.assert_allclose(model.predict(x), softmax(logits).detach(), rtol=rtol)
        torch_step(twin, model.optimizer, theirs, F.cross_entropy(logits, torch.from_numpy(t)), 0, step)
        model.train_on_batch(x, t)
    assert_moved_alike(model, twin, start, dtype)


def test_every_activation_is_compared() -> None:
    assert sorted([*ACTIVATIONS, "ascending"]) == nn.activations.ACTIVATIONS.names()


def test_every_optimizer_and_loss_is_compared() -> None:
    names = "Adafactor Ftrl LBFGS Lamb Lion MultiOptimizer Muon Nadam ScheduleFreeAdamW"  # by formulas: test_rules.py
    elsewhere = {getattr(nn.optimizers, name) for name in names.split()}
    compared = {type(make()) for make, _, _ in OPTIMIZERS.values()}
    assert compared | elsewhere == set(nn.optimizers.OPTIMIZERS.classes.values()) and not compared & elsewhere


def test_every_loss_is_compared() -> None:
    compared = {type(losses.get(loss)) for loss, *_ in (LOSSES | MORE).values()}
    assert compared | ELSEWHERE == set(losses.LOSSES.classes.values())
    assert not compared & ELSEWHERE


@pytest.mark.parametrize("lazy", [False, True])
def test_embedding(lazy: bool) -> None:
    """SparseAdam is LazyAdam, with its ε; Adam moves every row at every step."""
    rng = np.random.default_rng(3)
    model = nn.Model([nn.Input(4), nn.Embedding(50, 3), nn.Flatten(), nn.Dense(2, use_bias=False)], dtype="float64")
    model.compile(nn.LazyAdam(0.02) if lazy else nn.Adam(0.02, epsilon=TINY), "mse")
    table, w = (torch.tensor(array, requires_grad=True) for array in model.get_weights())
    rest = [w] if lazy else [table, w]
    theirs: list[Any] = [torch.optim.Adam(rest, lr=0.02, eps=TINY)]
    if lazy:
        model.layers[-1].trainable = False
        model.compile(nn.LazyAdam(0.02), "mse")
        theirs = [torch.optim.SparseAdam([table], lr=0.02, eps=1e-7)]
    for _ in range(20):
        x, y = rng.integers(0, 50, (8, 4)), rng.standard_normal((8, 2))
        made = F.embedding(torch.from_numpy(x), table, sparse=lazy).reshape(8, 12) @ w
        loss = F.mse_loss(made, torch.from_numpy(y))
        for optimizer in theirs:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in theirs:
            optimizer.step()
        assert model.train_on_batch(x, y) == pytest.approx(loss.item(), rel=1e-9)
    np.testing.assert_allclose(model.get_weights()[0], table.detach().numpy(), 1e-8, 1e-10)


def test_learning_rate_between_fits_rescales_nothing_that_is_remembered() -> None:
    """nncore remembers η g where PyTorch remembers g: after a change of η the momentum keeps the old η."""
    model = mlp("float64", None)
    model.compile(nn.SGD(0.1, momentum=0.9), "mse")
    start = model.get_weights()
    twin = Twin(model, torch.tanh)
    velocity = [torch.zeros_like(p) for p in twin.parameters]
    rng = np.random.default_rng(3)
    for rate in (0.1, 0.1, 0.01, 0.05):
        x, t = rng.standard_normal((ROWS, INPUTS)), values(rng)
        loss = F.mse_loss(twin.logits(torch.from_numpy(x)), torch.from_numpy(t))
        gradients = torch.autograd.grad(loss, twin.parameters)
        with torch.no_grad():
            for p, v, g in zip(twin.parameters, velocity, gradients, strict=True):
                v.mul_(0.9).sub_(rate * g)
                p.add_(v)
        model.optimizer.learning_rate = rate
        model.fit(x, t, batch_size=ROWS, shuffle=False, verbose=0)
    assert_moved_alike(model, twin, start, "float64")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_shared_layers_and_nested_models(dtype: str) -> None:
    """A layer used three times, in a model used twice: PyTorch adds up the gradients of all uses."""
    i = nn.Input(HIDDEN)
    shared = nn.Dense(HIDDEN, "tanh", name="shared")
    block = nn.Model(i, nn.Add()([shared(shared(i)), i]), seed=1, dtype=dtype)
    x = nn.Input(INPUTS)
    h = block(shared(block(nn.Dense(HIDDEN, name="first")(x))))
    model = nn.Model(x, nn.Dense(OUTPUTS, name="last")(h), seed=0, dtype=dtype)
    model.compile(nn.SGD(0.1, momentum=0.9), "mse")
    assert [p.path.split("/")[0] for p in model.weights[::2]] == ["first", "shared", "last"]
    start = model.get_weights()
    parameters = [torch.tensor(w, requires_grad=True) for w in start]
    w1, b1, w, b, w2, b2 = parameters

    def layer(z: Any) -> Any:
        return torch.tanh(z @ w + b)

    def twice(z: Any) -> Any:
        return layer(layer(z)) + z

    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9)
    rng = np.random.default_rng(3)
    for _ in range(STEPS):
        data, target = rng.standard_normal((ROWS, INPUTS)).astype(dtype), values(rng).astype(dtype)
        model.train_on_batch(data, target)
        optimizer.zero_grad()
        out = twice(layer(twice(torch.tensor(data) @ w1 + b1))) @ w2 + b2
        F.mse_loss(out, torch.tensor(target)).backward()
        optimizer.step()
    for got, wanted, first in zip(model.get_weights(), parameters, start, strict=True):
        moved = abs(got - first).max()
        np.testing.assert_allclose(got, wanted.detach().numpy(), rtol=0, atol=TOLERANCE[dtype] * moved)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimizer_name", ["sgd", "sgd-nesterov", "adam", "adam-global"])
def test_several_losses(optimizer_name: str, dtype: str) -> None:
    """Three losses on two inputs: of probabilities that the third output is made from, too, and of a layer used twice.

    Every second step weighs the samples of some.
    """
    make, make_theirs, decay = OPTIMIZERS[optimizer_name]
    a, b = nn.Input(INPUTS, name="a"), nn.Input(INPUTS, name="b")
    shared = nn.Dense(HIDDEN, "tanh", name="shared")
    h = nn.Add()([shared(a), shared(b)])
    kind, signs = nn.Dense(OUTPUTS, "softmax", name="kind")(h), nn.Dense(OUTPUTS, "sigmoid", name="signs")(h)
    end = nn.Dense(OUTPUTS, name="end")(nn.Concatenate()([kind, h]))
    model, optimizer = nn.Model([a, b], [kind, signs, end], seed=0, dtype=dtype), make()
    kinds, sizes = ["sparse_categorical_crossentropy", "binary_crossentropy", "mse"], [0.7, 1.0, 2.0]
    model.compile(optimizer, kinds, loss_weights=sizes)
    assert [p.path.split("/")[0] for p in model.weights[::2]] == ["shared", "kind", "signs", "end"]
    start, twin = model.get_weights(), Twin(model, torch.tanh)
    theirs = make_theirs(twin.parameters)
    rng = np.random.default_rng(9)
    for step in range(1, STEPS + 1):
        x = [rng.standard_normal((ROWS, INPUTS)).astype(dtype) for _ in range(2)]
        y = [labels(rng), shares(rng).astype(dtype), values(rng).astype(dtype)]
        w = {"kind": rng.random(ROWS).astype(dtype), "end": rng.random(ROWS).astype(dtype)} if step % 2 == 0 else {}
        p, q, r = twin_outputs(twin, *map(torch.from_numpy, x))
        t, s, v = map(torch.from_numpy, y)
        rows = {
            "kind": F.cross_entropy(p, t, reduction="none"),
            "signs": F.binary_cross_entropy_with_logits(q, s, reduction="none").mean(dim=1),
            "end": F.mse_loss(r, v, reduction="none").mean(dim=1),
        }
        parts = [(row * torch.from_numpy(w[name]) if name in w else row).mean() for name, row in rows.items()]
        value = sum(size * part for size, part in zip(sizes, parts, strict=True))
        torch_step(twin, optimizer, theirs, value, decay, step)
        got = model.train_on_batch(x, y, w or None, return_dict=True)
        wanted = dict(zip(["loss", "kind_loss", "signs_loss", "end_loss"], [value, *parts], strict=True))
        tolerance = 1e-11 if dtype == "float64" else 1e-4
        assert got == pytest.approx({name: float(v.detach()) for name, v in wanted.items()}, rel=tolerance)
    assert_moved_alike(model, twin, start, dtype)


def twin_outputs(twin: Twin, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Of `test_several_losses`: logits, logits, values."""
    shared, _, kind, _, signs, _, end, _ = twin.parameters
    _, c, _, d, _, e, _, f = twin.parameters
    h = torch.tanh(a @ shared + c) + torch.tanh(b @ shared + c)
    p = h @ kind + d
    return p, h @ signs + e, torch.cat([softmax(p), h], dim=1) @ end + f
