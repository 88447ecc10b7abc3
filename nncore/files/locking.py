"""A lock on what several processes might write."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import platform
import weakref

from nncore.files.opening import owned


class FileLock:
    """Keep other processes, and other holders in this one, out, by a lock on a file.

    The kernel frees it when the process ends, however it does; a forked child does not hold it. Where the file system
    has no locks, nobody is kept out.

    Parameters
    ----------
    path : str
        The file; it is made, and removed by `release`.

    Raises
    ------
    BlockingIOError
        Somebody else has it; the text says who.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.file: io.FileIO | None = None
        _held.add(self)
        while True:
            self.file = owned(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = self.file.read(200).decode(errors="replace").strip()
                self.file.close()
                raise BlockingIOError(holder or "another process") from None
            except OSError:
                return
            if self._is_there():
                break
            self.file.close()  # its holder removed it before it was ours
        self.file.truncate(0)
        self.file.write(f"process {os.getpid()} on {platform.node()}\n".encode())

    def _is_there(self) -> bool:
        """Whether the locked file is still the one of that name."""
        assert self.file is not None
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self.file.fileno()), os.lstat(self.path))
        return False

    def release(self) -> None:
        """Remove the file, and let others in."""
        if self.file is not None and not self.file.closed:
            with contextlib.suppress(OSError):
                if self._is_there():
                    os.unlink(self.path)
            self.file.close()


_held: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget() -> None:
    """Close a new child's copies: as long as one is open, the lock is held."""
    for lock in list(_held):
        if lock.file is not None:
            lock.file.close()


os.register_at_fork(after_in_child=_forget)
