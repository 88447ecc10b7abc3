"""How a user gives several things, and gets them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class Arrangement:
    """One by itself, or all in a list, tuple or dict.

    Parameters
    ----------
    given : object
        One, a list or tuple, or a dict, which is taken in the order of its sorted keys, as Keras does. A list or tuple
        of one is that one; a dict of one stays a dict.
    """

    def __init__(self, given: Any) -> None:
        self.keys: list[str] | None = None
        if isinstance(given, Mapping) and given and all(isinstance(key, str) for key in given):
            self.keys = sorted(given)
        self.single = not (isinstance(given, (list, tuple, Mapping)) and len(given) > 1)
        self.kind: type[list[Any] | tuple[Any, ...]] = tuple if isinstance(given, tuple) else list

    @property
    def form(self) -> list[str] | str | None:
        """What files say of it: the keys of a dict, "tuple", or else None."""
        return "tuple" if self.kind is tuple and not self.single else self.keys

    def flat(self, given: Any) -> list[Any]:
        """What is given in this arrangement, as a list."""
        if self.keys is not None:
            return [given[key] for key in self.keys]
        if isinstance(given, Mapping):
            return list(given.values())
        return list(given) if isinstance(given, (list, tuple)) else [given]

    def match(self, given: Any, names: Sequence[str], argument: str) -> list[Any]:
        """What is given for things of these names, in their order: in a list, or in a dict by name."""
        if self.single:
            parts = given.values() if isinstance(given, Mapping) else given
            return list(parts) if isinstance(given, (list, tuple, Mapping)) and len(given) == 1 else [given]
        if isinstance(given, Mapping):
            if set(given) != set(names):
                raise ValueError(f"{argument}: expected a dict with the keys {list(names)}, got {list(given)}")
            return [given[name] for name in names]
        if not isinstance(given, (list, tuple)) or len(given) != len(names):
            what = f"{len(given)}" if isinstance(given, (list, tuple)) else type(given).__name__
            raise ValueError(
                f"{argument}: expected a list of {len(names)}, or a dict with the keys {list(names)}, got {what}"
            )
        return list(given)

    def pack(self, values: Sequence[Any]) -> Any:
        """A value for each, arranged as they were given."""
        if self.keys is not None:
            return dict(zip(self.keys, values, strict=True))
        return values[0] if self.single else self.kind(values)


def unnamed(made: Any) -> Any:
    """What the next layer of a stack reads of what one made: that of a dict of one, to which a model gives a name."""
    if isinstance(made, dict) and len(made) == 1:
        [made] = made.values()
    return made
