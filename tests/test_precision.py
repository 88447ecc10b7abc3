"""Models at lower precisions: what they compute, the same bits as ever, and copies of weights that are never stale."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
import reference as ref
from kernels import assert_same_bits
from numpy.typing import NDArray

import nncore as nn
from nncore import packing, running, runtime
from nncore._kernels import dense
from nncore._kernels.table import PACK_ROWS
from nncore.callbacks import BackupAndRestore, EarlyStopping, LambdaCallback
from nncore.state import CHUNK_ELEMENTS

Array = NDArray[Any]

RNG = np.random.default_rng(7)
X = RNG.standard_normal((150, 70)).astype(np.float32)
Y = (X[:, :10] + RNG.standard_normal((150, 10))).argmax(axis=1)
LOSS = "sparse_categorical_crossentropy"


@pytest.fixture(params=[(isa, p) for isa in nn.available_isas() for p in ("high", "medium")], ids="-".join)
def precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every precision with the kernels of every instruction set, and all threads that a model is given."""
    networks.use_isa(request.param[0], monkeypatch)
    monkeypatch.setattr(running, "PARALLEL_FLOPS", 0)
    return str(request.param[1])


def has_copies(precision: str) -> bool:
    return runtime.kernels("float32").arithmetic(precision) != "float32"


def stack(precision: str = "highest", threads: int = 1, optimizer: Any = None, dtype: str = "float32") -> nn.Model:
    """No size is a multiple of 32; the last is too small for copies; 32 rows of the first are more than a chunk."""
    layers = [
        nn.Input(70),
        nn.Dense(600, "elu"),
        nn.Dense(90, "tanh", use_bias=False, kernel_regularizer="l2"),
        nn.Dense(41, "gelu", bias_regularizer="l1"),
        nn.Dense(10, "softmax"),
    ]
    made = nn.Model(layers, seed=3, n_threads=threads, dtype=dtype)
    made.compile(nn.SGD(0.1) if optimizer is None else optimizer, LOSS, matmul_precision=precision)
    return made


def branches(precision: str, threads: int = 1, optimizer: Any = None) -> nn.Model:
    """Two kernels that share an input, which needs no gradient; several rows per sample."""
    x = nn.Input((5, 70))
    joined = nn.Add()([nn.Dense(67, "gelu")(x), nn.Dense(67, "silu")(x)])
    last = nn.Dense(10, "softmax")(nn.Dense(33, "elu")(nn.Flatten()(nn.Dropout(0.2)(joined))))
    made = nn.Model(x, last, seed=3, n_threads=threads)
    made.compile(nn.SGD(0.1) if optimizer is None else optimizer, LOSS, matmul_precision=precision)
    return made


WIDE = RNG.standard_normal((150, 5, 70)).astype(np.float32)
MODELS: dict[str, tuple[Callable[..., nn.Model], Array]] = {"stack": (stack, X), "branches": (branches, WIDE)}


def assert_all_same(found: list[Array], wanted: list[Array], what: object = "") -> None:
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert_same_bits(a, b, (what, i))
        assert np.isfinite(a).all()


def one_step(made: nn.Model) -> list[Array]:
    """All that forward and backward products lead to."""
    figures = [made.evaluate(X, Y, verbose=0)]
    return [made.predict(X), np.array([*figures, made.train_on_batch(X[:90], Y[:90])]), *made.get_weights()]


def assert_fresh(made: nn.Model, precision: str) -> None:
    """A model compiled with plain SGD goes on as a new one that was given its weights."""
    new = stack(precision)
    new.set_weights(made.get_weights())
    assert_all_same(one_step(made), one_step(new))


def distance(found: list[Array], wanted: list[Array]) -> float:
    """The largest ‖a − b‖ / ‖b‖."""
    return max(float(np.linalg.norm(a - b) / np.linalg.norm(b)) for a, b in zip(found, wanted, strict=True))


# -- what is computed ----------------------------------------------------------------------------------------------


def forward(made: nn.Model, x: Array, rounding: Callable[[Array], Array]) -> Array:
    """A stack of Dense layers in float64, operands of products that are large enough rounded first."""
    y: Array = ref.float64(x)
    for layer in made.layers:
        W, *b = (ref.float64(w) for w in layer.get_weights())
        large = W.shape[0] >= 32 and W.shape[1] >= 16
        z = (rounding(y) @ rounding(W) if large else y @ W) + (b[0] if b else 0)
        y = networks.activated(layer.activation, z)
    return y


def test_prediction_is_of_rounded_operands(precision: str) -> None:
    made = stack(precision)
    networks.randomize(made, scale=0.06)
    p, exact = made.predict(X), forward(made, X, ref.float64)
    arithmetic = runtime.kernels("float32").arithmetic(precision)
    error = np.linalg.norm(p - exact) / np.linalg.norm(exact)
    if arithmetic == "bfloat16":  # an activation within its error of a tie may be rounded the other way
        assert np.linalg.norm(p - forward(made, X, ref.bfloat16)) < 0.05 * np.linalg.norm(p - exact)
        assert error < 1e-2
    else:
        assert error < (1e-5 if arithmetic == "split bfloat16" else 1e-6)


@pytest.mark.parametrize("which", MODELS)
def test_gradients_and_training_are_close(precision: str, which: str) -> None:
    make, x = MODELS[which]
    models = [make(name, optimizer=nn.SGD(1.0)) for name in ("highest", precision)]
    (loss, exact), (value, found) = (networks.gradients(made, x[:96], Y[:96]) for made in models)
    limit = {"high": 2e-5, "medium": 1e-2}[precision]
    assert value == pytest.approx(loss, rel=limit / 5)
    assert distance(found, exact) < limit
    if has_copies(precision):
        assert any(not np.array_equal(a, b) for a, b in zip(found, exact, strict=True))
    models = [make(name, optimizer=nn.Adam(1e-3)) for name in ("highest", precision)]
    exact_loss, loss = (made.fit(x, Y, epochs=6, verbose=0).history["loss"] for made in models)
    assert loss == pytest.approx(exact_loss, rel=limit / 5)
    assert loss[-1] < 0.8 * loss[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_no_change_where_there_is_no_such_arithmetic(precision: str, dtype: str) -> None:
    """float64 models, and instruction sets without bfloat16, compute as ever."""
    if dtype == "float32" and has_copies(precision):
        assert stack(precision).state.packed is not None
        return
    found = [
        one_step(stack(name, optimizer=nn.Adam(global_clipnorm=0.1), dtype=dtype)) for name in ("highest", precision)
    ]
    assert_all_same(found[1], found[0])


def test_summary_says_what_is_computed(precision: str, tmp_path: Path) -> None:
    """Of a new model, of one that was compiled, of its file, and of float64, which has one arithmetic only."""

    def last_line(made: nn.Model) -> str:
        said: list[str] = []
        made.summary(print_fn=said.append)
        return said[0].splitlines()[-1]

    made, arithmetic = stack(precision), runtime.kernels("float32").arithmetic(precision)
    assert last_line(made) == f'Products: {arithmetic} (matmul_precision="{precision}")'
    assert (arithmetic == "float32") == (made.state.packed is None)
    made.save(tmp_path / "model")
    assert last_line(nn.load_model(tmp_path / "model")) == last_line(made)
    assert last_line(stack(precision, dtype="float64")) == f'Products: float64 (matmul_precision="{precision}")'
    made.compile()
    assert last_line(made) == last_line(nn.Model([nn.Input(3), nn.Dense(1)]))
    assert last_line(made) == 'Products: float32 (matmul_precision="highest")'


# -- bits ----------------------------------------------------------------------------------------------------------

OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "sgd": lambda: nn.SGD(0.05, momentum=0.9, nesterov=True, clipvalue=0.01),
    "adam-clipnorm": lambda: nn.Adam(0.003, clipnorm=0.1),
    "adamw-global": lambda: nn.AdamW(0.003, global_clipnorm=0.2),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("which", MODELS)
def test_threads(precision: str, which: str, optimizer: str) -> None:
    """The last batch, of 22 rows, is too small for products of bfloat16."""
    make, x = MODELS[which]
    wanted: list[Array] = []
    for threads in (1, 1, 2, 3, 5):
        made = make(precision, threads, OPTIMIZERS[optimizer]())
        history = made.fit(x, Y, batch_size=64, epochs=2, verbose=0).history
        slots = [made.slots[name] for name in sorted(made.slots)]
        found = [*made.get_weights(), *slots, np.array(list(history.values())), made.predict(x)]
        wanted = wanted or found
        assert_all_same(found, wanted, threads)


@pytest.mark.parametrize("which", MODELS)
def test_rows(precision: str, which: str) -> None:
    """A row has the same bits alone, in any batch, and on any number of threads."""
    make, x = MODELS[which]
    made = make(precision)
    networks.randomize(made, scale=0.1)
    whole = made.predict(x)
    for i, j in [*((i, i + 1) for i in range(0, 150, 13)), (0, 2), (3, 17), (1, 34), (20, 149), (149, 150)]:
        assert_same_bits(made.predict(x[i:j]), whole[i:j], (i, j))
        assert_same_bits(made(x[i:j]), whole[i:j], (i, j))
    for threads in (2, 3, 5):
        team = make(precision, threads)
        team.set_weights(made.get_weights())
        assert_same_bits(team.predict(x), whole, threads)
        assert_same_bits(team.predict(x[7:48]), whole[7:48], threads)


def test_resume(precision: str, tmp_path: Path) -> None:
    """A fit that is killed and run again in a new process has the bits of one that never was."""
    found = []
    for kills in ([], [2, 5]):
        for after in [*kills, 10**9]:
            made = stack(precision, optimizer=nn.Adam(clipnorm=0.5))

            def kill(batch: int, logs: Any, left: list[int] = [after]) -> None:  # noqa: B006
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt

            callbacks = [
                BackupAndRestore(tmp_path / str(len(kills)), save_freq=2),
                LambdaCallback(on_train_batch_end=kill),
            ]
            try:
                history = made.fit(X, Y, batch_size=40, epochs=3, verbose=0, callbacks=callbacks).history
            except KeyboardInterrupt:
                continue
        found.append([*made.get_weights(), np.array(list(history.values())), made.predict(X)])
    assert_all_same(*found)


# -- copies of weights -----------------------------------------------------------------------------------------------


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
    donor = stack(made.objective.matmul_precision)
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
    for c in state.chunks(False):
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
    copies = [state.packed.copies(p) if state.packed else (-1, -1) for p in state.parameters]
    with_copies = [tuple(place >= 0 for place in pair) for pair in copies]
    none, plain, both = (False, False), (True, False), (True, True)
    own = [plain, none, both, both, none, none, none]  # kernel, bias; kernel; kernel, bias; kernel, bias
    assert with_copies == (own if has_copies(precision) else [none] * 7)
