"""Cases of `test_kernels_bounds`: windows of images."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from cases_pooling import PARTS, sizes
from fences import Cases, Place, empty, reals
from kernels import Array, edges
from placed import run_placed
from reference_depthwise import Way, sizes_of

from nncore._kernels.table import ACTIVATIONS, POINTS, PRECISIONS, WINDOWS, Table

SAMPLES = 3


def channels(table: Table) -> list[int]:
    return sorted({*range(1, 18), *edges(table.lanes, 2 * table.lanes, 4 * table.lanes)})


#: Windows of images: attributes of both axes, and whether windows share places.
GEOMETRIES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, int]]] = [
    ((4, 2, 2, 2, 0), (4, 2, 2, 2, 0), {"bands": 2}),
    ((1, 1, 1, 1, 0), (5, 2, 2, 2, 0), {"bands": 1, "clear": 1}),
    ((3, 2, 3, 2, 1), (5, 3, 3, 2, 1), {"bands": 1, "clear": 1, "add": 1}),
    ((3, 1, 3, 3, 0), (23, 1, 23, 23, 0), {"bands": 1}),
    ((3, 1, 2, 2, 0), (23, 1, 22, 22, 0), {"bands": 1, "clear": 1}),
    ((1, 1, 1, 1, 0), (PARTS["width"], PARTS["out_w"], 0, 0, 0), {"bands": 1, "clear": 1, "add": 1}),
]


def pooling(table: Table) -> Cases:
    for n, geometry in product(channels(table), GEOMETRIES):
        down, across, how = geometry

        def case(place: Place, n: int = n, given: Any = (down, across), how: Any = how) -> list[Array]:
            fields = sizes(n, *given)
            shape = SAMPLES, fields["height"], fields["width"], n
            made = SAMPLES, fields["out_h"], fields["out_w"], n
            x, dy = place(reals(table, *shape)), place(reals(table, *made))
            y, total, dx, dtotal = (place(empty(table, *s)) for s in (made, made, shape, shape))
            fields["block"] = 1
            rows, bands = {"per_sample": made[1]}, how | {"per_sample": how["bands"]}
            run_placed(table, "max_pool", SAMPLES, X=x, Y=y, **fields, **rows)
            run_placed(table, "sum_pool", SAMPLES, X=x, Y=total, mean=1, **fields, **rows)
            run_placed(table, "max_pool_backward", SAMPLES, X=x, Y=y, dY=dy, dX=dx, **fields, **bands)
            run_placed(table, "sum_pool_backward", SAMPLES, dY=dy, dX=dtotal, mean=1, **fields, **bands)
            return [y, total, dx, dtotal]

        yield f"pooling {n} {geometry}", case


def images(table: Table) -> Cases:
    """Zeros around them, and larger ones; by operations that take any sizes."""
    for n, height, width in product(channels(table), (1, 2), (1, 3, 8)):

        def case(place: Place, n: int = n, height: int = height, width: int = width) -> list[Array]:
            sides = {"n": n, "height": height, "width": width, "y_factor": 3, "x_factor": 2}
            large, small = (SAMPLES, 3 * height, 2 * width, n), (SAMPLES, height, width, n)
            x, dy, y, dx = (
                place(reals(table, *small)),
                place(reals(table, *large)),
                *map(place, (empty(table, *large), empty(table, *small))),
            )
            padded = place(empty(table, SAMPLES, height + 2, width * n + 2))
            run_placed(table, "interpolate", SAMPLES, X=x, Y=y, **sides, per_sample=3 * height, block=2)
            run_placed(table, "interpolate_backward", SAMPLES, dY=dy, dX=dx, **sides, per_sample=height, block=2)
            around = {"n": width * n + 2, "out_height": height + 2, "height": height, "width": width * n}
            around |= {"top": 1, "left": 2, "per_sample": height + 2, "block": 3}
            run_placed(table, "pad", SAMPLES, X=x, Y=padded, **around)
            return [y, dx, padded]

        yield f"images {n} {height} {width}", case


def depthwise(table: Table) -> Cases:
    """Windows over images of three samples, forward, and backward with all that it may write."""
    ways = [(5, 3, 1, 1, 1, 5), (8, 3, 1, 1, 0, 6), (12, 3, 1, 1, 1, 12), (7, 2, 2, 3, 1, 3), (2, 4, 1, 1, 1, 2)]
    ways += [(1, 1, 1, 1, 0, 1), (9, 5, 3, 2, 4, 3)]
    widths = sorted({1, 3, table.lanes - 1, table.lanes, table.lanes + 1, 2 * table.lanes})
    for down, across, n in product(map(Way._make, ways), map(Way._make, ways), widths):

        def case(place: Place, down: Way = down, across: Way = across, n: int = n) -> list[Array]:
            x, dy = reals(table, 3, down.length, across.length, n), reals(table, 3, down.out, across.out, n)
            w, b = reals(table, down.size, across.size, n), reals(table, n)
            parts = empty(table, 2, w.size), empty(table, 2, n)
            given = {"X": place(x), "W": place(w)}
            y, dx, dw, db = (place(np.full_like(a, np.nan)) for a in (dy, x, *parts))
            sizes = sizes_of(n, down, across)
            run_placed(table, "depthwise_forward", 3, b=place(b), Y=y, per_sample=down.out, block=2, **given, **sizes)
            more = {"dY": place(dy), "dX": dx, "dW": dw, "db": db, "chunk": 2, "block": 2}
            run_placed(table, "depthwise_backward", 3, **given, **more, **sizes)
            return [y, dx, dw, db]

        yield f"depthwise {down} {across} {n}", case


#: Windows down and across, groups, and windows in a line: of whole rows, of rows with holes, partly or all outside,
#: more than one line to a row.
CONVOLUTIONS = [
    (Way(3, 1, 1, 1, 0, 3), Way(5, 1, 1, 1, 0, 5), 1, 5),
    (Way(5, 3, 1, 1, 1, 5), Way(6, 3, 1, 1, 1, 6), 1, 6),
    (Way(5, 3, 1, 1, 0, 3), Way(19, 2, 1, 1, 0, 18), 1, 7),
    (Way(7, 2, 2, 3, 1, 3), Way(9, 5, 3, 2, 4, 3), 1, 3),
    (Way(2, 4, 1, 1, 1, 2), Way(1, 3, 1, 1, 1, 1), 1, 1),
    (Way(4, 2, 2, 1, 0, 2), Way(6, 3, 2, 1, 1, 3), 2, 3),
    (Way(1, 1, 1, 1, 0, 1), Way(40, 5, 1, 1, 4, 40), 1, 40),
]
#: Of one channel, whose neighbouring windows few filters take together: by lines, with what lies between them.
FEW_FILTERS = [
    (Way(4, 3, 1, 1, 0, 2), Way(39, 5, 1, 1, 0, 35), 1, 35),
    (Way(3, 2, 1, 1, 1, 3), Way(18, 3, 1, 1, 1, 18), 1, 18),
    (Way(2, 1, 1, 1, 0, 2), Way(50, 19, 1, 1, 0, 32), 1, 17),
    (Way(1, 1, 1, 1, 0, 1), Way(150, 9, 1, 1, 4, 150), 1, 150),
]
#: Wider than tiles of bfloat16: with zeros around, with rows of an image that windows reach in part.
WIDE = [
    (Way(3, 3, 1, 1, 1, 3), Way(33, 3, 1, 1, 1, 33), 1, 33),
    (Way(5, 2, 2, 1, 0, 2), Way(36, 3, 2, 1, 0, 17), 1, 17),
    (Way(1, 1, 1, 1, 0, 1), Way(41, 3, 1, 2, 0, 37), 2, 37),
]


def convolutions(table: Table) -> Cases:
    """Forward, and backward with all that it may write."""
    columns = sorted({2, 6, *(2 * (n // 2) for n in (table.lanes + 2, 2 * table.lanes, 4 * table.lanes + 2))})
    sweep = [*product(CONVOLUTIONS, (2, 4, 6, 2 * table.lanes), columns), *product(FEW_FILTERS, (1,), range(1, 14))]
    for (down, across, groups, line), depth, n in sweep:

        def case(place: Place, at: Any = (down, across, groups, line), depth: int = depth, n: int = n) -> list[Array]:
            down, across, groups, line = at
            x, dy = (
                reals(table, SAMPLES, down.length, across.length, depth),
                reals(table, SAMPLES, down.out, across.out, n),
            )
            w = reals(table, down.size, across.size, depth // groups, n)
            X, dY, W = place(x), place(dy), place(w)
            fields = sizes_of(n, down, across) | {"channels": depth, "groups": groups, "line": line}
            y, dx, dw, db = (place(np.full_like(a, np.nan)) for a in (dy, x, np.stack([w] * 2), empty(table, 2, n)))
            lines = down.out * -(-across.out // line)
            run_placed(table, "convolve", SAMPLES, X=X, W=W, b=place(reals(table, n)), Y=y, per_sample=lines, block=2,
                       function=ACTIVATIONS["relu"], **fields)  # fmt: skip
            run_placed(table, "convolve_weights", SAMPLES, X=X, dY=dY, dW=dw, db=db, part=2, block=2, **fields)
            run_placed(table, "convolve_transposed", SAMPLES, dY=dY, W=W, dX=dx, block=2, **fields)
            flipped = place(np.full_like(dy, np.nan))  # by the same windows: those of another gradient
            run_placed(table, "convolve_flipped", SAMPLES, dY=X, W=W, saved=dY, dX=flipped, per_sample=lines, block=2,
                       function=ACTIVATIONS["relu"], **fields)  # fmt: skip
            return [y, dw, db, dx, flipped]

        yield f"convolution {down} {across} {groups} {line} {depth} {n}", case
    yield from at_points(table)
    yield from lower_precisions(table)


#: That winograd.h takes: the same, lines of tiles and a part of one, the last lines of an image left out.
AT_POINTS = [
    (Way(5, 3, 1, 1, 1, 5), Way(6, 3, 1, 1, 1, 6), 6),
    (Way(1, 1, 1, 1, 0, 1), Way(19, 3, 1, 1, 2, 19), 8),
    (Way(8, 3, 2, 2, 1, 2), Way(9, 5, 1, 1, 0, 5), 5),
]


def at_points(table: Table) -> Cases:
    """What is multiplied at points: forward, and backward with all that it may write."""
    columns = sorted({1, 6, table.lanes - 1, table.lanes, 2 * table.lanes + 1})
    for (down, across, line), depth, n in product(AT_POINTS, (1, 6, table.lanes + 1), columns):

        def case(place: Place, at: Any = (down, across, line), depth: int = depth, n: int = n) -> list[Array]:
            down, across, line = at
            x, dy = (
                place(reals(table, SAMPLES, down.length, across.length, depth)),
                place(reals(table, SAMPLES, down.out, across.out, n)),
            )
            w = place(reals(table, down.size, across.size, depth, n))
            u, dw = place(empty(table, POINTS, down.size, depth, n)), place(np.full_like(w, np.nan))
            y, flipped = place(np.full_like(dy, np.nan)), place(np.full_like(dy, np.nan))
            du, db = place(empty(table, 2, *u.shape)), place(empty(table, 2, n))
            rows = {"rows": down.size * depth, "size_w": across.size, "channels": depth, "n": n}
            rows |= {"fixed": down.size * depth, "block": 2}
            fields = sizes_of(n, down, across) | {"channels": depth, "groups": 1, "line": line}
            lines = {"per_sample": down.out * -(-across.out // line), "block": 2, "function": ACTIVATIONS["relu"]}
            run_placed(table, "filters_at_points", SAMPLES, W=w, U=u, **rows)
            run_placed(table, "convolve", SAMPLES, X=x, W=w, U=u, b=place(reals(table, n)), Y=y, **lines, **fields)
            run_placed(table, "convolve_flipped", SAMPLES, dY=x, W=w, U=u, saved=dy, dX=flipped, **lines, **fields)
            run_placed(table, "convolve_weights", SAMPLES, X=x, dY=dy, dU=du, db=db, part=2, block=2, **fields)
            run_placed(table, "filters_from_points", SAMPLES, dU=u, dW=dw, **rows)
            return [u, y, flipped, du, db, dw]

        yield f"convolution at points {down} {across} {line} {depth} {n}", case


def lower_precisions(table: Table) -> Cases:
    """Windows that products of bfloat16 read as words of a band, or row by row, with all that follows these."""
    sweep = product([*CONVOLUTIONS, *WIDE], (6, 16, 20, 34), (16, 24, 34, 66), ("high", "medium"))
    for (down, across, groups, line), depth, n, precision in sweep:
        K = down.size * across.size * depth // groups
        if not table.packed_bytes(precision, False, K, n // groups, WINDOWS):
            continue  # float32 is used

        def case(
            place: Place, at: Any = (down, across, groups, line), depth: int = depth, n: int = n,
            precision: str = precision
        ) -> list[Array]:  # fmt: skip
            down, across, groups, line = at
            made = SAMPLES, down.out, across.out, n
            x = place(reals(table, SAMPLES, down.length, across.length, depth))
            w = place(reals(table, down.size, across.size, depth // groups, n))
            b, affine, saved = (place(reals(table, *sizes)) for sizes in ((n,), (3, n), made))
            y, z, dx, sums = (place(empty(table, *made)) for _ in range(4))
            dw = place(empty(table, 2, *w.shape))
            fields = sizes_of(n, down, across) | {"channels": depth, "groups": groups, "line": line, "W": w, "b": b}
            fields |= {"per_sample": down.out * -(-across.out // line), "block": 2, "precision": PRECISIONS[precision]}
            gelu, relu = ACTIVATIONS["gelu"], ACTIVATIONS["relu"]
            run_placed(table, "convolve", SAMPLES, X=x, Y=y, Z=z, affine=affine, function=gelu, **fields)
            run_placed(table, "convolve", SAMPLES, X=x, Y=sums, function=relu, **fields)
            run_placed(table, "convolve_flipped", SAMPLES, dY=x, dX=dx, saved=saved, function=relu, **fields)
            left = {key: fields[key] for key in fields if key not in ("W", "b", "per_sample")}
            run_placed(table, "convolve_weights", SAMPLES, X=x, dY=saved, dW=dw, part=2, **left)
            return [y, z, dx, sums, dw]

        yield f"convolution {precision} {down} {across} {groups} {line} {depth} {n}", case
