"""What the file format and its limits are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "|b1",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
}  # fmt: skip
NAMES = {code: name for name, code in DTYPES.items()}
ITEM_SIZES = {name: np.dtype(code).itemsize for name, code in DTYPES.items()}

# What a file may make us spend before it has proven itself, in bytes unless said otherwise. A document is charged for
# the objects it becomes, since [{},{},…] grows twentyfold. `write` refuses what `read` would.
HEADER_LIMIT = 100_000_000  # safetensors' own
ENTRY_LIMIT = 1024  # text of one tensor's dtype, shape and offsets
METADATA_LIMIT = 64  # entries, ours and other people's
DEPTH_LIMIT = 32  # nesting of the document
DIMENSION_LIMIT = 32
DICT_COST, LIST_COST, ITEM_COST = 200, 64, 64
REMEDY = "The file is truncated or damaged: restore it from a copy or save it again."


def tensor_limit(size: int) -> int:
    """How many tensors a file of `size` bytes may hold."""
    return 2048 + size // 512


def document_limit(size: int) -> int:
    """How many bytes of Python objects the document of a file of `size` bytes may become."""
    return (3 << 19) + 2 * size


def short(value: str) -> str:
    """A value of a file, short enough for an error message."""
    return repr(value if len(value) <= 60 else value[:57] + "…")
