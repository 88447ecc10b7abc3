"""Convolutions of the lower precisions, against float64 NumPy on operands that NumPy rounded.

Their products read windows where they lie in an image, as words of two bfloat16; others copy them row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, product
from typing import Any, NamedTuple

import numpy as np
import pytest
import reference as ref
import reference_convolution as convolution
from kernels import Array, assert_close, assert_same_bits, eps, generator, normal, whole
from reference_depthwise import Way, sizes_of, way
from test_kernels_precision import cases, each_product, error_of_sum, packed_copy, taken

from nncore._kernels.table import ACTIVATION_SAVED, ACTIVATIONS, MANY_ROWS, PRECISIONS, WINDOWS, Table
from nncore.execution.alone import run_operation

SAMPLES = 4  # none of the arrays that all samples share has as many rows


class Shape(NamedTuple):
    """Images, and windows of them."""

    down: Way
    across: Way
    channels: int
    n: int
    groups: int = 1
    line: int | None = None  # windows of one: all of a row

    @property
    def image(self) -> tuple[int, ...]:
        return SAMPLES, self.down.length, self.across.length, self.channels

    @property
    def result(self) -> tuple[int, ...]:
        return SAMPLES, self.down.out, self.across.out, self.n

    @property
    def kernel(self) -> tuple[int, ...]:
        return self.down.size, self.across.size, self.channels // self.groups, self.n

    @property
    def K(self) -> int:
        return self.down.size * self.across.size * self.channels // self.groups

    @property
    def rows(self) -> int:
        """What `precision_for` of contract.h is told."""
        return WINDOWS if self.down.size * self.across.size > 1 else MANY_ROWS

    @property
    def lines(self) -> int:
        return self.down.out * -(-self.across.out // (self.line or self.across.out))

    @property
    def forms(self) -> list[tuple[bool, bool]]:
        """Whether it can be flipped, which is of windows one place apart; and W packed, which is of one group."""
        flips = [False, True] if self.down.stride == self.across.stride == 1 else [False]
        return list(product(flips, [False, True] if self.groups == 1 else [False]))


def windows(
    height: int, width: int, size: tuple[int, int], channels: int, n: int, *, stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1), padding: str = "same", groups: int = 1, line: int | None = None
) -> Shape:  # fmt: skip
    down, across = map(way, (height, width), size, stride, dilation, (padding, padding))
    return Shape(down, across, channels, n, groups, line)


#: Windows in a line, which tiles of 16 or of 12 cut; words that remain of a segment beside tiles of 16; filters beside
#: panels of 32.
SHAPES = {
    "5 to a line, odd": windows(5, 5, (3, 3), 16, 17),
    "8 to a line, odd": windows(7, 8, (3, 3), 20, 24),
    "16 to a line, even": windows(6, 16, (3, 3), 32, 40),
    "16 to a line, two places apart": windows(6, 32, (2, 2), 20, 33, stride=(2, 2), padding="valid"),
    "11 to a line, whose copies end beyond them": windows(4, 13, (3, 3), 32, 24, padding="valid"),
    "65 to a line, several copies": windows(40, 65, (3, 3), 16, 16),
    "17 to a line": windows(4, 17, (3, 3), 8, 70),
    "28 to a line": windows(5, 28, (3, 3), 64, 70),
    "28 to a line, no zeros around": windows(6, 30, (3, 3), 32, 16, padding="valid"),
    "33 to a line": windows(3, 33, (2, 2), 8, 31),
    "48 to a line": windows(2, 48, (3, 3), 20, 64),
    "two places apart": windows(9, 43, (3, 3), 20, 40, stride=(2, 2)),
    "two places apart, across only": windows(5, 41, (5, 2), 10, 17, stride=(1, 2)),
    "tall": windows(9, 19, (5, 1), 20, 24),
    "wide, one segment": windows(3, 33, (1, 5), 8, 40),
    "wide, one segment, short": windows(3, 8, (1, 5), 36, 17),
    "holes": windows(9, 20, (3, 3), 32, 24, dilation=(2, 2), padding="valid"),
    "holes, zeros around": windows(5, 6, (3, 3), 20, 17, dilation=(2, 2)),
    "windows mostly of zeros": windows(1, 2, (4, 5), 16, 40, dilation=(1, 2)),
    "a series": windows(1, 124, (1, 3), 32, 40),
    "a series, holes": windows(1, 124, (1, 5), 16, 24, dilation=(1, 2)),
    "a series, holes, two places apart": windows(1, 67, (1, 3), 34, 70, dilation=(1, 3), padding="valid"),
    "groups": windows(5, 17, (3, 3), 40, 48, groups=2),
    "groups, short": windows(3, 12, (2, 2), 64, 80, groups=2),
    "groups of a series": windows(1, 41, (1, 5), 16, 70, groups=2),
    "some lines to a row": windows(3, 45, (3, 3), 20, 40, line=20),
    "some lines to a row, last of one": windows(3, 33, (3, 2), 16, 33, line=8),
    "deep": windows(3, 3, (4, 4), 64, 660),  # as deep as a block, and more panels than have room
    "too deep: rows": windows(3, 5, (3, 3), 128, 33),
    "odd channels: rows": windows(4, 17, (3, 3), 15, 70),
    "a place": windows(6, 9, (1, 1), 64, 130, stride=(2, 2), padding="valid"),
}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def some_shapes(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("shape", [SHAPES[name] for name in names], ids=names)


def convolve(
    table: Table, precision: str, shape: Shape, x: Array, w: Array, flipped: bool, packed: bool, *,
    function: str = "linear", block: int = 3, **given: Any
) -> Array:  # fmt: skip
    """Y, or dX of `convolve_flipped`; with `packed` by a copy of W, which must not be read itself then."""
    assert table.packed_bytes(precision, False, shape.K, shape.n // shape.groups, shape.rows), "float32 is used"
    operation, source, made = ("convolve_flipped", "dY", "dX") if flipped else ("convolve", "X", "Y")
    W, y = w.reshape(shape.K, shape.n), np.full(shape.result, np.nan, table.dtype)
    if packed:
        copy = packed_copy(table, precision, W, False, shape.rows)
        assert copy is not None
        given["packed"], W = copy.view(table.dtype), np.full_like(W, np.nan)
    fields = {source: x, "W": W, made: y} | sizes_of(shape.n, shape.down, shape.across)
    fields |= {"channels": shape.channels, "groups": shape.groups}
    fields |= {"line": shape.line or shape.across.out, "per_sample": shape.lines, "block": block}
    fields |= {"precision": PRECISIONS[precision], "function": ACTIVATIONS[function]}
    run_operation(table, operation, SAMPLES, **fields, **given)
    return y


def told(shape: Shape) -> dict[str, Any]:
    """What the formulas are told of windows."""
    axes = shape.down, shape.across
    behind = [(a.out - 1) * a.stride + (a.size - 1) * a.dilation + 1 - a.before - a.length for a in axes]
    pads = [(a.before, max(0, more)) for a, more in zip(axes, behind, strict=True)]
    strides, dilation = [a.stride for a in axes], [a.dilation for a in axes]
    return {"strides": strides, "dilation": dilation, "pads": pads, "groups": shape.groups}


def formula(shape: Shape, x: Array, w: Array, b: Array | float) -> Array:
    return convolution.convolve(x, w, b, **told(shape))


def operands(table: Table, shape: Shape, scale: float = 1.0) -> tuple[Array, Array, Array]:
    """X, W, b."""
    x, w = normal(table, *shape.image, scale=scale), normal(table, *shape.kernel)
    return x, w, normal(table, shape.n, key="bias")


def sums(table: Table, precision: str, shape: Shape, x: Array, w: Array, b: Array) -> tuple[Array, Array]:
    """Of rounded operands, and how far products may be from that."""
    x, w = taken(table, precision, x), taken(table, precision, w)
    return formula(shape, x, w, b), error_of_sum(table, precision, shape.K) * formula(shape, abs(x), abs(w), abs(b))


@each_product
@each_shape
def test_exact_sums(table: Table, precision: str, shape: Shape) -> None:
    """Small whole numbers lose nothing."""
    x, w, b = (whole(table, *sizes) for sizes in (shape.image, shape.kernel, (shape.n,)))
    expected = formula(shape, x, w, b)
    for form in shape.forms:
        y = convolve(table, precision, shape, x, w, *form, b=b)
        assert_close(y, expected, 0, form)


@each_product
@each_shape
def test_error_of_sums(table: Table, precision: str, shape: Shape) -> None:
    """Flipped or not, packed or not: one product, with the same bits."""
    x, w, b = operands(table, shape)
    y = convolve(table, precision, shape, x, w, *shape.forms[0], b=b)
    assert_close(y, *sums(table, precision, shape, x, w, b))
    for form in shape.forms[1:]:
        assert_same_bits(convolve(table, precision, shape, x, w, *form, b=b), y, form)


@each_product
@some_shapes(
    "5 to a line, odd", "16 to a line, even", "28 to a line", "33 to a line", "two places apart", "a series, holes",
    "groups", "some lines to a row", "deep", "odd channels: rows",
)  # fmt: skip
def test_bits_of_spans(table: Table, precision: str, shape: Shape) -> None:
    """However many threads share the lines, and however many of these they take at a time."""
    x, w, b = operands(table, shape)
    for form in shape.forms:
        expected = convolve(table, precision, shape, x, w, *form, b=b, block=SAMPLES * shape.lines)
        for threads, block in product((1, 2, 3), (1, 2, 5)):
            y = convolve(table, precision, shape, x, w, *form, b=b, block=block, threads=threads)
            assert_same_bits(y, expected, (form, threads, block))


FINISHED = some_shapes(
    "5 to a line, odd", "8 to a line, odd", "17 to a line", "28 to a line", "33 to a line", "two places apart",
    "wide, one segment", "a series, holes", "groups", "some lines to a row", "deep", "too deep: rows",
)  # fmt: skip


@each_product
@FINISHED
def test_what_follows_the_sums(table: Table, precision: str, shape: Shape) -> None:
    """Z receives the sums, or a(sums), Y is f of that; with or without Z the bits are the same."""
    x, w, b = operands(table, shape, shape.K**-0.5)
    mean, factor, offset = affine = normal(table, 3, shape.n)
    plain, tolerance = sums(table, precision, shape, x, w, b)
    scaled = factor * (plain - mean)
    wide = np.abs(factor) * tolerance + 2 * eps(table) * (np.abs(scaled) + np.abs(scaled + offset))
    expected: list[tuple[dict[str, Array], Array, Array]] = [
        ({"b": b}, plain, tolerance),
        ({"b": b, "affine": affine}, scaled + offset, wide),
    ]
    packs = {packed for _, packed in shape.forms}
    for function, packed, (given, wanted, most) in product(("linear", "relu", "gelu"), packs, expected):
        options: dict[str, Any] = {"function": function} | given
        what, z = (function, packed, sorted(given)), np.full(shape.result, np.nan, table.dtype)
        y = convolve(table, precision, shape, x, w, False, packed, Z=z, **options)
        assert_close(z, wanted, most, ("Z", *what))
        f, slope = ref.activate(function, z), ref.activate_prime(function, z)
        assert_close(y, f, 4 * eps(table) * (np.abs(f) + np.abs(slope * z)), ("Y", *what))
        alone = convolve(table, precision, shape, x, w, False, packed, **options)
        assert_same_bits(alone, y, ("without Z", *what))
    unbiased, tolerance = sums(table, precision, shape, x, w, 0 * b)
    assert_close(convolve(table, precision, shape, x, w, False, False), unbiased, tolerance, "without bias")


@each_product
@FINISHED
def test_derivatives(table: Table, precision: str, shape: Shape) -> None:
    """The sums times f′, where something was saved."""
    x, w, b = operands(table, shape, shape.K**-0.5)
    z = normal(table, *shape.result, key="saved")
    z[np.abs(z) < 0.01] = 1  # away from kinks
    biased, unbiased = (sums(table, precision, shape, x, w, bias) for bias in (b, 0 * b))
    packs = {packed for flipped, packed in shape.forms if flipped}
    for function, packed in product(("linear", "relu", "gelu"), packs):
        saved = z if ACTIVATION_SAVED[function] == "Z" else ref.activate(function, z).astype(table.dtype)
        slope = ref.activate_prime(function, z)
        for given, (plain, tolerance) in (({"b": b}, biased), (dict[str, Array](), unbiased)):
            options: dict[str, Any] = {"saved": saved, "function": function} | given
            dx = convolve(table, precision, shape, x, w, True, packed, **options)
            most = np.abs(slope) * tolerance + 8 * eps(table) * np.abs(plain)
            assert_close(dx, plain * slope, most, (function, packed, sorted(given)))


def places(shape: Shape) -> Iterator[tuple[int, int, int, int]]:
    """Of images: both ends, the middle of a line and its end; and others."""
    height, width = shape.down.length, shape.across.length
    yield from [(0, 0, 0, 0), (-1, -1, -1, -1), (1, height // 2, width // 2, 0), (2, height // 2, -1, 0)]
    rng = generator("places", shape)
    for _ in range(4):
        sample, h, w, c = rng.integers(shape.image).tolist()
        yield sample, h, w, c


@each_product
@some_shapes(
    "5 to a line, odd", "8 to a line, odd", "16 to a line, even", "17 to a line", "28 to a line, no zeros around",
    "33 to a line", "two places apart", "two places apart, across only", "tall", "wide, one segment",
    "wide, one segment, short", "holes", "a series", "a series, holes", "groups", "groups of a series",
    "some lines to a row", "too deep: rows",
)  # fmt: skip
def test_infinities_and_nan_stay_in_their_windows(table: Table, precision: str, shape: Shape) -> None:
    """They make results inf or nan whose window has them; all others keep their bits: nothing else is read."""
    x, w, _ = operands(table, shape)
    ones = np.ones(shape.kernel)
    for flipped, packed in shape.forms:
        clean = convolve(table, precision, shape, x, w, flipped, packed)
        for at, value in zip(places(shape), cycle((np.inf, np.nan, -np.inf)), strict=False):
            dirty, where = x.copy(), np.zeros(shape.image)
            dirty[at], where[at] = value, 1
            struck = formula(shape, where, ones, 0.0) > 0
            y = convolve(table, precision, shape, dirty, w, flipped, packed)
            assert not np.isfinite(y[struck]).any(), (at, value, flipped, packed)
            assert_same_bits(y[~struck], clean[~struck], (at, value, flipped, packed))


def weights(table: Table, precision: str, shape: Shape, x: Array, dy: Array, part: int, **given: Any) -> Array:
    """Parts of dW, each of so many samples."""
    dw = np.full((SAMPLES // part, *shape.kernel), np.nan, table.dtype)
    fields = {"X": x, "dY": dy, "dW": dw, "part": part, "block": part} | sizes_of(shape.n, shape.down, shape.across)
    fields |= {"channels": shape.channels, "groups": shape.groups, "line": shape.line or shape.across.out}
    run_operation(table, "convolve_weights", SAMPLES, **fields, precision=PRECISIONS[precision], **given)
    return dw


def weights_by_formula(shape: Shape, x: Array, dy: Array, part: int) -> Array:
    w, parts = np.zeros(shape.kernel), [(x[i : i + part], dy[i : i + part]) for i in range(0, SAMPLES, part)]
    return np.stack([convolution.convolve_backward(a, w, b, **told(shape))[1] for a, b in parts])


@each_product
@each_shape
def test_exact_weights(table: Table, precision: str, shape: Shape) -> None:
    x, dy = whole(table, *shape.image), whole(table, *shape.result)
    dw = weights(table, precision, shape, x, dy, 2)
    assert_close(dw, weights_by_formula(shape, x, dy, 2), 0)


def copied(shape: Shape) -> bool:
    """Whether tiles read a copy of lines: of windows one place apart, from 8 channels and 16 filters of a group on."""
    apart = shape.down.stride, shape.across.stride
    return apart == (1, 1) and shape.rows == WINDOWS and shape.channels // shape.groups >= 8


@pytest.mark.parametrize(("table", "precision"), [case for case in cases(own=True) if case.values[0].isa == "amx"])
@some_shapes(*(name for name, shape in SHAPES.items() if copied(shape)))
def test_error_of_weights(table: Table, precision: str, shape: Shape) -> None:
    """Of operands in bfloat16, by any threads."""
    x, dy = normal(table, *shape.image), normal(table, *shape.result, key="dY")
    dw = weights(table, precision, shape, x, dy, 2)
    a, b = taken(table, precision, x), taken(table, precision, dy)
    terms = 2 * shape.down.out * shape.across.out
    error = error_of_sum(table, precision, terms) * weights_by_formula(shape, abs(a), abs(b), 2)
    assert_close(dw, weights_by_formula(shape, a, b, 2), error)
    for threads in (2, 3):
        assert_same_bits(weights(table, precision, shape, x, dy, 2, threads=threads), dw, threads)
