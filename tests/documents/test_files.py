"""Files: the same bytes as the safetensors package."""

from __future__ import annotations

import json
import math
import pathlib
from typing import Any

import numpy as np
import pytest
from documents_of_all_types import DOCUMENT, DTYPES, arrays, same, temporaries
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from nncore import files
from nncore.errors import FormatError

# ---- round trips -----------------------------------------------------------------------------------------------------


def test_round_trip(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.safetensors"
    expected = arrays()
    files.write(path, expected, DOCUMENT)
    found, document = files.read(path)
    assert document == DOCUMENT
    same(found, expected)
    assert list(found) == list(expected)
    for a in found.values():
        assert a.flags.c_contiguous and a.flags.writeable and a.flags.aligned and a.dtype.isnative
    assert temporaries(tmp_path) == []


def test_nothing_inside(tmp_path: pathlib.Path) -> None:
    files.write(tmp_path / "m", {}, {})
    assert files.read(tmp_path / "m") == ({}, {})


def test_safetensors_reads_ours(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.safetensors"
    expected = arrays()
    files.write(path, expected, DOCUMENT)
    same(load_file(path), expected)
    with safe_open(path, "numpy") as opened:
        assert json.loads(opened.metadata()["nncore"]) == DOCUMENT


def test_we_read_safetensors(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.safetensors"
    expected = {k: np.array(v, dtype=np.asarray(v).dtype.newbyteorder("="), order="C") for k, v in arrays().items()}
    save_file(expected, path, {"nncore": json.dumps(DOCUMENT), "by": "somebody else: é"})
    found, document = files.read(path)
    assert document == DOCUMENT
    same(found, expected)


@pytest.mark.parametrize("seed", range(200))
def test_random_dictionaries_both_ways(tmp_path: pathlib.Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    expected = {}
    for i in range(rng.integers(0, 8)):
        shape = tuple(rng.integers(0, 4, rng.integers(0, 5)))
        expected[f"{i}/" + chr(rng.integers(32, 0x2FF))] = np.asarray(rng.integers(0, 2, shape)).astype(
            rng.choice(DTYPES)
        )
    files.write(tmp_path / "ours", expected, DOCUMENT)
    same(files.read(tmp_path / "ours")[0], expected)
    same(load_file(tmp_path / "ours"), expected)
    save_file(expected, tmp_path / "theirs", {"nncore": "{}"})
    same(files.read(tmp_path / "theirs")[0], expected)


def test_encode_and_decode(tmp_path: pathlib.Path) -> None:
    value = {
        "loss": [0.1, math.nan, math.inf, -math.inf], "n": np.int64(3), "f": np.float32(0.1), "b": np.bool_(True),
        "nested": {"weights": [np.arange(3), {"deep": np.ones((2, 2), np.float32)}], "pair": (1, None), "s": "é$"},
    }  # fmt: skip
    tensors: dict[str, np.ndarray] = {}
    document = files.encode(value, tensors, "state")
    assert document["loss"] == [0.1, {"$float": "nan"}, {"$float": "inf"}, {"$float": "-inf"}]
    assert list(tensors) == ["state/nested/weights/0", "state/nested/weights/1/deep"]
    files.write(tmp_path / "m", tensors, document)
    tensors, document = files.read(tmp_path / "m")
    back = files.decode(document, tensors)
    assert back["loss"][0] == 0.1 and math.isnan(back["loss"][1]) and back["loss"][2:] == [math.inf, -math.inf]
    assert (back["n"], back["f"], back["b"]) == (3, float(np.float32(0.1)), True)
    assert type(back["n"]) is int and type(back["b"]) is bool
    np.testing.assert_array_equal(back["nested"]["weights"][0], [0, 1, 2])
    assert back["nested"]["weights"][1]["deep"].dtype == np.float32
    assert back["nested"]["pair"] == [1, None] and back["nested"]["s"] == "é$"


@pytest.mark.parametrize("value", [{"$x": 1}, {"a": {"$float": "nan"}}, {1: 2}, {"a": {1, 2}}, np.ones(2), [object()]])
def test_encode_refuses(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        files.encode(value)


def test_encode_refuses_a_taken_name() -> None:
    with pytest.raises(ValueError, match="a/b"):
        files.encode({"a/b": np.ones(1), "a": {"b": np.ones(1)}}, {})


@pytest.mark.parametrize(
    "value", [{"$float": "1"}, {"$float": "nan", "x": 1}, {"$tensor": "gone"}, [{"$": 1}], {"$tensor": []}]
)
def test_decode_refuses(value: Any) -> None:
    with pytest.raises(FormatError):
        files.decode(value, {})


@pytest.mark.parametrize(
    ("tensors", "document", "error", "words"),
    [
        ({"a": np.array([None])}, {}, TypeError, "'a'.*object"),
        ({"a": np.ones(1, complex)}, {}, TypeError, "complex"),
        ({"a": np.ones((1,) * 33)}, {}, ValueError, "32 dimensions"),
        ({1: np.ones(1)}, {}, TypeError, "name"),
        ({"__metadata__": np.ones(1)}, {}, TypeError, "name"),
        ({}, {"a": [math.nan]}, ValueError, r"\['a'\]\[0\].*encode"),
        ({}, {"a": {1: 2}}, TypeError, "string keys"),
        ({}, {"a": np.ones(1)}, TypeError, "encode"),
        ({}, {"a": json.loads("[" * 32 + "]" * 32)}, ValueError, "at most 32 nested.*Flatten"),
        ({str(i): np.empty(0) for i in range(250_000)}, {}, ValueError, "safetensors' limit.*250000 tensors"),
    ],
)
def test_write_refuses(tmp_path: pathlib.Path, tensors: Any, document: Any, error: type, words: str) -> None:
    (tmp_path / "m").write_bytes(b"old")
    with pytest.raises(error, match=words):
        files.write(tmp_path / "m", tensors, document)
    assert (tmp_path / "m").read_bytes() == b"old" and temporaries(tmp_path) == []


def test_what_is_written_can_be_read_at_the_limits(tmp_path: pathlib.Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(31):
        deep = {"a": deep}
    many = {f"layer_{i}/{name}": np.ones(8, np.float32) for i in range(1000) for name in ("kernel", "bias")}
    layers = [
        {"class": "dense", "config": {"units": 8, "activation": "relu", "name": f"layer_{i}"}} for i in range(1000)
    ]
    files.write(tmp_path / "m", many, {"deep": deep["a"], "layers": layers})
    same(files.read(tmp_path / "m")[0], many)
    with pytest.raises(ValueError, match="nested"):
        files.write(tmp_path / "m", {}, {"a": {"a": deep}})
