"""Replacing a file so that an interruption at any point leaves the old one or the new one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterable


def replace(path: str, pieces: Iterable[bytes | memoryview]) -> None:
    """Atomically make `pieces` the content of `path`."""
    directory, base = os.path.split(path)
    old_mode = None
    with contextlib.suppress(FileNotFoundError):
        old_mode = os.stat(path).st_mode
    if old_mode is not None and not stat.S_ISREG(old_mode):
        raise ValueError(f"path: expected a regular file or a new one, got {path!r}; choose another name")
    _remove_leftovers(directory, base)
    fd, temporary = _create_temporary(directory, base, 0o666 if old_mode is None else stat.S_IMODE(old_mode))
    try:
        if old_mode is not None:
            os.fchmod(fd, stat.S_IMODE(old_mode))
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(fd, rest[: 1 << 24]) :]
        os.fsync(fd)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    finally:
        os.close(fd)  # and with it the lock: a temporary is locked until it has its final name
    directory_fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory_fd)
    finally:
        os.close(directory_fd)


def _create_temporary(directory: str, base: str, mode: int) -> tuple[int, str]:
    """Create and lock `.base.<random>.tmp`; the lock tells a concurrent save from a killed one."""
    while True:
        name = os.path.join(directory, f".{base}.{secrets.token_hex(8)}.tmp")
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        with contextlib.suppress(OSError):  # a file system without locks: nobody can lock, so nobody removes
            fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return fd, name
        os.close(fd)  # another save took it for a leftover before it was locked


def _remove_leftovers(directory: str, base: str) -> None:
    """Unlink temporaries for the same target whose writer is dead."""
    pattern = re.compile(rf"\.{re.escape(base)}\.[0-9a-f]{{16}}\.tmp")
    for name in filter(pattern.fullmatch, os.listdir(directory)):
        leftover = os.path.join(directory, name)
        with contextlib.suppress(OSError):
            fd = os.open(leftover, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(leftover)
            finally:
                os.close(fd)
