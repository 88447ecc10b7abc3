"""The same bits whatever the threads, batches, slices and layouts; and a process left as it was found."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networks
import numpy as np
import pytest
from kernels import assert_same_bits
from networks import use_isa
from numpy.typing import NDArray

import nncore as nn
from nncore import optimizers, runtime
from nncore.execution import team

Array = NDArray[Any]

ROWS = 230


@pytest.fixture
def teams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use all threads that a model is given, however small its work."""
    monkeypatch.setattr(team, "PARALLEL_FLOPS", 0)


def every_layer(threads: int = 1, dtype: str = "float32", seed: int = 5) -> nn.Model:
    """All kinds of layers, large enough that each operation is cut into parts, two of them in chunks of the update."""
    x = nn.Input((4, 24))
    h = nn.Dense(50, "gelu", kernel_regularizer="l2")(nn.Rescaling(0.5, 0.1)(x))
    a, b = nn.Dense(50, "relu")(h), nn.Activation("tanh")(h)
    joined = nn.Concatenate(axis=1)([nn.Add()([a, b]), nn.Multiply()([a, b, h])])
    wide = nn.Dropout(0.3)(nn.Flatten()(joined))  # 400
    folded = nn.Reshape((10, -1))(nn.Dense(110, "silu", bias_regularizer="l1")(wide))
    soft = nn.Concatenate()([folded, nn.Dense(3, "softmax")(folded)])
    last = nn.Dense(10, "softmax")(nn.Dropout(0.1)(nn.Flatten()(soft)))
    return nn.Model(x, last, seed=seed, n_threads=threads, dtype=dtype)


def data(rows: int = ROWS) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, 4, 24)).astype(np.float32), rng.integers(0, 10, rows), rng.random(rows)


def results(model: nn.Model, **kwargs: Any) -> list[Array]:
    """All that a training leaves: weights, state, history, evaluation, prediction."""
    x, y, w = data()
    history = model.fit(x, y, epochs=2, verbose=0, **{"batch_size": 100, "sample_weight": w} | kwargs).history
    figures = [v for values in history.values() for v in values]
    figures += np.ravel(model.evaluate(x, y, verbose=0, sample_weight=w)).tolist()
    return [
        *model.get_weights(),
        *(model.optimizer_state[name] for name in sorted(model.optimizer_state)),
        np.array(figures),
        model.predict(x),
    ]


def assert_all_same(found: list[Array], wanted: list[Array], what: object) -> None:
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        assert_same_bits(a, b, (what, i))
        assert np.isfinite(a).all()


OPTIMIZERS: dict[str, Callable[[], optimizers.Optimizer]] = {
    "sgd": lambda: nn.SGD(0.05, momentum=0.9, nesterov=True, clipvalue=0.01),
    "adam-clipnorm": lambda: nn.Adam(0.003, clipnorm=0.1),
    "adamw-global": lambda: nn.AdamW(0.003, global_clipnorm=0.2),
    "rmsprop": lambda: nn.RMSprop(0.001, momentum=0.5, centered=True, weight_decay=0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.usefixtures("teams")
def test_threads_do_not_change_a_training(name: str) -> None:
    wanted: list[Array] = []
    for threads in (1, 2, 3, 4, 7):
        model = every_layer(threads)
        model.compile(
            OPTIMIZERS[name](), "sparse_categorical_crossentropy", metrics=["accuracy"], weighted_metrics=["acc"]
        )
        found = results(model)
        wanted = wanted or found
        assert_all_same(found, wanted, threads)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", nn.available_isas())
@pytest.mark.usefixtures("teams")
def test_threads_on_every_instruction_set(isa: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_isa(isa, monkeypatch)
    wanted: list[Array] = []
    for threads, batch in ((1, 37), (3, 37)):
        model = every_layer(threads, dtype)
        model.compile(nn.Adam(global_clipnorm=0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
        found = results(model, batch_size=batch)
        wanted = wanted or found
        assert_all_same(found, wanted, threads)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", nn.available_isas())
@pytest.mark.usefixtures("teams")
def test_threads_where_the_forward_product_is_cut_by_its_depth(
    isa: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Few rows of many inputs, in several blocks of K; activations with Z and without; a smaller last batch."""
    use_isa(isa, monkeypatch)
    rng = np.random.default_rng(0)
    for inputs, activation in ((784, "relu"), (1300, "gelu"), (2111, None)):
        x, y = rng.standard_normal((43, inputs)), rng.integers(0, 3, 43)
        wanted: list[Array] = []
        for threads in (1, 2, 3, 5):
            layers = [nn.Input(inputs), nn.Dense(97, activation), nn.Dense(3, "softmax")]
            model = nn.Model(layers, seed=1, n_threads=threads, dtype=dtype)
            model.compile(nn.SGD(0.1), "sparse_categorical_crossentropy")
            history = model.fit(x, y, batch_size=8, epochs=3, verbose=0).history
            found = [*model.get_weights(), np.array(history["loss"]), np.array(model.evaluate(x, y, verbose=0))]
            wanted = wanted or found
            assert_all_same(found, wanted, (inputs, threads))


@pytest.mark.usefixtures("teams")
def test_threads_where_several_products_of_a_stage_are_cut_by_their_depth() -> None:
    """Layers side by side, between which the team does not meet."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((200, 784)), rng.integers(0, 3, 200)
    wanted: list[Array] = []
    for threads in (1, 2, 3, 5) * 3:
        inputs = nn.Input(784)
        beside = nn.Concatenate()([nn.Dense(units, "relu")(inputs) for units in (512, 512, 96)])
        model = nn.Model(inputs, nn.Dense(3, "softmax")(beside), seed=1, n_threads=threads)
        model.compile(nn.SGD(0.1), "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=16, epochs=8, verbose=0)
        found = model.get_weights()
        wanted = wanted or found
        assert_all_same(found, wanted, threads)


@pytest.mark.parametrize(("loss", "last"), [("mse", None), ("mae", "tanh"), ("huber", "softmax"), ("bce", "sigmoid")])
@pytest.mark.usefixtures("teams")
def test_threads_with_every_kind_of_loss(loss: str, last: str | None) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((ROWS, 40)), rng.random((ROWS, 300))
    wanted: list[Array] = []
    for threads in (1, 2, 3):
        layers = [nn.Input(40), nn.Dense(90, "softplus"), nn.Dense(300, last)]
        model = nn.Model(layers, seed=1, n_threads=threads)
        model.compile(nn.SGD(0.1), loss, metrics=["mse", "mae"])
        history = model.fit(x, y, batch_size=101, epochs=2, verbose=0).history
        found = [*model.get_weights(), np.array(list(history.values()))]
        wanted = wanted or found
        assert_all_same(found, wanted, threads)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads in /proc")
def test_teams_are_really_used() -> None:
    """The tests above would compare one thread with itself if teams were not."""
    code = """
        import os
        import numpy as np
        import nncore as nn
        from nncore.execution import team
        team.PARALLEL_FLOPS = 0
        model = nn.Model([nn.Input(64), nn.Dense(64, "relu"), nn.Dense(4)], seed=0, n_threads=5)
        model.compile("sgd", "mse")
        before = len(os.listdir("/proc/self/task"))
        model.fit(np.zeros((200, 64)), np.zeros((200, 4)), verbose=0)
        print(len(os.listdir("/proc/self/task")) - before)
    """
    assert python(code) == "4"


def python(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    here = os.pathsep.join(map(str, [Path(nn.__file__).parents[1], *Path(__file__).parents[:2]]))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": here} | environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("isa", nn.available_isas())
def test_processes_agree(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of its own, told by NNCORE_ISA, has the bits that this one has with the same kernels."""
    code = """
        import hashlib
        import nncore as nn
        import test_determinism as t
        model = t.every_layer(2)
        model.compile("adam", "sparse_categorical_crossentropy")
        print(nn.isa(), *(hashlib.sha256(a.tobytes()).hexdigest() for a in t.results(model)))
    """
    use_isa(isa, monkeypatch)
    model = every_layer(1)
    model.compile("adam", "sparse_categorical_crossentropy")
    wanted = " ".join([isa, *(hashlib.sha256(a.tobytes()).hexdigest() for a in results(model))])
    assert python(code, NNCORE_ISA=isa) == wanted


# -- rows of predictions -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("isa", nn.available_isas())
@pytest.mark.usefixtures("teams")
def test_a_row_has_the_same_prediction_in_whatever_company(
    isa: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_isa(isa, monkeypatch)
    x = data(301)[0].astype(dtype)
    model = every_layer(1, dtype)
    networks.randomize(model, 1, 0.2)
    whole = model.predict(x)
    for start, stop in (
        (0, 1),
        (300, 301),
        (17, 18),
        (0, 2),
        (1, 8),
        (5, 21),
        (100, 228),
        (100, 229),
        (3, 300),
        (0, 0),
    ):
        assert_same_bits(model.predict(x[start:stop]), whole[start:stop], (start, stop))
        assert_same_bits(model(x[start:stop]), whole[start:stop], (start, stop))
    for i in range(0, 301, 7):
        assert_same_bits(model.predict_on_batch(x[i : i + 1]), whole[i : i + 1], i)
    order = np.random.default_rng(0).permutation(301)
    assert_same_bits(model.predict(x[order]), whole[order], "shuffled")
    assert_same_bits(model.predict(x[::-2]), whole[::-2], "strided")
    assert_same_bits(model.predict(np.asfortranarray(x)), whole, "Fortran order")
    for size in (1, 50, 129):
        assert_same_bits(model.predict(x, batch_size=size, callbacks=[EveryBatch()]), whole, size)
    for threads in (2, 3, 7):
        team = every_layer(threads, dtype)
        team.set_weights(model.get_weights())
        assert_same_bits(team.predict(x), whole, threads)
        assert_same_bits(team.predict(x[:130]), whole[:130], threads)


class EveryBatch(nn.Callback):
    def on_predict_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None


@pytest.mark.usefixtures("teams")
def test_a_team_takes_turns_with_shuffled_and_unshuffled_data() -> None:
    """A stage that finds nothing to gather, after one that did, must not wait for what it gathered then."""
    x, y, w = data()
    found = []
    for threads in (1, 3):
        model = every_layer(threads)
        model.compile("sgd", "sparse_categorical_crossentropy")
        for shuffle, rows in ((True, ROWS), (False, ROWS), (True, 90), (False, 33)):
            model.fit(x[:rows], y[:rows], sample_weight=w[:rows], batch_size=30, shuffle=shuffle, epochs=2, verbose=0)
        found.append(model.get_weights())
    assert_all_same(*found, "turns")


def test_evaluate_does_not_depend_on_batches() -> None:
    class Watch(nn.Callback):
        def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            pass

    model = every_layer()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y, w = data()
    wanted = model.evaluate(x, y, verbose=0, sample_weight=w)
    for size in (32, 64, 224, 1000):
        assert model.evaluate(x, y, batch_size=size, verbose=0, sample_weight=w, callbacks=[Watch()]) == wanted
    assert model.evaluate(x, y, batch_size=7, verbose=0, sample_weight=w, callbacks=[Watch()]) == pytest.approx(
        wanted, rel=1e-6
    )


# -- seeds ---------------------------------------------------------------------------------------------------------


def trained(seed: int | None) -> list[Array]:
    model = nn.Model([nn.Input(96), nn.Dense(30, "relu"), nn.Dropout(0.2), nn.Dense(10, "softmax")], seed=seed)
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y, _ = data()
    model.fit(x.reshape(ROWS, 96), y, batch_size=50, epochs=2, verbose=0)
    return model.get_weights()


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
def test_seeds(seed: int) -> None:
    assert_all_same(trained(seed), trained(seed), seed)
    for a, b in zip(trained(seed), trained(seed ^ 2), strict=True):
        assert not np.array_equal(a, b)


def test_a_model_draws_another_seed_where_none_is_given() -> None:
    seeds = {nn.Model([nn.Dense(1)]).seed for _ in range(20)}
    assert len(seeds) == 20


def test_set_random_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_seed", None)
    drawn = []
    for seed in (7, 7, 8):
        nn.set_random_seed(seed)
        drawn.append([nn.Model([nn.Dense(1)]).seed for _ in range(3)])
    assert drawn[0] == drawn[1]
    assert len(set(drawn[0])) == 3
    nn.set_random_seed(7)
    a = trained(None)
    nn.set_random_seed(7)
    assert_all_same(trained(None), a, "set_random_seed")


@pytest.mark.parametrize("what", ["shuffle", "dropout", "weights"])
def test_each_random_choice_depends_on_the_seed(what: str) -> None:
    x, y, _ = data()
    x = x.reshape(ROWS, 96)
    found = []
    for seed in (1, 2):
        layers = [nn.Input(96), nn.Dropout(0.3 if what == "dropout" else 0.0), nn.Dense(10, "softmax")]
        model = nn.Model(layers, seed=seed)
        if what != "weights":
            networks.randomize(model)
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=0 if what == "weights" else 1, shuffle=what == "shuffle", verbose=0)
        found.append(model.get_weights()[0])
    assert not np.array_equal(*found)


def test_dropout_and_shuffle_go_on_from_fit_to_fit() -> None:
    """Two epochs of one fit are two fits of one epoch, and an epoch never repeats the one before."""
    x, y, _ = data()
    found = []
    for fits in ((2,), (1, 1)):
        model = every_layer()
        model.compile(nn.Adam(), "sparse_categorical_crossentropy")
        for epochs in fits:
            model.fit(x, y, epochs=epochs, verbose=0)
        found.append(model.get_weights())
    assert_all_same(*found, "fits")


# -- layouts and types of data -------------------------------------------------------------------------------------


def layouts(x: Array, tmp_path: Path) -> dict[str, Array]:
    """Small numbers in many types and layouts."""
    mapped = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=x.shape)
    mapped[...] = x
    mapped.flush()
    whole = np.zeros((2 * len(x), 3, *x.shape[1:]), np.float32)
    whole[::2, 1] = x
    read_only = x.astype(np.float32)
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"_" + x.astype(np.float32).tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape)
    types = (
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float16",
        "float64",
        "longdouble",
    )
    return {
        **{name: x.astype(name) for name in types},
        "float64, not exact": x.astype(np.float64) / 3,
        "float16, not exact": (x / 3).astype(np.float16),
        "bool": x > 40,
        "big-endian float32": (x / 3).astype(">f4"),
        "big-endian float64": (x / 3).astype(">f8"),
        "big-endian int": x.astype(">i4"),
        "strided rows": whole[::2, 1],
        "backwards": np.ascontiguousarray(x[::-1].astype(np.float32))[::-1],
        "strided columns": np.repeat(x.astype(np.float32), 2, axis=-1)[..., ::2],
        "strided columns of bytes": np.repeat(x.astype(np.uint8), 2, axis=-1)[..., ::2],
        "Fortran order": np.asfortranarray(x.astype(np.float32)),
        "Fortran order of float64": np.asfortranarray(x / 3),
        "broadcast": np.broadcast_to(x[:1].astype(np.float32), x.shape),
        "memmap": np.memmap(tmp_path / "x", dtype=np.float32, mode="r", shape=x.shape),
        "read-only": read_only,
        "unaligned": unaligned,
        "list": x.tolist(),  # type: ignore[dict-item]
    }


LAYOUTS = [
    "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float64", "longdouble",
    "float64, not exact", "float16, not exact", "bool", "big-endian float32", "big-endian float64", "big-endian int",
    "strided rows", "backwards", "strided columns", "strided columns of bytes", "Fortran order",
    "Fortran order of float64", "broadcast", "memmap", "read-only", "unaligned", "list",
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.usefixtures("teams")
def test_data_equal_their_conversion_beforehand(layout: str, dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    known = layouts(rng.integers(0, 100, (150, 6, 7)), tmp_path)
    assert list(known) == LAYOUTS
    x = known[layout]
    converted = np.ascontiguousarray(np.asarray(x).astype(dtype))
    y = rng.integers(0, 4, 150)
    for shuffle in (True, False):
        found = []
        for given, threads in ((converted, 1), (x, 1), (x, 3)):
            layers = [nn.Input((6, 7)), nn.Rescaling(0.02), nn.Flatten(), nn.Dense(9, "relu"), nn.Dense(4, "softmax")]
            model = nn.Model(layers, seed=3, n_threads=threads, dtype=dtype)
            model.compile("sgd", "sparse_categorical_crossentropy")
            history = model.fit(given, y, batch_size=64, epochs=2, shuffle=shuffle, verbose=0).history
            figures = np.array([*history["loss"], model.evaluate(given, y, verbose=0)])
            found.append([*model.get_weights(), figures, model.predict(given)])
        for other in found[1:]:
            assert_all_same(other, found[0], (layout, shuffle))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_large_integers_are_rounded_once(dtype: str) -> None:
    """As NumPy rounds them: to nearest, not by way of another type."""
    x = np.array([[2**24 + 1, 2**53 + 1], [2**62 + 2**38 + 1, 2**63 - 1], [2**53 - 1, 2**25 + 3]], np.int64)
    model = nn.Model([nn.Input(2), nn.Activation("linear")], seed=0, dtype=dtype)
    for given in (x, -x, x.astype(np.uint64) * 2, x.astype(np.uint64)):
        assert_same_bits(model.predict(given), given.astype(dtype))


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int64", "uint64", "float32", "float64", "float16", ">i4",
                                  "strided", "column", "list", "bool"])  # fmt: skip
def test_labels_of_any_type(kind: str, shuffle: bool) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((90, 5)), rng.integers(0, 2 if kind == "bool" else 4, 90)
    given: Any
    if kind == "strided":
        given = np.repeat(y, 3)[::3]
    elif kind == "column":
        given = y[:, None]
    elif kind == "list":
        given = y.tolist()
    else:
        given = y.astype(kind)
    found = []
    for labels in (y.astype(np.int32), given):
        model = nn.Model([nn.Input(5), nn.Dense(4, "softmax")], seed=3)
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(x, labels, batch_size=25, epochs=2, shuffle=shuffle, verbose=0).history
        found.append([*model.get_weights(), np.array(list(history.values()))])
    assert_all_same(found[1], found[0], kind)


@pytest.mark.parametrize("kind", ["float64", "float16", ">f4", "int32", "uint8", "strided", "fortran", "bool"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_targets_and_weights_of_any_type(kind: str, shuffle: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((90, 5)).astype(np.float32)
    y, w = rng.integers(0, 2, (90, 3)), rng.integers(0, 2, 90) + (kind != "bool")

    def given(a: Array) -> Array:
        if kind == "strided":
            return np.repeat(a.astype(np.float32), 2, axis=-1)[..., ::2]
        return np.asfortranarray(a) if kind == "fortran" else a.astype(kind)

    found = []
    for targets, weights in ((y.astype(np.float32), w.astype(np.float32)), (given(y), given(w))):
        model = nn.Model([nn.Input(5), nn.Dense(3)], seed=3)
        model.compile("sgd", "mse", weighted_metrics=["mae"])
        history = model.fit(
            x, targets, sample_weight=weights, batch_size=25, epochs=2, shuffle=shuffle, verbose=0
        ).history
        found.append([*model.get_weights(), np.array(list(history.values()))])
    assert_all_same(found[1], found[0], kind)


# -- the process ---------------------------------------------------------------------------------------------------

PROCESS = """
    import ctypes, json, platform, random, sys, warnings
    import numpy as np
    import tqdm, safetensors.numpy  # what nncore imports may do what it likes

    libm = ctypes.CDLL("libm.so.6")

    def environment():
        buffer = (ctypes.c_ubyte * 512)()
        libm.fegetenv(buffer)
        if platform.machine() != "x86_64":
            return [libm.fegetround()]
        # control word of the x87, and MXCSR without the sticky flags, which any inexact operation sets
        mxcsr = int.from_bytes(bytes(buffer[28:32]), "little")
        return [int.from_bytes(bytes(buffer[0:2]), "little"), mxcsr & ~0x3F]

    def subnormal():
        return float(np.float32(1e-40) * np.float32(0.5)) > 0 and sys.float_info.min / 2 > 0

    def facts():
        state = np.random.get_state()
        return [environment(), subnormal(), repr(random.getstate()), repr(state[1].tolist()), state[2:],
                [repr(f) for f in warnings.filters], repr(np.geterr()), sys.getswitchinterval()]

    before, seen = facts(), []
    import nncore as nn
    from nncore.execution import team
    seen.append(facts() == before)
    team.PARALLEL_FLOPS = 0
    x, y = np.linspace(-1, 1, 6000).reshape(200, 30) * 1e-30, np.arange(200) % 3
    for threads in (1, 3):
        model = nn.Model([nn.Dense(40, "gelu"), nn.Dropout(0.5), nn.Dense(3, "softmax")], n_threads=threads)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=2, validation_split=0.2, verbose=0)
        seen.append(facts() == before)
        model.predict(x), model.evaluate(x, y, verbose=0), model(x[:1])
        seen.append(facts() == before)
        x_bad = x.copy()
        x_bad[150, 3] = np.nan
        for given, labels in ((x_bad, y), (x, y + 1), (x[:, :7], y)):
            try:
                model.fit(given, labels, verbose=0)
            except ValueError:
                seen.append(facts() == before)
        model.fit(x, y, epochs=1, verbose=1)
        seen.append(facts() == before)
    print("RESULT", json.dumps(seen))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at glibc's fenv_t")
def test_the_process_stays_as_it_was() -> None:
    """Rounding, flushing to zero, random state, warnings: after import, fit, predict and errors."""
    for isa in (nn.available_isas()[0], nn.available_isas()[-1]):
        result = python(PROCESS, NNCORE_ISA=isa).split("RESULT ")[1]
        assert json.loads(result) == [True] * 13


def test_random_state_and_warnings_of_this_process() -> None:
    random.seed(1)
    np.random.seed(1)
    before = (random.getstate(), np.random.get_state()[1].tolist(), list(warnings.filters))
    model = every_layer()
    model.compile("adam", "sparse_categorical_crossentropy")
    wanted = results(model)
    assert (random.getstate(), np.random.get_state()[1].tolist(), list(warnings.filters)) == before
    np.random.seed(2)
    random.seed(2)
    again = every_layer()
    again.compile("adam", "sparse_categorical_crossentropy")
    assert_all_same(results(again), wanted, "global seeds")


def test_data_are_not_written_to() -> None:
    x, y, w = data()
    copies = [a.copy() for a in (x, y, w)]
    model = every_layer(2)
    model.compile("adam", "sparse_categorical_crossentropy")
    for shuffle in (True, False):
        model.fit(x, y, sample_weight=w, shuffle=shuffle, verbose=0, epochs=2)
    model.predict(x)
    for a, b in zip((x, y, w), copies, strict=True):
        assert_same_bits(a, b)
