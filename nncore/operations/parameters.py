"""Penalties on the parameters, and the update section."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nncore._kernels.table import OPTIMIZERS, PRECISIONS
from nncore.compiler.operation import Op, Whole

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder


def penalty(b: Builder) -> None:
    """The regularizers' penalties, and in training their gradients."""
    gradient = Whole("gradients") if b.training else None
    b.penalties.append(Op("penalty", W=Whole("parameters"), dW=gradient, sum=b.sum("penalty", "penalty")))


def optimize(b: Builder, kernel: str, clips_norm: bool) -> None:
    """The update of all trainable parameters."""
    norms = Whole("norms") if clips_norm else None
    if clips_norm:
        b.update.append(Op("norms", dW=Whole("gradients"), norms=norms))
    precision = PRECISIONS[b.packed.precision] if b.packed else 0
    settings: dict[str, Any] = {"function": OPTIMIZERS[kernel], "precision": precision}
    arrays = {"W": Whole("parameters"), "dW": Whole("gradients"), "state": Whole("state")}
    b.update.append(Op("update", norms=norms, **arrays, **settings))
