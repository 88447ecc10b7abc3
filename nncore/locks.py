"""A lock that does not follow a fork: the child has but one thread, and nobody to release what others held."""

from __future__ import annotations

import os
import threading
import weakref
from typing import Any


class Lock:
    """Gives the lock of this process, ``with lock():``, which a thread may take several times.

    A forked child has a new one, whoever held the parent's; so has a copy. What it protects must make sense in the
    middle of a change: a mark of what is complete, set last.
    """

    def __init__(self) -> None:
        self.renew()
        _alive.add(self)

    def renew(self) -> None:
        """Be free; who holds it still releases the old one."""
        self.own = threading.RLock()

    def __call__(self) -> Any:
        """The lock of this process."""
        return self.own

    def __reduce__(self) -> tuple[Any, ...]:
        return Lock, ()


_alive: weakref.WeakSet[Lock] = weakref.WeakSet()


def renew_all() -> None:
    """Free all locks, in a new child."""
    for lock in _alive:
        lock.renew()


os.register_at_fork(after_in_child=renew_all)
