"""Arrays of all types of files, and what damaged files are made of."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from nncore import files

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


def python(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)


def temporaries(directory: pathlib.Path) -> list[str]:
    return [name for name in os.listdir(directory) if name.endswith(".tmp")]


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
