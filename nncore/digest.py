"""The digest of many bytes, close to the speed of memory: notices damage and other data, not forgery.

zlib's CRC-32 is several times as fast as hashlib's digests: bench/NOTES.md.
"""

from __future__ import annotations

import copy
import hashlib
import zlib

PIECE = 1 << 20  # bytes; also how far a loop over data goes before it looks for Ctrl-C
DIGITS = 32  # of a digest, hexadecimal


class Digest:
    """CRC-32 of each MiB, and BLAKE2b of those.

    A change of up to 32 neighbouring bits is always noticed, any other with probability 1 − 2⁻³² for each MiB that it
    touches. How the bytes are cut into calls of `update` does not matter.
    """

    def __init__(self) -> None:
        self.pieces = hashlib.blake2b(digest_size=DIGITS // 2)
        self.crc, self.room, self.bytes = 0, PIECE, 0

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Add bytes; a memoryview must be one of bytes."""
        rest = memoryview(data)
        self.bytes += len(rest)
        while rest:
            part, rest = rest[: self.room], rest[self.room :]
            self.crc = zlib.crc32(part, self.crc)
            self.room -= len(part)
            if not self.room:
                self.pieces.update(self.crc.to_bytes(4, "little"))
                self.crc, self.room = 0, PIECE

    def copy(self) -> Digest:
        """Another digest of all bytes so far."""
        twin = copy.copy(self)
        twin.pieces = self.pieces.copy()
        return twin

    def hexdigest(self) -> str:
        """The digest of all bytes so far, in lower-case digits."""
        whole = self.pieces.copy()
        whole.update(self.crc.to_bytes(4, "little") + self.bytes.to_bytes(8, "little"))
        return whole.hexdigest()
