"""Classes and functions of a user's own, by the names under which files have them; Keras's functions for them."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T", bound=Callable[..., Any])

#: By registered name. Files name nothing else of a user's.
OBJECTS: dict[str, Any] = {}
_names: dict[Any, str] = {}


class Kept(threading.local):
    """What was named within `keeping`, by these names; None elsewhere."""

    objects: dict[str, Any] | None = None


_kept = Kept()


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """Decorator: files that name this class or function find it again.

    Parameters
    ----------
    package : str, default "Custom"
    name : str, optional
        Default: its own. Files have it as ``package>name``.

    Raises
    ------
    TypeError, ValueError
        What is decorated is no class or function, or another one has the name.
    """
    for argument, value in (("package", package), ("name", "" if name is None else name)):
        if not isinstance(value, str):
            raise TypeError(f"{argument}: expected a string, got {value!r}")

    def register(thing: T) -> T:
        if not callable(thing):
            raise TypeError(f"register_keras_serializable: expected a class or function, got {thing!r}")
        key = f"{package}>{name or thing.__name__}"
        other = OBJECTS.get(key)
        same = (getattr(other, "__module__", None), getattr(other, "__qualname__", None)) == (
            thing.__module__,
            thing.__qualname__,
        )
        if other is not None and other is not thing and not same:  # a cell of a notebook may be run again
            raise ValueError(f"name: expected one that no other has, got {key!r} of {other!r}. Give another name=…")
        OBJECTS[key] = thing
        _names[thing] = key
        return thing

    return register


def register_function(function: T) -> T:
    """Decorator: files that name this function find it again, by its name alone."""
    OBJECTS[function.__name__] = function
    return function


def get_registered_name(obj: Any) -> str:
    """The name under which files have a class or function: the registered one, or else its own."""
    name = _names.get(obj) or str(getattr(obj, "__name__", type(obj).__name__))
    if _kept.objects is not None and _kept.objects.setdefault(name, obj) is not obj:
        name = f"{name}#{len(_kept.objects)}"
        _kept.objects[name] = obj
    return name


@contextmanager
def keeping() -> Iterator[None]:
    """A context within which a name that a configuration is given stands for this very class or function.

    So that another object can be made by the configuration of one whose parts nobody has registered, or whose names
    others have, too: two functions called ``<lambda>``.
    """
    before, _kept.objects = _kept.objects, {}
    try:
        yield
    finally:
        _kept.objects = before


def get_registered_object(
    name: str, custom_objects: Mapping[str, Any] | None = None, module_objects: Mapping[str, Any] | None = None
) -> Any:
    """The class or function of a registered name, or of one that is given, or None."""
    own = name.rpartition(">")[2]
    for objects in (custom_objects or {}, _kept.objects or {}, OBJECTS, module_objects or {}):
        for key in (name, own):
            if key in objects:
                return objects[key]
    return None


def known() -> dict[str, Any]:
    """All that has a name here, by it."""
    return OBJECTS | (_kept.objects or {})


def find(name: Any, base: type | None = None) -> Any:
    """A class of a user's that derives from `base`, or without one a function, by its name; else None."""
    found = get_registered_object(name) if isinstance(name, str) else None
    if base is None:
        return found if callable(found) and not inspect.isclass(found) else None
    return found if inspect.isclass(found) and issubclass(found, base) else None


def function(name: str, argument: str) -> Any:
    """The function of a user's that has this name; a ValueError that says which there are."""
    found = find(name)
    if found is None:
        names = ", ".join(key for key, thing in OBJECTS.items() if not inspect.isclass(thing))
        raise ValueError(
            f"{argument}: expected the name of a registered function, got {name!r}. Known: {names or 'none'}. Make it "
            "known before: @nncore.saving.register_keras_serializable(), or custom_objects"
        )
    return found


def get_custom_objects() -> dict[str, Any]:
    """All that is known, by name; what is added is known, too."""
    return OBJECTS


def checked(custom_objects: Any) -> dict[str, Any]:
    """`custom_objects`, which may be None."""
    given = {} if custom_objects is None else custom_objects
    if not isinstance(given, Mapping) or not all(isinstance(k, str) and callable(v) for k, v in given.items()):
        raise TypeError(
            f"custom_objects: expected a dict from names to classes and functions of your own, got {custom_objects!r}"
        )
    return dict(given)


@contextmanager
def custom_object_scope(custom_objects: Mapping[str, Any] | None = None) -> Iterator[None]:
    """A context within which these classes and functions are known by these names."""
    given = checked(custom_objects)
    before = {name: OBJECTS[name] for name in given if name in OBJECTS}
    OBJECTS.update(given)
    try:
        yield
    finally:
        for name in given:
            OBJECTS.pop(name, None)
        OBJECTS.update(before)
