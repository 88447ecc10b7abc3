"""Ctrl-C at any instruction of a save or a load: the old file or the new one, and nothing left behind."""

from __future__ import annotations

import fcntl
import gc
import os
import pathlib
import sys
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from nncore import files
from nncore.files import opening

HOME = os.path.dirname(files.__file__) + os.sep
NEW = {"a": np.arange(6.0).reshape(2, 3).T, "b": np.ones(3, np.float32)}


def interrupted(action: Callable[[], Any], nth: int) -> bool:
    """Run `action` with KeyboardInterrupt in front of the nth instruction of nncore.files; False if it ended before."""
    left = [nth]

    def trace(frame: types.FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(HOME):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        return trace

    def run() -> None:
        sys.settrace(trace)
        try:
            action()
        except KeyboardInterrupt:
            ended.append(False)
        else:
            ended.append(True)
        finally:
            sys.settrace(None)

    ended: list[bool] = []
    thread = threading.Thread(target=run)  # of its own: an exception in front of any instruction may confuse Python
    thread.start()
    thread.join()
    return ended == [False]


def descriptors() -> list[str]:
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
        except FileNotFoundError:  # that of the listing
            continue
    return sorted(found)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The disk need not be waited for; and no collector that would close what was forgotten."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)
    gc.disable()
    yield
    gc.enable()


def test_save(tmp_path: pathlib.Path, quick: None) -> None:
    path = tmp_path / "m"
    files.write(path, {}, {"new": False})
    old = path.read_bytes()
    before, seen, nth = descriptors(), set(), 0
    while interrupted(lambda: files.write(path, NEW, {"new": True}), nth):
        assert os.listdir(tmp_path) == ["m"], nth
        assert descriptors() == before, nth
        new = files.read(path)[1]["new"]
        seen.add(new)
        if new:
            path.write_bytes(old)
        nth += 1
    assert nth > 500 and seen == {False, True}
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_save_beside_a_leftover(tmp_path: pathlib.Path, quick: None) -> None:
    path, leftover = tmp_path / "m", tmp_path / f".m.{'0' * 16}.tmp"
    before, nth, left = descriptors(), 0, 0
    leftover.touch()
    while interrupted(lambda: files.write(path, {}, {}), nth):
        assert descriptors() == before, nth
        assert set(os.listdir(tmp_path)) <= {"m", leftover.name}
        left += leftover.exists()
        leftover.touch()
        nth += 1
    assert left and not leftover.exists()


def test_load(tmp_path: pathlib.Path, quick: None) -> None:
    files.write(tmp_path / "m", NEW, {})
    before, nth = descriptors(), 0
    while interrupted(lambda: files.read(tmp_path / "m"), nth):
        assert descriptors() == before, nth
        nth += 1
    assert nth > 500


def test_lock(tmp_path: pathlib.Path, quick: None) -> None:
    def hold() -> None:
        files.FileLock(str(tmp_path / "lock")).release()

    before, nth = descriptors(), 0
    while interrupted(hold, nth):
        assert descriptors() == before, nth
        hold()  # nobody has it
        nth += 1
    assert nth > 50 and os.listdir(tmp_path) == []


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_directory_that_cannot_be_flushed_is_closed(
    error: type[BaseException], tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(fd: int) -> None:
        raise error("broken")

    before = descriptors()
    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(error, match="broken"):
        opening.sync_directory(str(tmp_path))
    with pytest.raises(FileNotFoundError):
        opening.sync_directory(str(tmp_path / "none"))
    assert descriptors() == before
