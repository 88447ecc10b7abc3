"""No kernel touches memory outside of its arrays: each array ends, or begins, at a page that faults.

A fault kills the process, so the sweeps run in processes of their own, which name each case before they try it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference as ref
from bounds_windows import convolutions, depthwise, images, pooling
from fences import PATTERN, Cases, Fence, Place, empty, reals, run
from kernels import TABLES, Array, edges, label

from nncore._kernels import dense, elementwise, loss, update
from nncore._kernels.table import (
    ACTIVATIONS,
    FUNCTIONS,
    LOSS_TARGETS,
    LOSSES,
    METRIC_TARGETS,
    METRICS,
    MOMENTS,
    NUMBERS,
    OPTIMIZERS,
    ROWWISE,
    ROWWISE_SAVED,
    RULE_NUMBERS,
    SOURCES,
    STATES,
    TALLIES,
    Table,
)
from nncore.optimizers.numbers import packed

LENGTHS = range(258)


# --- the cases: label and case ------------------------------------------------------------------------------


def lengths(table: Table) -> list[int]:
    """Every remainder after none, one or two rounds of the longest loop, of 4 vectors; and around dropout's blocks."""
    return sorted({*range(8 * table.lanes + 2), *edges(64, 128, 256)})


def products(table: Table) -> Cases:
    mr, nr = table.tile
    depths = [0, 1, table.lanes - 1, table.lanes + 1]
    cols = edges(1, table.lanes // 2, table.lanes, nr, nr + table.lanes, 2 * nr, 4 * nr)
    shapes = [*product([*edges(1, mr), 2 * mr + 1], cols, depths), (3, 5, 600), (40, 70, 270)]
    shapes += [(1, N * table.lanes - 1, 3) for N in range(3, 10)]
    shapes += [(M, N, 17 * N) for M, N in product([table.lanes, 2 * table.lanes + 1, 131], {1, 2, table.lanes // 2})]
    for (M, N, K), at, bt in product(shapes, [False, True], [False, True]):

        def case(place: Place, M: int = M, N: int = N, K: int = K, at: bool = at, bt: bool = bt) -> list[Array]:
            a, b, c = place(reals(table, M * K)), place(reals(table, K * N)), place(empty(table, M * N))
            bias, z, saved = place(reals(table, N)), place(empty(table, M * N)), place(reals(table, M * N))
            options: dict[str, Any] = {"a_transposed": at, "b_transposed": bt, "activation": "relu"}
            dense.gemm(table, a, b, c, M, N, K, **options, bias=bias, z=z)
            forward = c.copy()
            dense.gemm(table, a, b, c, M, N, K, **options, saved=saved)
            return [c, forward, z]

        yield f"gemm {M}×{N}×{K} {at} {bt}", case


def precisions(table: Table) -> Cases:
    """Products of a lower precision, and with packed weights W (K,N), or (N,K) for dY Wᵀ."""
    shapes = [*product([1, 15, 33], [1, 17, 31, 33], [1, 31, 33]), (17, 65, 67), (3, 18, 1030), (129, 35, 70)]
    for (M, N, K), at, bt, precision in product(shapes, [False, True], [False, True], ["high", "medium"]):

        def case(
            place: Place, M: int = M, N: int = N, K: int = K, at: bool = at, bt: bool = bt, precision: str = precision
        ) -> list[Array]:
            a, b, c, bias = (
                place(x) for x in (reals(table, M * K), reals(table, K * N), empty(table, M * N), reals(table, N))
            )
            options: dict[str, Any] = {"a_transposed": at, "b_transposed": bt, "precision": precision, "bias": bias}
            dense.gemm(table, a, b, c, M, N, K, **options)
            inputs, outputs = (N, K) if bt else (K, N)
            size = table.packed_bytes(precision, bt, inputs, outputs)
            if not size:
                return [c]
            packed, again = place(np.full(size, PATTERN, "u1")), place(empty(table, M * N))
            dense.pack(table, precision, bt, inputs, outputs, b, packed, 0)
            dense.gemm(table, a, b, again, M, N, K, **options, packed=packed)
            return [c, again]

        yield f"gemm {M}×{N}×{K} {at} {bt} {precision}", case


def activations(table: Table) -> Cases:
    for name, n in product(ACTIVATIONS, LENGTHS):

        def case(place: Place, name: str = name, n: int = n) -> list[Array]:
            z, dy = place(reals(table, n)), place(reals(table, n))
            y, dz = place(empty(table, n)), place(empty(table, n))
            elementwise.apply_activation(table, name, z, y, ref.settings_of(name)[0])
            elementwise.apply_activation_backward(table, name, z, dy, dz, ref.settings_of(name)[0])
            return [y, dz]

        yield f"{name} {n}", case


def functions(table: Table) -> Cases:
    for name, n in product(FUNCTIONS, LENGTHS):

        def case(place: Place, name: str = name, n: int = n) -> list[Array]:
            x, y = place(np.abs(reals(table, n))), place(empty(table, n))
            elementwise.apply_function(table, name, x, y)
            return [y]

        yield f"{name} {n}", case


def arithmetic(table: Table) -> Cases:
    for n in LENGTHS:

        def case(place: Place, n: int = n) -> list[Array]:
            a, b = place(reals(table, n)), place(reals(table, n))
            outputs = [place(empty(table, n)) for _ in range(4)]
            elementwise.apply_add(table, a, b, outputs[0])
            elementwise.apply_multiply(table, a, b, outputs[1])
            elementwise.apply_rescale(table, a, outputs[2], 2.0, 1.0)
            elementwise.apply_dropout(table, a, outputs[3], 0.5, 13, 1, 2)
            return outputs

        yield f"add, multiply, rescale, dropout {n}", case


def rowwise(table: Table) -> Cases:
    for name, rows, m in product(ROWWISE, [1, 3], LENGTHS):
        n = 2 * m if name == "glu" else m

        def case(place: Place, name: str = name, rows: int = rows, m: int = m, n: int = n) -> list[Array]:
            z, dy = place(reals(table, rows, n)), place(reals(table, rows, m))
            y, dz = place(empty(table, rows, m)), place(empty(table, rows, n))
            elementwise.apply_rowwise(table, name, z, y, rows)
            saved = z if ROWWISE_SAVED[name] == "Z" else y
            elementwise.apply_rowwise_backward(table, name, saved, dy, dz, rows)
            return [y, dz]

        yield f"{name} {rows}×{n}", case


def tallies(table: Table) -> Cases:
    for name, rows, n in product(TALLIES, [1, 3, 17], LENGTHS[1:8]):
        parameters = {"confusion": (float(n), 1.0, 1.0, -1.0)}.get(name, (-1.0, 0.0, 1.0, 1.0))
        width, events = {"confusion": (n * n, 1), "reliability": (12, 3)}.get(name, (8 * n, n))

        def case(
            place: Place, name: str = name, rows: int = rows, n: int = n, events: int = events, width: int = width,
            parameters: tuple[float, ...] = parameters
        ) -> list[Array]:  # fmt: skip
            p, t, sums = place(reals(table, rows, n)), place(reals(table, rows, n)), place(np.zeros(width))
            numbers, weight = place(np.arange(3 + n).astype(table.dtype)), place(reals(table, rows, n))
            options: dict[str, Any] = {"numbers": numbers, "count": 1 if name == "largest" else 3}
            options |= {"weight": weight if events == n else None, "parameters": parameters}
            loss.apply_tally(table, name, p, t, rows, n, events, sums, **options)
            return [sums]

        yield f"{name} {rows}×{n}", case
    for rows, n in product([1, 3, 17], LENGTHS[1:8]):

        def powers(place: Place, rows: int = rows, n: int = n) -> list[Array]:
            p, t, sums = place(reals(table, rows, n)), place(reals(table, rows, n)), place(np.zeros(MOMENTS * n))
            loss.add_moments(table, p, t, rows, n, sums, weight=place(reals(table, rows, n)))
            return [sums]

        yield f"moments {rows}×{n}", powers


def losses(table: Table) -> Cases:
    targets = {("loss", k): v for k, v in LOSS_TARGETS.items()} | {("metric", k): v for k, v in METRIC_TARGETS.items()}
    both = [*(("loss", name) for name in LOSSES), *(("metric", name) for name in METRICS)]
    for (kind, name), rows, n in product(both, [1, 3, 17], LENGTHS[1:]):
        if rows > 1 and n > 40:
            continue

        def case(place: Place, kind: str = kind, name: str = name, rows: int = rows, n: int = n) -> list[Array]:
            p, weight = place(np.abs(reals(table, rows, n)) / 9), place(np.ones(rows, table.dtype))
            taken = targets[kind, name]
            more: dict[str, Any] = {}
            if taken == "LABELS":
                target = place(np.full(rows, n - 1, "int32"))
            else:
                target = place(p[:, : {"VALUES": n, "ONE": 1, "HALF": n // 2}[taken]].copy())
            if taken == "ONE":
                more["columns"] = place(np.ones(n, table.dtype))
            outputs: dict[str, Any] = {}
            if kind == "loss":
                outputs["grad"] = place(empty(table, rows, n))
            if name.endswith("_logits"):
                outputs["prob"] = place(empty(table, rows, n))
            loss.apply_rows(table, kind, name, p, target, rows, n, **more)
            more |= outputs | {"parameters": (0.5,), "weight": weight}
            value = loss.apply_rows(table, kind, name, p, target, rows, n, **more)
            return [np.array(value), *outputs.values()]

        yield f"{kind} {name} {rows}×{n}", case


def updates(table: Table) -> Cases:
    common = {"learning_rate": 0.1, "weight_decay": 0.1, "grad_scale": 0.5, "clip_value": 1.0, "step": 1.0}
    plain = common | {name: 0.0 for numbers in NUMBERS.values() for name in numbers}
    plain |= {"beta_1": 0.9, "beta_2": 0.99, "rho": 0.9, "epsilon": 1e-3}
    full = plain | {"momentum": 0.9, "nesterov": 1.0, "centered": 1.0}
    needed = {("sgd", 0): [], ("sgd", 1): [0], ("adam", 0): [0, 1], ("adam", 1): [0, 1], ("rmsprop", 0): [0]}
    for name, which, n in product(OPTIMIZERS, [0, 1], LENGTHS):

        def case(place: Place, name: str = name, which: int = which, n: int = n) -> list[Array]:
            values, used = (plain, full)[which], needed.get((name, which), range(len(STATES[name])))
            rule, own = place(packed(RULE_NUMBERS, values)), place(packed(NUMBERS[name], values))
            w, g = place(reals(table, n)), place(reals(table, n))
            states = [place(np.zeros(n, table.dtype)) if k in used else None for k in range(len(STATES[name]))]
            update.apply_update(table, name, w, g, states, rule, own)
            return [w, *(s for s in states if s is not None)]

        yield f"{name} {which} {n}", case


def sums(table: Table) -> Cases:
    for n in LENGTHS:

        def case(place: Place, n: int = n) -> list[Array]:
            w, g = place(reals(table, n)), place(reals(table, n))
            square = update.apply_sum_squares(table, w)
            return [np.array([*square, update.apply_regularize(table, 0.1, 0.2, w, g)]), g]

        yield f"sums {n}", case
    for rows, n in product([0, 1, 5, 65], LENGTHS):

        def columns(place: Place, rows: int = rows, n: int = n) -> list[Array]:
            x, y = place(reals(table, rows, n)), place(empty(table, n))
            return [np.array(update.apply_column_sums(table, x, y, rows, n)), y]

        yield f"column_sums {rows}×{n}", columns


def gathers(table: Table) -> Cases:
    for source, n in product(SOURCES, lengths(table)):
        used = n * np.dtype(source).itemsize
        for stride, order in [(used, None), (used + n % 64, np.array([2, 0, 1, 2]))]:

            def case(
                place: Place, source: str = source, n: int = n, stride: int = stride, order: Array | None = order,
                used: int = used,
            ) -> list[Array]:  # fmt: skip
                memory = np.zeros(2 * stride + used, "u1")
                for i in range(3):
                    memory[i * stride : i * stride + used] = np.full(n, 7 + i, source).view("u1")
                data, rows = place(memory), 3 if order is None else len(order)
                numbers = None if order is None else place(order)
                y, labels = place(empty(table, rows, n)), place(np.zeros((rows, n), "int32"))
                bad = loss.apply_gather(table, source, data, stride, rows, n, y, order=numbers)
                bad += loss.apply_gather(table, source, data, stride, rows, n, labels, order=numbers, high=10)
                assert bad == -2
                return [y, labels]

            yield f"gather {source} {n} {stride} {order is not None}", case


GROUPS: dict[str, Callable[[Table], Cases]] = {
    f.__name__: f
    for f in (
        products, precisions, activations, functions, arithmetic, rowwise, losses, tallies, updates, sums, gathers,
        pooling, images, depthwise, convolutions,
    )
}  # fmt: skip


# --- the processes --------------------------------------------------------------------------------------------


def sweep(group: str, notes: str) -> None:
    fences = [Fence() for _ in range(10)]
    tried = 0
    with open(notes, "wb", buffering=0) as file:
        for table in TABLES:
            for name, case in GROUPS[group](table):
                os.pwrite(file.fileno(), f"{label(table)} {name}".ljust(100).encode(), 0)
                run(case, fences)
                tried += 1
    print(tried)


def trespass() -> None:
    """Read one element beyond an array, as a kernel that gets its length wrong would."""
    table = TABLES[0]
    b = Fence().place(reals(table, 7), at_end=True)
    elementwise.apply_add(table, reals(table, 8), b, empty(table, 8))


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-X", "faulthandler", __file__, *arguments]
    here = Path(__file__)
    paths = [*map(str, here.parents[:2]), os.environ.get("PYTHONPATH")]  # the first two for `import kernels` and so on
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}  # an empty one would be the cwd
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


@pytest.mark.parametrize("group", GROUPS)
def test_bounds(group: str, tmp_path: Path) -> None:
    notes = tmp_path / "case"
    done = in_a_process("sweep", group, str(notes))
    assert done.returncode == 0, f"{notes.read_text()} ended with {done.returncode}: {done.stderr[-2000:]}"
    assert int(done.stdout) > 200


def test_a_fence_faults() -> None:
    assert in_a_process("trespass").returncode == -signal.SIGSEGV


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
