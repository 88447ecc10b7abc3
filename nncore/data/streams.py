"""Data that come batch by batch: iterables, generators, loaders of other libraries, and what is asked for by number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np

from nncore.arguments import an
from nncore.conversion import is_array_like

#: (x, y, sample_weight); what a batch does not have is None.
Batch = tuple[Any, Any, Any]

#: The order of the batches of a pass, for those that are asked for by number.
Order = Callable[[int], Any]


class Numbered(Protocol):
    """What has batches by number, such as Keras's PyDataset."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Any: ...


def is_stream(x: Any) -> bool:
    """Whether `x` gives batches one after another, rather than being rows itself."""
    if x is None or isinstance(x, (np.ndarray, list, tuple, Mapping, str, bytes, type)) or hasattr(x, "toarray"):
        return False
    if hasattr(x, "__next__"):
        return True
    if is_array_like(x) or hasattr(x, "columns"):
        return False
    return hasattr(x, "__iter__") or is_numbered(x) or (callable(x) and not hasattr(x, "shape"))


def is_numbered(x: Any) -> bool:
    """Whether batches are asked for by number."""
    return hasattr(x, "__getitem__") and (hasattr(x, "__len__") or hasattr(x, "num_batches"))


def plain(part: Any) -> Any:
    """A part of a batch as what NumPy reads: a tensor that has but `numpy()` as what that returns."""
    if isinstance(part, (list, tuple)):
        return type(part)(map(plain, part)) if type(part) in (list, tuple) else list(map(plain, part))
    if isinstance(part, Mapping):
        return {key: plain(value) for key, value in part.items()}
    return part.numpy() if hasattr(part, "numpy") and not hasattr(part, "__array__") else part


def taken_apart(batch: Any, argument: str) -> Batch:
    """x, y and weights of a batch: x alone, or a tuple, or list, of up to three."""
    if not isinstance(batch, (tuple, list)):
        return plain(batch), None, None
    if not 1 <= len(batch) <= 3:
        raise ValueError(
            f"{argument}: expected batches (x, y) or (x, y, sample_weight), got one of {len(batch)} parts. Give "
            "several inputs or outputs as a tuple, or a dict by name, within it: ((x1, x2), y)"
        )
    x, y, weight = [*map(plain, batch), None, None][:3]
    return x, y, weight


class Stream:
    """Batches of a data set, pass after pass.

    Parameters
    ----------
    source : iterable, iterator, function or object of batches by number
        An iterable is started anew for each pass, a function called for an iterable. An iterator (a generator) has one
        pass, which ends when it is exhausted. Of an object of batches by number, with ``len(source)`` or
        `num_batches`, None if they never end, ``source[i]`` is batch i.
    argument : str
        What the user calls it, for errors.

    Attributes
    ----------
    done : int
        Batches of the pass that were given out.
    passes : bool
        Whether there can be another pass.
    """

    def __init__(self, source: Any, argument: str = "x") -> None:
        kinds = type(source).__mro__
        if any(c.__name__ == "Dataset" and c.__module__.startswith("torch.") for c in kinds):
            raise TypeError(
                f"{argument}: expected batches, got {an(type(source).__name__)} of torch, which gives single samples. "
                "Give torch.utils.data.DataLoader(dataset, batch_size=…)"
            )
        self.source, self.argument = source, argument
        self.numbered = is_numbered(source) and not hasattr(source, "__next__")
        self.passes = not hasattr(source, "__next__")
        self.iterator: Iterator[Any] | None = None
        self.waiting: list[Batch] = []  # looked at already
        self.order: Any = None
        self.done = 0

    @property
    def length(self) -> int | None:
        """Batches of a pass, where that is known."""
        if self.numbered and hasattr(self.source, "num_batches"):
            count = self.source.num_batches
            return None if count is None else int(count)
        try:
            return len(self.source) if hasattr(self.source, "__len__") else None
        except TypeError:  # a loader of what has no length
            return None

    def peek(self) -> Batch:
        """The next batch, which `next` will return."""
        if self.numbered and not self.waiting:
            return self.numbered_batch(self.done)
        if not self.waiting:
            batch = self.following()
            if batch is None:
                raise ValueError(f"{self.argument}: expected batches, got {an(type(self.source).__name__)} without any")
            self.waiting.append(batch)
        return self.waiting[0]

    def start(self, order: Any = None) -> None:
        """Begin a pass: that of the batch that was peeked at, if nothing was given out of it; `order`: of numbers."""
        if not self.done and self.waiting:
            return
        self.order, self.done, self.waiting = order, 0, []
        self.iterator = None if self.passes else self.iterator

    def skip(self, batches: int) -> None:
        """Pass over batches of a pass that has just begun."""
        if self.numbered:
            self.done += batches
            return
        for _ in range(batches):
            if self.next() is None:
                raise ValueError(
                    f"{self.argument}: expected what the interrupted fit was given, to resume it, got fewer batches. "
                    "Give the same, from its beginning, or delete the backup to start anew"
                )

    def next(self) -> Batch | None:
        """The next batch; None at the end of the pass."""
        batch = self.waiting.pop() if self.waiting else self.following()
        self.done += batch is not None
        return batch

    def following(self) -> Batch | None:
        """The same, from the source."""
        if self.numbered:
            length = self.length
            return self.numbered_batch(self.done) if length is None or self.done < length else None
        if self.iterator is None:
            source = self.source() if callable(self.source) and not hasattr(self.source, "__iter__") else self.source
            if not hasattr(source, "__iter__") and not hasattr(source, "__next__"):
                raise TypeError(
                    f"{self.argument}: expected a function that returns batches one after another, got one that "
                    f"returns {an(type(source).__name__)}. Let it be a generator: yield x, y"
                )
            self.iterator = iter(source) if hasattr(source, "__iter__") else source
        nothing = object()
        batch = next(self.iterator, nothing)
        return None if batch is nothing else taken_apart(batch, self.argument)

    def numbered_batch(self, place: int) -> Batch:
        """The batch at this place of the pass."""
        number = place if self.order is None else int(self.order[place])
        return taken_apart(self.source[number], self.argument)

    def tell(self, hook: str) -> None:
        """Call a hook of the source, such as PyDataset's `on_epoch_end`, if it has that."""
        if (method := getattr(self.source, hook, None)) is not None:
            method()
