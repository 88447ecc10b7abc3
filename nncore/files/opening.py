"""Descriptors that no interrupt can lose.

Ctrl-C may raise KeyboardInterrupt between any two instructions of Python, also between `os.open` and the next. So a
descriptor must be owned by an object that closes it when it dies, before the interpreter comes to its next instruction.
"""

from __future__ import annotations

import io
import itertools
import os


def owned(path: str, flags: int, mode: int = 0o666) -> io.FileIO:
    """Open a file, no directory, as `os.open` does: the object that closes it is made in the same call of C."""
    return next(map(io.FileIO, map(os.open, (path,), (flags | os.O_CLOEXEC,), (mode,)), ("r+",)))


def sync_directory(path: str) -> None:
    """Flush a directory's entries to the disk: opened, flushed and closed in one call of C."""
    opened, flushed = itertools.tee(map(os.open, (path,), (os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC,)))
    try:
        next(zip(map(os.fsync, opened), map(os.close, flushed), strict=False))
    except BaseException:
        next(map(os.close, flushed), None)  # it was opened, but not flushed
        raise
