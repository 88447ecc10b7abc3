"""Writing a file: all or nothing on any fault of the disk or end of the process."""

from __future__ import annotations

import errno
import os
import pathlib
import random
import signal
import stat
import time
from typing import Any

import numpy as np
import pytest
from documents_of_all_types import DOCUMENT, MIB, PEAK, arrays, linux, python, same, temporaries

from nncore import files

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
    error = python(code).stderr.splitlines()[-1]
    assert error.startswith("OSError: [Errno 27]") and error.endswith(repr(str(tmp_path / "m")))
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
