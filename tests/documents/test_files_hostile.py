"""Files that others made or damaged are refused, at little cost, or read: never half, and nothing in them acts."""

from __future__ import annotations

import json
import os
import pathlib
import random

import pytest
from documents_of_all_types import BOMBS, DOCUMENT, MIB, PEAK, arrays, linux, pack, python, tensor

from nncore import files
from nncore.errors import FormatError

META = {"__metadata__": {"nncore": "{}"}}


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
