"""Replacing a file so that an interruption at any point leaves the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterator

from nncore.files.opening import owned, sync_directory

PLAIN_NAME = 64  # bytes of a target's name that a temporary's may contain: names have a limit


def replace(path: str, fill: Callable[[io.FileIO], None]) -> None:
    """Atomically make what `fill` writes to an empty file the content of `path`."""
    directory, base = os.path.split(path)
    with naming(path):
        mode = target_mode(path)
        remove_leftovers(directory, base)
        while not replaced(path, os.path.join(directory, temporary_name(base)), mode, fill):
            pass
        sync_directory(directory)


@contextlib.contextmanager
def naming(path: str | bytes) -> Iterator[None]:
    """A context within which an OSError that names no file, such as that of a full disk, names this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = path
        raise


def target_mode(path: str) -> int | None:
    """The mode of the file that is to be replaced, or None if there is none; raises unless it may be written.

    For replacing it the permission of its directory would do, and root needs none; a mode of 444 still says no.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise ValueError(f"path: expected a regular file or a new one, got {path!r}; choose another name")
    if not mode & 0o222 or not os.access(path, os.W_OK):
        words = f"read-only, mode {stat.S_IMODE(mode):o}: allow writing (chmod u+w), or choose another name"
        raise PermissionError(errno.EACCES, words, path)
    return stat.S_IMODE(mode)


def replaced(path: str, temporary: str, mode: int | None, fill: Callable[[io.FileIO], None]) -> bool:
    """Write the temporary and give it the final name; False if another save has just removed it.

    Its name is known before it exists, so there is no moment at which an interrupt would leave it behind.
    """
    try:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with owned(temporary, flags, 0o666 if mode is None else mode) as file:
            # A temporary is locked until it has its final name: that tells a running save from a killed one.
            with contextlib.suppress(OSError):  # a file system without locks: nobody can lock, so nobody removes
                fcntl.flock(file, fcntl.LOCK_EX)
            if not os.fstat(file.fileno()).st_nlink:
                return False  # taken for a leftover before it was locked
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            fill(file)
            os.fsync(file.fileno())
            os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    return True


def stem(base: str) -> str:
    """What the temporaries for a target of this name begin with."""
    name = os.fsencode(base)
    return f".{base}" if len(name) <= PLAIN_NAME else f".{hashlib.blake2b(name, digest_size=16).hexdigest()}"


def temporary_name(base: str) -> str:
    """A new name for a temporary: `.base.<random>.tmp`."""
    return f"{stem(base)}.{secrets.token_hex(8)}.tmp"


def remove_leftovers(directory: str, base: str) -> None:
    """Unlink temporaries for the same target whose writer is dead."""
    pattern = re.compile(rf"{re.escape(stem(base))}\.[0-9a-f]{{16}}\.tmp")
    for name in filter(pattern.fullmatch, os.listdir(directory)):
        leftover = os.path.join(directory, name)
        with contextlib.suppress(OSError), owned(leftover, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(leftover)


def write_all(file: io.FileIO, data: bytes | memoryview) -> None:
    """Write all of it, whatever a single call writes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file.fileno(), rest) :]
