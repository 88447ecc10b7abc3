"""The fingerprint of a data set: a fit goes on from a backup only with the data that it began with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from nncore.data import Dataset
from nncore.digest import PIECE, Digest
from nncore.state import Array

WHOLE = 1 << 30  # bytes of x: up to here every one is read
SAMPLE = 1 << 28  # bytes of what is read of a larger one, about
RUN = 1 << 16  # bytes of a run of rows in it
KEY = 0x6E6E636F7265  # of the sample: it must not fall in step with the data


def fingerprint(*datasets: Dataset | None) -> str:
    """The digest of shapes, dtypes and values of inputs, targets and sample weights, to train on and to validate.

    Values count, layouts do not: an array may be strided, mapped from a file or of another byte order. All are read
    whole, except an x of more than 1 GiB: of 256 MiB of it, its first and last rows and runs of 64 KiB, one from each
    of 4,096 equal parts, at a place that looks random but is the same every time. (Fewer where a row is longer.)
    """
    digest = Digest()
    for data in filter(None, datasets):
        for number, binding in enumerate(data.bindings):
            if binding is None:
                digest.update(b"none")
                continue
            for array in binding.arrays:
                digest.update(repr((array.shape, array.dtype.newbyteorder("=").str)).encode())
                sampled = number < len(data.inputs) and array.nbytes > WHOLE
                for rows in sample(len(array), array.nbytes // len(array)) if sampled else [slice(None)]:
                    for piece in pieces(array[rows]):
                        digest.update(piece)
    return digest.hexdigest()


def sample(rows: int, row_bytes: int) -> Iterator[slice]:
    """Runs of rows: the first, the last, and one from each of many equal parts."""
    run = min(rows, -(-RUN // row_bytes))
    parts = max(1, min(rows // run, SAMPLE // (run * row_bytes)))
    places = np.random.Philox(key=np.array([KEY, rows], np.uint64)).random_raw(parts)
    yield slice(0, run)
    for part, place in enumerate(places.tolist()):
        begin, end = part * rows // parts, (part + 1) * rows // parts
        start = begin + place % (end - begin - run + 1)
        yield slice(start, start + run)
    yield slice(rows - run, rows)


def pieces(array: Array) -> Iterator[memoryview]:
    """The bytes of the values, in C order and native byte order; only what lies otherwise is copied, bit by bit."""
    dtype = array.dtype.newbyteorder("=")
    if dtype == np.longdouble:
        dtype = np.dtype(np.float64)  # a long double has bytes that mean nothing, and no model computes with more
    if not array.size:
        return
    if array.dtype == dtype and array.flags.c_contiguous:
        yield array.reshape(-1).view(np.uint8).data
        return
    flags: Any = ["external_loop", "buffered"]
    buffersize = PIECE // dtype.itemsize
    for piece in np.nditer(array, flags, op_dtypes=[dtype], order="C", casting="same_kind", buffersize=buffersize):
        yield np.ascontiguousarray(piece).view(np.uint8).data
