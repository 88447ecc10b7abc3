"""The header of a file: which tensors there are, and what the metadata say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from nncore.digest import DIGITS
from nncore.errors import FormatError
from nncore.files.documents import JSON, parse_object
from nncore.files.layout import (
    CHECKSUM,
    DIMENSION_LIMIT,
    DOCUMENT,
    DTYPES,
    ENTRY_LIMIT,
    LAYOUT,
    METADATA_LIMIT,
    REMEDY,
    short,
)

TYPES = {name: np.dtype(code).newbyteorder("=") for name, code in DTYPES.items()}


class Entry(NamedTuple):
    """A tensor of the file: where in the data it lies, its shape and dtype, that of this machine."""

    begin: int
    end: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    name: str


class Checksum(NamedTuple):
    """The checksum of the file, and where in the header it stands."""

    value: str
    at: int


class Header(NamedTuple):
    """All that a header says."""

    entries: list[Entry]
    document: str
    layout: str | None
    checksum: Checksum | None


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


def parse_header(text: str, limit: int) -> Header:
    """The tensors, in the header's order, and our entries of the metadata; `limit` is that of the tensors."""
    scanner = _Scanner(text)
    entries: list[Entry] = []
    ours: dict[str, str] = {}
    checksum = None
    for name in scanner.members(limit + 1):
        if name == "__metadata__":
            for key in scanner.members(METADATA_LIMIT):
                value = scanner.string()
                if key in (DOCUMENT, LAYOUT, CHECKSUM):
                    ours[key] = value
                if key == CHECKSUM:
                    checksum = _checksum(value, scanner)
        else:
            entries.append(_parse_entry(name, scanner.take(_FLAT, f"a flat object of at most {ENTRY_LIMIT} bytes")))
    scanner.take(_END, "the end of the header")
    if DOCUMENT not in ours:
        raise FormatError(
            "expected 'nncore' in the file's metadata: it is safetensors but was not written by nncore. Read it with "
            "the safetensors package and give its arrays to set_weights."
        )
    return Header(entries, ours[DOCUMENT], ours.get(LAYOUT), checksum)


def _checksum(value: str, scanner: _Scanner) -> Checksum:
    """The checksum that was read last, whose digits are to stand there as they are."""
    at = scanner.at - 1 - DIGITS
    if len(value) != DIGITS or not scanner.text.startswith(f'"{value}"', at - 1):
        raise FormatError(f"checksum: expected {DIGITS} digits, found {short(value)}. {REMEDY}")
    return Checksum(value, at)


def _parse_entry(name: str, text: str) -> Entry:
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
    nbytes = math.prod(shape) * TYPES[dtype].itemsize
    if end - begin != nbytes:
        raise FormatError(f"tensor {short(name)}: expected {nbytes} bytes for {dtype} {shape}, found {end - begin}")
    return Entry(begin, end, tuple(shape), TYPES[dtype], name)
