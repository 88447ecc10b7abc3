"""Files: named arrays and one JSON document, written all or nothing, read without trusting whoever wrote them.

The format is safetensors, so its package reads our files::

    8 bytes   length of the header, little-endian
    header    {name: {"dtype": "F32", "shape": [784, 128], "data_offsets": [begin, end]}, …,
               "__metadata__": {"nncore": document as a string}}
    data      the tensors, C order, little-endian, without gaps

`write` and `read` are all there is. `encode` and `decode` translate a richer document (arrays, NaN, NumPy scalars)
into strict JSON and tensors, and back; `fault` says beforehand what they cannot.
"""

from __future__ import annotations

from nncore.files.documents import decode, encode, fault
from nncore.files.reading import read
from nncore.files.writing import write

__all__ = ["decode", "encode", "fault", "read", "write"]
