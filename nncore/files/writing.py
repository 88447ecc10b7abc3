"""Writing arrays and a document to one file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from nncore.errors import FormatError
from nncore.files.atomic import replace
from nncore.files.documents import check_cost, require_json
from nncore.files.layout import DIMENSION_LIMIT, HEADER_LIMIT, NAMES, Array, document_limit, tensor_limit


def write(path: str | os.PathLike[str], tensors: Mapping[str, npt.ArrayLike], document: dict[str, Any]) -> None:
    """Write arrays and a document to one safetensors file: afterwards it is the old file or the new one, never a mix.

    The bytes go to a temporary file in the same directory, which is flushed to the disk and then takes the old file's
    place and mode. On an error the temporary is removed; what a killed process left behind, the next save removes.

    Parameters
    ----------
    path : str or PathLike
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
        A float of the document is not finite, or there are more tensors or values than `read` accepts.
    OSError
        The disk failed; the old file is as it was (only if flushing the directory failed it may already be the new
        one, whole).
    """
    arrays = {name: _storable(name, value) for name, value in tensors.items()}
    require_json(document, "document")
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    # Large items first keeps every tensor aligned to its item size.
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    begin, offsets = 0, {}
    for name in order:
        offsets[name] = [begin, begin := begin + arrays[name].nbytes]
    entries: dict[str, Any] = {"__metadata__": {"nncore": text}}
    for name, a in arrays.items():
        entries[name] = {
            "dtype": NAMES[a.dtype.newbyteorder("<").str],
            "shape": list(a.shape),
            "data_offsets": offsets[name],
        }
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    size = 8 + len(header) + begin
    if len(header) > HEADER_LIMIT:
        raise ValueError(f"document: expected a header of at most {HEADER_LIMIT} bytes, got {len(header)}")
    if len(arrays) > tensor_limit(size):
        raise ValueError(
            f"tensors: expected at most {tensor_limit(size)} in a file of {size} bytes, got {len(arrays)}; join some"
        )
    try:
        check_cost(text, document_limit(size))
    except FormatError as error:
        raise ValueError(f"{error} Move long lists into tensors.") from None
    replace(os.path.realpath(path), _pieces(header, [arrays[name] for name in order]))


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


def _pieces(header: bytes, arrays: Iterable[Array]) -> Iterator[bytes | memoryview]:
    yield len(header).to_bytes(8, "little")
    yield header
    for a in arrays:
        flat = np.asarray(a, dtype=a.dtype.newbyteorder("<"), order="C").reshape(-1)
        yield flat.view(np.uint8).data
