"""One layer at each precision, called from Python: its weights are packed beforehand, as in a model's every use."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from machine import candidates
from measure import Case, repeated

ROWS = (1, 16, 32, 128, 256)
WEIGHTS = [  # K, N
    (32, 32),
    (64, 32),
    (64, 64),
    (784, 32),
    (32, 1024),
    (1024, 32),
    (128, 128),
    (256, 256),
    (512, 512),
    (1024, 128),
    (1024, 1024),
]
RAGGED = [  # M, K, N: rows or widths that leave a rest beside vectors and tiles
    (17, 64, 64),
    (17, 256, 256),
    *((m, k, n) for k, n in ((129, 65), (130, 100)) for m in (1, 17, 128)),
]
SHAPES = [*((m, k, n) for k, n in WEIGHTS for m in ROWS), *RAGGED]
WORK = 2e9  # FLOPs of one run: several calls, as the first finds the caches full of what others read
MOST_CALLS = 1000


def cases(threads: int, names: list[str] | None = None) -> Iterator[Case]:
    """A case per shape, on one thread: there one core's rate can be seen."""
    if threads > 1:
        return
    for m, k, n in SHAPES:
        flops = 2.0 * m * k * n
        calls = int(max(1, min(MOST_CALLS, WORK / flops)))
        x = np.random.default_rng(0).standard_normal((m, k), dtype=np.float32)
        models = {name: layer(k, n, level) for name, level in candidates().items()}
        runs = {name: partial(repeated, partial(model, x), calls) for name, model in models.items()}
        yield Case(case_name(m, k, n), calls, runs, flops, "GFLOP/s", settle=0, least=0.3)


def case_name(m: int, k: int, n: int) -> str:
    return f"{m} × {k}-{n}"


def layer(inputs: int, outputs: int, level: str) -> Any:
    import nncore as nn

    model = nn.Model([nn.Input(inputs), nn.Dense(outputs)], seed=0, n_threads=1)
    model.compile(matmul_precision=level)
    return model
