"""Reading a file without trusting whoever wrote it."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Container
from operator import itemgetter
from typing import Any

import numpy as np

from nncore.arguments import check_path
from nncore.digest import DIGITS, PIECE, Digest
from nncore.errors import FormatError
from nncore.files.documents import parse_document
from nncore.files.foreign import check_beginning
from nncore.files.header import Entry, parse_header
from nncore.files.layout import HEADER_LIMIT, REMEDY, VERSION, Array, document_limit, short, tensor_limit

BLOCK = 1 << 16  # bytes of the header that are read before they are looked at


def read(path: Any, verify: bool = True) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read what `write` wrote. Nothing is executed or imported, no other file is touched.

    Parameters
    ----------
    path : str, bytes or PathLike
        The file. It is copied, never mapped into memory.
    verify : bool, default True
        Whether to compare the bytes with the checksum, if the file has one: those of other programs and of layout 1
        have none.

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
    with File(path) as file:
        return file.tensors(verify=verify), file.document


class File:
    """A file whose header has been read, and whose tensors have not: to be judged before they are.

    Attributes
    ----------
    document : dict
    entries : dict of str to Entry
        The tensors that it holds.
    """

    def __init__(self, path: Any) -> None:
        self.name = check_path(path, "path")
        if not stat.S_ISREG(os.stat(self.name).st_mode):  # to open a pipe would make us wait
            raise FormatError(f"{self.name}: expected a regular file, found a directory, pipe or device")
        self.file = io.FileIO(self.name)  # owns its descriptor: see opening.py
        try:
            self.size = os.fstat(self.file.fileno()).st_size
            self._read_header()
        except FormatError as error:
            self.close()
            raise FormatError(f"{self.name}: {error}") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> File:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self.file.close()

    def _read_header(self) -> None:
        if self.size < 10:
            raise FormatError(f"expected a length of 8 bytes and a header, found {self.size} bytes. {REMEDY}")
        prefix = bytearray(8)
        _fill(self.file, memoryview(prefix), 0)
        length = int.from_bytes(prefix, "little")
        if length > min(self.size - 8, HEADER_LIMIT):
            check_beginning(bytes(prefix))
            raise FormatError(
                f"expected a safetensors file; its first 8 bytes announce a header of {length} bytes, but "
                f"{self.size - 8} bytes follow (the limit is {HEADER_LIMIT}). It is another kind of file, or damaged"
            )
        text = _read_text(self.file, length)
        # Latin-1 keeps one byte per character whatever the file says.
        header = parse_header(text.decode("latin-1"), tensor_limit(self.size))
        if header.layout not in (None, VERSION):
            raise FormatError(f"expected layout {VERSION} or none, found {short(header.layout)}; use a later nncore")
        if header.layout and not header.checksum:
            raise FormatError(f"expected a checksum in the metadata, found none. {REMEDY}")
        self.checksum, self.digest = "", Digest()  # of what comes before the tensors, the checksum itself as zeros
        if header.checksum:
            self.checksum, at = header.checksum
            for part in (prefix, memoryview(text)[:at], b"0" * DIGITS, memoryview(text)[at + DIGITS :]):
                self.digest.update(part)
        del text
        self.begin = 8 + length
        self.by_offset = sorted(header.entries, key=itemgetter(0, 1))
        end = 0
        for entry in self.by_offset:
            if entry.begin != end:
                raise FormatError(f"tensor {short(entry.name)}: expected data from {end} on, found {entry.begin}")
            end = entry.end
        if self.begin + end != self.size:
            raise FormatError(f"expected {self.begin + end} bytes according to the header, found {self.size}. {REMEDY}")
        self.entries = {entry.name: entry for entry in header.entries}
        self.document = parse_document(header.document, document_limit(self.size))

    def tensors(self, wanted: Container[str] | None = None, verify: bool = True) -> dict[str, Array]:
        """Read the tensors whose names are `wanted`, by default all.

        Raises
        ------
        FormatError
            `verify` is true, and some byte of the file, in whatever place, is not what was written.
        """
        try:
            return self._tensors(wanted, verify)
        except FormatError as error:
            raise FormatError(f"{self.name}: {error}") from None

    def _tensors(self, wanted: Container[str] | None, verify: bool) -> dict[str, Array]:
        chosen = [e for e in self.entries.values() if wanted is None or e.name in wanted]
        tensors = {entry.name: _empty(entry) for entry in chosen}
        digest = self.digest.copy() if verify and self.checksum else None
        scratch = np.empty(PIECE if digest else 0, np.uint8)
        for entry in self.by_offset:
            target = tensors.get(entry.name)
            if target is None and digest is None:
                continue
            data = None if target is None else target.reshape(-1).view(np.uint8)
            for start in range(entry.begin, entry.end, PIECE):
                n = min(PIECE, entry.end - start)
                piece = scratch[:n] if data is None else data[start - entry.begin :][:n]
                _fill(self.file, piece.data, self.begin + start)
                if digest:
                    digest.update(piece.data)
                if data is not None and entry.dtype == np.bool_ and piece.max() > 1:
                    raise FormatError(
                        f"tensor {short(entry.name)}: expected bytes 0 and 1 for bool, found {piece.max()}. {REMEDY}"
                    )
        if digest and digest.hexdigest() != self.checksum:
            raise FormatError(
                "expected the bytes that were written, but their checksum is another: the file is damaged, or another "
                "program changed it. Restore it from a copy, or read it as it is with verify=False"
            )
        return {name: a.astype(a.dtype.newbyteorder("="), copy=False) for name, a in tensors.items()}


def _read_text(file: io.FileIO, length: int) -> bytearray:
    """The header; what is no text, or a hole in the file, is refused without reading on."""
    text = bytearray()
    while len(text) < length:
        block = bytearray(min(BLOCK, length - len(text)))
        _fill(file, memoryview(block), 8 + len(text))
        if 0 in block:
            raise FormatError(f"header: expected JSON, found a byte 0 at {8 + len(text) + block.index(0)}. {REMEDY}")
        text += block
    return text


def _empty(entry: Entry) -> Array:
    try:
        return np.empty(entry.shape, entry.dtype.newbyteorder("<"))
    except ValueError:  # zero elements, yet dimensions whose product overflows
        raise FormatError(f"tensor {short(entry.name)}: the shape {entry.shape} is too large. {REMEDY}") from None


def _fill(file: io.FileIO, target: memoryview, at: int) -> None:
    while target:
        n = os.preadv(file.fileno(), [target], at)
        if not n:
            raise FormatError(f"the file shrank while it was read. {REMEDY}")
        target, at = target[n:], at + n
