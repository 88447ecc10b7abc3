"""The digest: CRC-32 of each MiB, BLAKE2b of those, whatever the calls are."""

from __future__ import annotations

import hashlib
import zlib

import numpy as np
import pytest

from nncore.digest import PIECE, Digest


def digest_of(*parts: bytes) -> str:
    digest = Digest()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


@pytest.mark.parametrize("size", [0, 1, 1000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5])
def test_against_the_definition(size: int) -> None:
    data = np.random.default_rng(size).bytes(size)
    crcs = [zlib.crc32(data[start : start + PIECE]) for start in range(0, size - size % PIECE, PIECE)]
    crcs.append(zlib.crc32(data[size - size % PIECE :]))
    text = b"".join(crc.to_bytes(4, "little") for crc in crcs) + size.to_bytes(8, "little")
    assert digest_of(data) == hashlib.blake2b(text, digest_size=16).hexdigest()


@pytest.mark.parametrize("cut", [1, 7, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE])
def test_cuts_do_not_matter(cut: int) -> None:
    data = np.random.default_rng(0).bytes(2 * PIECE + 9)
    assert digest_of(data[:cut], b"", data[cut:]) == digest_of(data)


def test_it_goes_on_after_a_look() -> None:
    digest = Digest()
    digest.update(b"a")
    assert digest.hexdigest() == digest_of(b"a")
    digest.update(b"b")
    assert digest.hexdigest() == digest_of(b"ab")


def test_a_copy_goes_its_own_way() -> None:
    digest = Digest()
    digest.update(bytes(PIECE) + b"a")
    twin = digest.copy()
    digest.update(bytes(PIECE))
    twin.update(b"b")
    assert digest.hexdigest() == digest_of(bytes(PIECE) + b"a" + bytes(PIECE))
    assert twin.hexdigest() == digest_of(bytes(PIECE) + b"ab")


def test_lengths_and_order_count() -> None:
    zeros = bytes(PIECE)
    made = {digest_of(b""), digest_of(b"\0"), digest_of(zeros), digest_of(zeros, zeros), digest_of(zeros, b"\0")}
    made |= {digest_of(b"\1" + zeros), digest_of(zeros, b"\1")}
    assert len(made) == 7
