"""Chains: which operations go through a few samples at a time, and that nothing else than time tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from kernels import assert_same_bits
from numpy.typing import NDArray

import nncore as nn
from nncore._kernels.table import BUFFERS
from nncore.compiler import builder, chains, program, programs
from nncore.compiler.chains import in_chains
from nncore.compiler.encoding import encode_distant
from nncore.compiler.memory import place_locals, place_tensors
from nncore.compiler.operation import Op, Tensor

Array = NDArray[Any]


def activate(x: Tensor, y: Tensor) -> Op:
    return Op("activate", Z=x, Y=y)


def kinds(steps: Any) -> list[tuple[str, int]]:
    return [(op.kind, op.chain) for op in steps]


def tensors(count: int, size: int = 8) -> list[Tensor]:
    return [Tensor((size,)) for _ in range(count)]


def test_operations_of_each_sample_make_a_chain() -> None:
    x, y, z, u = tensors(4)
    made = in_chains([activate(x, y), Op("add", A=y, B=x, Y=z), activate(z, u)], 4)
    assert kinds(made) == [("activate", 3), ("add", 2), ("activate", 1)]


def test_what_waits_for_a_chain_comes_after_it_and_what_does_not_before() -> None:
    """A sum over the batch between two operations of a chain; another that reads nothing of it."""
    x, y, z, other = tensors(4)
    sums, more = (Tensor((8,), per_sample=False) for _ in range(2))
    steps = [
        activate(x, y),
        Op("column_sums", dY=y, db=sums, rows=1, n=8, fixed=8),
        Op("column_sums", dY=other, db=more, rows=1, n=8, fixed=8),
        activate(y, z),
    ]
    made = in_chains(list(steps), 4)
    assert made == [steps[2], steps[0], steps[3], steps[1]]
    assert [op.chain for op in made if isinstance(op, Op)] == [1, 2, 1, 1]


def test_what_reads_the_sum_ends_the_chain() -> None:
    x, y, z = tensors(3)
    sums = Tensor((8,), per_sample=False)
    steps = [
        activate(x, y),
        Op("column_sums", dY=y, db=sums, rows=1, n=8, fixed=8),
        Op("standardize", X=y, mean=sums, Y=z, n=8, per_sample=1),
    ]
    made = in_chains(list(steps), 4)
    assert made == steps and [op.chain for op in steps] == [1, 1, 1]


def test_operations_that_read_other_samples_are_in_no_chain() -> None:
    x, y, z = tensors(3)
    partner = Tensor((1,), integer=True)
    assert not chains.by_samples(Op("lookup_backward_rows", places=partner, starts=partner, count=partner, dY=x, dW=y,
                                    rows=1, n=8, per_sample=1))  # fmt: skip
    assert chains.by_samples(activate(y, z))


def test_a_chain_is_as_long_as_the_cache_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "CACHE_BYTES", 3 * 8 * 4)
    x, y, z, u = tensors(4)
    made = in_chains([activate(x, y), activate(y, z), activate(z, u)], 4)
    assert kinds(made) == [("activate", 2), ("activate", 1), ("activate", 1)]
    assert (made[0].chain_step, made[0].chain_most) == (1, 1)  # type: ignore[union-attr]


def test_parts_of_sums_are_whole() -> None:
    """Of 3 rows a sample, parts of 64 rows: so many samples go through together as make whole parts."""
    x, y = Tensor((3, 5)), Tensor((3, 5))
    parts = Tensor((4, 5), sum_rows=3)
    made: Any = in_chains([activate(x, y), Op("scale_backward", X=x, dY=y, dbeta=parts, n=5, per_sample=3)], 4)
    assert kinds(made) == [("activate", 2), ("scale_backward", 1)]
    assert made[0].chain_step == 64 and made[0].chain_most % 64 == 0


def placed_locally(steps: list[Op], max_samples: int, outputs: Sequence[Tensor] = ()) -> tuple[list[Tensor], int]:
    """The tensors that get room for the samples that a chain is at, and its bytes."""
    made = [op for op in in_chains(list(steps), 4) if isinstance(op, Op)]
    room = place_locals(list(made), max_samples, 4, outputs)
    found = {key: t for op in made for key, t in op.roots().items() if t.buffer == "local"}
    return list(found.values()), room


def test_what_a_chain_alone_makes_and_reads_has_room_for_its_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the cache has five samples of 24 reals; a line of 64 bytes is the least that a tensor takes."""
    monkeypatch.setattr(chains, "CACHE_BYTES", 2 * 5 * 4 * 24 * 4)
    x, y, z, u = tensors(4, 24)
    assert placed_locally([activate(x, y), activate(y, z), activate(z, u)], 37) == ([y, z, u], 3 * 512)
    assert [t.offset for t in (y, z, u)] == [0, 512, 1024] and x.buffer == "workspace"


def test_what_others_read_is_all_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outputs, what is read beyond the chain, and what it reads before it writes, as a sum that goes on."""
    monkeypatch.setattr(chains, "CACHE_BYTES", 2 * 5 * 4 * 24 * 4)
    x, y, z, u = tensors(4, 24)
    sums = Tensor((24,), per_sample=False)
    steps = [activate(x, y), activate(y, z), Op("column_sums", dY=y, db=sums, rows=1, n=24, fixed=24), activate(z, u)]
    assert placed_locally(steps, 37, [u]) == ([z], 512)
    a, b = tensors(2, 24)
    assert placed_locally([activate(a, b), Op("add", A=b, B=x, Y=x)], 37) == ([b], 576)


def offsets(steps: list[Op], max_samples: int = 37, outputs: Sequence[Tensor] = ()) -> list[Op]:
    """The operations in chains, their tensors placed."""
    made = [op for op in in_chains(list(steps), 4) if isinstance(op, Op)]
    place_locals(list(made), max_samples, 4, outputs)
    place_tensors(list(made), [], max_samples, 4, outputs)
    return made


def with_gradients(dx_size: int = 8) -> tuple[list[Op], Tensor, Tensor]:
    """A chain that reads dy, which is there before it, makes du of it, and of that dx, which is read after it."""
    dy, du, dx = Tensor((8,)), Tensor((8,)), Tensor((dx_size,))
    sums = Tensor((8,), per_sample=False)
    before = [activate(Tensor((8,)), dy), Op("column_sums", dY=dy, db=sums, rows=1, n=8, fixed=8)]
    chain = [Op("standardize", X=dy, mean=sums, Y=du, n=8, per_sample=1), activate(du, dx)]
    after = [Op("column_sums", dY=dx, db=sums, rows=1, n=dx_size, fixed=8)]
    return [*before, *chain, *after], dy, dx


def test_a_chain_takes_over_the_memory_of_what_it_has_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """But not of what is shown or read later on, nor where samples differ in size."""
    monkeypatch.setattr(chains, "CACHE_BYTES", 1 << 9)
    steps, dy, dx = with_gradients()
    offsets(steps)
    assert dx.offset == dy.offset
    steps, dy, dx = with_gradients()
    offsets(steps, outputs=[dy])
    assert dx.offset != dy.offset
    steps, dy, dx = with_gradients()
    offsets([*steps, Op("multiply", A=dy, B=dx, Y=Tensor((8,)))])
    assert dx.offset != dy.offset
    steps, dy, dx = with_gradients(dx_size=7)
    offsets(steps)
    assert dx.offset != dy.offset


def test_what_lies_in_memory_is_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a chain reads there and what it writes, by the bytes of a sample; dx lies where dy does."""
    monkeypatch.setattr(chains, "CACHE_BYTES", 1 << 9)
    steps, dy, _ = with_gradients()
    made = offsets(steps)
    assert encode_distant(made, 4).tolist() == [(BUFFERS["workspace"], dy.offset, 8 * 4)]
    assert [(op.first_distant, op.n_distant) for op in made if op.chain > 1] == [(0, 1)]


def test_a_batch_that_a_chain_takes_at_once_stays_in_the_workspace() -> None:
    x, y, z = tensors(3)
    assert placed_locally([activate(x, y), activate(y, z)], 37) == ([], 0)


def test_gradients_within_chains_take_no_room_for_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    layers: list[Any] = [nn.Input((16, 16, 8))]
    for _ in range(3):
        layers += [nn.Conv2D(8, 3, padding="same"), nn.BatchNormalization(), nn.ReLU()]
    model = nn.Sequential([*layers, nn.Flatten(), nn.Dense(2)], seed=0)
    model.compile("sgd", "mse")
    monkeypatch.setattr(chains, "CACHE_BYTES", 1 << 17)

    def compiled() -> program.Program:
        return programs.step(model.graph, model.configuration, training=True, weighted=[False], max_samples=64)

    made = compiled()
    monkeypatch.setattr(builder, "place_locals", lambda *_: 0)
    assert made.local_bytes and made.workspace <= compiled().workspace - 64 * 16 * 16 * 8 * 4


def results(threads: int) -> list[Array]:
    """Of a training with products, windows, statistics, noise and branches."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((90, 10, 10, 3)).astype(np.float32), rng.integers(0, 4, 90)
    a = nn.Input((10, 10, 3))
    b = nn.ReLU()(nn.BatchNormalization()(nn.Conv2D(8, 3, padding="same")(a)))
    c = nn.Add()([nn.Conv2D(8, 1)(nn.Dropout(0.2)(b)), b])
    d = nn.MaxPooling2D(2)(nn.LayerNormalization()(nn.DepthwiseConv2D(3, activation="gelu")(c)))
    model = nn.Model(a, nn.Dense(4, "softmax")(nn.Flatten()(nn.PReLU()(d))), seed=1, n_threads=threads)
    model.compile("adam", "sparse_categorical_crossentropy")
    history = model.fit(x, y, epochs=2, batch_size=41, verbose=0).history
    return [*model.get_weights(), np.array(history["loss"]), model.predict(x, verbose=0)]


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("bytes_", [1 << 14, 1 << 17, 1 << 24])
def test_chains_change_no_bit(threads: int, bytes_: int, monkeypatch: pytest.MonkeyPatch, teams: None) -> None:
    monkeypatch.setattr(chains, "CACHE_BYTES", 0)
    wanted = results(1)
    monkeypatch.setattr(chains, "CACHE_BYTES", bytes_)
    for a, b in zip(results(threads), wanted, strict=True):
        assert_same_bits(a, b)
