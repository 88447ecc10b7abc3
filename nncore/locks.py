"""Who may change what: locks that do not follow a fork, and a model's turn.

A forked child has but one thread, and nobody to release what others held.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nncore._kernels.gate import Gate


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

    Models that share weights have one turn: those of all but one are joined to that, the root.

    Attributes
    ----------
    joined : Turn or None
        The turn that this one has become a part of.
    gate : Gate or None
        Before what is changed.
    fit : Fit or None
        Of a root: the one that has the models; it sets None in the end.
    thread : int
        Of a root: that fit's.
    lock : Lock
        Of a root: held by a thread during a single step or a write; `taken` is the way to it.
    """

    def __init__(self) -> None:
        self.lock = Lock()
        self.joined: Turn | None = None
        self.fit: Any = None
        self.thread = 0
        self.gate: Gate | None = None
        _alive.add(self)

    @property
    def root(self) -> Turn:
        """Itself, or the turn that it is a part of."""
        turn = self
        while turn.joined is not None:
            turn = turn.joined
        return turn

    def join(self, other: Turn) -> None:
        """Be a part of `other` from now on, with all that is joined to this one; no fit has it, its lock is held."""
        root, onto = self.root, other.root
        if root is not onto:
            root.joined = onto

    def begin(self, fit: Any) -> None:
        """Let `fit` have the models: one at a time, whatever threads ask."""
        with self.taken("fit"):
            self.require("fit", within_fit=False)
            root = self.root
            root.thread = threading.get_ident()  # first: others look at `fit` without the lock
            root.fit = fit

    def taken(self, action: str) -> AbstractContextManager[Any]:
        """A context for a step or a write: others wait.

        It is a lock itself, whose begin and end Ctrl-C cannot interrupt. A callback of an evaluation, which keeps steps
        of other threads waiting, does not wait for them in turn: where one is at work, it gets a RuntimeError.
        """
        lock = self.root.lock()
        return AtOnce(lock, action) if self.gate is not None and self.gate.own() else lock

    def renew(self) -> None:
        """Forget a fit whose thread a fork has left behind."""
        if self.elsewhere:
            self.fit = None

    @property
    def elsewhere(self) -> bool:
        """Whether the fit is another thread's."""
        return self.root.thread != threading.get_ident()

    def require(self, action: str, within_fit: bool = True) -> None:
        """Raise unless the calling thread may change the models: no fit has them, or its own, from a callback."""
        fit = self.root.fit
        if fit is not None and (self.elsewhere or not within_fit):
            who = " by another thread" if self.elsewhere else ""
            alone = fit.model.turn is self or len(fit.model.state.members) == 1
            what = "this model" if alone else "this model, or one that shares its weights,"
            raise RuntimeError(f"{action}: {what} is being fitted{who}; wait for it, or use a copy (copy.deepcopy)")

    def __reduce__(self) -> tuple[Any, ...]:
        return Turn, ()


class AtOnce:
    """A lock as a context that does not wait."""

    def __init__(self, lock: Any, action: str) -> None:
        self.lock, self.action = lock, action

    def __enter__(self) -> None:
        if not self.lock.acquire(blocking=False):
            raise RuntimeError(
                f"{self.action}: another thread is changing this model, and waits for the evaluation at hand to "
                "end; do it after that, or with a copy (copy.deepcopy)"
            )

    def __exit__(self, *error: object) -> None:
        self.lock.release()


_alive: weakref.WeakSet[Lock | Turn] = weakref.WeakSet()


def renew_all() -> None:
    """Free all locks and models, in a new child."""
    for one in _alive:
        one.renew()


os.register_at_fork(after_in_child=renew_all)
