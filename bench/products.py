"""Products C (M,N) = A (M,K) B (K,N), operands as given: row-major float32 (bf16 where named)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from machine import candidates
from measure import Case, Run, repeated
from nets import PRODUCTS

WORK = 2e8  # FLOPs of one run, so that it lasts milliseconds
MOST_CALLS = 20_000


def cases(threads: int, names: list[str] | None = None) -> Iterator[Case]:
    """A case per size."""
    for m, k, n in PRODUCTS:
        flops = 2.0 * m * k * n
        calls = int(max(1, min(MOST_CALLS, WORK / flops)))
        rng = np.random.default_rng(0)
        a = rng.standard_normal((m, k), dtype=np.float32)
        b = rng.standard_normal((k, n), dtype=np.float32)
        one = {
            "NumPy": partial(numpy_product, a, b),
            "PyTorch": partial(torch_product, a, b, threads),
            "PyTorch bf16": partial(torch_product, a, b, threads, bf16=True),
        }
        one |= {name: partial(nncore_product, a, b, threads, level) for name, level in candidates().items()}
        runs = {name: lambda prepare=prepare, calls=calls: repeated(prepare(), calls) for name, prepare in one.items()}
        yield Case(f"{m}, {k}, {n}", calls, runs, flops, "GFLOP/s")


def numpy_product(a: np.ndarray, b: np.ndarray) -> Run:
    out = np.empty((len(a), b.shape[1]), np.float32)
    return lambda: np.dot(a, b, out=out)


def torch_product(a: np.ndarray, b: np.ndarray, threads: int, bf16: bool = False) -> Run:
    import torch

    torch.set_num_threads(threads)
    dtype = torch.bfloat16 if bf16 else torch.float32
    x, w = torch.from_numpy(a).to(dtype), torch.from_numpy(b).to(dtype)
    out = torch.empty((len(a), b.shape[1]), dtype=dtype)
    return lambda: torch.mm(x, w, out=out)


def nncore_product(a: np.ndarray, b: np.ndarray, threads: int, level: str) -> Run:
    import nncore as nn

    out = np.empty((len(a), b.shape[1]), np.float32)
    nn.set_num_threads(threads)
    return lambda: nn.matmul(a, b, out=out, precision=level)
