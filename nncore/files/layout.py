"""What the file format and its limits are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "|b1",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "|u1",
}  # fmt: skip
NAMES = {code: name for name, code in DTYPES.items()}

DOCUMENT, CHECKSUM, LAYOUT = "nncore", "nncore checksum", "nncore layout"  # our entries of the metadata
VERSION = "2"  # of the layout; files of the first have no checksum, nor this entry

# What a file may make us spend before it has proven itself, in bytes unless said otherwise. A document is charged for
# the objects it becomes, since [{},{},…] grows twentyfold. What must be spent grows with the file's size: `write` adds
# spaces to the header until the size allows what is in it.
HEADER_LIMIT = 100_000_000  # safetensors' own
ENTRY_LIMIT = 1024  # text of one tensor's dtype, shape and offsets
METADATA_LIMIT = 64  # entries, ours and other people's
DEPTH_LIMIT = 32  # nesting of the document
DIMENSION_LIMIT = 32
DICT_COST, LIST_COST, ITEM_COST = 200, 64, 64
FREE_TENSORS, TENSOR_SIZE = 2048, 512
FREE_COST, COST_PER_BYTE = 3 << 19, 2
REMEDY = "The file is truncated or damaged: restore it from a copy or save it again."


def tensor_limit(size: int) -> int:
    """How many tensors a file of `size` bytes may hold."""
    return FREE_TENSORS + size // TENSOR_SIZE


def document_limit(size: int) -> int:
    """How many bytes of Python objects the document of a file of `size` bytes may become."""
    return FREE_COST + COST_PER_BYTE * size


def least_size(tensors: int, cost: int) -> int:
    """The least size of a file that may hold so many tensors and a document of this cost."""
    return max(0, (tensors - FREE_TENSORS) * TENSOR_SIZE, -(-(cost - FREE_COST) // COST_PER_BYTE))


def short(value: str) -> str:
    """A value of a file, short enough for an error message."""
    return repr(value if len(value) <= 60 else value[:57] + "…")
