"""Reading a file without trusting whoever wrote it."""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from nncore.errors import FormatError
from nncore.files.documents import JSON, parse_document, parse_object
from nncore.files.foreign import check_beginning
from nncore.files.layout import (
    DIMENSION_LIMIT,
    DTYPES,
    ENTRY_LIMIT,
    HEADER_LIMIT,
    ITEM_SIZES,
    METADATA_LIMIT,
    REMEDY,
    Array,
    document_limit,
    short,
    tensor_limit,
)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read what `write` wrote. Nothing is executed or imported, no other file is touched.

    Parameters
    ----------
    path : str or PathLike
        The file. It is copied, never mapped into memory.

    Returns
    -------
    tensors : dict of str to ndarray
        Fresh, writable, C-contiguous, native byte order; in the order in which they were given to `write`.
    document : dict

    Raises
    ------
    FormatError
        The file is truncated, damaged, hostile, or not nncore's. Refusing takes memory proportional to the header.
    OSError
        As Python gives it: FileNotFoundError, PermissionError.
    """
    name = os.fsdecode(path)
    fd = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not make us wait
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise FormatError("expected a regular file, found a directory, pipe or device")
        return _read(fd, info.st_size)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None
    finally:
        os.close(fd)


class _Entry(NamedTuple):
    begin: int
    end: int
    shape: tuple[int, ...]
    dtype: str
    name: str


def _read(fd: int, size: int) -> tuple[dict[str, Array], dict[str, Any]]:
    if size < 10:
        raise FormatError(f"expected a length of 8 bytes and a header, found {size} bytes. {REMEDY}")
    prefix = bytearray(8)
    _fill(fd, prefix)
    length = int.from_bytes(prefix, "little")
    if length > min(size - 8, HEADER_LIMIT):
        check_beginning(bytes(prefix))
        raise FormatError(
            f"expected a safetensors file; its first 8 bytes announce a header of {length} bytes, but {size - 8} bytes "
            f"follow (and the limit is {HEADER_LIMIT}). {REMEDY}"
        )
    entries, text = _parse_header(_read_text(fd, length), tensor_limit(size))
    by_offset = sorted(entries)
    begin = 0
    for entry in by_offset:
        if entry.begin != begin:
            raise FormatError(f"tensor {short(entry.name)}: expected data from {begin} on, found {entry.begin}")
        begin = entry.end
    if 8 + length + begin != size:
        raise FormatError(f"expected {8 + length + begin} bytes according to the header, found {size}. {REMEDY}")
    document = parse_document(text, document_limit(size))
    tensors: dict[str, Array] = dict.fromkeys([entry.name for entry in entries], np.empty(0))
    for entry in by_offset:
        tensors[entry.name] = _read_tensor(fd, entry)
    return tensors, document


def _read_text(fd: int, length: int) -> str:
    """The header in Latin-1, which keeps one byte per character whatever the file says."""
    header = bytearray(length)
    _fill(fd, header)
    return header.decode("latin-1")


def _read_tensor(fd: int, entry: _Entry) -> Array:
    try:
        a = np.empty(entry.shape, DTYPES[entry.dtype])
    except ValueError:  # zero elements, yet dimensions whose product overflows
        raise FormatError(f"tensor {short(entry.name)}: the shape {entry.shape} is too large. {REMEDY}") from None
    bytes_ = a.reshape(-1).view(np.uint8)
    _fill(fd, bytes_.data)
    if entry.dtype == "BOOL" and bytes_.size and bytes_.max() > 1:
        raise FormatError(
            f"tensor {short(entry.name)}: expected bytes 0 and 1 for bool, found {bytes_.max()}. {REMEDY}"
        )
    return a.astype(a.dtype.newbyteorder("="), copy=False)


def _fill(fd: int, target: bytearray | memoryview) -> None:
    rest = memoryview(target)
    while rest:
        n = os.readv(fd, [rest[: 1 << 30]])
        if not n:
            raise FormatError(f"the file shrank while it was read. {REMEDY}")
        rest = rest[n:]


_OPEN = re.compile(r"[ \t\n\r]*+(\{)")
_CLOSE = re.compile(r"[ \t\n\r]*+(\})")
_COLON = re.compile(r"[ \t\n\r]*+(:)")
_NEXT = re.compile(r"[ \t\n\r]*+([,}])")
_QUOTE = re.compile(r"[ \t\n\r]*+(?=(\"))")
_FLAT = re.compile(rf"[ \t\n\r]*+(\{{[^{{}}]{{0,{ENTRY_LIMIT}}}\}})")
_END = re.compile(r"[ \t\n\r]*+()\Z")


class _Scanner:
    """Cuts JSON text into objects, names and values without building anything for the whole."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0  # Latin-1: one character per byte

    def take(self, pattern: re.Pattern[str], expected: str) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            found = self.text[self.at : self.at + 24]
            raise FormatError(f"header: expected {expected} at byte {8 + self.at}, found {found!r}. {REMEDY}")
        self.at = match.end()
        return match[1]

    def string(self) -> str:
        self.take(_QUOTE, "a string")
        begin = self.at
        try:
            value, self.at = JSON.raw_decode(self.text, begin)
            if not value.isascii():
                if self.at - begin > ENTRY_LIMIT:
                    raise ValueError(f"over {ENTRY_LIMIT} bytes and not ASCII")
                value = JSON.decode(self.text[begin : self.at].encode("latin-1").decode())
                value.encode()  # a lone surrogate is no text
        except ValueError as error:
            raise FormatError(f"header: expected a string at byte {8 + begin}: {error}. {REMEDY}") from None
        return str(value)

    def members(self, limit: int) -> Iterator[str]:
        """The names in an object; the caller takes each value before it asks for the next name."""
        self.take(_OPEN, "'{'")
        if match := _CLOSE.match(self.text, self.at):
            self.at = match.end()
            return
        seen: set[str] = set()
        while True:
            name = self.string()
            if name in seen or len(seen) == limit:
                raise FormatError(f"header: expected at most {limit} different names, found {short(name)}. {REMEDY}")
            seen.add(name)
            self.take(_COLON, "':'")
            yield name
            if self.take(_NEXT, "',' or '}'") == "}":
                return


def _parse_header(text: str, limit: int) -> tuple[list[_Entry], str]:
    """The tensors, in the header's order, and the document's text."""
    scanner = _Scanner(text)
    entries: list[_Entry] = []
    document = None
    for name in scanner.members(limit + 1):
        if name == "__metadata__":
            for key in scanner.members(METADATA_LIMIT):
                value = scanner.string()
                document = value if key == "nncore" else document
        else:
            entries.append(_parse_entry(name, scanner.take(_FLAT, f"a flat object of at most {ENTRY_LIMIT} bytes")))
    scanner.take(_END, "the end of the header")
    if document is None:
        raise FormatError(
            "expected 'nncore' in the file's metadata: it is safetensors but was not written by nncore. Read it with "
            "the safetensors package and give its arrays to set_weights."
        )
    return entries, document


def _parse_entry(name: str, text: str) -> _Entry:
    if text.count("[") != 2:
        raise FormatError(f"tensor {short(name)}: expected one shape and one pair of offsets, found {short(text)}")
    value = parse_object(text, "header")
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if len(value) != 3 or not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        raise FormatError(
            f"tensor {short(name)}: expected dtype, shape and data_offsets (two numbers), found {short(text)}"
        )
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FormatError(f"tensor {short(name)}: expected a dtype of {', '.join(DTYPES)}, found {short(str(dtype))}")
    if len(shape) > DIMENSION_LIMIT:
        raise FormatError(f"tensor {short(name)}: expected at most {DIMENSION_LIMIT} dimensions, found {len(shape)}")
    for n in shape + offsets:
        if type(n) is not int or not 0 <= n < 1 << 63:
            raise FormatError(f"tensor {short(name)}: expected numbers from 0 to 2**63 - 1, found {n!r}. {REMEDY}")
    begin, end = offsets
    nbytes = math.prod(shape) * ITEM_SIZES[dtype]
    if end - begin != nbytes:
        raise FormatError(f"tensor {short(name)}: expected {nbytes} bytes for {dtype} {shape}, found {end - begin}")
    return _Entry(begin, end, tuple(shape), dtype, name)
