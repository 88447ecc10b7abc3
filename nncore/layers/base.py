"""What every layer is: a shape rule, parameters, and the operations it emits."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Sequence
from contextlib import suppress
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar

from nncore.arguments import check_flag, explained, refuse_mask
from nncore.attributes import arguments, as_made
from nncore.copying import Travelling
from nncore.graph import TRACING, Call, Callable, Shape, Symbol, check_sample
from nncore.initializers import Initializer
from nncore.layers import arrays
from nncore.layers.weights import Weighted
from nncore.parameter import Parameter
from nncore.registry import Configurable, Registry, brief, to_json
from nncore.sizes import with_sizes
from nncore.state import State

if TYPE_CHECKING:
    from nncore.compiler.builder import Builder
    from nncore.compiler.operation import Tensor

LAYERS: Registry[Layer] = Registry(
    "layer", own="Make one of your own known before: @nncore.saving.register_keras_serializable(), or custom_objects"
)


FIRST = "input_shape", "input_dim", "batch_input_shape"  # what Keras's first layers may be told

NONE_MEANS = {"activation": "linear", "data_format": "channels_last"}  # what constructors make of it


class Layer(Weighted, Travelling, Configurable, Callable):
    """Base of all layers.

    A layer may be called any number of times, in one model and in several: all its places share its weights, and where
    one model trains them, the others have them, too.

    A layer of operations overrides `output_shape` and `emit`, and `declare` if it learns something. It computes
    nothing: `emit` describes, for the compiler of programs, what to compute forward and backward.

    A layer of a user's own may compute in Python: it has ``forward(x)``, which returns Y for a batch of inputs, a NumPy
    array that it may not write, or the list of them where `takes_many` is True; and ``backward(dy)``, also
    ``backward(dy, x)`` or ``backward(dy, x, y)``, which returns dX, or with weights the tuple ``(dx, dw, …)``, in the
    order of `add_weight`. ``build(input_shape)`` declares these: ``self.w = self.add_weight((n, m), name="w")``; the
    native optimizer trains them. In `forward` and `backward` a weight is an array, ``x @ self.w``. `forward` may take
    ``training=``; the output's shape is what it makes of zeros, unless `compute_output_shape` says it. What it keeps
    in attributes for `backward` is that of the last call: of a layer that is called more than once in a model, or
    while another thread predicts, ``backward(dy, x, y)`` needs none. Statistics of training, random numbers and the
    like of its own are not part of what an exact resume restores.

    Or it joins other layers: ``call(x)`` returns what these, and operators, make of symbols. It may take and return
    several, also in lists and dicts; the layer is called on symbols and arrays alike. Each place of it in a model calls
    it once, when that is built, so Python's loops and conditions are those of that moment. Layers with weights are
    attributes, or in lists and dicts that are, which name them; the constructor makes them, or ``build(input_shape)``.
    An argument `training` is False, and True in a second call, for the steps of training; layers that `call` joins know
    by themselves. Its constructor's arguments stay as they are; what is set on the layers in it has effect.

    The constructor's arguments of others may be set at any time, with the same checks, and a built model follows at
    once: weights whose shape changes are drawn anew, all others stay, the optimizer's state with them. A fit that runs
    refuses it.

    Parameters
    ----------
    name : str, optional
        Unique in its model; default the class's name with a number.
    trainable : bool, default True
        Whether fit changes its parameters; a change takes effect when the model is compiled.

    Attributes
    ----------
    weights, trainable_weights, non_trainable_weights : list of Parameter
        The learned arrays, in Keras's order; the latter two by what `trainable` is now. Also called …variables.
    input, output : Symbol
        What the layer reads (a list, if it joins several) and makes, once it was called: of its first call.
    supports_masking : bool
        Whether what counts of its inputs, by a mask that `Embedding` or `Masking` made or that it was called with,
        counts of its output, too. The mask ends with any other layer. GlobalAveragePooling1D, BatchNormalization,
        losses and metrics of means leave out what does not count.
    """

    own = True
    _made_by: ClassVar[str] = "_models"
    _transient: ClassVar[tuple[str, ...]] = ("_models", "_calls", "_forwards", "_activity")
    constructors = ("__init__", "declare")
    emitting: ClassVar[Any]  # `emit`, where a class has none of its own
    _declaring = False  # whether a user's `build` is at work
    _first_shape: Shape | None = None  # of a sample of the inputs, where the constructor was told
    takes_many = False  # whether it is called on a list of symbols
    supports_masking = False
    mask_axes = "steps"  # of a mask that it is called with: fewer than its inputs have; "elements": all; or "any"
    encodes = (
        False  # whether Python makes whole numbers of its inputs where data are bound: see `preprocessing.Encoder`
    )
    augments: ClassVar[bool] = False  # whether it changes arrays at random where it is called on them by itself
    alone: ClassVar[Any]  # what computes layers outside of models: `execution.standalone`, which stands above
    _forwards: dict[Any, Any] | None = None  # what that has compiled
    masking: ClassVar[Any]  # what gives inputs a mask: `masking.ApplyMask`, which stands above, too
    remedies: ClassVar[dict[str, str]] = {"weights": "Call set_weights."}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "build" in vars(cls):
            cls.build = arrays.declaring(cls.build)  # type: ignore[method-assign]

    @explained
    def __init__(self, name: str | None = None, trainable: bool = True) -> None:
        if hasattr(self, "call") and not (self._composes() or hasattr(self, "forward")):
            raise TypeError(
                f"{type(self).__name__}: expected call in a class derived from Layer, which joins layers, got it in "
                "one with operations of its own (emit), which would be computed in its place. Make that an attribute"
            )
        if name is not None and (not isinstance(name, str) or not name or "/" in name):
            raise ValueError(f"name: expected a non-empty string without '/', got {name!r}")
        self.name = name
        self.trainable = trainable
        self.parameters: list[Parameter] = []
        self.input_shapes: tuple[Shape, ...] | None = None
        self._state: State | None = None
        self._models: weakref.WeakSet[Any] | None = None  # weak: they hold their layers

    @classmethod
    def _composes(cls) -> bool:
        """Whether it composes others by `call`, and computes nothing itself."""
        return super()._composes() and cls.emit is cls.emitting and not hasattr(cls, "forward")

    def __call__(self, inputs: Any, training: Any = None, *, mask: Any = None) -> Any:
        """Connect the layer to the symbols it reads, or compute it on arrays.

        Parameters
        ----------
        inputs : Symbol or array_like, or a list of them
            Arrays (B, …), one or, for a layer that joins several, a list of them. They are computed with in the dtype
            of the layer's weights, `backend.floatx()` unless a model has them; without weights, in their own.
        training : bool, default False
            Of arrays: compute as in a step of training, in which dropout is on, and statistics follow the batch. None:
            the default. On symbols it changes nothing; in a `call` of yours it is to be what that was given.
        mask : Symbol or array_like, or a list of them, optional
            What of the inputs counts, in place of a mask that they have: not 0 for each place of their first axes
            (B, …), which may be of length 1; of several inputs a list, with None where all of one counts. Only for
            layers that `supports_masking`; in a model it goes along from there, as any other. It may also stand in the
            place of `training`, where some of Keras's layers have it.

        Returns
        -------
        Symbol or ndarray
            Of the output. Weights are drawn at the first call on arrays, unless the layer has some.
        """
        if getattr(training, "ndim", False) or isinstance(training, Symbol):
            if mask is not None:
                raise TypeError(f"{arrays.label(self)}: training: expected True or False, got a second mask")
            training, mask = None, training
        given = tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)
        if not any(isinstance(s, Symbol) for s in given):
            return self.alone.call(self, inputs, training is not None and check_flag(training, "training"), mask)
        TRACING.check(arrays.label(self), training)
        return self.connect(inputs if mask is None else self.masking.applied(self, inputs, mask))

    def of_first(self, given: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
        """The arguments `given` to the constructor, which knows some, without what a first layer is told of its inputs.

        That is in Keras's older programs what an `Input` before it is now: ``Dense(64, input_shape=(784,))``.
        """
        for name, shape in ((name, given[name]) for name in FIRST if name in given and name not in known):
            if shape is not None:
                sample = shape[1:] if name == "batch_input_shape" and isinstance(shape, (tuple, list)) else shape
                self._first_shape = check_sample(sample, name, shape)
        return {name: value for name, value in given.items() if name in known or name not in FIRST}

    def connect(self, inputs: Any) -> Symbol:
        """The symbol of the output for the symbols that the layer reads."""
        many = isinstance(inputs, (list, tuple))
        symbols = tuple(inputs) if many else (inputs,)
        label = type(self).__name__
        if strange := [type(s).__name__ for s in symbols if not isinstance(s, Symbol)]:
            raise TypeError(
                f"{label}: expected symbols, which Input or other layers returned, or arrays alone, got also "
                f"{strange[0]}. Give the model an Input for it"
            )
        if many != self.takes_many or (many and len(symbols) < 2):
            wanted = "a list of two or more symbols" if self.takes_many else "one symbol"
            raise ValueError(f"{label}: expected {wanted}, got {len(symbols)} in a {type(inputs).__name__}")
        shapes = tuple(s.sample_shape for s in symbols)
        shape = self.made_shape(*shapes)
        self.take_shapes(shapes)
        return self._connect(symbols, [shape])[0]

    def take_shapes(self, shapes: tuple[Shape, ...]) -> None:
        """Be called on inputs of these shapes; a ValueError where the weights of the first call do not fit them."""
        if self.input_shapes is None:
            arrays.declared_for(self, shapes)
            self.input_shapes = shapes
        elif shapes != self.input_shapes and self._declared(shapes) != self._declared(self.input_shapes):
            raise ValueError(
                f"{arrays.label(self)}: expected inputs that its weights fit, as those of its "
                f"first call, {batched(self.input_shapes)}, got {batched(shapes)}. Make another layer for these "
                "(Input is incompatible with the layer.)"
            )

    def _declared(self, shapes: tuple[Shape, ...]) -> list[Any]:
        """What `declare` learns from these shapes; the layer stays as it is."""
        twin = self._twin(shapes)
        made = {id(p) for p in twin.parameters}
        changed = {n: v for n, v in vars(twin).items() if v is not vars(self).get(n, twin) and id(v) not in made}
        changed = {n: v for n, v in changed.items() if not (isinstance(v, (list, dict, set)) and v == getattr(self, n))}
        changed.pop("parameters", None)  # absent: there are none, as before
        return [[(p.name, p.shape) for p in twin.parameters], changed]

    def _twin(self, shapes: Sequence[Shape]) -> Layer:
        """A layer of the same settings that has declared its parameters for these shapes, where open for some size."""
        twin = object.__new__(type(self))
        held = {n: copy(v) if isinstance(v, (list, dict, set)) else v for n, v in vars(self).items()}
        vars(twin).update(held, parameters=[])
        twin.declare(*with_sizes(shapes, arrays.stand_ins(self)[0]))
        return twin

    def made_shape(self, *shapes: Shape) -> Shape:
        """`output_shape` also of shapes with sizes that are open, None, and so are those that follow from them."""
        return arrays.made_shape(self, shapes)

    def output_shape(self, *shapes: Shape) -> Shape:
        """Shape of one sample's output, from those of its inputs; ValueError where they do not fit."""
        return arrays.output_shape(self, shapes) if arrays.computes(self) else shapes[0]

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        """The shape of the output, from that of the input, or a list of those of several, all with the batch's axis.

        None stands for sizes that are unknown, of the output those that follow from such; a ValueError asks for those
        that must be known.
        """
        sample = arrays.open_shape(self, input_shape)
        return input_shape[0][0] if self.takes_many else input_shape[0], *sample

    def _refuse_mask(self, training: Any, mask: Any) -> None:
        """Raise a TypeError for a mask, also in the place of `training`: Keras's pooling layers take it second."""
        if mask is not None or getattr(training, "ndim", False):
            refuse_mask(arrays.label(self), training if mask is None else mask)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """What of the output counts, where `mask` says it of the inputs: the same, unless a class has another rule.

        Keras's method, for who carries masks of arrays along himself: the last one may be the `sample_weight` of a fit,
        or of a loss. In a model masks go along by themselves: see `emit_mask`.
        """
        return mask

    def takes_mask(self, shape: Shape, mask: Shape) -> bool:
        """Whether it may be given a mask of samples of one shape, for inputs of samples of the other."""
        fits = {
            "steps": len(mask) < max(len(shape), 1),
            "elements": len(mask) == len(shape),
            "any": len(mask) <= len(shape),
        }
        return fits[self.mask_axes] and all(n in (1, m) for m, n in zip(shape, mask, strict=False))

    def emit_mask(self, b: Builder, *inputs: Tensor) -> Tensor | None:
        """What of the output counts, by the masks of the inputs: as of these where it `supports_masking`; None: all."""
        return inputs[0].mask if self.supports_masking else None

    @property
    def keeps_rows_apart(self) -> bool:
        """Whether a row of the last axis of its output is made of that row of its input alone."""
        return False

    @property
    def integers(self) -> tuple[int, int] | None:
        """(low, high): it reads whole numbers in [low, high), as int32, of an `Input`; None: reals."""
        return None

    @property
    def makes_integers(self) -> tuple[int, int] | None:
        """(low, high): its output is whole numbers in [low, high), as int32; None: reals."""
        return None

    def declare(self, *shapes: Shape) -> None:
        """Declare parameters with `add_parameter`, for inputs of which a sample has these shapes.

        Those on which no parameter depends may be others than the data's. A `build` that a class overrides is called,
        with the batch as None.
        """
        if type(self).build is not Layer.build:
            self._declaring = True
            try:
                self.build(arrays.with_batch(self, shapes))
            finally:
                self._declaring = False

    def build(self, input_shape: Any = None) -> None:
        """Draw the weights, outside of any model.

        Parameters
        ----------
        input_shape : int or tuple, or a list of them
            Of the inputs, with the batch axis: (None, 784), or 784. Sizes that no weight depends on may be None, for an
            `Embedding` all. What a layer learns from it, it says in `declare`, or where it overrides this method, by
            `add_weight`.
        """
        if not self._declaring:
            self.draw(input_shape)

    def draw(self, input_shape: Any) -> None:
        """Draw the weights, outside of any model; see `build`."""
        if self.state is None and not TRACING.builds:
            self.alone.build(self, input_shape)

    def emit(self, b: Builder, *inputs: Tensor) -> Tensor:
        """Emit the layer's operations, forward and backward, and return its output."""
        if arrays.computes(self):
            return arrays.emit(self, b, inputs)
        raise arrays.computes_nothing(self)

    # -- what is set on it -----------------------------------------------------------------------------------------

    @property
    def trainable(self) -> bool:
        """Whether fit changes the parameters, from the next compile on."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = check_flag(value, "trainable")
        for layer in self.held:
            layer.trainable = value

    @property
    def learns(self) -> bool:
        """Whether it is trainable, and so are the layers that it holds."""
        return self._trainable and all(layer.learns for layer in self.held)

    def _checked(self, name: str, value: Any) -> Any:
        if self.state is not None and isinstance(vars(self).get(name), Parameter) and not isinstance(value, Parameter):
            label = arrays.label(self)
            raise AttributeError(f"{name}: cannot be replaced in layer {label}; call layer.{name}.assign(value)")
        return super()._checked(name, value)

    def _changed(self, name: str, value: Any) -> Any:
        if name not in self.config_names():
            raise AttributeError(
                f"{name}: fixed by the constructor of {type(self).__name__}, which does not take it, so that no file "
                "could hold another; let it take it"
            )
        value = as_made(self, name, value, [type(self)])
        old = getattr(self, name)
        if not (self.input_shapes or self.state) or (type(value) is type(old) and to_json(value) == to_json(old)):
            return value
        if isinstance(value, Initializer):
            raise AttributeError(
                f"{name}: has drawn the weights of layer {self.name} already, cannot become {value!r}; call set_weights"
            )
        models = list(self._models or ())
        if len(models) != 1 or self.state is None:
            why = f"{arrays.label(self)} was called" if not models else f"{len(models)} models share it"
            raise AttributeError(f"{name}: fixed since {why}, cannot become {value!r}; make another layer")
        models[0].change_layer(self, name, value)
        return value

    # -- what it holds ---------------------------------------------------------------------------------------------

    @property
    def declares_none(self) -> bool:
        """Whether its class, whatever the inputs, has no weights to declare."""
        cls = type(self)
        return cls.declare is Layer.declare and cls.build is Layer.build and all(h.declares_none for h in self.held)

    @property
    def held(self) -> tuple[Layer, ...]:
        """Layers inside of it, whose weights are its own, and which are asked for them as any other."""
        return ()

    @property
    def state(self) -> State | None:
        """The arrays of its models; None before one is built."""
        if self._state is not None and self._state.joined is not None:
            self._state = self._state.root
        return self._state

    @state.setter
    def state(self, value: State | None) -> None:
        self._state = value
        for layer in self.held:
            layer.state = value

    def __getstate__(self) -> dict[str, Any]:
        self._state = self.state  # the one with values, were others joined
        return super().__getstate__()

    def _first(self) -> Call:
        if self.input_shapes is None or not (calls := self.calls):
            raise AttributeError(f"{arrays.label(self)}: has no input and output before it is called")
        return calls[0]

    @property
    def output(self) -> Symbol:
        """The symbol of its output, of its first call."""
        return self._first().outputs[0]

    @property
    def input(self) -> Symbol | list[Symbol]:
        """The symbol that it reads in its first call, or the list of them."""
        inputs = self._first().inputs
        return list(inputs) if self.takes_many else inputs[0]

    def __repr__(self) -> str:
        parts = [f"name={self.name!r}"] if self.name else []
        for name, argument in arguments(type(self)).items():
            told = None
            with suppress(AttributeError):  # a user's class may not keep it
                told = brief(self.argument(name))
            if name != "name" and told not in (None, repr(argument.default), repr(NONE_MEANS.get(name))):
                parts.append(f"{name}={told}")
        if self.input_shapes and (calls := self.calls):
            parts.append(f"{batched(self.input_shapes)} -> {calls[0].outputs[0].shape}")
            if len(calls) > 1:
                parts.append(f"{len(calls)} calls")
        if self.parameters:
            parts.append(f"{self.count_params():,} parameters")
        return f"<{' '.join((type(self).__name__, ', '.join(parts))).strip()}>"


def batched(shapes: tuple[Shape, ...]) -> str:
    """Shapes with the batch, as text."""
    return ", ".join(str((None, *shape)) for shape in shapes)


Layer.registry = LAYERS
Layer.emitting = Layer.emit
