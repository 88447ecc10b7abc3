"""Parameters of a model: one flat buffer, and the table of what lies where in it.

Gradients and each state array of an optimizer are arrays of the same layout, so the optimizer is one pass, a norm one
reduction, and a checkpoint one copy. Each parameter starts on a cache line; the padding stays zero.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nncore._kernels.gate import Gate
from nncore._kernels.table import PACK_ROWS
from nncore.attributes import Guarded
from nncore.conversion import as_array
from nncore.locks import Turn

if TYPE_CHECKING:
    from nncore.graph import Shape
    from nncore.initializers import Initializer
    from nncore.packing import Packed
    from nncore.regularizers import Regularizer

Array = np.ndarray[Any, Any]

ALIGNMENT = 64  # bytes
PAGE = 4096  # bytes: CPUs take addresses that agree modulo this for the same when a load overtakes a store
CHUNK_ELEMENTS = 16384  # of one step of the update: part of the bits of norms and penalties

#: struct nn_chunk of program.h
CHUNK = np.dtype(
    [("offset", "i8"), ("n", "i8"), ("group", "i8"), ("l1", "f8"), ("l2", "f8"), ("decay", "f8")]
    + [(name, "i8") for name in ("inputs", "outputs", "first")]
    + [("packed", "i8", 2)]
)


ROLES = ("weight", "statistic")


class Parameter(Guarded):
    """One array that a layer learns or keeps: ``layer.kernel``.

    ``np.asarray(parameter)`` and `numpy` give its values at that moment; `assign` changes them.

    Attributes
    ----------
    path : str
        ``layer/kernel``: its name in files.
    shape : tuple of int
        Kernels are (in, out).
    role : {"weight", "statistic"}
        A weight has a gradient, and is moved by the optimizer. A statistic, such as a running mean, has none: an
        operation of the update section writes it, so that a step which is abandoned has not changed it. Nothing
        decays, penalises or trains it; it is saved, copied and counted as weights are.
    trainable : bool
        Whether the optimizer changes it: what the layer's `trainable` was when the model was compiled; of a statistic
        always False.
    offset : int
        First element in the flat buffer.
    """

    own = False
    remedies: ClassVar[dict[str, str]] = {
        "trainable": "Set that of its layer, and call compile.",
        "regularizer": "Set kernel_regularizer or bias_regularizer of its layer.",
        "value": "Call assign.",
    } | dict.fromkeys(("path", "shape", "initializer", "offset", "role"), "It follows from its layer.")

    def __init__(
        self,
        path: str,
        shape: Shape,
        initializer: Initializer,
        regularizer: Regularizer | None = None,
        trainable: bool = True,
        role: str = "weight",
    ) -> None:
        if role not in ROLES:
            raise ValueError(f"role: expected one of {', '.join(map(repr, ROLES))} for {path}, got {role!r}")
        if role == "statistic" and regularizer is not None:
            raise ValueError(
                f"regularizer: expected None for {path}, got {regularizer!r}. Nothing learns a statistic: leave it out"
            )
        self.path, self.shape, self.initializer, self.regularizer = path, shape, initializer, regularizer
        self.role = role
        self.trainable = trainable and role == "weight"
        self.offset = -1
        self._values: Array | None = None  # its part of the flat buffer, in its shape
        self._state: weakref.ref[State] | None = None  # weak: the state holds the parameters

    def train(self, trainable: bool) -> None:
        """Let `trainable` be so from the next program on, if this is a weight."""
        vars(self)["trainable"] = trainable and self.role == "weight"

    def bind(self, state: State) -> None:
        """Be a part of `state`."""
        self._values, self._state = state.view(self), weakref.ref(state)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_values": None, "_state": None}  # the copy of the state binds them again

    @property
    def name(self) -> str:
        """The last part of `path`: "kernel"."""
        return self.path.rpartition("/")[2]

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values: the model's."""
        return self._bound().dtype

    def _bound(self) -> Array:
        if self._values is None:
            raise ValueError(f"{self.path}: has no values before its model is built; call model.build(input_shape)")
        return self._values

    def _reading(self) -> AbstractContextManager[None]:
        state = self._state() if self._state else None
        return state.gate.reading() if state else nullcontext()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        view = self._bound().view()
        if copy is not False:
            with self._reading():
                view = np.array(view, dtype)
        elif dtype is not None and np.dtype(dtype) != view.dtype:
            raise ValueError(f"{self.path}: expected its dtype {view.dtype} where nothing may be copied, got {dtype}")
        view.flags.writeable = copy is True
        return view

    def numpy(self) -> Array:
        """A copy of its values."""
        with self._reading():
            return self._bound().copy()

    @property
    def value(self) -> Array:
        """The same, by Keras's other name."""
        return self.numpy()

    def assign(self, value: Any) -> None:
        """Replace its values by an array of its shape."""
        self._bound()
        state = self._state() if self._state else None
        if state is None:
            raise ValueError(f"{self.path}: its model is gone, or was built again; take it from the layer")
        state.assign([self], [value], "assign")

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self)[key]

    def __len__(self) -> int:
        return len(self._bound())

    def __repr__(self) -> str:
        dtype = "not built" if self._values is None else self.dtype
        kind = ", statistic" if self.role == "statistic" else "" if self.trainable else ", frozen"
        return f"<Parameter {self.path!r}: shape {self.shape}, {dtype}{kind}>"

    @property
    def end(self) -> int:
        """One past its last element in the flat buffer."""
        return self.offset + self.size

    def within(self, flat: Array) -> Array:
        """Its elements, in its shape, within an array of the layout of all parameters."""
        return flat[self.offset : self.end].reshape(self.shape)


def aligned_zeros(n: int, dtype: Any) -> Array:
    """A zeroed vector that starts on a page, as all do that an update walks side by side.

    Were one a line ahead of another, each load would wait for the last store: 1,424 parameters of Adam 0.4 → 1.6 µs.
    """
    itemsize = np.dtype(dtype).itemsize
    raw = np.zeros(n * itemsize + PAGE, dtype=np.uint8)
    skip = -raw.ctypes.data % PAGE
    return raw[skip : skip + n * itemsize].view(dtype)


class State:
    """The values of a model's parameters.

    Parameters
    ----------
    parameters : list of Parameter
        Get their offsets here.
    dtype : {"float32", "float64"}
    """

    def __init__(self, parameters: list[Parameter], dtype: str) -> None:
        self.parameters = parameters
        self.dtype = np.dtype(dtype)
        step = ALIGNMENT // self.dtype.itemsize
        self.size = 0
        for p in parameters:
            vars(p)["offset"] = self.size
            self.size += -(-p.size // step) * step
            if self.size * self.dtype.itemsize >= 2**62:
                raise ValueError(f"{p.path}: expected a shape that fits into memory, got {p.shape}")
        self._take(aligned_zeros(self.size, dtype))

    def _take(self, values: Array) -> None:
        """Let `values` be the flat buffer."""
        self.values = values
        self.version = 0  # counts what was written to the values, updates excepted
        self.passes = 0  # of training that have begun, all of which write the gradients
        self.packed: Packed | None = None
        self._gradients: Array | None = None
        self.gate = Gate()
        self.take_turn(Turn())
        self.captured: weakref.ref[Array] | None = None
        for p in self.parameters:
            p.bind(self)

    def take_turn(self, turn: Turn) -> None:
        """Let `turn` say who may change the values."""
        self.turn, turn.gate = turn, self.gate

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
                if self.packed:
                    self.packed.written += 1

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
            if not np.array_equal(np.isfinite(array), np.isfinite(converted)):
                raise ValueError(f"{argument}: a finite value of {p.path} overflows {self.dtype}")
            arrays.append(converted)
        with self.turn.taken(argument):
            self.turn.require(argument)
            with self.writing():
                for p, array in zip(parameters, arrays, strict=True):
                    self.view(p)[...] = array

    def initialize(self, rng: np.random.Generator) -> None:
        """Draw all initial values, in the order of the parameters."""
        for p in self.parameters:
            values = p.initializer(p.shape, self.dtype, rng)  # a user's, perhaps, which reads other parameters
            with self.writing():
                self.view(p)[...] = values

    def view(self, p: Parameter, flat: Array | None = None) -> Array:
        """The elements of `p`, in its shape, within `flat` (default: the values)."""
        return p.within(self.values if flat is None else flat)

    def like(self) -> Array:
        """A zeroed array of the same layout: gradients, or a state array of an optimizer."""
        return aligned_zeros(self.size, self.dtype)

    def chunks(self, per_parameter_norm: bool, excluded: tuple[str, ...] = ()) -> Array:
        """The table of runs of trainable parameters that share their settings, for the update.

        Parameters
        ----------
        per_parameter_norm : bool
            Each parameter is a group of its own for the clipping of norms.
        excluded : tuple of str
            Parameters whose path contains one of these take no weight decay.
        """
        runs: list[list[Any]] = []  # [offset, end, *settings], in the order of CHUNK
        gap = False  # whether frozen elements lie between the last run and the next parameter
        for i, p in enumerate(self.parameters):
            if not p.trainable or not p.size:
                gap |= p.size > 0
                continue
            r = p.regularizer
            settings: list[Any] = [i if per_parameter_norm else 0, r.l1 if r else 0.0, r.l2 if r else 0.0]
            settings.append(0.0 if any(name in p.path for name in excluded) else 1.0)
            copies = self.packed.copies(p) if self.packed else (-1, -1)
            settings += [*(p.shape if max(copies) >= 0 else (0, 0)), copies]
            if runs and runs[-1][2:] == settings and not gap:
                runs[-1][1] = p.end
            else:
                runs.append([p.offset, p.end, *settings])
            gap = False
        pieces = []
        for offset, end, *settings, inputs, outputs, copies in runs:
            rows = max(PACK_ROWS, CHUNK_ELEMENTS // max(1, outputs) // PACK_ROWS * PACK_ROWS)
            step = rows * outputs or CHUNK_ELEMENTS
            for start in range(offset, end, step):
                first = (start - offset) // max(1, outputs)
                pieces.append((start, min(step, end - start), *settings, inputs, outputs, first, copies))
        return np.array(pieces, dtype=CHUNK)
