"""Files: named arrays and one JSON document, written all or nothing, read without trusting whoever wrote them.

The format is safetensors, so its package reads our files::

    8 bytes   length of the header, little-endian
    header    {"__metadata__": {"nncore layout": "2", "nncore checksum": "…", "nncore": document as a string},
               name: {"dtype": "F32", "shape": [784, 128], "data_offsets": [begin, end]}, …}, and spaces
    data      the tensors, C order, little-endian, without gaps

The checksum is the `Digest` of the whole file with zeros in its place. Files without it are read, too: of other
programs, and of layout 1, which had neither of the first two entries. Spaces make the file large enough for what a
reader is ready to spend on one of its size.

`write` and `read` do it all; `File` lets the document and the shapes be judged before tensors are read. `encode` and
`decode` translate a richer document (arrays, NaN, NumPy scalars) into strict JSON and tensors, and back. `fault` says
beforehand what they cannot. `FileLock` keeps other processes out.
"""

from __future__ import annotations

from nncore.files.documents import decode, encode, fault, tensor_names
from nncore.files.header import Entry
from nncore.files.locking import FileLock
from nncore.files.reading import File, read
from nncore.files.writing import write

__all__ = ["Entry", "File", "FileLock", "decode", "encode", "fault", "read", "tensor_names", "write"]
