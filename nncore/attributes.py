"""What may be set on an object: a name that means something, or one of the user's own; never a slip in silence."""

from __future__ import annotations

import difflib
import functools
import inspect
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from nncore.arguments import an
from nncore.habits import HABITS

CLOSE = 0.82  # likeness of two names, as difflib has it, from which one is taken for a slip of the other
NUMBERED = "_0123456789"  # at the end they make another name on purpose: layer_1
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

_found: weakref.WeakKeyDictionary[type, dict[str, inspect.Parameter]] = weakref.WeakKeyDictionary()
_settings: weakref.WeakKeyDictionary[type, frozenset[str]] = weakref.WeakKeyDictionary()


def arguments(cls: type) -> dict[str, inspect.Parameter]:
    """The named arguments of a class's constructor, in order; those behind ``**kwargs`` are its base's."""
    if cls not in _found:
        _found[cls] = inspected(cls)
    return _found[cls]


def inspected(cls: type) -> dict[str, inspect.Parameter]:
    """See `arguments`."""
    found: dict[str, inspect.Parameter] = {}
    for base in cls.__mro__:
        if base is object or (init := vars(base).get("__init__")) is None:
            continue
        _, *parameters = inspect.signature(init).parameters.values()  # without self
        for p in parameters:
            if p.kind in NAMED:
                found.setdefault(p.name, p)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found


def shown(obj: Any, given: Mapping[str, Any]) -> str:
    """The call that makes an object: its class with these arguments, functions by their names."""
    said = {name: value.__qualname__ if inspect.isfunction(value) else repr(value) for name, value in given.items()}
    return f"{type(obj).__name__}({', '.join(f'{name}={text}' for name, text in said.items())})"


def settings(cls: type) -> frozenset[str]:
    """The arguments of a class's constructor and of those of its bases, which it may call with values of its own."""
    if cls not in _settings:
        _settings[cls] = frozenset(name for base in cls.__mro__ for name in arguments(base))
    return _settings[cls]


def ours(cls: type) -> bool:
    """Whether it is a class of this package."""
    return cls.__module__.partition(".")[0] == "nncore"


def as_made(thing: Any, name: str, value: Any, makers: Iterable[type]) -> Any:
    """`value` as the constructor of the first of the classes that takes the argument `name` checks and keeps it.

    The other arguments are what `thing` has; `value` itself, where it lacks one, or no class takes the argument.
    """
    maker = next((cls for cls in makers if name in arguments(cls)), None)
    known = arguments(maker) if maker else {}
    given_as = getattr(thing, "argument", functools.partial(getattr, thing))  # another attribute may hold it
    given = {n: given_as(n) for n in known if hasattr(thing, n)}
    if maker is None or any(p.default is p.empty and n not in given for n, p in known.items()):
        return value
    return getattr(maker(**given | {name: value}), name)


def opening(init: Callable[..., None]) -> Callable[..., None]:
    """A constructor during which anything may be set, that of a subclass included."""

    @functools.wraps(init)
    def constructor(self: Any, *args: Any, **kwargs: Any) -> None:
        if "_open" in vars(self):  # called by another
            init(self, *args, **kwargs)
            return
        vars(self)["_open"] = True
        try:
            init(self, *args, **kwargs)
        finally:
            del vars(self)["_open"]
        if self._made_by and self._made_by not in vars(self):
            raise RuntimeError(
                f"{type(self).__name__}: expected a constructor that begins with super().__init__(…), got one that "
                "does not call it"
            )

    return constructor


class Guarded:
    """Base of what users hold: setting an attribute has effect, makes one of the user's own, or is an AttributeError.

    A user's own attribute may have any name that is not close to one that means something here; it may be one with a
    number at its end, or the plural of what is no argument of the constructor. Constructors set what they like; names
    that begin with an underscore are free.

    Attributes
    ----------
    own : bool
        Whether there can be attributes of the user's own, apart from those that a subclass's constructor makes.
    remedies : dict
        What to do instead of setting an attribute that cannot be set, by its name.
    settable : tuple of str
        What may be set besides the constructor's arguments and properties with a setter.
    constructors : tuple of str
        Methods that set what they like.
    """

    own: ClassVar[bool] = True
    remedies: ClassVar[dict[str, str]] = {}
    settable: ClassVar[tuple[str, ...]] = ()
    constructors: ClassVar[tuple[str, ...]] = ("__init__",)
    _made_by: ClassVar[str] = ""  # what the constructor of the base sets, where users derive from it
    _passed: ClassVar[set[str]] = set()  # names that need no second look, for a fit sets some

    def __init_subclass__(cls, guarded: bool = True, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._passed = set()
        if not guarded:  # of what every fit makes
            type.__setattr__(cls, "__setattr__", object.__setattr__)
            return
        for name in cls.constructors:
            if name in vars(cls):
                setattr(cls, name, opening(vars(cls)[name]))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._passed and name[:1] != "_" and "_open" not in self.__dict__:
            value = self._checked(name, value)
        try:
            object.__setattr__(self, name, value)
        except AttributeError as error:
            if isinstance(getattr(type(self), name, None), property) and "no setter" in str(error):
                raise AttributeError(
                    f"{name}: expected a name that {an(type(self).__name__)} does not have itself, got one of its. "
                    "Give the attribute another"
                ) from None
            raise

    def _kind(self) -> str:
        """What this is, for messages."""
        return type(self).__name__

    def _checked(self, name: str, value: Any) -> Any:
        """What is set where a user sets `value`; an AttributeError where nothing can be."""
        cls, known = type(self), getattr(type(self), name, None)
        if isinstance(known, property) and known.fset is None:
            remedy = self.remedies.get(name, "It follows from what the object is made of.")
            raise AttributeError(f"{name}: cannot be set on {an(cls.__name__)}. {remedy}")
        if name in self.remedies and name in self.__dict__:
            raise AttributeError(f"{name}: fixed when the {self._kind()} is made. {self.remedies[name]}")
        if name in self.__dict__ and name in settings(cls):
            return self._changed(name, value)
        if name in arguments(cls) and not (hasattr(cls, name) or hasattr(self, name)) and ours(cls):
            raise AttributeError(
                f"{name}: fixed when the {self._kind()} is made, which keeps it otherwise; make another"
            )
        if name not in self.__dict__ and (not hasattr(cls, name) or not (self.own or isinstance(known, property))):
            self._refuse_slip(name)
        free = isinstance(known, property) or not (name in self.remedies or name in settings(cls))
        if free and cls._checked is Guarded._checked:
            self._passed.add(name)
        return value

    def _changed(self, name: str, value: Any) -> Any:
        """What the constructor's argument `name` becomes where a user sets `value`."""
        return value

    def _refuse_slip(self, name: str) -> None:
        """Raise an AttributeError if the unknown `name` is close to one that means something here."""
        cls = type(self)
        properties = {n: p for n in dir(cls) if n[0] != "_" and isinstance(p := getattr(cls, n), property)}
        shown = {n for n, p in properties.items() if p.fset is None}
        free = sorted((set(arguments(cls)) | properties.keys() | set(self.settable)) - shown)
        likely = difflib.get_close_matches(name, free, n=1, cutoff=CLOSE)
        likely = likely or difflib.get_close_matches(name, sorted(shown), n=1, cutoff=CLOSE)
        ends = NUMBERED + ("" if likely and likely[0] in set(arguments(cls)) - shown else "s")
        if self.own and (not likely or name.rstrip(ends) == likely[0].rstrip(ends)):
            return
        hint = f" Did you mean {likely[0]!r}?" if likely else f" {HABITS[name].remedy}" if name in HABITS else ""
        have = "" if self.own else f" Known: {', '.join(free) or 'none'}"
        raise AttributeError(f"{name}: expected an attribute of {cls.__name__}, got an unknown name.{hint}{have}")
