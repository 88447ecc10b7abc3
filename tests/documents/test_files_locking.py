"""The lock on a file: one holder, whoever it is; free when it dies, and not kept by its children."""

from __future__ import annotations

import errno
import fcntl
import os
import pathlib
import signal
import subprocess
import sys
from typing import Any

import pytest

from nncore.files import FileLock

HOLD = "import sys, time; from nncore.files import FileLock; lock = FileLock(sys.argv[1]); print('held', flush=True); "


def holder(path: str, then: str) -> subprocess.Popen[str]:
    child = subprocess.Popen([sys.executable, "-c", HOLD + then, path], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "held\n"
    return child


def test_one_holder(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "lock")
    lock = FileLock(path)
    with pytest.raises(BlockingIOError, match=f"process {os.getpid()} on "):
        FileLock(path)
    lock.release()
    assert os.listdir(tmp_path) == []
    lock.release()
    FileLock(path).release()


def test_another_process_and_its_death(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "lock")
    child = holder(path, "time.sleep(60)")
    with pytest.raises(BlockingIOError, match=f"process {child.pid} on "):
        FileLock(path)
    child.send_signal(signal.SIGKILL)
    child.wait()
    FileLock(path).release()
    assert os.listdir(tmp_path) == []


def test_children_do_not_hold_it(tmp_path: pathlib.Path) -> None:
    """Neither a forked one nor a started program; nor do they free it, or remove the file."""
    path = str(tmp_path / "lock")
    lock = FileLock(path)
    read, write = os.pipe()
    forked = os.fork()
    if forked == 0:
        os.close(write)
        lock.release()
        os.read(read, 1)
        os._exit(0)
    started = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    os.close(read)
    with pytest.raises(BlockingIOError):
        FileLock(path)
    assert os.path.exists(path)
    lock.release()
    FileLock(path).release()
    os.close(write)
    os.waitpid(forked, 0)
    started.communicate(b"\n")


def test_an_orphan_of_a_killed_holder(tmp_path: pathlib.Path) -> None:
    child = holder(str(tmp_path / "lock"), "import os; os.write(1, b'%d\\n' % os.fork()); time.sleep(60)")
    assert child.stdout is not None
    orphan = max(int(child.stdout.readline()), int(child.stdout.readline()))
    child.kill()
    child.wait()
    FileLock(str(tmp_path / "lock")).release()
    os.kill(orphan, signal.SIGKILL)


def test_a_file_that_its_holder_removes_meanwhile(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock on a file that has lost its name keeps nobody out: another file is made."""
    path, real = str(tmp_path / "lock"), fcntl.flock

    def flock(file: Any, operation: int) -> None:
        monkeypatch.undo()
        os.unlink(path)
        real(file, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    lock = FileLock(path)
    with pytest.raises(BlockingIOError):
        FileLock(path)
    lock.release()


def test_a_file_system_without_locks(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(file: Any, operation: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    first, second = FileLock(str(tmp_path / "lock")), FileLock(str(tmp_path / "lock"))
    first.release()
    second.release()
    assert os.listdir(tmp_path) == []


def test_a_link_is_not_followed(tmp_path: pathlib.Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "lock").symlink_to("victim")
    with pytest.raises(OSError, match="symbolic links"):
        FileLock(str(tmp_path / "lock"))
    assert (tmp_path / "victim").read_text() == "precious"
