"""What a call costs beside its work: single steps and short fits, batches of changing size, views, deep models.

All candidates are nncore's, on a net of 4-24-24-2 with Adam unless said otherwise; figures are per call, or per row
where batches differ in size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from measure import Case, Run

WIDTHS = (4, 24, 24, 2)
ROWS = 64  # of a call
CALLS = 400
WINDOW = 24
SERIES = 20_000  # steps of time
DEPTHS = (100, 400, 1600)
SERIES_ROWS, LENGTHS = 32, range(40, 140)  # more lengths than programs are held for


def cases(threads: int, names: list[str] | None = None) -> Iterator[Case]:
    """On one thread: more are not called for so little work."""
    if threads > 1:
        return
    calls = {name: partial(call_run, name) for name in ("train_on_batch", "its step alone", "fit", "evaluate")}
    yield Case(f"{ROWS} rows", CALLS, calls)
    sizes = np.random.default_rng(1).integers(1, ROWS, CALLS)
    half = ROWS // 2
    batches = {
        f"{half} each": [half] * CALLS,
        f"{half} and {half + 1} in turn": [half, half + 1] * (CALLS // 2),
        f"1 to {ROWS - 1} at random": sizes.tolist(),
        f"{half} each, weighted in turn": [half] * CALLS,
    }
    for name, rows in batches.items():
        yield Case(f"train_on_batch, per row: {name}", sum(rows), {"": partial(steps_run, rows, "weighted" in name)})
    lengths = {"of one": [LENGTHS.start] * len(LENGTHS), "each of another": list(LENGTHS)}
    series = {name: partial(series_run, steps) for name, steps in lengths.items()}
    yield Case(f"train_on_batch: {SERIES_ROWS} series of open length", len(LENGTHS), series)
    for features in (1, 4):
        views = {name: partial(windows_run, features, name == "copied") for name in ("as views", "copied")}
        yield Case(f"windows of {WINDOW} of {features} feature(s), per row", SERIES - WINDOW + 1, views)
    for depth in DEPTHS:
        yield Case(
            f"compile and first step of {depth} layers", 1, {"": partial(depth_run, depth)}, 0, "ms", own_clock=True
        )


def network(widths: tuple[int, ...] = WIDTHS) -> Any:
    import nncore as nn

    layers = [nn.Dense(n, activation="relu") for n in widths[1:-1]]
    model = nn.Model([nn.Input(widths[0]), *layers, nn.Dense(widths[-1])], seed=0, n_threads=1)
    model.compile("adam", "mse")
    return model


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((ROWS, n)).astype(np.float32) for n in (WIDTHS[0], WIDTHS[-1]))
    return x, y


def call_run(name: str) -> Run:
    """Calls with ROWS rows; of the step alone, one fit of as many."""
    model, (x, y) = network(), data()
    if name == "its step alone":
        return lambda: model.fit(x, y, batch_size=ROWS, steps_per_epoch=CALLS, verbose=0)
    calls: dict[str, Callable[[], Any]] = {
        "train_on_batch": lambda: model.train_on_batch(x, y),
        "fit": lambda: model.fit(x, y, batch_size=ROWS, verbose=0),
        "evaluate": lambda: model.evaluate(x, y, verbose=0),
    }
    call = calls[name]

    def run() -> None:
        for _ in range(CALLS):
            call()

    return run


def steps_run(rows: list[int], weighted: bool) -> Run:
    """Single steps on batches of these sizes, every second with weights if `weighted`."""
    model, (x, y) = network(), data()
    w = np.ones(ROWS, np.float32)
    batches = [(x[:n], y[:n], w[:n] if weighted and i % 2 else None) for i, n in enumerate(rows)]

    def run() -> None:
        for batch in batches:
            model.train_on_batch(*batch)

    return run


def series_run(lengths: list[int]) -> Run:
    """Single steps of README's classifier of series, of these lengths."""
    import nncore as nn

    rng, numbers = np.random.default_rng(0), nn.Input((None,), dtype="int64")
    h = nn.Conv1D(32, 2, activation="relu")(nn.Embedding(10, 8)(numbers))
    model = nn.Model(numbers, nn.Dense(1, "sigmoid")(nn.GlobalMaxPooling1D()(h)), seed=0, n_threads=1)
    model.compile("adam", "binary_crossentropy")
    batches = [(rng.integers(0, 10, (SERIES_ROWS, n)), rng.integers(0, 2, SERIES_ROWS)) for n in lengths]

    def run() -> None:
        for batch in batches:
            model.train_on_batch(*batch)

    return run


def windows_run(features: int, copied: bool) -> Run:
    """An epoch over all windows of a series, in batches of 32."""
    import nncore as nn

    series = np.random.default_rng(0).standard_normal((SERIES, features)).astype(np.float32)
    x = np.lib.stride_tricks.sliding_window_view(series, WINDOW, axis=0)
    x = np.ascontiguousarray(x) if copied else x
    layers = [nn.Input(x.shape[1:]), nn.Flatten(), nn.Dense(32, activation="relu"), nn.Dense(1)]
    model = nn.Model(layers, seed=0, n_threads=1)
    model.compile("adam", "mse")
    return lambda: model.fit(x, series[WINDOW - 1 :, :1], verbose=0)


def depth_run(depth: int) -> Run:
    """Seconds from a list of layers to the end of the first step."""

    def run() -> float:
        x = np.ones((32, 8), np.float32)
        begin = perf_counter()
        network((8,) * (depth + 1)).train_on_batch(x, x)
        return perf_counter() - begin

    return run
