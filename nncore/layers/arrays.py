"""Layers that a user writes in Python: `forward` and `backward` on arrays of the batch, within the native step."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nncore.arguments import is_whole
from nncore.operations import python
from nncore.sizes import agreed, is_open, with_sizes
from nncore.state import Array, State

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor
    from nncore.graph import Shape
    from nncore.layers.base import Layer


def declaring(build: Callable[..., None]) -> Callable[..., None]:
    """A user's ``build(input_shape)``: called while the layer declares its weights; else it is that of `Layer`."""

    @functools.wraps(build)
    def built(self: Any, *shapes: Any, **named: Any) -> None:
        if self._declaring:
            build(self, *shapes, **named)
        else:
            self.draw(shapes[0] if shapes else named.get("input_shape"))

    return built


def computes(layer: Any) -> bool:
    """Whether a layer computes in Python: it has `forward`, and no operations of its own."""
    return hasattr(layer, "forward") and type(layer).emit is type(layer).emitting


def computes_nothing(layer: Any) -> NotImplementedError:
    """The error for a layer that says nowhere what it computes."""
    return NotImplementedError(
        f"{type(layer).__name__} does not say what it computes: override emit, or define call(self, x), which joins "
        "other layers, or forward(self, x) and backward(self, dy) on NumPy arrays"
    )


def with_batch(layer: Layer, shapes: Sequence[Shape]) -> Any:
    """Shapes of samples as users see them: with the batch as None, a list of them for a layer that joins several."""
    batched = [(None, *shape) for shape in shapes]
    return batched if layer.takes_many else batched[0]


def without_batch(layer: Layer, given: Any) -> list[Any]:
    """Shapes of samples, from those that a user gives; a ValueError where they are none."""
    each = given if layer.takes_many and isinstance(given, (list, tuple)) else [given]
    if not all(isinstance(s, (list, tuple)) and s and all(n is None or is_whole(n) for n in s[1:]) for s in each):
        wanted = "a list of shapes (batch, …)" if layer.takes_many else "a shape (batch, …)"
        raise ValueError(f"input_shape: expected {wanted} with whole numbers behind the batch, got {given!r}")
    return [tuple(s[1:]) for s in each]


#: Sizes that stand for unknown ones: what does not follow from them is what is the same for both.
STAND_INS = 1024, 2048

#: The same where shapes alone are computed, so that no stride makes one of both, and what is cut into parts can be;
#: where `forward` is called on arrays.
WIDE, NARROW = (720_720, 1_441_440), (32, 48)


def stand_ins(layer: Layer, native: tuple[int, int] = STAND_INS) -> tuple[int, int]:
    """Two sizes in place of those that are open, of which a layer of Python is to make no more than it must."""
    return NARROW if computes(layer) else native


def made_shape(layer: Layer, shapes: Sequence[Shape], find: Callable[..., Shape] | None = None) -> Shape:
    """The shape of a sample's output, from shapes some of whose sizes are open, perhaps by another rule than its own.

    A ValueError where the layer needs one of them.
    """
    find = find or layer.output_shape
    if not is_open(shapes):
        return find(*shapes)
    size = 0
    try:
        sizes = stand_ins(layer, WIDE)
        made = [find(*with_sizes(shapes, size := n)) for n in sizes]
    except ValueError as error:
        named = str(error).replace(f"{size}", "None")  # nobody gave the size that stood in
        raise ValueError(f"{named}. None is a size that is open: where a layer needs it, give it") from error
    return agreed(*made)


def settled(layer: Layer, shapes: Sequence[Shape]) -> Sequence[Shape] | None:
    """Shapes by which a layer may declare its parameters; None where these depend on sizes that are open."""
    if not is_open(shapes):
        return shapes
    one, other = (with_sizes(shapes, size) for size in stand_ins(layer))
    return one if layer._declared(tuple(one)) == layer._declared(tuple(other)) else None


def declared_for(layer: Layer, shapes: Sequence[Shape]) -> Sequence[Shape]:
    """The same, but a ValueError where there are none."""
    if (known := settled(layer, shapes)) is None:
        raise ValueError(
            f"{label(layer)}: expected the size of each axis that its weights depend on, got inputs of shape "
            f"{', '.join(str((None, *s)) for s in shapes)}. Give it in place of None, or make one size of all before: "
            "a GlobalAveragePooling1D or 2D in place of Flatten"
        )
    return known


def open_shape(layer: Layer, given: Any) -> tuple[Any, ...]:
    """The shape of a sample's output, from shapes with the batch in which None stands for sizes that are unknown."""
    shapes = without_batch(layer, given)
    find = (lambda *form: made_of_zeros(layer, form)) if computes(layer) else None
    try:
        return made_shape(layer, shapes, find)
    except ValueError as error:
        if not is_open(shapes):
            raise
        raise ValueError(
            f"input_shape: expected the sizes that the output of {label(layer)} depends on, got {given!r}. Give each "
            "size in place of None"
        ) from error


def output_shape(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    """The shape of a sample's output, of a layer that computes in Python; a class may say it itself."""
    return tuple(layer.compute_output_shape(with_batch(layer, shapes))[1:])


def made_of_zeros(layer: Layer, shapes: Sequence[Shape]) -> Shape:
    """The shape of what `forward` makes of zeros."""
    twin: Any = layer._twin(shapes)
    state = State(twin.parameters, "float32")  # which its parameters refer to weakly
    zeros = [np.zeros((1, *shape), np.float32) for shape in shapes]
    with np.errstate(all="ignore"):
        made = np.asarray(twin.forward(zeros if layer.takes_many else zeros[0], **keywords(twin, training=False)))
    del state
    if made.ndim == 0 or len(made) != 1:
        raise ValueError(
            f"{label(layer)}: expected of forward an array with as many samples as its input, got shape {made.shape} "
            "for 1 sample. Keep the first axis, which is that of the batch"
        )
    return made.shape[1:]


def keywords(layer: Any, training: bool) -> dict[str, bool]:
    """What `forward` is given beside its inputs: ``training``, where it takes that."""
    return {"training": training} if "training" in inspect.signature(layer.forward).parameters else {}


def taken(layer: Any) -> int:
    """How many of dy, x and y `backward` takes."""
    parameters = inspect.signature(layer.backward).parameters.values() if hasattr(layer, "backward") else ()
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def label(layer: Any) -> str:
    """What errors call it."""
    return layer.name or type(layer).__name__


def emit(layer: Layer, b: Builder, inputs: Sequence[Tensor]) -> Tensor:
    """The layer's `forward`, and in training its `backward`, as parts of a program."""
    shape = layer.output_shape(*(x.shape for x in inputs))
    weights = [p for p in layer.parameters if p.role == "weight"]
    calls = Calls(layer, len(inputs), len(weights), b.training)
    differentiable = any(x.differentiable for x in inputs) or any(p in b.trained for p in weights)
    if b.training and differentiable and not hasattr(layer, "backward"):
        raise TypeError(
            f"{label(layer)}: expected backward(dy), which returns the gradient of the input, to train what comes "
            "before it, got a layer with forward alone. Define it; where no gradient is to pass, let it return zeros"
        )
    return python.layer(b, list(inputs), shape, weights, calls.forward, calls.backward)


class Calls:
    """What a program calls of a layer, which it holds weakly: the layer may hold the program.

    What its methods take is looked up here, once: it takes longer than a small step.
    """

    def __init__(self, layer: Layer, inputs: int, weights: int, training: bool) -> None:
        self.layer = weakref.ref(layer)
        self.inputs, self.weights = inputs, weights
        self.given = keywords(layer, training)
        self.taken = taken(layer)

    def of_user(self, xs: Sequence[Array]) -> Any:
        """The input, or the list of inputs."""
        layer = self.layer()
        return list(xs) if layer is not None and layer.takes_many else xs[0]

    def forward(self, *arrays: Array) -> None:
        """Fill Y from the inputs."""
        layer: Any = self.layer()
        *xs, y = arrays
        made = layer.forward(self.of_user(xs), **self.given)
        self.put(y, made, "forward", "its output")

    def backward(self, *arrays: Array) -> None:
        """Fill the gradients of the inputs, then of the weights, from the inputs, Y and dY."""
        layer: Any = self.layer()
        n = self.inputs
        x, y, dy, places = self.of_user(arrays[:n]), arrays[n], arrays[n + 1], arrays[n + 2 :]
        made = layer.backward(*(dy, x, y)[: self.taken])
        if not self.weights:
            made = (made,)
        elif not isinstance(made, tuple) or len(made) != 1 + self.weights:
            got = f"{len(made)}" if isinstance(made, tuple) else type(made).__name__
            raise ValueError(
                f"{label(layer)}: expected of backward a tuple of {1 + self.weights}, the gradient of the input and "
                f"that of each of its {self.weights} weights in the order of add_weight, got {got}"
            )
        dx, *dw = made
        dxs = list(dx) if layer.takes_many and dx is not None else [dx] * n
        names = [f"its input {i}" if n > 1 else "its input" for i in range(n)]
        names += [p.name for p in layer.parameters if p.role == "weight"]
        for place, gradient, name in zip(places, [*dxs, *dw], names, strict=True):
            self.put(place, 0.0 if gradient is None else gradient, "backward", f"the gradient of {name}")

    def put(self, place: Array, made: Any, method: str, what: str) -> None:
        """Fill an array with what a method made."""
        if np.shape(made) != place.shape and not (type(made) is float and method == "backward"):
            layer: Any = self.layer()
            raise ValueError(
                f"{label(layer)}: expected of {method} {what}, of shape {place.shape}, got {np.shape(made)}"
            )
        place[...] = made
