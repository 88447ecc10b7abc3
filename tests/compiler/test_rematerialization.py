"""Normalizations that chains of the backward pass compute once more: which, and that nothing else than time tells."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
from kernels import assert_same_bits
from numpy.typing import NDArray

import nncore as nn
from nncore._kernels.table import OPERATIONS
from nncore.compiler import builder, chains, program, programs
from nncore.compiler.operation import Op, Tensor
from nncore.compiler.rematerialization import rematerialize

Array = NDArray[Any]
SAMPLES = 64


@pytest.fixture(autouse=True)
def small_chains(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few of the images here at a time."""
    monkeypatch.setattr(chains, "CACHE_BYTES", 1 << 18)


def model_of(activation: str = "relu", blocks: int = 1, **settings: Any) -> nn.Model:
    """Convolutions with what is between them."""
    y = x = nn.Input((12, 12, 4))
    for _ in range(blocks):
        y = nn.Activation(activation)(nn.BatchNormalization()(nn.Conv2D(8, 3, padding="same")(y)))
    z = nn.GlobalAveragePooling2D()(nn.ReLU()(nn.Conv2D(8, 3)(y)))
    return nn.Model(x, nn.Dense(3, "softmax")(z), seed=2, **settings)


def step(model: nn.Model, max_samples: int = SAMPLES) -> program.Program:
    model.compile("adam", "mse")
    weighted = [False] * len(model.outputs)
    return programs.step(model.graph, model.configuration, training=True, weighted=weighted, max_samples=max_samples)


def normalizations(p: program.Program) -> int:
    kinds = p.ops.view(np.int64).reshape(len(p.ops), -1)[:, 0]
    return [OPERATIONS[kind][0] for kind in kinds].count("standardize")


@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_what_both_passes_read_is_made_twice(activation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of it are less in the workspace, but for one, whose memory gradients take over."""
    made = step(model_of(activation, blocks=3))
    assert normalizations(made) == 2 * 3
    monkeypatch.setattr(builder, "rematerialize", lambda forward, backward, *_: backward)
    once = step(model_of(activation, blocks=3))
    assert normalizations(once) == 3
    assert made.workspace <= once.workspace - 2 * SAMPLES * 12 * 12 * 8 * 4


def test_a_batch_that_chains_take_at_once_is_made_once() -> None:
    assert normalizations(step(model_of(), max_samples=1)) == 1


def test_costly_activations_are_made_once() -> None:
    assert normalizations(step(model_of("gelu"))) == 1


def test_what_others_read_is_made_once() -> None:
    """An output, and what a product reads, which takes the batch as a whole."""
    x = nn.Input((12, 12, 4))
    y = nn.ReLU()(nn.BatchNormalization()(nn.Conv2D(8, 3, padding="same")(x)))
    shown = nn.Model(x, [nn.Dense(3, "softmax")(nn.GlobalAveragePooling2D()(nn.Conv2D(8, 3)(y))), y], seed=2)
    assert normalizations(step(shown)) == 1
    flat = nn.Model(x, nn.Add()([nn.Dense(3)(nn.Flatten()(y)), nn.GlobalAveragePooling2D()(nn.Conv2D(3, 3)(y))]))
    assert normalizations(step(flat)) == 1


def emitted() -> tuple[list[Op], list[Op], Tensor]:
    """Both passes of operations of which one reads a normalization forwards, one backwards; and its Y."""
    x, y, z, dz, u, v = (Tensor((8,)) for _ in range(6))
    forward = [Op("standardize", X=x, Y=y, n=8, per_sample=1), Op("activate", Z=y, Y=z)]
    return forward, [Op("multiply", A=y, B=dz, Y=u), Op("multiply", A=u, B=x, Y=v)], y


def anew(forward: list[Op], backward: list[Op], needed: Collection[int] = (), home_bytes: int = 8 * 96) -> Any:
    """What comes of the backward pass, in chains of four samples, of 37 beside a forward pass in chains of as many."""
    chains.CACHE_BYTES = home_bytes  # as `small_chains` patched it
    before = chains.in_chains([*forward], 4)
    chains.CACHE_BYTES = 8 * 160
    return rematerialize(before, chains.in_chains([*backward], 4), needed, 37)


def test_a_chain_makes_it_right_before_it_reads_it() -> None:
    forward, backward, y = emitted()
    made = anew(forward, backward)
    assert [(op.kind, op.chain, op.chain_most) for op in made] == [
        ("standardize", 3, 4), ("multiply", 2, 4), ("multiply", 1, 4)
    ]  # fmt: skip
    assert made[0].X is forward[0].X and made[0].Y is made[1].A is not y and forward[0].Y is forward[1].Z is y


def test_where_it_stays() -> None:
    """Where others need Y, a view of it is read, X is not at hand, or the forward pass takes the batch at once."""
    forward, backward, y = emitted()
    assert anew(forward, backward, needed={id(y)}) == backward
    forward, backward, y = emitted()
    assert anew(forward, backward, home_bytes=1 << 20) == backward
    forward, backward, y = emitted()
    backward[0].A = Tensor((2, 4), alias_of=y)
    assert anew(forward, backward) == backward
    forward, backward, y = emitted()
    backward[1].B = Tensor((8,))
    assert anew(forward, backward) == backward


def results(threads: int) -> list[Array]:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((150, 12, 12, 4)).astype(np.float32), rng.integers(0, 3, 150)
    model = model_of(n_threads=threads)
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(x, y, epochs=2, batch_size=SAMPLES, verbose=0).history
    return [*model.get_weights(), np.array(history["loss"]), model.predict(x, verbose=0)]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_it_changes_no_bit(threads: int, monkeypatch: pytest.MonkeyPatch, teams: None) -> None:
    made = results(threads)
    monkeypatch.setattr(builder, "rematerialize", lambda forward, backward, *_: backward)
    for a, b in zip(made, results(1), strict=True):
        assert_same_bits(a, b)
