"""Files: the same bytes as the safetensors package, all or nothing on any fault, refusal of everything else."""

from __future__ import annotations

import errno
import json
import math
import os
import pathlib
import random
import signal
import stat
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from nncore import files
from nncore.errors import FormatError

ROOT = pathlib.Path(files.__file__).parents[2]
DTYPES = "float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split()
DOCUMENT = {"version": 1, "layers": [{"class": "dense", "config": {"units": 3, "name": 'a"\\é\n'}}], "empty": {}}


def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    made: dict[str, Any] = {d: rng.integers(0, 2, (3, 4)).astype(d) for d in DTYPES}
    made |= {"scalar": np.float32(1.5), "zero-d": np.array(7), "empty": np.empty((0, 3)), "none": np.empty(0, bool)}
    made |= {
        "fortran": np.asfortranarray(made["float64"]),
        "strided": np.arange(20.0)[::-3],
        "big": np.arange(5, dtype=">i4"),
    }
    made |= {"dense/kernel é": np.array([[np.nan, -np.inf, -0.0]]), "read-only": np.broadcast_to(np.float32(2), (2, 2))}
    return made


def same(found: dict[str, np.ndarray], expected: dict[str, Any]) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        value = np.asarray(value)
        assert found[name].dtype == value.dtype.newbyteorder("="), name
        assert found[name].shape == value.shape, name
        assert found[name].tobytes() == value.astype(value.dtype.newbyteorder("=")).tobytes(), name


def pack(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def tensor(dtype: str = "F32", shape: Any = (1,), offsets: Any = (0, 4), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


META = {"__metadata__": {"nncore": "{}"}}


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)


def temporaries(directory: pathlib.Path) -> list[str]:
    return [name for name in os.listdir(directory) if name.endswith(".tmp")]


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


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_missing_file_and_no_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError):
        files.read(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", "/dev/zero"):
        with pytest.raises(FormatError, match="regular file"):
            files.read(path)
    with pytest.raises(ValueError, match="regular file"):
        files.write(tmp_path / "pipe", {}, {})
    with pytest.raises(FileNotFoundError):
        files.write(tmp_path / "no" / "directory", {}, {})


HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "8 bytes"),
    "nine bytes": (b"\2" + bytes(7) + b"{", "8 bytes"),
    "length over the file": (b"\xff" * 8 + b"{}", "announce"),
    "length one over": ((3).to_bytes(8, "little") + b"{}", "announce"),
    "pickle": (b"\x80\x04\x95" + b"a" * 60, "found a pickle. Read it with the library"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + b"a" * 60, r"found an HDF5 file, as Keras writes it \(\.h5\)"),
    "zip": (b"PK\x03\x04\x14\0\0\0" + b"a" * 60, r"found a ZIP archive, as Keras \(\.keras\)"),
    "npy": (b"\x93NUMPY\x01\0" + b"a" * 60, "found an array of NumPy"),
    "not json": (pack(b"abc"), "header"),
    "a list": (pack(b"[]"), "header"),
    "no metadata": (pack({"a": tensor()}, bytes(4)), "not written by nncore"),
    "other metadata": (pack({"__metadata__": {"format": "pt"}}), "not written by nncore"),
    "metadata not strings": (pack({"__metadata__": {"nncore": {}}}), "string"),
    "metadata a string": (pack({"__metadata__": "nncore"}), "header"),
    "metadata empty": (pack({"__metadata__": {}}), "not written by nncore"),
    "metadata null": (pack({"__metadata__": None}), "header"),
    "two metadata": (pack(b'{"__metadata__":{"nncore":"{}"},"__metadata__":{"nncore":"{}"}}'), "different names"),
    "two documents": (pack(b'{"__metadata__":{"nncore":"{}","nncore":"{}"}}'), "different names"),
    "two tensors of a name": (
        pack(
            b'{"a":%b,"\\u0061":%b,"__metadata__":{"nncore":"{}"}}' % ((json.dumps(tensor()).encode(),) * 2), bytes(4)
        ),
        "different names",
    ),
    "two dtypes": (pack(b'{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)), "twice"),
    "unknown dtype": (pack({"a": tensor("F7")} | META, bytes(4)), "dtype"),
    "dtype a number": (pack({"a": tensor(7)} | META, bytes(4)), "dtype"),  # type: ignore[arg-type]
    "unknown key": (pack({"a": tensor(x=1)} | META, bytes(4)), "expected dtype, shape"),
    "missing key": (pack({"a": {"dtype": "F32", "shape": [1]}} | META, bytes(4)), "tensor 'a'"),
    "nested shape": (pack({"a": tensor(shape=[[1]])} | META, bytes(4)), "one shape"),
    "tensor a number": (pack({"a": 1} | META), "flat object"),
    "tensor an object of objects": (pack({"a": {"b": {}}} | META), "flat object"),
    "negative shape": (pack({"a": tensor(shape=[-1, -1])} | META, bytes(4)), "numbers from 0"),
    "float shape": (pack({"a": tensor(shape=[1.0])} | META, bytes(4)), "numbers from 0"),
    "bool shape": (pack({"a": tensor(shape=[True])} | META, bytes(4)), "numbers from 0"),
    "huge shape": (pack({"a": tensor(shape=[1 << 63])} | META, bytes(4)), "numbers from 0"),
    "overflowing shape": (pack({"a": tensor(shape=[1 << 62, 1 << 62])} | META, bytes(4)), "expected .* bytes"),
    "wrapping shape": (pack({"a": tensor(shape=[1 << 62, 4])} | META, bytes(4)), "expected .* bytes"),
    "overflow times zero": (pack({"a": tensor(shape=[0, 1 << 62, 1 << 62], offsets=[0, 0])} | META), "too large"),
    "many dimensions": (pack({"a": tensor(shape=[1] * 33)} | META, bytes(4)), "dimensions"),
    "long entry": (pack({"a": tensor(shape=[1] * 2000)} | META, bytes(4)), "flat object of at most"),
    "many digits": (pack(b'{"a":{"dtype":"F32","shape":[%b],"data_offsets":[0,4]}}' % (b"9" * 900)), "numbers from 0"),
    "offsets do not fit": (pack({"a": tensor(offsets=[0, 8])} | META, bytes(8)), "expected 4 bytes"),
    "offsets backwards": (pack({"a": tensor(offsets=[4, 0])} | META, bytes(4)), "expected 4 bytes"),
    "three offsets": (pack({"a": tensor(offsets=[0, 4, 4])} | META, bytes(4)), "two numbers"),
    "gap at the start": (pack({"a": tensor(offsets=[4, 8])} | META, bytes(8)), "from 0 on"),
    "gap": (pack({"a": tensor(), "b": tensor(offsets=[8, 12])} | META, bytes(12)), "from 4 on"),
    "overlap": (pack({"a": tensor(), "b": tensor()} | META, bytes(4)), "from 4 on"),
    "trailing byte": (pack({"a": tensor()} | META, bytes(5)), "according to the header"),
    "missing byte": (pack({"a": tensor()} | META, bytes(3)), "according to the header"),
    "bool of 2": (pack({"a": tensor("BOOL", [2], [0, 2])} | META, b"\1\2"), "bool"),
    "after the header": (pack(json.dumps(META).encode() + b"x"), "end of the header"),
    "comma first": (pack(b'{,"__metadata__":{"nncore":"{}"}}'), "string"),
    "comma last": (pack(b'{"__metadata__":{"nncore":"{}"},}'), "string"),
    "name unfinished": (pack(b'{"abc'), "string"),
    "name not utf-8": (pack(b'{"\xff":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)), "string"),
    "name a surrogate": (pack(b'{"\\ud800":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', bytes(4)), "string"),
    "bad escape": (pack(b'{"\\x":1}'), "string"),
    "control character": (pack(b'{"\n":1}'), "string"),
    "document a list": (pack({"__metadata__": {"nncore": "[]"}}), "JSON object"),
    "document empty": (pack({"__metadata__": {"nncore": ""}}), "document"),
    "document nan": (pack({"__metadata__": {"nncore": '{"a":NaN}'}}), "NaN"),
    "document infinity": (pack({"__metadata__": {"nncore": '{"a":-Infinity}'}}), "Infinity"),
    "document overflow": (pack({"__metadata__": {"nncore": '{"a":1e999}'}}), "overflows"),
    "document digits": (pack({"__metadata__": {"nncore": '{"a":' + "9" * 9999 + "}"}}), "document"),
    "document twice": (pack({"__metadata__": {"nncore": '{"a":1,"a":1}'}}), "twice"),
    "document surrogate": (pack({"__metadata__": {"nncore": '{"a":"\\udfff"}'}}), "Unicode"),
    "document not ascii": (pack({"__metadata__": {"nncore": '{"a":"é"}'}}), "ASCII"),
    "document deep": (pack({"__metadata__": {"nncore": '{"a":' + "[" * 33 + "]" * 33 + "}"}}), "nested"),
    "document closes early": (pack({"__metadata__": {"nncore": "]" * 50 + "{}"}}), "document"),
    "depth behind an escaped quote": (pack({"__metadata__": {"nncore": '{"a":"\\\\","b":' + "[" * 40}}), "nested"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_refused(tmp_path: pathlib.Path, case: str) -> None:
    content, words = HOSTILE[case]
    path = tmp_path / "hostile"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=words) as caught:
        files.read(path)
    assert str(caught.value).startswith(str(path))


def test_brackets_and_quotes_inside_strings_do_not_count(tmp_path: pathlib.Path) -> None:
    document = {"a": "[" * 100, 'b"\\': '\\"' * 9000 + "{" * 50, "c": "\\", "d": "😀\\ud800"}
    files.write(tmp_path / "m", {}, document)
    assert files.read(tmp_path / "m")[1] == document


MIB = 1 << 20
# Not ru_maxrss, which a process inherits from the one that started it.
PEAK = (
    "import numpy; from nncore import files\n"
    "def peak(): return 1024 * int(next(line for line in open('/proc/self/status') if 'VmHWM' in line).split()[1])\n"
)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def bomb(inner: str) -> bytes:
    return pack(json.dumps({"__metadata__": {"nncore": inner}}).encode())


BOMBS = {
    "nested header": lambda: pack(b"[" * MIB),
    "nested objects": lambda: pack(b'{"a":' * (MIB // 5)),
    "nested document": lambda: bomb("[" * MIB),
    "objects": lambda: bomb('{"a":[' + "{}," * (MIB // 3) + "0]}"),
    "lists": lambda: bomb('{"a":[' + "[]," * (MIB // 3) + "0]}"),
    "numbers": lambda: bomb('{"a":[' + "1.5," * (MIB // 4) + "0]}"),
    "strings": lambda: bomb(json.dumps({"a": [f"{i:x}" for i in range(MIB // 12)]})),
    "long string": lambda: bomb('"' + "a" * MIB + '"'),
    "wide characters": lambda: pack(b'{"__metadata__":{"nncore":"' + "😀".encode() + b"a" * MIB + b'"}}'),
    "escapes": lambda: pack(b'{"__metadata__":{"nncore":"' + b"\\u4e00" * (MIB // 6) + b'"}}'),
    "quotes": lambda: pack(b'{"__metadata__":{"nncore":"' + b'\\"' * (MIB // 2) + b'"}}'),
    "metadata": lambda: pack({"__metadata__": {f"{i:x}": "" for i in range(MIB // 14)}}),
    "tensors": lambda: pack({f"{i:x}": tensor(shape=[0], offsets=[0, 0]) for i in range(MIB // 60)}),
    "spaces": lambda: pack(b"{" + b" " * MIB),
    "shapes": lambda: pack({f"{i:x}": tensor(shape=[1] * 300) for i in range(MIB // 950)}),
}


@linux
@pytest.mark.parametrize("case", BOMBS)
def test_bombs_cost_little(tmp_path: pathlib.Path, case: str) -> None:
    """In a child: growth of the resident set ≤ 4 × size + 2 MiB. The time is only checked to be no catastrophe."""
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[case]())
    code = (
        PEAK + "import time; from nncore.errors import FormatError\n"
        "before, start = peak(), time.perf_counter()\n"
        f"try: files.read({str(path)!r}); print('read')\n"
        "except FormatError: print(peak() - before, time.perf_counter() - start)\n"
    )
    out = python(code).stdout
    growth, seconds = map(float, out.split())
    assert growth <= 4 * path.stat().st_size + 2 * MIB
    assert seconds < 2


def golden() -> bytes:
    header = {"a": tensor(shape=[2, 1], offsets=[0, 8]), "b/é": tensor("BOOL", [3], [8, 11])} | META
    return pack(json.dumps(header, ensure_ascii=False).encode(), bytes(range(8)) + b"\0\1\0")


def read_or_refuse(path: pathlib.Path, content: bytes) -> bool:
    path.unlink(missing_ok=True)  # ext4 would flush a file that is truncated and written again
    path.write_bytes(content)
    try:
        tensors, document = files.read(path)
    except FormatError:
        return False
    assert isinstance(document, dict)
    assert sum(a.nbytes for a in tensors.values()) <= len(content)
    return True


def test_every_truncation_is_refused(tmp_path: pathlib.Path) -> None:
    content = golden()
    assert read_or_refuse(tmp_path / "m", content)
    for n in range(len(content)):
        assert not read_or_refuse(tmp_path / "m", content[:n]), n


def test_every_flip_is_refused_or_read(tmp_path: pathlib.Path) -> None:
    content = golden()
    header_end = 8 + int.from_bytes(content[:8], "little")
    for at in range(len(content)):
        for bit in range(8):
            flipped = content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :]
            read = read_or_refuse(tmp_path / "m", flipped)
            if at < 8:
                assert not read
            if header_end <= at < header_end + 8:
                assert read  # a float has 2**32 values
    for at in range(8, header_end):
        for value in b'\0"\\{}[],:0-e\xff':
            read_or_refuse(tmp_path / "m", content[:at] + bytes([value]) + content[at + 1 :])


def test_random_mutations_are_refused_or_read(tmp_path: pathlib.Path) -> None:
    content, rng = golden(), random.Random(0)
    tokens = [b"[", b"]", b"{", b"}", b'"', b"\\", b"1e9", b"-1", b"null", b'{"nncore":"{}"}', b"18446744073709551616"]
    for _ in range(5000):
        mutant = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(8, len(mutant))
            mutant[at : at + rng.randint(0, 6)] = rng.choice([rng.choice(tokens), rng.randbytes(rng.randint(0, 4))])
        if rng.random() < 0.7:  # keep the length right, so that the header is reached
            n = int.from_bytes(content[:8], "little") + len(mutant) - len(content)
            mutant[:8] = max(n, 0).to_bytes(8, "little")
        read_or_refuse(tmp_path / "m", bytes(mutant))


def test_reading_acts_on_nothing_else(tmp_path: pathlib.Path) -> None:
    code = (
        "import sys; from nncore import files; from nncore.errors import FormatError\n"
        "path, events = sys.argv[1], []\n"
        "def read():\n"
        "    try: files.read(path)\n"
        "    except FormatError: pass\n"
        "read()\n"
        "sys.addaudithook(lambda name, args: events.append((name, args)))\n"
        "read()\n"
        "print([e for e in events if e[0] != 'open' or e[1][0] != path])\n"
    )
    files.write(tmp_path / "m", arrays(), DOCUMENT)
    for content in ((tmp_path / "m").read_bytes(), golden()[:-1], pack(b'{"__import__": "os"}')):
        (tmp_path / "m").write_bytes(content)
        assert python(code, str(tmp_path / "m")).stdout == "[]\n"


# ---- atomic writing --------------------------------------------------------------------------------------------------


def test_mode_is_kept_or_default(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m"
    old = os.umask(0o027)
    try:
        files.write(path, {}, {})
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        for mode in (0o600, 0o666):
            path.chmod(mode)
            files.write(path, {}, {"a": 1})
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(old)


def test_symbolic_link_stays(tmp_path: pathlib.Path) -> None:
    (tmp_path / "link").symlink_to("real")
    files.write(tmp_path / "link", {}, {"a": 1})
    assert (tmp_path / "link").is_symlink() and files.read(tmp_path / "real")[1] == {"a": 1}


def test_relative_path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.write("m", {}, {"a": 1})
    assert files.read("m")[1] == {"a": 1}


@pytest.mark.parametrize("call", ["open", "fchmod", "write", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), OSError(errno.EIO, "broken"), KeyboardInterrupt()])
def test_disk_faults(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, call: str, error: BaseException) -> None:
    """The nth call fails, for n = 1, 2, … until the save succeeds."""
    path = tmp_path / "m"
    new = {"a": np.arange(100), "b": np.ones(3)}
    real = getattr(os, call)
    for nth in range(1, 100):
        files.write(path, {"a": np.zeros(5)}, {"old": True})
        calls = 0

        def faulty(*args: Any, nth: int = nth, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == nth:
                if call == "write":
                    real(args[0], memoryview(args[1])[:3])  # some of it reaches the disk
                raise error
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, faulty)
            try:
                files.write(path, new, {"old": False})
                failed = False
            except type(error):
                failed = True
        assert temporaries(tmp_path) == []
        tensors, document = files.read(path)
        if not failed:
            same(tensors, new)
            assert nth == calls + 1
            break
        directory_flush = (call, nth) in (("fsync", 2), ("open", 2))
        assert document == {"old": not directory_flush}
        same(tensors, new if directory_flush else {"a": np.zeros(5)})
    assert nth == {"open": 3, "fchmod": 2, "write": 5, "fsync": 3, "replace": 2}[call]


def test_short_writes(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, memoryview(data)[:7]))
    expected = arrays()
    files.write(tmp_path / "m", expected, DOCUMENT)
    same(files.read(tmp_path / "m")[0], expected)


def test_a_full_disk(tmp_path: pathlib.Path) -> None:
    """RLIMIT_FSIZE stands for it: the kernel itself refuses in the middle of a write."""
    files.write(tmp_path / "m", {}, {"old": True})
    code = (
        "import numpy, resource, signal; from nncore import files\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        f"files.write({str(tmp_path / 'm')!r}, {{'a': numpy.ones(10000)}}, {{}})\n"
    )
    assert "OSError: [Errno 27]" in python(code).stderr
    assert files.read(tmp_path / "m")[1] == {"old": True} and temporaries(tmp_path) == []


def test_leftovers_of_this_target_are_removed(tmp_path: pathlib.Path) -> None:
    dead = [f".m.{i:016x}.tmp" for i in range(3)]
    others = [".m2." + "0" * 16 + ".tmp", ".m.0.tmp", "m.tmp", ".m." + "0" * 16 + ".tmp2"]
    for name in dead + others:
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / f".m.{'f' * 16}.tmp")
    (tmp_path / f".m.{'e' * 16}.tmp").symlink_to("m2")
    files.write(tmp_path / "m", {}, {})
    left = set(os.listdir(tmp_path))
    assert left.isdisjoint(dead) and left >= set(others)


def test_a_save_leaves_a_running_one_alone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another save of the same file, from start to end, between any two steps of this one."""
    path = tmp_path / "m"
    for call in ("write", "fsync", "replace"):
        with monkeypatch.context() as patch:
            real, busy = getattr(os, call), False

            def nested(*args: Any, real: Any = real, **kwargs: Any) -> Any:
                nonlocal busy
                if not busy:
                    busy = True
                    files.write(path, {}, {"who": "inner"})
                    busy = False
                return real(*args, **kwargs)

            patch.setattr(os, call, nested)
            files.write(path, {}, {"who": "outer"})
        # The last fsync is that of the directory, after the outer save is done.
        assert files.read(path)[1] == {"who": "inner" if call == "fsync" else "outer"}
        assert temporaries(tmp_path) == []


def test_kill_in_save(tmp_path: pathlib.Path) -> None:
    path, rng = tmp_path / "m", random.Random(0)
    killed_inside = 0
    for i in range(100):
        child = os.fork()
        if child == 0:
            n = 1000 * i
            while True:
                files.write(path, {"a": np.full(30000, n)}, {"n": n})
                n += 1
        time.sleep(rng.random() * 0.03)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if path.exists():
            tensors, document = files.read(path)
            np.testing.assert_array_equal(tensors["a"], np.full(30000, document["n"]))
        killed_inside += bool(temporaries(tmp_path))
        if i % 5 == 4:
            files.write(path, {"a": np.full(30000, -1)}, {"n": -1})
            assert temporaries(tmp_path) == []
    assert killed_inside


@linux
def test_memory_of_a_save_and_a_load(tmp_path: pathlib.Path) -> None:
    """Contiguous tensors are written from where they are, and read to where they stay."""
    code = PEAK + (
        "a = numpy.ones(40_000_000, numpy.uint8); before = peak()\n"
        f"path = {str(tmp_path / 'm')!r}\n"
        "files.write(path, {'a': a, 'b': a.reshape(10, -1)}, {}); print(peak() - before)\n"
        "found = files.read(path); print(peak() - before)\n"
    )
    saved, loaded = map(int, python(code).stdout.split())
    assert saved < 10 * MIB
    assert loaded < 80_000_000 + 10 * MIB
