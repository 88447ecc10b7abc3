"""Copies of weights that products of a lower precision read: whoever writes weights, they are never stale."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from kernels import assert_same_bits
from precisions import LOSS, Array, X, Y, assert_all_same, has_copies, one_step, stack

import nncore as nn
from nncore import packing
from nncore._kernels import dense
from nncore._kernels.table import PACK_ROWS
from nncore.callbacks import BackupAndRestore, EarlyStopping, LambdaCallback
from nncore.state import CHUNK_ELEMENTS


def assert_fresh(made: nn.Model, precision: str) -> None:
    """A model compiled with plain SGD goes on as a new one that was given its weights."""
    new = stack(precision)
    new.set_weights(made.get_weights())
    assert_all_same(one_step(made), one_step(new))


def other_weights(made: nn.Model) -> list[Array]:
    return [0.5 * w + 0.01 for w in made.get_weights()]


def load(made: nn.Model, path: Path) -> None:
    donor = stack()
    networks.randomize(donor, scale=0.1)
    donor.save_weights(path / "weights")
    made.load_weights(path / "weights")


def restore_best(made: nn.Model, path: Path) -> None:
    stop = EarlyStopping("loss", mode="max", patience=2, restore_best_weights=True)  # the first epoch's
    made.fit(X, Y, epochs=9, verbose=0, callbacks=[stop])
    assert stop.stopped_epoch


def diverge(made: nn.Model, path: Path) -> None:
    made.train_on_batch(X, Y)
    with pytest.raises(nn.DivergedError):
        made.train_on_batch(np.full_like(X, 3e38), Y)


def interrupt(index: int, logs: Any) -> None:
    if index == 1:
        raise KeyboardInterrupt


def stop_in_the_middle(made: nn.Model, path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        made.fit(X, Y, verbose=0, callbacks=[LambdaCallback(on_train_batch_end=interrupt)])


def back_up(made: nn.Model, path: Path) -> None:
    """What a killed process leaves is all that this fit takes: the epoch had come to its end."""
    donor = stack(made.configuration.matmul_precision)
    networks.randomize(donor, scale=0.1)
    with pytest.raises(KeyboardInterrupt):
        donor.fit(
            X, Y, epochs=2, verbose=0, callbacks=[BackupAndRestore(path), LambdaCallback(on_epoch_begin=interrupt)]
        )
    made.fit(X, Y, epochs=1, verbose=0, callbacks=[BackupAndRestore(path)])
    assert_all_same(made.get_weights(), donor.get_weights())


WRITERS: dict[str, Callable[[nn.Model, Path], object]] = {
    "nothing": lambda made, path: None,
    "set_weights": lambda made, path: made.set_weights(other_weights(made)),
    "layer": lambda made, path: made.layers[1].set_weights([0.3 * w for w in made.layers[1].get_weights()]),
    "load_weights": load,
    "train_on_batch": lambda made, path: made.train_on_batch(X[:60], Y[:60]),
    "fit": lambda made, path: made.fit(X, Y, epochs=2, verbose=0),
    "last callback": lambda made, path: made.fit(
        X, Y, verbose=0, callbacks=[LambdaCallback(on_train_end=lambda logs: made.set_weights(other_weights(made)))]
    ),
    "best weights": restore_best,
    "divergence": diverge,
    "interrupt": stop_in_the_middle,
    "backup": back_up,
}


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("threads", [1, 3])
def test_copies_follow_the_weights(precision: str, writer: str, threads: int, tmp_path: Path) -> None:
    made = stack(precision, threads)
    made.predict(X[:3])
    one_step(made)  # now there are copies, and they are true
    before = made.get_weights()
    WRITERS[writer](made, tmp_path)
    assert (writer == "nothing") == all(np.array_equal(a, b) for a, b in zip(before, made.get_weights(), strict=True))
    assert_fresh(made, precision)


@pytest.mark.parametrize("event", ["on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_epoch_end"])
def test_weights_set_during_a_fit(precision: str, event: str) -> None:
    """The step after that is the first step of a new model that starts from them."""
    made, seen = stack(precision), list[Any]()

    def write(index: int, logs: Any) -> None:
        if index == 1:
            made.set_weights(other_weights(made))
            seen.append([made.get_weights(), made.predict(X)])

    made.fit(
        X[:90], Y[:90], batch_size=45, epochs=2, shuffle=False, verbose=0, callbacks=[LambdaCallback(**{event: write})]
    )
    new = stack(precision)
    new.set_weights(seen[-1][0])
    assert_same_bits(new.predict(X), seen[-1][1])
    left = {"on_epoch_begin": 2, "on_train_batch_begin": 1, "on_train_batch_end": 0, "on_epoch_end": 0}[event]
    if left:
        new.fit(X[90 - 45 * left : 90], Y[90 - 45 * left : 90], batch_size=45, shuffle=False, verbose=0)
    assert_all_same(new.get_weights(), made.get_weights())


def test_files_and_copies_of_models(precision: str, tmp_path: Path) -> None:
    made = stack(precision)
    made.fit(X, Y, verbose=0)
    made.save(tmp_path / "model")
    wanted = made.predict(X)
    for other in (nn.load_model(tmp_path / "model"), pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert_same_bits(other.predict(X), wanted)
        assert_fresh(other, precision)
    assert_fresh(made, precision)


def test_weights_set_while_copies_are_made(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As another thread might: the copies made meanwhile are of neither the old weights nor the new."""
    made, pack, left = stack(precision), dense.pack, [3]

    def late(*arguments: Any) -> None:
        pack(*arguments)
        left[0] -= 1
        if not left[0]:
            made.set_weights(other_weights(made))

    monkeypatch.setattr(packing.dense, "pack", late)
    made.predict(X)
    assert left[0] <= 0 or not has_copies(precision)
    monkeypatch.setattr(packing.dense, "pack", pack)
    assert_fresh(made, precision)


@pytest.mark.parametrize("frozen", [(0,), (1,), (0, 2), (0, 1, 2, 3)])
def test_frozen_layers(precision: str, frozen: tuple[int, ...]) -> None:
    """Gradients pass through them; their copies stay true although no update touches them."""
    models = [stack(precision, threads) for threads in (1, 3)]
    for made in models:
        for i in frozen:
            made.layers[i].trainable = False
        made.compile(nn.SGD(0.1), LOSS, matmul_precision=precision)
        made.fit(X, Y, epochs=2, verbose=0)
    start = stack().layers
    for i, layer in enumerate(models[0].layers):
        moved = any(not np.array_equal(a, b) for a, b in zip(layer.get_weights(), start[i].get_weights(), strict=True))
        assert moved == (i not in frozen)
    assert_all_same(models[0].get_weights(), models[1].get_weights())
    new = stack(precision)
    new.set_weights(models[0].get_weights())
    assert_same_bits(models[0].predict(X), new.predict(X))
    for made in models:  # thaw
        for layer in made.layers:
            layer.trainable = True
        made.compile(nn.SGD(0.1), LOSS, matmul_precision=precision)
        assert_fresh(made, precision)


def test_compiled_again(precision: str) -> None:
    """From one precision to another and back; a compile that fails changes nothing."""
    made = stack()
    wanted = {name: stack(name).predict(X) for name in ("highest", "high", "medium")}
    for name in (precision, "highest", "medium", "high", precision, "highest"):
        made.compile(nn.SGD(0.1), LOSS, matmul_precision=name)
        assert_same_bits(made.predict(X), wanted[name], name)
        other = "highest" if name == precision else precision
        made.layers[1].trainable = False
        with pytest.raises(ValueError, match="binary_accuracy expects"):
            made.compile(nn.SGD(0.1), LOSS, metrics=["binary_accuracy"], matmul_precision=other)
        made.layers[1].trainable = True
        assert_same_bits(made.predict(X), wanted[name], (name, "after an error"))
        assert_same_bits(copy.deepcopy(made).predict(X), wanted[name], (name, "a copy of it"))
    assert_fresh(made, "highest")


def test_a_copy_of_a_layer(precision: str) -> None:
    made = stack(precision)
    made.predict(X)
    for layer in made.layers:
        for mine, own in zip(copy.deepcopy(layer).get_weights(), layer.get_weights(), strict=True):
            assert_same_bits(mine, own)


def test_a_layer_that_fails_in_compile_changes_nothing(precision: str) -> None:
    class Odd(nn.Layer):
        broken = False

        def emit(self, b: Any, *inputs: Any) -> Any:
            if Odd.broken:
                raise TypeError("broken")
            return inputs[0]

    def made(name: str) -> nn.Model:
        model = nn.Model([nn.Input(X.shape[1:]), nn.Dense(64, activation="tanh"), Odd(), nn.Dense(32)], seed=0)
        model.compile(nn.SGD(0.1), "mse", matmul_precision=name)
        return model

    y = np.random.default_rng(3).standard_normal((len(X), 32))
    for before, asked in ((precision, precision), ("highest", precision), (precision, "highest")):
        model, alone = made(before), made(before)
        model.predict(X)
        Odd.broken = True
        with pytest.raises(TypeError, match="broken"):
            model.compile(nn.SGD(0.1), "mse", matmul_precision=asked)
        Odd.broken = False
        for each in (model, alone):
            each.fit(X, y, epochs=2, verbose=0)
        assert_same_bits(model.predict(X), alone.predict(X), (before, asked))


def test_chunks_of_the_update(precision: str) -> None:
    """They cover what is trained once; those of a kernel with copies are whole rows from a multiple of PACK_ROWS on."""
    made = stack(precision, optimizer=nn.Adam(weight_decay=0.1))
    made.layers[3].trainable = False
    made.compile(nn.SGD(0.1), LOSS, matmul_precision=precision)
    state = made.state
    times = np.zeros(state.size, int)
    for c in state.chunks(made.graph.trained, made.graph.packed):
        times[c["offset"] : c["offset"] + c["n"]] += 1
        if (c["packed"] >= 0).any():
            [kernel] = [p for p in state.parameters if p.offset <= c["offset"] < p.end]
            assert kernel.shape == (c["inputs"], c["outputs"])
            assert c["offset"] == kernel.offset + c["first"] * c["outputs"]
            assert c["first"] % PACK_ROWS == 0
            assert c["n"] % c["outputs"] == 0
            assert c["n"] <= max(CHUNK_ELEMENTS, PACK_ROWS * c["outputs"])
    for p in state.parameters:
        assert (times[p.offset : p.end] == p.trainable).all(), p.path
    copies = [made.graph.packed.copies(p) if made.graph.packed else (-1, -1) for p in state.parameters]
    with_copies = [tuple(place >= 0 for place in pair) for pair in copies]
    none, plain, both = (False, False), (True, False), (True, True)
    own = [plain, none, both, both, none, none, none]  # kernel, bias; kernel; kernel, bias; kernel, bias
    assert with_copies == (own if has_copies(precision) else [none] * 7)


def test_gradients_by_inputs_behind_a_prediction() -> None:
    """dX = G Wᵀ, of operands of 8 bits: for this product no step has made a copy of W."""
    model = nn.Model([nn.Input(64), nn.Dense(64)], seed=0)
    model.compile("sgd", "mse", matmul_precision="medium")
    x, g = np.random.default_rng(0).standard_normal((2, 20, 64))
    model.predict(x, verbose=0)
    expected = g @ model.get_weights()[0].T
    np.testing.assert_allclose(model.gradients(x, of="inputs", grad=g), expected, atol=0.02 * np.abs(expected).max())
