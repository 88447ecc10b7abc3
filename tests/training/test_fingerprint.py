"""The fingerprint of data: values count, every one of y and weights; layouts do not."""

from __future__ import annotations

import pathlib
import tracemalloc
from typing import Any

import numpy as np
import pytest

from nncore.bindings import Binding
from nncore.data import Dataset
from nncore.training import fingerprint as module
from nncore.training.fingerprint import fingerprint, sample

RNG = np.random.default_rng(4)
X = RNG.standard_normal((300, 17)).astype(np.float32)
Y = RNG.integers(0, 9, 300)


def dataset(*arrays: Any) -> Dataset:
    x, y, w = (None if a is None else Binding(np.asanyarray(a), "x", np.dtype("f4")) for a in arrays)
    assert x is not None
    return Dataset([x], [y], [w])


def of(x: Any, y: Any = Y, w: Any = None, *validation: Any) -> str:
    return fingerprint(dataset(x, y, w), dataset(*validation) if validation else None)


def several(inputs: list[Any], targets: list[Any]) -> str:
    bound = [[Binding(a, "x", np.dtype("f4")) for a in arrays] for arrays in (inputs, targets)]
    return fingerprint(Dataset(bound[0], [*bound[1]], [None] * len(targets)))


LAYOUTS: dict[str, Any] = {
    "fortran": np.asfortranarray,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "columns of a wider one": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "backwards": lambda a: a[::-1].copy()[::-1],
    "a field": lambda a: np.array(list(zip(a, a, strict=True)), [("a", "f4", 17), ("b", "f4", 17)])["b"],
    "misaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view("f4").reshape(a.shape),
    "read-only": lambda a: np.lib.stride_tricks.as_strided(a, writeable=False),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_layouts_do_not_matter(case: str) -> None:
    assert of(LAYOUTS[case](X)) == of(X)


def test_a_memmap_and_what_is_broadcast(tmp_path: pathlib.Path) -> None:
    X.tofile(tmp_path / "x")
    assert of(np.memmap(tmp_path / "x", np.float32, "r", shape=X.shape)) == of(X)
    row = np.broadcast_to(X[:1], X.shape)
    assert of(row) == of(row.copy())


@pytest.mark.parametrize("layout", [np.asarray, np.asfortranarray])
def test_every_value_counts(layout: Any) -> None:
    expected, seen = of(X, Y, Y.astype(float)), set()
    for i in range(len(X)):
        x, y, w = X.copy(), Y.copy(), Y.astype(float)
        x[i, i % 17] = np.nextafter(x[i, i % 17], np.float32(9))
        y[i] ^= 1
        w[i] += 1e-9
        seen |= {of(layout(x), Y, Y.astype(float)), of(X, y, Y.astype(float)), of(X, Y, w)}
    assert expected not in seen and len(seen) == 3 * len(X)


def test_shapes_dtypes_places_and_order_count() -> None:
    halves = X[::-1], np.roll(X, 1, axis=0), X[:, ::-1], X.reshape(150, 34), X.astype("f8"), X[:299]
    made = {of(X), *(of(x) for x in halves), of(X, None, Y), of(X, Y, Y), of(X, Y, None, X, None, None)}
    made |= {of(X, Y, None, X, Y, None), several([X, X[:, 1:]], [Y]), several([X[:, 1:], X], [Y]), several([X], [X, Y])}
    assert len(made) == 14


def test_no_rows_no_columns_and_long_doubles() -> None:
    assert of(np.empty((0, 3))) != of(np.empty((3, 0)))
    long = X.astype(np.longdouble)
    raw = long.view(np.uint8).reshape(300, 17, -1)
    if raw.shape[-1] == 16:  # x86: of 16 bytes ten have a meaning
        before = of(long)
        raw[..., 10:] ^= 255
        assert of(long) == before


def test_a_large_x_is_sampled_and_a_large_y_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """With limits that are 2¹⁰ times smaller: of 2 MiB of x, its ends and about a quarter."""
    for name, value in (("WHOLE", 1 << 20), ("SAMPLE", 1 << 18), ("RUN", 1 << 8)):
        monkeypatch.setattr(module, name, value)
    x = np.zeros((1 << 14, 128), np.uint8)
    expected, noticed = of(x, x), []
    for row in range(0, len(x), 64):
        x[row] = 1
        noticed.append(of(x, Y) != of(np.zeros_like(x), Y))
        assert of(np.zeros_like(x), x) != of(np.zeros_like(x), np.zeros_like(x))
        x[row] = 0
    assert 0.05 < np.mean(noticed) < 0.3 and noticed[0]
    x[-1] = 1
    assert of(x, Y) != of(np.zeros_like(x), Y)
    x[-1] = 0
    x[5000:5100] = 1  # a piece of two parts of the sample and more: whatever place the runs have
    assert of(x, x[:, :0]) != of(np.zeros_like(x), x[:, :0]) and of(x, x) != expected


@pytest.mark.parametrize(
    ("rows", "row_bytes"), [(1 << 21, 1024), (1 << 30, 1), (2000, 1 << 20), (3, 1 << 30), (1, 1 << 31)]
)
def test_the_sample_is_spread_and_bounded(rows: int, row_bytes: int) -> None:
    runs = list(sample(rows, row_bytes))
    assert runs == list(sample(rows, row_bytes))
    assert all(0 <= run.start < run.stop <= rows for run in runs)
    assert runs[0].start == 0 and runs[-1].stop == rows
    inner = runs[1:-1]
    part = rows / len(inner)
    assert all(int(i * part) <= run.start <= (i + 1) * part for i, run in enumerate(inner))
    read = sum(run.stop - run.start for run in inner) * row_bytes
    assert read <= max(module.SAMPLE, row_bytes)
    assert len(inner) == min(rows, 4096, max(1, module.SAMPLE // max(row_bytes, module.RUN)))


def test_nothing_is_copied_as_a_whole() -> None:
    x = np.asfortranarray(np.zeros((1 << 18, 32), ">f8"))
    tracemalloc.start()
    try:
        of(x)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 << 20 < x.nbytes
