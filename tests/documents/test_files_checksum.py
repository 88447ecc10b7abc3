"""The checksum of files: no changed byte passes, in whatever place; files without one are still read."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import nncore as nn
from nncore import files
from nncore.digest import DIGITS, PIECE, Digest
from nncore.errors import FormatError

TENSORS = {"weights/a/kernel": np.array([[1.5, -2.0]], np.float32), "flags": np.array([True, False, True])}
DOCUMENT = {"format": 1, "history": {"loss": [0.25, "é"]}}


def refused(path: pathlib.Path, content: bytes) -> bool:
    path.write_bytes(content)
    try:
        files.read(path)
    except FormatError:
        return True
    return False


def test_every_byte_counts(tmp_path: pathlib.Path) -> None:
    """Each bit of each byte, and each byte replaced by what means something in JSON."""
    files.write(tmp_path / "m", TENSORS, DOCUMENT)
    content = (tmp_path / "m").read_bytes()
    assert not refused(tmp_path / "x", content)
    for at, byte in enumerate(content):
        for other in {byte ^ 1 << bit for bit in range(8)} | set(b'\0"\\{,0 ') - {byte}:
            assert refused(tmp_path / "x", content[:at] + bytes([other]) + content[at + 1 :]), (at, other)


def test_a_flipped_bit_of_a_weight(tmp_path: pathlib.Path) -> None:
    """Refused by all that reads models; and read as it is where it is asked for."""
    path = tmp_path / "m"
    model = nn.Model([nn.Input(40), nn.Dense(30, name="d")], seed=1)
    model.compile("adam", "mse")
    model.save(path)
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    begin = 8 + int.from_bytes(whole[:8], "little")
    for at in rng.integers(begin, len(whole), 50):
        broken = whole.copy()
        broken[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(broken)
        for action in (nn.load_model, model.load_weights):
            with pytest.raises(FormatError, match=f"{path}: .*checksum is another.*verify=False"):
                action(path)
        nn.load_model(path, verify=False)
        model.load_weights(path, verify=False)
        twin, own = model.get_weights()[0].tobytes(), load_file(path)["weights/d/kernel"].tobytes()
        assert twin == own
    with pytest.raises(TypeError, match="verify: expected True or False"):
        nn.load_model(path, verify="no")


def test_the_checksum_is_the_digest_of_the_file_with_zeros_in_its_place(tmp_path: pathlib.Path) -> None:
    files.write(tmp_path / "m", TENSORS, DOCUMENT)
    content = (tmp_path / "m").read_bytes()
    with safe_open(tmp_path / "m", "numpy") as opened:
        metadata = opened.metadata()
    assert set(metadata) == {"nncore", "nncore checksum", "nncore layout"}
    value = metadata["nncore checksum"].encode()
    digest = Digest()
    digest.update(content.replace(value, b"0" * DIGITS))
    assert digest.hexdigest().encode() == value


def test_files_without_a_checksum_are_read(tmp_path: pathlib.Path) -> None:
    """Those of other programs, and of nncore before it wrote one."""
    save_file(TENSORS, tmp_path / "m", {"nncore": json.dumps(DOCUMENT)})
    tensors, document = files.read(tmp_path / "m")
    assert document == DOCUMENT and tensors["flags"].tolist() == [True, False, True]
    model = nn.Model([nn.Input(1), nn.Dense(2, use_bias=False, name="a")])
    save_file({"weights/a/kernel": TENSORS["weights/a/kernel"]}, tmp_path / "w", {"nncore": '{"format": 1}'})
    model.load_weights(tmp_path / "w")
    assert model.get_weights()[0].tolist() == [[1.5, -2.0]]


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"nncore layout": "3", "nncore checksum": "0" * 32}, "layout 2 or none, found '3'; use a later"),
        ({"nncore layout": "2"}, "expected a checksum"),
        ({"nncore checksum": "0" * 31}, "32 digits"),
        ({"nncore checksum": "0" * 32}, "checksum is another"),
        ({"nncore checksum": "é" * 32}, "32 digits"),
    ],
)
def test_metadata_that_do_not_fit(metadata: dict[str, str], words: str, tmp_path: pathlib.Path) -> None:
    save_file(TENSORS, tmp_path / "m", {"nncore": "{}"} | metadata)
    with pytest.raises(FormatError, match=words):
        files.read(tmp_path / "m")


def test_only_what_is_wanted_is_kept_and_all_is_compared(tmp_path: pathlib.Path) -> None:
    large = {"a": np.arange(2 * PIECE // 8 + 3), "b": np.arange(5)}
    files.write(tmp_path / "m", large, {})
    content = bytearray((tmp_path / "m").read_bytes())
    with files.File(tmp_path / "m") as file:
        found = file.tensors({"b"})
        assert list(found) == ["b"] and found["b"].tolist() == [0, 1, 2, 3, 4]
    content[-5 * 8 - 1] ^= 1  # the end of a
    (tmp_path / "m").write_bytes(content)
    with files.File(tmp_path / "m") as file, pytest.raises(FormatError, match="checksum"):
        file.tensors({"b"})


def test_a_save_beside_a_writer_is_consistent(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is what was digested, though the array changes in between."""
    a, real = np.zeros(1000), os.write

    def write(fd: int, data: Any) -> int:
        n = real(fd, data)
        a[:] += 1
        return n

    monkeypatch.setattr(os, "write", write)
    files.write(tmp_path / "m", {"a": a, "b": a}, {})
    assert set(files.read(tmp_path / "m")[0]) == {"a", "b"}
