"""The same trainings in PyTorch, for optimizers × losses: the same weights after several steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from torch_twins import (
    INPUTS,
    OPTIMIZERS,
    ROWS,
    STEPS,
    Array,
    F,
    Twin,
    assert_moved_alike,
    halves,
    labels,
    mlp,
    probabilities,
    shares,
    softmax,
    torch,
    torch_step,
    values,
)

import nncore as nn
from nncore import losses

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_torch_thread")]

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


def test_every_optimizer_and_loss_is_compared() -> None:
    names = "Adafactor Ftrl LBFGS Lamb Lion MultiOptimizer Muon Nadam ScheduleFreeAdamW"  # by formulas: test_rules.py
    elsewhere = {getattr(nn.optimizers, name) for name in names.split()}
    compared = {type(make()) for make, _, _ in OPTIMIZERS.values()}
    assert compared | elsewhere == set(nn.optimizers.OPTIMIZERS.classes.values()) and not compared & elsewhere


def test_every_loss_is_compared() -> None:
    compared = {type(losses.get(loss)) for loss, *_ in (LOSSES | MORE).values()}
    assert compared | ELSEWHERE == set(losses.LOSSES.classes.values())
    assert not compared & ELSEWHERE
