"""Who may change what: locks that do not follow a fork, and a model's turn.

A forked child has but one thread, and nobody to release what others held.
"""

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


class Turn:
    """Whose turn it is to change a model: the thread that fits it, or else the one that does a single step or a write.

    Attributes
    ----------
    lock : Lock
        Held by a thread during a single step.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.end()

    def begin(self, fit: Any) -> None:
        """Let `fit` have the model until `end`: one at a time, whatever threads ask."""
        with self.lock():
            self.require("fit", within_fit=False)
            self.given, self.thread, self.process = fit, threading.get_ident(), os.getpid()

    def end(self) -> None:
        """Let others have it again."""
        self.given, self.thread, self.process = None, 0, 0

    @property
    def elsewhere(self) -> bool:
        """Whether the fit is another thread's."""
        return self.thread != threading.get_ident()

    @property
    def fit(self) -> Any:
        """The fit that has the model; None without one, and where its thread was left behind by a fork."""
        return None if self.given is None or (self.elsewhere and self.process != os.getpid()) else self.given

    def require(self, action: str, within_fit: bool = True) -> None:
        """Raise unless the calling thread may change the model: no fit has it, or its own, from a callback."""
        if self.fit is not None and (self.elsewhere or not within_fit):
            who = " by another thread" if self.elsewhere else ""
            raise RuntimeError(f"{action}: this model is being fitted{who}; wait for it, or use a copy (copy.deepcopy)")

    def __reduce__(self) -> tuple[Any, ...]:
        return Turn, ()


_alive: weakref.WeakSet[Lock] = weakref.WeakSet()


def renew_all() -> None:
    """Free all locks, in a new child."""
    for lock in _alive:
        lock.renew()


os.register_at_fork(after_in_child=renew_all)
