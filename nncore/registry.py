"""Objects by name: strings, configurations and classes that stand for layers, losses, optimizers and their like.

Everything that a user may name by a string, and everything that is written to a file, derives from
`Configurable` and is registered in one `Registry` per kind. Files name classes only by these registered
names, so loading one can never import or call anything else.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any, ClassVar, Generic, TypeVar, cast, dataclass_transform

from nncore import custom
from nncore.arguments import an, explained, habit_of
from nncore.attributes import Guarded, arguments, shown
from nncore.habits import NAMES


def snake_case(name: str) -> str:
    """`GlorotUniform` → `glorot_uniform`, `Dropout1D` → `dropout1d`; a name that is snake case already stays."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[0-9])(?=[A-Z](?![A-Z]|$))|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def unknown(
    argument: str, kind: str, given: object, known: list[str], own: str = "", aliases: Iterable[str] = ()
) -> ValueError:
    """The error for a name that nobody registered, with the known ones and the nearest of these and their aliases."""
    near = difflib.get_close_matches(str(given), [*known, *aliases], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    remedy = f". {own}" if own else ""
    return ValueError(f"{argument}: expected a known {kind}, got {given!r}.{hint} Known: {', '.join(known)}{remedy}")


def missing(module: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error for a name that a module lacks: what does its work, or the nearest name; and all that it has."""
    if name in NAMES:
        return AttributeError(
            f"{module}: expected a known name, got {name!r}. {NAMES[name]} Known: {', '.join(sorted(known))}"
        )
    return AttributeError(str(unknown(module, "name", name, sorted(known))))


#: Whose objects users give in place of ours.
LIBRARIES = ("torch", "keras", "tensorflow", "tf_keras", "jax", "optax", "sklearn", "numpy", "scipy")

#: Of what Keras's own `serialize` returns.
KERAS_KEYS = {"class_name", "config", "module", "registered_name", "build_config", "compile_config"}

#: What finds the functions of losses and of metrics by their names, by the modules that have them.
MODULES: dict[str, Callable[[str], Any]] = {}

#: By what their classes are.
REGISTRIES: dict[str, Registry[Any]] = {}

C = TypeVar("C", bound="Configurable")


class Configurable(Guarded):
    """An object described by the arguments of its constructor, kept as attributes of the same names.

    Once it is made they do not change: what holds it may have been compiled from them. Layers differ.
    """

    own = False
    registry: ClassVar[Registry[Any]]
    name: Any
    #: What its function is called on, before the constructor's arguments: see `function_of`.
    arrays: ClassVar[tuple[str, ...]] = ()
    optional_arrays: ClassVar[tuple[str, ...]] = ()  # after those; None where they are not given
    common: ClassVar[tuple[str, ...]] = ()  # arguments that come after those of a subclass: see `immutable`

    def compute(self, *arrays: Any) -> Any:
        """What its function returns for these arrays."""
        raise NotImplementedError(f"{type(self).__name__} is not computed on arrays")

    @classmethod
    def config_names(cls) -> list[str]:
        """The constructor's arguments, in order."""
        return list(arguments(cls))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as values that JSON can hold."""
        return config_of(self, self.config_names())

    def argument(self, name: str) -> Any:
        """What the constructor was given, or what was set since."""
        return getattr(self, name)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """Build the object that `get_config` described; unknown keys are a ValueError.

        Those that Keras's configurations have beside ours are left out where they ask for nothing: ``"dtype"`` of
        float32.
        """
        known = cls.config_names()
        beside = set(config).difference(known)
        needless = {n for n in beside if (habit := habit_of(cls.__name__, n)) and habit.asks_nothing(config[n])}
        if strange := sorted(beside - needless):
            raise ValueError(f"config of {cls.__name__}: unknown keys {strange}; known: {known}")
        return cls(**{name: value for name, value in config.items() if name not in needless})

    def _kind(self) -> str:
        return self.registry.kind if hasattr(self, "registry") else super()._kind()

    def _changed(self, name: str, value: Any) -> Any:
        raise AttributeError(f"{name}: fixed when the {self._kind()} is made, cannot become {value!r}; make another")


def config_of(thing: Any, names: Iterable[str]) -> dict[str, Any]:
    """These arguments of a thing's constructor as JSON; an AttributeError for one that nothing tells.

    Where a class overrides `get_config`, that tells what is no attribute.
    """
    config = {}
    for name in names:
        try:
            config[name] = to_json(getattr(thing, "argument", functools.partial(getattr, thing))(name))
        except AttributeError:
            if type(thing).get_config.__module__.partition(".")[0] == "nncore":
                raise AttributeError(
                    f"{name}: expected as an attribute of {type(thing).__name__}, since its constructor takes it; "
                    f"set self.{name} there, or override get_config"
                ) from None
    return config


#: Arguments of constructors that functions do not have.
OF_OBJECTS = ("name", "reduction", "dtype", "seed")


def function_of(cls: type[Configurable], module: str, name: str) -> Callable[..., Any]:
    """A registered class as Keras's function of that name: ``huber(y_true, y_pred, delta=1.0)``.

    It is called on the class's `arrays`, then the constructor's arguments, and returns what `compute` does.
    `Registry.get` takes it for an object of default arguments.
    """
    positional = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = [p for p in arguments(cls).values() if p.name not in OF_OBJECTS]
    required = [inspect.Parameter(array, positional) for array in cls.arrays]
    optional = [inspect.Parameter(array, positional, default=None) for array in cls.optional_arrays]
    signature = inspect.Signature(required + optional + own)

    def function(*given: Any, **named: Any) -> Any:
        try:
            bound = signature.bind(*given, **named).arguments
        except TypeError as error:
            raise TypeError(f"{name}: expected {name}{signature}: {error}") from None
        arrays = [bound.pop(array, None) for array in (*cls.arrays, *cls.optional_arrays)]
        return cls(**bound).compute(*arrays)

    function.__name__ = function.__qualname__ = name
    function.__module__, function.__doc__ = module, cls.__doc__
    vars(function).update(__signature__=signature, registered=cls)
    return function


@dataclass_transform(frozen_default=True)
def immutable(cls: type[C]) -> type[C]:
    """Class decorator: as a frozen dataclass of the constructor's arguments; equal where class and arguments are.

    Unlike `dataclasses` it compiles no code, for which an import of some 150 classes would take a tenth of a second;
    `Configurable.common` stand behind a class's own arguments; and an object of default arguments is equal to its
    function, too: ``layer.activation == nn.activations.relu``.
    """
    fields: dict[str, Any] = {}
    for base in reversed(cls.__mro__[1:]):
        fields |= vars(base).get("_fields", {})
    for name, kind in vars(cls).get("__annotations__", {}).items():
        if not str(kind).startswith("ClassVar"):
            fields[name] = vars(cls).get(name, REQUIRED)
    fields = dict(sorted(fields.items(), key=lambda field: field[0] in cls.common))
    type.__setattr__(cls, "_fields", fields)
    if "__init__" not in vars(cls):
        type.__setattr__(cls, "__init__", constructor(fields))
    for name, method in (("__eq__", _equal), ("__hash__", _hashed), ("__repr__", _shown)):
        if getattr(cls, name) is getattr(object, name):
            type.__setattr__(cls, name, method)
    type.__setattr__(cls, "__setattr__", Guarded.__setattr__)  # whose errors say more than a dataclass's
    return cls


REQUIRED = inspect.Parameter.empty


def constructor(fields: dict[str, Any]) -> Callable[..., None]:
    """The constructor that takes these arguments, with their defaults, and keeps them as attributes."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    named = [inspect.Parameter(name, kind, default=default) for name, default in fields.items()]
    signature = inspect.Signature([inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY), *named])
    required = {name for name, default in fields.items() if default is REQUIRED}

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = dict(zip(fields, args, strict=False)) | kwargs
        if len(given) < len(args) + len(kwargs) or not required <= given.keys() <= fields.keys():
            try:
                signature.bind(self, *args, **kwargs)  # whose errors say what is wrong
            except TypeError as error:
                shown = f"{type(self).__name__}{inspect.Signature(named)}"
                raise TypeError(f"{type(self).__name__}: expected {shown}: {error}") from None
        vars(self).update(fields)
        vars(self).update(given)
        if hasattr(self, "__post_init__"):
            self.__post_init__()

    vars(__init__)["__signature__"] = signature
    return __init__


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in self._fields)


def _equal(self: Any, other: Any) -> bool:
    if class_behind(other) is type(self):
        other = type(self)()
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hashed(self: Any) -> int:
    return hash(_values(self))


def _shown(self: Any) -> str:
    return shown(self, {n: getattr(self, n) for n in self._fields})


def class_behind(function: Any) -> type[Configurable] | None:
    """The class whose function this is, by `function_of`; None of all else, whatever attributes that has."""
    cls = getattr(function, "registered", None)
    return cls if isinstance(cls, type) and issubclass(cls, Configurable) else None


def plain(name: str) -> str:
    """`name` without case and underscores: what different spellings of it have in common."""
    return name.replace("_", "").lower()


T = TypeVar("T", bound=Configurable)


class Registry(Generic[T]):
    """The known classes of one kind, by snake-case name and aliases.

    Parameters
    ----------
    kind : str
        What the classes are, for error messages: "optimizer".
    native : str, optional
        What the kernels do of their work, where classes of a user's own are not possible for that.
    own : str, optional
        How classes of a user's own are made known, where they are possible.
    """

    def __init__(self, kind: str, native: str = "", own: str = "") -> None:
        self.kind, self.native, self.own = kind, native, own
        REGISTRIES[kind] = self
        self.classes: dict[str, type[T]] = {}  # canonical names only
        self.aliases: dict[str, str] = {}
        self.spellings: dict[str, type[T]] = {}  # by `plain` names and aliases: files may ask thousands of times
        self.functions: dict[type[T], Callable[..., Any]] = {}
        self.keys: dict[type[T], str] = {}  # the canonical name of each class
        self.base: type[T] | None = None  # of all of them, once one was asked for

    def register(self, *aliases: str, name: str | None = None) -> Callable[[type[T]], type[T]]:
        """Class decorator: known from now on as `name` (default: the class's name in snake case) and `aliases`."""

        def add(cls: type[T]) -> type[T]:
            ours = cls.__module__.startswith("nncore.")
            names = list(arguments(cls)) if ours else ()  # a user's class may do with keywords what it likes
            cls.__init__ = explained(cls.__init__, names)  # type: ignore[method-assign]
            key = name or snake_case(cls.__name__)
            self.classes[key] = cls
            self.keys[cls] = key
            self.aliases.update(dict.fromkeys(aliases, key))
            self.spellings.update(dict.fromkeys(map(plain, (key, *aliases)), cls))
            cls.registry = self
            return cls

        return add

    def names(self) -> list[str]:
        """All canonical names, sorted."""
        return sorted(self.classes)

    def find(self, name: str, argument: str) -> type[T]:
        """The class called `name` or having this alias, whatever case and underscores, or a ValueError."""
        if isinstance(name, str) and (spelling := plain(name)) in self.spellings:
            return self.spellings[spelling]
        if self.base is not None and not self.native and (own := self.find_own(name, self.base)) is not None:
            return own
        raise unknown(argument, self.kind, name, self.names(), self.own, self.aliases)

    def find_own(self, name: str, base: type) -> type[T] | None:
        """A user's class by the name that it is known by, or by the one of files that it gets without any."""
        found = custom.find(name, base)
        if found is None and isinstance(name, str):
            spelt = (key for key in custom.known() if plain(key.rpartition(">")[2]) == plain(name))
            found = next(filter(None, (custom.find(key, base) for key in spelt)), None)
        return cast("type[T] | None", found)

    def named(self, module: str, name: str) -> type[T]:
        """A class by its name in a module, for ``nncore.regularizers.l2``; an AttributeError where there is none."""
        try:
            return self.find(name, f"{module}.{name}")
        except ValueError as error:
            raise AttributeError(error) from None

    def function(self, module: str, name: str) -> Callable[..., Any]:
        """A class by its name in a module as a function, for ``nncore.losses.huber``; else an AttributeError."""
        cls = self.named(module, name)
        if cls not in self.functions:
            self.functions[cls] = function_of(cls, module, self.keys[cls])
        return self.functions[cls]

    def name_of(self, obj: T) -> str:
        """The canonical name of an object's class; of one that is yet to be registered, what it would be by default."""
        if (key := self.keys.get(type(obj))) is not None:
            return key
        if (name := custom.get_registered_name(type(obj))) != type(obj).__name__:
            return name
        if self.own:
            return snake_case(type(obj).__name__)
        raise ValueError(
            f"{type(obj).__name__} is not a registered {self.kind}; known: {', '.join(self.names())}{self.limits()}"
        )

    def check_name(self, cls: type, whose: str, others: Container[str] = ()) -> None:
        """A ValueError where files would take a user's class for one of nncore's, registered here or of `others`."""
        name = cls.__name__
        if cls in self.keys or custom.get_registered_name(cls) != name:
            return
        if plain(name) in self.spellings or snake_case(name) in others:
            raise ValueError(
                f"{whose}: expected a class with a name of its own, got another {name}; rename it, or let "
                "@nncore.saving.register_keras_serializable() give it one in files"
            )

    def limits(self) -> str:
        """Why there cannot be others, as a sentence."""
        return f". {an(self.kind).capitalize()} of your own is not possible: {self.native}" if self.native else ""

    def get(self, identifier: Any, argument: str, base: type[T]) -> T:
        """Turn what a user gave into an object.

        Parameters
        ----------
        identifier : str, dict, type, function or instance of `base`
            A name, what `serialize` returned, a class (called without arguments), a class as a function (the same), or
            the object itself.
        argument : str
            The user's argument, for error messages.
        base : type
            What the result must be an instance of.

        Raises
        ------
        ValueError
            The name is unknown, or the configuration has unknown keys.
        TypeError
            `identifier` is none of these.
        """
        identifier, self.base = class_behind(identifier) or identifier, base
        cls = identifier if isinstance(identifier, type) else type(identifier)
        if self.native and issubclass(cls, base) and cls not in self.classes.values():
            raise self.stranger(identifier, argument)
        if isinstance(identifier, base):
            return identifier
        if isinstance(identifier, str):
            return self.find(identifier, argument)()
        if isinstance(identifier, type) and issubclass(identifier, base):
            return identifier()
        if isinstance(identifier, Mapping):
            if {"class_name", "config"} <= set(identifier) <= KERAS_KEYS:
                identifier = {"class": identifier["class_name"], "config": identifier["config"]}
            if set(identifier) != {"class", "config"}:
                raise ValueError(f"{argument}: expected the keys 'class' and 'config', got {sorted(identifier)}")
            return self.find(identifier["class"], argument).from_config(identifier["config"])
        raise self.stranger(identifier, argument)

    def stranger(self, identifier: Any, argument: str) -> TypeError:
        """The error for what is none of the known names and classes, with what is possible in its place."""
        cls = identifier if isinstance(identifier, type) else type(identifier)
        name = plain(str(getattr(identifier, "__name__", cls.__name__)))
        library = str(getattr(identifier, "__module__", cls.__module__)).partition(".")[0]
        remedy = self.limits() if callable(identifier) or library != "builtins" else ""
        if library in LIBRARIES:
            remedy = f" of {library}, whose objects do not fit here{remedy}"
        same = [key for key in (*self.classes, *self.aliases) if plain(key) in (name, name.removesuffix("loss"))]
        hint = f" Did you mean {same[0]!r}?" if same else ""
        return TypeError(
            f"{argument}: expected the name of {an(self.kind)}, or one of its objects, got {identifier!r}{remedy}."
            f"{hint} Known names: {', '.join(self.names())}"
        )


def serialize(obj: Configurable) -> dict[str, Any]:
    """Describe an object: ``{"class": name, "config": {…}}``; a ValueError where that would be another class's."""
    registry = obj.registry
    registry.check_name(type(obj), registry.kind)
    return {"class": registry.name_of(obj), "config": obj.get_config()}


def brief(value: Any) -> str:
    """How to write a constructor's argument: an object of default arguments by its name."""
    plain = isinstance(value, Configurable) and all(
        getattr(value, name, p.default) == p.default for name, p in arguments(type(value)).items()
    )
    return repr(snake_case(type(value).__name__) if plain else value)


def to_json(value: Any) -> Any:
    """A constructor's argument as JSON: objects by `serialize`, tuples as lists, NumPy scalars as Python's."""
    if isinstance(value, Configurable):
        return serialize(value)
    if isinstance(value, (list, tuple)):
        return [to_json(v) for v in value]
    if isinstance(value, dict):
        return {str(k): to_json(v) for k, v in value.items()}
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    if hasattr(value, "tolist"):
        return value.tolist()
    return value
