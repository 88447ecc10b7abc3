"""What a program reads of a model's inputs: their rows, or the whole numbers that layers make of them in Python.

Texts and categories become int32 once, where a user's data are bound: an encoder (`Layer.encodes`) that reads an
`Input`, or several, or what other encoders make of them, has a binding of its own, and the program begins behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple

from nncore import conversion
from nncore.bindings import Binding, Integers
from nncore.data import rows_of, shaped
from nncore.graph import Call, Shape, Symbol
from nncore.state import Array


class Encoded(NamedTuple):
    """The whole numbers that a layer makes in Python of these sources: numbers of a model's inputs, or such again."""

    layer: Any
    sources: tuple[Any, ...]


Source = int | Encoded


class Feed(NamedTuple):
    """A binding of a program: where it comes from, the shape of a sample, and the whole numbers it holds, if any."""

    source: Source
    shape: Shape
    integers: Integers | None


def shape_of(source: Source, inputs: Sequence[Shape]) -> Shape:
    """The shape of a source's samples, for those of the inputs: encoders keep shapes."""
    while isinstance(source, Encoded):
        source = source.sources[0]
    return inputs[source]


class Operand(NamedTuple):
    """What a call reads: a feed, or a symbol if `source` is None; and the whole numbers it takes, or None: reals."""

    source: Source | None
    symbol: Symbol | None
    integers: Integers | None
    shape: Shape


class Range(NamedTuple):
    """A layer that makes whole numbers, and what a layer of this name takes that reads them."""

    maker: Any
    taken: Integers
    name: str

    def check(self) -> None:
        """Raise a ValueError unless all that is made is taken."""
        low, high = self.maker.makes_integers
        if low < self.taken.low or high > self.taken.high:
            raise ValueError(
                f"{self.name}: expected to read whole numbers from {self.taken.low} to {self.taken.high - 1}, got "
                f"those of {self.maker.name}, from {low} to {high - 1}. Make the layer for {high} numbers: "
                f"{self.maker.words_of_size}"
            )


def source_of(s: Symbol, inputs: Mapping[int, int]) -> Source | None:
    """Where a symbol comes from, if it can be known before a program runs; `inputs`: numbers of inputs by their ids."""
    if id(s) in inputs:
        return inputs[id(s)]
    layer = s.layer
    if s.call is not None and s.call.inner is None and layer.makes_integers is not None and hasattr(layer, "encode"):
        return encoded(s.call, layer.name or "", inputs)
    return None


def encoded(call: Call, name: str, inputs: Mapping[int, int]) -> Encoded:
    """What the call of an encoder of this name makes."""
    sources = tuple(source_of(s, inputs) for s in call.inputs)
    if None in sources:
        s = call.inputs[sources.index(None)]
        raise ValueError(
            f"{name}: expected an Input, or the whole numbers that another such layer makes, got {s!r}. Give the model "
            "an input for it"
        )
    return Encoded(call.layer, sources)


def within(source: Source, outer: Sequence[Source | None]) -> Source | None:
    """A source of a model that is called on symbols of these sources."""
    if not isinstance(source, Encoded):
        return outer[source]
    sources = tuple(within(part, outer) for part in source.sources)
    return None if None in sources else Encoded(source.layer, sources)


def operands(call: Call, name: str, inputs: Mapping[int, int]) -> list[Operand]:
    """What a call of a layer of this name reads."""
    layer, inner = call.layer, call.inner
    if inner is None:
        if layer.encodes:
            codes: tuple[int, int] = layer.codes
            return [Operand(encoded(call, name, inputs), None, Integers.taken(*codes, name), call.shapes[0])]
        limits: tuple[int, int] | None = layer.integers
        taken = limits and Integers.taken(*limits, name)
        return [Operand(inputs.get(id(s)), s, taken, s.sample_shape) for s in call.inputs]
    found = []
    outer = [source_of(s, inputs) for s in call.inputs]
    for feed in inner.feeds:
        source = within(feed.source, outer)
        if isinstance(feed.source, Encoded):
            if source is None:
                raise ValueError(
                    f"{name}: expected an Input for each of its inputs that {feed.source.layer.name} reads. Give the "
                    "model an input for it"
                )
            found.append(Operand(source, None, feed.integers, shape_of(feed.source, call.shapes)))
        else:
            s = call.inputs[feed.source]
            found.append(Operand(inputs.get(id(s)), s, feed.integers, s.sample_shape))
    return found


def maker_of(s: Symbol) -> Any:
    """The layer that makes whole numbers of a symbol; None: it holds reals, or is an input."""
    while s.call is not None and (inner := s.call.inner) is not None:
        s = inner.outputs[s.index]
    return s.layer if s.call is not None and s.layer.makes_integers is not None else None


class Feeds:
    """What a graph's program is fed, in order: its inputs first.

    Parameters
    ----------
    inputs, outputs : sequence of Symbol
    calls : list of (Call, name of its layer)

    Attributes
    ----------
    feeds : list of Feed
    reads : list of list of Operand
        Of each call.
    ranges : list of Range
        What `check` looks at.
    """

    def __init__(self, inputs: Sequence[Symbol], outputs: Sequence[Symbol], calls: Sequence[tuple[Call, str]]) -> None:
        numbers = {id(s): i for i, s in enumerate(inputs)}
        taken: dict[Source, Integers | None] = {}
        shapes: dict[Source, Shape] = {}
        self.reads: list[list[Operand]] = []
        self.ranges: list[Range] = []
        for call, name in calls:
            self.reads.append(operands(call, name, numbers))
            for source, s, integers, shape in self.reads[-1]:
                if source is None:
                    assert s is not None
                    self._check_made(s, integers, name)
                    continue
                if s is not None and s.dtype is not None and integers is None:
                    raise ValueError(
                        f"{name}: expected an Input of numbers, got {s!r}. Put StringLookup or Hashing before it"
                    )
                shapes[source] = shape
                known = taken.get(source)
                if integers is None:
                    taken[source] = known
                    continue
                both = (known or integers).both(integers, f"each layer that reads it, such as {name},")
                if both.low >= both.high:
                    raise ValueError(
                        f"{name}: expected to take some number that every layer takes which reads {s!r}, got "
                        f"{integers.low} ≤ x < {integers.high}. Give the model another input for it"
                    )
                taken[source] = both
        for s in outputs:
            if id(s) in numbers:
                taken.setdefault(numbers[id(s)], None)
                shapes[numbers[id(s)]] = s.sample_shape
        order = sorted(taken, key=lambda source: len(inputs) if isinstance(source, Encoded) else source)
        self.feeds = [Feed(source, shapes[source], taken[source]) for source in order]
        self.encodes = any(isinstance(source, Encoded) for source in order)
        self.check()

    def sized(self, shapes: Sequence[Shape]) -> Feeds:
        """The same, where samples of the feeds have these shapes."""
        made = copy(self)
        made.feeds = [feed._replace(shape=shape) for feed, shape in zip(self.feeds, shapes, strict=True)]
        return made

    def _check_made(self, s: Symbol, integers: Integers | None, name: str) -> None:
        """Raise unless what a layer makes can be read as whole numbers, if it is."""
        if integers is None:
            return
        if (maker := maker_of(s)) is None:
            raise ValueError(
                f"{name}: expected an Input, for it takes whole numbers, got {s!r}. Give the model an input for it"
            )
        self.ranges.append(Range(maker, integers, name))

    def check(self) -> None:
        """Raise a ValueError where a layer makes whole numbers that one takes not which reads them."""
        for one in self.ranges:
            one.check()

    def bindings(
        self, given: Sequence[Any], inputs: Sequence[Symbol], arguments: Sequence[str], dtype: Any
    ) -> list[Any]:
        """What is given for each input as bindings of the program, checked.

        Parameters
        ----------
        given : list
            By input: arrays, columns of frames, lists.
        arguments : list of str
            What the user calls each.
        dtype : dtype
            The model's.
        """
        if self.encodes:
            self.check()
        bound: list[Binding] = []
        for feed in self.feeds:
            if isinstance(feed.source, int):
                s, argument = inputs[feed.source], arguments[feed.source]
                array = conversion.as_input(given[feed.source], argument, s.sample_shape)
                bound.append(rows_of(array, s.sample_shape, dtype, argument, feed.integers))
            else:
                layer, arrays, called = feed.source.layer, *arrays_of(feed.source, given, inputs, arguments)
                bound.append(layer.bound(arrays, called, dtype))
        return bound


def arrays_of(
    source: Encoded, given: Sequence[Any], inputs: Sequence[Symbol], arguments: Sequence[str]
) -> tuple[list[Array], list[str]]:
    """The arrays that a source's layer reads, of what is given for each input, and what the user calls them."""
    arrays, names = [], []
    for part in source.sources:
        if isinstance(part, Encoded):
            parts, called = arrays_of(part, given, inputs, arguments)
            array, name = part.layer.encode(parts, called), called[0]
        else:
            name, shape = arguments[part], inputs[part].sample_shape
            array = shaped(source.layer.read(conversion.sole(given[part], shape), name), shape, name)
        arrays.append(array)
        names.append(name)
    rows = [len(array) for array in arrays]
    if len(set(rows)) > 1:
        raise ValueError(f"{names[0]}: expected as many rows as {names[-1]}, got {rows[0]} and {rows[-1]}")
    return arrays, names
