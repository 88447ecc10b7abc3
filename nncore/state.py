"""Parameters of a model: one flat buffer, and the table of what lies where in it.

Gradients and each state array of an optimizer are arrays of the same layout, so the optimizer is one pass, a norm one
reduction, and a checkpoint one copy. Each parameter starts on a cache line; the padding stays zero.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nncore._kernels.gate import Gate
from nncore._kernels.table import PACK_ROWS
from nncore.conversion import as_array
from nncore.locks import Turn
from nncore.parameter import Parameter

if TYPE_CHECKING:
    from nncore.packing import Packed

Array = np.ndarray[Any, Any]

ALIGNMENT = 64  # bytes
PAGE = 4096  # bytes: CPUs take addresses that agree modulo this for the same when a load overtakes a store
CHUNK_ELEMENTS = 16384  # of one step of the update: part of the bits of norms and penalties

#: struct nn_chunk of program.h
CHUNK = np.dtype(
    [("offset", "i8"), ("n", "i8"), ("group", "i8"), ("l1", "f8"), ("l2", "f8"), ("decay", "f8"), ("rate", "f8")]
    + [(name, "i8") for name in ("optimizer", "parameter", "whole", "inputs", "outputs", "first")]
    + [("packed", "i8", 2)]
)


class Settings(NamedTuple):
    """What an optimizer's update is told of a parameter.

    Attributes
    ----------
    optimizer : int
        Which of several it is.
    group : int
        Parameters whose norm of gradients is one.
    decay, rate : float
        Factors of weight decay and of the learning rate.
    whole : bool
        Whether an operation of its own updates it.
    parameter : int
        A number of its own, where the rule looks at all of each parameter.
    """

    optimizer: int = 0
    group: int = 0
    decay: float = 1.0
    rate: float = 1.0
    whole: bool = False
    parameter: int = 0


def aligned_zeros(n: int, dtype: Any) -> Array:
    """A zeroed vector that starts on a page, as all do that an update walks side by side.

    Were one a line ahead of another, each load would wait for the last store: 1,424 parameters of Adam 0.4 → 1.6 µs.
    """
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(n * itemsize + PAGE, dtype=np.uint8)
    skip = -raw.ctypes.data % PAGE
    return raw[skip : skip + n * itemsize].view(dtype)


class State:
    """The values of the parameters of a model, or of several models that share layers.

    A model that joins layers of several states makes one of them all: the earlier ones are *joined* to it, and whoever
    holds one of them finds it as their `root`. Each keeps its layout, as a block of the new one, so that arrays laid
    out like it move as a whole, and its models' updates go through the same chunks as before.

    Parameters
    ----------
    parts : list of Parameter or State
        In the order of the layout: parameters get their offsets here; states are joined, and nobody may write them
        meanwhile or read them (`State.merged` sees to that).
    dtype : {"float32", "float64"}

    Attributes
    ----------
    parameters : list of Parameter
    joined : State or None
        The state that this one is a block of, from element `start` on. Its own arrays are gone.
    members : set of Model
        Those that have their weights here, held weakly.
    """

    def __init__(self, parts: Sequence[Parameter | State], dtype: str) -> None:
        self.parameters: list[Parameter] = []
        self.dtype = np.dtype(dtype)
        step = ALIGNMENT // self.dtype.itemsize
        self.size = 0
        starts = []
        for part in parts:
            starts.append(self.size)
            self.size += -(-part.size // step) * step
            if self.size * self.dtype.itemsize >= 2**62:
                assert isinstance(part, Parameter)
                raise ValueError(f"{part.path}: expected a shape that fits into memory, got {part.shape}")
        values = aligned_zeros(self.size, dtype)
        for part, start in zip(parts, starts, strict=True):
            if isinstance(part, Parameter):
                vars(part)["offset"] = start
                self.parameters.append(part)
                continue
            values[start : start + part.size] = part.values
            self.parameters += part.parameters
            for p in part.parameters:
                vars(p)["offset"] += start
        self._take(values)
        for part, start in zip(parts, starts, strict=True):
            if isinstance(part, State):
                if self.turn.joined:
                    part.turn.join(self.turn)
                else:
                    self.turn.join(part.turn)  # whose lock is held: the turn of all is taken until their models follow
                part.start, part.joined = start, self
                part.values = part._gradients = part.values[:0]

    def _take(self, values: Array) -> None:
        """Let `values` be the flat buffer."""
        self.values = values
        self.version = 0  # counts what was written to the values, updates excepted
        self.passes = 0  # of training that have begun, all of which write the gradients
        self.packings: weakref.WeakSet[Packed] = weakref.WeakSet()  # copies of weights, of models
        self.members: weakref.WeakSet[Any] = weakref.WeakSet()
        self.joined: State | None = None
        self.start = 0
        self._gradients: Array | None = None
        self.gate = Gate()
        self.turn = Turn()
        self.turn.gate = self.gate
        self.captured: weakref.ref[Array] | None = None
        for p in self.parameters:
            p.bind(self)

    @classmethod
    def merged(cls, parts: Sequence[Parameter | State], dtype: str) -> State | None:
        """A state of all these; models of the states among them follow. None where one of these was joined meanwhile.

        Raises
        ------
        RuntimeError
            One of their models is being fitted.
        """
        states = sorted((part for part in parts if isinstance(part, State)), key=id)
        with ExitStack() as held:
            for state in states:
                held.enter_context(state.turn.taken("Model"))
                state.turn.require("Model", within_fit=False)
            if any(state.joined for state in states):
                return None
            for state in states:
                held.enter_context(state.gate.writing())
            merged = cls(parts, dtype)
            for state in states:
                for model in list(state.members):
                    model._follow(state)
        return merged

    @property
    def root(self) -> State:
        """Itself, or the state that it is a part of."""
        state = self
        while state.joined is not None:
            state = state.joined
        return state

    def moved(self, flat: Array) -> Array:
        """An array laid out like this state, as its root is."""
        state = self
        while state.joined is not None:
            whole = state.joined.like()
            whole[state.start : state.start + state.size] = flat
            flat, state = whole, state.joined
        return flat

    @contextmanager
    def reading(self) -> Iterator[State]:
        """A context within which nobody writes, for the state that this one is, or is a part of by now."""
        while True:
            state = self.root
            with state.gate.reading():
                if state.joined is None:
                    yield state
                    return

    def join_turn(self, turn: Turn) -> None:
        """Let a model with this `turn` have its weights here."""
        turn.gate = self.gate
        if self.members:
            turn.join(self.turn)
        else:
            self.turn.join(turn)  # whose lock may be held

    def capture(self) -> Array:
        """A copy of the values; a copy of the state that is made while it lives has these. The gate is the caller's."""
        values = self.values.copy()
        self.captured = weakref.ref(values)
        return values

    def __getstate__(self) -> dict[str, Any]:
        captured = self.captured() if self.captured else None
        if captured is None:
            with self.gate.reading():
                captured = self.values.copy()
        return {"parameters": self.parameters, "dtype": self.dtype, "size": self.size, "values": captured}

    def __setstate__(self, state: dict[str, Any]) -> None:
        values = state.pop("values")
        vars(self).update(state)
        self._take(self.like())
        self.values[:] = values

    @property
    def gradients(self) -> Array:
        """Those of the step at hand, for whichever program computes it."""
        if self._gradients is None:  # no cached_property: Python 3.11 has one lock for all, which a fork may leave held
            self._gradients = self.like()
        return self._gradients

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Keep readers out while values are written; afterwards copies of them are no longer true."""
        with self.gate.writing():
            try:
                yield
            finally:
                self.version += 1
                for packed in self.packings:
                    packed.written += 1

    def assign(self, parameters: Sequence[Parameter], values: Sequence[Any], argument: str) -> None:
        """Copy `values` into `parameters`, all or none."""
        self.turn.require(argument)
        if not isinstance(values, (list, tuple)):
            raise TypeError(f"{argument}: expected a list of arrays, got {type(values).__name__}")
        if len(values) != len(parameters):
            raise ValueError(f"{argument}: expected {len(parameters)} arrays, got {len(values)}")
        arrays = []
        for p, value in zip(parameters, values, strict=True):
            array = as_array(value, f"{argument}: {p.path}")
            if array.shape != p.shape:
                raise ValueError(f"{argument}: expected shape {p.shape} for {p.path}, got {array.shape}")
            with np.errstate(over="ignore"):
                converted = array.astype(self.dtype)
            if array.dtype != self.dtype and not np.array_equal(np.isfinite(array), np.isfinite(converted)):
                raise ValueError(f"{argument}: a finite value of {p.path} overflows {self.dtype}")
            arrays.append(converted)
        with self.turn.taken(argument):
            self.turn.require(argument)
            state = self.root
            with state.writing():
                for p, array in zip(parameters, arrays, strict=True):
                    state.view(p)[...] = array

    def initialize(self, parameters: Sequence[Parameter], rng: np.random.Generator) -> None:
        """Draw their initial values, in their order."""
        for p in parameters:
            values = p.initializer(p.shape, self.dtype, rng)  # a user's, perhaps, which reads other parameters
            with self.writing():
                self.view(p)[...] = values
        for p in parameters:
            p.initializer.drawn()

    def view(self, p: Parameter, flat: Array | None = None) -> Array:
        """The elements of `p`, in its shape, within `flat` (default: the values)."""
        return p.within(self.values if flat is None else flat)

    def like(self) -> Array:
        """A zeroed array of the same layout: gradients, or a state array of an optimizer."""
        return aligned_zeros(self.size, self.dtype)

    def chunks(
        self,
        trained: Mapping[Parameter, str],
        packed: Packed | None = None,
        settings: Callable[[int, Parameter, str], Settings] = lambda number, p, path: Settings(),
    ) -> Array:
        """The table of runs of a model's trainable parameters that share their settings, for the update.

        Parameters
        ----------
        trained : dict of Parameter to str
            The parameters in the order of the model, which may be some of this state's, with their paths.
        packed : Packed, optional
            The model's copies of weights.
        settings : callable
            What the optimizer says of each, by its number and path. Those of one optimizer come one after another.
        """
        runs: list[list[Any]] = []  # [offset, end, *settings], in the order of CHUNK
        line = ALIGNMENT // self.dtype.itemsize
        told = [(p, settings(i, p, path)) for i, (p, path) in enumerate(trained.items()) if p.size]
        for p, s in sorted(told, key=lambda one: one[1].optimizer):
            r = p.regularizer
            common: list[Any] = [s.group + (s.optimizer << 32), r.l1 if r else 0.0, r.l2 if r else 0.0]
            common += [s.decay, s.rate, s.optimizer, s.parameter, s.whole]
            copies = packed.copies(p) if packed else (-1, -1)
            common += [*(packed.matrices[p] if packed and max(copies) >= 0 else (0, 0)), copies]
            if runs and runs[-1][2:] == common and -(-runs[-1][1] // line) * line == p.offset:
                runs[-1][1] = p.end
            else:
                runs.append([p.offset, p.end, *common])
        pieces = []
        for offset, end, *common, inputs, outputs, copies in runs:
            rows = max(PACK_ROWS, CHUNK_ELEMENTS // max(1, outputs) // PACK_ROWS * PACK_ROWS)
            step = rows * outputs or CHUNK_ELEMENTS
            for start in range(offset, end, step):
                first = (start - offset) // max(1, outputs)
                pieces.append((start, min(step, end - start), *common, inputs, outputs, first, copies))
        return np.array(pieces, dtype=CHUNK)
