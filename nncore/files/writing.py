"""Writing arrays and a document to one file."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nncore.arguments import check_path
from nncore.digest import DIGITS, PIECE, Digest
from nncore.errors import FormatError
from nncore.files.atomic import replace, write_all
from nncore.files.documents import document_cost, require_json
from nncore.files.layout import (
    CHECKSUM,
    DIMENSION_LIMIT,
    DOCUMENT,
    HEADER_LIMIT,
    LAYOUT,
    NAMES,
    VERSION,
    Array,
    least_size,
)


def write(path: Any, tensors: Mapping[str, npt.ArrayLike], document: dict[str, Any]) -> None:
    """Write arrays and a document to one safetensors file: afterwards it is the old file or the new one, never a mix.

    The bytes go to a temporary file in the same directory, which is flushed to the disk and then takes the old file's
    place and mode. On an error the temporary is removed; what a killed process left behind, the next save removes.

    Parameters
    ----------
    path : str, bytes or PathLike
        The file. A symbolic link keeps pointing to it.
    tensors : mapping of str to array
        Any layout and byte order; float16/32/64, signed and unsigned integers, bool. They are not copied, unless they
        are not C-contiguous: then one at a time.
    document : dict
        Strict JSON: string keys, no NaN or infinity. `encode` makes it from richer values.

    Raises
    ------
    TypeError
        A dtype, a name or a value of the document cannot be stored.
    ValueError
        A float of the document is not finite, it nests deeper than 32, or the header would be above 100 MB.
    OSError
        The file is read-only, or the disk failed; the old file is as it was (only if flushing the directory failed it
        may already be the new one, whole).
    """
    path = check_path(path, "path")
    arrays = {name: _storable(name, value) for name, value in tensors.items()}
    # Large items first keeps every tensor aligned to its item size.
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    header = _header(arrays, order, document)
    at = header.index(f'"{CHECKSUM}":"'.encode()) + len(CHECKSUM) + 4

    def fill(file: io.FileIO) -> None:
        digest = Digest()
        for part in (len(header).to_bytes(8, "little"), header):
            write_all(file, part)
            digest.update(part)
        for part in _pieces([arrays[name] for name in order]):
            write_all(file, part)
            digest.update(part)
        _patch(file, 8 + at, digest.hexdigest().encode())

    replace(os.path.realpath(path), fill)


def _header(arrays: Mapping[str, Array], order: list[str], document: dict[str, Any]) -> bytes:
    """The header of tensors that follow in `order`, with a checksum of zeros."""
    require_json(document, "document")
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    try:
        cost = document_cost(text)
    except FormatError as error:
        raise ValueError(f"{error} Flatten it, or move nested lists into arrays.") from None
    begin, offsets = 0, {}
    for name in order:
        offsets[name] = [begin, begin := begin + arrays[name].nbytes]
    # The checksum is found by its first occurrence, so it comes before all that others choose.
    entries: dict[str, Any] = {"__metadata__": {LAYOUT: VERSION, CHECKSUM: "0" * DIGITS, DOCUMENT: text}}
    for name, a in arrays.items():
        entries[name] = {
            "dtype": NAMES[a.dtype.newbyteorder("<").str],
            "shape": list(a.shape),
            "data_offsets": offsets[name],
        }
    header = json.dumps(entries, separators=(",", ":")).encode()
    length = max(len(header), least_size(len(arrays), cost) - begin - 8)
    length += -length % 8
    if length > HEADER_LIMIT:
        raise ValueError(
            f"document: expected a header of at most {HEADER_LIMIT} bytes, which is safetensors' limit, got {length} "
            f"for {len(arrays)} tensors and a document of {len(text)} bytes; join tensors, move lists into arrays"
        )
    return header.ljust(length)


def _storable(name: object, value: npt.ArrayLike) -> Array:
    a = np.asarray(value)
    if not isinstance(name, str) or name == "__metadata__":
        raise TypeError(f"tensors: expected a name (str, not '__metadata__'), got {name!r}")
    if a.dtype.newbyteorder("<").str not in NAMES:
        known = ", ".join(np.dtype(code).name for code in NAMES)
        raise TypeError(f"tensors[{name!r}]: expected one of the dtypes {known}, got {a.dtype}; convert it with astype")
    if a.ndim > DIMENSION_LIMIT:
        raise ValueError(f"tensors[{name!r}]: expected at most {DIMENSION_LIMIT} dimensions, got {a.ndim}")
    return a


def _pieces(arrays: Iterable[Array]) -> Iterator[bytes]:
    """The data, copied: what is written and what is digested are the same, even if another thread writes meanwhile."""
    for a in arrays:
        flat = np.asarray(a, dtype=a.dtype.newbyteorder("<"), order="C").reshape(-1).view(np.uint8)
        for start in range(0, flat.size, PIECE):
            yield flat[start : start + PIECE].tobytes()


def _patch(file: io.FileIO, at: int, data: bytes) -> None:
    while data:
        n = os.pwrite(file.fileno(), data, at)
        data, at = data[n:], at + n
