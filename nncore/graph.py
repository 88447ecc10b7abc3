"""Symbols: what a layer returns when it is called, before any number exists.

A symbol knows its shape and the call that makes it; a call knows its layer and the symbols
that it reads. The calls that lead from a model's inputs to its outputs form its graph. Nothing here computes.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from nncore.arguments import check_count, explained
from nncore.dtypes import check_real
from nncore.operators import Operators
from nncore.sizes import Shape as Shape
from nncore.sizes import elements

_numbers = itertools.count()


@dataclass(eq=False)
class Call:
    """One use of a layer, or of a model as a layer.

    Attributes
    ----------
    layer : Layer or Model
    inputs : tuple of Symbol
        What it reads.
    made : list of weak references to Symbol
        What it makes: weak, as each of them holds its call.
    number : int
        Of all calls of this process.
    traced : Graph or None
        What the layer's own `call` made of them, of symbols in place of `inputs`.
    form : object
        How these stand among the arguments of that: see `tracing.Given`.
    """

    layer: Any
    inputs: tuple[Symbol, ...]
    made: list[weakref.ref[Symbol]] = field(default_factory=list)
    number: int = -1
    traced: Any = None
    form: Any = None

    @property
    def inner(self) -> Any:
        """The graph of what is called, if that consists of layers: a model, or a layer that composes others."""
        return self.layer._graph_of(self)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Of a sample of each input."""
        return tuple(s.sample_shape for s in self.inputs)

    @property
    def outputs(self) -> list[Symbol]:
        """What it makes, as far as anybody holds that."""
        return [symbol for known in self.made if (symbol := known()) is not None]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"made": [], "number": -1}  # a copy of the graph brings them back


@dataclass(eq=False)
class Symbol(Operators):
    """A tensor of the graph.

    Attributes
    ----------
    shape : tuple
        With the batch, which is None, as the first axis.
    sample_shape : tuple of int
        Of one sample; None is a size that is open, which the data of each call settle.
    name : str or None
        Of an `Input`.
    dtype : str or None
        "string": an `Input` of texts.
    call : Call or None
        What makes it; None for an `Input`.
    index : int
        Which of the call's outputs it is.
    """

    sample_shape: Shape
    call: Call | None = None
    index: int = 0
    name: str | None = field(default=None, kw_only=True)
    dtype: str | None = field(default=None, kw_only=True)

    @property
    def shape(self) -> tuple[int | None, ...]:
        """See the class."""
        return None, *self.sample_shape

    def activated(self, activation: Any) -> Symbol:
        """The symbol of ``Activation(activation)``, called on this one."""
        return self.arithmetic.activated(self, activation)

    @property
    def layer(self) -> Any:
        """The layer or model that makes it; None for an `Input`."""
        return self.call.layer if self.call else None

    @property
    def inputs(self) -> tuple[Symbol, ...]:
        """What that reads."""
        return self.call.inputs if self.call else ()

    def __repr__(self) -> str:
        name = "" if self.name is None else f"name={self.name!r}, "
        layer = self.layer
        maker = "input" if layer is None else f"of {type(layer).__name__} {layer.name or ''}".strip()
        return f"<Symbol {name}shape={self.shape}, {maker}>"


class Tracing(threading.local):
    """What is at work in this thread of a user's layers and models that join others: see `tracing`.

    Attributes
    ----------
    training : bool or None
        The value of `training` in the `call` that is traced; None: it has none, or none is traced.
    traces : bool
        Whether one is.
    builds : bool
        Whether a `build` is, whose layers get their weights with the model.
    """

    training: bool | None = None
    traces = builds = False

    def check(self, name: str, training: Any) -> None:
        """A TypeError where a layer is called with another `training` than the `call` that is traced was."""
        if self.traces and training is not None and training is not self.training:
            raise TypeError(
                f"{name}: training: expected that of call, {self.training}, or none, got {training!r}: layers do as "
                "the pass does that they are in. Give call an argument training, and hand that on; for dropout in "
                "predictions there is model(x, training=True); a layer that is to stay as it is has trainable=False"
            )


TRACING = Tracing()


class Callable:
    """Base of what is called on symbols: it knows its calls as long as somebody holds what they made."""

    _composed: ClassVar[type | None] = None  # the base of classes with a method `call`: set from above
    _calls: weakref.WeakValueDictionary[int, Call] | None = None
    _named = False  # whether its name is one that we gave it, not the user

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        base = cls._composed
        if base is not None and cls._composes() and not issubclass(cls, base):
            above = [base if issubclass(base, c) else c for c in cls.__bases__]  # in place of what it derives from
            cls.__bases__ = tuple(dict.fromkeys(above if base in above else [*above, base]))
            cls._begin()

    @classmethod
    def _begin(cls) -> None:
        """Do what is to be done with a class that derives from `_composed` from now on."""

    @classmethod
    def _composes(cls) -> bool:
        """Whether what it computes is what its method `call` makes of symbols."""
        return hasattr(cls, "call")

    def _parts(self) -> dict[Any, str] | None:
        """The layers and models that it consists of, with what it calls each; None: it is a layer of operations."""
        return None

    def _graph_of(self, call: Call) -> Any:
        """See `Call.inner`."""
        return None

    def _connect(
        self, inputs: Iterable[Symbol], shapes: Iterable[Shape], traced: Any = None, form: Any = None
    ) -> tuple[Symbol, ...]:
        """The symbols, of these shapes, that a new call on `inputs` makes."""
        call = Call(self, tuple(inputs), traced=traced, form=form)
        symbols = tuple(Symbol(shape, call, i) for i, shape in enumerate(shapes))
        for symbol in symbols:
            self._remember(call, symbol)
        return symbols

    def _remember(self, call: Call, symbol: Symbol) -> None:
        """Know that `call` made `symbol`."""
        if self._calls is None:
            self._calls = weakref.WeakValueDictionary()
        if self._calls.get(call.number) is not call:
            call.number = next(_numbers)
            self._calls[call.number] = call
        if all(known() is not symbol for known in call.made):
            call.made.append(weakref.ref(symbol))

    @property
    def calls(self) -> list[Call]:
        """Its calls, as far as anybody holds what they made, from the first on."""
        return sorted((self._calls or {}).values(), key=lambda call: call.number)


def symbolic(x: Any) -> bool:
    """Whether it is a symbol, or a list or dict of symbols."""
    parts = x.values() if isinstance(x, Mapping) else x if isinstance(x, (list, tuple)) else (x,)
    return isinstance(next(iter(parts), None), Symbol)


def check_shape(shape: Any, argument: str, fewest: int = 1) -> Shape:
    """A sample's shape, of at least so many axes, from 784, (784,) or (None, 784); (None, None, 64) leaves a size open.

    Raises
    ------
    ValueError
        A size is not positive.
    """
    axes = tuple(shape) if isinstance(shape, (Sequence, tuple)) else (shape,)
    return check_sample(axes[1:] if axes[:1] == (None,) else axes, argument, shape, fewest)


def check_sample(shape: Any, argument: str, given: Any, fewest: int = 0) -> Shape:
    """The shape of a sample, without the batch axis, that `given` has: None are sizes that are open."""
    axes = tuple(shape) if isinstance(shape, (Sequence, tuple)) else (shape,)
    known: Any = ()
    try:
        known = tuple(None if axis is None else int(axis) for axis in axes)
        exact = all(n is axis or n == axis for n, axis in zip(known, axes, strict=True))
    except (TypeError, ValueError, OverflowError):
        exact = False
    if not exact or len(known) < fewest or min((n for n in known if n is not None), default=1) < 1:
        raise ValueError(
            f"{argument}: expected the positive sizes of one sample, such as 784, (28, 28) or (None, 784), "
            f"got {given!r}"
        )
    if elements(known) > 2**40:
        raise ValueError(f"{argument}: expected a sample of at most 2**40 elements, got shape {known}")
    return known


@explained
def Input(
    shape: Any = None,
    name: str | None = None,
    *,
    batch_size: int | None = None,
    dtype: Any = None,
    batch_shape: Any = None,
) -> Symbol:
    """Stand for the input of a model.

    Parameters
    ----------
    shape : int or tuple of int
        Shape of one sample, without the batch axis: ``(784,)``; ``()`` is one number without an axis. None leaves a
        size open, ``(None, 64)``: each call's data settle it, the same for its samples, another in the next call.
    name : str, optional
    batch_size : int, optional
        Of no consequence: a model takes any number of samples.
    dtype : dtype, optional
        "string": texts, which `StringLookup`, `Hashing` or `HashedCrossing` reads. Any other is of no consequence: a
        model takes arrays of any real dtype.
    batch_shape : tuple, optional
        In place of `shape`: with the batch axis, ``(None, 784)``.

    Returns
    -------
    Symbol
        Call layers on it, then make ``Model(inputs, outputs)``; or put it first in the list of ``Model([...])``.
    """
    if batch_size is not None:
        check_count(batch_size, "batch_size")
    text = "string" if isinstance(dtype, str) and dtype in ("string", "str") else None
    if dtype is not None and not text:
        check_real(dtype)
    if batch_shape is not None:
        if shape is not None or not isinstance(batch_shape, (tuple, list)) or not batch_shape:
            phrase = " (You cannot pass both `shape` and `batch_shape` at the same time.)" if shape is not None else ""
            raise ValueError(
                f"batch_shape: expected the batch axis and a sample's shape, (None, 784), and no shape beside it, got "
                f"{batch_shape!r}{phrase}"
            )
        return Symbol(check_sample(batch_shape[1:], "batch_shape", batch_shape), name=name, dtype=text)
    if shape is None:
        raise ValueError(
            "shape: expected the sizes of a sample, such as 784 or (28, 28), got None (pass a `shape` argument.)"
        )
    return Symbol(check_sample(shape, "shape", shape), name=name, dtype=text)


class InputLayer:
    """`Input` by the name of Keras's class. What it makes is a symbol, and no layer of a model is an instance of it."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """See `Input`."""
        return Input(*args, **kwargs)


def topological(outputs: Iterable[Symbol], inputs: Iterable[Symbol] = ()) -> list[Symbol]:
    """Every symbol that `outputs` depend on, but for what is before `inputs`, each after those it reads."""
    order: list[Symbol] = []
    seen: set[int] = set()
    ends = {id(s) for s in inputs}
    stack: list[tuple[Symbol, bool]] = [(s, False) for s in reversed(list(outputs))]
    while stack:
        symbol, ready = stack.pop()
        if ready:
            order.append(symbol)
        elif id(symbol) not in seen:
            seen.add(id(symbol))
            stack.append((symbol, True))
            if id(symbol) not in ends:
                stack.extend((s, False) for s in reversed(symbol.inputs) if id(s) not in seen)
    return order
