"""The same bits whatever the layout and type of data; and a process left as it was found."""

from __future__ import annotations

import json
import random
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from every_layer import Array, assert_all_same, data, every_layer, python, results
from kernels import assert_same_bits

import nncore as nn

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
