"""nn.matmul against float64 NumPy."""

from __future__ import annotations

import threading
from itertools import product
from typing import Any

import numpy as np
import pytest
from kernels import assert_same_bits, generator
from numpy.typing import NDArray

import nncore as nn
from nncore.execution.team import PARALLEL_FLOPS

Array = NDArray[Any]
DTYPES = ("float32", "float64")
LAYOUTS = ("rows", "columns", "rows of a wider matrix", "every second column", "backwards", "unaligned", "big-endian")


def laid_out(x: Array, layout: str) -> Array:
    """The same matrix with other strides."""
    rows, cols = x.shape
    if layout == "columns":
        return np.asfortranarray(x)
    if layout in ("rows of a wider matrix", "every second column"):
        step = 2 if layout == "every second column" else 1
        wide = np.full((rows + 2, step * cols + 3), np.nan, x.dtype)
        view = wide[1 : rows + 1, 2 : 2 + step * cols : step]
    elif layout == "backwards":
        view = np.empty_like(x)[::-1]
    elif layout == "unaligned":
        view = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    else:
        view = np.empty(x.shape, x.dtype.newbyteorder(">") if layout == "big-endian" else x.dtype)
    view[...] = x
    return view


def whole(dtype: str, *shape: int) -> Array:
    return generator(shape).integers(-3, 4, shape).astype(dtype)


def float64(x: Array) -> Array:
    return x.astype(np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sizes(dtype: str) -> None:
    """Whole numbers make the sums exact."""
    for m, k, n in product([0, 1, 2, 17, 33], [0, 1, 5, 300], [0, 1, 3, 16, 70]):
        a, b = whole(dtype, m, k), whole(dtype, k, n)
        c = nn.matmul(a, b)
        assert c.dtype == dtype
        np.testing.assert_array_equal(c, float64(a) @ float64(b), strict=False)
        assert c.shape == (m, n)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layouts(dtype: str) -> None:
    for (m, k, n), of_a, of_b in product([(5, 7, 9), (1, 7, 9), (5, 1, 9), (5, 7, 1), (1, 1, 1)], LAYOUTS, LAYOUTS):
        a, b = whole(dtype, m, k), whole(dtype, k, n)
        c = nn.matmul(laid_out(a, of_a), laid_out(b, of_b))
        assert c.dtype == dtype
        np.testing.assert_array_equal(c, float64(a) @ float64(b), err_msg=f"{m, k, n} {of_a} {of_b}")


def test_read_only_operands_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither are transposed ones, nor rows of a wider matrix: NumPy is not asked to convert anything."""
    a, b = whole("float32", 6, 5), whole("float32", 5, 4)
    expected = float64(a) @ b
    monkeypatch.setattr("nncore.products.operand", None)
    for x, w in product((a, np.asfortranarray(a), np.hstack([a, a])[:, :5]), (b, b.T.copy().T)):
        x.flags.writeable = w.flags.writeable = False
        np.testing.assert_array_equal(nn.matmul(x, w), expected)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_error_of_sums(precision: str) -> None:
    """(K + 1) roundings of half an eps, and those of the operands to bfloat16."""
    a, b = generator(1).standard_normal((40, 700)), generator(2).standard_normal((700, 50))
    x, w = a.astype(np.float32), b.astype(np.float32)
    error = np.abs(nn.matmul(x, w, precision=precision) - float64(x) @ float64(w))
    rounding = {"float32": 0, "split bfloat16": 3 * 2.0**-16, "bfloat16": 2.0**-7}
    bound = 701 * 2.0**-24 + rounding[nn.matmul_precisions()[precision]]
    assert (error <= bound * (np.abs(float64(x)) @ np.abs(float64(w)))).all()


#: precision → sizes (M,K,N) that AMX takes at least, as `matmul_precisions` says of them, each beside one that is small
LIMITS = [
    ("medium", (16, 256, 64), (15, 512, 64)),
    ("medium", (64, 64, 64), (64, 63, 64)),
    ("high", (64, 192, 128), (63, 256, 128)),
    ("high", (384, 64, 64), (512, 64, 63)),
    ("high", (384, 32, 128), (512, 33, 128)),
    ("high", (64, 384, 64), (64, 383, 64)),
]


@pytest.mark.skipif(nn.isa() != "amx", reason="limits of AMX")
@pytest.mark.parametrize(("precision", "large", "small"), LIMITS)
def test_small_products_are_float32(precision: str, large: tuple[int, ...], small: tuple[int, ...]) -> None:
    for (m, k, n), same in ((large, False), (small, True)):
        x, w = generator((m, k, n)).standard_normal((m, k)), generator((k, n)).standard_normal((k, n))
        x, w = x.astype(np.float32), w.astype(np.float32)
        assert np.array_equal(nn.matmul(x, w, precision=precision), nn.matmul(x, w)) == same


def test_dtypes_mix_as_in_numpy() -> None:
    a, b = whole("float32", 4, 3), whole("float64", 3, 2)
    b[0, 0] += 2.0**-40
    for x, w in ((a, b), (b.T, a.T)):
        c = nn.matmul(x, w)
        assert c.dtype == np.float64
        np.testing.assert_array_equal(c, float64(x) @ float64(w))


def test_lists_of_numbers() -> None:
    c = nn.matmul([[1.0, 2.0]], np.float32([[3], [4]]))
    assert c.dtype == np.float64
    np.testing.assert_array_equal(c, [[11.0]])


def test_vectors() -> None:
    """A vector is a row on the left and a column on the right, and its dimension goes."""
    a, b = whole("float32", 4, 3), whole("float32", 3, 5)
    np.testing.assert_array_equal(nn.matmul(a[0], b), float64(a[0]) @ b)
    np.testing.assert_array_equal(nn.matmul(a, b[:, 0]), float64(a) @ b[:, 0])
    np.testing.assert_array_equal(nn.matmul(a[0, ::-1], b[::-1, 0]), float64(a[0]) @ b[:, 0])
    assert type(nn.matmul(a[0], b[:, 0])) is np.float32
    for x, w in ((a[0], b), (a, b[:, 0]), (a[0], b[:, 0]), (a[:0, 0], b[:0, 0]), (a[0], b[:, :0])):
        expected = np.asarray(float64(x) @ w)
        out = np.full(expected.shape, np.nan, np.float32)
        assert nn.matmul(x, w, out=out) is out
        np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_a_row_alone_has_its_bits(n: int) -> None:
    """Few columns are summed along the rows of a; a lone row with gaps is no column."""
    a = generator(3).standard_normal((40, 600)).astype(np.float32)
    b = generator(4).standard_normal((300, n)).astype(np.float32)
    for x in (a[:, ::2], a[:, :300], np.ascontiguousarray(a[:, :300])):
        wanted = nn.matmul(x, b)
        for i in (0, 7, 39):
            np.testing.assert_array_equal(nn.matmul(x[i : i + 1], b), wanted[i : i + 1])
            np.testing.assert_array_equal(nn.matmul(x[i], b), wanted[i])


@pytest.mark.parametrize("of_a", LAYOUTS)
def test_out(of_a: str) -> None:
    a, b = whole("float32", 6, 5), whole("float32", 5, 4)
    memory = np.full((8, 4), -77, np.float32)
    out = memory[1:7]
    assert nn.matmul(laid_out(a, of_a), b, out) is out
    np.testing.assert_array_equal(out, float64(a) @ b)
    assert (memory[[0, 7]] == -77).all()


def test_out_beside_an_operand() -> None:
    """In the same memory, but not overlapping, even where it touches."""
    memory = np.zeros((12, 4), np.float32)
    a, b, out = memory[:4], memory[4:8], memory[8:]
    memory[:8] = whole("float32", 8, 4)
    expected = float64(a) @ b
    nn.matmul(a.T, b.T, out=out)
    np.testing.assert_array_equal(out, (float64(b) @ a).T)
    nn.matmul(a, b, out=out)
    np.testing.assert_array_equal(out, expected)


def frozen(x: Array) -> Array:
    x.flags.writeable = False
    return x


A, B = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
SQUARE = np.ones((4, 4), np.float32)
ERRORS: dict[str, tuple[tuple[Any, ...], type[Exception], str]] = {
    "inner sizes": ((A, A), ValueError, r"b: expected shape \(4, n\) to follow a of shape \(3, 4\), got \(3, 4\)"),
    "length of a vector": (
        (A, B[0]),
        ValueError,
        r"b: expected shape \(4,\) to follow a of .*, got \(5,\)",
    ),
    "no dimensions": ((np.float32(1), B), ValueError, r"a: expected 1 or 2 dimensions, got shape \(\)"),
    "a stack": ((A, np.ones((2, 4, 5), np.float32)), ValueError, r"b: expected 1 or 2 dimensions.*one by one"),
    "integers": ((A, B.astype(int)), TypeError, r"b: expected float32 or float64, got int64; convert it: b.astype"),
    "half": ((A.astype(np.float16), B), TypeError, "a: expected float32 or float64, got float16"),
    "long double": ((A.astype(np.longdouble), B), TypeError, "a: expected float32 or float64, got"),
    "complex": ((A.astype(complex), B), TypeError, "a: expected real numbers, got dtype complex128"),
    "dates": ((A, B.astype("M8[s]")), TypeError, "b: expected real numbers"),
    "none": ((None, B), TypeError, "a: expected an array, got None"),
    "a word": ((A, B, None, "low"), ValueError, "precision: expected one of highest, high, medium, got 'low'"),
    "out, a list": ((A, B, [1.0]), TypeError, "out: expected an array or None, got list"),
    "out, shape": ((A, B, np.ones((5, 3), np.float32)), ValueError, r"out: expected shape \(3, 5\), got \(5, 3\)"),
    "out, dtype": ((A, B, np.ones((3, 5))), TypeError, "out: expected float32, got float64"),
    "out, columns": ((A, B, np.ones((5, 3), np.float32).T), ValueError, "out: expected a C-contiguous"),
    "out, gaps": ((A, B, np.ones((3, 6), np.float32)[:, :5]), ValueError, "out: expected a C-contiguous"),
    "out, read-only": ((A, B, frozen(np.ones((3, 5), np.float32))), ValueError, "out: expected .* writable"),
    "out is a": ((SQUARE, B[:, :4], SQUARE), ValueError, "out: .* some of a's; give a.copy()"),
    "out is b": ((B[:, :4], SQUARE, SQUARE), ValueError, "out: .* some of b's; give b.copy()"),
    "out in a": ((np.ones((9, 4), np.float32).T[:, 1:5], SQUARE, None), ValueError, "some of a's"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str) -> None:
    arguments, error, message = ERRORS[case]
    if case == "out in a":
        a = arguments[0]
        arguments = (a, SQUARE, a.base[4:8])
    with pytest.raises(error, match=message):
        nn.matmul(*arguments)


@pytest.fixture
def threads() -> Any:
    yield nn.set_num_threads
    nn.set_num_threads(None)


@pytest.mark.parametrize("size", [(130, 300, 210), (14, 1000, 129)])  # the latter leaves one column to a block
def test_threads_change_no_bit(threads: Any, size: tuple[int, int, int]) -> None:
    m, k, n = size
    assert 2 * m * n * k > PARALLEL_FLOPS
    a, b = (generator(i).standard_normal(shape).astype(np.float32) for i, shape in enumerate([(m, k), (k, n)]))
    for x, w in ((a, b), (b.T, a.T), (np.asfortranarray(a), b), (a, np.asfortranarray(b))):
        threads(1)
        expected = nn.matmul(x, w)
        for count in (2, 3, 7):
            threads(count)
            assert_same_bits(nn.matmul(x, w), expected, count)


def test_callers_at_once(threads: Any) -> None:
    """Each has scratch memory of its own: W.T is packed there, and so would show a neighbour's."""
    threads(2)
    failures: list[int] = []

    def calls(seed: int) -> None:
        rng = generator(seed)
        for i in range(30):
            a, b = rng.integers(-3, 4, (150, 90)), rng.integers(-3, 4, (120, 90))
            if not np.array_equal(nn.matmul(a.astype(np.float32), b.T.astype(np.float32)), a @ b.T):
                failures.append(i)

    callers = [threading.Thread(target=calls, args=(seed,)) for seed in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not failures
