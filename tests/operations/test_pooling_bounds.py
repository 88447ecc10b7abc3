"""Operations on images touch no memory outside of their arrays: each ends, or begins, at a page that faults."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from cases_pooling import PARTS, sizes
from kernels import TABLES, Array, edges, label
from test_kernels_bounds import Case, Fence, Place, empty, reals, run

from nncore._kernels import engine
from nncore._kernels.table import BUFFERS, Table
from nncore.compiler.encoding import ACCUMULATOR, encode, encode_sections
from nncore.compiler.operation import Op, Tensor
from nncore.compiler.program import Section

SAMPLES = 2
ROOM = "parameters", "gradients", "constants", "average"  # buffers that are not a run's own


def perform(table: Table, name: str, operands: dict[str, Array], **settings: Any) -> None:
    """An operation on arrays where they are, each a buffer of its own."""
    used = dict(zip(operands, ROOM, strict=False))
    tensors = {key: Tensor(x.shape[1:], buffer=used[key]) for key, x in operands.items()}
    parts, moving = encode_sections([Section("NATIVE", 0, 1)], 1)
    executor = engine.Executor(
        table,
        encode([Op(name, **tensors, **settings)], np.dtype(table.dtype).itemsize),
        sections=parts,
        moving=moving,
        workspace=0,
        max_samples=SAMPLES,
        threads=1,
        bindings=1,
        accumulators=np.zeros(0, ACCUMULATOR),
    )
    for key, x in operands.items():
        executor.bind(BUFFERS[used[key]], x)
    executor.begin(SAMPLES, SAMPLES)
    assert executor.run() == engine.END


#: Windows of images: attributes of both axes, and whether windows share places.
GEOMETRIES: list[tuple[tuple[int, ...], tuple[int, ...], dict[str, int]]] = [
    ((4, 2, 2, 2, 0), (4, 2, 2, 2, 0), {"bands": 2}),
    ((1, 1, 1, 1, 0), (5, 2, 2, 2, 0), {"bands": 1, "clear": 1}),
    ((3, 2, 3, 2, 1), (5, 3, 3, 2, 1), {"bands": 1, "clear": 1, "add": 1}),
    ((3, 1, 3, 3, 0), (23, 1, 23, 23, 0), {"bands": 1}),
    ((3, 1, 2, 2, 0), (23, 1, 22, 22, 0), {"bands": 1, "clear": 1}),
    ((1, 1, 1, 1, 0), (PARTS["width"], PARTS["out_w"], 0, 0, 0), {"bands": 1, "clear": 1, "add": 1}),
]


def pooling(table: Table, n: int, geometry: Any) -> Case:
    *axes, how = geometry
    given = sizes(n, *axes)

    def case(place: Place) -> list[Array]:
        shape, made = ((SAMPLES, given[h], given[w], n) for h, w in (("height", "width"), ("out_h", "out_w")))
        x, dy = place(reals(table, *shape)), place(reals(table, *made))
        y, total, dx, dtotal = (place(empty(table, *s)) for s in (made, made, shape, shape))
        rows = {"per_sample": made[1], "block": 1}
        perform(table, "max_pool", {"X": x, "Y": y}, **given, **rows)
        perform(table, "sum_pool", {"X": x, "Y": total}, mean=1, **given, **rows)
        bands = how | {"per_sample": how["bands"], "block": 1}
        perform(table, "max_pool_backward", {"X": x, "Y": y, "dY": dy, "dX": dx}, **given, **bands)
        perform(table, "sum_pool_backward", {"dY": dy, "dX": dtotal}, mean=1, **given, **bands)
        return [y, total, dx, dtotal]

    return case


def others(table: Table, n: int) -> Case:
    """Zeros around, and images made larger."""
    sides = {"n": n, "height": 2, "width": 3, "y_factor": 3, "x_factor": 2}

    def case(place: Place) -> list[Array]:
        x, dy = place(reals(table, SAMPLES, 2, 3, n)), place(reals(table, SAMPLES, 6, 6, n))
        y, dx = place(empty(table, SAMPLES, 6, 6, n)), place(empty(table, SAMPLES, 2, 3, n))
        padded = place(empty(table, SAMPLES, 4, 3 * n + 2))
        perform(table, "interpolate", {"X": x, "Y": y}, **sides, per_sample=6, block=2)
        perform(table, "interpolate_backward", {"dY": dy, "dX": dx}, **sides, per_sample=2, block=2)
        around = {"n": 3 * n + 2, "out_height": 4, "height": 2, "width": 3 * n, "top": 1, "left": 2}
        perform(table, "pad", {"X": x, "Y": padded}, **around, per_sample=4, block=3)
        return [y, dx, padded]

    return case


def sweep(notes: str) -> None:
    fences = [Fence() for _ in range(8)]
    tried = 0
    with open(notes, "wb", buffering=0) as file:
        for table in TABLES:
            lengths = sorted({1, 2, 3, 5, *edges(table.lanes, 2 * table.lanes, 4 * table.lanes)})
            cases = [(str(g[:2]), pooling(table, n, g)) for n, g in itertools.product(lengths, GEOMETRIES)]
            cases += [(f"others {n}", others(table, n)) for n in lengths]
            for name, case in cases:
                os.pwrite(file.fileno(), f"{label(table)} {name}".ljust(100).encode(), 0)
                run(case, fences)
                tried += 1
    print(tried)


def test_bounds(tmp_path: Path) -> None:
    notes, here = tmp_path / "case", Path(__file__)
    paths = [str(here.parent), str(here.parents[1]), os.environ.get("PYTHONPATH")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-X", "faulthandler", str(here), str(notes)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)
    assert done.returncode == 0, f"{notes.read_text()} ended with {done.returncode}: {done.stderr[-2000:]}"
    assert int(done.stdout) > 200


if __name__ == "__main__":
    sweep(sys.argv[1])
