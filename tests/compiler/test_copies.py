"""Copies of gradients: which go, and which stay because one of the two changes while the other is still of use."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from kernels import assert_same_bits

import nncore as nn
from nncore._kernels.table import OPERATIONS
from nncore.compiler import builder, programs
from nncore.compiler.copies import without_copies
from nncore.compiler.operation import Op, Tensor


def tensors(count: int) -> list[Tensor]:
    return [Tensor((6,)) for _ in range(count)]


def copied(x: Tensor, y: Tensor, scale: float = 1.0) -> Op:
    return Op("rescale", X=x, Y=y, scale=scale)


def activated(x: Tensor, y: Tensor) -> Op:
    return Op("activate", Z=x, Y=y)


def added(y: Tensor, x: Tensor) -> Op:
    """To y."""
    return Op("add", A=y, B=x, Y=y)


def test_what_is_read_alone_is_one() -> None:
    x, y, z, u, v = tensors(5)
    steps: Any = [copied(x, y), copied(y, z), activated(x, u), activated(z, v)]
    made: Any = without_copies(list(steps), ())
    assert made == steps[2:] and made[0].Z is x and made[1].Z is x


def test_one_may_change_when_the_other_is_done_with() -> None:
    x, y, z, u = tensors(4)
    steps: Any = [copied(x, y), activated(x, u), added(y, z), activated(y, u)]
    made: Any = without_copies(list(steps), ())
    assert made == steps[1:] and made[1].A is made[1].Y is made[2].Z is x


@pytest.mark.parametrize("changed", ["copy", "original"])
def test_a_copy_stays_where_one_changes_before_the_other_is_read(changed: str) -> None:
    x, y, z, u = tensors(4)
    one, other = (y, x) if changed == "copy" else (x, y)
    steps: Any = [copied(x, y), added(one, z), activated(other, u)]
    assert without_copies(list(steps), ()) == steps
    assert steps[2].Z is other


def test_a_change_through_another_copy_counts() -> None:
    """Z stands for Y, which stands for X: what is added to Z would be read in X."""
    x, y, z, u, v = tensors(5)
    steps: Any = [copied(x, y), copied(y, z), added(z, u), activated(x, v)]
    made: Any = without_copies(list(steps), ())
    assert made == steps[1:] and (x, z) == (made[0].X, made[0].Y)


def test_what_else_stays() -> None:
    """Other factors, what is needed elsewhere, views, and arrays that are not of the workspace."""
    x, y, z, given = tensors(4)
    view, given.buffer = Tensor((2, 3), alias_of=y), "binding"
    for steps, needed in (
        ([copied(x, y, -1.0), activated(y, z)], ()),
        ([copied(x, y), activated(y, z)], (id(y),)),
        ([copied(x, y), activated(y, z)], (id(x),)),
        ([copied(x, y), activated(view, z)], ()),
        ([copied(given, y), activated(y, z)], ()),
    ):
        assert without_copies(list(steps), needed) == steps


def test_branches_that_meet_copy_no_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """A residual block, whose training has the bits that it has with copies."""

    def trained() -> tuple[list[str], list[Any]]:
        x = nn.Input((8, 8, 4))
        y = nn.Conv2D(4, 3, padding="same")(x)
        for _ in range(2):
            y = nn.ReLU()(nn.Add()([nn.BatchNormalization()(nn.Conv2D(4, 3, padding="same")(y)), y]))
        model = nn.Model(x, nn.Dense(2)(nn.GlobalAveragePooling2D()(y)), seed=3, n_threads=2)
        model.compile("adam", "mse")
        config = model.configuration
        step = programs.step(model.graph, config, training=True, weighted=[False], max_samples=9)
        kinds = step.ops.view(np.int64).reshape(len(step.ops), -1)[:, 0]
        rows = np.random.default_rng(0).standard_normal((20, 8, 8, 4)).astype(np.float32)
        model.fit(rows, rows[:, 0, 0, :2], batch_size=9, verbose=0)
        return [OPERATIONS[kind][0] for kind in kinds], model.get_weights()

    kinds, weights = trained()
    assert "rescale" not in kinds
    monkeypatch.setattr(builder, "without_copies", lambda backward, _: backward)
    kinds, wanted = trained()
    assert kinds.count("rescale") == 4
    for a, b in zip(weights, wanted, strict=True):
        assert_same_bits(a, b)
